//! Where a replayed run stores its objects.

use serde_json::{Value, json};

use super::{Objects, Recording, annotations};
use crate::control_plane::{ControlPlane, Lease};
use crate::etcd::{Etcd, Options};
use crate::host::Host;

/// The pods of recordings are in the namespace `default`.
const PODS: &str = "/api/v1/namespaces/default/pods";

/// The node's pod CIDR when pods were recorded.
const POD_CIDR: &str = "10.60.1.0/24";

/// Below it, Calico's objects are in an etcd.
const CALICO: &str = "/calico/";

/// What the API server gives an object: they cannot be stored.
const OF_SERVER: [&str; 4] = ["uid", "resourceVersion", "generation", "creationTimestamp"];

/// Where the objects are.
pub(super) enum Store {
    /// In the host's embedded store.
    Embedded,
    /// In an etcd.
    Etcd(Box<Etcd>),
    /// In the Kubernetes API.
    Kubernetes(Lease),
    /// In the etcd of a control plane, whose API has the pods.
    EtcdBesideKubernetes(Lease),
}

impl Store {
    /// Stores everything that was there at the beginning, as far as it can be chosen.
    pub(super) fn fill(&self, recording: &Recording) {
        match self {
            Store::Embedded => {}
            Store::Etcd(etcd) => put_all(recording, etcd),
            Store::EtcdBesideKubernetes(plane) => {
                put_all(recording, plane.etcd());
                create_pods(recording, plane);
            }
            Store::Kubernetes(plane) => {
                for (path, text) in &recording.before {
                    if let Some((plural, _)) = path.split_once('/').filter(|(plural, _)| *plural != "pods") {
                        let object: Value = serde_json::from_str(text).expect("a recording has JSON");
                        create(plane, &plane.collection(plural), object);
                    }
                }
                create_pods(recording, plane);
            }
        }
    }

    /// Starts a host that reaches it.
    pub(super) fn host(&self) -> Host {
        match self {
            Store::Embedded => Host::start(),
            Store::Etcd(etcd) => etcd.host(),
            Store::Kubernetes(plane) | Store::EtcdBesideKubernetes(plane) => plane.host(),
        }
    }

    /// The recorded configuration, with the keys that tell of this store.
    pub(super) fn configured(&self, recording: &Recording) -> Value {
        let mut netconf = recording.netconf.clone();
        match self {
            Store::Embedded => recording.embedded_netconf(),
            Store::Etcd(etcd) => etcd.configured(netconf),
            Store::Kubernetes(plane) | Store::EtcdBesideKubernetes(plane) => {
                netconf.as_object_mut().expect("a configuration is an object").extend(plane.conf());
                if matches!(self, Store::EtcdBesideKubernetes(_)) { plane.etcd().configured(netconf) } else { netconf }
            }
        }
    }

    /// Everything that is stored.
    pub(super) fn objects(&self, host: &Host) -> Objects {
        let text = |(path, object): (String, Value)| (path, go_json::to_compact(&object));
        match self {
            Store::Embedded => host.stored().0.into_iter().map(text).collect(),
            Store::Etcd(etcd) => etcd.dump(),
            Store::EtcdBesideKubernetes(plane) => {
                let mut objects = plane.etcd().dump_below(CALICO);
                objects.extend(pods(plane));
                objects
            }
            Store::Kubernetes(plane) => {
                let resources = plane.group().resources().into_iter();
                let all = resources.flat_map(|(plural, _)| {
                    listed(plane, &plane.collection(plural)).into_iter().map(move |object| (plural, object))
                });
                let path = |(plural, mut object): (&str, Value)| {
                    let metadata = object["metadata"].as_object_mut().expect("an object has metadata");
                    metadata.shift_remove("managedFields");
                    (format!("{plural}/{}", metadata["name"].as_str().unwrap_or_default()), object)
                };
                all.map(path).map(text).chain(pods(plane)).collect()
            }
        }
    }

    /// See [`Etcd::end_unaudited`].
    pub(super) fn end_unaudited(&self) {
        if let Store::Etcd(etcd) = self {
            etcd.end_unaudited();
        }
    }
}

impl Recording {
    /// An etcd with everything that was stored at the beginning.
    pub fn etcd(&self) -> Etcd {
        let etcd = Etcd::start(Options::default());
        put_all(self, &etcd);
        etcd
    }
}

fn put_all(recording: &Recording, etcd: &Etcd) {
    for (path, value) in recording.before.iter().filter(|(path, _)| path.starts_with(CALICO)) {
        etcd.put(path, value);
    }
}

/// Creates the pods and their node.
fn create_pods(recording: &Recording, plane: &ControlPlane) {
    let node = json!({"metadata": {"name": "node-1"}, "spec": {"podCIDR": POD_CIDR, "podCIDRs": [POD_CIDR]}});
    create(plane, "/api/v1/nodes", node);
    for pod in &recording.pods {
        let mut pod = pod.clone();
        for container in pod["spec"]["containers"].as_array_mut().into_iter().flatten() {
            container["image"] = json!("none");
        }
        create(plane, PODS, pod);
    }
}

#[track_caller]
fn create(plane: &ControlPlane, collection: &str, mut object: Value) {
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.retain(|key, _| !OF_SERVER.contains(&key.as_str()));
    }
    plane.admin().create(collection, &object).unwrap_or_else(|refusal| panic!("{collection}: {refusal}: {object}"));
}

#[track_caller]
fn listed(plane: &ControlPlane, collection: &str) -> Vec<Value> {
    plane.admin().list(collection).unwrap_or_else(|refusal| panic!("{collection}: {refusal}"))
}

fn pods(plane: &ControlPlane) -> Objects {
    listed(plane, PODS).iter().map(annotations).collect()
}
