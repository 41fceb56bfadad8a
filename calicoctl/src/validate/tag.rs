//! The rules for the text in one field, by upstream's names.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use calico_model::endpoint_name::is_dns_subdomain;
use calico_model::validate::{is_container_id, is_interface, is_mac};
use calico_model::{Selector, cidr};
use ipnetwork::IpNetwork;

/// A rule for the text in one field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tag {
    /// A network or an address, perhaps with host bits.
    Cidr,
    /// The same, of IPv4.
    CidrV4,
    /// The same, of IPv6.
    CidrV6,
    /// A container's ID.
    ContainerId,
    /// The name of an interface, or `*`.
    Interface,
    /// An address.
    Ip,
    /// An IPv4 address.
    Ipv4,
    /// An IPv6 address.
    Ipv6,
    /// A hardware address.
    Mac,
    /// A DNS subdomain.
    Name,
    /// A network without host bits, or an address.
    Net,
    /// The name of a port in Kubernetes.
    PortName,
    /// A selector.
    Selector,
    /// A public key of WireGuard.
    WireguardPublicKey,
}

impl Tag {
    /// Why a field that breaks the rule is refused.
    pub fn reason(self, field: &str) -> String {
        reason(field, self.name())
    }

    /// Whether a text keeps the rule.
    pub fn accepts(self, text: &str) -> bool {
        match self {
            Tag::Cidr => cidr_or_address(text).is_some(),
            Tag::CidrV4 => cidr_or_address(text).is_some_and(|net| net.is_ipv4()),
            Tag::CidrV6 => cidr_or_address(text).is_some_and(|net| net.is_ipv6()),
            Tag::ContainerId => is_container_id(text),
            Tag::Interface => text == "*" || is_interface(text),
            Tag::Ip => text.parse::<IpAddr>().is_ok(),
            Tag::Ipv4 => text.parse::<Ipv4Addr>().is_ok(),
            Tag::Ipv6 => text.parse::<Ipv6Addr>().is_ok(),
            Tag::Mac => is_mac(text),
            Tag::Name => is_dns_subdomain(text),
            Tag::Net => cidr_or_address(text).is_some_and(|net| net == cidr::masked(&net)),
            Tag::PortName => is_port_name(text),
            Tag::Selector => Selector::parse(text).is_ok(),
            Tag::WireguardPublicKey => is_key(text),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Tag::Cidr => "cidr",
            Tag::CidrV4 => "cidrv4",
            Tag::CidrV6 => "cidrv6",
            Tag::ContainerId => "containerID",
            Tag::Interface => "interface",
            Tag::Ip => "ip",
            Tag::Ipv4 => "ipv4",
            Tag::Ipv6 => "ipv6",
            Tag::Mac => "mac",
            Tag::Name => "name",
            Tag::Net => "net",
            Tag::PortName => "portName",
            Tag::Selector => "selector",
            Tag::WireguardPublicKey => "wireguardPublicKey",
        }
    }
}

/// Why a field is refused that breaks the rule of this name. The space at the end is upstream's.
pub fn reason(field: &str, tag: &str) -> String {
    format!("Reason: failed to validate Field: {field} because of Tag: {tag} ")
}

/// A network, as Go reads it: with a prefix length, and without a netmask in its place.
pub fn network(text: &str) -> Option<IpNetwork> {
    let (address, length) = text.split_once('/')?;
    let is_length = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
    let length = length.parse().ok().filter(|_| is_length)?;
    IpNetwork::new(address.parse().ok()?, length).ok()
}

/// A network, or an address as the network of that address alone.
pub fn cidr_or_address(text: &str) -> Option<IpNetwork> {
    network(text).or_else(|| text.parse().ok().map(cidr::single))
}

/// At most 15 lower-case letters, digits and single dashes inside, with a letter among them.
fn is_port_name(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=15).contains(&text.len())
        && text.bytes().all(is_allowed)
        && text.bytes().any(|byte| byte.is_ascii_lowercase())
        && !text.contains("--")
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// 32 bytes in base64.
fn is_key(text: &str) -> bool {
    let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    text.len() == 44 && text.strip_suffix('=').is_some_and(|digits| digits.bytes().all(is_digit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_each_rule_accepts_and_refuses() {
        let key = "MHJlcGxhY2V0aGlzd2l0aGFyZWFsa2V5IDMyYnl0ZXM=";
        let long = "a".repeat(254);
        for (tag, name, right, wrong) in [
            (
                Tag::Cidr,
                "cidr",
                &["10.0.0.1/8", "10.0.0.1", "fd00::1/64", "::"][..],
                &["", "10.0.0.300", "10.0.0.0/33"][..],
            ),
            (Tag::CidrV4, "cidrv4", &["10.0.0.1/8", "10.0.0.1"], &["fd00::1/64", "10.0.0.1/255.0.0.0", "10.0.0.1/+8"]),
            (Tag::CidrV6, "cidrv6", &["fd00::1/64", "fd00::1"], &["10.0.0.1/8", "fd00::1/129", "fd00::1/"]),
            (Tag::ContainerId, "containerID", &["abc123", "A-b"], &["-a", "a_b"]),
            (Tag::Interface, "interface", &["*", "cali0123456789a", "a_b.c-d"], &["", "cali0123456789ab", "a*", "a/b"]),
            (Tag::Ip, "ip", &["10.0.0.1", "fd00::1"], &["10.0.0.1/32", "10.0.0", "010.0.0.1"]),
            (Tag::Ipv4, "ipv4", &["10.0.0.1"], &["fd00::1", "10.0.0.1/32"]),
            (Tag::Ipv6, "ipv6", &["fd00::1"], &["10.0.0.1", "fd00::1%eth0"]),
            (Tag::Mac, "mac", &["ee:ee:ee:ee:ee:ee", "66f4.bb7d.6ecc"], &["ee:ee:ee:ee:ee", "ee-ee:ee-ee-ee-ee"]),
            (Tag::Name, "name", &["a", "node-1.example.org"], &["", "Bad_Name", "a..b", "-a", &long]),
            (
                Tag::Net,
                "net",
                &["10.0.0.0/8", "10.0.0.1", "10.0.0.1/32", "fd00::/64"],
                &["10.0.0.1/8", "fd00::1/64", "x"],
            ),
            (
                Tag::PortName,
                "portName",
                &["http", "http-alt", "a1"],
                &["", "80", "HTTP", "a--b", "-a", "a-", "abcdefghijklmnop"],
            ),
            (Tag::Selector, "selector", &["all()", "a == 'b'", "global()"], &["a = 'b'", "a", "a == b"]),
            (Tag::WireguardPublicKey, "wireguardPublicKey", &[key], &["", "short=", &key[1..]]),
        ] {
            for text in right {
                assert!(tag.accepts(text), "{name}: {text:?}");
            }
            for text in wrong {
                assert!(!tag.accepts(text), "{name}: {text:?}");
            }
            let reason = format!("Reason: failed to validate Field: F because of Tag: {name} ");
            assert_eq!(tag.reason("F"), reason);
        }
    }
}
