//! Metadata of custom resources. In the group V1 Calico's own metadata is in an annotation, and the real metadata has of
//! labels and annotations only Calico's. Where there is no such annotation the real metadata is Calico's.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use super::decode::Kept;
use super::group::Group;
use crate::lenient::null_is_default;
use crate::resource::Metadata;

/// The annotation with Calico's metadata.
const METADATA: &str = "projectcalico.org/metadata";

/// What the API server alone sets, or keeps where a write leaves it out.
const OF_THE_SERVER: [&str; 3] = ["creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"];

/// What is a place's, or counted by the server: people's tools write objects as they were shown them.
const OF_THE_PLACE: [&str; 7] =
    ["name", "namespace", "uid", "resourceVersion", "generation", "managedFields", "selfLink"];

/// An object's real metadata.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RealMetadata {
    #[serde(default, deserialize_with = "null_is_default")]
    pub name: String,
    #[serde(default, deserialize_with = "null_is_default")]
    pub resource_version: String,
    #[serde(default, deserialize_with = "null_is_default")]
    pub uid: String,
    #[serde(rename = "managedFields", default)]
    _managed_fields: IgnoredAny,
    #[serde(rename = "generation", default)]
    _generation: IgnoredAny,
    #[serde(rename = "selfLink", default)]
    _self_link: IgnoredAny,
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

fn annotation(metadata: &Map<String, Value>) -> Option<&str> {
    metadata.get("annotations")?.get(METADATA)?.as_str()
}

impl RealMetadata {
    /// Calico's metadata of a v3 resource.
    pub(super) fn calico(&self, group: Group) -> Result<Metadata, String> {
        let annotation = annotation(&self.rest).filter(|_| group == Group::V1);
        let mut metadata = match annotation {
            None => self.rest.clone(),
            Some(text) => {
                let mut inner: Map<String, Value> =
                    serde_json::from_str(text).map_err(|error| format!("the annotation {METADATA}: {error}"))?;
                for field in ["labels", "annotations"] {
                    overlay(&mut inner, field, &self.rest);
                }
                if let Some(annotations) = inner.get_mut("annotations").and_then(Value::as_object_mut) {
                    annotations.remove(METADATA);
                }
                for field in OF_THE_SERVER {
                    if let (None | Some(Value::Null), Some(value)) = (inner.get(field), self.rest.get(field)) {
                        inner.insert(field.to_owned(), value.clone());
                    }
                }
                inner
            }
        };
        metadata.insert("name".to_owned(), self.name.clone().into());
        metadata.insert("uid".to_owned(), self.uid.clone().into());
        serde_json::from_value(Value::Object(metadata)).map_err(|error| format!("metadata: {error}"))
    }
}

/// Adds the entries of a map in `from` to the same map in `to`.
fn overlay(to: &mut Map<String, Value>, field: &str, from: &Map<String, Value>) {
    if let Some(Value::Object(entries)) = from.get(field) {
        add(to, field, entries.clone());
    }
}

/// Adds entries to the map in a field.
fn add(to: &mut Map<String, Value>, field: &str, entries: Map<String, Value>) {
    if entries.is_empty() {
        return;
    }
    match to.entry(field).or_insert(Value::Null) {
        Value::Object(there) => there.extend(entries),
        other => *other = Value::Object(entries),
    }
}

/// What every written object's metadata begins with: to be followed by what is kept of the object that it replaces.
fn identity(name: &str, kept: Option<&Kept>, resource_version: Option<&str>) -> Map<String, Value> {
    let mut metadata = Map::from_iter([("name".to_owned(), name.into())]);
    if let Some(version) = resource_version {
        metadata.insert("resourceVersion".to_owned(), version.into());
        let uid = kept.map(|kept| kept.uid.as_str()).filter(|uid| !uid.is_empty());
        metadata.extend(uid.map(|uid| ("uid".to_owned(), uid.into())));
    }
    metadata
}

fn without_the_servers(metadata: &Map<String, Value>) -> impl Iterator<Item = (String, Value)> {
    let ours = |(field, _): &(&String, &Value)| !OF_THE_SERVER.contains(&field.as_str());
    metadata.iter().filter(ours).map(|(field, value)| (field.clone(), value.clone()))
}

/// The metadata of an object of address management, with these labels beside those that it has.
pub(super) fn written(
    group: Group,
    name: &str,
    kept: Option<&Kept>,
    resource_version: Option<&str>,
    labels: Map<String, Value>,
) -> Map<String, Value> {
    let mut metadata = identity(name, kept, resource_version);
    metadata.extend(kept.into_iter().flat_map(|kept| without_the_servers(&kept.metadata)));
    if group == Group::V1 {
        let mut inner = annotation(&metadata).and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        add(&mut inner, "labels", labels.clone());
        annotate(&mut metadata, inner);
    }
    add(&mut metadata, "labels", labels);
    metadata
}

fn annotate(metadata: &mut Map<String, Value>, inner: Map<String, Value>) {
    let text = Value::Object(inner).to_string();
    add(metadata, "annotations", Map::from_iter([(METADATA.to_owned(), text.into())]));
}

/// The metadata of a v3 resource.
pub(super) fn written_resource(
    group: Group,
    kept: Option<&Kept>,
    resource_version: Option<&str>,
    calico: &Metadata,
) -> Map<String, Value> {
    let mut metadata = identity(&calico.name, kept, resource_version);
    let mut inner = match serde_json::to_value(calico) {
        Ok(Value::Object(inner)) => inner,
        _ => Map::new(),
    };
    inner.retain(|field, _| !OF_THE_PLACE.contains(&field.as_str()));
    if group == Group::V3 || kept.is_some_and(|kept| annotation(&kept.metadata).is_none()) {
        metadata.extend(without_the_servers(&inner));
        return metadata;
    }
    inner.retain(|field, _| !matches!(field.as_str(), "deletionTimestamp" | "deletionGracePeriodSeconds"));
    let before = kept.map(|kept| &kept.metadata);
    metadata.extend(before.into_iter().flat_map(without_the_servers));
    for (field, entries) in [("labels", &calico.labels), ("annotations", &calico.annotations)] {
        let was_real = |key: &str| before.and_then(|before| before.get(field)?.get(key)).is_some();
        let real = entries.iter().filter(|(key, _)| is_calicos(key) || was_real(key));
        let real: Map<String, Value> = real.map(|(key, value)| (key.clone(), value.clone().into())).collect();
        metadata.remove(field);
        add(&mut metadata, field, real);
    }
    annotate(&mut metadata, inner);
    metadata
}

fn is_calicos(key: &str) -> bool {
    key.contains("projectcalico.org/") || key.contains("operator.tigera.io/")
}
