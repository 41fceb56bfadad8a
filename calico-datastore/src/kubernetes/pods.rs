//! Workload endpoints: views of pods, of which only the addresses and the sandbox are written, as annotations.

use calico_model::endpoint_name::{self, EndpointId};
use calico_model::kubernetes::{Pod, clearing_patch, endpoint_patch, pod_of};
use calico_model::object::Malformed;
use calico_model::{Key, Object};
use serde_json::Value;

use super::api::Written;
use super::cluster::pod_path;
use super::store::{Done, Known, Kubernetes, unreadable_entry};
use crate::contract::{Entry, Expect, Revision, Write};
use crate::error::Error;

/// How often a patch is sent whose answer was lost.
const SENDS: usize = 3;

/// A pod as the endpoint that it is; `None` where it is none: it has the host's network, or no node yet.
pub fn entry(store: &Kubernetes, pod: &Pod) -> Result<Option<Entry>, Error> {
    if !pod.is_endpoint() {
        return Ok(None);
    }
    let setting = std::env::var("FELIX_INTERFACEPREFIX").unwrap_or_default();
    let prefix = endpoint_name::interface_prefix(&setting);
    let (namespace, name) = (&pod.metadata.namespace, &pod.metadata.name);
    let (key, object) = match pod.endpoint(prefix) {
        Ok(endpoint) => (Key::endpoint(namespace, &endpoint.metadata.name), Ok(Object::WorkloadEndpoint(endpoint))),
        Err(error) => {
            let key = key_of(namespace, name, &pod.spec.node_name);
            let reason = format!("pod {namespace}/{name}: {error}");
            (key.clone(), Err(Malformed { key: key.path(), reason }))
        }
    };
    let revision = store.revision(&key, &pod.metadata.resource_version)?;
    store.remember(&key, Known { revision, uid: pod.metadata.uid.clone(), kept: None });
    Ok(Some(Entry { key, revision, object }))
}

/// A pod that is not as one should be, as the endpoint that it may be; `None` where it certainly is none.
pub fn unreadable(json: &str, error: &serde_json::Error) -> Option<Entry> {
    let whole: Value = serde_json::from_str(json).unwrap_or_default();
    let (metadata, spec) = (&whole["metadata"], &whole["spec"]);
    let has_no_node = spec.is_object() && (spec["nodeName"].is_null() || spec["nodeName"] == "");
    if has_no_node || spec["hostNetwork"] == true {
        return None;
    }
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let key = key_of(&text(&metadata["namespace"]), &text(&metadata["name"]), &text(&spec["nodeName"]));
    Some(unreadable_entry(key, &metadata["resourceVersion"], error))
}

fn key_of(namespace: &str, pod: &str, node: &str) -> Key {
    let (orchestrator, endpoint) = ("k8s".to_owned(), "eth0".to_owned());
    let id = EndpointId { node: node.to_owned(), orchestrator, workload: pod.to_owned(), endpoint };
    Key::endpoint(namespace, &id.name().unwrap_or_else(|_| pod.to_owned()))
}

/// Applies a write of an endpoint; `None` where it is one of something else.
pub async fn write(store: &Kubernetes, write: &Write) -> Option<Result<Done, Error>> {
    let (namespace, name) = pod_of(&write.key)?;
    let path = format!("{}/status", pod_path(namespace, &name));
    Some(match (&write.object, write.expect) {
        (Some(Object::WorkloadEndpoint(endpoint)), _) => {
            record(store, &path, endpoint_patch(endpoint).to_string()).await
        }
        (None, Expect::At(revision)) => clear(store, &path, &write.key, revision).await,
        _ => Err(Error::Malformed(Malformed { key: write.key.path(), reason: "it is no endpoint".to_owned() })),
    })
}

/// Writes what an ADD made. It expects nothing of the pod, whose other parts are changed by others all the time, and may be
/// sent twice: the host lock keeps other sandboxes of the pod from writing in between.
async fn record(store: &Kubernetes, path: &str, patch: String) -> Result<Done, Error> {
    let mut last = String::new();
    for _ in 0..SENDS {
        match store.api().patch(path, patch.clone()).await? {
            Written::Applied(_) => return Ok(Done::Applied(Revision(0))),
            Written::Conflict => return Ok(Done::Conflict),
            Written::Unknown(reason) => last = reason,
        }
    }
    Ok(Done::Unknown(last))
}

/// Clears the addresses of the pod that was read, unless it was changed meanwhile.
async fn clear(store: &Kubernetes, path: &str, key: &Key, revision: Revision) -> Result<Done, Error> {
    let Some(known) = store.known(key, revision) else {
        // It was read anew meanwhile.
        return Ok(Done::Conflict);
    };
    let patch = clearing_patch(&revision.0.to_string(), &known.uid).to_string();
    Ok(match store.api().patch(path, patch).await? {
        Written::Applied(_) => Done::Applied(Revision(0)),
        Written::Conflict => Done::Conflict,
        Written::Unknown(reason) => Done::Unknown(reason),
    })
}
