//! The log file. Many processes append to it at once, ours and the Go plugin's: every line is one write at the file's
//! end.
//!
//! A file that is full is renamed, and a new one begun. A process that has the old one open meanwhile goes on writing
//! there, so that no line is lost. One process at a time may rename a file: the one that has the lock beside it and finds
//! it still at its path. Nobody waits for that: the others write their line and look again with the next. The lock is a
//! file of its own, since whoever can read the log could hold a lock on that.

use std::fs::{DirBuilder, File, Metadata, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use nix::fcntl::OFlag;

use super::rotated::{Limits, Rotated};

/// Which file, and how much of the log is kept.
#[derive(Debug, Clone)]
pub struct FileConf {
    /// Its path.
    pub path: PathBuf,
    /// How large it may become, and what is kept of it.
    pub limits: Limits,
}

/// The open file.
#[derive(Debug)]
pub(super) struct LogFile {
    conf: FileConf,
    file: File,
    /// Whether this process renames the file when it is full: not again after a failure.
    rotates: bool,
}

impl LogFile {
    pub fn open(conf: FileConf) -> io::Result<LogFile> {
        if let Some(folder) = conf.path.parent() {
            DirBuilder::new().recursive(true).mode(0o755).create(folder)?;
        }
        Ok(LogFile { file: open(&conf.path)?, conf, rotates: true })
    }

    /// Begins a new file if a line of this length would make it too large.
    ///
    /// # Errors
    /// That does not work, or old files cannot be removed. The file can be written all the same, and this is not tried
    /// again.
    pub fn make_room(&mut self, length: usize, now: SystemTime) -> io::Result<()> {
        let made = if self.rotates { self.rotate_if_full(length, now) } else { Ok(()) };
        self.rotates &= made.is_ok();
        made
    }

    fn rotate_if_full(&mut self, length: usize, now: SystemTime) -> io::Result<()> {
        let Some(limit) = self.conf.limits.bytes else { return Ok(()) };
        let found = self.file.metadata()?;
        // Every file takes one line. What is no file, such as /dev/null, has no size.
        if !found.is_file() || found.len() == 0 || found.len().saturating_add(length as u64) <= limit {
            return Ok(());
        }
        // Where the path is a link, the file that it leads to is renamed, in its own folder.
        let path = std::fs::canonicalize(&self.conf.path).unwrap_or_else(|_| self.conf.path.clone());
        let rotated = Rotated::of(&path);
        let lock = rotated.open_lock()?;
        match lock.try_lock() {
            Ok(()) => self.rotate(&path, &rotated, &found, now),
            Err(TryLockError::WouldBlock) => Ok(()),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Renames the file, while this process has the lock, unless another process did; then opens the new one.
    fn rotate(&mut self, path: &Path, rotated: &Rotated, found: &Metadata, now: SystemTime) -> io::Result<()> {
        let is_mine = match std::fs::metadata(path) {
            Ok(there) => (there.dev(), there.ino()) == (found.dev(), found.ino()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => return Err(error),
        };
        if is_mine {
            rotated.keep(now)?;
        }
        self.file = open(path)?;
        if is_mine { rotated.remove_old(&self.conf.limits, now) } else { Ok(()) }
    }

    /// Writes a line.
    pub fn append(&mut self, line: &[u8]) -> io::Result<()> {
        // One write: the rest of a line that did not fit could only end up behind another process's.
        match self.file.write(line)? {
            written if written == line.len() => Ok(()),
            _ => Err(io::Error::new(io::ErrorKind::WriteZero, "only a part of the line could be written")),
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    // A pipe that nobody reads must not hold up the call. Files know no difference.
    let flags = OFlag::O_NONBLOCK.bits();
    OpenOptions::new().append(true).create(true).mode(0o644).custom_flags(flags).open(path)
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::super::scratch::Scratch;
    use super::*;

    const NOW: SystemTime = UNIX_EPOCH;

    fn log(folder: &Scratch, bytes: u64) -> LogFile {
        let limits = Limits { bytes: Some(bytes), age: None, count: None };
        LogFile::open(FileConf { path: folder.path("made/cni.log"), limits }).unwrap()
    }

    fn write(log: &mut LogFile, line: &str) {
        log.make_room(line.len(), NOW).unwrap();
        log.append(line.as_bytes()).unwrap();
    }

    #[test]
    fn a_full_file_is_kept_under_another_name() {
        let folder = Scratch::new("full");
        let mut log = log(&folder, 10);
        for line in ["one\n", "two\n", "three\n", "a line that is longer than a file\n", "four\n"] {
            write(&mut log, line);
        }
        let files = folder.files("made");
        let expected = [
            (".cni.log.lock", ""),
            ("cni-1970-01-01T00-00-00.000-size.log", "one\ntwo\n"),
            ("cni-1970-01-01T00-00-00.001-size.log", "three\n"),
            ("cni-1970-01-01T00-00-00.002-size.log", "a line that is longer than a file\n"),
            ("cni.log", "four\n"),
        ];
        assert_eq!(files, expected.map(|(name, text)| (name.to_owned(), text.to_owned())));
        assert_eq!(std::fs::metadata(folder.path("made/cni.log")).unwrap().mode() & 0o777, 0o644);
    }

    #[test]
    fn a_file_is_renamed_once_and_nobody_waits_for_its_lock() {
        let folder = Scratch::new("once");
        let (mut first, mut second) = (log(&folder, 10), log(&folder, 10));
        write(&mut first, "0123456\n");
        let lock = Rotated::of(&folder.path("made/cni.log")).open_lock().unwrap();
        lock.lock().unwrap();
        write(&mut first, "while it is locked\n");
        lock.unlock().unwrap();
        write(&mut first, "new\n");
        // It has the old file open, which is full.
        write(&mut second, "new, too\n");
        write(&mut first, "newest\n");
        let files = folder.files("made");
        let logs = files.iter().filter(|(name, _)| !name.starts_with('.'));
        let texts: Vec<&str> = logs.map(|(_, text)| text.as_str()).collect();
        assert_eq!(texts, ["0123456\nwhile it is locked\n", "new\nnew, too\n", "newest\n"]);
    }

    #[test]
    fn the_file_that_a_link_leads_to_is_renamed() {
        let folder = Scratch::new("link");
        std::fs::create_dir(folder.path("made")).unwrap();
        std::fs::create_dir(folder.path("real")).unwrap();
        std::os::unix::fs::symlink(folder.path("real/calico.log"), folder.path("made/cni.log")).unwrap();
        let mut log = log(&folder, 10);
        write(&mut log, "0123456\n");
        write(&mut log, "next\n");
        assert!(std::fs::symlink_metadata(folder.path("made/cni.log")).unwrap().is_symlink());
        let expected = [
            (".calico.log.lock", ""),
            ("calico-1970-01-01T00-00-00.000-size.log", "0123456\n"),
            ("calico.log", "next\n"),
        ];
        assert_eq!(folder.files("real"), expected.map(|(name, text)| (name.to_owned(), text.to_owned())));
    }

    #[test]
    fn a_failed_rotation_is_told_once_and_the_file_is_written_on() {
        let folder = Scratch::new("failed");
        let mut log = log(&folder, 10);
        write(&mut log, "0123456\n");
        // Where the file was, there is something that cannot be opened for writing.
        std::fs::remove_file(folder.path("made/cni.log")).unwrap();
        std::fs::create_dir(folder.path("made/cni.log")).unwrap();
        log.make_room(5, NOW).unwrap_err();
        write(&mut log, "next\n");
    }

    #[test]
    fn devices_are_not_rotated_and_pipes_without_a_reader_are_an_error() {
        let limits = Limits { bytes: Some(1), age: None, count: None };
        let mut null = LogFile::open(FileConf { path: "/dev/null".into(), limits }).unwrap();
        write(&mut null, "one\n");
        write(&mut null, "two\n");
        let folder = Scratch::new("pipe");
        nix::unistd::mkfifo(&folder.path("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        LogFile::open(FileConf { path: folder.path("pipe"), limits }).unwrap_err();
    }
}
