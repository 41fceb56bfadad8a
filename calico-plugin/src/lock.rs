//! The host lock: one call at a time allocates or releases addresses on a host, whichever implementation it is of.
//!
//! The lock spares processes of one host the conflicts of claiming and changing the same blocks; correctness rests on
//! compare-and-swap alone. So a lock that cannot be had at all is no reason to fail, and only waiting too long is.

use std::fs::{DirBuilder, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use tokio::sync::oneshot;

use crate::error::Error;
use crate::log::Log;
use crate::log::Value::{Plain, Text};

/// How long to wait for the lock.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// Held until it is dropped, or its process ends.
#[derive(Debug)]
pub struct HostLock {
    held: Option<Flock<File>>,
}

impl HostLock {
    /// Whether the lock could be taken, or the call goes on without.
    pub fn is_held(&self) -> bool {
        self.held.is_some()
    }

    /// Takes the lock, in the order in which processes ask for it. A file that cannot be opened or locked is logged,
    /// and the call goes on without the lock.
    pub async fn acquire(path: &Path, patience: Duration, log: &Log) -> Result<HostLock, Error> {
        let unlocked = |reason: String| {
            log.warning(
                "going on without the host lock",
                &[("file", Text(&path.to_string_lossy())), ("reason", Plain(&reason))],
            );
            Ok(HostLock { held: None })
        };
        let file = match open(path) {
            Ok(file) => file,
            Err(error) => return unlocked(error.to_string()),
        };
        let file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Ok(HostLock { held: Some(lock) }),
            Err((file, Errno::EWOULDBLOCK)) => file,
            Err((_, errno)) => return unlocked(errno.to_string()),
        };
        // The kernel queues blocked callers fairly, which asking again and again would not; but only a thread can block.
        let (answer, answered) = oneshot::channel();
        let waiter = std::thread::Builder::new().spawn(move || {
            // If nobody waits any more, the lock comes back in the error and is released.
            let _ = answer.send(Flock::lock(file, FlockArg::LockExclusive));
        });
        if let Err(error) = waiter {
            return unlocked(error.to_string());
        }
        match tokio::time::timeout(patience, answered).await {
            Ok(Ok(Ok(lock))) => Ok(HostLock { held: Some(lock) }),
            Ok(Ok(Err((_, errno)))) => unlocked(errno.to_string()),
            Ok(Err(_)) => unlocked("the waiting thread ended".to_owned()),
            Err(_) => Err(Error::Lock { path: path.to_owned(), limit: patience, holder: holder(path) }),
        }
    }
}

fn open(path: &Path) -> std::io::Result<File> {
    if let Some(folder) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o755).create(folder)?;
    }
    // Read-only suffices for flock, and is how the established implementation opens the file it shares with us.
    match OpenOptions::new().read(true).open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
        }
        result => result,
    }
}

/// Which process holds the lock, from the kernel's list: ` (held by process N)`, or nothing where it cannot be known.
fn holder(path: &Path) -> String {
    use std::os::unix::fs::MetadataExt;
    let Ok(inode) = std::fs::metadata(path).map(|meta| meta.ino()) else { return String::new() };
    let locks = std::fs::read_to_string("/proc/locks").unwrap_or_default();
    // `1: FLOCK  ADVISORY  WRITE 4242 fe:00:1234 0 EOF`; lines with an arrow are waiting.
    let held = locks.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).find(|words| {
        words.get(1) == Some(&"FLOCK")
            && words.get(5).and_then(|w| w.rsplit(':').next()) == Some(inode.to_string().as_str())
    });
    held.map(|words| format!(" (held by process {})", words[4])).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(work)
    }

    #[test]
    fn one_at_a_time_and_the_wait_is_bounded() {
        let folder = std::env::temp_dir().join(format!("calico-lock-{}", std::process::id()));
        let path = folder.join("run/ipam.lock");
        let log = Log::silent();
        run(async {
            let first = HostLock::acquire(&path, PATIENCE, &log).await.unwrap();
            let error = HostLock::acquire(&path, Duration::from_millis(20), &log).await.unwrap_err().to_string();
            assert!(error.contains(&format!("held by process {}", std::process::id())), "{error}");
            let path = path.clone();
            let waiter = std::thread::spawn(move || {
                run(async { HostLock::acquire(&path, PATIENCE, &Log::silent()).await.is_ok() })
            });
            std::thread::sleep(Duration::from_millis(20));
            drop(first);
            assert!(waiter.join().unwrap());
        });
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn without_a_place_for_the_lock_the_call_goes_on() {
        let lock = run(HostLock::acquire(Path::new("/proc/no/lock"), PATIENCE, &Log::silent())).unwrap();
        assert!(!lock.is_held());
    }
}
