//! Which API group to try first, where none is configured: the one that an earlier process found. It is no more than a guess,
//! since a wrong one shows: then the server is asked.

use std::fs;
use std::path::Path;

use calico_model::kubernetes::Group;

/// Where the group is kept until the host is restarted.
const FILE: &str = "/var/run/calico/cni/api_group";

/// The group that was found last; the usual one where none was.
pub fn first() -> Group {
    let found = fs::read_to_string(FILE).ok().and_then(|text| Group::parse(text.trim()));
    found.unwrap_or(Group::V1)
}

/// Keeps what the server was asked. Best effort: without it, the next process asks, too.
pub fn keep(group: Group) {
    if let Some(folder) = Path::new(FILE).parent() {
        let _ = fs::create_dir_all(folder);
    }
    let _ = fs::write(FILE, group.api_version());
}
