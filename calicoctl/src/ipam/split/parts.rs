//! The pools that another is split into.

use std::net::IpAddr;

use calico_model::{IpPool, cidr};
use ipnetwork::IpNetwork;

use crate::error::Error;

/// The longest name of an object.
const LONGEST_NAME: usize = 253;

/// How many parts there are to be, as people write it: a power of two is asked for when the CIDR is known.
pub fn number(text: &str) -> Result<u64, Error> {
    let wrong = |reason: &str| {
        let text = format!(
            "error reading number to split IP pools into. {text} is not a valid number: strconv.Atoi: parsing {text:?}: {reason}"
        );
        Error::new(text)
    };
    let is_number = text.strip_prefix(['-', '+']).unwrap_or(text);
    if is_number.is_empty() || !is_number.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong("invalid syntax"));
    }
    match text.parse::<i64>() {
        // What is below zero is refused with those that are no power of two.
        Ok(number) => Ok(u64::try_from(number).unwrap_or(0)),
        Err(_) => Err(wrong("value out of range")),
    }
}

/// The parts of a pool: like the pool, apart from name and addresses. What was switched off stays so.
pub fn of(pool: &IpPool, number: u64) -> Result<Vec<IpPool>, Error> {
    let cidrs = cidrs(&pool.cidr(), pool.block_size(), number)?;
    let part = |(index, cidr)| {
        let mut part = pool.clone();
        part.metadata.name = name(&pool.metadata.name, index);
        part.metadata.uid.clear();
        part.metadata.creation_timestamp = None;
        // What controllers have found out about the pool.
        part.extra.remove("status");
        part.spec.cidr = cidr;
        part
    };
    Ok(cidrs.into_iter().enumerate().map(part).collect())
}

fn cidrs(whole: &IpNetwork, block_size: u8, number: u64) -> Result<Vec<IpNetwork>, Error> {
    /// More pools than this slow down every allocation.
    const MOST: u64 = 1024;
    if number < 2 || !number.is_power_of_two() {
        return Err(Error::new(format_args!(
            "error splitting the CIDR {whole} into {number} CIDRs: number to split CIDR into is not a valid power of 2: {number}"
        )));
    }
    let most = 1_u64.checked_shl(u32::from(block_size.saturating_sub(whole.prefix()))).unwrap_or(u64::MAX);
    if number > most {
        let text = format!(
            "error splitting the CIDR {whole} into {number} CIDRs: the CIDR {whole} is not large enough to be split into {number} parts"
        );
        return Err(Error::new(text).with_detail(format_args!("it has {most} blocks of the size /{block_size}")));
    }
    if number > MOST {
        return Err(Error::new(format_args!("error splitting the CIDR {whole}: {number} parts are more than {MOST}")));
    }
    // At most 128, as is every prefix that has passed above.
    let prefix = whole.prefix() + number.trailing_zeros() as u8;
    let version = cidr::version(whole);
    let (first, step) = (cidr::to_number(whole.network()), 1_u128 << (version.bits() - prefix));
    let starts = (0..u128::from(number)).map(|index| cidr::from_number(version, first + index * step));
    Ok(starts.flatten().filter_map(|start: IpAddr| IpNetwork::new(start, prefix).ok()).collect())
}

/// `split-<pool>-<index>`; of a long name as much as fits.
fn name(pool: &str, index: usize) -> String {
    let index = index.to_string();
    let room = LONGEST_NAME - "split--".len() - index.len();
    let kept = if pool.len() > room { pool.get(..room).unwrap_or(pool).trim_end_matches(['.', '-']) } else { pool };
    format!("split-{kept}-{index}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(cidr: &str, block_size: u8, number: u64) -> Result<Vec<String>, String> {
        let parts = cidrs(&cidr.parse().unwrap(), block_size, number);
        parts.map(|parts| parts.iter().map(ToString::to_string).collect()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_cidr_is_cut_into_equal_parts() {
        let four = split("10.10.0.0/16", 26, 4).unwrap();
        assert_eq!(four, ["10.10.0.0/18", "10.10.64.0/18", "10.10.128.0/18", "10.10.192.0/18"]);
        assert_eq!(split("fd00::/64", 122, 2).unwrap(), ["fd00::/65", "fd00::8000:0:0:0/65"]);
        assert_eq!(split("10.0.0.0/25", 26, 2).unwrap(), ["10.0.0.0/26", "10.0.0.64/26"]);
        assert_eq!(split("::/0", 122, 1024).unwrap().len(), 1024);
    }

    #[test]
    fn what_cannot_be_cut() {
        for number in [0, 1, 3] {
            let text = split("10.10.0.0/16", 26, number).unwrap_err();
            let expected = format!(
                "error splitting the CIDR 10.10.0.0/16 into {number} CIDRs: number to split CIDR into is not a valid power of 2: {number}"
            );
            assert_eq!(text, expected);
        }
        assert!(split("10.0.0.0/25", 26, 4).unwrap_err().ends_with("is not large enough to be split into 4 parts"));
        assert!(split("fd00::/64", 122, 2048).unwrap_err().contains("more than 1024"));
    }

    #[test]
    fn numbers() {
        assert_eq!(["2", "+4", "-2"].map(|text| number(text).unwrap()), [2, 4, 0]);
        let text = number("x").unwrap_err().to_string();
        assert_eq!(
            text,
            "error reading number to split IP pools into. x is not a valid number: strconv.Atoi: parsing \"x\": invalid syntax"
        );
        assert!(number("99999999999999999999").unwrap_err().to_string().ends_with("value out of range"));
    }

    #[test]
    fn names_fit() {
        assert_eq!(name("pool1", 0), "split-pool1-0");
        for index in [0, 10, 1023] {
            for pool in ["a".repeat(253), format!("{}.b", "a".repeat(244))] {
                let name = name(&pool, index);
                assert!(name.len() <= 253 && name.ends_with(&format!("a-{index}")), "{name}");
            }
        }
    }
}
