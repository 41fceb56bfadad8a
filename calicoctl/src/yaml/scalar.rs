//! What a scalar means: text, or something else that is written without quotes.

use std::borrow::Cow;

use saphyr_parser::{ScalarStyle, Tag};
use serde_json::Value;

use super::number;

/// The value of a scalar.
pub fn value(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Result<Value, Cow<'static, str>> {
    let Some(tag) = tag else {
        return if style == ScalarStyle::Plain { resolve(text).ok_or_else(|| no_json(text)) } else { Ok(text.into()) };
    };
    let name = if tag.is_yaml_core_schema() { tag.suffix.as_str() } else { "" };
    let is_meant: fn(&Value) -> bool = match name {
        "int" => number::is_integer,
        "float" => Value::is_number,
        "bool" => Value::is_boolean,
        "null" => Value::is_null,
        "binary" => return Err("the tag !!binary is not supported".into()),
        // The established tool reads `selector: !has(role)` as an empty text: as a selector of everything.
        _ if tag.handle == "!" => {
            return Err(format!("{tag} is a tag, and not supported; text that begins with ! must be in quotes").into());
        }
        _ => return Ok(text.into()),
    };
    let value = resolve(text).ok_or_else(|| no_json(text))?;
    if is_meant(&value) { Ok(value) } else { Err(format!("cannot decode `{text}` as a !!{name}").into()) }
}

fn no_json(text: &str) -> Cow<'static, str> {
    format!("{text} is a number that JSON does not have; if it is text, put it in quotes").into()
}

/// The value of a text without quotes. None for what JSON cannot say: infinity, and what is not a number.
pub fn resolve(text: &str) -> Option<Value> {
    let value = match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => true.into(),
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => false.into(),
        ".nan" | ".NaN" | ".NAN" => return None,
        _ if matches!(text.strip_prefix(['+', '-']).unwrap_or(text), ".inf" | ".Inf" | ".INF") => return None,
        _ => number::parse(text).map_or_else(|| text.into(), Value::Number),
    };
    Some(value)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn words() {
        for text in "y Y yes Yes YES true True TRUE on On ON".split(' ') {
            assert_eq!(resolve(text), Some(true.into()), "{text}");
        }
        for text in "n N no No NO false False FALSE off Off OFF".split(' ') {
            assert_eq!(resolve(text), Some(false.into()), "{text}");
        }
        for text in ["", "~", "null", "Null", "NULL"] {
            assert_eq!(resolve(text), Some(Value::Null), "{text}");
        }
        for text in ".inf .Inf .INF +.inf -.inf .nan .NaN .NAN".split(' ') {
            assert_eq!(resolve(text), None, "{text}");
        }
        for text in "yEs tRUE oFF nULL inf .Nan = << 2001-01-01 2026-11-23T06:08:49Z 1:20 all() fd00::/64".split(' ') {
            assert_eq!(resolve(text), Some(text.into()), "{text}");
        }
        assert_eq!(resolve("0777"), Some(json!(511)));
    }

    #[test]
    fn tags() {
        let value = |text: &str, style: ScalarStyle, name: &str| {
            let tag = Tag { handle: "tag:yaml.org,2002:".to_owned(), suffix: name.to_owned() };
            value(text, style, Some(&tag)).ok()
        };
        let (plain, quoted) = (ScalarStyle::Plain, ScalarStyle::DoubleQuoted);
        assert_eq!(value("123", plain, "str"), Some("123".into()));
        assert_eq!(value("~", plain, "str"), Some("~".into()));
        assert_eq!(value("5", quoted, "int"), Some(5.into()));
        assert_eq!(value("0o7", plain, "int"), Some(7.into()));
        assert_eq!(value("yes", quoted, "bool"), Some(true.into()));
        assert_eq!(value("1.5", quoted, "float"), Some(json!(1.5)));
        assert_eq!(value("5", plain, "float"), Some(5.into()));
        assert_eq!(value("", quoted, "null"), Some(Value::Null));
        assert_eq!(value("2001-01-01", plain, "timestamp"), Some("2001-01-01".into()));
        for (text, name) in
            [("abc", "int"), ("1.5", "int"), ("y", "int"), ("", "int"), ("1", "bool"), ("x", "float"), ("x", "null")]
        {
            assert_eq!(value(text, plain, name), None, "!!{name} {text}");
        }
    }
}
