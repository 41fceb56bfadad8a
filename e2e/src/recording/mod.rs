//! Recorded runs of the established implementation, and what a run of ours is compared with them by.

mod differences;
mod kernel;
mod objects;
mod replay;
mod store;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

pub use differences::{DIFFERENCES, Difference, Ours};
pub use replay::{on_embedded_store, on_etcd, on_etcd_beside_kubernetes, on_kubernetes};

/// Stored objects: their paths, and the text that is stored. Of the Kubernetes API a path is such as `ippools/pool4`, and
/// `pods/web` has the annotations of a pod in the namespace `default`.
pub type Objects = BTreeMap<String, String>;

/// One recorded scenario.
pub struct Recording {
    /// The configuration on stdin, without the keys that name the datastore.
    pub netconf: Value,
    /// Everything that was stored at the beginning.
    pub before: Objects,
    /// The pods in the Kubernetes API.
    pub pods: Vec<Value>,
    /// Files of the host that were there, with their text.
    pub files: BTreeMap<String, String>,
    /// The calls.
    pub steps: Vec<Step>,
}

/// One recorded call and what was there after it.
pub struct Step {
    /// Which executable was run.
    pub executable: String,
    /// The CNI command.
    pub verb: String,
    /// The container.
    pub container: String,
    /// `CNI_ARGS`.
    pub arguments: String,
    /// The exit status.
    pub exit: i64,
    /// What it printed, verbatim.
    pub stdout: String,
    /// Everything that was stored.
    pub after: Objects,
    /// The kernel's state, masked; `null` if it was not recorded.
    pub kernel: Value,
}

impl Recording {
    /// Reads a scenario from the fixtures; those of pods are called `kubernetes/…`.
    pub fn load(name: &str) -> Recording {
        let path = folder().join(format!("{name}.json"));
        let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let value: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let mut stored = Objects::new();
        change(&mut stored, &value["store before"]);
        let list = |key: &str| value[key].as_array().cloned().unwrap_or_default();
        let pods = list("pods before");
        stored.extend(pods.iter().map(annotations));
        let before = stored.clone();
        let files = value["files before"].as_object().into_iter().flatten();
        let files = files.filter_map(|(path, text)| Some((path.clone(), text.as_str()?.to_owned()))).collect();
        let mut step = |value: &Value| {
            change(&mut stored, &value["changes"]);
            Step::of(value, stored.clone())
        };
        let steps = list("steps").iter().map(&mut step).collect();
        Recording { netconf: value["netconf"].clone(), before, pods, files, steps }
    }

    /// The names of all scenarios there are: of pods as Kubernetes describes them, or of other containers.
    pub fn names(of_pods: bool) -> Vec<String> {
        let (folder, prefix) = if of_pods { (folder().join("kubernetes"), "kubernetes/") } else { (folder(), "") };
        let entries = std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        names.filter_map(|name| Some(format!("{prefix}{}", name.strip_suffix(".json")?))).collect()
    }

    /// The recorded configuration on the embedded store, with the pools that were there when it was recorded.
    fn embedded_netconf(&self) -> Value {
        let mut netconf = self.netconf.clone();
        netconf["datastore_type"] = json!("local");
        netconf["ipam"]["ipv4_pools"] = json!(["192.168.0.0/16"]);
        netconf["ipam"]["ipv6_pools"] = json!(["fd80:24e2:f998:72d6::/64"]);
        netconf
    }
}

impl Step {
    fn of(value: &Value, after: Objects) -> Step {
        let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
        Step {
            executable: text("binary"),
            verb: text("CNI_COMMAND"),
            container: text("CNI_CONTAINERID"),
            arguments: text("CNI_ARGS"),
            exit: value["exit"].as_i64().unwrap_or_else(|| panic!("no exit status: {value}")),
            stdout: text("stdout"),
            after,
            kernel: kernel::mask_kernel(&value["kernel"]),
        }
    }
}

/// A pod as recordings have it.
fn annotations(pod: &Value) -> (String, String) {
    let name = pod["metadata"]["name"].as_str().unwrap_or_else(|| panic!("a pod without name: {pod}"));
    let annotations = json!({"annotations": pod["metadata"]["annotations"]});
    (format!("pods/{name}"), go_json::to_compact(&annotations))
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/recorded")
}

/// Takes over what a step changed: `null` is an object that is gone.
fn change(stored: &mut Objects, changes: &Value) {
    for (path, value) in changes.as_object().unwrap_or_else(|| panic!("no objects: {changes}")) {
        match value {
            Value::Null => stored.remove(path),
            value => stored.insert(path.clone(), go_json::to_compact(&objects::whole(value))),
        };
    }
}
