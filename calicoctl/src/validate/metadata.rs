//! Names, labels and annotations.

use calico_model::endpoint_name::is_dns_subdomain;
use serde_json::{Map, Value};

use super::Broken;
use super::part::{Part, printed};
use super::qualified::{key_faults, value_faults};
use crate::kind::Kind;
use crate::kinds::metadata::METADATA;

/// The greatest length of a name.
const LONGEST_NAME: usize = 253;

/// The greatest size of all annotations together, in bytes.
const MOST_ANNOTATIONS: usize = 256 << 10;

/// The rules for every object's name, annotations and labels.
pub fn check(object: &Map<String, Value>) -> Vec<Broken> {
    let metadata = of(object);
    let mut broken: Vec<Broken> = check_letters(metadata.text("name")).into_iter().collect();
    broken.extend(check_annotations(&metadata));
    broken.extend(check_labels(&metadata));
    broken
}

/// What an object must and must not have in its metadata to be created.
pub fn check_create_metadata(kind: Kind, object: &Map<String, Value>) -> Vec<Broken> {
    let metadata = of(object);
    let mut broken = Vec::new();
    let version = metadata.text("resourceVersion");
    if !version.is_empty() {
        let reason = "field must not be set for a Create request";
        broken.push(named(&metadata, "resourceVersion", "Metadata.ResourceVersion", Some(version), reason));
    }
    if kind.about().is_namespaced && metadata.text("namespace").is_empty() {
        let reason = "namespace is not specified on namespaced resource";
        broken.push(named(&metadata, "namespace", "Metadata.Namespace", None, reason));
    }
    broken
}

/// Annotations, of an object or of a rule.
pub fn check_annotations(part: &Part<'_>) -> Vec<Broken> {
    const FIELD: &str = "Metadata.Annotations (key)";
    let Some(Value::Object(annotations)) = part.get("annotations") else { return Vec::new() };
    let mut broken = Vec::new();
    for key in annotations.keys() {
        let faults = key_faults(&key.to_lowercase());
        broken.extend(faults.into_iter().map(|fault| named(part, "annotations", FIELD, Some(key), fault)));
    }
    let size: usize = annotations.iter().map(|(key, value)| key.len() + value.as_str().map_or(0, str::len)).sum();
    if size > MOST_ANNOTATIONS {
        let reason = format!("total size of annotations is too large by {} bytes", size - MOST_ANNOTATIONS);
        broken.push(named(part, "annotations", FIELD, Some(&printed(&Value::Object(annotations.clone()))), reason));
    }
    broken
}

/// Whether these may be the labels of an object.
pub fn are_labels(labels: &Map<String, Value>) -> bool {
    labels.iter().all(|(key, value)| {
        key_faults(key).is_empty() && value.as_str().is_some_and(|value| value_faults(value).is_empty())
    })
}

fn check_letters(name: &str) -> Option<Broken> {
    const RULE: &str = "name must consist of lower case alphanumeric characters, '-' or '.'";
    const FORM: &str = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
    let reason = match name.len() {
        length if length > LONGEST_NAME => format!("name is too long by {} bytes", length - LONGEST_NAME),
        _ if is_dns_subdomain(name) => return None,
        _ => format!("{RULE} (regex: {FORM})"),
    };
    let (field, path) = ("Metadata.Name".to_owned(), "metadata.name".to_owned());
    Some(Broken { field, value: Some(name.to_owned()), reason, path })
}

fn check_labels(metadata: &Part<'_>) -> Vec<Broken> {
    let Some(Value::Object(labels)) = metadata.get("labels") else { return Vec::new() };
    let mut broken = Vec::new();
    for (key, value) in labels {
        let value = value.as_str().unwrap_or_default();
        let of_key = key_faults(key).into_iter().map(|fault| ("Metadata.Labels (label)", key.as_str(), fault));
        let of_value = value_faults(value).into_iter().map(|fault| ("Metadata.Labels (value)", value, fault));
        let faults = of_key.chain(of_value);
        broken.extend(faults.map(|(field, text, fault)| named(metadata, "labels", field, Some(text), fault)));
    }
    broken
}

fn of(object: &Map<String, Value>) -> Part<'_> {
    Part::new(&METADATA, object.get("metadata"), "metadata")
}

/// Upstream's names for parts of the metadata are not those of the fields.
fn named(part: &Part<'_>, name: &str, field: &str, value: Option<&str>, reason: impl Into<String>) -> Broken {
    Broken { field: field.to_owned(), value: value.map(str::to_owned), reason: reason.into(), path: part.path(name) }
}
