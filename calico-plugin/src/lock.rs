//! The host lock: one call at a time allocates or releases addresses on a host, whichever implementation it is of.
//!
//! The lock spares processes of one host the conflicts of claiming and changing the same blocks; correctness rests on
//! compare-and-swap alone. So a lock that cannot be had at all is no reason to fail, and only waiting too long is.

use std::fs::{DirBuilder, File, Metadata, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use calico_model::timestamp;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::stat::{major, minor};
use tokio::sync::oneshot;

use crate::error::Error;
use crate::log::Log;
use crate::log::Value::{Plain, Text};

/// The unit of times in /proc, which is the same on every machine that Linux runs on today.
const TICKS_PER_SECOND: u64 = 100;

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
        match take(path, patience).await {
            Err(Error::NoLock { reason, .. }) => {
                log.warning(
                    "going on without the host lock",
                    &[("file", Text(&path.to_string_lossy())), ("reason", Plain(&reason))],
                );
                Ok(HostLock { held: None })
            }
            taken => taken,
        }
    }

    /// Takes a lock that the caller cannot do without.
    ///
    /// # Errors
    /// Another process holds it all the time; or the file cannot be opened or locked.
    pub async fn require(path: &Path, patience: Duration) -> Result<HostLock, Error> {
        take(path, patience).await
    }
}

async fn take(path: &Path, patience: Duration) -> Result<HostLock, Error> {
    let none = |reason: String| Error::NoLock { path: path.to_owned(), reason };
    let file = open(path).map_err(|error| none(error.to_string()))?;
    let file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => return Ok(HostLock { held: Some(lock) }),
        Err((file, Errno::EWOULDBLOCK)) => file,
        Err((_, errno)) => return Err(none(errno.to_string())),
    };
    // The kernel queues blocked callers fairly, which asking again and again would not; but only a thread can block.
    let (answer, answered) = oneshot::channel();
    let waiter = std::thread::Builder::new().spawn(move || {
        // If nobody waits any more, the lock comes back in the error and is released.
        let _ = answer.send(Flock::lock(file, FlockArg::LockExclusive));
    });
    waiter.map_err(|error| none(error.to_string()))?;
    match tokio::time::timeout(patience, answered).await {
        Ok(Ok(Ok(lock))) => Ok(HostLock { held: Some(lock) }),
        Ok(Ok(Err((_, errno)))) => Err(none(errno.to_string())),
        Ok(Err(_)) => Err(none("the waiting thread ended".to_owned())),
        Err(_) => Err(Error::Lock { path: path.to_owned(), limit: patience, holder: holder(path) }),
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

/// Which process holds the lock, from the kernel's list: its number, its program, and since when it has run; or nothing
/// where it cannot be known.
fn holder(path: &Path) -> String {
    let Ok(file) = std::fs::metadata(path) else { return String::new() };
    let locks = std::fs::read_to_string("/proc/locks").unwrap_or_default();
    match holder_in(&locks, &file_in_list(&file)) {
        None => String::new(),
        Some(id) => format!(" (held by process {id}{})", about_process(id).unwrap_or_default()),
    }
}

/// A file as the kernel's list of locks names it.
fn file_in_list(file: &Metadata) -> String {
    format!("{:02x}:{:02x}:{}", major(file.dev()), minor(file.dev()), file.ino())
}

/// The holder's number in `1: FLOCK  ADVISORY  WRITE 4242 fe:00:1234 0 EOF`; lines with an arrow are waiting. A process
/// that cannot be seen from here has no number.
fn holder_in(locks: &str, file: &str) -> Option<u32> {
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let mut lines = locks.lines().map(words);
    let held = lines.find(|words| words.len() > 5 && words[1] == "FLOCK" && words[5] == file)?;
    held[4].parse().ok().filter(|id| *id > 0)
}

/// `, calico, since 2026-01-02T03:04:05Z`.
fn about_process(id: u32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let boot = std::fs::read_to_string("/proc/stat").ok()?;
    about_in(&stat, &boot)
}

fn about_in(stat: &str, boot: &str) -> Option<String> {
    // The name is in brackets and may have any character in it.
    let (before, after) = stat.rsplit_once(") ")?;
    let (_, name) = before.split_once(" (")?;
    // Field 22 of proc_pid_stat(5), of which three are in `before` and at the start of `after`.
    let started: u64 = after.split(' ').nth(22 - 3)?.parse().ok()?;
    let booted: u64 = boot.lines().find_map(|line| line.strip_prefix("btime "))?.parse().ok()?;
    let since = UNIX_EPOCH + Duration::from_secs(booted + started / TICKS_PER_SECOND);
    Some(format!(", {name}, since {}", timestamp::rfc3339(since)))
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
    fn the_holder_is_found_by_device_and_inode() {
        let locks = "1: POSIX  ADVISORY  WRITE 11 fe:00:77 0 EOF\n\
                     2: FLOCK  ADVISORY  WRITE 12 00:1b:77 0 EOF\n\
                     3: FLOCK  ADVISORY  WRITE 13 fe:00:77 0 EOF\n\
                     3: -> FLOCK  ADVISORY  WRITE 14 fe:00:77 0 EOF\n\
                     4: FLOCK  ADVISORY  WRITE 0 fe:01:5 0 EOF\n";
        assert_eq!(holder_in(locks, "fe:00:77"), Some(13));
        assert_eq!(holder_in(locks, "00:1b:77"), Some(12));
        assert_eq!(holder_in(locks, "fe:00:7"), None);
        assert_eq!(holder_in(locks, "fe:01:5"), None);
    }

    #[test]
    fn a_process_has_a_name_and_a_start() {
        let stat = "4242 (a) b (c) S 1 1 1 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 123456 1 1 18446744073709551615";
        let about = about_in(stat, "cpu 1\nbtime 1767323045\nprocesses 1\n");
        assert_eq!(about.as_deref(), Some(", a) b (c, since 2026-01-02T03:24:39Z"));
        let own = about_process(std::process::id()).unwrap();
        assert!(own.starts_with(", ") && own.contains(", since 20"), "{own}");
    }

    #[test]
    fn without_a_place_for_the_lock_the_call_goes_on() {
        let lock = run(HostLock::acquire(Path::new("/proc/no/lock"), PATIENCE, &Log::silent())).unwrap();
        assert!(!lock.is_held());
        let error = run(HostLock::require(Path::new("/proc/no/lock"), PATIENCE)).unwrap_err().to_string();
        assert!(error.starts_with("cannot take the lock /proc/no/lock: "), "{error}");
    }
}
