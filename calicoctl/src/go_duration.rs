//! Durations as Go programs read them, such as `1h30m` or `1.5s`.

use std::time::Duration;

/// Reads a duration that is not negative.
///
/// # Errors
/// It is none; the text is Go's.
pub fn parse(text: &str) -> Result<Duration, String> {
    let invalid = || format!("time: invalid duration {text:?}");
    let unsigned = text.strip_prefix('+').unwrap_or(text);
    if unsigned == "0" {
        return Ok(Duration::ZERO);
    }
    if unsigned.is_empty() {
        return Err(invalid());
    }
    let mut rest = unsigned;
    let mut sum = Duration::ZERO;
    while !rest.is_empty() {
        let (number, tail) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len()));
        let (unit, tail) = tail.split_at(tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len()));
        if !number.contains(|c: char| c.is_ascii_digit()) {
            return Err(invalid());
        }
        let seconds = match unit {
            "" => return Err(format!("time: missing unit in duration {text:?}")),
            "ns" => 1e-9,
            "us" | "µs" | "μs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return Err(format!("time: unknown unit {unit:?} in duration {text:?}")),
        };
        // Two points are no number.
        let number: f64 = number.parse().map_err(|_| invalid())?;
        let part = Duration::try_from_secs_f64(number * seconds).map_err(|_| invalid())?;
        sum = sum.checked_add(part).ok_or_else(invalid)?;
        rest = tail;
    }
    // Go counts nanoseconds in 63 bits.
    if i64::try_from(sum.as_nanos()).is_err() {
        return Err(invalid());
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let millis = |text| parse(text).map(|time| time.as_millis());
        for (text, expected) in [("0", 0), ("0s", 0), ("30m", 1_800_000), ("1h30m", 5_400_000), ("+1.5s", 1_500)] {
            assert_eq!(millis(text), Ok(expected), "{text}");
        }
        for (text, expected) in [("20ms", 20), (".5m", 30_000), ("1.s", 1_000), ("7000µs", 7)] {
            assert_eq!(millis(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn no_durations() {
        for text in ["", "+", "m", "-1s", ".s", "1..2s", "1 s", "x", "99999999h", "--since", "s1"] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert_eq!(parse("30"), Err("time: missing unit in duration \"30\"".to_owned()));
        assert_eq!(parse("1d"), Err("time: unknown unit \"d\" in duration \"1d\"".to_owned()));
    }
}
