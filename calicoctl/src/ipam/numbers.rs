//! Numbers as Go's `%.5g` and `%.f` print them, which scripts read from the tables.

/// Five digits that count, without zeros at the end; with an exponent where five digits cannot hold the number.
pub fn short(number: u64) -> String {
    const HELD: u64 = 99_999;
    if number <= HELD {
        return number.to_string();
    }
    let text = format!("{:.4e}", number as f64);
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    format!("{}e+{exponent:0>2}", digits.trim_end_matches('0').trim_end_matches('.'))
}

/// A number, and what part of another it is.
pub fn share(number: u64, all: u64) -> String {
    format!("{} ({:.0}%)", short(number), 100.0 * number as f64 / all as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_go_prints_them() {
        for (number, text) in [
            (0, "0"),
            (10, "10"),
            (65_536, "65536"),
            (99_999, "99999"),
            (100_000, "1e+05"),
            (131_072, "1.3107e+05"),
            (1_048_576, "1.0486e+06"),
            (16_777_216, "1.6777e+07"),
            (i64::MAX as u64, "9.2234e+18"),
        ] {
            assert_eq!(short(number), text);
        }
        // Halves go to the even neighbour.
        assert_eq!([share(1, 200), share(3, 200), share(5, 200)], ["1 (0%)", "3 (2%)", "5 (2%)"]);
        assert_eq!(share(65_526, 65_536), "65526 (100%)");
        assert_eq!([short(100_005), short(100_015)], ["1e+05", "1.0002e+05"]);
    }
}
