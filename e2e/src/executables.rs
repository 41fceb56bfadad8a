//! Where the executables under test are, and the tools of the machine.

use std::path::{Path, PathBuf};

/// Where tools are looked for. `PATH` is not enough: that of a person who became root often lacks the `sbin` folders.
pub(crate) const TOOL_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The folder of the executables under test: `bin` in the workspace, where `make build` puts them.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in a workspace").join("bin")
}

/// One of the executables under test.
pub fn executable(name: &str) -> PathBuf {
    let path = folder().join(name);
    assert!(path.is_file(), "{} is absent: run `make build` first", path.display());
    path
}

/// A tool of the machine, by name.
pub fn tool(name: &str) -> PathBuf {
    let found = TOOL_PATH.split(':').map(|folder| Path::new(folder).join(name)).find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("{name} is not installed: run `make deps` first"))
}
