//! `get --watch`: what is there, and then what changes.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value};

use super::get::{Asked, Query};
use crate::console::Console;
use crate::error::Error;
use crate::kind::Kind;
use crate::objects::{Failure, Found, Objects};
use crate::output::form::{self, Form};
use crate::output::{cells, columns};
use crate::session::Session;

/// The pause between two looks. The datastore is asked: it tells nothing by itself.
const PAUSE: Duration = Duration::from_secs(2);

/// What happened to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    Added,
    Changed,
    Deleted,
}

impl Event {
    fn word(self) -> &'static str {
        match self {
            Event::Added => "ADDED",
            Event::Changed => "CHANGED",
            Event::Deleted => "DELETED",
        }
    }
}

/// How wide the column of events is, with the space behind.
const WIDEST_EVENT: usize = 10;

/// The objects of a look, by namespace and name.
type Seen = BTreeMap<(Kind, String, String), Found>;

/// Shows objects and their changes until the process is ended. A datastore that cannot be read meanwhile is noted, and asked
/// again.
pub async fn run(session: &Session, console: &Console, query: &Query) -> Result<(), Error> {
    let kind = match &query.asked {
        Asked::List(kind, _) => *kind,
        Asked::Named(named) => match named.first() {
            Some((first, ..)) if named.iter().all(|(kind, ..)| kind == first) => *first,
            _ => return Err(Error::new("--watch needs objects of one kind")),
        },
    };
    let headings = query.form.headings(kind, query.with_namespace)?;
    let mut seen = look(session, query).await?;
    let first = seen.values().cloned().map(|found| (Event::Added, found)).collect();
    let mut widths = None;
    print(console, query, headings.as_deref(), first, &mut widths)?;
    loop {
        tokio::time::sleep(PAUSE).await;
        match look(session, query).await {
            Ok(now) => {
                let events = changes(&seen, &now);
                print(console, query, headings.as_deref(), events, &mut widths)?;
                seen = now;
            }
            Err(error) => console.warn(error),
        }
    }
}

async fn look(session: &Session, query: &Query) -> Result<Seen, Error> {
    let objects = Objects::of(session);
    let found = match &query.asked {
        Asked::List(kind, namespace) => objects.list(*kind, namespace.as_deref()).await?.found,
        Asked::Named(named) => {
            let mut found = Vec::new();
            for (kind, namespace, name) in named {
                match objects.get(*kind, namespace, name).await {
                    Ok(one) => found.push(one),
                    Err(Failure::Missing { .. }) => {}
                    Err(failure) => return Err(Error::new(failure)),
                }
            }
            found
        }
    };
    let id = |found: &Found| (found.kind, found.namespace().to_owned(), found.name().to_owned());
    Ok(query.chosen(found).into_iter().map(|found| (id(&found), found)).collect())
}

/// What differs between two looks, in the order of the names.
fn changes(before: &Seen, now: &Seen) -> Vec<(Event, Found)> {
    let mut events: BTreeMap<_, (Event, Found)> = BTreeMap::new();
    for (id, found) in now {
        match before.get(id) {
            None => drop(events.insert(id, (Event::Added, found.clone()))),
            Some(old) if old.object != found.object => drop(events.insert(id, (Event::Changed, found.clone()))),
            Some(_) => {}
        }
    }
    for (id, found) in before.iter().filter(|(id, _)| !now.contains_key(*id)) {
        events.insert(id, (Event::Deleted, found.clone()));
    }
    events.into_values().collect()
}

/// Prints events: rows below one heading, or documents. Columns are as wide as the first rows need.
fn print(
    console: &Console,
    query: &Query,
    headings: Option<&[String]>,
    events: Vec<(Event, Found)>,
    known: &mut Option<Vec<usize>>,
) -> Result<(), Error> {
    let Some(headings) = headings else {
        let text = events.into_iter().map(|(event, found)| document(&query.form, event, &found));
        return console.data(&text.collect::<String>());
    };
    let mut rows = Vec::new();
    if known.is_none() {
        rows.push(["EVENT".to_owned()].into_iter().chain(headings.iter().cloned()).collect::<Vec<_>>());
    }
    rows.extend(events.iter().map(|(event, found)| {
        let cells = headings.iter().map(|heading| cells::cell(found, heading));
        [event.word().to_owned()].into_iter().chain(cells).collect::<Vec<_>>()
    }));
    let widths = columns::widths(&rows, known.as_deref().unwrap_or(&[WIDEST_EVENT]));
    console.data(&columns::render_in(&rows, &widths))?;
    *known = Some(widths);
    Ok(())
}

fn document(form: &Form, event: Event, found: &Found) -> String {
    if *form == Form::Name {
        return format!("{} {}", event.word(), form::names(std::slice::from_ref(found)));
    }
    let mut object = Map::new();
    object.insert("event".to_owned(), event.word().into());
    object.insert("object".to_owned(), found.object.clone().into());
    let separator = if *form == Form::Yaml { "---\n" } else { "" };
    format!("{separator}{}", form::document(form, vec![Value::Object(object)]))
}
