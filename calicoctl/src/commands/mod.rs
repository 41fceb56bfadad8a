//! The commands for objects.

pub mod delete;
pub mod get;
pub mod label;
pub mod patch;
pub mod store;
pub mod validate;
pub mod watch;

use crate::cli::Files;
use crate::error::Error;
use crate::kind::Kind;
use crate::manifest::{self, Manifest};
use crate::objects::Failure;

/// The kind that an argument names.
pub fn kind_of(argument: &str) -> Result<Kind, Error> {
    Kind::of_argument(argument).ok_or_else(|| {
        let error = Error::new(format_args!("resource type '{argument}' is not supported"));
        match Kind::meant(argument) {
            Some(meant) => error.with_detail(format_args!("did you mean {meant}?")),
            None => {
                let names: Vec<&str> = Kind::ALL.into_iter().map(|kind| kind.about().aliases[0]).collect();
                error.with_detail(format_args!("there are {}", names.join(", ")))
            }
        }
    })
}

/// Which namespace an object is in, by what it says and what the command line says; nothing for kinds without.
pub fn namespace_of(kind: Kind, own: &str, given: Option<&str>) -> Result<String, Failure> {
    let given = given.filter(|given| !given.is_empty());
    if !kind.about().is_namespaced {
        return match own {
            "" => Ok(String::new()),
            _ => Err(Failure::text(format_args!(
                "namespace should not be specified for a non-namespaced resource. {0} is not a namespaced resource",
                kind.name()
            ))),
        };
    }
    match (own, given) {
        ("", given) => Ok(given.unwrap_or("default").to_owned()),
        (own, Some(given)) if own != given => {
            Err(Failure::text(format_args!("resource namespace does not match client namespace. {own} != {given}")))
        }
        (own, _) => Ok(own.to_owned()),
    }
}

/// Puts a manifest's object into its namespace.
fn place(manifest: &mut Manifest, given: Option<&str>) -> Result<(), Failure> {
    let namespace = namespace_of(manifest.kind, manifest.metadata("namespace"), given)?;
    if let (false, Some(serde_json::Value::Object(metadata))) =
        (namespace.is_empty(), manifest.object.get_mut("metadata"))
    {
        metadata.insert("namespace".to_owned(), namespace.into());
        *metadata = crate::kinds::metadata::METADATA.ordered(metadata);
    }
    Ok(())
}

/// Manifests, each with whether it is in a namespace that it may be in.
struct Placed {
    manifests: Vec<Manifest>,
    places: Vec<Result<(), Failure>>,
}

/// Reads the manifests that are to be stored or checked. `None` where there is nothing, and that is no failure.
fn read(files: &Files, verb: &str) -> Result<Option<Placed>, Error> {
    if files.filename.is_empty() {
        return Err(Error::new(format_args!("nothing to {verb}: name files with -f")));
    }
    let Some(mut manifests) = manifest::load(files)? else { return Ok(None) };
    let places = manifests.iter_mut().map(|manifest| place(manifest, files.namespace.as_deref())).collect();
    manifest::refuse_doubles(&manifests)?;
    Ok(Some(Placed { manifests, places }))
}

/// What messages call several objects: ` 'IPPool'` where all are of one kind, else nothing.
fn common_kind(kinds: impl IntoIterator<Item = Kind>) -> String {
    let mut kinds = kinds.into_iter();
    match kinds.next() {
        Some(first) if kinds.all(|kind| kind == first) => format!(" '{}'", first.name()),
        _ => String::new(),
    }
}

/// What a person needs to know to correct failures: where each object was written, and which of its fields are wrong.
fn explain(error: Error, failures: &[(&Manifest, Failure)]) -> Error {
    failures.iter().fold(error, |error, (manifest, failure)| {
        let details = failure.details().join("; ");
        let tail = if details.is_empty() { String::new() } else { format!(": {details}") };
        error.with_detail(format_args!("{}: {}{tail}", manifest.place, manifest.id()))
    })
}
