//! What host-local keeps of a network: a folder with a file for each address that is in use, which is named by it.

use std::fs;
use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use calico_plugin::lock::HostLock;

use super::error::Error;

/// The file that is locked while addresses are taken or given back.
const LOCK: &str = "lock";

/// How long to wait for that lock before that is reported, and waited for again.
const PATIENCE: Duration = Duration::from_secs(30);

/// The folder.
#[derive(Debug, Clone, Copy)]
pub(super) struct Folder<'p>(pub &'p Path);

/// A file in it, other than the lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct File {
    pub path: PathBuf,
    pub meaning: Meaning,
}

/// What a file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Meaning {
    /// An address is in use.
    Address {
        address: IpAddr,
        /// The container that has it; empty where its ADD was killed before it was written.
        container: String,
        /// Since when.
        since: SystemTime,
    },
    /// Which address was given last.
    Last,
    /// Nothing that host-local would write.
    Unknown,
}

impl Folder<'_> {
    /// The files, in the order of their names; `None` where there is no such folder. What vanishes meanwhile is left out, and
    /// the lock.
    pub(super) fn files(self) -> Result<Option<Vec<File>>, Error> {
        let list = match fs::read_dir(self.0) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            list => list.map_err(Error::file("list", self.0))?,
        };
        let mut files = Vec::new();
        for entry in list {
            let entry = entry.map_err(Error::file("list", self.0))?;
            // A name that is no text is no address either.
            let name = entry.file_name().to_string_lossy().into_owned();
            if name == LOCK {
                continue;
            }
            let path = entry.path();
            match meaning(&path, &name) {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                meaning => files.push(File { meaning: meaning.map_err(Error::file("read", &path))?, path }),
            }
        }
        files.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(Some(files))
    }

    /// Removes the folder if there is not even a lock in it; answers whether it is gone.
    pub(super) fn remove_empty(self) -> Result<bool, Error> {
        match fs::remove_dir(self.0) {
            Ok(()) => Ok(true),
            Err(error) => match error.kind() {
                ErrorKind::NotFound => Ok(true),
                ErrorKind::DirectoryNotEmpty => Ok(false),
                _ => Err(Error::file("remove", self.0)(error)),
            },
        }
    }

    /// Removes the lock and the folder. Whoever waits for the lock gets it then, but has no folder to take an address in.
    ///
    /// # Errors
    /// There is still something in it.
    pub(super) fn remove(self, _lock: &HostLock) -> Result<(), Error> {
        remove_if_there(&self.0.join(LOCK))?;
        fs::remove_dir(self.0).map_err(Error::file("remove", self.0))
    }

    /// Waits for host-local's lock, and takes it.
    pub(super) async fn lock(self) -> Result<HostLock, Error> {
        Ok(HostLock::require(&self.0.join(LOCK), PATIENCE).await?)
    }
}

impl File {
    /// Removes it.
    pub(super) fn remove(&self) -> Result<(), Error> {
        remove_if_there(&self.path)
    }
}

fn meaning(path: &Path, name: &str) -> io::Result<Meaning> {
    if name.contains("last") {
        return Ok(Meaning::Last);
    }
    let Ok(address) = name.parse() else { return Ok(Meaning::Unknown) };
    let since = fs::metadata(path)?.modified()?;
    let content = fs::read(path)?;
    let container = String::from_utf8_lossy(&content).lines().next().unwrap_or_default().trim().to_owned();
    Ok(Meaning::Address { address, container, since })
}

/// Removes a file, or a folder with what is in it.
pub(super) fn remove_if_there(path: &Path) -> Result<(), Error> {
    let removed = match fs::symlink_metadata(path) {
        Ok(file) if file.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::file("remove", path)(error)),
        _ => Ok(()),
    }
}
