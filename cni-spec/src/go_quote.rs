//! Text quoted as Go's `%q` verb quotes it: error texts that runtimes show and tests compare contain such quotes.

use std::fmt::Write;

/// Puts `text` in double quotes and escapes what is not printable. It takes bytes because what another program printed
/// need not be UTF-8.
pub fn quote(text: impl AsRef<[u8]>) -> String {
    let mut quoted = String::from("\"");
    for chunk in text.as_ref().utf8_chunks() {
        for character in chunk.valid().chars() {
            push(&mut quoted, character);
        }
        for byte in chunk.invalid() {
            let _ = write!(quoted, "\\x{byte:02x}");
        }
    }
    quoted.push('"');
    quoted
}

/// The quoted texts, separated by a space, in brackets: what Go makes of a list of strings.
pub fn quote_list<T: AsRef<[u8]>>(texts: impl IntoIterator<Item = T>) -> String {
    let quoted: Vec<String> = texts.into_iter().map(quote).collect();
    format!("[{}]", quoted.join(" "))
}

fn push(quoted: &mut String, character: char) {
    let code = u32::from(character);
    let _ = match character {
        '"' => write!(quoted, "\\\""),
        '\\' => write!(quoted, "\\\\"),
        '\u{7}' => write!(quoted, "\\a"),
        '\u{8}' => write!(quoted, "\\b"),
        '\u{c}' => write!(quoted, "\\f"),
        '\n' => write!(quoted, "\\n"),
        '\r' => write!(quoted, "\\r"),
        '\t' => write!(quoted, "\\t"),
        '\u{b}' => write!(quoted, "\\v"),
        ' '..='~' => write!(quoted, "{character}"),
        '\0'..='\u{7f}' => write!(quoted, "\\x{code:02x}"),
        _ if is_printable(character) => write!(quoted, "{character}"),
        _ if code <= 0xffff => write!(quoted, "\\u{code:04x}"),
        _ => write!(quoted, "\\U{code:08x}"),
    };
}

/// Whether a character outside ASCII is shown as it is.
fn is_printable(character: char) -> bool {
    // The standard library's table is reachable only through its own escaping. That also escapes a combining mark at
    // the start of a text, hence the letter before it.
    format!("a{character}").escape_debug().count() == 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printable_text_is_kept() {
        assert_eq!(quote("FOO=bar é 日 e\u{301}"), "\"FOO=bar é 日 e\u{301}\"");
        assert_eq!(quote(""), r#""""#);
    }

    #[test]
    fn the_rest_is_escaped() {
        assert_eq!(quote("a\"b\\c"), r#""a\"b\\c""#);
        assert_eq!(quote("\u{7}\u{8}\u{c}\n\r\t\u{b}\0\u{1b}\u{7f}"), r#""\a\b\f\n\r\t\v\x00\x1b\x7f""#);
        assert_eq!(quote("\u{85}\u{a0}\u{2028}\u{e0001}"), r#""\u0085\u00a0\u2028\U000e0001""#);
        assert_eq!(quote(b"a\xffb\xe2\x82"), r#""a\xffb\xe2\x82""#);
    }

    #[test]
    fn lists() {
        assert_eq!(quote_list(["FOO=bar", "x"]), r#"["FOO=bar" "x"]"#);
        assert_eq!(quote_list(Vec::<String>::new()), "[]");
    }
}
