//! Results in the formats before 1.0.0 (CNI specifications 0.2.0 and 0.4.0, "Result").

use std::net::IpAddr;

use serde::Serialize;

use crate::cidr::Cidr;
use crate::error::Error;
use crate::fields::Fields;
use crate::result::{self, Dns, Ip, Route, Success};
use crate::version::Version;

/// 0.1.0 and 0.2.0: one address per family, with the routes of that family inside it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Families<'a> {
    cni_version: Version,
    #[serde(skip_serializing_if = "Option::is_none")]
    ip4: Option<Family<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ip6: Option<Family<'a>>,
    dns: &'a Dns,
}

#[derive(Serialize)]
struct Family<'a> {
    ip: Cidr,
    #[serde(skip_serializing_if = "Option::is_none")]
    gateway: Option<IpAddr>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    routes: Vec<&'a Route>,
}

/// 0.3.0, 0.3.1 and 0.4.0: the lists of today, with the family stated in every address.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Lists<'a> {
    cni_version: Version,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    interfaces: Vec<ListedInterface<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ips: Vec<ListedIp>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    routes: &'a [Route],
    dns: &'a Dns,
}

#[derive(Serialize)]
struct ListedInterface<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    mac: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    sandbox: &'a str,
}

#[derive(Serialize)]
struct ListedIp {
    version: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    interface: Option<usize>,
    address: Cidr,
    #[serde(skip_serializing_if = "Option::is_none")]
    gateway: Option<IpAddr>,
}

/// Writes the format of 0.1.0 and 0.2.0. Interfaces, further addresses of a family, and routes of a family without
/// address have no place in it and are dropped.
pub(crate) fn render_families(result: &Success, version: Version) -> Result<String, Error> {
    let families = Families {
        cni_version: version,
        ip4: family(result, IpAddr::is_ipv4),
        ip6: family(result, IpAddr::is_ipv6),
        dns: &result.dns,
    };
    if families.ip4.is_none() && families.ip6.is_none() {
        return Err(Error::internal("cannot convert: no valid IP addresses"));
    }
    Ok(go_json::to_pretty(&families))
}

fn family(result: &Success, belongs: impl Fn(&IpAddr) -> bool) -> Option<Family<'_>> {
    let ip = result.ips.iter().find(|ip| belongs(&ip.address.address))?;
    let routes = result.routes.iter().filter(|route| belongs(&route.dst.address)).collect();
    Some(Family { ip: ip.address, gateway: ip.gateway, routes })
}

/// Reads the format of 0.1.0 and 0.2.0.
pub(crate) fn parse_families(fields: &Fields<'_>) -> Result<Success, Error> {
    let mut result = Success { dns: result::parse_dns(fields)?, ..Success::default() };
    for key in ["ip4", "ip6"] {
        let Some(family) = fields.object(key)? else { continue };
        let address = result::cidr(&family, "ip")?;
        result.ips.push(Ip { address, gateway: result::address(&family, "gateway")?, interface: None });
        result.routes.extend(result::parse_routes(&family)?);
    }
    Ok(result)
}

/// Writes the format of 0.3.0 to 0.4.0. The MTU of an interface has no place in it and is dropped.
pub(crate) fn render_lists(result: &Success, version: Version) -> String {
    let interfaces = result.interfaces.iter();
    let ips = result.ips.iter();
    go_json::to_pretty(&Lists {
        cni_version: version,
        interfaces: interfaces.map(|i| ListedInterface { name: &i.name, mac: &i.mac, sandbox: &i.sandbox }).collect(),
        ips: ips.map(listed_ip).collect(),
        routes: &result.routes,
        dns: &result.dns,
    })
}

