//! A workload endpoint: the record of a container's interface, from which the node agent makes policy and routes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::endpoint_name::{EndpointId, NameError};
use crate::lenient::null_is_default;
use crate::resource::{Kind, Resource};

/// The label that names an endpoint's namespace; always set when an endpoint is stored.
pub const LABEL_NAMESPACE: &str = "projectcalico.org/namespace";
/// The label that names an endpoint's orchestrator; always set when an endpoint is stored.
pub const LABEL_ORCHESTRATOR: &str = "projectcalico.org/orchestrator";

/// An endpoint's content. Empty fields are left out when it is stored.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct WorkloadEndpointSpec {
    /// `cni`, or `k8s` for pods.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub orchestrator: String,
    /// The workload's name for orchestrators other than `cni` and `k8s`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub workload: String,
    /// The node's Calico name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub node: String,
    /// The container (for pods: the sandbox) that the interface was made for.
    #[serde(rename = "containerID", default, skip_serializing_if = "String::is_empty")]
    pub container_id: String,
    /// The pod's name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub pod: String,
    /// The interface's name in the container when the endpoint was first made.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub endpoint: String,
    /// The pod's service account.
    #[serde(
        rename = "serviceAccountName",
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub service_account_name: String,
    /// The interface's addresses, each as `/32` or `/128`.
    #[serde(rename = "ipNetworks", default, skip_serializing_if = "Vec::is_empty")]
    pub ip_networks: Vec<String>,
    /// Addresses of others that are translated to the interface's.
    #[serde(rename = "ipNATs", default, skip_serializing_if = "Vec::is_empty")]
    pub ip_nats: Vec<IpNat>,
    /// The profiles whose rules and labels apply.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub profiles: Vec<String>,
    /// The interface's host end.
    #[serde(rename = "interfaceName", default, skip_serializing_if = "String::is_empty")]
    pub interface_name: String,
    /// The container end's MAC address.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub mac: String,
    /// The container's ports that have a name or are reached through the host.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<EndpointPort>,
    /// The networks whose addresses the container may send from beside its own.
    #[serde(
        rename = "allowSpoofedSourcePrefixes",
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub allow_spoofed_source_prefixes: Vec<String>,
    /// Fields this code does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// An address outside that is translated to one of an endpoint's: a floating address.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct IpNat {
    /// The endpoint's own address.
    #[serde(rename = "internalIP", default)]
    pub internal_ip: String,
    /// The address outside.
    #[serde(rename = "externalIP", default)]
    pub external_ip: String,
    /// Fields this code does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A port of a container. Every field is stored, also where it is empty.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct EndpointPort {
    /// Its name, by which policy may speak of it, or empty.
    #[serde(default, deserialize_with = "null_is_default")]
    pub name: String,
    /// Its protocol.
    #[serde(default, deserialize_with = "null_is_default")]
    pub protocol: Protocol,
    /// Its number in the container.
    #[serde(default, deserialize_with = "null_is_default")]
    pub port: u16,
    /// Its number on the host; 0 where it has none.
    #[serde(rename = "hostPort", default, deserialize_with = "null_is_default")]
    pub host_port: u16,
    /// The host's address on which it is; empty where that is any, or none.
    #[serde(rename = "hostIP", default, deserialize_with = "null_is_default")]
    pub host_ip: String,
    /// Fields this code does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A transport protocol.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Protocol {
    /// By its name: `TCP`, `UDP` or `SCTP`.
    Name(String),
    /// By its number in the header of IP.
    Number(u8),
}

impl Default for Protocol {
    /// TCP.
    fn default() -> Protocol {
        Protocol::Name("TCP".to_owned())
    }
}

/// A workload endpoint.
pub type WorkloadEndpoint = Resource<WorkloadEndpointSpec>;

impl WorkloadEndpoint {
    /// The record of a new interface, with the labels that every stored endpoint has.
    pub fn for_interface(id: &EndpointId, namespace: &str) -> Result<WorkloadEndpoint, NameError> {
        let spec = WorkloadEndpointSpec {
            orchestrator: id.orchestrator.clone(),
            node: id.node.clone(),
            endpoint: id.endpoint.clone(),
            ..WorkloadEndpointSpec::default()
        };
        let mut endpoint = Resource::new(Kind::WorkloadEndpoint, &id.name()?, spec);
        endpoint.metadata.namespace = namespace.to_owned();
        endpoint.metadata.labels = BTreeMap::from([
            (LABEL_NAMESPACE.to_owned(), namespace.to_owned()),
            (LABEL_ORCHESTRATOR.to_owned(), id.orchestrator.clone()),
        ]);
        Ok(endpoint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_as_recorded() {
        let text = r#"{"kind":"WorkloadEndpoint","apiVersion":"projectcalico.org/v3","metadata":{"name":"node--1-cni-abcdef0123456789-eth0","namespace":"default","labels":{"projectcalico.org/namespace":"default","projectcalico.org/orchestrator":"cni"}},"spec":{"orchestrator":"cni","node":"node-1","containerID":"abcdef0123456789","endpoint":"eth0","ipNetworks":["192.168.84.128/32"],"profiles":["net1"],"interfaceName":"caliabcdef01234","mac":"66:f4:bb:7d:6e:cc"}}"#;
        let id = EndpointId {
            node: "node-1".into(),
            orchestrator: "cni".into(),
            workload: "abcdef0123456789".into(),
            endpoint: "eth0".into(),
        };
        let mut made = WorkloadEndpoint::for_interface(&id, "default").unwrap();
        made.spec.container_id = "abcdef0123456789".into();
        made.spec.ip_networks = vec!["192.168.84.128/32".into()];
        made.spec.profiles = vec!["net1".into()];
        made.spec.interface_name = "caliabcdef01234".into();
        made.spec.mac = "66:f4:bb:7d:6e:cc".into();
        assert_eq!(serde_json::to_string(&made).unwrap(), text);
        assert_eq!(serde_json::from_str::<WorkloadEndpoint>(text).unwrap(), made);
    }
}
