//! The digests in names and labels of affinities.

use sha3::{Digest, Sha3_256};

/// The label value that stands for an owner's name, which may be longer than a label: the base32 text (RFC 4648, without
/// padding) of its SHA3-256.
pub(super) fn owner_label(name: &str) -> String {
    base32(&Sha3_256::digest(name.as_bytes()))
}

/// The SHA-256 of a text in hexadecimal digits.
pub(super) fn sha256_hex(text: &str) -> String {
    hmac_sha256::Hash::hash(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn base32(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let group = |bytes: &[u8]| {
        let bits = bytes.iter().fold(0_u64, |bits, &byte| bits << 8 | u64::from(byte)) << (8 * (5 - bytes.len()));
        let digits = (bytes.len() * 8).div_ceil(5);
        (0..digits).map(move |digit| char::from(ALPHABET[(bits >> (35 - 5 * digit)) as usize & 31]))
    };
    bytes.chunks(5).flat_map(group).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4648, section 10.
    #[test]
    fn base32_of_the_rfc() {
        for (bytes, text) in [
            ("", ""),
            ("f", "MY"),
            ("fo", "MZXQ"),
            ("foo", "MZXW6"),
            ("foob", "MZXW6YQ"),
            ("fooba", "MZXW6YTB"),
            ("foobar", "MZXW6YTBOI"),
        ] {
            assert_eq!(base32(bytes.as_bytes()), text);
        }
    }

    #[test]
    fn owner_labels_of_the_reference() {
        for (name, label) in [
            ("node1", "7DS2CCNJGGLTHBDQLLFO6SX24SY2YDDEG3W2VN556FA2W4DLLV5A"),
            ("ip-10-0-0-1.ec2.internal", "NPOH4TXXWABNDACH6GUCD3OGLUKARAAB6FF5L75VWAWUC2DY7CCA"),
            ("node-1", "A3XPYDATRKB7Q4SM2O5FN4RXIHBFIL2PITFX26BAIP5XAB2X74CA"),
        ] {
            assert_eq!(owner_label(name), label);
        }
    }
}
