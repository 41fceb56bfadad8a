//! Where plugins that are measured keep their objects, and what tells them of it.

use e2e::{ControlPlane, Etcd, Faults, Host, Options};
use serde_json::{Value, json};

use crate::settings::Datastore;
use crate::sibling;

/// The node that calls are made on.
const NODE: &str = "node-1";
/// The namespace of pods.
const NAMESPACE: &str = "default";

/// What answers the plugins.
#[expect(clippy::large_enum_variant, reason = "few exist")]
pub enum Server {
    /// Nothing: the objects are in a file of the host.
    Embedded,
    /// One member.
    Etcd(Etcd),
    /// An API server, and pods on the node that are called like the containers.
    Kubernetes(ControlPlane),
}

impl Server {
    /// Starts what a datastore needs, with pools and a node; `containers` are the IDs of those that are to be connected.
    pub fn start(datastore: Datastore, containers: impl Iterator<Item = String>) -> Server {
        match datastore {
            Datastore::Local => Server::Embedded,
            Datastore::Etcd => Server::Etcd(start_etcd()),
            Datastore::Kubernetes => {
                let plane = ControlPlane::start();
                plane.seed(&[NODE]);
                // They are used again and again, like the containers: a call finds the same however many were made before.
                for id in containers {
                    plane.create_pod(NODE, NAMESPACE, &id, &json!({}));
                }
                Server::Kubernetes(plane)
            }
        }
    }

    /// Starts an etcd whose only IPv4 pool has the blocks of so many other hosts, with so many addresses in use in each.
    pub fn crowded(pool: &str, hosts: usize, used: usize) -> Server {
        let etcd = start_etcd();
        etcd.put_pool("pool4", pool, 26);
        etcd.crowd(&sibling("crowd"), pool, 26, hosts, used, false);
        Server::Etcd(etcd)
    }

    /// Starts a host that reaches the server.
    pub fn host(&self) -> Host {
        match self {
            Server::Embedded => Host::start(),
            Server::Etcd(etcd) => etcd.host(),
            Server::Kubernetes(plane) => plane.host(),
        }
    }

    /// A plugin's configuration with the server's keys in place of its own.
    pub fn configured(&self, mut netconf: Value) -> Value {
        netconf["nodename"] = json!(NODE);
        let keys = match self {
            Server::Embedded => return netconf,
            Server::Etcd(etcd) => etcd.conf(),
            Server::Kubernetes(plane) => {
                let mut keys = plane.conf();
                keys.insert("calico_api_group".to_owned(), json!(plane.group().version()));
                keys
            }
        };
        netconf.as_object_mut().expect("a configuration is an object").extend(keys);
        netconf
    }

    /// What a runtime says of a container besides, as `CNI_ARGS`: in a cluster, which pod it is of.
    pub fn arguments(&self, id: &str) -> Option<String> {
        let pod = format!("IgnoreUnknown=1;K8S_POD_NAMESPACE={NAMESPACE};K8S_POD_NAME={id}");
        matches!(self, Server::Kubernetes(_)).then_some(pod)
    }

    /// Makes calls with this configuration those of another node, which etcd is told of.
    pub fn become_node(&self, netconf: &mut Value, node: &str) {
        if let Server::Etcd(etcd) = self {
            etcd.put_resource("Node", "nodes", node, json!({}));
        }
        netconf["nodename"] = json!(node);
    }

    /// Makes a call with this configuration, and counts what the plugin asks for; nothing to count without a server.
    pub fn counted<T>(&self, netconf: &Value, call: impl FnOnce(&Value) -> T) -> (T, Option<usize>) {
        match self {
            Server::Embedded => (call(netconf), None),
            Server::Etcd(etcd) => {
                let proxy = etcd.proxy(&sibling("proxy"), 0, Faults::default());
                let mut netconf = netconf.clone();
                netconf["etcd_endpoints"] = json!(proxy.endpoint());
                let outcome = call(&netconf);
                (outcome, Some(proxy.requests().iter().sum()))
            }
            Server::Kubernetes(plane) => {
                let mark = plane.mark();
                let outcome = call(netconf);
                (outcome, Some(plane.audit_of_plugin(mark).len()))
            }
        }
    }

    /// What should be gone when all containers of a host are disconnected.
    pub fn leftovers(&self, host: &Host) -> Vec<String> {
        match self {
            Server::Embedded => host.leftovers(),
            Server::Etcd(etcd) => etcd.leftovers(&[host]),
            Server::Kubernetes(plane) => cluster_leftovers(plane, host),
        }
    }
}

fn start_etcd() -> Etcd {
    let etcd = Etcd::start(Options::default());
    etcd.seed(&[NODE]);
    // What is left behind is reported, whoever's plugins they are.
    etcd.end_unaudited();
    etcd
}

/// Links, handles, and pods that have addresses.
fn cluster_leftovers(plane: &ControlPlane, host: &Host) -> Vec<String> {
    let objects = |path: &str| plane.admin().list(path).unwrap_or_else(|refusal| panic!("{path}: {refusal}"));
    let named = |object: &Value| object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let has_address = |pod: &Value| {
        let address = &pod["metadata"]["annotations"]["cni.projectcalico.org/podIP"];
        address.as_str().is_some_and(|address| !address.is_empty())
    };
    let handles = objects(&plane.collection("ipamhandles"));
    let mut pods = objects(&format!("/api/v1/namespaces/{NAMESPACE}/pods"));
    pods.retain(has_address);
    let mut left: Vec<String> = host.added_links().into_iter().map(|link| format!("link {link}")).collect();
    left.extend(handles.iter().map(|handle| format!("handle {}", named(handle))));
    left.extend(pods.iter().map(|pod| format!("addresses of pod {}", named(pod))));
    left
}
