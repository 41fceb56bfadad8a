//! Values of what a parser finds in YAML, with the lines of their fields.

use std::collections::HashMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle};
use serde_json::{Map, Value};

use super::{Document, Unreadable, number, scalar};

/// How deep collections may be nested.
const DEEPEST: usize = 64;

/// How many values anchors and aliases may stand for: a few lines of them can stand for more than fits into memory.
const MOST_COPIED: usize = 100_000;

/// A list or an object that has not ended.
struct Open {
    /// Where it is in its document.
    path: String,
    anchor: usize,
    collection: Collection,
}

enum Collection {
    List(Vec<Value>),
    Object {
        fields: Map<String, Value>,
        /// The key whose value comes next.
        key: Option<Key>,
        /// What `<<` adds, unless the object has it itself.
        merged: Vec<Map<String, Value>>,
    },
}

enum Key {
    Field(String),
    Merge,
}

/// Documents as far as they have been read.
#[derive(Default)]
struct Composer {
    documents: Vec<Document>,
    open: Vec<Open>,
    anchors: HashMap<usize, Value>,
    /// How many values anchors and aliases have stood for.
    copied: usize,
    /// Where the document's value begins.
    begins: usize,
    /// Where the fields and items of the document begin.
    lines: HashMap<String, usize>,
}

/// The documents in a text that begins at a line of its file. A document without content is none.
pub fn compose(text: &str, first_line: usize) -> Result<Vec<Document>, Unreadable> {
    let mut composer = Composer::default();
    let unreadable = |place: &Marker, reason: String| Unreadable {
        line: place.line() + first_line - 1,
        column: place.col() + 1,
        reason,
    };
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| unreadable(error.marker(), error.info().to_owned()))?;
        let taken = composer.take(event, span.start.line() + first_line - 1);
        taken.map_err(|reason| unreadable(&span.start, reason))?;
    }
    Ok(composer.documents)
}

impl Composer {
    fn take(&mut self, event: Event<'_>, line: usize) -> Result<(), String> {
        match event {
            Event::DocumentStart(_) => {
                self.anchors.clear();
                Ok(())
            }
            Event::SequenceStart(anchor, _) => self.begin(anchor, Collection::List(Vec::new()), line),
            Event::MappingStart(anchor, _) => {
                let object = Collection::Object { fields: Map::new(), key: None, merged: Vec::new() };
                self.begin(anchor, object, line)
            }
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                None => Ok(()),
                Some(Open { anchor, collection, .. }) => self.end(anchor, collection.into_value(), line),
            },
            Event::Scalar(text, style, anchor, tag) => {
                let is_plain = style == ScalarStyle::Plain && tag.is_none();
                if is_plain && text.is_empty() && anchor == 0 && self.open.is_empty() {
                    return Ok(());
                }
                if let (true, Some(key)) = (is_plain && text == "<<", self.expected_key()) {
                    *key = Some(Key::Merge);
                    return Ok(());
                }
                self.mark(line);
                let value = scalar::value(&text, style, tag.as_deref())?;
                self.end(anchor, value, line)
            }
            Event::Alias(anchor) => {
                // An anchor that has not ended is known to the parser, but has no value yet.
                let original = self.anchors.get(&anchor).ok_or("the anchor's value contains itself")?;
                let value = copy(original, &mut self.copied, self.open.len())?;
                self.mark(line);
                self.end(0, value, line)
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
        }
    }

    fn begin(&mut self, anchor: usize, collection: Collection, line: usize) -> Result<(), String> {
        self.mark(line);
        self.open.push(Open { path: self.path(), anchor, collection });
        check_depth(self.open.len())
    }

    /// Notes where a value begins. A field has begun with its key.
    fn mark(&mut self, line: usize) {
        match self.open.last().map(|open| &open.collection) {
            None => self.begins = line,
            Some(Collection::List(_)) => drop(self.lines.insert(self.path(), line)),
            Some(Collection::Object { .. }) => {}
        }
    }

