//! Files that appear complete or not at all: a target is never opened for writing, so that whoever runs or reads it keeps
//! the old one, and "text file busy" cannot happen.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::stop::Stop;

/// What the names of unfinished files begin with.
pub const UNFINISHED: &str = ".calico-install-";

/// The permission bits of a mode.
const PERMISSIONS: u32 = 0o7777;

const CHUNK: usize = 1 << 18;

/// A file under a temporary name, beside its target. Dropped unfinished, it is removed.
struct Unfinished<'t> {
    target: &'t Path,
    path: PathBuf,
    file: File,
    is_placed: bool,
}

impl Unfinished<'_> {
    fn beside(target: &Path) -> Result<Unfinished<'_>, Error> {
        let folder = target.parent().unwrap_or(Path::new("/"));
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(io::Error::other).map_err(Error::file("write", target))?;
        let path = folder.join(format!("{UNFINISHED}{:016x}", u64::from_ne_bytes(random)));
        let mut options = OpenOptions::new();
        let file = options.write(true).create_new(true).mode(0o600).open(&path);
        let file = file.map_err(Error::file("write into", folder))?;
        // By this another installer that starts meanwhile knows that it is no leftover.
        let _ = file.try_lock();
        Ok(Unfinished { target, path, file, is_placed: false })
    }

    /// Gives it its mode and its name.
    fn place(mut self, mode: u32) -> Result<(), Error> {
        let place = || -> io::Result<()> {
            self.file.set_permissions(Permissions::from_mode(mode & PERMISSIONS))?;
            self.file.sync_all()?;
            std::fs::rename(&self.path, self.target)
        };
        place().map_err(Error::file("write", self.target))?;
        self.is_placed = true;
        sync_folder_of(self.target)
    }
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if !self.is_placed {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn sync_folder_of(path: &Path) -> Result<(), Error> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(Error::file("write to disk the folder", folder))
}

/// Whether a file is there, itself and no link to one, with this content and mode.
pub fn is_as(target: &Path, content: &[u8], mode: u32) -> bool {
    let is_file = std::fs::symlink_metadata(target)
        .is_ok_and(|data| data.is_file() && data.mode() & PERMISSIONS == mode && data.len() == content.len() as u64);
    is_file && std::fs::read(target).is_ok_and(|found| found == content)
}

/// Writes a file.
pub fn put(target: &Path, content: &[u8], mode: u32) -> Result<(), Error> {
    let mut unfinished = Unfinished::beside(target)?;
    unfinished.file.write_all(content).map_err(Error::file("write", target))?;
    unfinished.place(mode)
}

/// Whether two files are equal: size, mode and content.
pub fn are_equal(source: &Path, target: &Path) -> io::Result<bool> {
    let (mut source, mut target) = match (File::open(source), File::open(target)) {
        (Ok(source), Ok(target)) => (source, target),
        (Err(error), _) => return Err(error),
        // Absent, or anything else that is no such file.
        (_, Err(_)) => return Ok(false),
    };
    let data = [source.metadata()?, target.metadata()?];
    let [of_source, of_target] = data.map(|data| (data.is_file(), data.len(), data.mode() & PERMISSIONS));
    if of_source != of_target {
        return Ok(false);
    }
    let (mut ours, mut theirs) = (vec![0; CHUNK], vec![0; CHUNK]);
    loop {
        let length = source.read(&mut ours)?;
        if length == 0 {
            return Ok(true);
        }
        if target.read_exact(&mut theirs[..length]).is_err() || ours[..length] != theirs[..length] {
            return Ok(false);
        }
    }
}

/// Copies a file with its mode.
pub fn copy(source: &Path, target: &Path, stop: &Stop) -> Result<(), Error> {
    let mut from = File::open(source).map_err(Error::file("read", source))?;
    let data = from.metadata().map_err(Error::file("read", source))?;
    let mut unfinished = Unfinished::beside(target)?;
    let mut chunk = vec![0; CHUNK];
    let mut copied = 0;
    loop {
        if stop.is_requested() {
            return Err(Error::file("copy to", target)(io::ErrorKind::Interrupted.into()));
        }
        let length = from.read(&mut chunk).map_err(Error::file("read", source))?;
        if length == 0 {
            break;
        }
        unfinished.file.write_all(&chunk[..length]).map_err(Error::file("write", target))?;
        copied += length as u64;
    }
    if copied != data.len() {
        return Err(Error::file("copy", source)(io::Error::other("it changed meanwhile")));
    }
    unfinished.place(data.mode())
}

/// Makes a folder, if it is not there. Its parent must be.
pub fn make_folder(path: &Path) -> Result<(), Error> {
    match DirBuilder::new().mode(0o755).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Ok(()) => sync_folder_of(path),
        Err(error) => Err(Error::file("create", path)(error)),
    }
}

/// Removes a file, and answers whether it was there.
pub fn remove(path: &Path) -> Result<bool, Error> {
    match std::fs::remove_file(path) {
        Ok(()) => sync_folder_of(path).map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Error::file("remove", path)(error)),
    }
}

