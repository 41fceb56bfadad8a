//! An address with the length of its network prefix, as results write it.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// An address and a prefix length in bits, for example `192.0.2.5/24`. The bits after the prefix are kept: in a result
/// they are the container's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cidr {
    /// The whole address.
    pub address: IpAddr,
    /// The length of the network part: 0 to 32 for IPv4, 0 to 128 for IPv6.
    pub prefix: u8,
}

/// Why a text is not a [`Cidr`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid CIDR address: {text}")]
pub struct InvalidCidr {
    text: String,
}

impl From<IpAddr> for Cidr {
    /// The address alone: /32 or /128.
    fn from(address: IpAddr) -> Self {
        Self { address, prefix: longest_prefix(address) }
    }
}

fn longest_prefix(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

impl FromStr for Cidr {
    type Err = InvalidCidr;

    fn from_str(text: &str) -> Result<Self, InvalidCidr> {
        parse(text).ok_or_else(|| InvalidCidr { text: text.to_owned() })
    }
}

fn parse(text: &str) -> Option<Cidr> {
    let (address, prefix) = text.split_once('/')?;
    let address: IpAddr = address.parse().ok()?;
    // The standard library accepts a plus sign here, which no other reader of results does.
    let digits = prefix.bytes().all(|byte| byte.is_ascii_digit());
    let prefix: u8 = prefix.parse().ok()?;
    (digits && prefix <= longest_prefix(address)).then_some(Cidr { address, prefix })
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl Serialize for Cidr {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_bits_are_kept() {
        for text in ["192.168.84.128/26", "192.168.84.129/0", "fd80:24e2::7500/122", "::/0", "10.0.0.1/32", "::1/128"] {
            assert_eq!(text.parse::<Cidr>().map(|cidr| cidr.to_string()), Ok(text.to_owned()));
        }
        assert_eq!(Cidr::from(IpAddr::from([10, 0, 0, 1])).to_string(), "10.0.0.1/32");
    }

    #[test]
    fn malformed() {
        for text in [
            "",
            "10.0.0.1",
            "10.0.0.1/",
            "10.0.0.1/33",
            "10.0.0.1/+8",
            "10.0.0.1/-1",
            "::1/129",
            "10.0.0/8",
            "010.0.0.1/8",
            "a/8",
            "10.0.0.1/8/8",
        ] {
            let error = text.parse::<Cidr>().unwrap_err();
            assert_eq!(error.to_string(), format!("invalid CIDR address: {text}"));
        }
    }
}
