//! Waiting for what happens by itself.

use std::time::{Duration, Instant};

/// Waits until something has happened that happens some time later; on a busy machine that may be long.
#[track_caller]
pub fn until(what: &str, mut happened: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !happened() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
