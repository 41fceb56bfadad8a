//! A pod as the API server answers it, as far as it is read.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::lenient::{null_is_default, nulls_are_defaults};

/// The metadata of an object of Kubernetes itself. What is absent is empty.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CoreMetadata {
    /// Its name.
    #[serde(default, deserialize_with = "null_is_default")]
    pub name: String,
    /// Its namespace.
    #[serde(default, deserialize_with = "null_is_default")]
    pub namespace: String,
    /// What the names of a family of objects begin with.
    #[serde(default, deserialize_with = "null_is_default")]
    pub generate_name: String,
    /// What tells it from one of the same name before or after it.
    #[serde(default, deserialize_with = "null_is_default")]
    pub uid: String,
    /// Its version.
    #[serde(default, deserialize_with = "null_is_default")]
    pub resource_version: String,
    /// When it was created, RFC 3339.
    #[serde(default)]
    pub creation_timestamp: Option<String>,
    /// When its deletion was asked for, RFC 3339.
    #[serde(default)]
    pub deletion_timestamp: Option<String>,
    /// Labels.
    #[serde(default, deserialize_with = "null_is_default")]
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    #[serde(default, deserialize_with = "null_is_default")]
    pub annotations: BTreeMap<String, String>,
}

/// A pod. It holds what must not be logged: annotations may carry whole manifests.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct Pod {
    /// Name, labels and annotations.
    #[serde(default, deserialize_with = "null_is_default")]
    pub metadata: CoreMetadata,
    /// What was asked for.
    #[serde(default, deserialize_with = "null_is_default")]
    pub spec: PodSpec,
    /// What became of it.
    #[serde(default, deserialize_with = "null_is_default")]
    pub status: PodStatus,
}

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodSpec {
    /// The node that it runs on; empty until it has one.
    #[serde(default, deserialize_with = "null_is_default")]
    pub node_name: String,
    /// Whether it uses the host's network.
    #[serde(default, deserialize_with = "null_is_default")]
    pub host_network: bool,
    /// Its service account.
    #[serde(default, deserialize_with = "null_is_default")]
    pub service_account_name: String,
    /// Its containers.
    #[serde(default, deserialize_with = "nulls_are_defaults")]
    pub containers: Vec<Container>,
    /// The containers that run before those.
    #[serde(default, deserialize_with = "nulls_are_defaults")]
    pub init_containers: Vec<Container>,
}

/// A container of a pod.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct Container {
    /// Its ports.
    #[serde(default, deserialize_with = "nulls_are_defaults")]
    pub ports: Vec<ContainerPort>,
}

/// A port of a container.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerPort {
    /// Its name, or empty.
    #[serde(default, deserialize_with = "null_is_default")]
    pub name: String,
    /// `TCP` (also where empty), `UDP` or `SCTP`.
    #[serde(default, deserialize_with = "null_is_default")]
    pub protocol: String,
    /// Its number in the container.
    #[serde(default, deserialize_with = "null_is_default")]
    pub container_port: u16,
    /// Its number on the host, or 0.
    #[serde(default, deserialize_with = "null_is_default")]
    pub host_port: u16,
    /// The host's address on which it is, or empty.
    #[serde(rename = "hostIP", default, deserialize_with = "null_is_default")]
    pub host_ip: String,
}

/// What became of a pod.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodStatus {
    /// `Pending`, `Running`, `Succeeded`, `Failed` or `Unknown`.
    #[serde(default, deserialize_with = "null_is_default")]
    pub phase: String,
    /// The first of its addresses.
    #[serde(rename = "podIP", default, deserialize_with = "null_is_default")]
    pub pod_ip: String,
    /// Its addresses.
    #[serde(rename = "podIPs", default, deserialize_with = "nulls_are_defaults")]
    pub pod_ips: Vec<PodIp>,
}

/// One of a pod's addresses.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct PodIp {
    /// The address.
    #[serde(default, deserialize_with = "null_is_default")]
    pub ip: String,
}
