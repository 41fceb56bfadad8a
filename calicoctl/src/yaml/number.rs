//! Numbers, as Go's libraries for YAML and JSON read and write them.

use serde_json::{Number, Value};

/// The number that Go makes of a floating-point number by writing it as JSON: a whole number loses its fraction. None for what
/// JSON cannot say.
#[allow(clippy::cast_possible_truncation, reason = "the range is checked before")]
pub fn number(value: f64) -> Option<Number> {
    /// Beyond it, not every whole number is a floating-point number.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if value.fract() == 0.0 && value.abs() <= EXACT { Some((value as i64).into()) } else { Number::from_f64(value) }
}

/// The number that a plain text is read as. None if it is text.
pub fn parse(text: &str) -> Option<Number> {
    if !text.starts_with(|first: char| first.is_ascii_digit() || "+-.".contains(first)) {
        return None;
    }
    let text = text.replace('_', "");
    integer(&text).or_else(|| decimal(&text))
}

/// A whole number that 64 bits can hold, in one of Go's notations.
fn integer(text: &str) -> Option<Number> {
    let (is_negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (base, digits) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &digits[2..]),
        [b'0', b'o' | b'O', ..] => (8, &digits[2..]),
        [b'0', b'b' | b'B', ..] => (2, &digits[2..]),
        [b'0', _, ..] => (8, &digits[1..]),
        _ => (10, digits),
    };
    // Rust would read a second sign.
    let is_digits = digits.starts_with(|first: char| first.is_ascii_alphanumeric());
    let magnitude = is_digits.then(|| i128::from_str_radix(digits, base).ok()).flatten()?;
    Number::from_i128(if is_negative { -magnitude } else { magnitude })
}

/// A number with a fraction or an exponent, or a whole number that is too large. One that is out of range is text.
fn decimal(text: &str) -> Option<Number> {
    // Rust would read words such as `inf`.
    let is_decimal = text.chars().all(|part| part.is_ascii_digit() || ".eE+-".contains(part));
    is_decimal.then(|| text.parse().ok()).flatten().and_then(number)
}

/// A number as it is written in YAML.
pub fn text(number: &Number) -> String {
    match number.as_f64() {
        Some(value) if number.is_f64() => match self::number(value) {
            Some(number) if !number.is_f64() => number.to_string(),
            _ => float(value),
        },
        _ => number.to_string(),
    }
}

/// A floating-point number as Go's `%v` and its YAML write it: `2000.5`, `1e+06`.
pub fn float(value: f64) -> String {
    let scientific = format!("{value:e}");
    match scientific.split_once('e').and_then(|(digits, exponent)| Some((digits, exponent.parse::<i32>().ok()?))) {
        Some((digits, exponent)) if !(-4..6).contains(&exponent) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", exponent.abs())
        }
        _ => value.to_string(),
    }
}

/// Whether Go writes a text in quotes because older YAML reads a number to the base of 60, such as `1:20`.
pub fn is_sexagesimal(text: &str) -> bool {
    let mut parts = text.strip_prefix(['-', '+']).unwrap_or(text).split(':');
    let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let is_sixtieth = |part: &str| is_digits(part) && part.len() <= 2 && (part.len() == 1 || part < "60");
    let first = parts.next().unwrap_or_default();
    if !first.starts_with(|digit: char| digit.is_ascii_digit()) || !is_digits(&first.replace('_', "")) {
        return false;
    }
    let Some(last) = parts.next_back() else { return false };
    let (last, fraction) = last.split_once('.').unwrap_or((last, ""));
    is_sixtieth(last) && fraction.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_') && parts.all(is_sixtieth)
}

/// Whether a value is a whole number.
pub fn is_integer(value: &Value) -> bool {
    value.is_i64() || value.is_u64()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn whole_numbers_in_all_notations() {
        let cases = [
            ("0777", 511),
            ("0o777", 511),
            ("0O17", 15),
            ("-0777", -511),
            ("00", 0),
            ("-0", 0),
            ("0_7", 7),
            ("0010", 8),
            ("+12", 12),
            ("-12", -12),
            ("0x1F", 31),
            ("0X1f", 31),
            ("-0x10", -16),
            ("+0x10", 16),
            ("0x_1", 1),
            ("0b101", 5),
            ("-0b101", -5),
            ("0B11", 3),
            ("1_000", 1000),
            ("1_", 1),
            ("+_1", 1),
            ("-0x8000000000000000", i64::MIN),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text), Some(expected.into()), "{text}");
        }
        assert_eq!(parse("18446744073709551615"), Some(u64::MAX.into()));
    }
    #[test]
    fn other_numbers() {
        let cases = [
            ("1e-3", json!(0.001)),
            (".5", json!(0.5)),
            ("-.5", json!(-0.5)),
            ("1_0.5", json!(10.5)),
            (".5_0", json!(0.5)),
            ("18446744073709551616", json!(18_446_744_073_709_551_616.0)),
            ("-9223372036854775809", json!(-9_223_372_036_854_775_808.0)),
            ("1e21", json!(1e21)),
            ("08", json!(8)),
            ("0789", json!(789)),
            ("1e3", json!(1000)),
            ("1E+3", json!(1000)),
            ("1.", json!(1)),
            ("5.0", json!(5)),
            ("-0.0", json!(0)),
            ("1.e3", json!(1000)),
            (".5e1", json!(5)),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text).map(Value::Number), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_text() {
        for text in
            "_1 0b2 0x 0b 0xg 1,000 123abc . - + 1.5e 1e+ 1e999 -1e999 inf nan -inf 0x1p4 -+1 --1 0x-1 .e5 1:20 e1 ٣"
                .split(' ')
        {
            assert_eq!(parse(text), None, "{text}");
        }
        assert_eq!(parse(""), None);
    }

    #[test]
    fn written_as_go_does() {
        let cases = [
            (2000.5, "2000.5"),
            (1e6, "1e+06"),
            (1_000_000.5, "1.0000005e+06"),
            (123_456.5, "123456.5"),
            (1e21, "1e+21"),
            (1.5e-7, "1.5e-07"),
            (0.0001, "0.0001"),
            (0.000_012_34, "1.234e-05"),
            (1e300, "1e+300"),
            (0.1, "0.1"),
            (-2.5, "-2.5"),
        ];
        for (value, expected) in cases {
            assert_eq!(float(value), expected);
        }
        assert_eq!(
            json!([1e6, 1e20, 5.0, 1.5]).as_array().map(|list| list
                .iter()
                .map(|value| match value {
                    Value::Number(number) => text(number),
                    _ => String::new(),
                })
                .collect()),
            Some(vec!["1000000".to_owned(), "1e+20".to_owned(), "5".to_owned(), "1.5".to_owned()])
        );
    }

    #[test]
    fn sexagesimal_numbers() {
        for text in ["1:20", "1:20:30", "190:20:30.5", "-1:20", "+1:20", "0:0", "10:59", "1_0:20", "00:11:22:33:44:55"]
        {
            assert!(is_sexagesimal(text), "{text}");
        }
        for text in [
            "1",
            "1:99",
            "1:5a",
            "1:60",
            "1:2:60",
            "ee:ee",
            "11:22:33:44:55:66",
            "::1",
            "fd00:10::",
            "1:",
            ":1",
            "_1:20",
            "",
            "1.5:20",
        ] {
            assert!(!is_sexagesimal(text), "{text}");
        }
    }
}
