//! How often a file is put back: whoever fights with another writer must not do so without end.

use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::Error;

/// The most writes of one file in [`WINDOW`]. More than the shortest interval at which tokens may be renewed needs.
const MOST: usize = 20;

/// The time over which writes are counted.
const WINDOW: Duration = Duration::from_secs(60);

/// When which file was written, by the monotonic clock.
#[derive(Debug, Default)]
pub struct Pace(HashMap<PathBuf, VecDeque<Duration>>);

impl Pace {
    /// Counts a write that is about to be made.
    ///
    /// # Errors
    /// There were too many of this file.
    pub fn allow(&mut self, path: &Path, now: Duration) -> Result<(), Error> {
        let times = self.0.entry(path.to_owned()).or_default();
        while times.front().is_some_and(|time| now.saturating_sub(*time) >= WINDOW) {
            times.pop_front();
        }
        if times.len() >= MOST {
            return Err(Error::Contended(path.to_owned()));
        }
        times.push_back(now);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_written_twenty_times_a_minute_at_most() {
        let mut pace = Pace::default();
        let seconds = Duration::from_secs;
        let path = Path::new("/a");
        let written = (0..600).filter(|tenth| pace.allow(path, seconds(*tenth) / 10).is_ok()).count();
        assert_eq!(written, 20);
        assert!(pace.allow(Path::new("/b"), seconds(59)).is_ok());
        let refused = pace.allow(path, seconds(59)).unwrap_err().to_string();
        assert!(refused.contains("/a is changed by somebody else"), "{refused}");
        assert!(pace.allow(path, seconds(60)).is_ok());
    }
}
