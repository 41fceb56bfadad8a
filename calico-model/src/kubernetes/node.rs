//! A node as the API server answers it, and the node that Calico makes of it. What Calico itself knows of a node is in annotations
//! of Kubernetes' node; the rest of Calico's node is derived from it.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::decode::Kept;
use super::pod::CoreMetadata;
use crate::key::Key;
use crate::lenient::{null_is_default, nulls_are_defaults};
use crate::object::Malformed;
use crate::resource::{Kind, Metadata, Node, Resource};

/// The annotation of a node with further labels, as a JSON object.
const LABELS: &str = "projectcalico.org/labels";
/// The annotation of a node with the annotations of Calico's node, as a JSON object.
const ANNOTATIONS: &str = "projectcalico.org/annotations";
/// The annotation of Calico's node with those of its labels that are Kubernetes' own, as a JSON object: so that whoever writes
/// the node back can leave them out.
const KUBERNETES_LABELS: &str = "projectcalico.org/kube-labels";

/// The addresses by which other nodes speak BGP with this one.
const BGP_ADDRESSES: [&str; 2] = ["projectcalico.org/IPv4Address", "projectcalico.org/IPv6Address"];

/// The object of a field that is in `status`, not in `spec`.
const STATUS: &str = "status";

/// The fields of Calico's node, in the order in which upstream writes them: the object in `spec` that a field is in (empty: `spec`
/// itself), its name, and the annotation that it is kept in (empty: it is derived).
const FIELDS: [(&str, &str, &str); 17] = [
    ("bgp", "asNumber", "projectcalico.org/ASNumber"),
    ("bgp", "ipv4Address", BGP_ADDRESSES[0]),
    ("bgp", "ipv6Address", BGP_ADDRESSES[1]),
    ("bgp", "ipv4IPIPTunnelAddr", "projectcalico.org/IPv4IPIPTunnelAddr"),
    ("bgp", "routeReflectorClusterID", "projectcalico.org/RouteReflectorClusterID"),
    ("", "ipv4VXLANTunnelAddr", "projectcalico.org/IPv4VXLANTunnelAddr"),
    ("", "vxlanTunnelMACAddr", "projectcalico.org/VXLANTunnelMACAddr"),
    ("", "ipv6VXLANTunnelAddr", "projectcalico.org/IPv6VXLANTunnelAddr"),
    ("", "vxlanTunnelMACAddrV6", "projectcalico.org/VXLANTunnelMACAddrV6"),
    ("", "orchRefs", ""),
    ("wireguard", "interfaceIPv4Address", "projectcalico.org/IPv4WireguardInterfaceAddr"),
    ("wireguard", "interfaceIPv6Address", "projectcalico.org/IPv6WireguardInterfaceAddr"),
    ("", "addresses", ""),
    ("", "interfaces", "projectcalico.org/Interfaces"),
    (STATUS, "wireguardPublicKey", "projectcalico.org/WireguardPublicKey"),
    (STATUS, "wireguardPublicKeyV6", "projectcalico.org/WireguardPublicKeyV6"),
    (STATUS, "podCIDRs", ""),
];

/// A node as Kubernetes knows it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct ClusterNode {
    /// Name, labels and annotations.
    #[serde(default, deserialize_with = "null_is_default")]
    pub metadata: CoreMetadata,
    /// What was asked for.
    #[serde(default, deserialize_with = "null_is_default")]
    pub spec: NodeSpec,
    /// What was found.
    #[serde(default, deserialize_with = "null_is_default")]
    pub status: NodeStatus,
}

/// The networks for a node's pods, which some clusters use.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct NodeSpec {
    #[serde(rename = "podCIDR", default, deserialize_with = "null_is_default")]
    pod_cidr: String,
    #[serde(rename = "podCIDRs", default, deserialize_with = "null_is_default")]
    pod_cidrs: Vec<String>,
}

/// The addresses of a node, as its kubelet or the cloud says.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct NodeStatus {
    #[serde(default, deserialize_with = "nulls_are_defaults")]
    addresses: Vec<NodeAddress>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
struct NodeAddress {
    #[serde(default, deserialize_with = "null_is_default")]
    address: String,
    /// `InternalIP`, `ExternalIP`, or what is no address: `Hostname`, `InternalDNS`, `ExternalDNS`.
    #[serde(rename = "type", default, deserialize_with = "null_is_default")]
    kind: String,
}

impl ClusterNode {
    /// The networks for the node's pods, as stored: one at most of each family.
    pub fn pod_cidrs(&self) -> Vec<&str> {
        let NodeSpec { pod_cidr, pod_cidrs } = &self.spec;
        let all = if pod_cidrs.is_empty() { std::slice::from_ref(pod_cidr) } else { pod_cidrs };
        all.iter().map(String::as_str).filter(|cidr| !cidr.is_empty()).collect()
    }

