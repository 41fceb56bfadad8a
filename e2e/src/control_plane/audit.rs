//! What the API server was asked for, as its audit log says.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use serde_json::Value;

use crate::wait::until;

/// What is logged: who asks for what and when, twice for every request. The parts of the control plane itself are left
/// out.
pub(super) const POLICY: &str = "\
apiVersion: audit.k8s.io/v1
kind: Policy
rules:
- level: None
  users: ['system:apiserver', 'system:kube-controller-manager', 'system:kube-scheduler']
- level: Metadata
";

/// More bytes than any line of the log has.
const LONGEST_LINE: u64 = 1 << 20;

/// A request that has been answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Who asked, such as `system:serviceaccount:kube-system:calico-cni-plugin`.
    pub user: String,
    /// What was to be done, as RBAC calls it: `get`, `list`, `create`, `update`, `patch`, `delete` and so on.
    pub verb: String,
    /// The path with its query.
    pub uri: String,
    /// The HTTP status of the answer.
    pub code: u16,
    /// The program that asked, as it calls itself.
    pub agent: String,
    /// When the request had come, in microseconds: RFC 3339, all of one length, and so in the order of time.
    pub received: String,
    /// When it had been answered, likewise.
    pub answered: String,
}

/// A moment: what was asked for before it is left out.
#[derive(Debug, Clone, Copy)]
pub struct Mark(u64);

/// This moment.
pub(super) fn mark(log: &Path) -> Mark {
    let length = std::fs::metadata(log).map_or(0, |data| data.len());
    // A line that is being written counts as not yet written.
    let before = length.saturating_sub(LONGEST_LINE);
    Mark(before + read(log, before).len() as u64)
}

/// What has been asked for since a moment, in the order in which it came. Waits for the end of what has begun: the
/// answer is on its way before its end is logged.
pub(super) fn since(log: &Path, mark: Mark) -> Vec<Event> {
    let mut events = None;
    until("every request that has come is answered", || {
        events = finished(&String::from_utf8_lossy(&read(log, mark.0)));
        events.is_some()
    });
    events.unwrap_or_default()
}

/// The log from a place on, as far as its lines are complete.
fn read(log: &Path, from: u64) -> Vec<u8> {
    let mut text = Vec::new();
    // It is created with its first line.
    if let Ok(mut file) = File::open(log) {
        let read = file.seek(SeekFrom::Start(from)).and_then(|_| file.read_to_end(&mut text));
        read.unwrap_or_else(|e| panic!("{}: {e}", log.display()));
    }
    text.truncate(text.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1));
    text
}

/// The events of log lines; `None` while there is a request that is not answered yet.
fn finished(lines: &str) -> Option<Vec<Event>> {
    let mut begun = BTreeSet::new();
    let mut events = BTreeMap::new();
    for line in lines.lines() {
        let entry: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("audit log: {e}: {line}"));
        let id = text(&entry["auditID"]);
        let refused = entry["responseStatus"]["code"] == 401;
        match entry["stage"].as_str() {
            // A watch has no end.
            Some("RequestReceived") if entry["verb"] != "watch" => {
                begun.insert(id);
            }
            // Who is not known is not received.
            Some("ResponseStarted") if refused => {
                events.insert(id, event(&entry));
            }
            Some("ResponseComplete" | "Panic") if begun.remove(&id) || refused => {
                events.insert(id, event(&entry));
            }
            _ => {}
        }
    }
    if !begun.is_empty() {
        return None;
    }
    let mut events: Vec<Event> = events.into_values().collect();
    events.sort_by(|one, other| one.received.cmp(&other.received));
    Some(events)
}

fn event(entry: &Value) -> Event {
    Event {
        user: text(&entry["user"]["username"]),
        verb: text(&entry["verb"]),
        uri: text(&entry["requestURI"]),
        code: entry["responseStatus"]["code"].as_u64().and_then(|code| code.try_into().ok()).unwrap_or_default(),
        agent: text(&entry["userAgent"]),
        received: text(&entry["requestReceivedTimestamp"]),
        answered: text(&entry["stageTimestamp"]),
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn line(id: &str, stage: &str, verb: &str, code: u16) -> String {
        json!({
            "auditID": id, "stage": stage, "verb": verb, "requestURI": format!("/{id}"), "user": {"username": "u"},
            "responseStatus": {"code": code}, "requestReceivedTimestamp": format!("2026-01-01T00:00:00.00000{id}Z")
        })
        .to_string()
    }

    #[test]
    fn requests_are_those_that_came_and_were_answered() {
        let begun = [line("2", "RequestReceived", "get", 0), line("1", "RequestReceived", "list", 0)].join("\n");
        assert_eq!(finished(&begun), None);
        let ended = [
            line("2", "ResponseComplete", "get", 404),
            // It came before the moment in question.
            line("0", "ResponseComplete", "get", 200),
            line("3", "RequestReceived", "watch", 0),
            line("1", "ResponseComplete", "list", 200),
            line("4", "ResponseStarted", "get", 401),
        ];
        let events = finished(&format!("{begun}\n{}", ended.join("\n"))).unwrap();
        let found: Vec<(&str, u16)> = events.iter().map(|event| (event.uri.as_str(), event.code)).collect();
        assert_eq!(found, [("/1", 200), ("/2", 404), ("/4", 401)]);
    }
}
