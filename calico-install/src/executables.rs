//! The plugins' executables, in the host's folders of plugins.

use std::collections::HashMap;
use std::fs::Metadata;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use calico_plugin::Log;
use calico_plugin::log::Value;

use crate::error::Error;
use crate::files;
use crate::options::Options;
use crate::pace::Pace;
use crate::paths::{Paths, shown};
use crate::stop::Stop;

/// Our own, which are always updated.
const OWN: [&str; 2] = ["calico", "calico-ipam"];

/// What in the image's folder of plugins is none.
const NO_PLUGIN: &str = "install";

/// How long an executable that somebody else has put there must not have changed before it is replaced: another installer
/// looks at what it has copied, and fails where that is gone already.
const QUIET: Duration = Duration::from_secs(5);

/// The executables, and what is known of those that are installed.
#[derive(Debug, Default)]
pub struct Executables {
    /// The host's folders that are written to; unknown at first.
    folders: Option<Vec<PathBuf>>,
    /// Targets that were seen to be equal to their sources, as both were then: they are compared again when one has changed.
    equal: HashMap<PathBuf, [Stamp; 2]>,
    /// Whether all were there once.
    is_complete: bool,
    /// What somebody else has put there since, and when it was seen first, by the monotonic clock.
    replaced: HashMap<PathBuf, (Stamp, Duration)>,
}

/// What changes when a file does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp(u64, u64, u64, u32, [i64; 4]);

impl Stamp {
    fn of(path: &Path) -> Option<Stamp> {
        let data: Metadata = std::fs::metadata(path).ok()?;
        let times = [data.mtime(), data.mtime_nsec(), data.ctime(), data.ctime_nsec()];
        Some(Stamp(data.dev(), data.ino(), data.len(), data.mode(), times))
    }
}

impl Executables {
    /// Installs what is missing or differs. `now` is by the monotonic clock.
    ///
    /// # Errors
    /// A file, or that one was just replaced by somebody else: the others are installed nonetheless.
    pub fn install(
        &mut self,
        paths: &Paths,
        options: &Options,
        log: &Log,
        stop: &Stop,
        now: Duration,
        mut allow: impl FnMut(&Path) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut waits = Ok(());
        let folders = match &self.folders {
            Some(folders) => folders.clone(),
            None => self.folders.insert(writable_folders(paths, options, log)?).clone(),
        };
        for folder in &folders {
            for (name, source) in sources(paths, options)? {
                let target = folder.join(&name);
                let is_own = OWN.contains(&name.as_str());
                if !is_own && !options.update_binaries && target.exists() || self.are_equal(&source, &target)? {
                    continue;
                }
                if self.is_complete && !self.is_quiet(&target, now) {
                    waits = Err(Error::Replaced(target));
                    continue;
                }
                allow(&target)?;
                files::copy(&source, &target, stop)?;
                log.info("installed a plugin", &[("file", Value::Text(&shown(&target)))]);
            }
        }
        self.is_complete |= waits.is_ok();
        waits
    }

    /// Whether a target is absent, or has not changed for a while.
    fn is_quiet(&mut self, target: &Path, now: Duration) -> bool {
        let Some(stamp) = Stamp::of(target) else { return true };
        let seen = self.replaced.entry(target.to_owned()).or_insert((stamp, now));
        if seen.0 != stamp {
            *seen = (stamp, now);
        }
        let is_quiet = now >= seen.1 + QUIET;
        if is_quiet {
            self.replaced.remove(target);
        }
        is_quiet
    }

    fn are_equal(&mut self, source: &Path, target: &Path) -> Result<bool, Error> {
        let stamps = || Some([Stamp::of(source)?, Stamp::of(target)?]);
        let before = stamps();
        if before.is_some() && before.as_ref() == self.equal.get(target) {
            return Ok(true);
        }
        let are_equal = files::are_equal(source, target).map_err(Error::file("compare", source))?;
        match before.filter(|_| are_equal) {
            Some(stamps) => self.equal.insert(target.to_owned(), stamps),
            None => self.equal.remove(target),
        };
        Ok(are_equal)
    }
}

