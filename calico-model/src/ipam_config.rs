//! Cluster-wide settings of address management, as stored under `/calico/ipam/v2/config`.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The settings. Absent means [`IpamConfig::default`]; a field absent from a stored document is zero or false, since
/// the established implementation leaves those out when writing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IpamConfig {
    /// Allocate only from blocks affine to the host: never borrow.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub strict_affinity: bool,
    /// Claim blocks as needed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub auto_allocate_blocks: bool,
    /// The most blocks one host may own; 0 is no limit here (callers still apply theirs).
    #[serde(rename = "maxBlocksPerHost", default, skip_serializing_if = "is_zero")]
    pub max_blocks_per_host: u32,
    /// Fields this code does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl Default for IpamConfig {
    fn default() -> Self {
        IpamConfig { strict_affinity: false, auto_allocate_blocks: true, max_blocks_per_host: 0, extra: Map::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_document_without_a_boolean_means_false() {
        let stored: IpamConfig = serde_json::from_str(r#"{"strict_affinity":true,"ipCooldownSeconds":30}"#).unwrap();
        assert!(stored.strict_affinity && !stored.auto_allocate_blocks);
        assert_eq!(serde_json::to_string(&stored).unwrap(), r#"{"strict_affinity":true,"ipCooldownSeconds":30}"#);
        assert!(IpamConfig::default().auto_allocate_blocks);
    }
}
