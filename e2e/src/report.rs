//! Figures that a test run shows: measured, but no verdict.

use std::io::Write;
use std::time::Duration;

/// Shows a line even if the test passes, which the test harness would otherwise swallow.
pub fn note(line: &str) {
    let _ = writeln!(std::io::stderr(), "    {line}");
}

/// The middle one of some durations.
pub fn median(mut durations: Vec<Duration>) -> Duration {
    durations.sort();
    durations.get(durations.len() / 2).copied().unwrap_or_default()
}
