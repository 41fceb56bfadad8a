//! Manifests: the objects that a person has written, in files.

use std::collections::HashMap;
use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::cli::Files;
use crate::error::Error;
use crate::kind::Kind;
use crate::kinds::metadata::METADATA;
use crate::schema::{Shape, Unknowns, Unreadable};
use crate::yaml::{self, Document};

/// The API version of every manifest.
pub const API_VERSION: &str = "projectcalico.org/v3";

/// One object as it was written, in the form of its kind.
#[derive(Debug, Clone)]
pub struct Manifest {
    /// Its kind.
    pub kind: Kind,
    /// `kind`, `apiVersion`, `metadata`, `spec` and whatever else there is.
    pub object: Map<String, Value>,
    /// Where it was written.
    pub place: Place,
}

/// Where an object was written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// The file; `-` is stdin.
    pub file: String,
    /// Which document of the file, from 1.
    pub document: usize,
    /// Which item of the document's list, from 1; `None` where it is no list.
    pub item: Option<usize>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = if self.file == "-" { "stdin" } else { &self.file };
        write!(f, "{file}, document {}", self.document)?;
        self.item.map_or(Ok(()), |item| write!(f, ", item {item}"))
    }
}

impl Manifest {
    /// The object's name; empty where it has none.
    pub fn name(&self) -> &str {
        self.metadata("name")
    }

    /// A text of `metadata`; empty where it is absent.
    pub fn metadata(&self, field: &str) -> &str {
        text_of(&self.object, "metadata", field)
    }

    /// What messages call it: `Kind(name)` or `Kind(namespace/name)`.
    pub fn id(&self) -> String {
        id(self.kind, self.metadata("namespace"), self.name())
    }
}

/// What messages call an object.
pub fn id(kind: Kind, namespace: &str, name: &str) -> String {
    if namespace.is_empty() {
        format!("{}({name})", kind.name())
    } else {
        format!("{}({namespace}/{name})", kind.name())
    }
}

/// A text in a part of an object; empty where it is absent.
pub fn text_of<'a>(object: &'a Map<String, Value>, part: &str, field: &str) -> &'a str {
    object.get(part).and_then(|part| part.get(field)).and_then(Value::as_str).unwrap_or_default()
}

/// What the arguments of a command name. `Ok(None)` where there is nothing, and that is no failure.
///
/// # Errors
/// A file cannot be read, or something in it is no object of a known kind. Nothing has been done then.
pub fn load(files: &Files) -> Result<Option<Vec<Manifest>>, Error> {
    let mut manifests = Vec::new();
    for path in &files.filename {
        let before = manifests.len();
        let (texts, what) = texts(path, files.recursive).map_err(failed)?;
        for (file, text) in texts {
            let unknowns = if files.keep_unknown_fields { Unknowns::Kept } else { Unknowns::Refused };
            manifests.extend(parse(&file, &text, unknowns)?);
        }
        if manifests.len() == before && !files.skip_empty {
            return Err(Error::new(format_args!("no resources specified in {what} {}", path.display())));
        }
    }
    Ok((!manifests.is_empty()).then_some(manifests))
}

/// Refuses two manifests for one object: which of them is meant, only their author knows.
pub fn refuse_doubles(manifests: &[Manifest]) -> Result<(), Error> {
    let mut seen: HashMap<String, &Place> = HashMap::new();
    for manifest in manifests.iter().filter(|manifest| !manifest.name().is_empty()) {
        let id = manifest.id();
        if let Some(first) = seen.insert(id.clone(), &manifest.place) {
            let error = Error::new(format_args!("failed to execute command: {id} is given twice"));
            let error = error.with_detail(format_args!("{first}")).with_detail(format_args!("{}", manifest.place));
            return Err(error.with_detail("nothing was changed: keep one of them"));
        }
    }
    Ok(())
}

fn failed(error: Error) -> Error {
    error.after("failed to execute command: ")
}

/// Files with their names and texts.
type Texts = Vec<(String, String)>;

/// The texts of a path, and what the path is.
fn texts(path: &Path, recursive: bool) -> Result<(Texts, &'static str), Error> {
    let name = path.display().to_string();
    if name == "-" {
        let mut text = String::new();
        let read = std::io::stdin().read_to_string(&mut text);
        read.map_err(|error| Error::new(format_args!("cannot read stdin: {error}")))?;
        return Ok((vec![(name, text)], "file"));
    }
    if !path.is_dir() {
        return Ok((vec![(name, read_file(path)?)], "file"));
    }
    let mut files = Vec::new();
    collect(path, recursive, &mut files)?;
    let read = |file: PathBuf| Ok((file.display().to_string(), read_file(&file)?));
    Ok((files.into_iter().map(read).collect::<Result<_, Error>>()?, "directory"))
}

/// The manifests of a folder, in the order of their names.
fn collect(folder: &Path, recursive: bool, files: &mut Vec<PathBuf>) -> Result<(), Error> {
    let unreadable = |error: std::io::Error| Error::new(format_args!("open {}: {}", folder.display(), reason(&error)));
    let entries =
        std::fs::read_dir(folder).and_then(|entries| entries.collect::<Result<Vec<_>, _>>()).map_err(unreadable)?;
    let mut paths: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase()).unwrap_or_default();
        if path.is_dir() {
            if recursive {
                collect(&path, recursive, files)?;
            }
        } else if ["yaml", "yml", "json"].contains(&ending.as_str()) {
            files.push(path);
        }
    }
    Ok(())
}

fn read_file(path: &Path) -> Result<String, Error> {
    std::fs::read_to_string(path)
        .map_err(|error| Error::new(format_args!("open {}: {}", path.display(), reason(&error))))
}

/// As Go says it.
fn reason(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "no such file or directory".to_owned(),
        std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string(),
    }
}

