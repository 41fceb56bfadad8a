//! The plugin's calls, as its log tells of them: calico-plugin writes the lines (its module `log`).

use std::collections::HashMap;

/// The columns, in the order of a call's phases, and the messages of the phases that are shown in each.
const COLUMNS: [(&str, &[&str]); 13] = [
    ("GATES", &["the readiness gates are open"]),
    ("OPEN", &["opened the datastore"]),
    ("LOCK", &["took the host lock"]),
    ("SEED", &["created this node and its pools"]),
    ("POD", &["read the pod"]),
    ("READ", &["read what there is"]),
    ("DOWN", &["took the host end down", "found no host end to take down"]),
    (
        "LINKS",
        &[
            "made the interfaces",
            "removed the interfaces",
            "removed the interface by its name",
            "took back the interfaces",
        ],
    ),
    (
        "IPAM",
        &[
            "the IPAM plugin assigned the addresses",
            "the IPAM plugin released the addresses",
            "the IPAM plugin took back the addresses",
        ],
    ),
    ("ASSIGN", &["assigned the addresses"]),
    ("RELEASE", &["released the addresses", "took back the addresses, if there were any"]),
    ("ROUTES", &["set addresses and routes"]),
    ("ENDPOINT", &["recorded the endpoint", "deleted the endpoint", "took back the endpoint"]),
];

/// Why a call ended.
#[derive(Debug, Clone, PartialEq)]
pub enum End {
    /// It was done, after so many milliseconds.
    Done(f64),
    /// It failed.
    Failed,
}

/// The milliseconds of phases, by column.
pub type Phases = Vec<(&'static str, f64)>;

/// A call that has ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// When it ended, as the log dates it.
    pub time: String,
    /// The CNI verb.
    pub verb: String,
    /// The program: `cni-plugin` or `ipam`.
    pub program: String,
    /// The container's identifier; empty where the call is about none.
    pub container: String,
    /// How it ended.
    pub end: End,
    /// How long its phases took. They may overlap: the kernel works while the datastore is read.
    pub phases: Phases,
}

/// The names of the columns.
pub fn columns() -> impl Iterator<Item = &'static str> {
    COLUMNS.iter().map(|(name, _)| *name)
}

/// What a line says.
#[derive(Debug, Clone)]
enum Said {
    Phase(&'static str, f64),
    End { verb: String, end: End },
}

/// A line about a call.
#[derive(Debug, Clone)]
pub struct Line {
    time: String,
    process: u32,
    program: String,
    container: String,
    said: Said,
}

impl Line {
    /// Reads a line. `None` for one of another program, or about something else.
    pub fn parse(line: &str) -> Option<Line> {
        let (head, rest) = line.split_once(": ")?;
        let [date, time, level, place, _number] = head.split(' ').collect::<Vec<_>>().try_into().ok()?;
        let (level, process) = level.strip_prefix('[')?.strip_suffix(']')?.split_once("][")?;
        let (program, file) = place.split_once('/')?;
        if !file.ends_with(".rs") {
            return None;
        }
        let (message, fields) = split_fields(rest);
        let container = fields.iter().find(|(key, _)| *key == "container")?.1.clone();
        let millis = || fields.iter().find(|(key, _)| *key == "ms")?.1.parse::<f64>().ok().filter(|ms| ms.is_finite());
        let said = match (level, message) {
            ("INFO", "undid the ADD") => Said::End { verb: "undo ADD".to_owned(), end: End::Done(millis()?) },
            ("INFO", message) => match message.strip_suffix(" done") {
                Some(verb) => Said::End { verb: verb.to_owned(), end: End::Done(millis()?) },
                None => Said::Phase(column(message)?, millis()?),
            },
            ("ERROR", message) => Said::End { verb: message.strip_suffix(" failed")?.to_owned(), end: End::Failed },
            _ => return None,
        };
        let process = process.parse().ok()?;
        Some(Line { time: format!("{date} {time}"), process, program: program.to_owned(), container, said })
    }
}

fn column(message: &str) -> Option<&'static str> {
    COLUMNS.iter().find(|(_, messages)| messages.contains(&message)).map(|(name, _)| *name)
}

/// Splits what a line says into the message and the fields after it: ` key=value`, where a text is in quotes.
fn split_fields(text: &str) -> (&str, Vec<(&str, String)>) {
    let mut fields = Vec::new();
    let key_before = |equals: usize| {
        let space = text[..equals].rfind(' ')?;
        let key = &text[space + 1..equals];
        let is_key = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        is_key.then_some((space, key))
    };
    let first = text.match_indices('=').find_map(|(equals, _)| key_before(equals));
    let Some((end, _)) = first else { return (text, fields) };
    let mut rest = &text[end..];
    while let Some((key, value)) = rest.strip_prefix(' ').and_then(|rest| rest.split_once('=')) {
        let length = match value.strip_prefix('"') {
            Some(quoted) => closing_quote(quoted) + 1,
            None => value.find(' ').unwrap_or(value.len()),
        };
        let (value, after) = value.split_at(length.min(value.len()));
        fields.push((key, value.trim_matches('"').to_owned()));
        rest = after;
    }
    (&text[..end], fields)
}

/// How long a quoted text is with its closing quote.
fn closing_quote(text: &str) -> usize {
    let mut is_escaped = false;
    for (index, byte) in text.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => return index + 1,
            _ => {}
        }
    }
    text.len()
}

/// The calls that lines tell of, in the order in which they ended. A process serves one call; its undoing has an end of its own.
pub fn calls<'a>(lines: impl IntoIterator<Item = &'a Line>) -> Vec<Call> {
    let mut calls = Vec::new();
    let mut open: HashMap<(u32, &str, &str), Phases> = HashMap::new();
    for line in lines {
        let key = (line.process, line.program.as_str(), line.container.as_str());
        match &line.said {
            Said::Phase(column, millis) => {
                let phases = open.entry(key).or_default();
                match phases.iter_mut().find(|(name, _)| name == column) {
                    Some((_, sum)) => *sum += millis,
                    None => phases.push((column, *millis)),
                }
            }
            Said::End { verb, end } => calls.push(Call {
                time: line.time.clone(),
                verb: verb.clone(),
                program: line.program.clone(),
                container: line.container.clone(),
                end: end.clone(),
                phases: open.remove(&key).unwrap_or_default(),
            }),
        }
    }
    calls
}

#[cfg(test)]
#[path = "timed_call/tests.rs"]
mod tests;
