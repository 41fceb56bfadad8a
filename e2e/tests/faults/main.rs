//! What goes wrong on a host while calls are at work: the answer is an error that says what to do, and nothing is left.

mod disk;
mod input;
mod interfaces;
mod lock;
mod signals;

use std::path::Path;

use e2e::{CniError, Etcd, Faults, Host, Options, Place, Proxy, dual_stack};
use serde_json::{Value, json};

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

/// An etcd, and a host that has blocks there: an ADD asks it four times, to read, for its blocks, to commit the
/// addresses, and to commit the endpoint.
struct Site {
    // Before the network they are on.
    host: Host,
    etcd: Etcd,
}

impl Site {
    fn start() -> Site {
        let etcd = Etcd::start(Options::default());
        etcd.seed(&["node-1"]);
        let site = Site { host: etcd.host(), etcd };
        let container = site.host.container("first");
        container.add(&site.good()).run().result();
        container.del(&site.good()).run().result();
        site
    }

    fn good(&self) -> Value {
        let mut netconf = self.etcd.configured(dual_stack());
        netconf["nodename_file_optional"] = json!(true);
        netconf
    }

    /// The configuration with a proxy in place of the etcd.
    fn through(&self, proxy: &Proxy<'_>) -> Value {
        let mut netconf = self.good();
        netconf["etcd_endpoints"] = json!(proxy.endpoint());
        netconf
    }

    /// A proxy that makes a fault once.
    fn proxy(&self, faults: Faults) -> Proxy<'_> {
        self.etcd.proxy(Path::new(env!("CARGO_BIN_EXE_proxy")), 0, Faults { once: true, ..faults })
    }

    #[track_caller]
    fn assert_nothing_left(&self) {
        self.etcd.assert_nothing_left(&[&self.host]);
    }
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
