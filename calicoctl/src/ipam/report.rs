//! The report of `ipam check`, of which `ipam release` takes what was leaked.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use calico_ipam::audit::Snapshot;
use serde::{Deserialize, Serialize};

use crate::error::Error;

/// The release of this program, as reports name it.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A report, in the established implementation's form.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Report {
    /// The program's release.
    pub version: String,
    /// Which cluster it is about.
    #[serde(rename = "clusterGUID")]
    pub cluster_guid: String,
    /// Whether nobody else could change anything meanwhile.
    pub datastore_locked: bool,
    /// The version of the object that says whether it is locked.
    pub cluster_information_revision: String,
    /// What kind of cluster it is.
    pub cluster_type: String,
    /// All that is allocated, by address.
    pub allocations: BTreeMap<String, Vec<Allocation>>,
    /// The handles of which nothing is allocated.
    pub leaked_handles: Vec<LeakedHandle>,
}

/// One allocation of an address.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "each field is named after what it holds")]
pub struct Allocation {
    pub ip: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub handle: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub sequence_number: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub pod: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub node: String,
    #[serde(rename = "type", skip_serializing_if = "String::is_empty")]
    pub kind: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub creation_timestamp: String,
    pub in_use: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub borrowed: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub cooling_down: bool,
    pub owners: Option<Vec<String>>,
}

/// A handle of which nothing is allocated.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct LeakedHandle {
    /// Its ID.
    #[serde(rename = "ID")]
    pub id: String,
    /// Its UUID where the established implementation reports one. The revision tells as much.
    #[serde(rename = "UID")]
    pub uid: Option<String>,
    /// Its version.
    pub revision: String,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Report {
    /// A report about the cluster of a snapshot, without what is allocated.
    pub fn about(snapshot: &Snapshot) -> Report {
        let information = snapshot.information.as_ref();
        let text = |field: &str| {
            let found = information.and_then(|stored| stored.value.spec.extra.get(field)?.as_str());
            found.unwrap_or_default().to_owned()
        };
        Report {
            version: VERSION.to_owned(),
            cluster_guid: text("clusterGUID"),
            datastore_locked: information.is_some_and(|stored| stored.value.spec.datastore_ready == Some(false)),
            cluster_information_revision: information.map(|it| it.revision.0.to_string()).unwrap_or_default(),
            cluster_type: text("clusterType"),
            ..Report::default()
        }
    }

    /// Reads a report.
    ///
    /// # Errors
    /// The file cannot be read, or is no report.
    pub fn read(path: &Path) -> Result<Report, Error> {
        let failed =
            |reason: String| Error::new(format_args!("failed to read the report {}: {reason}", path.display()));
        let text = std::fs::read(path).map_err(|error| failed(error.to_string()))?;
        serde_json::from_slice(&text).map_err(|error| {
            failed(error.to_string()).with_detail("a report is what `calicoctl ipam check -o FILE` writes")
        })
    }

    /// Writes the report: as a whole or not at all.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), Error> {
        let failed =
            |error: std::io::Error| Error::new(format_args!("failed to write the report {}: {error}", path.display()));
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.tmp", std::process::id()));
        let unfinished = path.with_file_name(name);
        let write = || {
            let mut options = std::fs::OpenOptions::new();
            let mut file = options.write(true).create(true).truncate(true).mode(0o644).open(&unfinished)?;
            serde_json::to_writer_pretty(&mut file, self)?;
            file.write_all(b"\n")?;
            file.sync_all()?;
            std::fs::rename(&unfinished, path)
        };
        write().map_err(|error| {
            let _ = std::fs::remove_file(&unfinished);
            failed(error)
        })
    }
}
