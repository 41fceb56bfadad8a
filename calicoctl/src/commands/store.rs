//! `create`, `apply` and `replace`: storing what manifests say.

use crate::cli::{ApplyArgs, CreateArgs, Files, ReplaceArgs};
use crate::console::Console;
use crate::error::Error;
use crate::kind::Kind;
use crate::manifest::Manifest;
use crate::objects::{Failure, Objects, ensure_initialised};
use crate::session::{Backend, Session};

use super::{Placed, common_kind, explain, read};

/// What to do with each object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Create { skip_exists: bool },
    Apply,
    Replace,
}

impl Action {
    fn verb(self) -> &'static str {
        match self {
            Action::Create { .. } => "create",
            Action::Apply => "apply",
            Action::Replace => "replace",
        }
    }

    fn done(self) -> &'static str {
        match self {
            Action::Create { .. } => "created",
            Action::Apply => "applied",
            Action::Replace => "replaced",
        }
    }
}

/// What is to be stored, read from files before anything is done.
pub struct Order {
    action: Action,
    placed: Placed,
}

/// `create`.
pub fn create(arguments: &CreateArgs) -> Result<Option<Order>, Error> {
    order(&arguments.files, Action::Create { skip_exists: arguments.skip_exists })
}

/// `apply`.
pub fn apply(arguments: &ApplyArgs) -> Result<Option<Order>, Error> {
    order(&arguments.files, Action::Apply)
}

/// `replace`.
pub fn replace(arguments: &ReplaceArgs) -> Result<Option<Order>, Error> {
    order(&arguments.files, Action::Replace)
}

fn order(files: &Files, action: Action) -> Result<Option<Order>, Error> {
    Ok(read(files, action.verb())?.map(|placed| Order { action, placed }))
}

/// Stores what was read.
pub async fn carry_out(session: &Session, console: &Console, order: Order) -> Result<(), Error> {
    let Order { action, placed: Placed { manifests, places } } = order;
    // What is wrong with it shows when the first object is stored.
    let _ = ensure_initialised(session).await;
    let objects = Objects::of(session);
    let mut failures: Vec<(&Manifest, Failure)> = Vec::new();
    for (index, (manifest, placed)) in manifests.iter().zip(places).enumerate() {
        console.progress(action.verb(), index, manifests.len());
        let stored = match placed {
            Ok(()) => store(&objects, manifest, action).await,
            Err(failure) => Err(failure),
        };
        if let Err(failure) = stored {
            failures.push((manifest, failure));
        }
    }
    console.clear();
    note_settings(session, console, &manifests, &failures);
    report(console, &manifests, &failures, action)
}

async fn store(objects: &Objects<'_>, manifest: &Manifest, action: Action) -> Result<(), Failure> {
    let Manifest { kind, object, .. } = manifest;
    if *kind == Kind::ClusterInformation {
        let (operation, name) = (action.verb(), "ClusterInformation".to_owned());
        return Err(Failure::Unsupported { operation, name, reason: "resource is readonly".to_owned() });
    }
    match action {
        Action::Create { skip_exists } => match objects.create(*kind, object.clone()).await {
            Err(Failure::Exists { .. }) if skip_exists => Ok(()),
            created => created.map(drop),
        },
        Action::Replace => objects.update(*kind, object).await.map(drop),
        Action::Apply => match objects.update(*kind, object).await {
            Err(Failure::Missing { .. }) => match objects.create(*kind, object.clone()).await {
                // Somebody else was faster.
                Err(Failure::Exists { .. }) => objects.update(*kind, object).await.map(drop),
                created => created.map(drop),
            },
            updated => updated.map(drop),
        },
    }
}

/// With etcd and the embedded store, address management has its settings elsewhere: who sets them here should know.
fn note_settings(session: &Session, console: &Console, manifests: &[Manifest], failures: &[(&Manifest, Failure)]) {
    let mut stored =
        manifests.iter().filter(|manifest| !failures.iter().any(|(failed, _)| failed.place == manifest.place));
    let sets = stored.any(|manifest| manifest.kind == Kind::IpamConfiguration);
    if sets && session.backend() != Backend::Kubernetes {
        console.warn("with this datastore, addresses are assigned by what `calicoctl ipam configure` sets, not by IPAMConfiguration");
    }
}

/// Says what was done. The texts are the established tool's.
fn report(
    console: &Console,
    manifests: &[Manifest],
    failures: &[(&Manifest, Failure)],
    action: Action,
) -> Result<(), Error> {
    let kind = common_kind(manifests.iter().map(|manifest| manifest.kind));
    let (all, done) = (manifests.len(), manifests.len() - failures.len());
    if failures.is_empty() {
        return console.line(format_args!("Successfully {} {all}{kind} resource(s)", action.done()));
    }
    let texts: Vec<String> = failures.iter().map(|(_, failure)| failure.to_string()).collect();
    let joined = texts.join(" ");
    let error = match done {
        0 if action == Action::Replace => {
            Error::new(format_args!("hit error: {}", texts.last().cloned().unwrap_or_default()))
        }
        0 if all == 1 => Error::new(format_args!("failed to {}{kind} resource: [{joined}]", action.verb())),
        0 => Error::new(format_args!("failed to {} any{kind} resources: [{joined}]", action.verb())),
        _ => {
            let text = format!("Partial success: {} the first {done} out of {all}{kind} resources:", action.done());
            console.line(text)?;
            for manifest in
                manifests.iter().filter(|manifest| !failures.iter().any(|(failed, _)| failed.place == manifest.place))
            {
                console.line(format_args!("  {}", manifest.id()))?;
            }
            Error::new(format_args!("hit error: [{joined}]"))
        }
    };
    Err(explain(error, failures))
}
