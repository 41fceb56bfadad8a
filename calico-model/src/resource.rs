//! The shape that Calico's v3 resources share, and the kinds whose content is small.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::lenient::null_is_default;

/// The API version of every v3 resource in etcd and in the local store.
pub const API_VERSION: &str = "projectcalico.org/v3";

/// The kinds of v3 resource this code stores or reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The cluster's state; one object, named `default`.
    ClusterInformation,
    /// What people set of address management; one object, named `default`. Only the Kubernetes API keeps it where address
    /// management reads it (as [`Key::IpamConfig`](crate::Key::IpamConfig)); elsewhere the two are apart.
    IpamConfiguration,
    /// A pool of addresses.
    IpPool,
    /// Addresses that are not to be assigned.
    IpReservation,
    /// A node.
    Node,
    /// A profile: default policy and labels of the endpoints that name it.
    Profile,
    /// A container's interface.
    WorkloadEndpoint,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Kind; 7] = [
        Kind::ClusterInformation,
        Kind::IpamConfiguration,
        Kind::IpPool,
        Kind::IpReservation,
        Kind::Node,
        Kind::Profile,
        Kind::WorkloadEndpoint,
    ];

    /// The `kind` field.
    pub fn name(self) -> &'static str {
        match self {
            Kind::ClusterInformation => "ClusterInformation",
            Kind::IpamConfiguration => "IPAMConfiguration",
            Kind::IpPool => "IPPool",
            Kind::IpReservation => "IPReservation",
            Kind::Node => "Node",
            Kind::Profile => "Profile",
            Kind::WorkloadEndpoint => "WorkloadEndpoint",
        }
    }

    /// The segment of the key.
    pub fn plural(self) -> &'static str {
        match self {
            Kind::ClusterInformation => "clusterinformations",
            Kind::IpamConfiguration => "ipamconfigurations",
            Kind::IpPool => "ippools",
            Kind::IpReservation => "ipreservations",
            Kind::Node => "nodes",
            Kind::Profile => "profiles",
            Kind::WorkloadEndpoint => "workloadendpoints",
        }
    }

    /// Whether objects of this kind live in a namespace.
    pub fn is_namespaced(self) -> bool {
        self == Kind::WorkloadEndpoint
    }
}

/// A resource's metadata. The resource version is not stored in the object; it is the [revision] of its key.
///
/// [revision]: crate::key::Key
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Metadata {
    /// The object's name.
    pub name: String,
    /// What the names of a family of objects begin with, such as the pods of one set.
    #[serde(
        rename = "generateName",
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub generate_name: String,
    /// The namespace of a namespaced object, else empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// A random version 4 UUID, given on creation.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// When the object was created, RFC 3339.
    #[serde(rename = "creationTimestamp", default, skip_serializing_if = "Option::is_none")]
    pub creation_timestamp: Option<String>,
    /// Labels.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Fields this code does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A v3 resource with the given kind of `spec`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Resource<S> {
    /// The kind's name.
    pub kind: String,
    /// [`API_VERSION`].
    #[serde(rename = "apiVersion")]
    pub api_version: String,
    /// Name, labels and origin.
    pub metadata: Metadata,
    /// The content.
    pub spec: S,
    /// Fields this code does not know, `status` among them.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl<S> Resource<S> {
    /// A resource to be created: the UUID and the creation time are given when it is stored.
    pub fn new(kind: Kind, name: &str, spec: S) -> Resource<S> {
        Resource {
            kind: kind.name().to_owned(),
            api_version: API_VERSION.to_owned(),
            metadata: Metadata { name: name.to_owned(), ..Metadata::default() },
            spec,
            extra: Map::new(),
        }
    }
}

/// The content of the object that says whether the datastore may be written.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ClusterInformationSpec {
    /// Whether nodes may use the datastore. False while it is migrated; absent before it is initialised.
    #[serde(rename = "datastoreReady", default, skip_serializing_if = "Option::is_none")]
    pub datastore_ready: Option<bool>,
    /// Fields this code does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// The cluster's state.
pub type ClusterInformation = Resource<ClusterInformationSpec>;

/// A resource of any kind, whose content is kept as it is.
pub type AnyResource = Resource<Map<String, Value>>;

/// A node. Its content is the node agent's affair and kept as it is.
pub type Node = AnyResource;

/// A profile's content.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ProfileSpec {
    /// Rules for traffic to the endpoint.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ingress: Vec<Value>,
    /// Rules for traffic from the endpoint.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub egress: Vec<Value>,
    /// Labels given to every endpoint with this profile.
    #[serde(rename = "labelsToApply", default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels_to_apply: BTreeMap<String, String>,
    /// Fields this code does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A profile.
pub type Profile = Resource<ProfileSpec>;

/// A random version 4 UUID (RFC 9562, section 5.4) from the kernel's generator.
pub fn random_uid() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
    Ok([&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_fields_survive_in_every_part() {
        let text = r#"{"kind":"Node","apiVersion":"projectcalico.org/v3","metadata":{"name":"node-1","uid":"u","creationTimestamp":"2026-11-23T05:33:42Z","labels":{"a":"b"},"annotations":{"x":"y"}},"spec":{"bgp":{"ipv4Address":"10.1.1.2/24"}},"status":{"a":1}}"#;
        let node: Node = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&node).unwrap(), text);
        let text = r#"{"kind":"ClusterInformation","apiVersion":"projectcalico.org/v3","metadata":{"name":"default"},"spec":{"datastoreReady":true,"clusterGUID":"1"}}"#;
        let info: ClusterInformation = serde_json::from_str(text).unwrap();
        assert_eq!(info.spec.datastore_ready, Some(true));
        assert_eq!(serde_json::to_string(&info).unwrap(), text);
    }

    #[test]
    fn uids_are_version_4() {
        let uid = random_uid().unwrap();
        let parts: Vec<&str> = uid.split('-').collect();
        assert_eq!(parts.iter().map(|p| p.len()).collect::<Vec<_>>(), [8, 4, 4, 4, 12]);
        assert!(parts[2].starts_with('4') && "89ab".contains(&parts[3][..1]));
        assert_ne!(uid, random_uid().unwrap());
    }
}
