//! `label`.

use serde_json::{Map, Value};

use super::{kind_of, namespace_of};
use crate::cli::LabelArgs;
use crate::console::Console;
use crate::error::Error;
use crate::objects::{Failure, Objects, TRIES};
use crate::session::Session;

/// What was done to a label.
enum Done {
    Set,
    Updated,
    Removed,
}

/// Sets or removes a label.
pub async fn run(session: &Session, console: &Console, arguments: &LabelArgs) -> Result<(), Error> {
    let kind = kind_of(&arguments.kind)?;
    let (typed, name) = (&arguments.kind, &arguments.name);
    let [label] = arguments.labels.as_slice() else {
        return Err(Error::new("one label at a time"));
    };
    let (key, value) = match (label.split_once('='), arguments.remove) {
        (Some((key, value)), false) if !key.is_empty() => (key, value),
        (None, true) if !label.is_empty() => (label.as_str(), ""),
        (Some((key, _)), true) if !key.is_empty() => (key, ""),
        _ => return Err(Error::new(format_args!("invalid label {label}"))),
    };
    let namespace = namespace_of(kind, "", arguments.namespace.as_deref()).map_err(Error::new)?;
    let objects = Objects::of(session);
    for _ in 0..TRIES {
        let found = objects.get(kind, &namespace, name).await.map_err(|failure| match failure {
            Failure::Missing { .. } => Error::new(format_args!("{typed} {name} not found")),
            other => Error::new(format_args!("failed to get {typed} {name}, error {other}")),
        })?;
        let mut object = found.object.clone();
        let Some(Value::Object(metadata)) = object.get_mut("metadata") else { continue };
        let labels = metadata.entry("labels").or_insert_with(|| Map::new().into());
        let Some(labels) = labels.as_object_mut() else { continue };
        let done = match (labels.get(key).and_then(Value::as_str), arguments.remove) {
            (None, true) => {
                return Err(Error::new(format_args!(
                    "cannot remove label of {typed} {name}, key {key} does not exist"
                )));
            }
            (Some(_), true) => Done::Removed,
            (None, false) => Done::Set,
            (Some(present), false) if present == value || arguments.overwrite => Done::Updated,
            (Some(_), false) => {
                return Err(Error::new(format_args!(
                    "failed to update label of {typed} {name}, key {key} is already present. please use '--overwrite' to set a new value"
                )));
            }
        };
        match done {
            Done::Removed => drop(labels.shift_remove(key)),
            Done::Set | Done::Updated => drop(labels.insert(key.to_owned(), value.into())),
        }
        match objects.replace(&found, &object).await {
            Ok(_) => {
                return console.line(match done {
                    Done::Set => format!("Successfully set label {key} on {typed} {name}"),
                    Done::Updated => format!("Successfully updated label {key} on {typed} {name}"),
                    Done::Removed => format!("Successfully removed label {key} from {typed} {name}"),
                });
            }
            Err(Failure::Conflict { .. }) => {}
            Err(failure) => {
                let error = Error::new(format_args!("failed to update {typed} {name}, label not changed"));
                return Err(error.with_detail(failure));
            }
        }
    }
    let error = Error::new(format_args!("failed to update {typed} {name}, label not changed"));
    Err(error.with_detail("others change it all the time"))
}
