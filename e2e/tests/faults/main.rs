//! What goes wrong on a host while calls are at work: the answer is an error that says what to do, and nothing is left.

mod disk;
mod input;
mod interfaces;
mod lock;
mod signals;

use std::path::Path;

use e2e::{Faults, Host, Place, Proxy, Site, changed, dual_stack};
use serde_json::Value;

/// The configuration of most tests, with some keys changed.
fn with(changes: Value) -> Value {
    changed(dual_stack(), changes)
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
