//! Why addresses could not be taken over yet.

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use calico_datastore as datastore;
use calico_model::Key;
use thiserror::Error as ThisError;

#[derive(Debug, ThisError)]
pub(crate) enum Error {
    #[error(transparent)]
    Plugin(#[from] calico_plugin::Error),
    #[error(transparent)]
    Datastore(#[from] datastore::Error),
    #[error(transparent)]
    Ipam(#[from] crate::Error),
    #[error("cannot assign {address} to {whom}: {}", .source.to_string().trim_end())]
    Address { address: IpAddr, whom: String, source: Box<crate::Error> },
    #[error("{} does not name the container of pod {pod}, which has this address", .path.display())]
    NoContainer { path: PathBuf, pod: String },
    #[error("{address} was just given to container {container}, and no pod is reported to have it yet")]
    Unreported { address: IpAddr, container: String },
    #[error("cannot {doing} {}: {source}", .path.display())]
    File { doing: &'static str, path: PathBuf, source: io::Error },
    #[error(
        "the datastore is locked, and not by an upgrade from host-local: ClusterInformation(default) has datastoreReady false"
    )]
    Locked,
    #[error("Kubernetes has no node {0}")]
    NoNode(String),
    #[error("could not write {key}: {last}")]
    NotWritten { key: Key, last: String },
}

impl Error {
    pub(crate) fn file(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
        move |source| Error::File { doing, path: path.to_owned(), source }
    }

    pub(crate) fn address(address: IpAddr, whom: &str, error: crate::Error) -> Error {
        Error::Address { address, whom: whom.to_owned(), source: Box::new(error) }
    }

    /// What the operator can know and do beyond the text of the error; empty where the text says it all.
    pub(crate) fn advice(&self) -> String {
        match self {
            Error::Ipam(error) => error.advice(),
            Error::Address { source, .. } => match **source {
                crate::Error::NotInPool { .. } => {
                    format!("create or enable a pool that it lies in; {}", source.advice())
                }
                _ => source.advice(),
            },
            Error::NoContainer { .. } => {
                "write the ID of the pod's sandbox (crictl pods) into its first line, or delete the pod".to_owned()
            }
            Error::Unreported { .. } => "if none is within 30 s, it is free".to_owned(),
            Error::File { .. } => {
                "the container needs the host's /var/lib/cni/networks and /opt/cni/bin, writable, at /var/lib/cni/networks and /host/opt/cni/bin"
                    .to_owned()
            }
            Error::Locked => {
                "wait for what has locked it, such as a migration of the datastore; if there is no such thing any more: calicoctl datastore migrate unlock"
                    .to_owned()
            }
            Error::NoNode(_) => "KUBERNETES_NODE_NAME must be its name (spec.nodeName of this pod)".to_owned(),
            Error::Plugin(calico_plugin::Error::Lock { .. }) => {
                "a call of host-local is stuck, or something else holds its lock: see that process".to_owned()
            }
            Error::Plugin(calico_plugin::Error::Uninitialised(_)) => {
                "start a node agent, or apply a ClusterInformation named default with datastoreReady true".to_owned()
            }
            Error::Datastore(datastore::Error::TimedOut { .. }) => {
                "see whether the API server is healthy and reached from this node".to_owned()
            }
            Error::Plugin(_) | Error::Datastore(_) | Error::NotWritten { .. } => String::new(),
        }
    }
}
