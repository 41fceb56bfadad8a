//! The log: upstream's line format, on stderr and, where configured, in a file. Never a secret in it, and never a
//! failure because of it (invariant 6 of the design).

mod file;
mod line;
mod phase;
mod rotated;
#[cfg(test)]
mod scratch;
mod zone;

use std::cell::{OnceCell, RefCell};
use std::io::Write;
use std::panic::Location;
use std::time::SystemTime;

pub use file::FileConf;
pub use line::{Field, Value};
pub use phase::Phase;
pub use rotated::{Limits, earlier_files};

use file::LogFile;
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
    /// Not any more after it could not be written once: one warning is enough.
    file: RefCell<Option<LogFile>>,
    zone: OnceCell<Zone>,
}

impl Log {
    /// A log of `component`: `cni-plugin` or `ipam`. A file that cannot be opened is a warning on stderr.
    #[track_caller]
    pub fn open(component: &'static str, level: Level, file: Option<&FileConf>) -> Log {
        let log = Log { component, level, stderr: true, file: RefCell::default(), zone: OnceCell::new() };
        if let Some(conf) = file {
            match LogFile::open(conf.clone()) {
                Ok(file) => *log.file.borrow_mut() = Some(file),
                Err(error) => {
                    let file = conf.path.to_string_lossy();
                    log.warning(
                        "cannot log to the file",
                        &[("error", Value::Plain(&error)), ("file", Value::Text(&file))],
                    );
                }
            }
        }
        log
    }

    /// A log that goes nowhere.
    pub fn silent() -> Log {
        Log { component: "", level: Level::Error, stderr: false, file: RefCell::default(), zone: OnceCell::new() }
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
        let now = SystemTime::now();
        let entry = Entry { level: level.text(), component: self.component, place, message, fields };
        let line = entry.line(self.zone.get_or_init(Zone::of_process).shift(now), std::process::id());
        // One write each, so that lines of several processes do not mix. There is nowhere to report a failure.
        if self.stderr {
            let _ = std::io::stderr().write_all(line.as_bytes());
        }
        for (message, error) in self.write_to_file(&line, now) {
            self.line(Level::Warning, message, &[("error", Value::Plain(&error))], place);
        }
    }

    /// Writes a line to the file, if there is one; answers what is to be told of it.
    fn write_to_file(&self, line: &str, now: SystemTime) -> Vec<(&'static str, std::io::Error)> {
        let mut troubles = Vec::new();
        let mut place = self.file.borrow_mut();
        if let Some(file) = place.as_mut() {
            if let Err(error) = file.make_room(line.len(), now) {
                troubles.push(("cannot rotate the log file, or remove old ones", error));
            }
            if let Err(error) = file.append(line.as_bytes()) {
                troubles.push(("cannot write the log file: this call leaves it alone", error));
                *place = None;
            }
        }
        troubles
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
        let limits = Limits::configured(0, 0, 0);
        // No folder can be made, a folder, and a full disk.
        for path in ["/proc/no/such/log", "/proc", "/dev/full"] {
            let log = Log::open("ipam", Level::Error, Some(&FileConf { path: path.into(), limits }));
            log.error("still here", &[]);
            log.error("still here", &[]);
            assert!(log.file.borrow().is_none());
        }
    }
}
