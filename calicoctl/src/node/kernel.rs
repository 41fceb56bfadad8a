//! What a host's kernel has, loaded, as a module to load, or built in.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;

use super::host::Host;
use crate::error::Error;

/// The longest file that is read; a kernel's configuration has a few hundred KiB.
const LONGEST_FILE: u64 = 64 << 20;

/// A part of the kernel that can be a module.
#[derive(Debug)]
pub struct Module {
    /// Its names: one is enough.
    pub names: &'static [&'static str],
    /// The option that it is built by.
    pub option: &'static str,
    /// Whether it is a warning only if it is missing.
    pub is_optional: bool,
}

/// A kernel.
#[derive(Debug)]
pub struct Kernel {
    /// What `uname -r` prints.
    pub release: String,
    /// Modules that are loaded, can be loaded or are built in.
    modules: BTreeSet<String>,
    /// Options that are set to yes or to module.
    options: BTreeSet<String>,
}

impl Kernel {
    /// Looks at the running kernel, and at its configuration: in this file, if one is named.
    pub fn of(host: &Host, config: Option<&Path>) -> Result<Kernel, Error> {
        let release = read(&host.path("/proc/sys/kernel/osrelease"))
            .map_err(|error| Error::new(format_args!("cannot tell the kernel's version: {error}")))?;
        let release = release.trim().to_owned();
        let options = match config {
            Some(file) => {
                let failed = |error| Error::new(format_args!("cannot read {}: {error}", file.display()));
                options(&read(file).map_err(failed)?)
            }
            None => {
                configs(host, &release).iter().filter_map(|file| read(file).ok()).flat_map(|s| options(&s)).collect()
            }
        };
        Ok(Kernel { modules: modules(host, &release)?, release, options })
    }

    /// Whether it has a module.
    pub fn has(&self, module: &Module) -> bool {
        module.names.iter().any(|name| self.modules.contains(&normal(name))) || self.options.contains(module.option)
    }
}

/// Where a kernel's configuration may be.
fn configs(host: &Host, release: &str) -> Vec<PathBuf> {
    let places = [
        "/proc/config.gz".to_owned(),
        "/usr/src/linux/.config".to_owned(),
        format!("/boot/config-{release}"),
        format!("/usr/src/linux-{release}/.config"),
        format!("/usr/src/linux-headers-{release}/.config"),
        format!("/lib/modules/{release}/build/.config"),
    ];
    places.iter().map(|path| host.path(path)).collect()
}

/// The modules that are loaded, can be loaded or are built in.
fn modules(host: &Host, release: &str) -> Result<BTreeSet<String>, Error> {
    let mut modules = BTreeSet::new();
    if let Ok(entries) = std::fs::read_dir(host.path("/sys/module")) {
        modules.extend(entries.flatten().map(|entry| normal(&entry.file_name().to_string_lossy())));
    }
    for list in ["modules.dep", "modules.builtin"] {
        let text = read(&host.path(&format!("/lib/modules/{release}/{list}"))).unwrap_or_default();
        modules.extend(text.lines().filter_map(of_file));
    }
    // What lsmod reads. A kernel that cannot load modules does not have it.
    match read(&host.path("/proc/modules")) {
        Ok(text) => modules.extend(text.lines().filter_map(|line| Some(normal(line.split_whitespace().next()?)))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(Error::new(format_args!("cannot list the loaded modules: /proc/modules: {error}"))),
    }
    Ok(modules)
}

/// The module of a line of `modules.dep` or `modules.builtin`: a file, which may be compressed, and what it depends on.
fn of_file(line: &str) -> Option<String> {
    let file = line.split(':').next()?.rsplit('/').next()?;
    let (name, compression) = file.trim().split_once(".ko")?;
    matches!(compression, "" | ".gz" | ".xz" | ".zst" | ".bz2").then(|| normal(name))
}

/// The kernel takes a minus and an underscore for the same.
fn normal(name: &str) -> String {
    name.replace('-', "_")
}

/// The options that a configuration sets to yes or to module.
fn options(config: &str) -> BTreeSet<String> {
    let set = |line: &str| {
        line.trim().split_once('=').filter(|(_, value)| matches!(*value, "y" | "m")).map(|(key, _)| key.to_owned())
    };
    config.lines().filter_map(set).collect()
}

/// Reads a file, which may be compressed.
fn read(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(LONGEST_FILE).read_to_end(&mut bytes)?;
    if bytes.starts_with(&[0x1f, 0x8b]) {
        let mut text = Vec::new();
        GzDecoder::new(bytes.as_slice()).take(LONGEST_FILE).read_to_end(&mut text)?;
        bytes = text;
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
