//! The workload endpoint that a pod is.

use std::collections::BTreeMap;

use ipnetwork::IpNetwork;
use thiserror::Error;

use super::pod::{ContainerPort, Pod};
use crate::cidr;
use crate::endpoint::{
    EndpointPort, IpNat, LABEL_NAMESPACE, LABEL_ORCHESTRATOR, Protocol, WorkloadEndpoint, WorkloadEndpointSpec,
};
use crate::endpoint_name::{EndpointId, NameError, host_interface_of_pod};
use crate::key::{Key, Listing};
use crate::resource::{Kind, Metadata, Resource};

/// The orchestrator of pods.
const ORCHESTRATOR: &str = "k8s";
/// The interface's name in every endpoint that is a pod.
const INTERFACE: &str = "eth0";
/// The label that names an endpoint's service account, where its name is short enough.
const LABEL_SERVICE_ACCOUNT: &str = "projectcalico.org/serviceaccount";
/// Names have to be shorter for that.
const LABEL_LENGTH: usize = 63;

/// The annotation with the sandbox that the addresses were given to.
pub(super) const CONTAINER_ID: &str = "cni.projectcalico.org/containerID";
/// The annotation with the first address.
pub(super) const POD_IP: &str = "cni.projectcalico.org/podIP";
/// The annotation with all addresses.
pub(super) const POD_IPS: &str = "cni.projectcalico.org/podIPs";
/// The annotation with the addresses that Amazon's own plugin gave.
const AWS_POD_IPS: &str = "vpc.amazonaws.com/pod-ips";
/// The annotation with addresses outside that are translated to the pod's.
const FLOATING_IPS: &str = "cni.projectcalico.org/floatingIPs";
/// The annotation with networks that the pod may send from.
const SOURCE_PREFIXES: &str = "cni.projectcalico.org/allowedSourcePrefixes";
/// The annotation of Multus with all networks of a pod.
const NETWORK_STATUS: &str = "k8s.v1.cni.cncf.io/network-status";

