//! `delete`.

use super::{common_kind, kind_of, namespace_of, place};
use crate::cli::DeleteArgs;
use crate::console::Console;
use crate::error::Error;
use crate::kind::Kind;
use crate::manifest::{self, Place};
use crate::objects::{Failure, Objects};
use crate::session::Session;

/// One object to delete.
struct Target {
    kind: Kind,
    namespace: Result<String, Failure>,
    name: String,
    version: String,
    place: Option<Place>,
}

/// Deletes the objects that arguments or files name.
pub async fn run(session: &Session, console: &Console, arguments: &DeleteArgs) -> Result<(), Error> {
    let Some(targets) = targets(arguments)? else {
        return console.line("No resources specified");
    };
    let objects = Objects::of(session);
    let kind = common_kind(targets.iter().map(|target| target.kind));
    let mut failures = Vec::new();
    let all = targets.len();
    for (index, target) in targets.into_iter().enumerate() {
        console.progress("delete", index, all);
        let deleted = match (target.namespace, target.kind) {
            (Err(failure), _) => Err(failure),
            (Ok(_), Kind::ClusterInformation) => Err(Failure::Unsupported {
                operation: "delete",
                name: "ClusterInformation".to_owned(),
                reason: "resource is readonly".to_owned(),
            }),
            (Ok(namespace), kind) => objects.delete(kind, &namespace, &target.name, &target.version).await,
        };
        match deleted {
            Err(Failure::Missing { .. }) if arguments.skip_not_exists => {}
            Err(failure) => failures.push((failure, target.place)),
            Ok(()) => {}
        }
    }
    console.clear();
    let done = all - failures.len();
    if done > 0 {
        console.line(format_args!("Successfully deleted {done}{kind} resource(s)"))?;
    }
    if failures.is_empty() {
        return Ok(());
    }
    for (failure, place) in failures {
        console.note(format_args!("Failed to delete{kind} resource: {failure}"));
        failure.details().iter().for_each(|line| console.note(format_args!("  {line}")));
        place.iter().for_each(|place| console.note(format_args!("  {place}")));
    }
    Err(Error::new(""))
}

fn targets(arguments: &DeleteArgs) -> Result<Option<Vec<Target>>, Error> {
    let given = arguments.files.namespace.as_deref();
    if !arguments.files.filename.is_empty() {
        if arguments.kind.is_some() {
            return Err(Error::new("name either files or a kind and names, not both"));
        }
        let Some(manifests) = manifest::load(&arguments.files)? else { return Ok(None) };
        let target = |mut manifest: manifest::Manifest| Target {
            kind: manifest.kind,
            namespace: place(&mut manifest, given).map(|()| manifest.metadata("namespace").to_owned()),
            name: manifest.name().to_owned(),
            version: manifest.metadata("resourceVersion").to_owned(),
            place: Some(manifest.place),
        };
        return Ok(Some(manifests.into_iter().map(target).collect()));
    }
    let Some(kind) = &arguments.kind else {
        return Err(Error::new("name files with -f, or a kind and names"));
    };
    let kind = kind_of(kind)?;
    if arguments.names.is_empty() {
        return Err(Error::new(format_args!("which {}? name them", kind.name())));
    }
    let target = |name: &String| Target {
        kind,
        namespace: namespace_of(kind, "", given),
        name: name.clone(),
        version: String::new(),
        place: None,
    };
    Ok(Some(arguments.names.iter().map(target).collect()))
}
