//! What goes wrong before any address or interface is at stake.

use std::path::PathBuf;
use std::time::Duration;

use calico_model::Invalid;
use calico_model::endpoint_name::NameError;
use cni_spec::error::code;
use thiserror::Error as ThisError;

/// The texts that upstream has, too, are upstream's.
#[derive(Debug, ThisError)]
#[allow(missing_docs, reason = "each variant's fields are the ones its text shows")]
pub enum Error {
    #[error("failed to load netconf: {0}")]
    Config(String),
    #[error("error creating calico client: {0}")]
    Datastore(calico_datastore::Error),
    #[error("error creating calico client: {reason}")]
    Client { reason: String, advice: &'static str },
    #[error("error getting ClusterInformation: {0}")]
    ClusterInformation(String),
    #[error("error getting ClusterInformation: resource does not exist: {0} with error: <nil>")]
    Uninitialised(calico_model::Key),
    #[error("Calico is currently not ready to process requests")]
    NotReady { advice: &'static str },
    #[error("{0}")]
    Name(#[from] NameError),
    #[error("{0}")]
    Invalid(#[from] Invalid),
    #[error(
        "{path} does not exist: check that the calico/node container is running and has mounted /var/lib/calico/",
        path = .0.display()
    )]
    NoNodeNameFile(PathBuf),
    #[error("this host has no usable name: set nodename in the network configuration")]
    NoNodeName,
    #[error("failed to read MTU file: {path}: {reason}", path = .path.display())]
    MtuFile { path: PathBuf, reason: String },
    #[error("timed out after {limit:.0?} waiting for the host lock {path}{holder}", path = .path.display())]
    Lock { path: PathBuf, limit: Duration, holder: String },
    #[error("cannot take the lock {path}: {reason}", path = .path.display())]
    NoLock { path: PathBuf, reason: String },
    #[error("error parsing pool \"{text}\": {reason}")]
    Pool { text: String, reason: String },
    #[error("{0}")]
    Unsupported(String),
    #[error("{text}")]
    Refused { text: String, advice: &'static str },
    #[error("timed out after {limit:.0?} waiting for the readiness gate {url}: {last}")]
    Gate { url: String, limit: Duration, last: String },
    #[error("the call was ended by {0}")]
    Signal(&'static str),
    #[error("cannot start the runtime of this process: {0}")]
    Runtime(std::io::Error),
}

impl From<Error> for cni_spec::Error {
    fn from(error: Error) -> cni_spec::Error {
        if let Error::Invalid(invalid) = &error {
            return cni_spec::Error::internal(error.to_string()).with_details(invalid.advice());
        }
        let (code, advice) = match &error {
            Error::Lock { .. } => (code::TRY_AGAIN, "another call on this host is stuck: see its process"),
            Error::Datastore(calico_datastore::Error::TimedOut { .. }) => {
                (code::TRY_AGAIN, calico_datastore::Error::TIMEOUT_ADVICE)
            }
            Error::NotReady { advice } | Error::Client { advice, .. } | Error::Refused { advice, .. } => {
                (code::INTERNAL, *advice)
            }
            Error::Gate { .. } => (
                code::TRY_AGAIN,
                "it must answer GET with a status from 200 to 399: see what it is of, or take it out of readiness_gates",
            ),
            Error::Uninitialised(_) => (
                code::INTERNAL,
                "start the node agent, or initialise the cluster; or is this another datastore than the cluster's?",
            ),
            Error::NoNodeNameFile(_) => {
                (code::INTERNAL, "where there is no node agent, set nodename and nodename_file_optional")
            }
            Error::Signal(_) => (code::TRY_AGAIN, "what an ADD had done is taken back; a DEL removes what may be left"),
            Error::MtuFile { .. } => (
                code::INTERNAL,
                "the node agent writes the MTU there, one number; remove the file, or require_mtu_file, where there is none",
            ),
            _ => (code::INTERNAL, ""),
        };
        cni_spec::Error::new(code, error.to_string()).with_details(advice)
    }
}
