//! YAML as the established tool prints it: keys in order, two spaces a level, the items of a list not indented below its key.

#[cfg(test)]
mod tests;

use serde_json::{Map, Value};

use super::{number, style};

/// How many bytes a key may have that is written before its colon; a longer one has a `?` before it.
const LONGEST_KEY: usize = 128;

/// Writes a value. Long lines are not folded: they are searched, and are compared.
pub fn write(value: &Value) -> String {
    let mut text = String::new();
    node(&mut text, value, 0);
    text
}

/// Writes a value where the text has come to a column, and ends the line.
fn node(text: &mut String, value: &Value, column: usize) {
    match value {
        Value::Object(object) if !object.is_empty() => fields(text, object, column),
        Value::Array(list) if !list.is_empty() => {
            for (index, item) in list.iter().enumerate() {
                indent(text, if index == 0 { 0 } else { column });
                *text += "- ";
                node(text, item, column + 2);
            }
        }
        _ => {
            *text += &scalar(value, column.max(2));
            text.push('\n');
        }
    }
}

fn fields(text: &mut String, object: &Map<String, Value>, column: usize) {
    let mut sorted: Vec<_> = object.iter().collect();
    // The established tool sorts numbers in keys by their value: `a2` comes before `a10` there.
    sorted.sort_by_key(|(name, _)| *name);
    for (index, (name, value)) in sorted.into_iter().enumerate() {
        indent(text, if index == 0 { 0 } else { column });
        let key = style::text(name, column + 2);
        if name.len() > LONGEST_KEY || name.contains(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']) {
            *text += "? ";
            *text += &key;
            text.push('\n');
            indent(text, column);
            *text += ": ";
            node(text, value, column + 2);
            continue;
        }
        *text += &key;
        text.push(':');
        let below = match value {
            Value::Object(object) if !object.is_empty() => column + 2,
            Value::Array(list) if !list.is_empty() => column,
            _ => {
                text.push(' ');
                node(text, value, column + 2);
                continue;
            }
        };
        text.push('\n');
        indent(text, below);
        node(text, value, below);
    }
}

/// A value that has no others in it.
fn scalar(value: &Value, indent: usize) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(truth) => truth.to_string(),
        Value::Number(number) => number::text(number),
        Value::String(text) => style::text(text, indent),
        Value::Array(_) => "[]".to_owned(),
        Value::Object(_) => "{}".to_owned(),
    }
}

fn indent(text: &mut String, column: usize) {
    text.extend(std::iter::repeat_n(' ', column));
}
