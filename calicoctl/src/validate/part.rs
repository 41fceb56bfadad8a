//! A part of an object together with the shape that it is in, for rules to look into.

use serde_json::{Map, Value};

use super::Broken;
use super::tag::Tag;
use crate::schema::{Field, Holds, Shape};

/// A part of an object.
#[derive(Debug, Clone)]
pub struct Part<'a> {
    shape: &'static Shape,
    /// None where the part was not given: all its fields are empty.
    fields: Option<&'a Map<String, Value>>,
    path: String,
}

impl<'a> Part<'a> {
    /// What is at `path`.
    pub fn new(shape: &'static Shape, value: Option<&'a Value>, path: impl Into<String>) -> Part<'a> {
        Part { shape, fields: value.and_then(Value::as_object), path: path.into() }
    }

    /// What is in a field; none where nothing was given.
    pub fn get(&self, name: &str) -> Option<&'a Value> {
        self.fields?.get(name).filter(|value| !value.is_null())
    }

    /// The text in a field.
    pub fn text(&self, name: &str) -> &'a str {
        self.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    /// Whether a field is true.
    pub fn truth(&self, name: &str) -> bool {
        self.get(name).and_then(Value::as_bool).unwrap_or_default()
    }

    /// The number in a field; 0 where none was given.
    pub fn number(&self, name: &str) -> i64 {
        self.get(name).and_then(Value::as_i64).unwrap_or_default()
    }

    /// The items of a list.
    pub fn list(&self, name: &str) -> &'a [Value] {
        self.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    /// The texts of a list.
    pub fn texts(&self, name: &str) -> Vec<&'a str> {
        self.list(name).iter().filter_map(Value::as_str).collect()
    }

    /// A part of this part.
    pub fn part(&self, name: &str) -> Part<'a> {
        match &self.field(name).holds {
            Holds::Object(shape) => Part::new(shape, self.get(name), self.path(name)),
            _ => Part { shape: self.shape, fields: None, path: self.path(name) },
        }
    }

    /// The parts in a list.
    pub fn parts(&self, name: &str) -> Vec<Part<'a>> {
        let Holds::List(Holds::Object(shape)) = &self.field(name).holds else { return Vec::new() };
        let items = self.list(name).iter().enumerate();
        items.map(|(index, item)| Part::new(shape, Some(item), format!("{}[{index}]", self.path(name)))).collect()
    }

    /// What upstream calls a field.
    pub fn title(&self, name: &str) -> &'static str {
        self.field(name).title
    }

    /// Where a field is.
    pub fn path(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// A field breaks a rule.
    pub fn broken(&self, name: &str, value: impl Into<String>, reason: impl Into<String>) -> Broken {
        let (field, path) = (self.title(name).to_owned(), self.path(name));
        Broken { field, value: Some(value.into()), reason: reason.into(), path }
    }

    /// The rule that the text in a field must keep, where there is any.
    pub fn tagged(&self, name: &str, tag: Tag) -> Option<Broken> {
        let text = self.text(name);
        if text.is_empty() { None } else { self.required(name, tag) }
    }

    /// The rule that the text in a field must keep, also where there is none.
    pub fn required(&self, name: &str, tag: Tag) -> Option<Broken> {
        let (title, text) = (self.title(name), self.text(name));
        (!tag.accepts(text)).then(|| self.broken(name, text, tag.reason(title)))
    }

    /// The rule that each text of a list must keep.
    pub fn each_tagged(&self, name: &str, tag: Tag) -> Vec<Broken> {
        let (title, path) = (self.title(name), self.path(name));
        let wrong = self.texts(name).into_iter().enumerate().filter(|(_, text)| !tag.accepts(text));
        let broken = |(index, text): (usize, &str)| {
            let field = format!("{title}[{index}]");
            Broken { reason: tag.reason(&field), field, value: Some(text.to_owned()), path: format!("{path}[{index}]") }
        };
        wrong.map(broken).collect()
    }

    /// As Go prints it: `{a b}`. What was not given is empty, 0 or false.
    pub fn printed(&self) -> String {
        let print = |field: &Field| match (self.get(field.name), &field.holds) {
            (Some(value), _) => printed(value),
            (None, Holds::Truth) => "false".to_owned(),
            (None, Holds::Number(..)) => "0".to_owned(),
            (None, _) => String::new(),
        };
        format!("{{{}}}", self.shape.fields.iter().map(print).collect::<Vec<_>>().join(" "))
    }

    fn field(&self, name: &str) -> &'static Field {
        self.shape.fields.iter().find(|field| field.name == name).expect("a field of the shape")
    }
}

/// A value as Go prints it: `[a b]`, `map[a:1 b:2]`.
pub fn printed(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(list) => printed_list(list.iter().map(printed)),
        Value::Object(map) => {
            let mut pairs: Vec<String> = map.iter().map(|(key, value)| format!("{key}:{}", printed(value))).collect();
            pairs.sort();
            format!("map[{}]", pairs.join(" "))
        }
        Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

/// A list as Go prints it.
pub fn printed_list(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(" "))
}
