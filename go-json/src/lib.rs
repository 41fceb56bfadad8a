//! JSON written byte for byte as Go's `encoding/json` (1.22 and later) writes it.
//!
//! Results and errors are compared textually by tests of runtimes, and objects in a datastore by the Go programs that
//! share it. The differences to `serde_json` are few: HTML characters and two line separators are escaped, and
//! floating-point numbers look different.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter, PrettyFormatter, Serializer};

/// Writes `value` on one line without spaces: the form of stored objects.
///
/// # Panics
/// If `value` cannot be JSON: a map with keys that are not strings, or a `Serialize` implementation that fails.
pub fn to_compact(value: &impl Serialize) -> String {
    write(value, CompactFormatter)
}

/// Writes `value` indented by 4 spaces a level, without a final newline: the form of results and errors on stdout.
///
/// # Panics
/// As [`to_compact`].
pub fn to_pretty(value: &impl Serialize) -> String {
    to_indented(value, "    ")
}

/// Writes `value` with `indent` before each line, once a level, and without a final newline.
///
/// # Panics
/// As [`to_compact`].
pub fn to_indented(value: &impl Serialize, indent: &str) -> String {
    write(value, PrettyFormatter::with_indent(indent.as_bytes()))
}

fn write(value: &impl Serialize, layout: impl Formatter) -> String {
    let mut text = Vec::new();
    let mut serializer = Serializer::with_formatter(&mut text, GoFormatter { layout });
    value.serialize(&mut serializer).expect("the value can be written as JSON");
    String::from_utf8(text).expect("JSON is UTF-8")
}

/// Go's way of writing strings and numbers, over a `layout` that decides about spaces and line breaks.
struct GoFormatter<F> {
    layout: F,
}

/// What Go writes for a character that JSON itself would allow unescaped in a string.
fn escape(character: char) -> Option<&'static str> {
    match character {
        '<' => Some("\\u003c"),
        '>' => Some("\\u003e"),
        '&' => Some("\\u0026"),
        '\u{2028}' => Some("\\u2028"),
        '\u{2029}' => Some("\\u2029"),
        _ => None,
    }
}

impl<F: Formatter> Formatter for GoFormatter<F> {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut plain = 0;
        for (at, character) in fragment.char_indices() {
            if let Some(escaped) = escape(character) {
                writer.write_all(&fragment.as_bytes()[plain..at])?;
                writer.write_all(escaped.as_bytes())?;
                plain = at + character.len_utf8();
            }
        }
        writer.write_all(&fragment.as_bytes()[plain..])
    }

    fn write_f64<W: ?Sized + Write>(&mut self, writer: &mut W, value: f64) -> io::Result<()> {
        let magnitude = value.abs();
        if magnitude != 0.0 && !(1e-6..1e21).contains(&magnitude) {
            // Rust leaves out the plus sign of an exponent, Go does not.
            let text = format!("{value:e}");
            let text = if text.contains("e-") { text } else { text.replace('e', "e+") };
            writer.write_all(text.as_bytes())
        } else {
            write!(writer, "{value}")
        }
    }

    fn begin_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.layout.begin_array(writer)
    }

    fn end_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.layout.end_array(writer)
    }

    fn begin_array_value<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.layout.begin_array_value(writer, first)
    }

    fn end_array_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.layout.end_array_value(writer)
    }

    fn begin_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.layout.begin_object(writer)
    }

    fn end_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.layout.end_object(writer)
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.layout.begin_object_key(writer, first)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.layout.begin_object_value(writer)
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.layout.end_object_value(writer)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn strings_are_escaped_as_go_does() {
        assert_eq!(
            to_compact(&"<nil> & \u{2028}\u{2029} é \u{7f}"),
            "\"\\u003cnil\\u003e \\u0026 \\u2028\\u2029 é \u{7f}\""
        );
        assert_eq!(to_compact(&"\"\\/\u{8}\u{c}\n\r\t\u{0}\u{1f}\u{b}"), r#""\"\\/\b\f\n\r\t\u0000\u001f\u000b""#);
    }

    #[test]
    fn keys_are_escaped_too() {
        assert_eq!(to_compact(&json!({"a&b": 1})), r#"{"a\u0026b":1}"#);
    }

    #[test]
    fn numbers() {
        assert_eq!(
            to_compact(&json!([1, -1, u64::MAX, i64::MIN, 1.0, 1.5, -0.0, 1e20, 1e21, 1.5e-7, 0.000001, null, true])),
            "[1,-1,18446744073709551615,-9223372036854775808,1,1.5,-0,100000000000000000000,\
             1e+21,1.5e-7,0.000001,null,true]"
        );
    }

    #[test]
    fn layouts() {
        let value = json!({"b": [1, {"c": "d"}], "a": {}, "e": []});
        assert_eq!(to_compact(&value), r#"{"b":[1,{"c":"d"}],"a":{},"e":[]}"#);
        assert_eq!(
            to_pretty(&value),
            r#"{
    "b": [
        1,
        {
            "c": "d"
        }
    ],
    "a": {},
    "e": []
}"#
        );
        assert_eq!(to_indented(&json!([{"a": 1}]), " "), "[\n {\n  \"a\": 1\n }\n]");
    }
}
