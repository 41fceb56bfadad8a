//! Choosing objects by their labels.

use std::collections::BTreeMap;

use calico_model::Selector;
use serde_json::{Map, Value};

use crate::error::Error;

/// Which labels objects must have.
#[derive(Debug)]
pub struct Labels(Selector);

impl Labels {
    /// A selector: Calico's, or, as with kubectl, `key=value`, `key!=value` and `key`, separated by commas.
    ///
    /// # Errors
    /// It is neither.
    pub fn parse(text: &str) -> Result<Labels, Error> {
        let failed = match Selector::parse(text) {
            Ok(selector) => return Ok(Labels(selector)),
            Err(error) => error,
        };
        let terms = text.split(',').map(term).collect::<Option<Vec<String>>>();
        let selector = terms.and_then(|terms| Selector::parse(&terms.join(" && ")).ok());
        selector.map(Labels).ok_or_else(|| {
            let error = Error::new(format_args!("the selector {text:?} cannot be read: {failed}"));
            error.with_detail("write it like 'rack == \"r1\" && has(zone)', or like rack=r1,zone")
        })
    }

    /// Whether an object has them.
    pub fn match_object(&self, object: &Map<String, Value>) -> bool {
        let labels = object.get("metadata").and_then(|metadata| metadata.get("labels")).and_then(Value::as_object);
        let labels: BTreeMap<String, String> = labels
            .into_iter()
            .flatten()
            .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
            .collect();
        self.0.matches(&labels)
    }
}

/// One of kubectl's terms in Calico's words.
fn term(text: &str) -> Option<String> {
    let text = text.trim();
    let sound = |value: &str| !value.contains(['"', '\'', '=']);
    if let Some((key, value)) = text.split_once("!=") {
        return sound(value).then(|| format!("{key} != \"{value}\""));
    }
    match text.split_once('=') {
        Some((key, value)) => {
            let value = value.strip_prefix('=').unwrap_or(value);
            sound(value).then(|| format!("{} == \"{}\"", key.trim(), value.trim()))
        }
        None if text.is_empty() => None,
        None => Some(match text.strip_prefix('!') {
            Some(key) => format!("!has({key})"),
            None => format!("has({text})"),
        }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn both_ways_to_write_it() {
        let object = json!({"metadata": {"labels": {"rack": "r1", "zone": "z"}}});
        let object = object.as_object().unwrap();
        for (text, matches) in [
            ("rack == 'r1'", true),
            ("rack=r1", true),
            ("rack==r1,zone=z", true),
            ("rack=r1,zone!=z", false),
            ("rack", true),
            ("!rack", false),
            ("has(zone) && rack in {'r2'}", false),
        ] {
            assert_eq!(Labels::parse(text).unwrap().match_object(object), matches, "{text}");
        }
        assert!(Labels::parse("rack = = r1").is_err() && Labels::parse("a=\"b").is_err());
    }
}
