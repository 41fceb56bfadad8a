//! The form of a line, which is that of every Calico component: tools that read Calico's logs know it.

use std::fmt::{Display, Write as _};
use std::panic::Location;
use std::time::{Duration, SystemTime};

use calico_model::timestamp;
use cni_spec::go_quote::quote;

/// What a field says.
#[derive(Clone, Copy)]
pub enum Value<'a> {
    /// A text: quoted.
    Text(&'a str),
    /// A number, an address, an error: as it is displayed.
    Plain(&'a dyn Display),
    /// A duration, in milliseconds.
    Millis(Duration),
}

/// A field of a line: its key and its value.
pub type Field<'a> = (&'a str, Value<'a>);

/// What a line says, apart from when and by whom.
pub(super) struct Entry<'a> {
    pub level: &'a str,
    pub component: &'a str,
    pub place: &'a Location<'a>,
    pub message: &'a str,
    pub fields: &'a [Field<'a>],
}

impl Entry<'_> {
    /// The line, with its end. `local` is the time that the host's clocks show.
    pub fn line(&self, local: SystemTime, pid: u32) -> String {
        let Entry { level, component, place, message, .. } = self;
        let file = place.file().rsplit('/').next().unwrap_or_default();
        let time = timestamp::log_text(local);
        let message = one_line(message);
        let mut line = format!("{time} [{level}][{pid}] {component}/{file} {}: {message}", place.line());
        let mut fields = self.fields.to_vec();
        fields.sort_by_key(|(key, _)| *key);
        for (key, value) in fields {
            // Writing to a string cannot fail.
            let _ = match value {
                Value::Text(text) => write!(line, " {key}={}", quote(text)),
                Value::Plain(value) => write!(line, " {key}={}", one_line(&value.to_string())),
                Value::Millis(time) => write!(line, " {key}={:.2}", time.as_secs_f64() * 1e3),
            };
        }
        line.push('\n');
        line
    }
}

/// Errors of others may have line breaks in them; an entry has none.
fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for character in text.chars() {
        match character.is_control() {
            true => line.extend(character.escape_default()),
            false => line.push(character),
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;
    use Value::{Millis, Plain, Text};

    #[track_caller]
    fn line(message: &str, fields: &[Field<'_>]) -> (String, u32) {
        let place = Location::caller();
        let entry = Entry { level: "WARNING", component: "ipam", place, message, fields };
        (entry.line(UNIX_EPOCH + Duration::from_millis(1_767_323_045_007), 42), place.line())
    }

    #[test]
    fn lines_have_the_known_form() {
        let address: std::net::IpAddr = "10.0.0.1".parse().unwrap();
        let fields = [
            ("node", Text("n1")),
            ("ms", Millis(Duration::from_micros(1_239))),
            ("ip", Plain(&address)),
            ("error", Plain(&"no such thing")),
            ("count", Plain(&3)),
        ];
        let (line, number) = line("took an address", &fields);
        let head = format!("2026-01-02 03:04:05.007 [WARNING][42] ipam/line.rs {number}: took an address");
        assert_eq!(line, format!("{head} count=3 error=no such thing ip=10.0.0.1 ms=1.24 node=\"n1\"\n"));
    }

    #[test]
    fn an_entry_is_one_line_whatever_is_in_it() {
        let (line, _) = line("a\nb", &[("error", Plain(&"c\r\nd\u{1b}é")), ("text", Text("e\n\"f\"\\"))]);
        assert!(line.ends_with(": a\\nb error=c\\r\\nd\\u{1b}é text=\"e\\n\\\"f\\\"\\\\\"\n"), "{line}");
        assert_eq!(line.lines().count(), 1);
    }
}
