//! The result of an ADD (CNI specification 1.0.0, section 5, "Success").

use std::net::IpAddr;

use serde::Serialize;
use serde_json::Value;

use crate::cidr::Cidr;
use crate::error::Error;
use crate::fields::Fields;
use crate::legacy;
use crate::version::{SUPPORTED, Version};

/// What an ADD did, whatever the version in which it is written or was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Success {
    /// The interfaces made, on the host and in the container. Not in formats before 0.3.0.
    pub interfaces: Vec<Interface>,
    /// The addresses assigned. Formats before 0.3.0 have room for one per family.
    pub ips: Vec<Ip>,
    /// The routes made.
    pub routes: Vec<Route>,
    /// What the container should use to resolve names.
    pub dns: Dns,
}

/// An interface of a result.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Interface {
    /// Its name in its network namespace.
    pub name: String,
    /// Its hardware address; empty if it does not matter.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub mac: String,
    /// Its MTU in bytes, written from 1.0.0 on; `None` and 0 both mean that it is not stated.
    #[serde(skip_serializing_if = "mtu_is_unset")]
    pub mtu: Option<u32>,
    /// The path of the network namespace it is in; empty for the host's.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub sandbox: String,
}

fn mtu_is_unset(mtu: &Option<u32>) -> bool {
    mtu.unwrap_or(0) == 0
}

/// An address of a result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Ip {
    /// The address and the size of its subnet.
    pub address: Cidr,
    /// The default gateway of that subnet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway: Option<IpAddr>,
    /// Which of the result's interfaces it is on, counted from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface: Option<usize>,
}

/// A route of a result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Route {
    /// The destination.
    pub dst: Cidr,
    /// The next hop; without one, the gateway of the address applies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gw: Option<IpAddr>,
}

/// The name resolution of a result. The order of the fields is that in which formats before 1.0.0 write them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Dns {
    /// Addresses of name servers, by priority.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub nameservers: Vec<String>,
    /// The local domain for short names.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub domain: String,
    /// Domains to search for short names, by priority.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub search: Vec<String>,
    /// Options for the resolver.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
}

impl Dns {
    /// Whether nothing is set.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Success {
    /// The text for stdout in the format of `version`: indented, without a final newline.
    ///
    /// # Errors
    /// Formats before 0.3.0 cannot express a result without any address.
    pub fn render(&self, version: Version) -> Result<String, Error> {
        match version {
            Version::V0_1_0 | Version::V0_2_0 => legacy::render_families(self, version),
            Version::V0_3_0 | Version::V0_3_1 | Version::V0_4_0 => Ok(legacy::render_lists(self, version)),
            Version::V1_0_0 => Ok(render_current(self, version)),
        }
    }

    /// Reads what another plugin printed. A text without `cniVersion` is taken to be of `default_version`, the one that
    /// plugin was asked for. Version 1.1.0 is read, too. Unknown members are ignored.
    ///
    /// # Errors
    /// The text is not a JSON object, is of a version that is not supported, or has members that cannot be understood;
    /// the message names the member.
    pub fn parse(text: &[u8], default_version: Version) -> Result<Self, Error> {
        parse(text, default_version)
            .map_err(|error| Error { msg: format!("cannot read the plugin's result: {}", error.msg), ..error })
    }

    /// Reads a result that stands in a JSON document, as [`Success::parse`] does.
    ///
    /// # Errors
    /// As those of [`Success::parse`], without a word about where the result came from.
    pub fn of(document: &Value, default_version: Version) -> Result<Self, Error> {
        let fields = Fields::of(document, "")?;
        let version = match fields.nonempty("cniVersion")? {
            None => default_version,
            // What it adds to 1.0.0 is unknown members.
            Some("1.1.0") => Version::V1_0_0,
            Some(text) => Version::parse(text).ok_or_else(|| {
                let supported = SUPPORTED.map(Version::as_str).join(", ");
                Error::internal(format!("its cniVersion {text:?} is not supported, expected one of {supported}"))
            })?,
        };
        match version {
            Version::V0_1_0 | Version::V0_2_0 => legacy::parse_families(&fields),
            Version::V0_3_0 | Version::V0_3_1 | Version::V0_4_0 | Version::V1_0_0 => parse_lists(&fields),
        }
    }
}

fn parse(text: &[u8], default_version: Version) -> Result<Success, Error> {
    if text.is_empty() {
        return Err(Error::internal("it printed nothing, expected a JSON object"));
    }
    let document: Value =
        serde_json::from_slice(text).map_err(|error| Error::internal(format!("it is not valid JSON: {error}")))?;
    Success::of(&document, default_version)
}

fn render_current(result: &Success, version: Version) -> String {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Document<'a> {
        cni_version: Version,
        #[serde(skip_serializing_if = "<[_]>::is_empty")]
        interfaces: &'a [Interface],
        #[serde(skip_serializing_if = "<[_]>::is_empty")]
        ips: &'a [Ip],
        #[serde(skip_serializing_if = "<[_]>::is_empty")]
        routes: &'a [Route],
        #[serde(skip_serializing_if = "Dns::is_empty")]
        dns: &'a Dns,
    }
    let Success { interfaces, ips, routes, dns } = result;
    let document = Document { cni_version: version, interfaces, ips, routes, dns };
    let mut document = serde_json::to_value(document).expect("a result can be written as JSON");
    // The reference library takes a detour through a map here, which sorts the keys at every level.
    document.sort_all_objects();
    go_json::to_pretty(&document)
}