    /// The node as Calico knows it. Labels of the node itself win over those of the annotation.
    ///
    /// The text of an annotation that is no number or no list, where it should be one, is answered as it is: it must keep nobody
    /// from networking pods on the node.
    ///
    /// # Errors
    /// The annotation with labels, or that with annotations, is not a JSON object of texts.
    pub fn node(&self) -> Result<Node, Malformed> {
        let CoreMetadata { name, uid, creation_timestamp, labels: own, .. } = &self.metadata;
        let mut labels = self.texts(LABELS)?;
        labels.extend(own.clone());
        let mut annotations = self.texts(ANNOTATIONS)?;
        if !own.is_empty() {
            annotations.insert(KUBERNETES_LABELS.to_owned(), json!(own).to_string());
        }
        let (mut spec, mut status) = (Map::new(), Map::new());
        for (object, field, annotation) in FIELDS {
            let value = match field {
                "orchRefs" => json!([{"nodeName": name, "orchestrator": "k8s"}]),
                "addresses" => self.addresses(),
                "podCIDRs" => self.pod_cidrs().into(),
                _ => value(field, self.annotation(annotation)),
            };
            if is_empty(&value) {
                continue;
            }
            let fields = match object {
                "" => &mut spec,
                STATUS => &mut status,
                object => match spec.entry(object).or_insert_with(|| Map::new().into()) {
                    Value::Object(fields) => fields,
                    _ => continue,
                },
            };
            fields.insert(field.to_owned(), value);
        }
        let mut node = Resource::new(Kind::Node, name, spec);
        node.metadata = Metadata {
            uid: uid.clone(),
            creation_timestamp: creation_timestamp.clone(),
            labels,
            annotations,
            ..node.metadata
        };
        if !status.is_empty() {
            node.extra.insert(STATUS.to_owned(), status.into());
        }
        Ok(node)
    }

    /// What is to be known of the node when Calico's node is written back: its own labels.
    pub fn kept(&self) -> Kept {
        let CoreMetadata { uid, labels, .. } = &self.metadata;
        let metadata = Map::from_iter([("labels".to_owned(), json!(labels))]);
        Kept { uid: uid.clone(), metadata, extra: Map::new() }
    }

    fn annotation(&self, name: &str) -> &str {
        self.metadata.annotations.get(name).map_or("", String::as_str)
    }

    /// An annotation that is a JSON object of texts.
    fn texts(&self, annotation: &str) -> Result<BTreeMap<String, String>, Malformed> {
        match self.annotation(annotation) {
            "" => Ok(BTreeMap::new()),
            text => serde_json::from_str(text).map_err(|error| Malformed {
                key: Key::resource(Kind::Node, &self.metadata.name).path(),
                reason: format!("its annotation {annotation}: {error}"),
            }),
        }
    }

    /// The addresses for BGP, then those that Kubernetes knows.
    fn addresses(&self) -> Value {
        let bgp = BGP_ADDRESSES.map(|annotation| (self.annotation(annotation), "CalicoNodeIP"));
        let status = self.status.addresses.iter().map(|it| (it.address.as_str(), it.kind.as_str()));
        let status = status.filter(|(_, kind)| matches!(*kind, "InternalIP" | "ExternalIP"));
        let all = bgp.into_iter().chain(status).filter(|(address, _)| !address.is_empty());
        all.map(|(address, kind)| json!({"address": address, "type": kind})).collect()
    }
}

/// The value of a field from the text of its annotation.
fn value(field: &str, text: &str) -> Value {
    let value = match field {
        "asNumber" => as_number(text).map(Value::from),
        "interfaces" => serde_json::from_str(text).ok().map(Value::Array),
        _ => None,
    };
    value.unwrap_or_else(|| text.into())
}

/// The number of an autonomous system; also as two numbers of 16 bits with a dot between them.
fn as_number(text: &str) -> Option<u32> {
    let Some((high, low)) = text.split_once('.') else { return text.parse().ok() };
    let half = |text: &str| text.parse::<u16>().map(u32::from).ok();
    Some(half(high)? << 16 | half(low)?)
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

/// What makes Kubernetes' node the one of Calico's node, if it is still the version that was read: a strategic merge patch of the
/// node's `status` subresource, which takes annotations, too. `kept` is what was read with the node. Fields that are derived are
/// not written, nor labels that are Kubernetes' own.
pub fn node_patch(node: &Node, kept: &Kept, resource_version: &str) -> Value {
    let mut annotations = Map::new();
    for (object, field, annotation) in FIELDS.into_iter().filter(|(.., annotation)| !annotation.is_empty()) {
        let fields = match object {
            "" => Some(&node.spec),
            STATUS => node.extra.get(STATUS).and_then(Value::as_object),
            object => node.spec.get(object).and_then(Value::as_object),
        };
        let text = match fields.and_then(|fields| fields.get(field)).filter(|value| !is_empty(value)) {
            Some(Value::String(text)) => Some(text.clone()),
            value => value.map(Value::to_string),
        };
        annotations.insert(annotation.to_owned(), text.into());
    }
    let Metadata { labels, annotations: others, .. } = &node.metadata;
    let as_read = others.get(KUBERNETES_LABELS).and_then(|text| serde_json::from_str(text).ok()).unwrap_or(Value::Null);
    let now = kept.metadata.get("labels").unwrap_or(&Value::Null);
    let is_own = |label: &str, value: &str| [now, &as_read].into_iter().any(|all| all[label] == *value);
    let labels = labels.iter().filter(|(label, value)| !is_own(label, value));
    annotations.insert(LABELS.to_owned(), json_or_null(labels));
    let others = others.iter().filter(|(annotation, _)| *annotation != KUBERNETES_LABELS);
    annotations.insert(ANNOTATIONS.to_owned(), json_or_null(others));
    json!({"metadata": {"annotations": annotations, "resourceVersion": resource_version}})
}

/// Texts as the text of a JSON object, or `null` where there are none.
fn json_or_null<'a>(texts: impl Iterator<Item = (&'a String, &'a String)>) -> Value {
    let texts: BTreeMap<_, _> = texts.collect();
    if texts.is_empty() { Value::Null } else { json!(texts).to_string().into() }
}
