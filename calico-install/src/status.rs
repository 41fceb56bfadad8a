//! What is known of the installation, for those who ask over HTTP.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// For how long the loop may be silent: it looks once a minute, and waits for the API for some seconds.
const SILENCE: Duration = Duration::from_secs(180);

/// What is known, shared by the loop and the server.
#[derive(Debug, Clone, Default)]
pub struct Shared(Arc<Mutex<Status>>);

/// What is known at one time.
#[derive(Debug, Clone)]
pub struct Status {
    /// When the loop ran last, by the monotonic clock.
    pub beat: Duration,
    /// What is not installed, or not as it should be, in words. Nothing is, at first.
    pub missing: Vec<String>,
    /// When everything was last seen to be installed, in seconds since 1970.
    pub last_success: Option<u64>,
    /// What errors there were.
    pub errors: u64,
    /// The plugins' token; `None` where it is not managed.
    pub token: Option<TokenStatus>,
}

/// What is known of the plugins' token.
#[derive(Debug, Clone, Copy, Default)]
pub struct TokenStatus {
    /// When it ends, in seconds since 1970, once there is one.
    pub end: Option<u64>,
    /// How many were issued.
    pub renewals: u64,
    /// How often none was issued.
    pub failures: u64,
}

impl Default for Status {
    fn default() -> Status {
        Status {
            beat: Duration::ZERO,
            missing: vec!["it has only begun".to_owned()],
            last_success: None,
            errors: 0,
            token: None,
        }
    }
}

impl Shared {
    /// What is known, to read or to change.
    pub fn lock(&self) -> MutexGuard<'_, Status> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Status {
    /// Whether the loop is alive, and a text about it.
    pub fn health(&self, now: Duration) -> (bool, String) {
        let silence = now.saturating_sub(self.beat);
        match silence <= SILENCE {
            true => (true, "ok\n".to_owned()),
            false => (false, format!("the loop has not run for {} s: does a file system hang?\n", silence.as_secs())),
        }
    }

    /// Whether everything is installed, and what is not.
    pub fn readiness(&self) -> (bool, String) {
        match self.missing.as_slice() {
            [] => (true, "everything is installed\n".to_owned()),
            missing => (false, missing.iter().map(|text| format!("{text}\n")).collect()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_that_is_silent_for_long_is_not_healthy() {
        let status = Status { beat: Duration::from_secs(100), missing: Vec::new(), ..Status::default() };
        assert!(status.health(Duration::from_secs(280)).0);
        let (healthy, text) = status.health(Duration::from_secs(281));
        assert!(!healthy && text.contains("for 181 s"), "{text}");
        assert_eq!(status.readiness(), (true, "everything is installed\n".to_owned()));
    }
}
