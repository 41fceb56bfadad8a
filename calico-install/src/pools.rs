//! The pools of a node that stands alone, by the variables that configure a node agent's default pools.

use calico_model::IpPool;
use calico_model::cidr::{self, IpVersion};
use ipnetwork::IpNetwork;

use crate::error::Error;

/// What is made where there is no pool at all.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Pools(pub Vec<IpPool>);

/// The variables of a family, and its defaults: CIDR, block size with its bounds, masquerading.
struct Family {
    version: IpVersion,
    name: &'static str,
    cidr: (&'static str, Option<&'static str>),
    block_size: (&'static str, u8, [u8; 2]),
    nat_outgoing: (&'static str, bool),
}

const FAMILIES: [Family; 2] = [
    Family {
        version: IpVersion::V4,
        name: "default-ipv4-ippool",
        cidr: ("CALICO_IPV4POOL_CIDR", Some("192.168.0.0/16")),
        block_size: ("CALICO_IPV4POOL_BLOCK_SIZE", 26, [20, 32]),
        nat_outgoing: ("CALICO_IPV4POOL_NAT_OUTGOING", true),
    },
    Family {
        version: IpVersion::V6,
        name: "default-ipv6-ippool",
        cidr: ("CALICO_IPV6POOL_CIDR", None),
        block_size: ("CALICO_IPV6POOL_BLOCK_SIZE", 122, [116, 128]),
        nat_outgoing: ("CALICO_IPV6POOL_NAT_OUTGOING", false),
    },
];

impl Pools {
    /// Reads the variables.
    pub fn read(variable: &dyn Fn(&str) -> Option<String>) -> Result<Pools, Error> {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        match flag(&set, "NO_DEFAULT_POOLS", false)? {
            true => Ok(Pools::default()),
            false => {
                FAMILIES.iter().filter_map(|family| family.pool(&set).transpose()).collect::<Result<_, _>>().map(Pools)
            }
        }
    }
}

impl Family {
    fn pool(&self, set: &dyn Fn(&str) -> Option<String>) -> Result<Option<IpPool>, Error> {
        let (name, default) = self.cidr;
        let Some(text) = set(name).or_else(|| default.map(str::to_owned)).filter(|text| text != "none") else {
            return Ok(None);
        };
        let family = format!("IPv{}", self.version);
        let network: Option<IpNetwork> = text.parse().ok().filter(|_| text.contains('/'));
        let network = network
            .filter(|network| cidr::version(network) == self.version)
            .ok_or_else(|| wrong(name, &text, &format!("addresses of {family}, such as {}", self.example())))?;
        let (name, default, [least, most]) = self.block_size;
        let text = set(name).unwrap_or_else(|| default.to_string());
        let size = text
            .parse()
            .ok()
            .filter(|size| (least..=most).contains(size))
            .ok_or_else(|| wrong(name, &text, &format!("the length of a prefix, from {least} to {most}")))?;
        if size < network.prefix() {
            return Err(Error::Config(format!(
                "{}={network} is smaller than one block of {name}={size}: make the pool larger, or the blocks smaller",
                self.cidr.0
            )));
        }
        let mut pool = IpPool::routed(self.name, network);
        pool.spec.block_size = size;
        let (name, default) = self.nat_outgoing;
        if flag(set, name, default)? {
            pool.spec.extra.insert("natOutgoing".to_owned(), true.into());
        }
        Ok(Some(pool))
    }

    fn example(&self) -> &'static str {
        match self.version {
            IpVersion::V4 => "192.168.0.0/16",
            IpVersion::V6 => "fd65::/64",
        }
    }
}

fn flag(set: &dyn Fn(&str) -> Option<String>, name: &str, default: bool) -> Result<bool, Error> {
    match set(name).map(|value| value.to_ascii_lowercase()).as_deref() {
        None => Ok(default),
        Some("true" | "1" | "t" | "yes") => Ok(true),
        Some("false" | "0" | "f" | "no") => Ok(false),
        Some(other) => Err(wrong(name, other, "true or false")),
    }
}

fn wrong(name: &str, value: &str, wanted: &str) -> Error {
    Error::Config(format!("{name}={value:?} is wrong: set it to {wanted}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Vec<String>, Error> {
        let value =
            |name: &str| variables.iter().find(|(other, _)| *other == name).map(|(_, value)| (*value).to_owned());
        let text = |pool: IpPool| {
            let nat = pool.spec.extra.get("natOutgoing").is_some();
            let modes = [&pool.spec.ipip_mode, &pool.spec.vxlan_mode];
            assert_eq!(modes, ["Never"; 2]);
            format!("{} {} {} {nat}", pool.metadata.name, pool.spec.cidr, pool.spec.block_size)
        };
        Ok(Pools::read(&value)?.0.into_iter().map(text).collect())
    }

    #[test]
    fn pools_are_as_a_node_agent_makes_them() {
        assert_eq!(read(&[]).unwrap(), ["default-ipv4-ippool 192.168.0.0/16 26 true"]);
        let variables = [
            ("CALICO_IPV4POOL_CIDR", "10.65.0.0/20"),
            ("CALICO_IPV4POOL_BLOCK_SIZE", "28"),
            ("CALICO_IPV4POOL_NAT_OUTGOING", "false"),
            ("CALICO_IPV6POOL_CIDR", "fd65::/112"),
        ];
        assert_eq!(
            read(&variables).unwrap(),
            ["default-ipv4-ippool 10.65.0.0/20 28 false", "default-ipv6-ippool fd65::/112 122 false"]
        );
        assert!(read(&[("NO_DEFAULT_POOLS", "true")]).unwrap().is_empty());
        assert!(read(&[("CALICO_IPV4POOL_CIDR", "none")]).unwrap().is_empty());
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (variables, words) in [
            (
                vec![("CALICO_IPV4POOL_CIDR", "fd65::/64")],
                "CALICO_IPV4POOL_CIDR=\"fd65::/64\" is wrong: set it to addresses",
            ),
            (vec![("CALICO_IPV6POOL_CIDR", "ten")], "CALICO_IPV6POOL_CIDR=\"ten\" is wrong"),
            (vec![("CALICO_IPV4POOL_CIDR", "10.0.0.0")], "is wrong"),
            (vec![("CALICO_IPV4POOL_BLOCK_SIZE", "19")], "from 20 to 32"),
            (vec![("CALICO_IPV4POOL_CIDR", "10.0.0.0/28")], "10.0.0.0/28 is smaller than one block"),
            (vec![("CALICO_IPV4POOL_NAT_OUTGOING", "maybe")], "true or false"),
        ] {
            let error = read(&variables).unwrap_err();
            assert_eq!(error.exit_code(true), Some(2));
            assert!(error.to_string().contains(words), "{error}");
        }
    }
}
