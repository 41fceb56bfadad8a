//! `validate`: checking manifests without a datastore.

use super::{Placed, common_kind, explain, read};
use crate::cli::Files;
use crate::console::Console;
use crate::error::Error;
use crate::manifest::Manifest;
use crate::objects::Failure;
use crate::validate;

/// Checks all objects of the files: what needs no datastore to be known.
pub fn run(console: &Console, files: &Files) -> Result<(), Error> {
    let Some(Placed { manifests, places }) = read(files, "validate")? else {
        return console.line("No resources specified");
    };
    let mut failures: Vec<(&Manifest, Failure)> = Vec::new();
    for (manifest, placed) in manifests.iter().zip(places) {
        let mut object = manifest.object.clone();
        validate::set_defaults(manifest.kind, &mut object);
        let broken = validate::check(manifest.kind, &object, true);
        match placed {
            Err(failure) => failures.push((manifest, failure)),
            Ok(()) if !broken.is_empty() => failures.push((manifest, Failure::Invalid(broken))),
            Ok(()) => {}
        }
    }
    let kind = common_kind(manifests.iter().map(|manifest| manifest.kind));
    let (all, sound) = (manifests.len(), manifests.len() - failures.len());
    if failures.is_empty() {
        return console.line(format_args!("Successfully validated {all}{kind} resource(s)"));
    }
    let joined = failures.iter().map(|(_, failure)| failure.to_string()).collect::<Vec<_>>().join(" ");
    let error = match sound {
        0 if all == 1 => Error::new(format_args!("failed to validate{kind} resource: [{joined}]")),
        0 => Error::new(format_args!("failed to validate any{kind} resources: [{joined}]")),
        _ => {
            console.line(format_args!("Partial success: validated the first {sound} out of {all}{kind} resources:"))?;
            Error::new(format_args!("hit error: [{joined}]"))
        }
    };
    Err(explain(error, &failures))
}
