//! The log: upstream's line format, on stderr and, where configured, in a file. Never a secret in it, and never a
//! failure because of it (invariant 6 of the design).

mod line;
#[cfg(test)]
mod scratch;
mod zone;

use std::cell::OnceCell;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::panic::Location;
use std::path::Path;
use std::time::SystemTime;

pub use line::{Field, Value};

use line::Entry;
use zone::Zone;

/// How much is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Only what failed.
    Error,
    /// What did not go as it should.
    Warning,
    /// One line for each phase of a call.
    Info,
    /// What the phases did.
    Debug,
}

impl Level {
    /// The level a configuration names, in any case. Anything unknown is info; so is "warning", as it is upstream.
    pub fn parse(text: &str) -> Level {
        match text.to_ascii_lowercase().as_str() {
            "debug" => Level::Debug,
            "error" => Level::Error,
            _ => Level::Info,
        }
    }

    fn text(self) -> &'static str {
        match self {
            Level::Error => "ERROR",
            Level::Warning => "WARNING",
            Level::Info => "INFO",
            Level::Debug => "DEBUG",
        }
    }
}

/// Where one process logs.
#[derive(Debug)]
pub struct Log {
    component: &'static str,
    level: Level,
    stderr: bool,
    file: Option<File>,
    zone: OnceCell<Zone>,
}

impl Log {
    /// A log of `component`: `cni-plugin` or `ipam`. A file that cannot be opened is a warning on stderr.
    pub fn open(component: &'static str, level: Level, file: Option<&Path>) -> Log {
        let mut log = Log { component, level, stderr: true, file: None, zone: OnceCell::new() };
        if let Some(path) = file {
            if let Some(folder) = path.parent() {
                // A failure shows when the file cannot be opened.
                let _ = std::fs::create_dir_all(folder);
            }
            match OpenOptions::new().append(true).create(true).mode(0o644).open(path) {
                Ok(file) => log.file = Some(file),
                Err(error) => log.warning(
                    "cannot log to the file",
                    &[("error", Value::Plain(&error)), ("file", Value::Text(&path.to_string_lossy()))],
                ),
            }
        }
        log
    }

    /// A log that goes nowhere.
    pub fn silent() -> Log {
        Log { component: "", level: Level::Error, stderr: false, file: None, zone: OnceCell::new() }
    }

    /// Logs what failed.
    #[track_caller]
    pub fn error(&self, message: &str, fields: &[Field<'_>]) {
        self.line(Level::Error, message, fields, Location::caller());
    }

    /// Logs what did not go as it should.
    #[track_caller]
    pub fn warning(&self, message: &str, fields: &[Field<'_>]) {
        self.line(Level::Warning, message, fields, Location::caller());
    }

    /// Logs a phase of a call.
    #[track_caller]
    pub fn info(&self, message: &str, fields: &[Field<'_>]) {
        self.line(Level::Info, message, fields, Location::caller());
    }

    /// Logs what a phase did.
    #[track_caller]
    pub fn debug(&self, message: &str, fields: &[Field<'_>]) {
        self.line(Level::Debug, message, fields, Location::caller());
    }

    fn line(&self, level: Level, message: &str, fields: &[Field<'_>], place: &Location<'_>) {
        if level > self.level {
            return;
        }
        let entry = Entry { level: level.text(), component: self.component, place, message, fields };
        let zone = self.zone.get_or_init(Zone::of_process);
        let line = entry.line(zone.shift(SystemTime::now()), std::process::id());
        // One write each, so that lines of several processes do not mix. There is nowhere to report a failure.
        if self.stderr {
            let _ = std::io::stderr().write_all(line.as_bytes());
        }
        if let Some(mut file) = self.file.as_ref() {
            let _ = file.write_all(line.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warning_is_no_level_to_choose() {
        assert_eq!(Level::parse("DEBUG"), Level::Debug);
        assert_eq!(Level::parse("warning"), Level::Info);
        assert_eq!(Level::parse("Error"), Level::Error);
    }

    #[test]
    fn a_file_that_cannot_be_written_is_no_failure() {
        Log::open("ipam", Level::Error, Some(Path::new("/proc/no/such/log"))).error("still here", &[]);
    }
}
