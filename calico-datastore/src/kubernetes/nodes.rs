//! Nodes: views of Kubernetes' nodes, of which only what Calico itself knows is written, as annotations.

use calico_model::kubernetes::{ClusterNode, node_patch};
use calico_model::object::Malformed;
use calico_model::{Key, Kind, Node, Object};
use serde_json::Value;

use super::api::Written;
use super::cluster::node_path;
use super::store::{Done, Known, Kubernetes, unreadable_entry};
use crate::contract::{Entry, Expect, Revision, Write};
use crate::error::Error;

/// A node of Kubernetes as the node that Calico knows: remembered, for who writes it.
pub fn entry(store: &Kubernetes, node: &ClusterNode) -> Result<Entry, Error> {
    let key = Key::resource(Kind::Node, &node.metadata.name);
    let revision = remembered(store, &key, node)?;
    Ok(Entry { key, revision, object: node.node().map(Into::into) })
}

/// A node that is not as one should be: its name alone is looked for.
pub fn unreadable(json: &str, error: &serde_json::Error) -> Entry {
    let whole: Value = serde_json::from_str(json).unwrap_or_default();
    let key = Key::resource(Kind::Node, whole["metadata"]["name"].as_str().unwrap_or_default());
    unreadable_entry(key, &whole["metadata"]["resourceVersion"], error)
}

fn remembered(store: &Kubernetes, key: &Key, node: &ClusterNode) -> Result<Revision, Error> {
    let revision = store.revision(key, &node.metadata.resource_version)?;
    store.remember(key, Known { revision, uid: node.metadata.uid.clone(), kept: Some(node.kept()) });
    Ok(revision)
}

/// Applies a write of a node; `None` where it is one of something else.
pub async fn write(store: &Kubernetes, write: &Write) -> Option<Result<Done, Error>> {
    let Key::Resource { kind: Kind::Node, name, .. } = &write.key else { return None };
    let reason = match (&write.object, write.expect) {
        (Some(Object::Any(node) | Object::Node(node)), Expect::At(revision)) => {
            return Some(update(store, &write.key, name, revision, node).await);
        }
        (Some(_), Expect::At(_)) => "the object to be written is no node".to_owned(),
        (Some(_), Expect::Absent) => {
            "nodes are Kubernetes' own: it is there as soon as its kubelet has registered it".to_owned()
        }
        (None, _) => format!("nodes are Kubernetes' own: use kubectl delete node {name}"),
    };
    Some(Err(Error::Malformed(Malformed { key: write.key.path(), reason })))
}

/// Changes the node that was read, unless it was changed meanwhile.
async fn update(store: &Kubernetes, key: &Key, name: &str, revision: Revision, node: &Node) -> Result<Done, Error> {
    let Some(kept) = store.known(key, revision).and_then(|known| known.kept) else {
        // It was read anew meanwhile.
        return Ok(Done::Conflict);
    };
    let patch = node_patch(node, &kept, &revision.0.to_string()).to_string();
    Ok(match store.api().patch(&format!("{}/status", node_path(name)), patch).await? {
        Written::Conflict => Done::Conflict,
        Written::Unknown(reason) => Done::Unknown(reason),
        Written::Applied(body) => match serde_json::from_slice(&body) {
            Ok(node) => Done::Applied(remembered(store, key, &node)?),
            Err(_) => Done::Unknown(format!("{}: the answer is no node", store.api().name())),
        },
    })
}
