//! How texts are written: without quotes where that is possible, in quotes, or as blocks of lines.

use std::fmt::Write;

use serde_json::Value;

use super::{number, scalar};

/// Characters that mean something at the beginning of a text without quotes.
const INDICATORS: [char; 17] = ['#', ',', '[', ']', '{', '}', '&', '*', '!', '|', '>', '\'', '"', '%', '@', '`', ' '];

/// A text as it is written, without an end of line. The lines of a block begin with `indent` spaces.
pub fn text(text: &str, indent: usize) -> String {
    let is_printable = text.chars().all(|character| character == '\n' || is_printable(character));
    if !is_printable {
        double_quoted(text)
    } else if text.contains('\n') {
        // Spaces at the ends of lines would not be seen.
        if text.contains(" \n") || text.ends_with(' ') { double_quoted(text) } else { block(text, indent) }
    } else if is_something_else(text) {
        double_quoted(text)
    } else if is_plain(text) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "''"))
    }
}

/// Whether a text without quotes would not be read as text, by this or another reader of YAML 1.1.
fn is_something_else(text: &str) -> bool {
    scalar::resolve(text).as_ref().and_then(Value::as_str).is_none()
        || matches!(text, "=" | "<<")
        || number::is_sexagesimal(text)
        || is_time(text)
}

/// Whether a text looks like a date, such as `2026-11-23`, or a time, such as `2026-11-23T06:08:49Z`.
fn is_time(text: &str) -> bool {
    let (date, time) = text.split_once(['T', 't', ' ']).unwrap_or((text, ""));
    let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let parts: Vec<_> = date.split('-').collect();
    let is_date = matches!(parts[..], [year, month, day] if year.len() == 4 && month.len() <= 2 && day.len() <= 2);
    is_date
        && parts.into_iter().all(is_digits)
        && time.chars().all(|part| part.is_ascii_digit() || ":.Z+- ".contains(part))
}

/// Whether the syntax allows a printable text of one line without quotes.
fn is_plain(text: &str) -> bool {
    let begins_like_syntax = text.starts_with(INDICATORS)
        || ["---", "..."].iter().any(|marker| text.starts_with(marker))
        || matches!(text, "-" | "?" | ":")
        || ["- ", "? "].iter().any(|indicator| text.starts_with(indicator));
    !begins_like_syntax && !text.ends_with([' ', ':']) && !text.contains(": ") && !text.contains(" #")
}

/// Whether a character is written as it is, on one line. The established tool escapes those beyond 16 bits too.
fn is_printable(character: char) -> bool {
    matches!(character, ' '..='~' | '\u{a0}'..='\u{fffd}') && !matches!(character, '\u{2028}' | '\u{2029}' | '\u{feff}')
}

fn double_quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for character in text.chars() {
        match character {
            '"' => quoted += "\\\"",
            '\\' => quoted += "\\\\",
            '\0' => quoted += "\\0",
            '\u{7}' => quoted += "\\a",
            '\u{8}' => quoted += "\\b",
            '\t' => quoted += "\\t",
            '\n' => quoted += "\\n",
            '\u{b}' => quoted += "\\v",
            '\u{c}' => quoted += "\\f",
            '\r' => quoted += "\\r",
            '\u{1b}' => quoted += "\\e",
            '\u{85}' => quoted += "\\N",
            '\u{2028}' => quoted += "\\L",
            '\u{2029}' => quoted += "\\P",
            _ if is_printable(character) => quoted.push(character),
            _ => drop(match u32::from(character) {
                code @ ..=0xff => write!(quoted, "\\x{code:02X}"),
                code @ ..=0xffff => write!(quoted, "\\u{code:04X}"),
                code => write!(quoted, "\\U{code:08X}"),
            }),
        }
    }
    quoted + "\""
}

