//! Waiting for what happens by itself.

use std::time::{Duration, Instant};

/// Waits until something has happened that happens some time later; on a busy machine that may be long.
#[track_caller]
pub fn until(what: &str, happened: impl FnMut() -> bool) {
    within(Duration::from_secs(60), what, happened);
}

/// The same for what may take longer, or must not take so long.
#[track_caller]
pub(crate) fn within(limit: Duration, what: &str, mut happened: impl FnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !happened() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
