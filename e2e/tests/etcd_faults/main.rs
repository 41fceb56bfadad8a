//! Whatever is wrong with etcd, a call answers with one error that says what to do, and leaves nothing behind.

mod certificates;
mod lost;
mod members;
mod release;
mod slow;
mod stored;
mod unreachable;
mod users;

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use e2e::{Call, CniError, Container, Etcd, Faults, Host, Options, Place, Proxy, changed};
use serde_json::{Value, json};

/// This crate's executable `proxy`.
const PROXY: &str = env!("CARGO_BIN_EXE_proxy");

/// An etcd that plugins can use, and one host that does.
struct Cluster {
    // Before the network they are on.
    host: Host,
    etcd: Etcd,
    containers: AtomicU32,
}

impl Cluster {
    fn start(options: Options) -> Cluster {
        let etcd = Etcd::start(options);
        etcd.seed(&["node-1"]);
        Cluster { host: etcd.host(), etcd, containers: AtomicU32::new(0) }
    }

    /// One member, open to everybody.
    fn plain() -> Cluster {
        Cluster::start(Options::default())
    }

    /// A configuration that works.
    fn good(&self) -> Value {
        self.etcd.configured(json!({
            "cniVersion": "1.0.0",
            "name": "net1",
            "type": "calico",
            "nodename": "node-1",
            "nodename_file_optional": true,
            "ipam": { "type": "calico-ipam", "assign_ipv4": "true", "assign_ipv6": "true" },
        }))
    }

    /// The configuration that works, with some keys changed.
    fn with(&self, changes: Value) -> Value {
        changed(self.good(), changes)
    }

    fn proxy(&self, member: usize, faults: Faults) -> Proxy<'_> {
        self.etcd.proxy(Path::new(PROXY), member, faults)
    }

    /// A container of its own.
    fn container(&self) -> Container<'_> {
        self.host.container(&format!("c{}", self.containers.fetch_add(1, Ordering::Relaxed)))
    }

    /// Logs in, where somebody must.
    fn logged_in(&self, call: Call) -> Call {
        self.etcd.env().iter().fold(call, |call, (name, value)| call.env(name, value))
    }

    fn add(&self, container: &Container<'_>, netconf: &Value) -> Call {
        self.logged_in(container.add(netconf))
    }

    fn del(&self, container: &Container<'_>, netconf: &Value) -> Call {
        self.logged_in(container.del(netconf))
    }

    /// `calico -t`.
    fn test(&self, netconf: &Value) -> Call {
        self.logged_in(self.host.call("calico", "ADD")).argument("-t").stdin(&netconf.to_string())
    }

    /// A container can be connected with this configuration, and leaves nothing.
    #[track_caller]
    fn assert_works_with(&self, netconf: &Value) {
        self.test(netconf).run().result();
        for exec in [false, true] {
            let (container, netconf) = (self.container(), executing(netconf, exec));
            assert_eq!(self.add(&container, &netconf).run().addresses().len(), 2);
            self.etcd.assert_audit_clean();
            self.del(&container, &netconf).run().result();
            assert_eq!(container.links(), ["lo"]);
        }
        self.etcd.assert_nothing_left(&[&self.host]);
    }

    /// Every command fails with all these words and stores nothing; ADD leaves nothing in the kernel, DEL cleans it.
    /// Everything works when the cause is gone. `spoil` changes the calls, `netconf` is what they are given. The answer is
    /// ADD's error.
    #[track_caller]
    fn assert_refused(&self, netconf: &Value, spoil: impl Fn(Call) -> Call, words: &[&str]) -> CniError {
        let connected = self.container();
        self.add(&connected, &self.good()).run().result();
        let stored = self.etcd.dump();

        let error = self.assert_add_refused(netconf, &spoil, words);
        let test = spoil(self.test(netconf)).run().error();
        assert!(test.code == 100 && test.text.starts_with("data store connection failed\n"), "{test:?}");
        test.assert_words(words);
        let del = spoil(self.del(&connected, netconf)).run().error();
        del.assert_words(words);
        assert_eq!(connected.links(), ["lo"], "DEL cleans the kernel: {del:?}");
        assert!(self.host.added_links().is_empty(), "DEL cleans the kernel: {del:?}");
        assert_eq!(self.etcd.dump(), stored, "nothing is written");

        self.del(&connected, &self.good()).run().result();
        self.assert_works_with(&self.good());
        error
    }

    /// ADD fails with all these words, whoever allocates the addresses, and leaves nothing in the kernel.
    #[track_caller]
    fn assert_add_refused(&self, netconf: &Value, spoil: impl Fn(Call) -> Call, words: &[&str]) -> CniError {
        let links = self.host.added_links();
        let refused = [true, false].map(|exec| {
            let container = self.container();
            let error = spoil(self.add(&container, &executing(netconf, exec))).run().error();
            error.assert_words(words);
            assert_eq!(container.links(), ["lo"], "{error:?}");
            error
        });
        assert_eq!(self.host.added_links(), links);
        let [_, in_process] = refused;
        in_process
    }
}

/// The configuration, with `calico-ipam` executed or not.
fn executing(netconf: &Value, exec: bool) -> Value {
    let mut netconf = netconf.clone();
    netconf["ipam"]["exec"] = json!(exec);
    netconf
}

/// Leaves a call as it is.
fn unchanged(call: Call) -> Call {
    call
}