/// Reads the members that every format since 0.3.0 has.
fn parse_lists(fields: &Fields<'_>) -> Result<Success, Error> {
    Ok(Success {
        interfaces: fields.objects("interfaces")?.iter().map(parse_interface).collect::<Result<_, _>>()?,
        ips: fields.objects("ips")?.iter().map(parse_ip).collect::<Result<_, _>>()?,
        routes: parse_routes(fields)?,
        dns: parse_dns(fields)?,
    })
}

fn parse_interface(fields: &Fields<'_>) -> Result<Interface, Error> {
    let text = |key| fields.string(key).map(|text| text.unwrap_or_default().to_owned());
    Ok(Interface { name: text("name")?, mac: text("mac")?, mtu: number(fields, "mtu")?, sandbox: text("sandbox")? })
}

fn parse_ip(fields: &Fields<'_>) -> Result<Ip, Error> {
    Ok(Ip {
        address: cidr(fields, "address")?,
        gateway: address(fields, "gateway")?,
        interface: number(fields, "interface")?,
    })
}

/// Reads the member `routes`; also used for the routes inside an address of an old format.
pub(crate) fn parse_routes(fields: &Fields<'_>) -> Result<Vec<Route>, Error> {
    fields
        .objects("routes")?
        .iter()
        .map(|route| Ok(Route { dst: cidr(route, "dst")?, gw: address(route, "gw")? }))
        .collect()
}

/// Reads the member `dns`.
pub(crate) fn parse_dns(fields: &Fields<'_>) -> Result<Dns, Error> {
    let Some(dns) = fields.object("dns")? else { return Ok(Dns::default()) };
    Ok(Dns {
        nameservers: dns.strings("nameservers")?.unwrap_or_default(),
        domain: dns.string("domain")?.unwrap_or_default().to_owned(),
        search: dns.strings("search")?.unwrap_or_default(),
        options: dns.strings("options")?.unwrap_or_default(),
    })
}

/// A member that must be an address with a prefix length.
pub(crate) fn cidr(fields: &Fields<'_>, key: &str) -> Result<Cidr, Error> {
    let path = fields.path(key);
    let text = fields.nonempty(key)?.ok_or_else(|| Error::internal(format!("{path} is missing")))?;
    text.parse().map_err(|error| Error::internal(format!("{path}: {error}")))
}

/// A member that may be a bare address.
pub(crate) fn address(fields: &Fields<'_>, key: &str) -> Result<Option<IpAddr>, Error> {
    let Some(text) = fields.nonempty(key)? else { return Ok(None) };
    text.parse().map(Some).map_err(|_| Error::internal(format!("{}: invalid IP address: {text}", fields.path(key))))
}