/// Removes what killed runs left unfinished in a folder, and answers how many there were. What another installer is just
/// writing stays.
pub fn remove_leftovers(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let unfinished = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(UNFINISHED));
    let is_free = |path: &Path| File::open(path).is_ok_and(|file| file.try_lock().is_ok());
    unfinished.filter(|entry| is_free(&entry.path()) && std::fs::remove_file(entry.path()).is_ok()).count()
}

/// Whether files can be created in a folder.
pub fn probe(folder: &Path) -> io::Result<()> {
    let path = folder.join(PROBE);
    OpenOptions::new().write(true).create(true).truncate(true).open(&path)?;
    std::fs::remove_file(&path)
}

/// The name of the file that is created and removed to see whether a folder is writable.
pub const PROBE: &str = ".touch";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn a_file_is_replaced_and_never_written_to() {
        let scratch = Scratch::new();
        let target = scratch.path("conf");
        put(&target, b"one", 0o600).unwrap();
        let mut held = File::open(&target).unwrap();
        let before = std::fs::metadata(&target).unwrap().ino();
        assert!(is_as(&target, b"one", 0o600) && !is_as(&target, b"one", 0o644) && !is_as(&target, b"two", 0o600));
        put(&target, b"three", 0o640).unwrap();
        assert!(is_as(&target, b"three", 0o640));
        assert_ne!(std::fs::metadata(&target).unwrap().ino(), before);
        let mut text = String::new();
        held.read_to_string(&mut text).unwrap();
        assert_eq!(text, "one");
        // A link is replaced, and what it leads to is left alone.
        let link = scratch.path("link");
        std::os::unix::fs::symlink(&target, &link).unwrap();
        assert!(!is_as(&link, b"three", 0o640));
        put(&link, b"four", 0o600).unwrap();
        assert_eq!((scratch.read("conf"), scratch.read("link")), ("three".into(), "four".into()));
        assert_eq!(scratch.names(""), ["conf", "link"]);
    }

    #[test]
    fn copies_are_equal_in_content_and_mode() {
        let scratch = Scratch::new();
        let (source, target) = (scratch.path("source"), scratch.path("target"));
        let stop = Stop::default();
        std::fs::write(&source, vec![7; CHUNK + 1]).unwrap();
        std::fs::set_permissions(&source, Permissions::from_mode(0o755)).unwrap();
        assert!(!are_equal(&source, &target).unwrap());
        copy(&source, &target, &stop).unwrap();
        assert!(are_equal(&source, &target).unwrap());
        std::fs::set_permissions(&target, Permissions::from_mode(0o750)).unwrap();
        assert!(!are_equal(&source, &target).unwrap());
        let mut other = vec![7; CHUNK + 1];
        other[CHUNK] = 8;
        std::fs::write(&target, other).unwrap();
        std::fs::set_permissions(&target, Permissions::from_mode(0o755)).unwrap();
        assert!(!are_equal(&source, &target).unwrap());
        assert!(are_equal(&scratch.path("none"), &target).is_err());
        // Asked to end, it leaves the old one, and nothing else.
        stop.request();
        let error = copy(&source, &target, &stop).unwrap_err();
        assert!(matches!(error, Error::File { .. }), "{error}");
        assert!(!are_equal(&source, &target).unwrap());
        assert_eq!(scratch.names(""), ["source", "target"]);
    }

    #[test]
    fn leftovers_go_but_for_those_of_a_running_installer() {
        let scratch = Scratch::new();
        scratch.write(".calico-install-00", "half");
        scratch.write(".other", "kept");
        let target = scratch.path("conf");
        let running = Unfinished::beside(&target).unwrap();
        assert_eq!(remove_leftovers(&scratch.path("")), 1);
        assert_eq!(scratch.names("").len(), 2);
        drop(running);
        assert_eq!(scratch.names(""), [".other"]);
        assert_eq!(remove_leftovers(&scratch.path("none")), 0);
    }

    #[test]
    fn failures_say_what_where_and_what_to_do() {
        let scratch = Scratch::new();
        scratch.write("folder/file", "");
        let error = put(&scratch.path("folder"), b"x", 0o600).unwrap_err().to_string();
        assert!(error.contains("cannot write") && error.contains("/folder") && error.contains("in the way"), "{error}");
        let error = put(&scratch.path("none/file"), b"x", 0o600).unwrap_err().to_string();
        assert!(error.contains("/none") && error.contains("mount the host's folder"), "{error}");
        assert_eq!(scratch.names(""), ["folder"]);
        assert!(probe(&scratch.path("none")).is_err());
        probe(&scratch.path("folder")).unwrap();
        assert_eq!(scratch.names("folder"), ["file"]);
        assert!(remove(&scratch.path("folder/file")).unwrap() && !remove(&scratch.path("folder/file")).unwrap());
    }
}
