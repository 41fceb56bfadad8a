//! `patch`: changing some fields of an object.

mod operations;

use serde_json::{Map, Value};

use super::{common_kind, kind_of, namespace_of};
use crate::cli::{PatchArgs, PatchType};
use crate::console::Console;
use crate::error::Error;
use crate::manifest;
use crate::objects::{Failure, Objects};
use crate::schema::{Unknowns, Unreadable};
use crate::session::Session;
use crate::yaml;

/// Changes an object as the patch says.
pub async fn run(session: &Session, console: &Console, arguments: &PatchArgs) -> Result<(), Error> {
    let kind = kind_of(&arguments.kind)?;
    let hit = |text: String| Error::new(format_args!("hit error: {text}"));
    let namespace =
        namespace_of(kind, "", arguments.namespace.as_deref()).map_err(|failure| hit(failure.to_string()))?;
    let objects = Objects::of(session);
    let found = objects.get(kind, &namespace, &arguments.name).await.map_err(|failure| hit(failure.to_string()))?;
    let patch = read_patch(&arguments.patch)
        .map_err(|()| hit("performing strategic merge patch: invalid JSON document".to_owned()))?;
    let mut patched = Value::Object(found.object.clone());
    match (arguments.patch_type, &patch) {
        (PatchType::Json, Value::Array(list)) => {
            operations::apply(&mut patched, list).map_err(|reason| hit(format!("performing JSON patch: {reason}")))?;
        }
        (PatchType::Json, _) => return Err(hit("performing JSON patch: it is no list of operations".to_owned())),
        (_, Value::Object(_)) => merge(&mut patched, &patch),
        _ => return Err(hit("performing strategic merge patch: invalid JSON document".to_owned())),
    }
    let object = patched.as_object().cloned().unwrap_or_default();
    // Fields that are stored and unknown may stay; new ones are mistyped.
    refuse_new_fields(&found.object, &object, kind)?;
    let object = manifest::read(kind, &object, Unknowns::Kept).map_err(|unreadable| unread(&unreadable))?;
    objects.replace(&found, &object).await.map_err(|failure| {
        let details = failure.details();
        let text = match failure {
            failure @ (Failure::Missing { .. } | Failure::Conflict { .. }) => failure.to_string(),
            failure => format!("updating existing resource: {failure}"),
        };
        details.into_iter().fold(hit(text), Error::with_detail)
    })?;
    console.line(format_args!("Successfully patched 1{} resource", common_kind([kind])))
}

/// A patch as JSON, or, where it is none, as YAML.
fn read_patch(text: &str) -> Result<Value, ()> {
    if let Ok(value) = serde_json::from_str(text) {
        return Ok(value);
    }
    let documents = yaml::read(text).map_err(drop)?;
    documents.into_iter().next().map(|document| document.value).ok_or(())
}

/// RFC 7396: fields are merged, null removes one, everything else is replaced. No list of Calico's has a key to merge by, so that a
/// strategic merge is the same.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Map::new().into();
    }
    let Value::Object(target) = target else { return };
    for (name, value) in patch {
        match value {
            Value::Null => drop(target.shift_remove(name)),
            value => merge(target.entry(name.clone()).or_insert(Value::Null), value),
        }
    }
}

fn refuse_new_fields(
    stored: &Map<String, Value>,
    patched: &Map<String, Value>,
    kind: crate::kind::Kind,
) -> Result<(), Error> {
    let unknown = |object: &Map<String, Value>| match manifest::read(kind, object, Unknowns::Refused) {
        Err(unreadable @ Unreadable { is_unknown: true, .. }) => Some(unreadable),
        _ => None,
    };
    match (unknown(patched), unknown(stored)) {
        (Some(new), old) if old.as_ref().is_none_or(|old| old.path != new.path) => Err(unread(&new)),
        _ => Ok(()),
    }
}

fn unread(unreadable: &Unreadable) -> Error {
    let Unreadable { path, reason, is_unknown, meant } = unreadable;
    let meant = meant.map(|name| format!(": did you mean {name}?")).unwrap_or_default();
    let text = match is_unknown {
        true => format!("field in document is not recognized or is in the wrong location: {reason}"),
        false => format!("hit error: {reason}"),
    };
    Error::new(text).with_detail(format_args!("{path}{meant}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn objects_are_merged_and_all_else_replaced() {
        let mut target = json!({"a": {"b": 1, "c": [1, 2]}, "d": 1});
        merge(&mut target, &json!({"a": {"c": [3], "e": {"f": 1}}, "d": null}));
        assert_eq!(target, json!({"a": {"b": 1, "c": [3], "e": {"f": 1}}}));
    }
}
