//! YAML as JSON: what a kubeconfig may be written in.

use saphyr_parser::{Event, Parser, ScalarStyle};
use serde_json::{Map, Value};

/// How deep collections may be nested.
const DEEPEST: usize = 64;

/// A list or an object that has not ended.
enum Open {
    List(Vec<Value>),
    /// The key whose value comes next.
    Object(Map<String, Value>, Option<String>),
}

/// The value of a text in YAML, and so in JSON too.
pub fn parse(text: &str) -> Result<Value, String> {
    // YAML allows no tabs between what JSON separates by them.
    if let Ok(value) = serde_json::from_str(text) {
        return Ok(value);
    }
    let mut open: Vec<Open> = Vec::new();
    for event in Parser::new_from_str(text) {
        let (event, _) = event.map_err(|error| error.to_string())?;
        let ended = match event {
            Event::SequenceStart(..) => {
                open.push(Open::List(Vec::new()));
                None
            }
            Event::MappingStart(..) => {
                open.push(Open::Object(Map::new(), None));
                None
            }
            Event::SequenceEnd | Event::MappingEnd => open.pop().map(|collection| match collection {
                Open::List(list) => Value::Array(list),
                Open::Object(object, _) => Value::Object(object),
            }),
            Event::Scalar(text, style, ..) => Some(scalar(&text, style)),
            Event::Alias(_) => return Err("aliases are not supported".to_owned()),
            _ => None,
        };
        if open.len() > DEEPEST {
            return Err(format!("more than {DEEPEST} collections in each other"));
        }
        let Some(value) = ended else { continue };
        match open.last_mut() {
            // Only the first document counts.
            None => return Ok(value),
            Some(Open::List(list)) => list.push(value),
            Some(Open::Object(object, key)) => match key.take() {
                Some(key) => drop(object.insert(key, value)),
                None => match value {
                    Value::String(name) => *key = Some(name),
                    other => *key = Some(other.to_string()),
                },
            },
        }
    }
    Ok(Value::Null)
}

/// What is not in quotes may be something else than text.
fn scalar(text: &str, style: ScalarStyle) -> Value {
    match text {
        _ if style != ScalarStyle::Plain => text.into(),
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => true.into(),
        "false" | "False" | "FALSE" => false.into(),
        // A number with leading zeros, or too long, is more likely a name.
        _ => match text.parse::<i64>() {
            Ok(number) if number.to_string() == text => number.into(),
            _ => text.into(),
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_kubeconfigs_are_made_of() {
        let text = "# Kubeconfig\napiVersion: v1\nclusters:\n- name: local\n  cluster:\n    server: https://[fd00::1]:443\n    \
            insecure-skip-tls-verify: true\nusers:\n  - name: \"calico\"\n    user: {token: 'a: b', args: [1, \"2\", 007, x], \
            none: , tilde: ~}\nlong: |\n  one\n  two\nfolded: >-\n  one\n  two\n";
        let expected = json!({
            "apiVersion": "v1",
            "clusters": [{"name": "local", "cluster": {"server": "https://[fd00::1]:443", "insecure-skip-tls-verify": true}}],
            "users": [{"name": "calico", "user": {"token": "a: b", "args": [1, "2", "007", "x"], "none": null, "tilde": null}}],
            "long": "one\ntwo\n", "folded": "one two",
        });
        assert_eq!(parse(text), Ok(expected));
        assert_eq!(parse("\t{\"a\":\t[1]}"), Ok(json!({"a": [1]})));
        assert_eq!(parse(""), Ok(Value::Null));
        assert_eq!(parse("---\na: 1\n---\nb: 2\n"), Ok(json!({"a": 1})));
    }

    #[test]
    fn what_is_none_is_an_error() {
        for text in ["a: [", "a: b: c", "\"", "a: &x 1\nb: *x", "a: *x"] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(parse(&"[".repeat(100_000)).is_err());
        assert!(parse(&"- ".repeat(100_000)).is_err());
    }
}
