//! Many pods at once on a node.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::control_plane::ControlPlane;
use crate::wait::until;
use crate::worker::{BUSYBOX, Worker};

const PODS: &str = "/api/v1/namespaces/default/pods";

impl Worker {
    /// Creates so many pods at once on this node, alone, and removes them again. Says how long it took from before the first was
    /// created until the last event came that one runs.
    pub fn burst(&self, plane: &ControlPlane, count: usize, host_network: bool) -> Duration {
        let selector = format!("{PODS}?labelSelector=burst");
        let before = plane.admin().get(&selector).unwrap_or_else(|refusal| panic!("{refusal}"));
        let version = before["metadata"]["resourceVersion"].as_str().expect("a list has a version").to_owned();
        let tasks = || self.ctr(&["tasks", "list", "--quiet"]).stdout.split(|&byte| byte == b'\n').count();
        let others = tasks();
        let begin = Instant::now();
        for number in 0..count {
            let pod = json!({
                "apiVersion": "v1", "kind": "Pod",
                "metadata": {"name": format!("burst-{number}"), "labels": {"burst": ""}},
                "spec": {
                    "nodeName": self.name(), "hostNetwork": host_network, "automountServiceAccountToken": false,
                    "terminationGracePeriodSeconds": 0, "enableServiceLinks": false,
                    "containers": [{"name": "main", "image": BUSYBOX, "imagePullPolicy": "Never"}]
                }
            });
            plane.admin().create(PODS, &pod).unwrap_or_else(|refusal| panic!("{refusal}"));
        }
        let mut running = std::collections::BTreeSet::new();
        plane.admin().watch(&format!("{selector}&resourceVersion={version}"), |_, pod: &Value| {
            if pod["status"]["phase"] == "Running" {
                running.insert(pod["metadata"]["name"].to_string());
            }
            running.len() == count
        });
        let taken = begin.elapsed();
        plane.admin().delete(&selector).unwrap_or_else(|refusal| panic!("{refusal}"));
        until("the node has removed them", || {
            plane.admin().list(&selector).is_ok_and(|left| left.is_empty()) && tasks() <= others
        });
        taken
    }
}