/// A text of several lines.
fn block(text: &str, indent: usize) -> String {
    let hint = if text.starts_with([' ', '\n']) { "2" } else { "" };
    let (lines, end) = match text.strip_suffix('\n') {
        None => (text, "-"),
        Some(lines) if lines.is_empty() || lines.ends_with('\n') => (lines, "+"),
        Some(lines) => (lines, ""),
    };
    let mut block = format!("|{hint}{end}");
    for line in lines.split('\n') {
        block.push('\n');
        if !line.is_empty() {
            block += &" ".repeat(indent);
            block += line;
        }
    }
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain() {
        let texts = "all()|zone == 'a'|app in {'lb','edge'}|fd00:10::/64|::1|10.10.0.0/16|Workload|-a|?a|:a|a:b|a#b|a,b|it's|a\"b|\
            a\\b|a]|a}|a?|--|-- a|== 'x'|has(x) \u{2225} !y|_1|1e999|nUll|1:99|1:5a|ee:ee:ee:ee:ee:ee|11:22:33:44:55:66|0b2|1,000|.|\
            0xg|<|a=|é|日本|\u{a0}|8080:8090|http-alt|kubernetes.io/metadata.name == 'infra'|2001-01|20010-01-01";
        for expected in texts.split('|') {
            assert_eq!(text(expected, 2), expected);
        }
    }

    #[test]
    fn what_would_be_read_as_something_else_is_in_double_quotes() {
        let texts = ",y,n,yes,no,on,off,Off,null,~,true,123,0777,0o7,0x1,1e3,1.5,.5,+12,-12,1_000,08,.inf,+.inf,.nan,0.,=,<<,1:20,1:20:30,\
            190:20:30.5,-1:20,00:11:22:33:44:55,2026-11-23T06:08:49Z,2026-11-23,2001-1-1,2001-01-01 10:00:00";
        for plain in texts.split(',') {
            assert_eq!(text(plain, 2), format!("\"{plain}\""));
        }
    }

    #[test]
    fn what_would_be_syntax_is_in_single_quotes() {
        let texts = "*a;&a;!a;!=;%a;@a;`a;- a;-;? a;?;:;: a;a: b;a:;a #b;#a; a;a ;  ;{a;[a;]a;}a;,a;|;|a;>;\"a;::;fd00::;---;--- a;---a;...;y ;1:;n:";
        for plain in texts.split(';') {
            assert_eq!(text(plain, 2), format!("'{plain}'"));
        }
        assert_eq!(text("a'b: c", 2), "'a''b: c'");
        assert_eq!(text("'a", 2), "'''a'");
    }

    #[test]
    fn what_cannot_be_seen_is_escaped() {
        let cases = [
            ("a\tb", r#""a\tb""#),
            ("\u{7}\0\u{8}\u{b}\u{c}\u{1b}", r#""\a\0\b\v\f\e""#),
            ("\u{7f}\"\\", r#""\x7F\"\\""#),
            ("\u{85}\u{2028}\u{2029}\u{feff}", r#""\N\L\P\uFEFF""#),
            ("😀", r#""\U0001F600""#),
            ("a\r\nb", r#""a\r\nb""#),
            ("a \nb", r#""a \nb""#),
            ("a\nb ", r#""a\nb ""#),
            ("  \n", r#""  \n""#),
        ];
        for (plain, expected) in cases {
            assert_eq!(text(plain, 2), expected);
        }
    }

    #[test]
    fn blocks() {
        let cases = [
            ("a\n", "|\n  a"),
            ("a\nb", "|-\n  a\n  b"),
            ("a\n\n", "|+\n  a\n"),
            ("\n", "|2+\n"),
            ("\n\n", "|2+\n\n"),
            ("\na", "|2-\n\n  a"),
            (" a\nb", "|2-\n   a\n  b"),
            ("a\n b", "|-\n  a\n   b"),
            ("a\n\nb", "|-\n  a\n\n  b"),
            ("# a\n---\nb: c\n", "|\n  # a\n  ---\n  b: c"),
            ("\n\na\n", "|2\n\n\n  a"),
            ("x\n\n\n", "|+\n  x\n\n"),
        ];
        for (plain, expected) in cases {
            assert_eq!(text(plain, 2), expected);
        }
        assert_eq!(text("a\nb\n", 4), "|\n    a\n    b");
    }
}
