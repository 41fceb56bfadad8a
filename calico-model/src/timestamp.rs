//! The textual forms of points in time: the two in which Calico stores them, in UTC, and that of its logs.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A point in time as the fields of a UTC calendar.
struct Civil {
    year: i64,
    month: u32,
    day: u32,
    hour: u64,
    minute: u64,
    second: u64,
}

/// Splits seconds since 1970 into calendar fields, by the usual reckoning in eras of 400 years of 146 097 days that
/// begin on 1 March, so that the leap day is the last of its year.
fn civil(seconds: u64) -> Civil {
    let days = (seconds / 86_400) as i64 + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    Civil {
        year: year_of_era + era * 400 + i64::from(month <= 2),
        month: month as u32,
        day: (day_of_year - (153 * month_from_march + 2) / 5 + 1) as u32,
        hour: seconds / 3_600 % 24,
        minute: seconds / 60 % 60,
        second: seconds % 60,
    }
}

fn since_epoch(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// RFC 3339 in whole seconds, `2026-01-02T03:04:05Z`: creation and claim times. A time before 1970 is shown as 1970.
pub fn rfc3339(time: SystemTime) -> String {
    let c = civil(since_epoch(time).as_secs());
    format!("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", c.year, c.month, c.day, c.hour, c.minute, c.second)
}

/// Reads RFC 3339 (its section 5.6), with a fraction of a second and an offset from UTC; `None` for anything else, and for
/// times before 1970.
pub fn parse_rfc3339(text: &str) -> Option<SystemTime> {
    let (date, time) = (text.get(..10)?, text.get(11..)?);
    if !matches!(text.as_bytes().get(10)?, b'T' | b't' | b' ') {
        return None;
    }
    let number = |text: &str| -> Option<i64> {
        (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok()).flatten()
    };
    let fields = |text: &str, separator: char| -> Option<[i64; 3]> {
        let mut parts = text.split(separator).map(number);
        let fields = [parts.next()??, parts.next()??, parts.next()??];
        parts.next().is_none().then_some(fields)
    };
    let [year, month, day] = fields(date, '-')?;
    let [hour, minute, second] = fields(time.get(..8)?, ':')?;
    let rest = time.get(8..)?;
    let (fraction, zone) = match rest.strip_prefix('.') {
        Some(tail) => tail.split_at(tail.find(|c: char| !c.is_ascii_digit())?),
        None => ("", rest),
    };
    let nanos = format!("{fraction:0<9.9}").parse().ok()?;
    let offset = match zone {
        "Z" | "z" => 0,
        zone => {
            let sign = match zone.get(..1)? {
                "+" => 1,
                "-" => -1,
                _ => return None,
            };
            let (hours, minutes) = zone.get(1..)?.split_once(':')?;
            let two_digits = |text| number(text).filter(|number| *number < 100);
            sign * (two_digits(hours)? * 3_600 + two_digits(minutes)? * 60)
        }
    };
    let in_range = (1..=12).contains(&month) && (1..=31).contains(&day) && hour < 24 && minute < 60 && second < 61;
    if !in_range {
        return None;
    }
    let seconds = days(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second - offset;
    Some(UNIX_EPOCH + Duration::new(u64::try_from(seconds).ok()?, nanos))
}

/// Days from 1970 to a date: the inverse of [`civil`]'s reckoning.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Go's default text of a time, `2026-01-02 03:04:05.123456789 +0000 UTC`: the `timestamp` attribute of an
/// allocation. The fraction loses its trailing zeros and is left out when zero.
pub fn go_text(time: SystemTime) -> String {
    let since = since_epoch(time);
    let c = civil(since.as_secs());
    let fraction = match since.subsec_nanos() {
        0 => String::new(),
        nanos => format!(".{nanos:09}").trim_end_matches('0').to_owned(),
    };
    format!(
        "{:04}-{:02}-{:02} {:02}:{:02}:{:02}{fraction} +0000 UTC",
        c.year, c.month, c.day, c.hour, c.minute, c.second
    )
}

/// A log line's time, `2026-01-02 03:04:05.123`, in milliseconds. It is shown in UTC: for another zone, move it.
pub fn log_text(time: SystemTime) -> String {
    let since = since_epoch(time);
    let c = civil(since.as_secs());
    format!(
        "{:04}-{:02}-{:02} {:02}:{:02}:{:02}.{:03}",
        c.year,
        c.month,
        c.day,
        c.hour,
        c.minute,
        c.second,
        since.subsec_millis()
    )
}

/// Nanoseconds since 1970: where a new block's sequence numbers start, so that a block deleted and created again
/// never repeats one.
pub fn unix_nanos(time: SystemTime) -> u64 {
    since_epoch(time).as_nanos() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64, nanos: u32) -> SystemTime {
        UNIX_EPOCH + Duration::new(seconds, nanos)
    }

    #[test]
    fn dates_around_leap_days() {
        assert_eq!(rfc3339(at(0, 0)), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(at(951_782_400, 0)), "2000-02-29T00:00:00Z");
        assert_eq!(rfc3339(at(1_709_251_199, 0)), "2024-02-29T23:59:59Z");
        assert_eq!(rfc3339(at(1_709_251_200, 0)), "2024-03-01T00:00:00Z");
        assert_eq!(rfc3339(at(4_107_542_400, 0)), "2100-03-01T00:00:00Z");
        assert_eq!(rfc3339(at(1_767_323_045, 999_999_999)), "2026-01-02T03:04:05Z");
    }

    #[test]
    fn go_fractions_lose_trailing_zeros() {
        assert_eq!(go_text(at(1_767_323_045, 123_456_789)), "2026-01-02 03:04:05.123456789 +0000 UTC");
        assert_eq!(go_text(at(1_767_323_045, 120_000_000)), "2026-01-02 03:04:05.12 +0000 UTC");
        assert_eq!(go_text(at(1_767_323_045, 0)), "2026-01-02 03:04:05 +0000 UTC");
        assert_eq!(log_text(at(1_767_323_045, 7_000_000)), "2026-01-02 03:04:05.007");
    }

    #[test]
    fn rfc3339_is_read_as_it_is_written() {
        for seconds in [0, 951_782_400, 1_767_323_045, 4_107_542_400] {
            let time = UNIX_EPOCH + Duration::from_secs(seconds);
            assert_eq!(parse_rfc3339(&rfc3339(time)), Some(time));
        }
        let time = |text| parse_rfc3339(text).map(|time| since_epoch(time).as_nanos());
        assert_eq!(time("2026-01-02T03:04:05Z"), Some(1_767_323_045_000_000_000));
        assert_eq!(time("2026-01-02T05:04:05.25+02:00"), Some(1_767_323_045_250_000_000));
        assert_eq!(time("2026-01-01T21:34:05.000000001-05:30"), Some(1_767_323_045_000_000_001));
        for text in [
            "",
            "2026-01-02",
            "2026-13-02T03:04:05Z",
            "2026-01-02T03:04:05",
            "2026-01-02T03:04:05.5",
            "x",
            "0001-01-01T00:00:00Z",
            "2026-01-02T03:04:05+é",
            "2026-01-02T03:04:05+9999999999999999:00",
            "٢026-01-02T03:04:05Z",
        ] {
            assert_eq!(time(text), None, "{text}");
        }
    }
}
