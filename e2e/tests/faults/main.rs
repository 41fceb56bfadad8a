//! What goes wrong on a host while calls are at work: the answer is an error that says what to do, and nothing is left.

mod disk;
mod input;
mod interfaces;
mod lock;
mod signals;

use std::path::Path;

use e2e::{CniError, Faults, Host, Place, Proxy, Site, dual_stack};
use serde_json::Value;

#[track_caller]
fn assert_words(error: &CniError, words: &[&str]) {
    for word in words {
        assert!(error.text.contains(word), "{word:?} is missing: {error:#?}");
    }
}

/// The configuration of most tests, with some keys changed.
fn with(changes: Value) -> Value {
    let mut netconf = dual_stack();
    for (key, value) in changes.as_object().expect("keys and values") {
        netconf[key] = value.clone();
    }
    netconf
}

/// A host that has blocks already: an ADD asks the etcd four times, to read, for its blocks, to commit the addresses, and
/// to commit the endpoint.
fn site() -> Site {
    let site = Site::start();
    let container = site.host.container("first");
    container.add(&site.netconf()).run().result();
    container.del(&site.netconf()).run().result();
    site
}

/// A proxy that makes a fault once.
fn proxy(site: &Site, faults: Faults) -> Proxy<'_> {
    site.proxy(Path::new(env!("CARGO_BIN_EXE_proxy")), Faults { once: true, ..faults })
}

/// The folder of a host in which its plugins are, with one more: a script.
fn plugins(host: &Host, name: &str, script: &str) -> String {
    let folder = host.folder().join("plugins");
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join(name);
    std::fs::write(&path, format!("#!/bin/sh\nhere=${{0%/*}}\n{script}\n")).unwrap();
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    host.run("test", &["-x", path.to_str().expect("paths of tests are text")]);
    folder.to_str().expect("paths of tests are text").to_owned()
}