/// The host's folders to write to.
fn writable_folders(paths: &Paths, options: &Options, log: &Log) -> Result<Vec<PathBuf>, Error> {
    let (mut writable, mut others) = (Vec::new(), Vec::new());
    for folder in paths.plugin_folders() {
        match files::probe(&folder) {
            Ok(()) => {
                match files::remove_leftovers(&folder) {
                    0 => {}
                    count => log
                        .info("removed files that an earlier run had not finished", &[("count", Value::Plain(&count))]),
                }
                writable.push(folder);
            }
            Err(error) => others.push((folder, error)),
        }
    }
    let has_both = |folder: &Path| OWN.iter().all(|name| folder.join(name).is_file());
    match writable.is_empty() {
        true if options.update_binaries || !others.iter().any(|(folder, _)| has_both(folder)) => {
            let texts: Vec<String> =
                others.iter().map(|(folder, error)| format!("{}: {error}", shown(folder))).collect();
            Err(Error::NoFolder(texts.join(", ")))
        }
        true => {
            log.info("the plugins are there, in a folder that is not writable, and are not updated", &[]);
            Ok(writable)
        }
        false => {
            // One that is absent is not mounted: hosts have one folder, as a rule.
            for (folder, error) in others.iter().filter(|(_, error)| error.kind() != ErrorKind::NotFound) {
                log.warning(
                    "a folder for the plugins is not writable, and is left as it is: mount it writable, or not at all",
                    &[("folder", Value::Text(&shown(folder))), ("error", Value::Plain(error))],
                );
            }
            Ok(writable)
        }
    }
}

/// What is to be installed: names and the files of the image.
fn sources(paths: &Paths, options: &Options) -> Result<Vec<(String, PathBuf)>, Error> {
    let mut sources = Vec::new();
    for name in OWN {
        let source = paths.own_executable(name).into_iter().find(|path| path.is_file());
        sources.push((name.to_owned(), source.ok_or(Error::NoExecutable(name))?));
    }
    let folder = paths.image_plugins();
    let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
    let mut others: Vec<(String, PathBuf)> = entries
        .filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path())))
        .filter(|(name, path)| {
            !OWN.contains(&name.as_str())
                && name != NO_PLUGIN
                && !options.skip_binaries.contains(name)
                && path.is_file()
        })
        .collect();
    others.sort();
    sources.extend(others);
    Ok(sources)
}