    /// The path of the value that comes next.
    fn path(&self) -> String {
        match self.open.last() {
            Some(Open { path, collection: Collection::List(list), .. }) => format!("{path}[{}]", list.len()),
            Some(Open { path, collection: Collection::Object { key: Some(Key::Field(name)), .. }, .. }) => {
                join(path, name)
            }
            // What is merged is not where it looks to be.
            Some(Open { path, .. }) => join(path, "<<"),
            None => String::new(),
        }
    }

    /// Where the key goes, if what comes next is one.
    fn expected_key(&mut self) -> Option<&mut Option<Key>> {
        match self.open.last_mut().map(|open| &mut open.collection) {
            Some(Collection::Object { key: key @ None, .. }) => Some(key),
            _ => None,
        }
    }

    /// Puts a value where it belongs.
    fn end(&mut self, anchor: usize, value: Value, line: usize) -> Result<(), String> {
        if anchor != 0 {
            self.anchors.insert(anchor, copy(&value, &mut self.copied, 0)?);
        }
        let Some(Open { path, collection, .. }) = self.open.last_mut() else {
            let lines = std::mem::take(&mut self.lines);
            self.documents.push(Document { value, line: self.begins, lines });
            return Ok(());
        };
        match collection {
            Collection::List(list) => list.push(value),
            Collection::Object { fields, key, merged } => match key.take() {
                Some(Key::Field(name)) => drop(fields.insert(name, value)),
                Some(Key::Merge) => merged.extend(mergeable(value)?),
                None => {
                    let name = name(value)?;
                    let path = join(path, &name);
                    if fields.contains_key(&name) {
                        let before =
                            self.lines.get(&path).map(|before| format!(", in line {before}")).unwrap_or_default();
                        return Err(format!("key \"{name}\" already set in map{before}"));
                    }
                    self.lines.insert(path, line);
                    *key = Some(Key::Field(name));
                }
            },
        }
        Ok(())
    }
}

impl Collection {
    fn into_value(self) -> Value {
        match self {
            Collection::List(list) => list.into(),
            Collection::Object { mut fields, merged, .. } => {
                for (name, value) in merged.into_iter().flatten() {
                    fields.entry(name).or_insert(value);
                }
                fields.into()
            }
        }
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// The text of a key, which may look like something else.
fn name(key: Value) -> Result<String, String> {
    match key {
        Value::String(name) => Ok(name),
        Value::Bool(truth) => Ok(truth.to_string()),
        Value::Number(number) => Ok(number::text(&number)),
        Value::Null => Err("a key is missing".to_owned()),
        Value::Array(_) | Value::Object(_) => {
            Err("a key must be text; put it in quotes if it begins with { or [".to_owned())
        }
    }
}

/// The objects that a value of `<<` stands for.
fn mergeable(value: Value) -> Result<Vec<Map<String, Value>>, String> {
    let values = if let Value::Array(list) = value { list } else { vec![value] };
    let object = |value| if let Value::Object(object) = value { Some(object) } else { None };
    let objects: Option<Vec<_>> = values.into_iter().map(object).collect();
    objects.ok_or_else(|| "map merge requires map or sequence of maps as the value".to_owned())
}

/// A copy for an anchor or an alias, at a depth. Counts what is copied.
fn copy(value: &Value, copied: &mut usize, depth: usize) -> Result<Value, String> {
    *copied += 1;
    check_depth(depth)?;
    if *copied > MOST_COPIED {
        return Err(format!("anchors and aliases stand for more than {MOST_COPIED} values"));
    }
    match value {
        Value::Array(list) => list.iter().map(|item| copy(item, copied, depth + 1)).collect(),
        Value::Object(object) => {
            let fields = object.iter().map(|(name, field)| Ok((name.clone(), copy(field, copied, depth + 1)?)));
            fields.collect::<Result<Map<_, _>, String>>().map(Value::Object)
        }
        other => Ok(other.clone()),
    }
}

/// Refuses a value inside too many collections.
pub fn check_depth(depth: usize) -> Result<(), String> {
    if depth > DEEPEST { Err(format!("more than {DEEPEST} collections in each other")) } else { Ok(()) }
}
