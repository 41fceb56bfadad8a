//! What can go wrong, and whether waiting may help.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Why something is not installed.
#[derive(Debug, Error)]
pub enum Error {
    /// A file or folder.
    #[error("cannot {doing} {path}: {error}; {advice}", path = path.display(), advice = advice_on(error))]
    File {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// What came back.
        error: io::Error,
    },
    /// There is nowhere to put the plugins.
    #[error(
        "no folder for the plugins is writable ({0}); mount the host's /opt/cni/bin there, writable, or set UPDATE_CNI_BINARIES=false where the host has the plugins"
    )]
    NoFolder(String),
    /// One of our own executables is not in the image.
    #[error("the image has no {0}: it is neither in /usr/bin nor in /opt/cni/bin; use an image that is complete")]
    NoExecutable(&'static str),
    /// Another writer puts back its own as often as we do.
    #[error("{path} is changed by somebody else again and again; see who else writes it (another installer, an operator), and stop one of the two", path = .0.display())]
    Contended(PathBuf),
    /// Another writer has put its own there, and may not have finished.
    #[error("{path} was just replaced by somebody else, and is put back when it does not change any more; see who else writes it (another installer, an operator), and stop one of the two", path = .0.display())]
    Replaced(PathBuf),
    /// The configuration is wrong.
    #[error("{0}")]
    Config(String),
    /// The secret for etcd has lost all that it had.
    #[error(
        "{0} has become empty: the certificates for etcd that the host has are left. Fill the secret again; if there is to be none, restart this pod"
    )]
    Emptied(String),
    /// The plugins are to get a token, and there is nothing to request it with. What the service account's folder is.
    #[error(
        "no service account is mounted at {0}, and the host has no kubeconfig that is good: the plugins could not reach the API. Remove automountServiceAccountToken: false, or set MANAGE_KUBECONFIG=false if they need no kubeconfig"
    )]
    NoAccount(String),
    /// A signal came first, and the process was to install and to end.
    #[error("a signal ended it before everything was installed; run it again")]
    Ended,
    /// The API does not answer, or does not accept us yet.
    #[error("{0}")]
    Waiting(String),
    /// The API refuses for a reason that only a person can remove.
    #[error("{0}")]
    Refused(String),
}

impl Error {
    /// Something that was tried on a file.
    pub fn file(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
        let path = path.to_owned();
        move |error| Error::File { doing, path, error }
    }

    /// The exit code; `None` where it keeps trying. `stays` is whether the process is to stay: then it may see what it lacks
    /// being added.
    pub fn exit_code(&self, stays: bool) -> Option<u8> {
        match self {
            Error::File { .. } | Error::NoFolder(_) | Error::NoExecutable(_) | Error::Contended(_) | Error::Ended => {
                Some(1)
            }
            Error::Config(_) => Some(2),
            Error::NoAccount(_) if !stays => Some(2),
            Error::Refused(_) if !stays => Some(3),
            Error::Replaced(_) | Error::Emptied(_) | Error::NoAccount(_) | Error::Refused(_) | Error::Waiting(_) => {
                None
            }
        }
    }

    /// Whether it is about the API.
    pub fn is_of_api(&self) -> bool {
        matches!(self, Error::Waiting(_) | Error::Refused(_))
    }
}

fn advice_on(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "free space there: what was there before is intact"
        }
        io::ErrorKind::ReadOnlyFilesystem => "mount it writable",
        io::ErrorKind::PermissionDenied => {
            "the installer must run as root, and SELinux or AppArmor must let it write there"
        }
        io::ErrorKind::NotFound => "mount the host's folder there",
        io::ErrorKind::IsADirectory | io::ErrorKind::DirectoryNotEmpty => "a folder is in the way: remove it",
        _ => "see the host's file system",
    }
}
