//! Values that may be written in more than one way.

use serde_json::Value;

/// A text. What is no text by the rules of YAML is taken as it is written in JSON, as upstream does: `node: n` is `"false"`.
pub fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(value) => Some(value.to_string()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// A whole number, also as a fraction without a fractional part.
pub fn number(value: &Value) -> Option<i64> {
    let whole = |number: f64| (number.fract() == 0.0 && number.abs() < 2f64.powi(53)).then_some(number as i64);
    value.as_i64().or_else(|| value.as_f64().and_then(whole))
}

/// A port: a number, a range `a:b`, or a name.
pub fn port(value: &Value) -> Result<Value, String> {
    let of_number = |number: i64| match u16::try_from(number) {
        Ok(port) => Ok(port),
        Err(_) => Err(format!("invalid port format ({number})")),
    };
    let text = match value {
        Value::Number(_) => {
            return number(value).ok_or(format!("invalid port format ({value})")).and_then(of_number).map(Value::from);
        }
        Value::String(text) => text,
        _ => return Err(format!("invalid port format ({value})")),
    };
    if let Ok(number) = text.parse::<i64>() {
        return of_number(number).map(Value::from);
    }
    if let Some((first, last)) = text.split_once(':') {
        let of_text = |text: &str| text.parse::<u16>().map_err(|_| format!("invalid port format ({text})"));
        let (first, last) = (of_text(first)?, of_text(last)?);
        return match first.cmp(&last) {
            std::cmp::Ordering::Less => Ok(format!("{first}:{last}").into()),
            std::cmp::Ordering::Equal => Ok(first.into()),
            std::cmp::Ordering::Greater => {
                Err(format!("minimum port number ({first}) is greater than maximum port number ({last}) in port range"))
            }
        };
    }
    let is_name = (1..=128).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
    if is_name { Ok(text.as_str().into()) } else { Err(format!("invalid name for named port ({text})")) }
}

/// A protocol: a number, also as a text, or a name.
pub fn protocol(value: &Value) -> Result<Value, String> {
    let of_number =
        |number: i64| u8::try_from(number).map(Value::from).map_err(|_| format!("invalid protocol number ({number})"));
    match value {
        Value::String(text) => match text.parse::<i64>() {
            Ok(number) => of_number(number),
            Err(_) => Ok(value.clone()),
        },
        _ => match number(value) {
            Some(number) => of_number(number),
            None => Err(format!("expected the name or the number of a protocol, found {value}")),
        },
    }
}

/// The number of an autonomous system (RFC 5396): a number, or its two halves with a dot between them.
pub fn as_number(value: &Value) -> Result<Value, String> {
    let refused = |text: &str| format!("invalid AS Number format ({text})");
    let text = match value {
        Value::String(text) => text.clone(),
        // 1.10 is a fraction by the rules of YAML, and has lost its zero: it must be quoted.
        Value::Number(number) => number.to_string(),
        other => return Err(refused(&other.to_string())),
    };
    let number = match text.split_once('.') {
        None => text.parse::<u32>().ok(),
        Some((high, low)) => match (high.parse::<u16>(), low.parse::<u16>()) {
            (Ok(high), Ok(low)) => Some(u32::from(high) << 16 | u32::from(low)),
            _ => None,
        },
    };
    number.map(Value::from).ok_or_else(|| refused(&text))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn ports_protocols_and_numbers_of_systems() {
        assert_eq!(port(&json!(80)), Ok(json!(80)));
        assert_eq!(port(&json!("8080:8090")), Ok(json!("8080:8090")));
        assert_eq!(port(&json!("80:80")), Ok(json!(80)));
        assert_eq!(port(&json!("http-alt")), Ok(json!("http-alt")));
        let backwards = "minimum port number (70) is greater than maximum port number (60) in port range";
        assert_eq!(port(&json!("70:60")), Err(backwards.to_owned()));
        assert!(port(&json!("a b")).is_err() && port(&json!(70_000)).is_err() && port(&json!([])).is_err());
        assert_eq!(protocol(&json!("6")), Ok(json!(6)));
        assert_eq!(protocol(&json!("TCP")), Ok(json!("TCP")));
        assert!(protocol(&json!(256)).is_err() && protocol(&json!(true)).is_err());
        assert_eq!(as_number(&json!("1.10")), Ok(json!(65546)));
        assert_eq!(as_number(&json!(64512)), Ok(json!(64512)));
        assert!(as_number(&json!("70000.1")).is_err() && as_number(&json!("x")).is_err());
    }

    #[test]
    fn what_is_no_text_becomes_one() {
        assert_eq!(text(&json!(false)).as_deref(), Some("false"));
        assert_eq!(text(&json!(8)).as_deref(), Some("8"));
        assert_eq!(text(&json!([])), None);
        assert_eq!(number(&json!(2.0)), Some(2));
        assert_eq!(number(&json!(2.5)), None);
    }
}
