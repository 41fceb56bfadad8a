//! Certificates, keys and kubeconfigs that a configuration file has in itself.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::path::PathBuf;

use nix::sys::memfd::{MFdFlags, memfd_create};

use crate::error::Error;

/// A text that can be read like a file, by this process alone: it is in memory, not on a disk.
pub struct Inline(File);

impl Inline {
    /// Keeps a text.
    pub fn new(text: &str) -> Result<Inline, Error> {
        let made = memfd_create(c"calicoctl", MFdFlags::MFD_CLOEXEC).map_err(std::io::Error::from).map(File::from);
        let written = made.and_then(|mut file| file.write_all(text.as_bytes()).map(|()| file));
        written
            .map(Inline)
            .map_err(|error| Error::new(format_args!("cannot keep what the file has in itself: {error}")))
    }

    /// Where it can be read.
    pub fn path(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.0.as_raw_fd()).into()
    }
}
