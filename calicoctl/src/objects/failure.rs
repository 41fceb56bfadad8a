//! What may become of one object.

use crate::error::Error;
use crate::validate::{self, Broken};

/// Why something was not done to an object. The texts are the established implementation's.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each variant's fields are the ones its text shows")]
pub enum Failure {
    #[error("resource does not exist: {id} with error: <nil>")]
    Missing { id: String },
    #[error("resource already exists: {id} with error: <nil>")]
    Exists { id: String },
    #[error("update conflict: {id}")]
    Conflict { id: String },
    #[error("operation {operation} is not supported on {name}: {reason}")]
    Unsupported { operation: &'static str, name: String, reason: String },
    #[error("{}", validate::describe(.0))]
    Invalid(Vec<Broken>),
    /// The datastore, or what else stands in the way; with what there is to do.
    #[error("{0}")]
    Other(Error),
}

impl Failure {
    /// A failure that its text alone says.
    pub fn text(text: impl std::fmt::Display) -> Failure {
        Failure::Other(Error::new(text))
    }

    /// The fields that are wrong, and what there is to do: a line each.
    pub fn details(&self) -> Vec<String> {
        match self {
            Failure::Invalid(broken) => broken.iter().map(|broken| broken.path.clone()).collect(),
            Failure::Conflict { .. } => vec![
                "it was changed since this version was read: get it anew, or leave out metadata.resourceVersion"
                    .to_owned(),
            ],
            Failure::Other(error) => error.details.clone(),
            _ => Vec::new(),
        }
    }
}

impl From<calico_datastore::Error> for Failure {
    fn from(error: calico_datastore::Error) -> Failure {
        Failure::Other(match error {
            // Scripts know this word.
            calico_datastore::Error::Forbidden { .. } => Error::from(error).after("connection is unauthorized: "),
            other => other.into(),
        })
    }
}

impl From<calico_ipam::Error> for Failure {
    fn from(error: calico_ipam::Error) -> Failure {
        Failure::Other(error.into())
    }
}