fn number<T: TryFrom<i64>>(fields: &Fields<'_>, key: &str) -> Result<Option<T>, Error> {
    let Some(number) = fields.integer(key)? else { return Ok(None) };
    T::try_from(number)
        .map(Some)
        .map_err(|_| Error::internal(format!("{}: {number} is out of range", fields.path(key))))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The result of an ADD with one address, as `calico` returns it.
    fn one_address() -> Success {
        Success {
            interfaces: vec![
                Interface { name: "caliabcdef01234".to_owned(), ..Interface::default() },
                Interface {
                    name: "eth0".to_owned(),
                    mac: "66:f4:bb:7d:6e:cc".to_owned(),
                    mtu: None,
                    sandbox: "/var/run/netns/golden".to_owned(),
                },
            ],
            ips: vec![Ip { address: "192.168.84.128/32".parse().unwrap(), gateway: None, interface: Some(1) }],
            routes: vec![Route { dst: "192.168.84.128/26".parse().unwrap(), gw: None }],
            dns: Dns::default(),
        }
    }

    fn everything() -> Success {
        let mut result = one_address();
        result.interfaces[1].mtu = Some(1400);
        result.ips[0].gateway = Some("169.254.1.1".parse().unwrap());
        result.routes[0].gw = Some("192.168.84.129".parse().unwrap());
        result.dns = Dns {
            nameservers: vec!["10.0.0.10".to_owned()],
            domain: "local".to_owned(),
            search: vec!["svc".to_owned()],
            options: vec!["ndots:5".to_owned()],
        };
        result
    }

    const ONE_ADDRESS: &str = r#"{
    "cniVersion": "1.0.0",
    "interfaces": [
        {
            "name": "caliabcdef01234"
        },
        {
            "mac": "66:f4:bb:7d:6e:cc",
            "name": "eth0",
            "sandbox": "/var/run/netns/golden"
        }
    ],
    "ips": [
        {
            "address": "192.168.84.128/32",
            "interface": 1
        }
    ],
    "routes": [
        {
            "dst": "192.168.84.128/26"
        }
    ]
}"#;

    const EVERYTHING: &str = r#"{
    "cniVersion": "1.0.0",
    "dns": {
        "domain": "local",
        "nameservers": [
            "10.0.0.10"
        ],
        "options": [
            "ndots:5"
        ],
        "search": [
            "svc"
        ]
    },
    "interfaces": [
        {
            "name": "caliabcdef01234"
        },
        {
            "mac": "66:f4:bb:7d:6e:cc",
            "mtu": 1400,
            "name": "eth0",
            "sandbox": "/var/run/netns/golden"
        }
    ],
    "ips": [
        {
            "address": "192.168.84.128/32",
            "gateway": "169.254.1.1",
            "interface": 1
        }
    ],
    "routes": [
        {
            "dst": "192.168.84.128/26",
            "gw": "192.168.84.129"
        }
    ]
}"#;

    #[test]
    fn render_as_recorded() {
        assert_eq!(one_address().render(Version::V1_0_0).unwrap(), ONE_ADDRESS);
        assert_eq!(everything().render(Version::V1_0_0).unwrap(), EVERYTHING);
        assert_eq!(Success::default().render(Version::V1_0_0).unwrap(), "{\n    \"cniVersion\": \"1.0.0\"\n}");
    }

    #[test]
    fn every_version_reads_what_it_wrote() {
        for version in SUPPORTED {
            let text = everything().render(version).unwrap();
            let mut expected = everything();
            if version < Version::V1_0_0 {
                expected.interfaces[1].mtu = None;
            }
            if version < Version::V0_3_0 {
                expected.interfaces.clear();
                expected.ips[0].interface = None;
            }
            // The default version must not matter, as the text states its own.
            assert_eq!(Success::parse(text.as_bytes(), Version::V1_0_0).unwrap(), expected, "{version}");
            assert_eq!(Success::parse(text.as_bytes(), Version::V0_1_0).unwrap(), expected, "{version}");
        }
    }

    #[test]
    fn parse_without_version_takes_the_default() {
        let lists = br#"{"ips":[{"version":"4","address":"10.0.0.1/24","gateway":""}],"unknown":1,"DNS":null}"#;
        let families = br#"{"cniVersion":"","ip4":{"ip":"10.0.0.1/24"}}"#;
        let expected = Success {
            ips: vec![Ip { address: "10.0.0.1/24".parse().unwrap(), gateway: None, interface: None }],
            ..Success::default()
        };
        assert_eq!(Success::parse(lists, Version::V0_4_0).unwrap(), expected);
        assert_eq!(Success::parse(families, Version::V0_2_0).unwrap(), expected);
        assert_eq!(Success::parse(families, Version::V1_0_0).unwrap(), Success::default());
    }

    #[test]
    fn parse_reads_what_newer_plugins_answer() {
        let text = br#"{"cniVersion":"1.1.0","interfaces":[{"name":"a","socketPath":"/s"}],
            "ips":[{"address":"fd00::1/64"}],"routes":[{"dst":"::/0","mtu":1400,"table":7}]}"#;
        let expected = Success {
            interfaces: vec![Interface { name: "a".to_owned(), ..Interface::default() }],
            ips: vec![Ip { address: "fd00::1/64".parse().unwrap(), gateway: None, interface: None }],
            routes: vec![Route { dst: "::/0".parse().unwrap(), gw: None }],
            dns: Dns::default(),
        };
        assert_eq!(Success::parse(text, Version::V0_2_0).unwrap(), expected);
    }

    #[test]
    fn parse_errors_name_the_member() {
        for (text, why) in [
            ("", "it printed nothing, expected a JSON object"),
            ("{", "it is not valid JSON: EOF while parsing an object at line 1 column 1"),
            ("[]", "expected an object, found a list"),
            (
                r#"{"cniVersion":"1.2.0"}"#,
                r#"its cniVersion "1.2.0" is not supported, expected one of 0.1.0, 0.2.0, 0.3.0, 0.3.1, 0.4.0, 1.0.0"#,
            ),
            (r#"{"ips":[{}]}"#, "ips[0].address is missing"),
            (r#"{"ips":[{"address":"10.0.0.1"}]}"#, "ips[0].address: invalid CIDR address: 10.0.0.1"),
            (r#"{"ips":[{"address":"10.0.0.1/8","gateway":"x"}]}"#, "ips[0].gateway: invalid IP address: x"),
            (r#"{"ips":[{"address":"10.0.0.1/8","interface":-1}]}"#, "ips[0].interface: -1 is out of range"),
            (
                r#"{"interfaces":[{"name":"a"},{"name":1}]}"#,
                "interfaces[1].name: expected a string, found the number 1",
            ),
            (r#"{"routes":[{"gw":"::1"}]}"#, "routes[0].dst is missing"),
            (r#"{"dns":{"search":"x"}}"#, "dns.search: expected a list, found a string"),
        ] {
            let error = Success::parse(text.as_bytes(), Version::V1_0_0).unwrap_err();
            assert_eq!(error, Error::internal(format!("cannot read the plugin's result: {why}")));
        }
    }
}
