//! Calico's pods, and which of them are looked at.

use std::collections::BTreeMap;

use super::commands::{Task, is_name};

/// The labels of Calico's pods.
const APPS: &str = "calico-node,calico-typha,calico-kube-controllers,calico-apiserver,tigera-operator";

/// A pod of Calico's.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "they are a pod's")]
pub struct Pod {
    pub namespace: String,
    pub name: String,
    /// Where it runs; `unscheduled` if nowhere.
    pub node: String,
    /// Its label `k8s-app`.
    pub app: String,
}

impl Pod {
    /// Whether it is a node's agent.
    pub fn is_agent(&self) -> bool {
        self.app == "calico-node"
    }
}

/// What tells which pods there are.
pub fn list() -> Task {
    let columns = "NAMESPACE:.metadata.namespace,NAME:.metadata.name,NODE:.spec.nodeName,APP:.metadata.labels.k8s-app";
    let query = format!("get pods -A --no-headers -o custom-columns={columns}");
    let mut task = Task::new("pods/pods.txt", &query);
    task.arguments.extend(["-l".to_owned(), format!("k8s-app in ({APPS})")]);
    task
}

/// The pods whose logs are collected: of each kind so many, those on certain nodes first. `list` is what [`list`] has printed.
pub fn choose(list: &str, focus: &[String], most: usize) -> Vec<Pod> {
    let mut by_app: BTreeMap<String, Vec<Pod>> = BTreeMap::new();
    for pod in list.lines().filter_map(parse) {
        by_app.entry(pod.app.clone()).or_default().push(pod);
    }
    let mut chosen = Vec::new();
    for mut pods in by_app.into_values() {
        // Stable: within both parts the order is kubectl's.
        pods.sort_by_key(|pod| !focus.contains(&pod.node));
        chosen.extend(pods.into_iter().take(most));
    }
    chosen
}

fn parse(line: &str) -> Option<Pod> {
    let fields: [&str; 4] = line.split_whitespace().collect::<Vec<_>>().try_into().ok()?;
    let [namespace, name, node, app] = fields.map(|field| if field == "<none>" { "unscheduled" } else { field });
    let pod = Pod { namespace: namespace.into(), name: name.into(), node: node.into(), app: app.into() };
    [namespace, name, node, app].into_iter().all(is_name).then_some(pod)
}
