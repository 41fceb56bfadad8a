//! The pods of a node, and whether the stored addresses are exactly theirs.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::installed::Installed;
use crate::place::Place;
use crate::store::Stored;
use crate::wait::within;

/// How long a node may take to start what shall run and to tear down what has ended: a kubelet waits longer and longer before
/// it tries again. What is there afterwards is lost.
const REST: Duration = Duration::from_secs(180);
/// How long to wait before looking again.
const PAUSE: Duration = Duration::from_millis(200);

/// What a kubelet says of a pod that could not be networked, or whose network could not be taken away.
const COMPLAINTS: [&str; 2] = ["FailedCreatePodSandBox", "FailedKillPod"];

/// A pod, as the cluster sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    /// Its namespace and name.
    pub name: String,
    /// Its address; empty until it has one.
    pub address: String,
    /// Whether its containers run, and it is not being deleted.
    pub running: bool,
    /// Whether it is on the host's network.
    pub host_network: bool,
}

impl Installed {
    /// All pods that a label selector chooses; all there are, by an empty one.
    pub fn pods(&self, selector: &str) -> Vec<Pod> {
        let path = format!("/api/v1/pods?labelSelector={selector}");
        let pods = self.plane.admin().list(&path).expect("pods can be listed");
        pods.iter().map(Pod::of).collect()
    }

    /// Waits until exactly so many pods are chosen by the selector, and all of them run.
    #[track_caller]
    pub fn wait_for_pods(&self, selector: &str, count: usize) -> Vec<Pod> {
        let mut pods = Vec::new();
        within(REST, &format!("{count} pods of {selector} run"), || {
            pods = self.pods(selector);
            pods.len() == count && pods.iter().all(|pod| pod.running)
        });
        pods
    }

    /// Waits until the selector chooses no pod any more.
    #[track_caller]
    pub fn wait_until_gone(&self, selector: &str) {
        within(REST, &format!("no pods of {selector} are left"), || self.pods(selector).is_empty());
    }

    /// Asserts that no pod had to be networked twice: that a kubelet tries again would hide it.
    #[track_caller]
    pub fn assert_no_call_has_failed(&self) {
        for reason in COMPLAINTS {
            let events = self.plane.admin().list(&format!("/api/v1/events?fieldSelector=reason={reason}"));
            assert_eq!(events.expect("events can be listed"), [] as [Value; 0]);
        }
    }

    /// Asserts, once the node is at rest, that the allocated addresses are exactly those of the pods that run, that each is
    /// of the pod's own sandbox, that every pod has one interface on the host and no other is there, and that the stored
    /// objects agree.
    #[track_caller]
    pub fn assert_allocations_are_pods(&self) {
        let path = format!("/api/v1/pods?fieldSelector=spec.nodeName={}", self.worker.name());
        self.assert_none_at_rest("allocations and pods", |stored, links| {
            let pods = self.plane.admin().list(&path).expect("pods can be listed");
            let mut found = differences(stored, &pods);
            let networked = pods.iter().filter(|pod| !Pod::of(pod).host_network).count();
            if links.len() != networked {
                found.push(format!("{} interfaces of {networked} pods", links.len()));
            }
            found
        });
    }

    /// Asserts, once the node is at rest, that no pod has an address or an interface, and no handle is left.
    #[track_caller]
    pub fn assert_no_pod_is_networked(&self) {
        self.assert_none_at_rest("left behind", |stored, links| {
            let links = links.iter().map(|link| format!("link {link}"));
            stored.leftovers().into_iter().chain(links).collect()
        });
    }

    /// Asserts that nothing is found in what is stored and in the pods' interfaces on the host, and that the stored objects
    /// agree, as soon as the node has come to rest.
    #[track_caller]
    fn assert_none_at_rest(&self, what: &str, find: impl Fn(&Stored, &[String]) -> Vec<String>) {
        let deadline = Instant::now() + REST;
        loop {
            let (stored, contradictions) = self.stored_and_contradictions();
            let links = self.worker.host().links().into_iter().filter(|link| link.starts_with("cali"));
            let mut found = find(&stored, &links.collect::<Vec<_>>());
            found.extend(contradictions.into_iter().map(|finding| format!("audit: {finding}")));
            if found.is_empty() {
                return;
            }
            assert!(Instant::now() < deadline, "{what}:\n{}", found.join("\n"));
            std::thread::sleep(PAUSE);
        }
    }
}

impl Pod {
    fn of(pod: &Value) -> Pod {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let ready = |status: &Value| status["ready"] == true;
        let containers = pod["status"]["containerStatuses"].as_array();
        let deleted = !pod["metadata"]["deletionTimestamp"].is_null();
        Pod {
            name: format!("{}/{}", text(&pod["metadata"]["namespace"]), text(&pod["metadata"]["name"])),
            address: text(&pod["status"]["podIP"]),
            running: !deleted && containers.is_some_and(|all| all.iter().all(ready)),
            host_network: pod["spec"]["hostNetwork"] == true,
        }
    }
}

/// How what is allocated to containers differs from the addresses of pods, as the API server has them. One line each; none
/// where it is exactly the same.
fn differences(stored: &Stored, pods: &[Value]) -> Vec<String> {
    let mut allocated = stored.allocations();
    let mut found = Vec::new();
    for pod in pods {
        let seen = Pod::of(pod);
        if seen.host_network {
            continue;
        }
        if !seen.running {
            found.push(format!("{} does not run", seen.name));
        }
        // With etcd the pod is not told.
        let sandbox = pod["metadata"]["annotations"]["cni.projectcalico.org/containerID"].as_str();
        match allocated.remove(&seen.address) {
            Some(handle) if sandbox.is_none_or(|id| handle == format!("k8s-pod-network.{id}")) => {}
            Some(handle) => found.push(format!("{}: {} is of {handle}, not of {sandbox:?}", seen.name, seen.address)),
            None => found.push(format!("{}: {:?} is allocated to nobody", seen.name, seen.address)),
        }
    }
    found.extend(allocated.into_iter().map(|(address, handle)| format!("{address} is of {handle}, which is no pod")));
    found
}

impl Stored {
    /// The addresses that are allocated in all blocks, and the handles that have them.
    pub fn allocations(&self) -> BTreeMap<String, String> {
        self.blocks().into_values().flat_map(allocations_of).collect()
    }
}

fn allocations_of(block: &Value) -> Vec<(String, String)> {
    let cidr: ipnetwork::IpNetwork = block["cidr"].as_str().and_then(|cidr| cidr.parse().ok()).expect("a block's CIDR");
    let entries = block["allocations"].as_array().into_iter().flatten();
    let handle = |entry: &Value| {
        let attribute = usize::try_from(entry.as_u64()?).ok()?;
        Some(block["attributes"][attribute]["handle_id"].as_str().unwrap_or_default().to_owned())
    };
    entries.zip(cidr.iter()).filter_map(|(entry, ip)| Some((ip.to_string(), handle(entry)?))).collect()
}
