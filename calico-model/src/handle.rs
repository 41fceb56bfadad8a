//! A handle: which blocks hold addresses of one container, so that they can be released without a search.

use std::collections::BTreeMap;

use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::cidr::IpVersion;
use crate::lenient::null_is_default;

/// The number of addresses a handle has in each block. The handle's ID is in its key.
///
/// A handle may count more than the blocks hold (its owner died between two writes) but never less: that is what
/// makes releasing by handle complete (invariant 2 of the design).
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Handle {
    /// Block CIDR to number of addresses.
    #[serde(default, deserialize_with = "null_is_default")]
    pub block: BTreeMap<String, i64>,
    /// Set on the way to deletion in datastores without compare-and-delete.
    #[serde(default, deserialize_with = "null_is_default")]
    pub deleted: bool,
    /// Fields this code does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A handle's ID without what an old migration tool appended to it after a carriage return.
pub fn sanitised(id: &str) -> &str {
    id.split('\r').next().unwrap_or(id)
}

impl Handle {
    /// How many addresses the handle counts in a block.
    pub fn count(&self, block: &IpNetwork) -> i64 {
        self.block.get(&block.to_string()).copied().unwrap_or(0)
    }

    /// How many addresses of a family the handle counts, in all its blocks.
    pub fn count_of(&self, version: IpVersion) -> usize {
        let of_family = |block: &str| if block.contains(':') { IpVersion::V6 } else { IpVersion::V4 };
        let counts = self.block.iter().filter(|(block, _)| of_family(block) == version).map(|(_, &count)| count);
        counts.map(|count| usize::try_from(count).unwrap_or(0)).fold(0, usize::saturating_add)
    }

    /// Sets the count for a block; zero removes the entry.
    pub fn set(&mut self, block: &IpNetwork, count: i64) {
        if count > 0 {
            self.block.insert(block.to_string(), count);
        } else {
            self.block.remove(&block.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_as_recorded() {
        let text = r#"{"block":{"192.168.84.128/26":1},"deleted":false}"#;
        let mut handle: Handle = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&handle).unwrap(), text);
        let block = "192.168.84.128/26".parse().unwrap();
        assert_eq!(handle.count(&block), 1);
        handle.set(&"fd00::/122".parse().unwrap(), 3);
        assert_eq!((handle.count_of(IpVersion::V4), handle.count_of(IpVersion::V6)), (1, 3));
        handle.set(&block, 0);
        assert_eq!((handle.count(&block), handle.block.len()), (0, 1));
    }
}
