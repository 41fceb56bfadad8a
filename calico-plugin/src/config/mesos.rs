//! Labels of a Mesos task, `args."org.apache.mesos".network_info.labels.labels`: what its containers' endpoints are labelled
//! with. Mesos allows any text in them, Calico what Kubernetes allows.

use std::collections::BTreeMap;

use cni_spec::Fields;

use super::wrong;
use crate::error::Error;

/// The label that is none: it names the endpoint's namespace.
const NAMESPACE: &str = "projectcalico.org/namespace";

/// What a Mesos task asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mesos {
    /// The labels, in a form that is allowed.
    pub labels: BTreeMap<String, String>,
    /// The namespace of the endpoint, if it is not the default one.
    pub namespace: Option<String>,
}

impl Mesos {
    /// Reads what the configuration has of it. Of a label that is there twice, the last one counts.
    pub(super) fn read(fields: &Fields<'_>) -> Result<Mesos, Error> {
        let mut found = Mesos::default();
        let mut fields = fields.clone();
        for key in ["args", "org.apache.mesos", "network_info", "labels"] {
            match fields.object(key).map_err(wrong)? {
                Some(inner) => fields = inner,
                None => return Ok(found),
            }
        }
        for label in fields.objects("labels").map_err(wrong)? {
            let key = label.string("key").map_err(wrong)?.unwrap_or_default();
            let value = allowed(label.string("value").map_err(wrong)?.unwrap_or_default());
            if key == NAMESPACE {
                found.namespace = Some(value).filter(|value| !value.is_empty());
            } else if !allowed(key).is_empty() {
                found.labels.insert(allowed(key), value);
            }
        }
        Ok(found)
    }
}

/// Makes a text one that labels may have, as upstream does.
fn allowed(text: &str) -> String {
    let mut words = String::new();
    for c in text.chars() {
        match c {
            '/' => words.push('.'),
            '-' | '_' | '.' => words.push(c),
            c if c.is_ascii_alphanumeric() => words.push(c),
            // One dash for any number of them.
            _ if words.ends_with('\0') => {}
            _ => words.push('\0'),
        }
    }
    let words = words.replace('\0', "-");
    let mut result = String::new();
    let mut rest = words.as_str();
    while let Some(start) = rest.find(['.', '-']) {
        let length = rest[start..].find(|c| c != '.' && c != '-').unwrap_or(rest.len() - start);
        let run = &rest[start..start + length];
        result.push_str(&rest[..start]);
        result.push_str(if run.contains('.') { "." } else { run });
        rest = &rest[start + length..];
    }
    result.push_str(rest);
    result.trim_matches(['.', '-']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn texts_become_what_labels_may_have() {
        for (text, expected) in [
            ("-my-val", "my-val"),
            ("$my..val", "my.val"),
            ("m$y.val", "m-y.val"),
            ("//my/val/", "my.val"),
            ("some_val-with.lots*of^weird#characters", "some_val-with.lots-of-weird-characters"),
            ("/a/b/c", "a.b.c"),
            ("a--b-.-c", "a--b.c"),
            ("a$$$b--$c", "a-b---c"),
            ("größe", "gr-e"),
            ("/$-.", ""),
            ("", ""),
        ] {
            assert_eq!(allowed(text), expected, "{text:?}");
        }
    }

    #[test]
    fn labels_are_read() {
        let of = |labels: serde_json::Value| {
            let config = json!({"args": {"org.apache.mesos": {"network_info": {"name": "n", "labels": labels}}}});
            Mesos::read(&Fields::of(&config, "").unwrap()).map_err(|error| error.to_string())
        };
        let label = |key: &str, value: &str| json!({"key": key, "value": value});
        let found = of(json!({"labels": [
            label("a/b", "1"), label("a.b", "2"), label("$", "no key"), label(NAMESPACE, "team/1"), {"key": "empty"}
        ]}))
        .unwrap();
        assert_eq!(found.namespace.as_deref(), Some("team.1"));
        assert_eq!(found.labels, [("a.b".into(), "2".into()), ("empty".into(), String::new())].into());
        assert_eq!(of(json!({})).unwrap(), Mesos::default());
        assert_eq!(of(json!(null)).unwrap(), Mesos::default());
        assert_eq!(
            of(json!({"labels": [{"key": 5}]})).unwrap_err(),
            "failed to load netconf: args.org.apache.mesos.network_info.labels.labels[0].key: \
             expected a string, found the number 5"
        );
    }
}
