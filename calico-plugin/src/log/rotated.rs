//! The files that a log file was before: how they are called, and which are kept.
//!
//! They are called as the Go plugin calls them, so that either removes the other's: `cni-2026-01-02T03-04-05.006-size.log`.
//! That one also compresses them, and older releases of it left out the reason.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use calico_model::timestamp;

const DAY: u64 = 24 * 60 * 60;

/// How large a log file may become, and which of the files that it was before are kept. `None` is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The size of the file.
    pub bytes: Option<u64>,
    /// The age of those before it.
    pub age: Option<Duration>,
    /// Their number.
    pub count: Option<usize>,
}

impl Limits {
    /// The limits as they are configured: in MiB and days. 0 is the default, and what is less no limit.
    pub fn configured(mebibytes: i64, days: i64, count: i64) -> Limits {
        let limit = |number: i64, default: u64| match number {
            0 => Some(default),
            _ => u64::try_from(number).ok(),
        };
        Limits {
            bytes: limit(mebibytes, 100).map(|number| number.saturating_mul(1 << 20)),
            age: limit(days, 30).map(|number| Duration::from_secs(number.saturating_mul(DAY))),
            count: limit(count, 10).map(|number| usize::try_from(number).unwrap_or(usize::MAX)),
        }
    }
}

/// The files that a log file was before, newest first. One that is being compressed is there once, as it was.
///
/// # Errors
/// Their folder cannot be listed.
pub fn earlier_files(log: &Path) -> io::Result<Vec<PathBuf>> {
    let by_time = Rotated::of(log).by_time()?;
    // The name without the compression's ending is the shortest.
    let whole = |paths: Vec<PathBuf>| paths.into_iter().min_by_key(|path| path.as_os_str().len());
    Ok(by_time.into_values().rev().filter_map(whole).collect())
}

/// The names of the files that one log file was before.
pub(super) struct Rotated {
    path: PathBuf,
    folder: PathBuf,
    /// What their names begin with.
    prefix: String,
    /// What they end with, compression aside.
    extension: String,
}

impl Rotated {
    pub fn of(path: &Path) -> Rotated {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let (stem, extension) = name.split_at(name.rfind('.').unwrap_or(name.len()));
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Rotated {
            path: path.to_owned(),
            folder: folder.to_owned(),
            prefix: format!("{stem}-"),
            extension: extension.to_owned(),
        }
    }

    /// Opens the file whose lock says who may rename the log file. Nobody else may read it.
    pub fn open_lock(&self) -> io::Result<File> {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        let lock = self.folder.join(format!(".{name}.lock"));
        OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(lock)
    }

    /// Renames the log file. The caller has its lock, so that nobody else of ours takes the same name.
    pub fn keep(&self, now: SystemTime) -> io::Result<()> {
        let mut time = now;
        loop {
            let name = self.folder.join(format!("{}{}-size{}", self.prefix, stamp(time), self.extension));
            // The clock may have been set back.
            match std::fs::symlink_metadata(&name) {
                Ok(_) => time += Duration::from_millis(1),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return std::fs::rename(&self.path, name),
                Err(error) => return Err(error),
            }
        }
    }

    /// Removes the files that are too old or too many.
    pub fn remove_old(&self, limits: &Limits, now: SystemTime) -> io::Result<()> {
        let oldest = limits.age.and_then(|age| now.checked_sub(age)).map(stamp).unwrap_or_default();
        let by_time = self.by_time()?;
        let kept = limits.count.unwrap_or(usize::MAX);
        let newest_first = by_time.into_iter().rev().enumerate();
        for (_, (_, paths)) in newest_first.filter(|(place, (time, _))| *place >= kept || *time < oldest) {
            for path in paths {
                match std::fs::remove_file(path) {
                    // Another process does the same.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    result => result?,
                }
            }
        }
        Ok(())
    }

    /// The files, by the times in their names: one that is being compressed is there twice.
    fn by_time(&self) -> io::Result<BTreeMap<String, Vec<PathBuf>>> {
        let mut by_time: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
        for entry in std::fs::read_dir(&self.folder)? {
            let entry = entry?;
            if let Some(time) = self.time(&entry.file_name().to_string_lossy()) {
                by_time.entry(time.to_owned()).or_default().push(entry.path());
            }
        }
        Ok(by_time)
    }

    /// The time in the name of a file that this log file was before.
    fn time<'a>(&self, name: &'a str) -> Option<&'a str> {
        let name = name.strip_prefix(&self.prefix)?;
        let name = name.strip_suffix(".zst").or_else(|| name.strip_suffix(".gz")).unwrap_or(name);
        let name = name.strip_suffix(&self.extension)?;
        let (time, reason) = name.split_at_checked(FORM.len())?;
        let is_time = time.bytes().zip(FORM.bytes()).all(|(byte, form)| match form {
            b'0' => byte.is_ascii_digit(),
            form => byte == form,
        });
        (is_time && (reason.is_empty() || reason.starts_with('-'))).then_some(time)
    }
}