/// A bound on writes, for [`Executables::install`].
pub fn paced(pace: &mut Pace, now: Duration) -> impl FnMut(&Path) -> Result<(), Error> {
    move |path| pace.allow(path, now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    fn install(executables: &mut Executables, scratch: &Scratch, variables: &[(&str, &str)]) -> Result<usize, Error> {
        install_at(executables, scratch, variables, 0).0
    }

    fn install_at(
        executables: &mut Executables,
        scratch: &Scratch,
        variables: &[(&str, &str)],
        second: u64,
    ) -> (Result<usize, Error>, usize) {
        let mut written = 0;
        let options = Options::of(variables);
        let allow = |_: &Path| {
            written += 1;
            Ok(())
        };
        let now = Duration::from_secs(second);
        let result = executables.install(&scratch.paths(), &options, &Log::silent(), &Stop::default(), now, allow);
        (result.map(|()| written), written)
    }

    #[test]
    fn everything_of_the_image_goes_to_every_writable_folder_once() {
        let scratch = Scratch::image();
        scratch.write("opt/cni/bin/install", "the installer");
        scratch.write("opt/cni/bin/folder/file", "no plugin");
        scratch.write("host/secondary-bin-dir/own", "the host's");
        scratch.write("usr/bin/calico", "preferred");
        scratch.write("host/opt/cni/bin/.calico-install-1", "half");
        let mut executables = Executables::default();
        assert_eq!(install(&mut executables, &scratch, &[]).unwrap(), 8);
        assert_eq!(scratch.names("host/opt/cni/bin"), ["calico", "calico-ipam", "loopback", "portmap"]);
        assert_eq!(scratch.names("host/secondary-bin-dir"), ["calico", "calico-ipam", "loopback", "own", "portmap"]);
        assert_eq!(scratch.read("host/opt/cni/bin/calico"), "preferred");
        assert_eq!(scratch.read("host/opt/cni/bin/calico-ipam"), "this is calico-ipam");
        assert_eq!(install(&mut executables, &scratch, &[]).unwrap(), 0);
        assert_eq!(install(&mut Executables::default(), &scratch, &[]).unwrap(), 0);
        // Another of the same size, and one that is gone.
        scratch.write("host/opt/cni/bin/portmap", "that is no portmap"[..15].trim());
        std::fs::remove_file(scratch.path("host/opt/cni/bin/loopback")).unwrap();
        assert_eq!(install(&mut Executables::default(), &scratch, &[]).unwrap(), 2);
        assert_eq!(scratch.read("host/opt/cni/bin/portmap"), "this is portmap");
    }

    #[test]
    fn what_somebody_else_puts_there_is_replaced_once_it_does_not_change_any_more() {
        let scratch = Scratch::image();
        let mut executables = Executables::default();
        assert_eq!(install(&mut executables, &scratch, &[]).unwrap(), 4);
        let mut at = |second| {
            let (result, written) = install_at(&mut executables, &scratch, &[], second);
            if let Err(error) = &result {
                assert!(error.to_string().contains("bin/calico was just replaced by somebody else"), "{error}");
            }
            (result.is_ok(), written)
        };
        scratch.write("host/opt/cni/bin/calico", "another");
        // What is missing is put back at once.
        std::fs::remove_file(scratch.path("host/opt/cni/bin/loopback")).unwrap();
        assert_eq!((at(100), at(104)), ((false, 1), (false, 0)));
        scratch.write("host/opt/cni/bin/calico", "yet another");
        assert_eq!((at(106), at(110)), ((false, 0), (false, 0)));
        assert_eq!(scratch.read("host/opt/cni/bin/calico"), "yet another");
        assert_eq!((at(111), at(112)), ((true, 1), (true, 0)));
        assert_eq!(scratch.read("host/opt/cni/bin/calico"), "this is calico");
        // The same once more: it waits as long.
        scratch.write("host/opt/cni/bin/calico", "another");
        assert_eq!((at(120), at(125)), ((false, 0), (true, 1)));
    }

    #[test]
    fn what_is_to_be_skipped_or_left() {
        let scratch = Scratch::image();
        scratch.write("host/opt/cni/bin/portmap", "the host's");
        scratch.write("host/opt/cni/bin/calico", "old");
        let variables = [("SKIP_CNI_BINARIES", "loopback, calico-ipam"), ("UPDATE_CNI_BINARIES", "false")];
        assert_eq!(install(&mut Executables::default(), &scratch, &variables).unwrap(), 2);
        assert_eq!(scratch.names("host/opt/cni/bin"), ["calico", "calico-ipam", "portmap"]);
        assert_eq!(scratch.read("host/opt/cni/bin/portmap"), "the host's");
        assert_eq!(scratch.read("host/opt/cni/bin/calico"), "this is calico");
    }

    #[test]
    fn without_a_writable_folder_the_plugins_must_be_there() {
        let scratch = Scratch::image();
        // Root may write everywhere: a file is in the folder's place.
        std::fs::remove_dir(scratch.path("host/opt/cni/bin")).unwrap();
        let fails = |variables: &[(&str, &str)]| {
            let error = install(&mut Executables::default(), &scratch, variables).unwrap_err();
            assert_eq!(error.exit_code(true), Some(1));
            error.to_string()
        };
        for variables in [&[][..], &[("UPDATE_CNI_BINARIES", "false")]] {
            let error = fails(variables);
            for words in ["host/opt/cni/bin: No such file", "host/secondary-bin-dir: ", "UPDATE_CNI_BINARIES=false"] {
                assert!(error.contains(words), "{error}");
            }
        }
        let scratch = Scratch::image();
        std::fs::remove_file(scratch.path("opt/cni/bin/calico-ipam")).unwrap();
        let error = install(&mut Executables::default(), &scratch, &[]).unwrap_err();
        assert!(error.to_string().contains("the image has no calico-ipam"), "{error}");
        assert!(scratch.names("host/opt/cni/bin").is_empty());
    }
}
