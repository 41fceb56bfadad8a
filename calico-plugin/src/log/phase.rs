//! How long the parts of a call take.

use std::time::Instant;

use super::{Field, Log, Value};

/// A part of a call, or all of it. A line tells when it has ended, and how long it took.
pub struct Phase<'a> {
    log: &'a Log,
    container: &'a str,
    began: Instant,
}

impl<'a> Phase<'a> {
    /// Begins now.
    pub fn begin(log: &'a Log, container: &'a str) -> Phase<'a> {
        Phase { log, container, began: Instant::now() }
    }

    /// Logs that it has ended: what was done, for which container, and the milliseconds since it began.
    #[track_caller]
    pub fn end(self, message: &str, fields: &[Field<'_>]) {
        let own = [("container", Value::Text(self.container)), ("ms", Value::Millis(self.began.elapsed()))];
        self.log.info(message, &[&own, fields].concat());
    }
}
