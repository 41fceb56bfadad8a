//! The ways in which a block contradicts itself.

use std::fmt;

use crate::block::{Block, size_of};

/// One way in which a block contradicts itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Inconsistency {
    /// The list of allocations is not as long as the block is large.
    WrongLength {
        /// How many allocations are listed.
        allocations: usize,
        /// How many addresses the block has; 0 where it is larger than any block may be.
        addresses: usize,
    },
    /// An address is allocated to an attribute that there is not.
    NoAttribute {
        /// The address, by its place in the block.
        ordinal: usize,
    },
    /// The list of free addresses names one that the block does not have.
    FreeOutside {
        /// What is listed.
        ordinal: i64,
    },
    /// The list of free addresses names one twice.
    FreeTwice {
        /// The address, by its place in the block.
        ordinal: usize,
    },
    /// An address is allocated, and in the list of free ones.
    AllocatedAndFree {
        /// The address, by its place in the block.
        ordinal: usize,
    },
    /// An address is neither allocated nor in the list of free ones.
    Lost {
        /// The address, by its place in the block.
        ordinal: usize,
    },
}

impl fmt::Display for Inconsistency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Inconsistency::WrongLength { allocations, addresses } => {
                write!(f, "it has {allocations} allocations for {addresses} addresses")
            }
            Inconsistency::NoAttribute { ordinal } => {
                write!(f, "ordinal {ordinal} points to an attribute that does not exist")
            }
            Inconsistency::FreeOutside { ordinal } => write!(f, "unallocated ordinal {ordinal} lies outside it"),
            Inconsistency::FreeTwice { ordinal } => write!(f, "ordinal {ordinal} is unallocated twice"),
            Inconsistency::AllocatedAndFree { ordinal } => {
                write!(f, "ordinal {ordinal} is both allocated and unallocated")
            }
            Inconsistency::Lost { ordinal } => write!(f, "ordinal {ordinal} is neither allocated nor unallocated"),
        }
    }
}

impl Block {
    /// The first way in which the block contradicts itself, or `None`. An inconsistent block is never allocated from.
    pub fn inconsistency(&self) -> Option<Inconsistency> {
        self.inconsistencies().into_iter().next()
    }

    /// Every way in which the block contradicts itself. Where the list of allocations has the wrong length that is the
    /// only one: ordinals then mean nothing certain.
    pub fn inconsistencies(&self) -> Vec<Inconsistency> {
        let (allocations, size) = (self.allocations.len(), size_of(&self.cidr));
        if allocations != size {
            return vec![Inconsistency::WrongLength { allocations, addresses: size }];
        }
        let dangling = |&ordinal: &usize| self.allocations[ordinal].is_some() && self.attribute_of(ordinal).is_none();
        let mut found: Vec<Inconsistency> =
            (0..size).filter(dangling).map(|ordinal| Inconsistency::NoAttribute { ordinal }).collect();
        let mut free = vec![false; size];
        for &ordinal in &self.unallocated {
            match usize::try_from(ordinal).ok().filter(|&inside| inside < size) {
                None => found.push(Inconsistency::FreeOutside { ordinal }),
                Some(ordinal) if free[ordinal] => found.push(Inconsistency::FreeTwice { ordinal }),
                Some(ordinal) => free[ordinal] = true,
            }
        }
        found.extend((0..size).filter_map(|ordinal| match (free[ordinal], self.allocations[ordinal]) {
            (true, Some(_)) => Some(Inconsistency::AllocatedAndFree { ordinal }),
            (false, None) => Some(Inconsistency::Lost { ordinal }),
            _ => None,
        }));
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Inconsistency::*;

    const GOOD: &str =
        r#"{"cidr":"192.168.1.64/30","allocations":[0,null,null,0],"unallocated":[1,2],"attributes":[{}]}"#;

    #[track_caller]
    fn assert_found(change: fn(&mut Block), expected: &[Inconsistency], first: &str) {
        let mut block: Block = serde_json::from_str(GOOD).unwrap();
        assert_eq!((block.inconsistency(), block.inconsistencies()), (None, vec![]));
        change(&mut block);
        assert_eq!(block.inconsistencies(), expected);
        assert_eq!(block.inconsistency().unwrap().to_string(), first);
    }

    #[test]
    fn each_is_named() {
        assert_found(
            |b| b.allocations.truncate(3),
            &[WrongLength { allocations: 3, addresses: 4 }],
            "it has 3 allocations for 4 addresses",
        );
        assert_found(
            |b| b.cidr = "10.0.0.0/8".parse().unwrap(),
            &[WrongLength { allocations: 4, addresses: 0 }],
            "it has 4 allocations for 0 addresses",
        );
        let dangles = "ordinal 3 points to an attribute that does not exist";
        assert_found(|b| b.allocations[3] = Some(-2), &[NoAttribute { ordinal: 3 }], dangles);
        assert_found(|b| b.allocations[3] = Some(1), &[NoAttribute { ordinal: 3 }], dangles);
        let outside = "unallocated ordinal 77 lies outside it";
        assert_found(|b| b.unallocated.push(77), &[FreeOutside { ordinal: 77 }], outside);
        let negative = "unallocated ordinal -1 lies outside it";
        assert_found(|b| b.unallocated.push(-1), &[FreeOutside { ordinal: -1 }], negative);
        assert_found(|b| b.unallocated.push(1), &[FreeTwice { ordinal: 1 }], "ordinal 1 is unallocated twice");
        let both = "ordinal 0 is both allocated and unallocated";
        assert_found(|b| b.unallocated.push(0), &[AllocatedAndFree { ordinal: 0 }], both);
        let neither = "ordinal 2 is neither allocated nor unallocated";
        assert_found(|b| b.unallocated.truncate(1), &[Lost { ordinal: 2 }], neither);
    }

    #[test]
    fn all_are_found() {
        assert_found(
            |b| {
                b.allocations[0] = Some(9);
                b.unallocated = vec![-1, 3, 3, 99];
            },
            &[
                NoAttribute { ordinal: 0 },
                FreeOutside { ordinal: -1 },
                FreeTwice { ordinal: 3 },
                FreeOutside { ordinal: 99 },
                Lost { ordinal: 1 },
                Lost { ordinal: 2 },
                AllocatedAndFree { ordinal: 3 },
            ],
            "ordinal 0 points to an attribute that does not exist",
        );
    }
}