/// What a time looks like in a name. Texts of this form sort as the times do.
const FORM: &str = "0000-00-00T00-00-00.000";

fn stamp(time: SystemTime) -> String {
    timestamp::log_text(time).replace(' ', "T").replace(':', "-")
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::super::scratch::Scratch;
    use super::*;

    const KEPT_ANYWAY: [&str; 7] = [
        "cni.log",
        "cni-notes.log",
        "cni-2026-01-01T00-00-00.000-size.txt",
        "cni-2026-01-01T00-00-00-size.log",
        "cni-2026-01-01T00-00-00.000size.log",
        "cni-x2026-01-01T00-00-00.000-size.log",
        "ipam-2026-01-01T00-00-00.000-size.log",
    ];
    const ROTATED: [&str; 6] = [
        "cni-2026-01-05T00-00-00.000-size.log",
        "cni-2026-01-04T00-00-00.000-size.log.zst",
        "cni-2026-01-04T00-00-00.000-size.log",
        "cni-2026-01-03T00-00-00.000-time.log.gz",
        "cni-2026-01-02T00-00-00.000.log",
        "cni-2025-12-31T00-00-00.000-size.log",
    ];

    /// Which of the rotated files are kept, at the end of 5 January 2026.
    #[track_caller]
    fn kept(case: &str, limits: Limits) -> Vec<String> {
        let folder = Scratch::new(case);
        for name in KEPT_ANYWAY.iter().chain(&ROTATED) {
            std::fs::write(folder.path(name), "").unwrap();
        }
        let now = UNIX_EPOCH + Duration::from_secs(1_767_657_600);
        Rotated::of(&folder.path("cni.log")).remove_old(&limits, now).unwrap();
        let left = folder.files(".").into_iter().map(|(name, _)| name);
        let (others, mut left): (Vec<_>, Vec<_>) = left.partition(|name| KEPT_ANYWAY.contains(&name.as_str()));
        assert_eq!(others.len(), KEPT_ANYWAY.len(), "{others:?}");
        left.sort_by_key(|name| ROTATED.iter().position(|rotated| rotated == name));
        left
    }

    #[test]
    fn old_files_are_removed_by_number_and_by_age() {
        let days = |days: u64| Some(Duration::from_secs(days * DAY));
        let none = Limits { bytes: None, age: None, count: None };
        assert_eq!(kept("none", none), ROTATED);
        assert_eq!(kept("count", Limits { count: Some(2), ..none }), ROTATED[..3]);
        assert_eq!(kept("age", Limits { age: days(3), ..none }), ROTATED[..4]);
        assert_eq!(kept("both", Limits { count: Some(1), age: days(3), ..none }), ROTATED[..1]);
        assert!(kept("hour", Limits { age: Some(Duration::from_secs(3600)), ..none }).is_empty());
        let eternity = Some(Duration::from_secs(u64::MAX));
        assert_eq!(kept("eternity", Limits { age: eternity, ..none }), ROTATED);
    }

    #[test]
    fn earlier_files_are_listed_newest_first() {
        let folder = Scratch::new("earlier");
        for name in KEPT_ANYWAY.iter().chain(&ROTATED) {
            std::fs::write(folder.path(name), "").unwrap();
        }
        let files = earlier_files(&folder.path("cni.log")).unwrap();
        let names: Vec<_> = files.iter().map(|file| file.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(names, [ROTATED[0], ROTATED[2], ROTATED[3], ROTATED[4], ROTATED[5]]);
    }

    #[test]
    fn names_are_made_of_the_files_name() {
        let of = |path: &str| {
            let rotated = Rotated::of(Path::new(path));
            (rotated.folder.display().to_string(), rotated.prefix, rotated.extension)
        };
        let parts = |folder: &str, prefix: &str, extension: &str| (folder.into(), prefix.into(), extension.into());
        assert_eq!(of("/var/log/calico/cni/cni.log"), parts("/var/log/calico/cni", "cni-", ".log"));
        assert_eq!(of("cni.node.log"), parts(".", "cni.node-", ".log"));
        assert_eq!(of("/log"), parts("/", "log-", ""));
        assert_eq!(stamp(UNIX_EPOCH + Duration::from_millis(1_767_323_045_007)), "2026-01-02T03-04-05.007");
    }

    #[test]
    fn nothing_is_the_default_and_less_no_limit() {
        let defaults = Limits::configured(0, 0, 0);
        let month = Duration::from_secs(30 * DAY);
        assert_eq!(defaults, Limits { bytes: Some(100 << 20), age: Some(month), count: Some(10) });
        assert_eq!(Limits::configured(-1, -1, -1), Limits { bytes: None, age: None, count: None });
        let huge = Limits::configured(i64::MAX, i64::MAX, i64::MAX);
        assert_eq!(huge.bytes, Some(u64::MAX));
    }
}
