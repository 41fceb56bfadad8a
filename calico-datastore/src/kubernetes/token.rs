//! What a token says about itself, where it is a JSON Web Token. Its signature is the server's business.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

fn claims(token: &str) -> Option<Value> {
    let payload = token.split('.').nth(1)?;
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?).ok()
}

/// Whose token it is.
pub fn subject(token: &str) -> Option<String> {
    claims(token)?.get("sub")?.as_str().map(str::to_owned)
}

/// When it was issued; `None` if it does not say.
pub fn issued_at(token: &str) -> Option<SystemTime> {
    time(token, "iat")
}

/// When it expires; `None` if it does not say.
pub fn expires_at(token: &str) -> Option<SystemTime> {
    time(token, "exp")
}

fn time(token: &str, claim: &str) -> Option<SystemTime> {
    let seconds = claims(token)?.get(claim)?.as_f64().filter(|seconds| (0.0..1e12).contains(seconds))?;
    Some(UNIX_EPOCH + Duration::from_secs_f64(seconds))
}

/// How long ago it expired; `None` if it has not, or does not say.
pub fn expired(token: &str, now: SystemTime) -> Option<Duration> {
    now.duration_since(expires_at(token)?).ok()
}

/// A time in the two largest of its units.
pub fn in_words(time: Duration) -> String {
    let seconds = time.as_secs();
    let (days, hours, minutes) = (seconds / 86400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m{}s", seconds % 60),
        (0, ..) => format!("{hours}h{minutes}m"),
        _ => format!("{days}d{hours}h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_says_when_it_expired_and_whose_it_is() {
        let of = |claims: &str| format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims));
        let now = UNIX_EPOCH + Duration::from_secs(1_000_000);
        let token = of(r#"{"exp":988480,"sub":"system:serviceaccount:kube-system:calico-cni-plugin"}"#);
        assert_eq!(expired(&token, now).map(in_words).as_deref(), Some("3h12m"));
        assert_eq!(issued_at(&token), None);
        let issued = issued_at(&of(r#"{"iat":988480}"#)).and_then(|time| now.duration_since(time).ok());
        assert_eq!(issued, Some(Duration::from_secs(11_520)));
        assert_eq!(subject(&token).as_deref(), Some("system:serviceaccount:kube-system:calico-cni-plugin"));
        for token in
            ["opaque", "a.b.c", &of(r#"{"exp":1000001}"#), &of(r#"{"exp":-1e300}"#), &of(r#"{"exp":"1"}"#), &of("{}")]
        {
            assert_eq!(expired(token, now), None, "{token}");
        }
    }

    #[test]
    fn times_are_told_in_two_units() {
        let words = |seconds| in_words(Duration::from_secs(seconds));
        assert_eq!([words(0), words(61), words(3600), words(90_000)], ["0s", "1m1s", "1h0m", "1d1h"]);
    }
}
