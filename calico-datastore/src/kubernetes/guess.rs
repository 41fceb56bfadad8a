//! Which API group to try first, where none is configured: the one that an earlier process found. It is no more than a guess,
//! since a wrong one shows: then the server is asked.

use std::fs;
use std::path::Path;
use std::time::Duration;

use calico_model::kubernetes::Group;

/// How long a group counts that was found: a cluster may get the other one, and where both are there, only asking tells which is
/// meant.
const AGE: Duration = Duration::from_secs(60 * 60);

/// Where the group is kept.
const FILE: &str = "/var/run/calico/cni/api_group";

/// The group that was found last; the usual one where none was.
pub fn first() -> Group {
    let age = fs::metadata(FILE).and_then(|known| known.modified()).ok().and_then(|written| written.elapsed().ok());
    let known = age.filter(|age| *age < AGE).and_then(|_| fs::read_to_string(FILE).ok());
    known.and_then(|text| Group::parse(text.trim())).unwrap_or(Group::V1)
}

/// Keeps what the server was asked. Best effort: without it, the next process asks, too.
pub fn keep(group: Group) {
    if let Some(folder) = Path::new(FILE).parent() {
        let _ = fs::create_dir_all(folder);
    }
    let _ = fs::write(FILE, group.api_version());
}
