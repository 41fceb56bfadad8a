//! Blocks and pools are CIDRs; these are the few operations on them that the key names and the allocator need.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::IpNetwork;

/// An address family. Calico's keys and messages name it `4` or `6`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IpVersion {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl IpVersion {
    /// Both families, in the order in which they are assigned.
    pub const BOTH: [IpVersion; 2] = [IpVersion::V4, IpVersion::V6];

    /// The family of an address.
    pub fn of(address: IpAddr) -> IpVersion {
        if address.is_ipv4() { IpVersion::V4 } else { IpVersion::V6 }
    }

    /// The other family.
    pub fn other(self) -> IpVersion {
        match self {
            IpVersion::V4 => IpVersion::V6,
            IpVersion::V6 => IpVersion::V4,
        }
    }

    /// The number of bits in an address, which is also the prefix length of a single address.
    pub fn bits(self) -> u8 {
        match self {
            IpVersion::V4 => 32,
            IpVersion::V6 => 128,
        }
    }
}

impl fmt::Display for IpVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            IpVersion::V4 => "4",
            IpVersion::V6 => "6",
        })
    }
}

/// The family of a CIDR.
pub fn version(cidr: &IpNetwork) -> IpVersion {
    IpVersion::of(cidr.ip())
}

/// An address as a number, so that offsets within a block can be computed alike for both families.
pub fn to_number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(a) => u128::from(u32::from(a)),
        IpAddr::V6(a) => u128::from(a),
    }
}

/// The address with this number, or `None` where the number does not fit the family.
pub fn from_number(version: IpVersion, number: u128) -> Option<IpAddr> {
    match version {
        IpVersion::V4 => u32::try_from(number).ok().map(|n| IpAddr::V4(Ipv4Addr::from(n))),
        IpVersion::V6 => Some(IpAddr::V6(Ipv6Addr::from(number))),
    }
}

/// The CIDR of `prefix` bits that contains `address`, with the host bits cleared; `None` where `prefix` is too long
/// for the family.
pub fn containing(address: IpAddr, prefix: u8) -> Option<IpNetwork> {
    IpNetwork::new(address, prefix).ok().map(|net| masked(&net))
}

/// The CIDR with its host bits cleared, as Calico names blocks and pools.
pub fn masked(cidr: &IpNetwork) -> IpNetwork {
    IpNetwork::new(cidr.network(), cidr.prefix()).unwrap_or(*cidr)
}

/// How many addresses a CIDR has; `None` for `::/0`, which has one more than a number can say.
pub fn size(cidr: &IpNetwork) -> Option<u128> {
    1_u128.checked_shl(u32::from(version(cidr).bits() - cidr.prefix()))
}

/// A single address as a CIDR: `/32` or `/128`.
pub fn single(address: IpAddr) -> IpNetwork {
    IpNetwork::from(address)
}

/// Whether `inner` lies wholly inside `outer`.
pub fn contains(outer: &IpNetwork, inner: &IpNetwork) -> bool {
    version(outer) == version(inner) && outer.prefix() <= inner.prefix() && outer.contains(inner.ip())
}

/// Whether two CIDRs share an address.
pub fn overlap(a: &IpNetwork, b: &IpNetwork) -> bool {
    contains(a, b) || contains(b, a)
}

/// A CIDR as a segment of a key: canonical, with `/` replaced by `-`, as in `192.168.1.64-26`.
pub fn key_segment(cidr: &IpNetwork) -> String {
    let cidr = masked(cidr);
    format!("{}-{}", cidr.ip(), cidr.prefix())
}

/// The inverse of [`key_segment`].
pub fn from_key_segment(segment: &str) -> Option<IpNetwork> {
    segment.replacen('-', "/", 1).parse().ok().map(|net| masked(&net))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> IpNetwork {
        text.parse().unwrap()
    }

    #[test]
    fn key_segments_round_trip() {
        for (cidr, segment) in
            [("192.168.1.64/26", "192.168.1.64-26"), ("fd80:24e2:f998:72d6::/122", "fd80:24e2:f998:72d6::-122")]
        {
            assert_eq!(key_segment(&net(cidr)), segment);
            assert_eq!(from_key_segment(segment), Some(net(cidr)));
        }
        assert_eq!(key_segment(&net("10.0.0.77/26")), "10.0.0.64-26");
        assert_eq!(from_key_segment("nonsense"), None);
    }

    #[test]
    fn containment_needs_one_family() {
        assert!(contains(&net("10.0.0.0/8"), &net("10.1.0.0/16")));
        assert!(!contains(&net("10.1.0.0/16"), &net("10.0.0.0/8")));
        assert!(!contains(&net("::/0"), &net("10.0.0.0/8")));
        assert!(overlap(&net("10.1.0.0/16"), &net("10.0.0.0/8")));
    }

    #[test]
    fn masks_clear_host_bits() {
        assert_eq!(containing("10.0.0.77".parse().unwrap(), 26), Some(net("10.0.0.64/26")));
        assert_eq!(containing("10.0.0.77".parse().unwrap(), 33), None);
    }
}
