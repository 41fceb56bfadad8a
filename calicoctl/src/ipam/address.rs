//! Addresses on the command line.

use std::net::IpAddr;

use crate::error::Error;

/// Reads an address. An IPv4 address that is written as an IPv6 one is the IPv4 address.
pub fn parse(text: &str) -> Result<IpAddr, Error> {
    let address = text.trim().parse::<IpAddr>();
    let wrong = |_| Error::new(format_args!("Error executing command: invalid IP address specified: {text}"));
    address.map(|address| address.to_canonical()).map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        assert_eq!(parse("::ffff:10.0.0.1").unwrap(), parse("10.0.0.1").unwrap());
        assert_eq!(parse("fd00:0::1").unwrap().to_string(), "fd00::1");
        for text in ["foo", "", "10.0.0.0/24", "10.0.0.01"] {
            let expected = format!("Error executing command: invalid IP address specified: {text}");
            assert_eq!(parse(text).unwrap_err().to_string(), expected);
        }
    }
}