/// Why a pod is no endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PodError {
    /// It is yet to be given a node.
    #[error("the pod {namespace}/{pod} has no node (spec.nodeName is empty): it is not scheduled yet")]
    NoNode {
        /// Its namespace.
        namespace: String,
        /// Its name.
        pod: String,
    },
    /// Its node or itself has a name that cannot be part of an endpoint's.
    #[error(transparent)]
    Name(#[from] NameError),
    /// One of its addresses is none.
    #[error(
        "the pod {namespace}/{pod} has {value:?} as an address (in {place}), which is neither an address nor a CIDR"
    )]
    Address {
        /// Its namespace.
        namespace: String,
        /// Its name.
        pod: String,
        /// Where it was found.
        place: &'static str,
        /// The text.
        value: String,
    },
    /// One of its annotations cannot be read.
    #[error("the annotation {annotation} of the pod {namespace}/{pod} is {value:?}: {reason}; correct the annotation")]
    Annotation {
        /// Its namespace.
        namespace: String,
        /// Its name.
        pod: String,
        /// The annotation.
        annotation: &'static str,
        /// Its text.
        value: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// The namespace and the name of the pod that is the endpoint of a key; `None` for keys of anything else.
pub fn pod_of(key: &Key) -> Option<(&str, String)> {
    let Key::Resource { kind: Kind::WorkloadEndpoint, namespace, name } = key else { return None };
    Some((namespace, pod_named(name)?))
}

/// The namespace and the name of the pod that alone may be among the endpoints of a listing; `None` for other listings, and
/// for prefixes that do not end after the pod's name.
pub fn pod_of_listing(listing: &Listing) -> Option<(&str, String)> {
    let Listing::Endpoints { namespace, name_prefix } = listing else { return None };
    Some((namespace, pod_named(&format!("{name_prefix}{INTERFACE}"))?))
}

fn pod_named(endpoint: &str) -> Option<String> {
    EndpointId::parse(endpoint).filter(|id| id.orchestrator == ORCHESTRATOR).map(|id| id.workload)
}

impl Pod {
    /// Whether the pod is an endpoint: it has a node, and a network of its own.
    pub fn is_endpoint(&self) -> bool {
        !self.spec.node_name.is_empty() && !self.spec.host_network
    }

    /// The pod as an endpoint, also where it uses the host's network. `prefix` begins the names of host-side interfaces:
    /// `cali`, or what the node agent is set to. The revision of the endpoint is the pod's resource version.
    ///
    /// Limits of bandwidth and the like (`qosControls`) are left out: nothing here uses or stores them.
    ///
    /// # Errors
    /// The pod has no node yet, or an address or annotation that cannot be read.
    pub fn endpoint(&self, prefix: &str) -> Result<WorkloadEndpoint, PodError> {
        let Pod { metadata, spec, .. } = self;
        if spec.node_name.is_empty() {
            let (namespace, pod) = (metadata.namespace.clone(), metadata.name.clone());
            return Err(PodError::NoNode { namespace, pod });
        }
        let id = EndpointId {
            node: spec.node_name.clone(),
            orchestrator: ORCHESTRATOR.to_owned(),
            workload: metadata.name.clone(),
            endpoint: INTERFACE.to_owned(),
        };
        let networks = self.networks()?;
        let content = WorkloadEndpointSpec {
            orchestrator: id.orchestrator.clone(),
            node: id.node.clone(),
            container_id: self.annotation(CONTAINER_ID).unwrap_or_default().to_owned(),
            pod: id.workload.clone(),
            endpoint: id.endpoint.clone(),
            service_account_name: spec.service_account_name.clone(),
            ip_nats: self.nats(&networks)?,
            ip_networks: networks.iter().map(IpNetwork::to_string).collect(),
            profiles: self.profiles(),
            interface_name: host_interface_of_pod(prefix, &metadata.namespace, &metadata.name),
            ports: self.ports(),
            allow_spoofed_source_prefixes: self.source_prefixes()?,
            ..WorkloadEndpointSpec::default()
        };
        // A name too long for a stored object is only refused when one is to be stored.
        let mut endpoint = Resource::new(Kind::WorkloadEndpoint, &id.unchecked_name()?, content);
        endpoint.metadata = Metadata {
            generate_name: metadata.generate_name.clone(),
            namespace: metadata.namespace.clone(),
            uid: metadata.uid.clone(),
            creation_timestamp: metadata.creation_timestamp.clone(),
            labels: self.labels(),
            annotations: metadata.annotations.get_key_value(NETWORK_STATUS).map(cloned).into_iter().collect(),
            ..endpoint.metadata
        };
        Ok(endpoint)
    }

    fn annotation(&self, name: &str) -> Option<&str> {
        self.metadata.annotations.get(name).map(String::as_str)
    }

    fn labels(&self) -> BTreeMap<String, String> {
        let (namespace, account) = (&self.metadata.namespace, &self.spec.service_account_name);
        let mut labels = self.metadata.labels.clone();
        labels.insert(LABEL_NAMESPACE.to_owned(), namespace.clone());
        labels.insert(LABEL_ORCHESTRATOR.to_owned(), ORCHESTRATOR.to_owned());
        if (1..LABEL_LENGTH).contains(&account.len()) {
            labels.insert(LABEL_SERVICE_ACCOUNT.to_owned(), account.clone());
        }
        labels
    }

    /// The namespace's profile and the service account's.
    fn profiles(&self) -> Vec<String> {
        let (namespace, account) = (&self.metadata.namespace, &self.spec.service_account_name);
        let mut profiles = vec![format!("kns.{namespace}")];
        if !account.is_empty() {
            profiles.push(format!("ksa.{namespace}.{account}"));
        }
        profiles
    }

    fn ports(&self) -> Vec<EndpointPort> {
        let containers = self.spec.containers.iter().chain(&self.spec.init_containers);
        containers.flat_map(|container| &container.ports).filter_map(endpoint_port).collect()
    }

    /// The pod's addresses, by the first source that has any; none where they may be somebody else's by now.
    fn networks(&self) -> Result<Vec<IpNetwork>, PodError> {
        if self.is_finished() {
            return Ok(Vec::new());
        }
        let status = &self.status;
        let of_status: Vec<&str> = status.pod_ips.iter().map(|it| it.ip.as_str()).filter(|ip| !ip.is_empty()).collect();
        let (source, texts) = if !of_status.is_empty() {
            ("status.podIPs", of_status)
        } else if !status.pod_ip.is_empty() {
            ("status.podIP", vec![status.pod_ip.as_str()])
        } else {
            let annotated = [POD_IPS, POD_IP, AWS_POD_IPS].into_iter().find_map(|annotation| {
                let text = self.annotation(annotation).filter(|text| !text.is_empty())?;
                Some((annotation, text.split(',').collect()))
            });
            annotated.unwrap_or_default()
        };
        let parse = |text: &str| {
            text.trim().parse().map_err(|_| PodError::Address {
                namespace: self.metadata.namespace.clone(),
                pod: self.metadata.name.clone(),
                place: source,
                value: text.to_owned(),
            })
        };
        texts.into_iter().map(parse).collect()
    }

    /// Whether all its containers have ended, or its addresses were taken from it.
    fn is_finished(&self) -> bool {
        let is_emptied = |annotation| self.annotation(annotation) == Some("");
        let was_cleared = is_emptied(POD_IP) || is_emptied(AWS_POD_IPS);
        self.metadata.deletion_timestamp.is_some() && was_cleared
            || matches!(self.status.phase.as_str(), "Failed" | "Succeeded" | "Completed")
    }

    /// The floating addresses, each translated to the pod's first of its family.
    fn nats(&self, networks: &[IpNetwork]) -> Result<Vec<IpNat>, PodError> {
        let Some(text) = self.annotation(FLOATING_IPS).filter(|_| !networks.is_empty()) else { return Ok(Vec::new()) };
        let floating: Vec<String> =
            serde_json::from_str(text).map_err(|error| self.unreadable(FLOATING_IPS, text, error))?;
        let nat = |external: String| {
            let own = networks.iter().find(|network| network.is_ipv6() == external.contains(':'))?;
            Some(IpNat { internal_ip: own.ip().to_string(), external_ip: external, ..IpNat::default() })
        };
        Ok(floating.into_iter().filter_map(nat).collect())
    }

    fn source_prefixes(&self) -> Result<Vec<String>, PodError> {
        let Some(text) = self.annotation(SOURCE_PREFIXES) else { return Ok(Vec::new()) };
        let prefixes: Vec<String> =
            serde_json::from_str(text).map_err(|error| self.unreadable(SOURCE_PREFIXES, text, error))?;
        let masked = |prefix: String| match prefix.parse::<IpNetwork>() {
            Ok(network) => Ok(cidr::masked(&network).to_string()),
            Err(_) => Err(self.unreadable(SOURCE_PREFIXES, text, format_args!("{prefix:?} is not a CIDR"))),
        };
        prefixes.into_iter().map(masked).collect()
    }

    fn unreadable(&self, annotation: &'static str, value: &str, reason: impl ToString) -> PodError {
        PodError::Annotation {
            namespace: self.metadata.namespace.clone(),
            pod: self.metadata.name.clone(),
            annotation,
            value: value.to_owned(),
            reason: reason.to_string(),
        }
    }
}

fn cloned((key, value): (&String, &String)) -> (String, String) {
    (key.clone(), value.clone())
}

/// A port as endpoints have it; `None` for one that nobody can speak of or reach through the host.
fn endpoint_port(port: &ContainerPort) -> Option<EndpointPort> {
    let ContainerPort { name, protocol, container_port, host_port, host_ip } = port;
    let protocol = match protocol.to_ascii_uppercase().as_str() {
        "" => Protocol::default(),
        known @ ("TCP" | "UDP" | "SCTP") => Protocol::Name(known.to_owned()),
        _ => return None,
    };
    (*container_port != 0 && (!name.is_empty() || *host_port != 0)).then(|| EndpointPort {
        name: name.clone(),
        protocol,
        port: *container_port,
        host_port: *host_port,
        host_ip: host_ip.clone(),
        ..EndpointPort::default()
    })
}
