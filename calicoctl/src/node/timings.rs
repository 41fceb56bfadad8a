//! `node timings`: how long the plugin's latest calls took.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use calico_plugin::log::earlier_files;
use flate2::read::GzDecoder;

use super::timed_call::{self, Call, End, Line};
use crate::cli::TimingsArgs;
use crate::console::Console;
use crate::error::Error;
use crate::output::columns;

/// How much is read of a file: its end.
const TAIL: usize = 8 << 20;
/// How much is decompressed of a compressed one, to find its end.
const LONGEST: u64 = 512 << 20;
/// How many of the files that the log was before are read.
const MOST_FILES: usize = 16;
/// What is shown of a container's identifier: as much as `crictl` shows.
const IDENTIFIER: usize = 13;

/// Prints a table of the latest calls, the last one at the end.
///
/// # Errors
/// The log cannot be read. That there is none, or no call in it, is said.
pub fn run(console: &Console, arguments: &TimingsArgs) -> Result<(), Error> {
    match report(&arguments.log_file, arguments.calls)? {
        Ok(table) => console.data(&table),
        Err(why) => {
            console.note(why);
            console.note(
                "The plugin writes it where its network configuration says so: \"log_level\": \"info\" (or \"debug\")",
            );
            console.note(format_args!("and \"log_file_path\": {:?}.", arguments.log_file));
            Ok(())
        }
    }
}

/// The table, or else why there is none.
fn report(log: &Path, wanted: usize) -> Result<Result<String, String>, Error> {
    if wanted == 0 {
        return Err(Error::new("the number of calls must be at least 1"));
    }
    let failed = |error| Error::new(format_args!("cannot read {}: {error}", log.display()));
    let newest = match File::open(log) {
        Ok(file) => Some(lines(&tail(file).map_err(failed)?)),
        // It may have been renamed just now.
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(failed(error)),
    };
    let mut earlier = earlier_files(log).unwrap_or_default();
    earlier.truncate(MOST_FILES);
    if newest.is_none() && earlier.is_empty() {
        return Ok(Err(format!("There is no log {}.", log.display())));
    }
    let mut lines_by_file = vec![newest.unwrap_or_default()];
    let mut calls = Vec::new();
    let mut earlier = earlier.iter();
    loop {
        // A call may have begun in one file and ended in the next.
        calls = match timed_call::calls(lines_by_file.iter().rev().flatten()) {
            found if found.len() > calls.len() => found,
            _ => calls,
        };
        let Some(file) = earlier.next().filter(|_| calls.len() < wanted) else { break };
        // A file that is removed meanwhile, or compressed in another way, has nothing to tell.
        let text = File::open(file).and_then(tail).unwrap_or_default();
        lines_by_file.push(lines(&text));
    }
    let latest = &calls[calls.len().saturating_sub(wanted)..];
    match latest {
        [] => Ok(Err(format!("There is no call of this plugin in {}.", log.display()))),
        latest => Ok(Ok(table(latest))),
    }
}

/// The end of a file, which may be compressed.
fn tail(mut file: File) -> io::Result<Vec<u8>> {
    let mut magic = [0; 2];
    let is_compressed = file.read_exact(&mut magic).is_ok() && magic == [0x1f, 0x8b];
    let length = file.seek(SeekFrom::End(0))?;
    let start = if is_compressed { 0 } else { length.saturating_sub(TAIL as u64) };
    file.seek(SeekFrom::Start(start))?;
    if !is_compressed {
        let mut end = Vec::new();
        file.take(TAIL as u64).read_to_end(&mut end)?;
        return Ok(end);
    }
    let mut text = GzDecoder::new(file).take(LONGEST);
    let mut end = Vec::new();
    while text.by_ref().take(TAIL as u64).read_to_end(&mut end)? > 0 {
        end.drain(..end.len().saturating_sub(TAIL));
    }
    Ok(end)
}

fn lines(text: &[u8]) -> Vec<Line> {
    String::from_utf8_lossy(text).lines().filter_map(Line::parse).collect()
}

fn table(calls: &[Call]) -> String {
    let is_used = |column: &&str| calls.iter().any(|call| call.phases.iter().any(|(name, _)| name == column));
    let used: Vec<&str> = timed_call::columns().filter(is_used).collect();
    let heading = ["TIME", "VERB", "CONTAINER", "TOTAL"].into_iter().chain(used.iter().copied());
    let mut rows = vec![heading.map(str::to_owned).collect::<Vec<_>>()];
    for call in calls {
        let verb = match call.program.as_str() {
            "cni-plugin" => call.verb.clone(),
            program => format!("{} ({program})", call.verb),
        };
        let container: String = call.container.chars().take(IDENTIFIER).collect();
        let container = if container.is_empty() { "-".to_owned() } else { container };
        let total = match call.end {
            End::Done(millis) => format!("{millis:.2}"),
            End::Failed => "failed".to_owned(),
        };
        let phase = |column: &&str| match call.phases.iter().find(|(name, _)| name == column) {
            Some((_, millis)) => format!("{millis:.2}"),
            None => "-".to_owned(),
        };
        rows.push([call.time.clone(), verb, container, total].into_iter().chain(used.iter().map(phase)).collect());
    }
    columns::render(&rows)
}

#[cfg(test)]
#[path = "timings/tests.rs"]
mod tests;
