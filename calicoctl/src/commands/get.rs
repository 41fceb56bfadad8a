//! `get`.

use serde_json::Value;

use super::{kind_of, namespace_of, place, watch};
use crate::cli::GetArgs;
use crate::console::Console;
use crate::error::Error;
use crate::kind::Kind;
use crate::labels::Labels;
use crate::manifest;
use crate::objects::{Failure, Found, Objects};
use crate::output::form::{self, Form};
use crate::session::Session;

/// What is asked for.
pub struct Query {
    /// All objects of a kind, or some by their names.
    pub asked: Asked,
    /// The form of the answer.
    pub form: Form,
    /// Without what belongs to the cluster.
    pub export: bool,
    /// Whether tables name the namespaces.
    pub with_namespace: bool,
    /// Which labels objects must have.
    pub labels: Option<Labels>,
}

/// Which objects.
pub enum Asked {
    /// All of a kind, of one namespace or of all.
    List(Kind, Option<String>),
    /// These, by kind, namespace and name.
    Named(Vec<(Kind, String, String)>),
}

/// Shows objects.
pub async fn run(session: &Session, console: &Console, arguments: &GetArgs) -> Result<(), Error> {
    let Some(query) = query(arguments)? else {
        return console.line("No resources specified");
    };
    if arguments.watch {
        return watch::run(session, console, &query).await;
    }
    let objects = Objects::of(session);
    match &query.asked {
        Asked::List(kind, namespace) => {
            // Before anything is read: a heading that there is none of is the caller's mistake.
            let headings = query.form.headings(*kind, query.with_namespace)?;
            let listed = objects.list(*kind, namespace.as_deref()).await;
            let listed = listed.map_err(|error| error.after("failed to get resources: "))?;
            listed.unreadable.iter().for_each(|reason| console.warn(reason));
            let found = query.chosen(listed.found);
            match (headings, &query.form) {
                (Some(headings), _) => console.table(&form::table(&headings, &found)),
                (None, Form::Name) => console.data(&form::names(&found)),
                (None, form) => console.data(&form::document(form, vec![form::list_object(*kind, &found)])),
            }
        }
        Asked::Named(names) => {
            let (mut found, mut failures) = (Vec::new(), Vec::new());
            for (kind, namespace, name) in names {
                match objects.get(*kind, namespace, name).await {
                    Ok(one) => found.push(one),
                    Err(failure) => failures.push(failure),
                }
            }
            show(console, &query, query.chosen(found), names)?;
            report(failures)
        }
    }
}

/// Prints objects that were asked for by name.
fn show(console: &Console, query: &Query, found: Vec<Found>, asked: &[(Kind, String, String)]) -> Result<(), Error> {
    match &query.form {
        Form::Name => console.data(&form::names(&found)),
        Form::Yaml | Form::Json if found.is_empty() => Ok(()),
        Form::Yaml | Form::Json => {
            let values = found.into_iter().map(|found| Value::Object(found.object)).collect();
            console.data(&form::document(&query.form, values))
        }
        Form::Table | Form::Wide | Form::Custom(_) => {
            let mut kinds: Vec<Kind> = asked.iter().map(|(kind, ..)| *kind).collect();
            kinds.dedup();
            for kind in kinds {
                let headings = query.form.headings(kind, query.with_namespace)?.unwrap_or_default();
                let of_kind: Vec<Found> = found.iter().filter(|found| found.kind == kind).cloned().collect();
                if !of_kind.is_empty() {
                    console.table(&form::table(&headings, &of_kind))?;
                }
            }
            Ok(())
        }
    }
}

fn report(failures: Vec<Failure>) -> Result<(), Error> {
    if failures.is_empty() {
        return Ok(());
    }
    let text = |failure: &Failure| match failure {
        Failure::Missing { .. } => failure.to_string(),
        other => format!("failed to get resources: {other}"),
    };
    let details: Vec<String> = failures.iter().flat_map(Failure::details).collect();
    let error = Error::new(failures.iter().map(text).collect::<Vec<_>>().join("\n"));
    Err(details.into_iter().fold(error, Error::with_detail))
}

impl Query {
    /// The objects with the labels asked for, in the form asked for.
    pub fn chosen(&self, found: Vec<Found>) -> Vec<Found> {
        let has_labels = |found: &Found| self.labels.as_ref().is_none_or(|labels| labels.match_object(&found.object));
        let found = found.into_iter().filter(has_labels);
        found
            .map(|mut found| {
                if self.export {
                    found.object = form::exported(&found.object);
                }
                found
            })
            .collect()
    }
}

fn query(arguments: &GetArgs) -> Result<Option<Query>, Error> {
    let form = Form::parse(&arguments.output)?;
    let given = arguments.files.namespace.as_deref();
    if given.is_some() && arguments.all_namespaces {
        let text = "cannot use both --namespace and --all-namespaces flags at the same time";
        return Err(Error::new(text));
    }
    let asked = match (&arguments.kind, arguments.files.filename.is_empty()) {
        (Some(_), false) => return Err(Error::new("name either files or a kind, not both")),
        (None, true) => return Err(Error::new("name a kind, or files with -f").with_detail(kinds())),
        (None, false) => {
            let Some(manifests) = manifest::load(&arguments.files)? else { return Ok(None) };
            let mut named = Vec::new();
            for mut manifest in manifests {
                place(&mut manifest, given).map_err(Error::new)?;
                named.push((manifest.kind, manifest.metadata("namespace").to_owned(), manifest.name().to_owned()));
            }
            Asked::Named(named)
        }
        (Some(kind), true) => {
            let kind = kind_of(kind).map_err(|error| error.after("failed to get resources: "))?;
            if !kind.about().is_namespaced && (given.is_some() || arguments.all_namespaces) {
                return Err(Error::new(format_args!("{} is not namespaced", kind.name())));
            }
            if arguments.names.is_empty() {
                let namespace = namespace_of(kind, "", given).map_err(Error::new)?;
                Asked::List(kind, Some(namespace).filter(|it| !it.is_empty() && !arguments.all_namespaces))
            } else {
                named(kind, arguments)?
            }
        }
    };
    let labels = arguments.selector.as_deref().map(Labels::parse).transpose()?;
    let with_namespace = given.is_some() || arguments.all_namespaces;
    Ok(Some(Query { asked, form, export: arguments.export, with_namespace, labels }))
}

fn named(kind: Kind, arguments: &GetArgs) -> Result<Asked, Error> {
    if arguments.all_namespaces {
        return Err(Error::new("cannot use --all-namespace flag for getting a single resource"));
    }
    if arguments.names.iter().any(String::is_empty) {
        return Err(Error::new("resource name may not be empty"));
    }
    let namespace = namespace_of(kind, "", arguments.files.namespace.as_deref()).map_err(Error::new)?;
    Ok(Asked::Named(arguments.names.iter().map(|name| (kind, namespace.clone(), name.clone())).collect()))
}

fn kinds() -> String {
    let names: Vec<&str> = Kind::ALL.into_iter().map(|kind| kind.about().aliases[0]).collect();
    format!("there are {}", names.join(", "))
}
