//! The forms in which objects are printed.

use serde_json::{Map, Value, json};

use super::{cells, columns, json};
use crate::error::Error;
use crate::kind::Kind;
use crate::manifest::API_VERSION;
use crate::objects::Found;
use crate::yaml;

/// A form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    /// The kind's table.
    Table,
    /// The kind's wide table.
    Wide,
    /// A table with these headings.
    Custom(Vec<String>),
    /// `kind/name`, a line each.
    Name,
    /// YAML.
    Yaml,
    /// JSON.
    Json,
}

impl Form {
    /// The form of an argument.
    pub fn parse(text: &str) -> Result<Form, Error> {
        match text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value))) {
            ("ps", None) => Ok(Form::Table),
            ("wide", None) => Ok(Form::Wide),
            ("name", None) => Ok(Form::Name),
            ("yaml" | "yml", None) => Ok(Form::Yaml),
            ("json", None) => Ok(Form::Json),
            ("custom-columns", Some(value)) if !value.is_empty() => {
                Ok(Form::Custom(value.split(',').map(str::to_owned).collect()))
            }
            ("custom-columns", _) => Err(Error::new("need to specify at least one column")),
            ("go-template" | "go-template-file", _) => {
                let error = Error::new(format_args!("unrecognized output format '{text}'"));
                Err(error.with_detail("templates of Go are not supported: use -o json and jq, or -o custom-columns"))
            }
            _ => {
                let error = Error::new(format_args!("unrecognized output format '{text}'"));
                Err(error.with_detail("there are ps, wide, yaml, json, name and custom-columns=A,B"))
            }
        }
    }

    /// The headings of a table for a kind; `None` where this is no table.
    ///
    /// # Errors
    /// There is no such heading.
    pub fn headings(&self, kind: Kind, with_namespace: bool) -> Result<Option<Vec<String>>, Error> {
        let of = |names: &[&str]| {
            let namespace = (with_namespace && kind.about().is_namespaced).then_some("NAMESPACE");
            Some(namespace.into_iter().chain(names.iter().copied()).map(str::to_owned).collect())
        };
        match self {
            Form::Table => Ok(of(kind.about().columns)),
            Form::Wide => Ok(of(kind.about().wide)),
            Form::Custom(names) => {
                for name in names {
                    if !cells::headings(kind).any(|known| known == name) {
                        let known: Vec<&str> = cells::headings(kind).collect();
                        let text = format!("unknown heading {name}, valid values are: {}", known.join(", "));
                        return Err(Error::new(text));
                    }
                }
                Ok(Some(names.clone()))
            }
            Form::Name | Form::Yaml | Form::Json => Ok(None),
        }
    }
}

/// A table of objects of one kind, with its headings, and an empty line behind it.
pub fn table(headings: &[String], found: &[Found]) -> String {
    let mut rows = vec![headings.to_vec()];
    rows.extend(found.iter().map(|found| headings.iter().map(|heading| cells::cell(found, heading)).collect()));
    columns::render(&rows) + "\n"
}

/// `kind/name` of each object.
pub fn names(found: &[Found]) -> String {
    let line = |found: &Found| format!("{}/{}\n", found.kind.name().to_lowercase(), found.name());
    found.iter().map(line).collect()
}

/// What a listing of a kind is as one object.
pub fn list_object(kind: Kind, found: &[Found]) -> Value {
    let version = found.iter().filter(|found| found.key.is_some()).map(|found| found.revision.0).max();
    let metadata = version.map_or(json!({}), |version| json!({"resourceVersion": version.to_string()}));
    json!({
        "kind": format!("{}List", kind.name()),
        "apiVersion": API_VERSION,
        "metadata": metadata,
        "items": found.iter().map(|found| Value::Object(found.object.clone())).collect::<Vec<_>>(),
    })
}

/// Values in YAML or JSON: one as it is, several as a list, none as `null`.
pub fn document(form: &Form, mut values: Vec<Value>) -> String {
    let value = match values.len() {
        0 => Value::Null,
        1 => values.remove(0),
        _ => Value::Array(values),
    };
    if *form == Form::Yaml { yaml::write(&value) } else { json::write(&value) }
}

/// Without what belongs to the cluster that the object is stored in.
pub fn exported(object: &Map<String, Value>) -> Map<String, Value> {
    let mut object = object.clone();
    if let Some(Value::Object(metadata)) = object.get_mut("metadata") {
        let own = ["uid", "resourceVersion", "creationTimestamp", "deletionTimestamp", "generation"];
        metadata.retain(|field, _| !own.contains(&field.as_str()));
    }
    object
}
