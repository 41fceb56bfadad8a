//! Bringing objects into the form of their shape.

use serde_json::{Map, Value};

use super::{Field, Holds, Shape, Written, scalar};

/// A part of a document is not what its field holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// Where it is, such as `spec.ports[0].port`.
    pub path: String,
    /// What is wrong. For a field that there is none of, its name.
    pub reason: String,
    /// Whether there is no such field.
    pub is_unknown: bool,
    /// The field that was probably meant.
    pub meant: Option<&'static str>,
}

/// What becomes of fields that are in no shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unknowns {
    /// They are refused: more likely than not, a name is mistyped.
    Refused,
    /// They are kept, behind the others.
    Kept,
}

impl Shape {
    /// An object with its fields in their order, each brought into its form, and without those that are empty.
    ///
    /// # Errors
    /// The first field that is unknown, given twice in different letters, or holds something else.
    pub fn read(
        &self,
        object: &Map<String, Value>,
        path: &str,
        unknowns: Unknowns,
    ) -> Result<Map<String, Value>, Unreadable> {
        let mut read = Map::new();
        let mut extra = Map::new();
        let mut given: Vec<Option<&Value>> = vec![None; self.fields.len()];
        for (name, value) in object {
            match self.position(name) {
                Some(at) if given[at].is_none() => given[at] = Some(value),
                Some(at) => {
                    let reason = format!("{} is given twice", self.fields[at].name);
                    return Err(Unreadable { path: inside(path, name), reason, is_unknown: false, meant: None });
                }
                None if unknowns == Unknowns::Kept => drop(extra.insert(name.clone(), value.clone())),
                None => {
                    let (path, reason, meant) = (inside(path, name), name.clone(), self.meant(name));
                    return Err(Unreadable { path, reason, is_unknown: true, meant });
                }
            }
        }
        for (field, value) in self.fields.iter().zip(given) {
            let path = inside(path, field.name);
            let value = match value.filter(|value| !value.is_null()) {
                Some(value) => field.holds.read(value, &path, unknowns)?,
                None if field.written == Written::Always => field.holds.empty(),
                None => continue,
            };
            if field.written != Written::IfAny || !is_empty(&value) {
                read.insert(field.name.to_owned(), value);
            }
        }
        read.extend(extra);
        Ok(read)
    }

    /// What is stored, with its fields in their order and nothing else changed; what is not in the shape comes last.
    pub fn ordered(&self, object: &Map<String, Value>) -> Map<String, Value> {
        let mut ordered = Map::new();
        for Field { name, holds, .. } in self.fields {
            if let Some(value) = object.get(*name) {
                ordered.insert((*name).to_owned(), holds.ordered(value));
            }
        }
        for (name, value) in object {
            if !ordered.contains_key(name) {
                ordered.insert(name.clone(), value.clone());
            }
        }
        ordered
    }

    /// What `stored` has and this release does not know is put into `object`, where that lacks it. Of lists, items that are alike in
    /// all that is known are taken for the same.
    pub fn keep_unknown(&self, object: &mut Map<String, Value>, stored: &Map<String, Value>) {
        for (name, value) in stored {
            let Some(field) = self.fields.iter().find(|field| field.name == name) else {
                object.entry(name.clone()).or_insert_with(|| value.clone());
                continue;
            };
            match (&field.holds, object.get_mut(name), value) {
                (Holds::Object(shape), Some(Value::Object(inner)), Value::Object(stored)) => {
                    shape.keep_unknown(inner, stored);
                }
                (Holds::List(Holds::Object(shape)), Some(Value::Array(items)), Value::Array(stored)) => {
                    for item in items.iter_mut().filter_map(Value::as_object_mut) {
                        let known = shape.known(item);
                        let mut stored = stored.iter().filter_map(Value::as_object);
                        if let Some(alike) = stored.find(|stored| shape.known(stored) == known) {
                            shape.keep_unknown(item, alike);
                        }
                    }
                }
                _ => {}
            }
        }
    }

