//! What Kubernetes says of the node: its own networks, and its pods' addresses.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;

use calico_datastore::Deadline;
use calico_datastore::kubernetes::Cluster;
use calico_model::kubernetes::{ClusterNode, Pod};

use super::error::Error;
use super::migration::LIMIT;

/// Who knows nodes and pods.
#[allow(async_fn_in_trait, reason = "everything runs on one thread; no future needs to be Send")]
pub(crate) trait Orchestrator {
    /// A node.
    async fn node(&self, name: &str) -> Result<Option<ClusterNode>, Error>;

    /// All pods of a node.
    async fn pods_on(&self, node: &str) -> Result<Vec<Pod>, Error>;
}

impl Orchestrator for Cluster {
    async fn node(&self, name: &str) -> Result<Option<ClusterNode>, Error> {
        Ok(self.until(Deadline::after(LIMIT)).node(name).await?)
    }

    async fn pods_on(&self, node: &str) -> Result<Vec<Pod>, Error> {
        Ok(self.until(Deadline::after(LIMIT)).pods_on(node).await?)
    }
}

/// Which pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PodName {
    pub namespace: String,
    pub name: String,
}

impl fmt::Display for PodName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// The pods of a node.
pub(super) struct Pods {
    by_address: HashMap<IpAddr, PodName>,
    /// Whether some pod may have an address that its kubelet has not reported yet.
    pub some_is_unreported: bool,
}

impl Pods {
    /// A pod that has ended keeps its address in its status while another may have it: then it is that one's.
    pub fn new(mut pods: Vec<Pod>) -> Pods {
        let has_ended = |pod: &Pod| matches!(pod.status.phase.as_str(), "Succeeded" | "Failed");
        pods.retain(|pod| !pod.spec.host_network);
        pods.sort_by_key(|pod| !has_ended(pod));
        let mut found = Pods { by_address: HashMap::new(), some_is_unreported: false };
        for pod in pods {
            let texts = pod.status.pod_ips.iter().map(|ip| &ip.ip).chain([&pod.status.pod_ip]);
            let addresses: Vec<IpAddr> = texts.filter_map(|text| text.parse().ok()).collect();
            found.some_is_unreported |= addresses.is_empty() && !has_ended(&pod);
            let name = PodName { namespace: pod.metadata.namespace, name: pod.metadata.name };
            found.by_address.extend(addresses.into_iter().map(|address| (address, name.clone())));
        }
        found
    }

    /// The pod that has an address.
    pub fn with(&self, address: IpAddr) -> Option<&PodName> {
        self.by_address.get(&address)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_address_is_that_of_the_pod_that_lives() {
        let pod = |name: &str, phase: &str, host_network: bool, ip: &str| -> Pod {
            let ips = if ip.is_empty() { json!([]) } else { json!([{"ip": ip}, {"ip": "fd00::7"}]) };
            let pod = json!({
                "metadata": {"namespace": "shop", "name": name}, "spec": {"hostNetwork": host_network},
                "status": {"phase": phase, "podIP": ip, "podIPs": ips}
            });
            serde_json::from_str(&pod.to_string()).unwrap()
        };
        for (phase, host_network, unreported) in
            [("Pending", false, true), ("Pending", true, false), ("Failed", false, false)]
        {
            assert_eq!(Pods::new(vec![pod("new", phase, host_network, "")]).some_is_unreported, unreported);
        }
        for order in [[0, 1, 2, 3], [3, 2, 1, 0]] {
            let pods = [
                pod("done", "Succeeded", false, "10.0.0.2"),
                pod("web", "Running", false, "10.0.0.2"),
                pod("proxy", "Running", true, "10.0.0.3"),
                pod("failed", "Failed", false, "10.0.0.4"),
            ];
            let found = Pods::new(order.map(|at| pods[at].clone()).to_vec());
            let name = |ip: &str| found.with(ip.parse().unwrap()).map(|pod| pod.name.as_str());
            assert_eq!(
                ["10.0.0.2", "10.0.0.3", "10.0.0.4", "fd00::7"].map(name),
                [Some("web"), None, Some("failed"), Some("web")]
            );
        }
    }
}
