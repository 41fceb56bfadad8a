//! Recorded runs of the established implementation, and what a run of ours is compared with them by.

mod differences;
mod kernel;
mod objects;
mod replay;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::etcd::{Etcd, Options};

pub use differences::{DIFFERENCES, Difference, Ours};
pub use replay::{on_embedded_store, on_etcd};

/// Stored objects: their paths, and the text that is stored.
pub type Objects = BTreeMap<String, String>;

/// One recorded scenario.
pub struct Recording {
    /// The configuration on stdin, without the keys that name the datastore.
    pub netconf: Value,
    /// Everything that was stored at the beginning.
    pub before: Objects,
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
    /// Reads a scenario from the fixtures.
    pub fn load(name: &str) -> Recording {
        let path = folder().join(format!("{name}.json"));
        let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let value: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let mut stored = Objects::new();
        change(&mut stored, &value["store before"]);
        let before = stored.clone();
        let mut step = |value: &Value| {
            change(&mut stored, &value["changes"]);
            Step::of(value, stored.clone())
        };
        let steps = value["steps"].as_array().into_iter().flatten().map(&mut step).collect();
        Recording { netconf: value["netconf"].clone(), before, steps }
    }

    /// The names of all scenarios there are.
    pub fn names() -> Vec<String> {
        let entries = std::fs::read_dir(folder()).unwrap_or_else(|e| panic!("{}: {e}", folder().display()));
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        names.filter_map(|name| Some(name.strip_suffix(".json")?.to_owned())).collect()
    }

    /// An etcd with everything that was stored at the beginning.
    pub fn etcd(&self) -> Etcd {
        let etcd = Etcd::start(Options::default());
        for (path, value) in &self.before {
            etcd.put(path, value);
        }
        etcd
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
