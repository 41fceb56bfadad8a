//! The archive.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;

/// Packs a folder, under a name, into a file that must not exist yet. Nobody else may read it: it tells a lot about a cluster.
pub fn pack(folder: &Path, name: &str, path: &Path) -> io::Result<()> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    // Half an archive helps nobody.
    write(folder, name, file).inspect_err(|_| drop(std::fs::remove_file(path)))
}

fn write(folder: &Path, name: &str, file: File) -> io::Result<()> {
    let mut archive = tar::Builder::new(GzEncoder::new(BufWriter::new(file), Compression::default()));
    archive.follow_symlinks(false);
    archive.append_dir_all(name, folder)?;
    archive.into_inner()?.finish()?.flush()
}