    /// An object without the fields that this release does not know.
    fn known(&self, object: &Map<String, Value>) -> Map<String, Value> {
        let known = |holds: &Holds, value: &Value| match (holds, value) {
            (Holds::Object(shape), Value::Object(object)) => shape.known(object).into(),
            _ => value.clone(),
        };
        let of = |field: &Field| Some((field.name.to_owned(), known(&field.holds, object.get(field.name)?)));
        self.fields.iter().filter_map(of).collect()
    }

    /// Fields are found as Go's decoder finds them: also in other letters.
    fn position(&self, name: &str) -> Option<usize> {
        let exact = self.fields.iter().position(|field| field.name == name);
        exact.or_else(|| self.fields.iter().position(|field| field.name.eq_ignore_ascii_case(name)))
    }

    fn meant(&self, name: &str) -> Option<&'static str> {
        crate::suggest::closest(name, self.fields.iter().map(|field| field.name))
    }
}

impl Holds {
    fn read(&self, value: &Value, path: &str, unknowns: Unknowns) -> Result<Value, Unreadable> {
        let refused = |reason: String| Unreadable { path: path.to_owned(), reason, is_unknown: false, meant: None };
        let expected = |what: &str| refused(format!("expected {what}, found {}", found(value)));
        Ok(match (self, value) {
            (Holds::Anything, _) => value.clone(),
            (Holds::Text, _) => scalar::text(value).ok_or_else(|| expected("a text"))?.into(),
            (Holds::Truth, Value::Bool(_)) => value.clone(),
            (Holds::Truth, _) => return Err(expected("true or false")),
            (Holds::Number(least, most), _) => match scalar::number(value) {
                Some(number) if (*least..=*most).contains(&number) => number.into(),
                _ => return Err(expected(&format!("a whole number from {least} to {most}"))),
            },
            (Holds::Port, _) => scalar::port(value).map_err(refused)?,
            (Holds::Protocol, _) => scalar::protocol(value).map_err(refused)?,
            (Holds::AsNumber, _) => scalar::as_number(value).map_err(refused)?,
            (Holds::List(holds), Value::Array(list)) => {
                let items = list.iter().enumerate();
                items
                    .map(|(index, item)| holds.read(item, &format!("{path}[{index}]"), unknowns))
                    .collect::<Result<Value, _>>()?
            }
            (Holds::List(_), _) => return Err(expected("a list")),
            (Holds::Map, Value::Object(map)) => {
                let mut sorted: Vec<_> = map.iter().collect();
                sorted.sort_by_key(|(name, _)| *name);
                let mut read = Map::new();
                for (name, value) in sorted {
                    let text = scalar::text(value).ok_or_else(|| {
                        let path = inside(path, name);
                        Unreadable {
                            path,
                            reason: format!("expected a text, found {}", found(value)),
                            is_unknown: false,
                            meant: None,
                        }
                    })?;
                    read.insert(name.clone(), text.into());
                }
                read.into()
            }
            (Holds::Object(shape), Value::Object(object)) => shape.read(object, path, unknowns)?.into(),
            (Holds::Map | Holds::Object(_), _) => return Err(expected("fields")),
        })
    }

    fn ordered(&self, value: &Value) -> Value {
        match (self, value) {
            (Holds::Object(shape), Value::Object(object)) => shape.ordered(object).into(),
            (Holds::List(holds), Value::Array(list)) => list.iter().map(|item| holds.ordered(item)).collect(),
            _ => value.clone(),
        }
    }

    /// What is written for a field that was not given.
    fn empty(&self) -> Value {
        match self {
            Holds::Text => "".into(),
            Holds::Truth => false.into(),
            Holds::Number(..) | Holds::Port | Holds::AsNumber => 0.into(),
            Holds::Object(shape) => shape.read(&Map::new(), "", Unknowns::Refused).unwrap_or_default().into(),
            Holds::Protocol | Holds::List(_) | Holds::Map | Holds::Anything => Value::Null,
        }
    }
}

/// The path of a field of what is at `path`.
fn inside(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// Whether Go's encoder leaves a value out where it is told to leave out what is empty.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(object) => object.is_empty(),
    }
}

/// A value in words.
fn found(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => format!("the number {number}"),
        Value::String(text) => format!("the text {text:?}"),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "fields".to_owned(),
    }
}
