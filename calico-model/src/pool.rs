//! An address pool: the CIDR from which blocks are cut, and who may use it.

use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::cidr::{self, IpVersion};
use crate::lenient::null_is_default;
use crate::resource::{Kind, Resource};

/// What a pool's addresses may be used for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Use {
    /// Containers.
    Workload,
    /// The node's tunnel devices.
    Tunnel,
    /// Services of the type `LoadBalancer`.
    LoadBalancer,
    /// A use this code does not know.
    Other(String),
}

impl From<String> for Use {
    fn from(text: String) -> Self {
        match text.as_str() {
            "Workload" => Use::Workload,
            "Tunnel" => Use::Tunnel,
            "LoadBalancer" => Use::LoadBalancer,
            _ => Use::Other(text),
        }
    }
}

impl From<Use> for String {
    fn from(value: Use) -> Self {
        match value {
            Use::Workload => "Workload".to_owned(),
            Use::Tunnel => "Tunnel".to_owned(),
            Use::LoadBalancer => "LoadBalancer".to_owned(),
            Use::Other(text) => text,
        }
    }
}

/// A pool's content. Old rows lack fields: use the methods, which apply the defaults.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IpPoolSpec {
    /// The pool's addresses.
    pub cidr: IpNetwork,
    /// VXLAN encapsulation: the node agent's affair.
    #[serde(
        rename = "vxlanMode",
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub vxlan_mode: String,
    /// IP-in-IP encapsulation: the node agent's affair.
    #[serde(
        rename = "ipipMode",
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub ipip_mode: String,
    /// No new addresses are assigned from a disabled pool.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "std::ops::Not::not")]
    pub disabled: bool,
    /// The prefix length of the pool's blocks; 0 is the family's default.
    #[serde(rename = "blockSize", default, deserialize_with = "null_is_default", skip_serializing_if = "is_zero")]
    pub block_size: u8,
    /// The nodes that may use the pool; empty is all.
    #[serde(
        rename = "nodeSelector",
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub node_selector: String,
    /// The namespaces that may use the pool; empty is all.
    #[serde(
        rename = "namespaceSelector",
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub namespace_selector: String,
    /// Allowed uses; empty is workloads and tunnels.
    #[serde(
        rename = "allowedUses",
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub allowed_uses: Vec<Use>,
    /// `Automatic`, or `Manual` where the pool is used only when it is asked for; empty is automatic.
    #[serde(
        rename = "assignmentMode",
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub assignment_mode: String,
    /// Fields this code does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

fn is_zero(number: &u8) -> bool {
    *number == 0
}

/// An address pool.
pub type IpPool = Resource<IpPoolSpec>;

impl IpPool {
    /// A pool of plain routed addresses for every node, with the family's default block size or, where the pool is
    /// smaller, one block.
    pub fn routed(name: &str, cidr: IpNetwork) -> IpPool {
        let cidr = cidr::masked(&cidr);
        let spec = IpPoolSpec {
            cidr,
            vxlan_mode: "Never".to_owned(),
            ipip_mode: "Never".to_owned(),
            disabled: false,
            block_size: default_block_size(cidr::version(&cidr)).max(cidr.prefix()),
            node_selector: "all()".to_owned(),
            namespace_selector: String::new(),
            allowed_uses: vec![Use::Workload, Use::Tunnel],
            assignment_mode: "Automatic".to_owned(),
            extra: Map::new(),
        };
        Resource::new(Kind::IpPool, name, spec)
    }

    /// The pool's CIDR, masked.
    pub fn cidr(&self) -> IpNetwork {
        cidr::masked(&self.spec.cidr)
    }

    /// The family of the pool's addresses.
    pub fn version(&self) -> IpVersion {
        cidr::version(&self.spec.cidr)
    }

    /// The prefix length of the pool's blocks.
    pub fn block_size(&self) -> u8 {
        match self.spec.block_size {
            0 => default_block_size(self.version()),
            size => size,
        }
    }

    /// Whether the pool may be used for `wanted`.
    pub fn allows(&self, wanted: &Use) -> bool {
        match self.spec.allowed_uses.as_slice() {
            [] => matches!(wanted, Use::Workload | Use::Tunnel),
            uses => uses.contains(wanted),
        }
    }

    /// Whether the pool is used without being asked for by name.
    pub fn is_automatic(&self) -> bool {
        matches!(self.spec.assignment_mode.as_str(), "" | "Automatic")
    }

    /// Whether addresses may be assigned from the pool at all.
    pub fn is_enabled(&self) -> bool {
        self.unavailable().is_none()
    }

    /// Why no address may be assigned from the pool: it is disabled, or being deleted, or marked as not allocatable in its
    /// status. `None` where it is enabled.
    pub fn unavailable(&self) -> Option<String> {
        if self.metadata.extra.get("deletionTimestamp").is_some_and(|time| !time.is_null()) {
            return Some("is being deleted".to_owned());
        }
        if self.spec.disabled {
            return Some("is disabled".to_owned());
        }
        let conditions = self.extra.get("status")?.get("conditions")?.as_array()?;
        let refused = conditions.iter().find(|c| c["type"] == "Allocatable" && c["status"] == "False")?;
        let reason = refused["reason"].as_str().unwrap_or("no reason is given");
        Some(format!("is not allocatable ({reason})"))
    }
}

/// The block size of pools that name none: 64 addresses.
fn default_block_size(version: IpVersion) -> u8 {
    version.bits() - 6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_as_recorded() {
        let text = r#"{"kind":"IPPool","apiVersion":"projectcalico.org/v3","metadata":{"name":"pool4","uid":"03606f7a-2ec4-4a5f-a3f3-17ef03249029","creationTimestamp":"2026-11-23T05:33:42Z"},"spec":{"cidr":"192.168.0.0/16","vxlanMode":"Never","ipipMode":"Never","blockSize":26,"nodeSelector":"all()","allowedUses":["Workload","Tunnel"],"assignmentMode":"Automatic"}}"#;
        let pool: IpPool = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&pool).unwrap(), text);
        assert!(pool.is_enabled() && pool.is_automatic() && pool.allows(&Use::Workload));
        let made = IpPool::routed("pool4", "192.168.3.4/16".parse().unwrap());
        assert_eq!(made.spec, pool.spec);
    }

    #[test]
    fn old_rows_get_defaults() {
        let text = r#"{"kind":"IPPool","apiVersion":"v3","metadata":{"name":"p"},"spec":{"cidr":"fd00::/64"}}"#;
        let pool: IpPool = serde_json::from_str(text).unwrap();
        assert_eq!(pool.block_size(), 122);
        assert!(pool.is_automatic() && pool.allows(&Use::Tunnel) && !pool.allows(&Use::LoadBalancer));
    }

    #[test]
    fn deleting_and_refused_pools_are_not_enabled() {
        let mut pool = IpPool::routed("p", "10.0.0.0/30".parse().unwrap());
        assert_eq!(pool.block_size(), 30);
        pool.metadata.extra.insert("deletionTimestamp".into(), "2026-11-23T05:33:42Z".into());
        assert!(!pool.is_enabled());
        pool.metadata.extra.clear();
        let status = serde_json::json!({"conditions": [{"type": "Allocatable", "status": "False"}]});
        pool.extra.insert("status".into(), status);
        assert!(!pool.is_enabled());
    }
}
