//! Any stored object, read and written by the kind of its key.

use serde::Serialize;
use thiserror::Error;

use crate::affinity::Affinity;
use crate::block::Block;
use crate::endpoint::WorkloadEndpoint;
use crate::handle::Handle;
use crate::ipam_config::IpamConfig;
use crate::key::Key;
use crate::outline::Outline;
use crate::pool::IpPool;
use crate::reservation::IpReservation;
use crate::resource::{AnyResource, ClusterInformation, Kind, Metadata, Node, Profile};

/// A stored object.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
#[allow(missing_docs, reason = "each variant is named after the type it holds")]
pub enum Object {
    Affinity(Affinity),
    /// A v3 resource as people's tools write it, of whatever kind. Read are only those of kinds without a type of their own.
    Any(AnyResource),
    Block(Block),
    ClusterInformation(ClusterInformation),
    Handle(Handle),
    IpPool(IpPool),
    IpReservation(IpReservation),
    IpamConfig(IpamConfig),
    Node(Node),
    /// Never written: it lacks most of what the block has.
    #[serde(skip_serializing)]
    Outline(Outline),
    Profile(Profile),
    WorkloadEndpoint(WorkloadEndpoint),
}

/// A stored value is not what its key promises.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{key}: {reason}")]
pub struct Malformed {
    /// The key's path.
    pub key: String,
    /// What is wrong.
    pub reason: String,
}

impl Object {
    /// Reads the value stored under `key`.
    pub fn parse(key: &Key, value: &[u8]) -> Result<Object, Malformed> {
        let object = match key {
            Key::Affinity { .. } if value.is_empty() => Ok(Object::Affinity(Affinity::default())),
            Key::Affinity { .. } => serde_json::from_slice(value).map(Object::Affinity),
            Key::Block(_) => serde_json::from_slice(value).map(Object::Block),
            Key::Handle(_) => serde_json::from_slice(value).map(Object::Handle),
            Key::IpamConfig => serde_json::from_slice(value).map(Object::IpamConfig),
            Key::Resource { kind, .. } => match kind {
                Kind::ClusterInformation => serde_json::from_slice(value).map(Object::ClusterInformation),
                Kind::IpamConfiguration => serde_json::from_slice(value).map(Object::Any),
                Kind::IpPool => serde_json::from_slice(value).map(Object::IpPool),
                Kind::IpReservation => serde_json::from_slice(value).map(Object::IpReservation),
                Kind::Node => serde_json::from_slice(value).map(Object::Node),
                Kind::Profile => serde_json::from_slice(value).map(Object::Profile),
                Kind::WorkloadEndpoint => serde_json::from_slice(value).map(Object::WorkloadEndpoint),
            },
        };
        let malformed = |reason: String| Malformed { key: key.path(), reason };
        let object = object.map_err(|error| malformed(error.to_string()))?;
        match (key, &object) {
            (Key::Block(cidr), Object::Block(block)) if crate::cidr::masked(&block.cidr) != *cidr => {
                Err(malformed(format!("the block stored there is {}", block.cidr)))
            }
            _ => Ok(object),
        }
    }

    /// Reads the outline of the block stored under `key`.
    pub fn outline(key: &Key, value: &[u8]) -> Result<Object, Malformed> {
        let malformed = |reason: String| Malformed { key: key.path(), reason };
        let outline: Outline = serde_json::from_slice(value).map_err(|error| malformed(error.to_string()))?;
        match key {
            Key::Block(cidr) if crate::cidr::masked(&outline.block().cidr) == *cidr => Ok(Object::Outline(outline)),
            _ => Err(malformed(format!("the block stored there is {}", outline.block().cidr))),
        }
    }

    /// The metadata of a v3 resource; `None` for other objects.
    pub fn metadata_mut(&mut self) -> Option<&mut Metadata> {
        match self {
            Object::Any(o) => Some(&mut o.metadata),
            Object::ClusterInformation(o) => Some(&mut o.metadata),
            Object::IpPool(o) => Some(&mut o.metadata),
            Object::IpReservation(o) => Some(&mut o.metadata),
            Object::Node(o) => Some(&mut o.metadata),
            Object::Profile(o) => Some(&mut o.metadata),
            Object::WorkloadEndpoint(o) => Some(&mut o.metadata),
            Object::Affinity(_) | Object::Block(_) | Object::Handle(_) | Object::IpamConfig(_) | Object::Outline(_) => {
                None
            }
        }
    }
}

macro_rules! conversions {
    ($($type:ident)*) => {$(
        impl From<$type> for Object {
            fn from(value: $type) -> Object {
                Object::$type(value)
            }
        }

        impl TryFrom<Object> for $type {
            /// The object, where it is of another type.
            type Error = Object;

            fn try_from(object: Object) -> Result<$type, Object> {
                match object {
                    Object::$type(value) => Ok(value),
                    other => Err(other),
                }
            }
        }
    )*};
}

conversions!(Affinity Block ClusterInformation Handle IpPool IpReservation IpamConfig Node Outline Profile WorkloadEndpoint);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_by_the_kind_of_their_key() {
        let affinity = Key::parse("/calico/ipam/v2/host/n/ipv4/block/10.0.0.0-26").unwrap();
        assert!(Affinity::try_from(Object::parse(&affinity, b"").unwrap()).is_ok());
        let handle = Object::parse(&Key::Handle("h".into()), br#"{"block":{}}"#).unwrap();
        assert!(Block::try_from(handle.clone()).is_err() && Handle::try_from(handle).is_ok());
    }

    #[test]
    fn a_malformed_value_names_its_key() {
        let error = Object::parse(&Key::Handle("h".into()), b"[").unwrap_err().to_string();
        assert!(error.starts_with("/calico/ipam/v2/handle/h: "), "{error}");
        let key = Key::Block("10.0.0.0/31".parse().unwrap());
        let other =
            br#"{"cidr":"10.0.0.2/31","affinity":null,"allocations":[null,null],"unallocated":[0,1],"attributes":[]}"#;
        assert!(Object::parse(&key, other).unwrap_err().reason.contains("10.0.0.2/31"));
    }
}
