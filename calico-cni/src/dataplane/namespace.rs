//! Network namespaces: opening a file that stands for one, and moving the calling thread into it.

use std::fs::{File, Metadata};
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::errno::Errno;
use nix::sched::{CloneFlags, setns};
use nix::sys::statfs::{NSFS_MAGIC, PROC_SUPER_MAGIC, fstatfs};

/// An open network namespace. It lives at least as long as this handle.
pub struct Namespace(File);

impl Namespace {
    /// The namespace the calling thread is in.
    pub fn current() -> io::Result<Namespace> {
        File::open("/proc/thread-self/ns/net").map(Namespace)
    }

    /// Opens the namespace at `path`; `None` when there is none: no such file, or `/proc/PID/ns/net` of a process that
    /// has ended.
    ///
    /// A file that is no namespace is an error (`EINVAL`). A namespace of another kind shows only in
    /// [`Namespace::enter`].
    pub fn open(path: &Path) -> io::Result<Option<Namespace>> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) => {
                return match error.raw_os_error().map(Errno::from_raw) {
                    Some(Errno::ENOENT | Errno::ENOTDIR | Errno::ESRCH) => Ok(None),
                    _ => Err(error),
                };
            }
        };
        match fstatfs(&file)?.filesystem_type() {
            // Kernels before 3.19 kept namespaces in procfs.
            NSFS_MAGIC | PROC_SUPER_MAGIC => Ok(Some(Namespace(file))),
            _ => Err(Errno::EINVAL.into()),
        }
    }

    /// Whether the path still stands for this namespace.
    pub fn is_at(&self, path: &Path) -> bool {
        let identity = |file: io::Result<Metadata>| file.ok().map(|file| (file.dev(), file.ino()));
        let own = identity(self.0.metadata());
        own.is_some() && own == identity(std::fs::metadata(path))
    }

    /// Moves the calling thread, and no other, into the namespace. `EINVAL`: this is no network namespace.
    pub fn enter(&self) -> io::Result<()> {
        Ok(setns(&self.0, CloneFlags::CLONE_NEWNET)?)
    }
}

impl AsRawFd for Namespace {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}