fn listed_ip(ip: &Ip) -> ListedIp {
    let version = if ip.address.address.is_ipv4() { "4" } else { "6" };
    ListedIp { version, interface: ip.interface, address: ip.address, gateway: ip.gateway }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::Interface;

    fn ip(text: &str, interface: Option<usize>) -> Ip {
        Ip { address: text.parse().unwrap(), gateway: None, interface }
    }

    fn route(text: &str) -> Route {
        Route { dst: text.parse().unwrap(), gw: None }
    }

    fn one_address() -> Success {
        Success {
            interfaces: vec![
                Interface { name: "caliabcdef01234".to_owned(), ..Interface::default() },
                Interface {
                    name: "eth0".to_owned(),
                    mac: "7e:86:64:95:53:35".to_owned(),
                    mtu: Some(1400),
                    sandbox: "/var/run/netns/golden".to_owned(),
                },
            ],
            ips: vec![ip("192.168.84.128/32", Some(1))],
            routes: vec![route("192.168.84.128/26")],
            dns: Dns::default(),
        }
    }

    #[test]
    fn families_as_recorded() {
        for version in [Version::V0_1_0, Version::V0_2_0] {
            let expected = r#"{
    "cniVersion": "VERSION",
    "ip4": {
        "ip": "192.168.84.128/32",
        "routes": [
            {
                "dst": "192.168.84.128/26"
            }
        ]
    },
    "dns": {}
}"#;
            assert_eq!(one_address().render(version).unwrap(), expected.replace("VERSION", version.as_str()));
        }
    }

    #[test]
    fn lists_as_recorded() {
        for version in [Version::V0_3_0, Version::V0_3_1, Version::V0_4_0] {
            let expected = r#"{
    "cniVersion": "VERSION",
    "interfaces": [
        {
            "name": "caliabcdef01234"
        },
        {
            "name": "eth0",
            "mac": "7e:86:64:95:53:35",
            "sandbox": "/var/run/netns/golden"
        }
    ],
    "ips": [
        {
            "version": "4",
            "interface": 1,
            "address": "192.168.84.128/32"
        }
    ],
    "routes": [
        {
            "dst": "192.168.84.128/26"
        }
    ],
    "dns": {}
}"#;
            assert_eq!(one_address().render(version).unwrap(), expected.replace("VERSION", version.as_str()));
        }
    }

    #[test]
    fn lists_without_anything() {
        let text = Success::default().render(Version::V0_3_1).unwrap();
        assert_eq!(text, "{\n    \"cniVersion\": \"0.3.1\",\n    \"dns\": {}\n}");
    }

    #[test]
    fn families_keep_the_first_address_of_each() {
        let result = Success {
            ips: vec![ip("10.0.0.1/32", None), ip("10.0.0.2/32", None), ip("fd00::1/128", None)],
            routes: vec![route("10.0.0.0/8"), route("::/0")],
            ..Success::default()
        };
        let text = result.render(Version::V0_2_0).unwrap();
        let parsed = Success::parse(text.as_bytes(), Version::V0_2_0).unwrap();
        assert_eq!(parsed.ips, [ip("10.0.0.1/32", None), ip("fd00::1/128", None)]);
        assert_eq!(parsed.routes, result.routes);
    }

    #[test]
    fn families_drop_routes_without_address() {
        let result =
            Success { ips: vec![ip("fd00::1/128", None)], routes: vec![route("10.0.0.0/8")], ..Success::default() };
        let text = result.render(Version::V0_1_0).unwrap();
        assert_eq!(
            text,
            "{\n    \"cniVersion\": \"0.1.0\",\n    \
                         \"ip6\": {\n        \"ip\": \"fd00::1/128\"\n    },\n    \"dns\": {}\n}"
        );
    }

    #[test]
    fn families_need_an_address() {
        let error = Success::default().render(Version::V0_1_0).unwrap_err();
        assert_eq!(error, Error::internal("cannot convert: no valid IP addresses"));
    }

    #[test]
    fn malformed_family() {
        let error = Success::parse(br#"{"cniVersion":"0.2.0","ip6":{"gateway":"::1"}}"#, Version::V1_0_0).unwrap_err();
        assert_eq!(error.msg, "cannot read the plugin's result: ip6.ip is missing");
    }
}
