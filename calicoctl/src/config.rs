//! Where the objects are: a configuration file, the environment, or the command line.

mod file;
mod inline;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use calico_plugin::Variables;
use calico_plugin::config::DatastoreConf;

use crate::cli::Global;
use crate::error::Error;

pub use inline::Inline;

/// What is looked for where the command line names no file.
pub const DEFAULT_FILE: &str = "/etc/calico/calicoctl.cfg";

/// The three ways to say where the objects are.
const THREE_WAYS: [&str; 4] = [
    "etcd: set DATASTORE_TYPE=etcdv3 and ETCD_ENDPOINTS=https://10.0.0.1:2379",
    "the Kubernetes API: set DATASTORE_TYPE=kubernetes and KUBECONFIG=/path/of/the/kubeconfig",
    "a file with either, /etc/calico/calicoctl.cfg or that of --config (docs/calicoctl.md shows one)",
    "or use --local, for the store that the plugin has embedded on this host",
];

/// The configuration of a command. It must live as long as the datastore is used: what the file has in itself is readable through it.
pub struct Configured {
    /// Where the objects are.
    pub datastore: DatastoreConf,
    /// What the file has in itself.
    _inline: Vec<Inline>,
}

impl Configured {
    /// A datastore that needs nothing else.
    pub fn of(datastore: DatastoreConf) -> Configured {
        Configured { datastore, _inline: Vec::new() }
    }
}

/// Reads it.
///
/// # Errors
/// A file that is named is absent, or one cannot be used; nothing is configured at all; or what is configured contradicts itself.
pub fn read(global: &Global) -> Result<Configured, Error> {
    if let Some(path) = &global.local {
        return Ok(Configured::of(DatastoreConf::Local(path.clone())));
    }
    let (settings, inline) = match read_file(&global.config)? {
        Some(text) => {
            let failed = |error: Error| {
                let at = format!("Failed to create Calico API client: syntax error in {}: ", global.config.display());
                error.after(at)
            };
            file::settings(&text).map_err(failed)?
        }
        None => (environment()?, Vec::new()),
    };
    let named = global.context.iter().map(|context| ("CALICO_K8S_CURRENT_CONTEXT".to_owned(), OsString::from(context)));
    let variables: Variables = settings.into_iter().chain(named).collect();
    let datastore = DatastoreConf::of_environment(&variables).map_err(|error| match reason(&error).as_str() {
        "no etcd endpoints specified" => nothing_configured("no etcd endpoints specified"),
        reason => Error::new(reason).after("Failed to create Calico API client: "),
    })?;
    Ok(Configured { datastore, _inline: inline })
}

/// The text of the file; `None` where the default one does not exist.
fn read_file(path: &Path) -> Result<Option<String>, Error> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => match path == Path::new(DEFAULT_FILE) {
            true => Ok(None),
            false => Err(Error::new(format_args!("Error reading config file: {}", path.display()))),
        },
        Err(error) => Err(Error::new(format_args!("Error reading config file: {}: {error}", path.display()))),
    }
}

/// What the environment says.
///
/// # Errors
/// It says nothing, and there is no kubeconfig in its usual place, and this is no container of a pod.
fn environment() -> Result<Vec<(String, OsString)>, Error> {
    let mut settings = calico_plugin::variables::of_datastore();
    let is_any = settings.iter().any(|(_, value)| !value.is_empty());
    let is_in_pod = std::env::var_os("KUBERNETES_SERVICE_HOST").is_some();
    if !is_any && !is_in_pod {
        let usual = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".kube/config"));
        let usual = usual.filter(|path| path.exists()).ok_or_else(|| nothing_configured("nothing is configured"))?;
        settings.push(("KUBECONFIG".to_owned(), usual.into()));
    }
    Ok(settings)
}

fn nothing_configured(what: &str) -> Error {
    let error = Error::new(format_args!("Failed to create Calico API client: {what}"));
    let error = error.with_detail("Say where Calico's objects are, in one of three ways:");
    THREE_WAYS.iter().fold(error, |error, way| error.with_detail(format_args!("- {way}")))
}

/// Why a datastore cannot be used, without what is said to those who configure the plugin.
pub fn reason(error: &calico_plugin::Error) -> String {
    match error {
        calico_plugin::Error::Client { reason, .. } => reason.clone(),
        calico_plugin::Error::Datastore(error) => error.to_string(),
        other => other.to_string(),
    }
}
