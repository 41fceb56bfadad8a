//! The configuration file: kind CalicoAPIConfig.

use std::ffi::OsString;

use serde_json::{Map, Value};

use super::Inline;
use crate::error::Error;
use crate::yaml;

/// The fields of `spec` with a variable each, which they stand for.
const FIELDS: [(&str, &str); 18] = [
    ("datastoreType", "DATASTORE_TYPE"),
    ("etcdEndpoints", "ETCD_ENDPOINTS"),
    ("etcdDiscoverySrv", "ETCD_DISCOVERY_SRV"),
    ("etcdUsername", "ETCD_USERNAME"),
    ("etcdPassword", "ETCD_PASSWORD"),
    ("etcdKeyFile", "ETCD_KEY_FILE"),
    ("etcdCertFile", "ETCD_CERT_FILE"),
    ("etcdCACertFile", "ETCD_CA_CERT_FILE"),
    ("kubeconfig", "KUBECONFIG"),
    ("k8sAPIEndpoint", "K8S_API_ENDPOINT"),
    ("k8sKeyFile", "K8S_KEY_FILE"),
    ("k8sCertFile", "K8S_CERT_FILE"),
    ("k8sCAFile", "K8S_CA_FILE"),
    ("k8sAPIToken", "K8SAPITOKEN"),
    ("k8sInsecureSkipTLSVerify", "K8S_INSECURE_SKIP_TLS_VERIFY"),
    ("k8sCurrentContext", "K8S_CURRENT_CONTEXT"),
    ("calicoAPIGroup", "CALICO_API_GROUP"),
    ("localStoreFile", "LOCAL_STORE_FILE"),
];

/// The fields whose text is a file's content, and the variable for a file with it.
const INLINE: [(&str, &str, &str); 4] = [
    ("etcdKey", "ETCD_KEY_FILE", "etcdKeyFile"),
    ("etcdCert", "ETCD_CERT_FILE", "etcdCertFile"),
    ("etcdCACert", "ETCD_CA_CERT_FILE", "etcdCACertFile"),
    ("kubeconfigInline", "KUBECONFIG", "kubeconfig"),
];

/// Fields that have no effect here.
const WITHOUT_EFFECT: [&str; 4] = ["k8sDisableNodePoll", "usePodCIDR", "k8sClientQPS", "k8sClientBurst"];

/// What a file says, as the environment would say it, and what must be kept for that.
pub type Settings = (Vec<(String, OsString)>, Vec<Inline>);

/// Reads the text of a file.
///
/// # Errors
/// It is none, or has fields that there are not.
pub fn settings(text: &str) -> Result<Settings, Error> {
    let documents = yaml::read(text).map_err(Error::new)?;
    let file = match documents.into_iter().next().map(|document| document.value) {
        Some(Value::Object(file)) => file,
        _ => Map::new(),
    };
    let text_of = |field: &str| file.get(field).and_then(Value::as_str).unwrap_or_default();
    if text_of("apiVersion") != "projectcalico.org/v3" {
        return Err(Error::new(format_args!("invalid config file: unknown APIVersion '{}'", text_of("apiVersion"))));
    }
    if text_of("kind") != "CalicoAPIConfig" {
        let text = format!("invalid config file: expected kind 'CalicoAPIConfig', got '{}'", text_of("kind"));
        return Err(Error::new(text));
    }
    let empty = Map::new();
    let spec = match file.get("spec") {
        Some(Value::Object(spec)) => spec,
        None | Some(Value::Null) => &empty,
        Some(_) => return Err(Error::new("invalid config file: spec has no fields")),
    };
    let (mut settings, mut kept) = (Vec::new(), Vec::new());
    for (field, value) in spec {
        let value = match value {
            Value::Null => continue,
            Value::String(text) => text.clone(),
            Value::Bool(_) | Value::Number(_) => value.to_string(),
            _ => return Err(Error::new(format_args!("invalid config file: spec.{field} is no text"))),
        };
        if let Some((_, variable)) = FIELDS.iter().find(|(name, _)| name == field) {
            settings.push(((*variable).to_owned(), value.into()));
        } else if let Some((_, variable, file)) = INLINE.iter().find(|(name, ..)| name == field) {
            if spec.get(*file).and_then(Value::as_str).is_some_and(|path| !path.is_empty()) {
                let text = format!("invalid config file: spec.{field} and spec.{file} are the same thing: keep one");
                return Err(Error::new(text));
            }
            if !value.is_empty() {
                let inline = Inline::new(&value)?;
                settings.push(((*variable).to_owned(), inline.path().into()));
                kept.push(inline);
            }
        } else if !WITHOUT_EFFECT.contains(&field.as_str()) {
            let known = FIELDS.iter().map(|(name, _)| *name).chain(INLINE.iter().map(|(name, ..)| *name));
            let meant = crate::suggest::closest(field, known);
            let error = Error::new(format_args!("invalid config file: unknown field spec.{field}"));
            return Err(error.with_detail(meant.map(|name| format!("did you mean {name}?")).unwrap_or_default()));
        }
    }
    Ok((settings, kept))
}
