//! Who may have an address all the same.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::IpAddr;
use std::time::SystemTime;

use calico_model::{Attribute, Key, Kind, WorkloadEndpoint, timestamp};

use super::GRACE;
use crate::audit::Snapshot;

/// The endpoints and nodes that there are, at some time.
pub struct Living<'a> {
    used: HashSet<IpAddr>,
    /// The containers with an endpoint, by their IDs.
    containers: HashSet<&'a str>,
    /// The endpoints of pods, by `namespace.name`.
    pods: HashMap<String, Vec<&'a WorkloadEndpoint>>,
    endpoints_are_pods: bool,
    nodes: HashSet<&'a str>,
    /// Objects that cannot be read, and may have any address or be any node.
    unknown: BTreeSet<String>,
    now: SystemTime,
}

impl<'a> Living<'a> {
    /// Those of a snapshot, which may have been taken without anything else.
    pub fn of(snapshot: &'a Snapshot, now: SystemTime) -> Living<'a> {
        let endpoints = || snapshot.endpoints.iter().map(|(_, endpoint)| endpoint);
        let mut pods: HashMap<String, Vec<&WorkloadEndpoint>> = HashMap::new();
        for endpoint in endpoints().filter(|endpoint| !endpoint.spec.pod.is_empty()) {
            let pod = format!("{}.{}", endpoint.metadata.namespace, endpoint.spec.pod);
            pods.entry(pod).or_default().push(endpoint);
        }
        let ids = endpoints().map(|endpoint| endpoint.spec.container_id.as_str());
        Living {
            used: snapshot.used(),
            containers: ids.filter(|id| !id.is_empty()).collect(),
            pods,
            endpoints_are_pods: snapshot.endpoints_are_pods,
            nodes: snapshot.nodes.keys().map(String::as_str).collect(),
            unknown: snapshot.unknown_users(),
            now,
        }
    }

    /// Whether an endpoint or a node has this address.
    pub fn uses(&self, address: IpAddr) -> bool {
        self.used.contains(&address)
    }

    /// Why an address with this attribute may be in use; `None` where it is provably not.
    pub fn objection(&self, address: IpAddr, attribute: &Attribute) -> Option<String> {
        if let Some(key) = self.unknown.first() {
            return Some(format!("{key} cannot be read, and may have {address}."));
        }
        if self.uses(address) {
            return Some(format!("{address} is in use."));
        }
        if let Some(objection) = self.youth(address, attribute) {
            return Some(objection);
        }
        let handle = attribute.handle().unwrap_or_default();
        let tails = handle.match_indices('.').map(|(dot, _)| &handle[dot + 1..]);
        if tails.chain([handle]).any(|id| self.containers.contains(id)) || self.pods.contains_key(handle) {
            return Some("Its container has an endpoint, with other addresses.".to_owned());
        }
        let fact = |name: &str| attribute.secondary.get(name).map(String::as_str).unwrap_or_default();
        let of_pod = self.pods.get(&format!("{}.{}", fact("namespace"), fact("pod")))?;
        if of_pod.iter().any(|endpoint| endpoint.spec.ip_networks.is_empty()) {
            return Some("Its pod has no address yet.".to_owned());
        }
        // An endpoint that is a pod tells the container that the pod has now, whichever network that is in.
        let is_anothers = self.endpoints_are_pods && of_pod.iter().all(|it| !it.spec.container_id.is_empty());
        (!is_anothers).then(|| "Its pod has an endpoint, with other addresses.".to_owned())
    }

    /// Why a node may exist; `None` where it provably does not.
    pub fn node_objection(&self, node: &str) -> Option<String> {
        let key = Key::resource(Kind::Node, node).path();
        if self.nodes.contains(node) || self.unknown.contains(&key) {
            return Some(format!("Node {node} exists."));
        }
        self.nodes.is_empty().then(|| "There is no node at all: see whether this is the right datastore.".to_owned())
    }

    /// Why its container may be starting.
    fn youth(&self, address: IpAddr, attribute: &Attribute) -> Option<String> {
        let text = attribute.secondary.get("timestamp")?;
        let allocated = text.strip_suffix(" +0000 UTC").and_then(|utc| timestamp::parse_rfc3339(&format!("{utc}Z")));
        let Some(allocated) = allocated else {
            return Some(format!("{address} was allocated at {text:?}, which is no time: it may have been just now."));
        };
        // One of the future is young: clocks differ.
        let is_old = self.now.duration_since(allocated).is_ok_and(|age| age >= GRACE);
        let minutes = GRACE.as_secs() / 60;
        (!is_old)
            .then(|| format!("{address} was allocated less than {minutes} minutes ago: its container may be starting."))
    }
}
