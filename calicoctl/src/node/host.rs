//! The host as a tree of files.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The longest command line that is looked at: what matters is at its beginning.
const LONGEST_COMMAND: u64 = 4096;

/// A host, whose files are below a folder.
#[derive(Debug)]
pub struct Host {
    root: PathBuf,
}

impl Host {
    /// This host.
    pub fn this() -> Host {
        Host::at("/")
    }

    /// A host whose files are below this folder.
    pub fn at(root: impl Into<PathBuf>) -> Host {
        Host { root: root.into() }
    }

    /// Where a file is that the host has at this absolute path.
    pub fn path(&self, absolute: &str) -> PathBuf {
        self.root.join(absolute.trim_start_matches('/'))
    }

    /// The first two arguments of every process.
    ///
    /// # Errors
    /// The processes cannot be listed.
    pub fn processes(&self) -> std::io::Result<Vec<[String; 2]>> {
        let mut processes = Vec::new();
        for entry in std::fs::read_dir(self.path("/proc"))? {
            let entry = entry?;
            if entry.file_name().as_encoded_bytes().iter().all(u8::is_ascii_digit) {
                // It may have ended by now.
                processes.extend(arguments(&entry.path().join("cmdline")).ok());
            }
        }
        Ok(processes)
    }
}

fn arguments(file: &Path) -> std::io::Result<[String; 2]> {
    let mut line = Vec::new();
    File::open(file)?.take(LONGEST_COMMAND).read_to_end(&mut line)?;
    let mut texts = line.split(|byte| *byte == 0).map(|text| String::from_utf8_lossy(text).into_owned());
    Ok([texts.next().unwrap_or_default(), texts.next().unwrap_or_default()])
}