/// The objects of a text.
pub fn parse(file: &str, text: &str, unknowns: Unknowns) -> Result<Vec<Manifest>, Error> {
    let documents = yaml::read(text).map_err(|error| {
        Error::new(format_args!("failed to execute command: error converting YAML to JSON: yaml: {error}"))
            .with_detail(file)
    })?;
    let mut manifests = Vec::new();
    for (index, document) in documents.iter().enumerate() {
        // Comments before the first separator, as licences are.
        if document.value.is_null() && documents.len() > 1 {
            continue;
        }
        let place = Place { file: file.to_owned(), document: index + 1, item: None };
        for (item, value) in items(&document.value) {
            let place = Place { item, ..place.clone() };
            manifests.push(manifest(value, place, document, unknowns)?);
        }
    }
    Ok(manifests)
}

/// What a document is made of: itself, or the items of a list, numbered from 1.
fn items(value: &Value) -> Vec<(Option<usize>, &Value)> {
    match value {
        Value::Array(list) => (1..).map(Some).zip(list).collect(),
        Value::Object(object) if object.get("kind").and_then(Value::as_str).is_some_and(is_list) => {
            match object.get("items") {
                Some(Value::Array(list)) => (1..).map(Some).zip(list).collect(),
                _ => Vec::new(),
            }
        }
        _ => vec![(None, value)],
    }
}

fn is_list(kind: &str) -> bool {
    kind.strip_suffix("List").is_some_and(|kind| kind.is_empty() || Kind::of_manifest(kind).is_some())
}

fn manifest(value: &Value, place: Place, document: &Document, unknowns: Unknowns) -> Result<Manifest, Error> {
    let empty = Map::new();
    let object = match value {
        Value::Object(object) => object,
        Value::Null => &empty,
        other => {
            let found = match other {
                Value::String(_) => "string",
                Value::Bool(_) => "bool",
                Value::Array(_) => "array",
                _ => "number",
            };
            let text = format!(
                "failed to execute command: error unmarshaling JSON: while decoding JSON: json: cannot unmarshal {found} into Go value of type []unstructured.Unstructured"
            );
            return Err(Error::new(text).with_detail(format_args!("{place}: there is no object in it")));
        }
    };
    let field = |name: &str| object.get(name).and_then(Value::as_str).unwrap_or_default();
    let (name, version) = (field("kind"), field("apiVersion"));
    let Some(kind) = Kind::of_manifest(name).filter(|_| version == API_VERSION) else {
        return Err(unknown_kind(name, version, &place));
    };
    let read = read(kind, object, unknowns).map_err(|unreadable| refuse(&unreadable, &place, document))?;
    Ok(Manifest { kind, object: read, place })
}

fn unknown_kind(kind: &str, version: &str, place: &Place) -> Error {
    let text = format!("failed to execute command: unknown resource type ({kind}) and/or version ({version})");
    let error = Error::new(text).with_detail(place);
    let by_letters = Kind::of_argument(kind).map(Kind::name);
    let meant = by_letters.or_else(|| crate::suggest::closest(kind, Kind::ALL.into_iter().map(Kind::name)));
    match meant {
        _ if kind.is_empty() && version.is_empty() => error.with_detail("there is no object in it"),
        _ if version != API_VERSION => error.with_detail(format_args!("apiVersion must be {API_VERSION}")),
        Some(meant) if meant != kind => error.with_detail(format_args!("did you mean {meant}?")),
        _ => error,
    }
}

/// An object in the form of its kind.
pub fn read(kind: Kind, object: &Map<String, Value>, unknowns: Unknowns) -> Result<Map<String, Value>, Unreadable> {
    let about = kind.about();
    let part = |name: &str, shape: &Shape| match object.get(name) {
        None | Some(Value::Null) => Shape::read(shape, &Map::new(), name, unknowns),
        Some(Value::Object(part)) => Shape::read(shape, part, name, unknowns),
        Some(_) => Err(Unreadable {
            path: name.to_owned(),
            reason: "expected fields".to_owned(),
            is_unknown: false,
            meant: None,
        }),
    };
    let mut read = Map::new();
    read.insert("kind".to_owned(), kind.name().into());
    read.insert("apiVersion".to_owned(), API_VERSION.into());
    read.insert("metadata".to_owned(), part("metadata", &METADATA)?.into());
    read.insert("spec".to_owned(), part("spec", about.spec)?.into());
    for (name, value) in object {
        match name.as_str() {
            "kind" | "apiVersion" | "metadata" | "spec" => {}
            "status" => drop(read.insert(name.clone(), value.clone())),
            _ if unknowns == Unknowns::Kept => drop(read.insert(name.clone(), value.clone())),
            _ => {
                let meant = crate::suggest::closest(name, ["metadata", "spec"]);
                return Err(Unreadable { path: name.clone(), reason: name.clone(), is_unknown: true, meant });
            }
        }
    }
    Ok(read)
}

/// Says which part of which document cannot be read.
pub fn refuse(unreadable: &Unreadable, place: &Place, document: &Document) -> Error {
    let Unreadable { path, reason, is_unknown, meant } = unreadable;
    let inside = place.item.map(|item| format!("items[{}].{path}", item - 1));
    let line =
        document.line_of(inside.as_deref().unwrap_or(path)).map(|line| format!(", line {line}")).unwrap_or_default();
    let meant = meant.map(|name| format!(": did you mean {name}?")).unwrap_or_default();
    let text = match is_unknown {
        true => format!("field in document is not recognized or is in the wrong location: {reason}"),
        false => format!("failed to execute command: error unmarshaling JSON: while decoding JSON: {reason}"),
    };
    Error::new(text).with_detail(format_args!("{place}{line}: {path}{meant}"))
}
