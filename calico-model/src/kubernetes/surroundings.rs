//! A pod's namespace and its node, as far as they are read.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Map;

use super::pod::CoreMetadata;
use crate::key::Key;
use crate::lenient::null_is_default;
use crate::object::Malformed;
use crate::resource::{Kind, Metadata, Node, Resource};

/// The annotation of a node with further labels, as a JSON object.
const LABELS: &str = "projectcalico.org/labels";

/// A namespace.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct Namespace {
    /// Name, labels and annotations.
    #[serde(default, deserialize_with = "null_is_default")]
    pub metadata: CoreMetadata,
}

/// A node as Kubernetes knows it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct ClusterNode {
    /// Name, labels and annotations.
    #[serde(default, deserialize_with = "null_is_default")]
    pub metadata: CoreMetadata,
    /// What was asked for.
    #[serde(default, deserialize_with = "null_is_default")]
    pub spec: NodeSpec,
}

/// The networks for a node's pods, which some clusters use.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct NodeSpec {
    #[serde(rename = "podCIDR", default, deserialize_with = "null_is_default")]
    pod_cidr: String,
    #[serde(rename = "podCIDRs", default, deserialize_with = "null_is_default")]
    pod_cidrs: Vec<String>,
}

impl ClusterNode {
    /// The networks for the node's pods, as stored: one at most of each family.
    pub fn pod_cidrs(&self) -> Vec<&str> {
        let NodeSpec { pod_cidr, pod_cidrs } = &self.spec;
        let all = if pod_cidrs.is_empty() { std::slice::from_ref(pod_cidr) } else { pod_cidrs };
        all.iter().map(String::as_str).filter(|cidr| !cidr.is_empty()).collect()
    }

    /// The node as Calico knows it, with its labels and without content: that is the node agent's affair. Labels of the node
    /// itself win over those of the annotation.
    ///
    /// # Errors
    /// The annotation is not a JSON object of texts.
    pub fn node(&self) -> Result<Node, Malformed> {
        let CoreMetadata { name, uid, creation_timestamp, annotations, .. } = &self.metadata;
        let mut labels: BTreeMap<String, String> = match annotations.get(LABELS) {
            None => BTreeMap::new(),
            Some(text) => serde_json::from_str(text).map_err(|error| Malformed {
                key: Key::resource(Kind::Node, name).path(),
                reason: format!("its annotation {LABELS}: {error}"),
            })?,
        };
        labels.extend(self.metadata.labels.clone());
        let mut node = Resource::new(Kind::Node, name, Map::new());
        node.metadata =
            Metadata { uid: uid.clone(), creation_timestamp: creation_timestamp.clone(), labels, ..node.metadata };
        Ok(node)
    }
}
