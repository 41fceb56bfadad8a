//! Why a command did not do what it was asked for.

use std::fmt::Display;

use thiserror::Error as ThisError;

/// A command has failed. `text` is the established implementation's where it has one: people's scripts look for it. What else
/// there is to know (file, document, field; what to do) follows on lines of its own.
#[derive(Debug, ThisError)]
#[error("{text}")]
pub struct Error {
    /// What failed: printed first on stderr.
    pub text: String,
    /// What else there is to know, a line each.
    pub details: Vec<String>,
}

impl Error {
    /// An error that says it all in one text.
    pub fn new(text: impl Display) -> Error {
        Error { text: text.to_string(), details: Vec::new() }
    }

    /// Adds a line, unless it is empty.
    pub fn with_detail(mut self, line: impl Display) -> Error {
        let line = line.to_string();
        self.details.extend(Some(line).filter(|line| !line.is_empty()));
        self
    }

    /// Puts words before the text.
    pub fn after(self, words: impl Display) -> Error {
        Error { text: format!("{words}{}", self.text), details: self.details }
    }
}

impl From<calico_datastore::Error> for Error {
    fn from(error: calico_datastore::Error) -> Error {
        Error::new(error)
    }
}

impl From<calico_ipam::Error> for Error {
    fn from(error: calico_ipam::Error) -> Error {
        let advice = error.advice();
        Error::new(error).with_detail(advice)
    }
}
