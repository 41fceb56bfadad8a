//! What was measured, and on what: figures say little without it.

use std::fmt::Write;

use e2e::{Release, kubernetes_version};

use crate::settings::{AT_ONCE, Datastore, Folder, Settings};

/// Some lines about the machine, the run and the plugins.
pub fn describe(settings: &Settings) -> Result<String, String> {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut text = format!("{cores} cores, Linux {}", kernel.trim());
    let uses = |datastore| settings.datastores.contains(&datastore);
    if uses(Datastore::Etcd) || uses(Datastore::Kubernetes) {
        let _ = write!(text, ", etcd {} with one member", Release::default().version());
    }
    if uses(Datastore::Kubernetes) {
        let _ = write!(text, ", Kubernetes {}", kubernetes_version());
    }
    let (count, rounds) = (settings.count, settings.rounds());
    let _ = writeln!(text, ", data on disk\n{count} calls one at a time, {rounds} rounds of {AT_ONCE} at once");
    for folder in &settings.folders {
        let _ = writeln!(text, "{}: {}", folder.name, sizes(folder)?);
    }
    Ok(text)
}

fn sizes(folder: &Folder) -> Result<String, String> {
    let size = |name: &str| {
        let data = std::fs::metadata(folder.path.join(name)).map_err(|e| format!("{}/{name}: {e}", folder.name))?;
        Ok(format!("{name} {:.1} MiB", data.len() as f64 / f64::from(1 << 20)))
    };
    Ok(folder.executables().into_iter().map(size).collect::<Result<Vec<String>, String>>()?.join(", "))
}
