//! One request to the API, and what became of it.

use crate::error::Error;

/// What is done with what the path names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Reads it.
    Get,
    /// Creates in it.
    Post,
    /// Replaces it.
    Put,
    /// Changes it by a strategic merge patch.
    Patch,
    /// Deletes it.
    Delete,
}

/// A request.
#[derive(Debug, Clone)]
pub struct Call {
    /// What to do.
    pub method: Method,
    /// With what: from `/api/` or `/apis/` on, with the query, percent-encoded.
    pub path: String,
    /// A JSON object, for everything but [`Method::Get`].
    pub body: Option<Vec<u8>>,
}

impl Call {
    /// A request to read.
    pub fn get(path: impl Into<String>) -> Call {
        Call { method: Method::Get, path: path.into(), body: None }
    }

    /// Whether it may be sent twice.
    pub fn is_read(&self) -> bool {
        self.method == Method::Get
    }
}

/// The server's last word on a request: it may be 404, 409 or 422 too.
#[derive(Debug)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The body, complete.
    pub body: Vec<u8>,
}

/// Why there is no last word.
#[derive(Debug)]
pub enum Failure {
    /// Nothing was applied: the server was not reached.
    Error(Error),
    /// Nothing was applied: the server does not know us (401), or does not let us do that (403).
    Refused(u16, Error),
    /// A write may have been applied: its answer was lost, for this reason.
    Lost(String),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Error(error)
    }
}
