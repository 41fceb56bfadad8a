//! What a caller of a datastore must tell apart.

use std::borrow::Cow;
use std::time::Duration;

use calico_model::object::Malformed;
use thiserror::Error;

/// Why a datastore did not answer, or did not apply anything.
#[derive(Debug, Error)]
pub enum Error {
    /// The store cannot be reached or opened.
    #[error("cannot {doing} the datastore {store}: {reason}; {advice}")]
    Unreachable {
        /// What was tried: open, read, write.
        doing: &'static str,
        /// Which store.
        store: String,
        /// What came back.
        reason: String,
        /// What the operator can do.
        advice: Cow<'static, str>,
    },
    /// The store refused this process.
    #[error("may not {doing} the datastore {store}: {reason}; {advice}")]
    Forbidden {
        /// What was tried.
        doing: &'static str,
        /// Which store.
        store: String,
        /// What came back.
        reason: String,
        /// What the operator can do.
        advice: Cow<'static, str>,
    },
    /// What is stored is not what this code can work with.
    #[error("the datastore {store} is unusable: {reason}; {advice}")]
    Invalid {
        /// Which store.
        store: String,
        /// What is wrong.
        reason: String,
        /// What the operator can do.
        advice: Cow<'static, str>,
    },
    /// One stored object is malformed.
    #[error("a stored object is malformed: {0}; {advice}", advice = advice_on(&.0.key))]
    Malformed(#[from] Malformed),
    /// The deadline passed while waiting.
    #[error("timed out after {after:.1?} while waiting for the datastore {store} to {step}")]
    TimedOut {
        /// Which store.
        store: String,
        /// What was being waited for.
        step: String,
        /// The time given to the whole call.
        after: Duration,
    },
}

/// What to do about a malformed object. Blocks and handles say who has which address: without them, addresses that are in use would
/// be assigned again, or never be released.
fn advice_on(key: &str) -> &'static str {
    match key.starts_with("/calico/ipam/v2/assignment/") || key.starts_with("/calico/ipam/v2/handle/") {
        true => "correct it or restore it from a backup; do not delete it while containers have its addresses",
        false => "correct or delete it",
    }
}

impl Error {
    /// What to do about [`Error::TimedOut`].
    pub const TIMEOUT_ADVICE: &str = "timeout_seconds bounds a call; see whether another process holds the file, or whether the server is healthy and reached from here";
}

/// The texts of an error and of what caused it, without repetition.
pub fn texts(error: &(dyn std::error::Error + 'static)) -> String {
    with_sources(error.to_string(), error.source())
}

/// A text, and those of what caused it.
pub fn with_sources(mut text: String, mut source: Option<&(dyn std::error::Error + 'static)>) -> String {
    while let Some(error) = source {
        let cause = error.to_string();
        if !text.contains(&cause) {
            text = if text.is_empty() || text == "transport error" { cause } else { format!("{text}: {cause}") };
        }
        source = error.source();
    }
    text
}
