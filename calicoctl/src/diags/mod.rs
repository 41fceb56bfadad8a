//! `cluster diags`: collects what helps to find out what is wrong with a cluster.

mod archive;
mod collect;
mod commands;
mod kubectl;
mod pods;

use std::ffi::OsString;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use calico_model::timestamp;

use crate::cli::DiagsArgs;
use crate::console::Console;
use crate::error::Error;
use crate::go_duration;
use collect::Collection;
use kubectl::Kubectl;

/// How long a command may take.
const LIMIT: Duration = Duration::from_secs(60);

/// What is taken from the process.
struct Place {
    /// The folders of programs, separated by colons.
    path: OsString,
    /// Where the folder that the archive is made of is put.
    temporary: PathBuf,
    /// Where the archive is put.
    result: PathBuf,
    now: SystemTime,
    limit: Duration,
}

/// Collects, of the cluster of a context (of kubectl's own, without one), and prints where the archive is.
///
/// # Errors
/// There is no kubectl, an argument is wrong, or the archive cannot be written. A command that fails is no error: the archive
/// tells.
pub fn run(console: &Console, arguments: &DiagsArgs, context: Option<&str>) -> Result<(), Error> {
    let place = Place {
        path: std::env::var_os("PATH").unwrap_or_default(),
        temporary: std::env::temp_dir(),
        result: PathBuf::from("."),
        now: SystemTime::now(),
        limit: LIMIT,
    };
    let archive = collect(console, arguments, context, &place)?;
    console.line(archive.display())
}

/// Collects, and answers where the archive is.
fn collect(console: &Console, arguments: &DiagsArgs, context: Option<&str>, place: &Place) -> Result<PathBuf, Error> {
    let DiagsArgs { since, max_logs, max_parallelism, focus_nodes, skip_temp_dir_cleanup } = arguments;
    go_duration::parse(since)
        .map_err(|reason| Error::new(format_args!("invalid argument {since:?} for \"--since\" flag: {reason}")))?;
    if *max_parallelism == 0 {
        return Err(Error::new("invalid argument \"0\" for \"--max-parallelism\" flag: at least one command must run"));
    }
    let kubectl = Kubectl::find(&place.path, context, place.limit)?;
    let stamp = timestamp::rfc3339(place.now).replace([':', '-'], "");
    let name = format!("calico-diagnostics-{stamp}");
    let temporary = Temporary::make(place.temporary.join(format!("{name}-{}", std::process::id())))?;

    let folder = temporary.0.join(&name);
    let mut collection = Collection {
        kubectl: &kubectl,
        folder: folder.clone(),
        parallelism: *max_parallelism,
        console,
        failures: Vec::new(),
    };
    let kinds = collection.ask("listing the kinds of objects", commands::kinds());
    let pods = collection.ask("listing Calico's pods", pods::list());
    let mut tasks = commands::of_cluster();
    tasks.extend(commands::of_kinds(&kinds));
    for pod in pods::choose(&pods, focus_nodes, *max_logs) {
        tasks.extend(commands::of_pod(&pod, since));
    }
    collection.run("running commands", tasks);
    let failed = |error: std::io::Error| Error::new(format_args!("cannot write the archive: {error}"));
    let failures: String = collection.failures.iter().map(|line| format!("{line}\n")).collect();
    std::fs::write(folder.join("failures.txt"), failures).map_err(failed)?;

    let archive = place.result.join(format!("{name}.tar.gz"));
    archive::pack(&folder, &name, &archive).map_err(failed)?;
    if *skip_temp_dir_cleanup {
        console.note(format_args!("The files are also in {}.", temporary.keep().display()));
    }
    Ok(archive)
}

/// A folder that is removed however the collection ends.
struct Temporary(PathBuf);

impl Temporary {
    /// Makes it, for nobody else to read. It must not exist: it could be a trap.
    fn make(folder: PathBuf) -> Result<Temporary, Error> {
        let made = DirBuilder::new().mode(0o700).create(&folder);
        made.map_err(|error| Error::new(format_args!("cannot make the folder {}: {error}", folder.display())))?;
        Ok(Temporary(folder))
    }

    /// Where it is, which it stays.
    fn keep(mut self) -> PathBuf {
        std::mem::take(&mut self.0)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests;
