//! Cluster-wide settings of address management, as stored under `/calico/ipam/v2/config`. Custom resources name the first
//! two otherwise.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::lenient::null_is_default;

/// The settings. Absent means [`IpamConfig::default`]; a field absent from a stored document is zero or false, since
/// the established implementation leaves those out when writing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IpamConfig {
    /// Allocate only from blocks affine to the host: never borrow.
    #[serde(
        alias = "strictAffinity",
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "std::ops::Not::not"
    )]
    pub strict_affinity: bool,
    /// Claim blocks as needed.
    #[serde(
        alias = "autoAllocateBlocks",
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "std::ops::Not::not"
    )]
    pub auto_allocate_blocks: bool,
    /// The most blocks one host may own; 0 is no limit here (callers still apply theirs).
    #[serde(
        rename = "maxBlocksPerHost",
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "is_zero"
    )]
    pub max_blocks_per_host: u32,
    /// `Enabled` (also where absent) or `Disabled`: whether a virtual machine keeps its addresses when it moves.
    #[serde(rename = "kubeVirtVMAddressPersistence", default, skip_serializing_if = "Option::is_none")]
    pub kube_virt_vm_address_persistence: Option<String>,
    /// How many seconds a released address rests before it can be assigned again; 0 is not at all.
    #[serde(
        rename = "ipCooldownSeconds",
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "is_zero"
    )]
    pub ip_cooldown_seconds: u32,
    /// Fields this code does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl IpamConfig {
    /// How long a released address rests before it can be assigned again.
    pub fn cooldown(&self) -> Duration {
        Duration::from_secs(u64::from(self.ip_cooldown_seconds))
    }
}

impl Default for IpamConfig {
    fn default() -> Self {
        IpamConfig {
            strict_affinity: false,
            auto_allocate_blocks: true,
            max_blocks_per_host: 0,
            kube_virt_vm_address_persistence: None,
            ip_cooldown_seconds: 0,
            extra: Map::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_document_without_a_boolean_means_false() {
        let text = r#"{"strict_affinity":true,"ipCooldownSeconds":30,"later":1}"#;
        let stored: IpamConfig = serde_json::from_str(text).unwrap();
        assert!(stored.strict_affinity && !stored.auto_allocate_blocks);
        assert_eq!(stored.cooldown(), Duration::from_secs(30));
        assert_eq!(serde_json::to_string(&stored).unwrap(), text);
        assert!(IpamConfig::default().auto_allocate_blocks);
    }

    #[test]
    fn stored_as_the_reference_shows() {
        let text = r#"{"strict_affinity":true,"auto_allocate_blocks":true,"maxBlocksPerHost":5,"kubeVirtVMAddressPersistence":"Enabled","ipCooldownSeconds":30}"#;
        assert_eq!(serde_json::to_string(&serde_json::from_str::<IpamConfig>(text).unwrap()).unwrap(), text);
        let nulls = r#"{"strict_affinity":null,"maxBlocksPerHost":null,"ipCooldownSeconds":null}"#;
        assert_eq!(serde_json::from_str::<IpamConfig>(nulls).unwrap().max_blocks_per_host, 0);
    }
}
