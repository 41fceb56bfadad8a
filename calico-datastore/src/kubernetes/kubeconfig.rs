//! kubeconfig files: reading and merging them.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::yaml;
use crate::error::Error;

/// What several files say together: of each name, what the first file that has it says.
#[derive(Default)]
pub struct Kubeconfig {
    current: Option<(String, PathBuf)>,
    clusters: Vec<Entry>,
    users: Vec<Entry>,
    contexts: Vec<Entry>,
    files: Vec<PathBuf>,
}

/// A named cluster, user or context.
#[derive(Clone)]
pub struct Entry {
    kind: &'static str,
    name: String,
    fields: Map<String, Value>,
    file: PathBuf,
}

/// What is in a file or in the kubeconfig itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Text {
    /// The content.
    pub bytes: Vec<u8>,
    /// Which setting of which file says so, and which file it names.
    pub origin: String,
}

impl Kubeconfig {
    /// Reads the files. One of several that does not exist is passed over.
    pub fn read(files: &[PathBuf]) -> Result<Kubeconfig, Error> {
        let mut merged = Kubeconfig { files: files.to_vec(), ..Kubeconfig::default() };
        for file in files {
            let text = match std::fs::read_to_string(file) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound && files.len() > 1 => continue,
                text => text.map_err(|error| {
                    invalid(
                        format!("the kubeconfig {}: {error}", file.display()),
                        "name a file that this process can read",
                    )
                })?,
            };
            merged.add(file, &text).map_err(|reason| {
                let reason = format!("the kubeconfig {}: {reason}", file.display());
                invalid(reason, "correct the file, or have it written anew (restart calico-node)")
            })?;
        }
        Ok(merged)
    }

    fn add(&mut self, file: &Path, text: &str) -> Result<(), String> {
        let content = match yaml::parse(text)? {
            Value::Object(content) => content,
            Value::Null => return Ok(()),
            _ => return Err("it is no object with clusters, users and contexts".to_owned()),
        };
        if let (None, Some(name)) = (&self.current, text_of(&content, "current-context")) {
            self.current = Some((name, file.to_owned()));
        }
        let lists = [
            (&mut self.clusters, "clusters", "cluster"),
            (&mut self.users, "users", "user"),
            (&mut self.contexts, "contexts", "context"),
        ];
        for (known, list, kind) in lists {
            let listed = content.get(list).and_then(Value::as_array).into_iter().flatten();
            for (name, named) in listed.filter_map(|item| Some((text_of(item.as_object()?, "name")?, item))) {
                if known.iter().all(|entry| entry.name != name) {
                    let fields = named.get(kind).and_then(Value::as_object).cloned().unwrap_or_default();
                    known.push(Entry { kind, name, fields, file: file.to_owned() });
                }
            }
        }
        Ok(())
    }

    /// The cluster and the user of a context, or of the current one.
    pub fn context(&self, wanted: Option<&str>) -> Result<(Entry, Entry), Error> {
        let files: Vec<String> = self.files.iter().map(|file| file.display().to_string()).collect();
        let files = format!("the kubeconfig {}", files.join(", "));
        let (name, by) = match (wanted, &self.current) {
            (Some(name), _) => (name, "K8S_CURRENT_CONTEXT".to_owned()),
            (None, Some((name, file))) => (name.as_str(), format!("current-context in {}", file.display())),
            (None, None) => {
                return Err(invalid(
                    format!("{files}: there is no current-context"),
                    "add current-context to the file",
                ));
            }
        };
        let find = |entries: &[Entry], kind: &str, name: &str, by: &str| {
            entries.iter().find(|entry| entry.name == name).cloned().ok_or_else(|| {
                invalid(
                    format!("{files}: there is no {kind} {name:?} ({by})"),
                    "correct the name, or add what it names",
                )
            })
        };
        let context = find(&self.contexts, "context", name, &by)?;
        let part = |entries: &[Entry], kind: &'static str| match context.text(kind) {
            Some(name) => find(entries, kind, &name, &context.label()),
            // Without a name, nothing is said about it: other settings may say everything.
            None => Ok(Entry { kind, name: String::new(), fields: Map::new(), file: context.file.clone() }),
        };
        Ok((part(&self.clusters, "cluster")?, part(&self.users, "user")?))
    }
}

impl Entry {
    /// What it is called in messages.
    pub fn label(&self) -> String {
        format!("{} {:?} in {}", self.kind, self.name, self.file.display())
    }

    /// One of its fields, for messages.
    pub fn setting(&self, field: &str) -> String {
        format!("{field} of {}", self.label())
    }

    /// A field that is text, unless it is empty.
    pub fn text(&self, field: &str) -> Option<String> {
        text_of(&self.fields, field)
    }

    /// A field that is true or false.
    pub fn flag(&self, field: &str) -> bool {
        matches!(self.fields.get(field), Some(Value::Bool(true)))
    }

    /// A field of any kind.
    pub fn value(&self, field: &str) -> Option<&Value> {
        self.fields.get(field).filter(|value| !value.is_null())
    }

    /// A path: relative ones begin at the folder of the kubeconfig.
    pub fn path(&self, path: &str) -> PathBuf {
        self.file.parent().unwrap_or(Path::new("")).join(path)
    }

    /// What `field-data` has in base64, or else the file that `field` names.
    pub fn content(&self, field: &str) -> Result<Option<Text>, Error> {
        let data = format!("{field}-data");
        if let Some(encoded) = self.text(&data) {
            let origin = self.setting(&data);
            let encoded: String = encoded.split_whitespace().collect();
            let bytes = STANDARD
                .decode(encoded)
                .map_err(|error| invalid(format!("{origin}: {error}"), "give the content of a PEM file in base64"))?;
            return Ok(Some(Text { bytes, origin }));
        }
        let read = |path: String| Text::read(&self.path(&path), &self.setting(field));
        self.text(field).map(read).transpose()
    }
}

impl Text {
    /// Reads a file that a setting names.
    pub fn read(path: &Path, setting: &str) -> Result<Text, Error> {
        let origin = format!("{} ({setting})", path.display());
        match std::fs::read(path) {
            Ok(bytes) => Ok(Text { bytes, origin }),
            Err(error) => Err(invalid(format!("{origin}: {error}"), "name a file that this process can read")),
        }
    }
}

/// A field that is text, unless it is empty. A number was meant as text.
pub fn text_of(fields: &Map<String, Value>, field: &str) -> Option<String> {
    match fields.get(field)? {
        Value::String(text) => Some(text.clone()).filter(|text| !text.is_empty()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Settings that cannot be used.
pub fn invalid(reason: String, advice: &'static str) -> Error {
    Error::Invalid { store: "the Kubernetes API".to_owned(), reason, advice: advice.into() }
}
