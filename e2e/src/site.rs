//! A host whose objects are in an etcd.

use std::path::Path;

use serde_json::{Value, json};

use crate::dual_stack;
use crate::etcd::{Etcd, Options};
use crate::host::Host;
use crate::proxy::{Faults, Proxy};

/// One host, `node-1`, on an etcd of its own.
pub struct Site {
    // Before the network it is on.
    /// The host.
    pub host: Host,
    /// Where its objects are.
    pub etcd: Etcd,
}

impl Site {
    /// Starts both, and stores what a node agent would.
    pub fn start() -> Site {
        Site::with(Options::default())
    }

    /// The same with an etcd of this kind.
    pub fn with(options: Options) -> Site {
        let etcd = Etcd::start(options);
        etcd.seed(&["node-1"]);
        Site { host: etcd.host(), etcd }
    }

    /// The configuration of most tests, for this host.
    pub fn netconf(&self) -> Value {
        Site::configure(&self.etcd, "node-1")
    }

    /// The configuration of most tests, for a host on an etcd.
    pub(crate) fn configure(etcd: &Etcd, node: &str) -> Value {
        let mut netconf = etcd.configured(dual_stack());
        netconf["nodename"] = json!(node);
        netconf["nodename_file_optional"] = json!(true);
        netconf
    }

    /// The configuration with a proxy in place of the etcd.
    pub fn through(&self, proxy: &Proxy<'_>) -> Value {
        let mut netconf = self.netconf();
        netconf["etcd_endpoints"] = json!(proxy.endpoint());
        netconf
    }

    /// A proxy before the etcd; `program` is the executable `proxy`.
    pub fn proxy(&self, program: &Path, faults: Faults) -> Proxy<'_> {
        self.etcd.proxy(program, 0, faults)
    }

    /// Asserts that nothing is left of any container.
    #[track_caller]
    pub fn assert_nothing_left(&self) {
        self.etcd.assert_nothing_left(&[&self.host]);
    }
}
