//! Addresses that are not to be assigned automatically.

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::cidr;
use crate::lenient::null_is_default;
use crate::resource::Resource;

/// A reservation's content.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct IpReservationSpec {
    /// The reserved addresses, as CIDRs or single addresses. As stored: use [`Reservations`].
    #[serde(
        rename = "reservedCIDRs",
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub reserved_cidrs: Vec<String>,
    /// Fields this code does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A reservation.
pub type IpReservation = Resource<IpReservationSpec>;

fn parse(entry: &str) -> Option<IpNetwork> {
    entry.trim().parse().ok()
}

/// The entries of a reservation that reserve nothing, since they are neither a CIDR nor an address. Empty ones mean nothing.
pub fn unreadable_entries(reservation: &IpReservation) -> impl Iterator<Item = &str> {
    let entries = reservation.spec.reserved_cidrs.iter().map(String::as_str);
    entries.filter(|entry| !entry.trim().is_empty() && parse(entry).is_none())
}

/// All addresses that are reserved, by any reservation.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reservations {
    /// In the order of their addresses, none inside another.
    cidrs: Vec<IpNetwork>,
}

impl Reservations {
    /// What the given reservations reserve together. Entries that are neither a CIDR nor an address are left out, as the
    /// established implementation does: one slip of the pen must not stop all allocation. See [`unreadable_entries`].
    pub fn new<'a>(reservations: impl IntoIterator<Item = &'a IpReservation>) -> Reservations {
        let texts = reservations.into_iter().flat_map(|reservation| &reservation.spec.reserved_cidrs);
        let mut cidrs: Vec<IpNetwork> = texts.filter_map(|text| parse(text)).map(|cidr| cidr::masked(&cidr)).collect();
        // The largest of those that begin alike comes first.
        cidrs.sort_by_key(|cidr| (cidr::version(cidr), cidr.ip(), cidr.prefix()));
        let mut distinct: Vec<IpNetwork> = Vec::with_capacity(cidrs.len());
        for cidr in cidrs {
            if !distinct.last().is_some_and(|last| cidr::contains(last, &cidr)) {
                distinct.push(cidr);
            }
        }
        Reservations { cidrs: distinct }
    }

    /// Whether nothing is reserved.
    pub fn is_empty(&self) -> bool {
        self.cidrs.is_empty()
    }

    /// Whether an address is reserved.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.cidrs.iter().any(|cidr| cidr.contains(address))
    }

    /// Whether every address of a CIDR is reserved, by one reservation or by several together.
    pub fn covers(&self, cidr: &IpNetwork) -> bool {
        !self.is_empty() && cidr::size(cidr).is_some_and(|size| self.count_in(cidr) == size)
    }

    /// The reservation that alone covers a CIDR, or `None`.
    pub fn covering(&self, cidr: &IpNetwork) -> Option<&IpNetwork> {
        self.cidrs.iter().find(|reserved| cidr::contains(reserved, cidr))
    }

    /// How many addresses of a CIDR are reserved; `u128::MAX` where they are more than a number can say.
    pub fn count_in(&self, cidr: &IpNetwork) -> u128 {
        let within = |reserved: &IpNetwork| {
            if cidr::contains(reserved, cidr) {
                cidr::size(cidr).unwrap_or(u128::MAX)
            } else if cidr::contains(cidr, reserved) {
                cidr::size(reserved).unwrap_or(u128::MAX)
            } else {
                0
            }
        };
        self.cidrs.iter().map(within).fold(0, u128::saturating_add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::Kind;

    fn reservations(texts: &[&str]) -> Reservations {
        let spec = IpReservationSpec {
            reserved_cidrs: texts.iter().map(|&text| text.to_owned()).collect(),
            ..IpReservationSpec::default()
        };
        Reservations::new([&Resource::new(Kind::IpReservation, "r", spec)])
    }

    fn net(text: &str) -> IpNetwork {
        text.parse().unwrap()
    }

    #[test]
    fn stored_as_the_reference_shows() {
        let text = r#"{"kind":"IPReservation","apiVersion":"projectcalico.org/v3","metadata":{"name":"r1"},"spec":{"reservedCIDRs":["192.168.2.3/32","10.0.0.0/24"]}}"#;
        let reservation: IpReservation = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&reservation).unwrap(), text);
    }

    #[test]
    fn everything_readable_counts() {
        let reserved = reservations(&[" 10.0.0.1 ", "", "junk", "10.0.1.0/24", "fd00::/127"]);
        for (address, is_reserved) in
            [("10.0.0.1", true), ("10.0.0.2", false), ("10.0.1.255", true), ("fd00::1", true), ("fd00::2", false)]
        {
            assert_eq!(reserved.contains(address.parse().unwrap()), is_reserved, "{address}");
        }
        assert!(reservations(&["0.0.0.0/0"]).contains("1.2.3.4".parse().unwrap()));
        assert!(!reservations(&["0.0.0.0/0"]).contains("::1".parse().unwrap()));
    }

    #[test]
    fn several_cover_a_cidr_together() {
        let halves = reservations(&["10.0.0.0/26", "10.0.0.64/26", "10.0.0.64/27", "10.0.0.0/26"]);
        assert!(halves.covers(&net("10.0.0.0/25")) && halves.covers(&net("10.0.0.64/26")));
        assert!(!halves.covers(&net("10.0.0.0/24")));
        assert_eq!(halves.count_in(&net("10.0.0.0/24")), 128);
        assert_eq!(halves.count_in(&net("10.0.0.64/28")), 16);
        assert!(reservations(&["::/0"]).covers(&net("fd00::/64")));
        assert_eq!(reservations(&["::/0"]).count_in(&net("::/0")), u128::MAX);
        assert_eq!(reservations(&["::/0"]).covering(&net("fd00::/64")), Some(&net("::/0")));
        assert_eq!(halves.covering(&net("10.0.0.0/25")), None);
        assert!(!Reservations::default().covers(&net("10.0.0.0/32")));
    }
}
