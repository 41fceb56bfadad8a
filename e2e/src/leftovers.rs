//! What calls leave behind.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::control_plane::ControlPlane;
use crate::etcd::Etcd;
use crate::host::Host;
use crate::place::Place;
use crate::store::Stored;

/// The links hosts have of their own: every one a loopback and an uplink, and those that reach an etcd `lan`.
const OWN_LINKS: [&str; 4] = ["lo", "uplink", "wire", "lan"];

impl Host {
    /// The links that were added to the host.
    pub fn added_links(&self) -> Vec<String> {
        self.links().into_iter().filter(|link| !OWN_LINKS.contains(&link.as_str())).collect()
    }

    /// What should be gone from the kernel when no container is connected: links, and routes to containers.
    pub(crate) fn kernel_leftovers(&self) -> Vec<String> {
        let mut left: Vec<String> = self.added_links().into_iter().map(|link| format!("link {link}")).collect();
        for family in ["-4", "-6"] {
            let routes = self.ip(&format!("{family} route show"));
            let added =
                routes.lines().filter(|line| !OWN_LINKS.iter().any(|link| line.contains(&format!("dev {link}"))));
            left.extend(added.map(|line| format!("route {line}")));
        }
        left
    }

    /// Everything that should be gone when no container is connected: links, routes to containers, allocated
    /// addresses, handles, endpoints, and contradictions between stored objects. One line each.
    pub fn leftovers(&self) -> Vec<String> {
        let mut left = self.kernel_leftovers();
        left.extend(self.stored().leftovers());
        left.extend(self.audit().into_iter().map(|finding| format!("audit: {finding}")));
        left
    }

    /// The rules of address translation that name something, such as a port, of either family.
    pub fn rules_with(&self, what: &str) -> Vec<String> {
        let rules = ["iptables", "ip6tables"].map(|program| self.run(program, &["-t", "nat", "-S"]));
        rules.concat().lines().filter(|rule| rule.contains(what)).map(str::to_owned).collect()
    }

    /// Asserts that there are no [`Host::leftovers`].
    #[track_caller]
    pub fn assert_nothing_left(&self) {
        assert_none(&self.leftovers());
    }

    /// Asserts that the stored objects do not contradict each other.
    #[track_caller]
    pub fn assert_audit_clean(&self) {
        assert_agreement(&self.audit());
    }
}

impl Etcd {
    /// What [`Host::leftovers`] are where the objects are stored in etcd and the containers were connected on `hosts`.
    /// The hosts' empty blocks and their claims to them are none: they stay on purpose.
    pub fn leftovers(&self, hosts: &[&Host]) -> Vec<String> {
        let mut left: Vec<String> = hosts.iter().flat_map(|host| host.kernel_leftovers()).collect();
        left.extend(self.stored().leftovers());
        left.extend(self.audit().into_iter().map(|finding| format!("audit: {finding}")));
        left
    }

    /// Asserts that there are no [`Etcd::leftovers`].
    #[track_caller]
    pub fn assert_nothing_left(&self, hosts: &[&Host]) {
        assert_none(&self.leftovers(hosts));
    }

    /// Asserts that the stored objects do not contradict each other.
    #[track_caller]
    pub fn assert_audit_clean(&self) {
        assert_agreement(&self.audit());
    }
}

impl ControlPlane {
    /// What [`Etcd::leftovers`] are where the objects are stored in the Kubernetes API.
    pub fn leftovers(&self, hosts: &[&Host]) -> Vec<String> {
        let mut left: Vec<String> = hosts.iter().flat_map(|host| host.kernel_leftovers()).collect();
        let (stored, findings) = self.stored_and_contradictions();
        left.extend(stored.leftovers());
        left.extend(findings.into_iter().map(|finding| format!("audit: {finding}")));
        left
    }

    /// Asserts that there are no [`ControlPlane::leftovers`].
    #[track_caller]
    pub fn assert_nothing_left(&self, hosts: &[&Host]) {
        assert_none(&self.leftovers(hosts));
    }

    /// Asserts that the stored objects do not contradict each other.
    #[track_caller]
    pub fn assert_audit_clean(&self) {
        assert_agreement(&self.contradictions());
    }
}

impl Stored {
    /// What is stored about containers: allocated addresses, handles, endpoints. One line each.
    pub(crate) fn leftovers(&self) -> Vec<String> {
        let mut left = Vec::new();
        for (block, object) in self.blocks() {
            if object["allocations"].as_array().is_some_and(|list| list.iter().any(|entry| !entry.is_null())) {
                left.push(format!("addresses in {block}: {object}"));
            }
        }
        left.extend(self.handles().into_iter().map(|handle| format!("handle {handle}")));
        left.extend(self.endpoints().into_iter().map(|endpoint| format!("endpoint {endpoint}")));
        left
    }
}

#[track_caller]
fn assert_none(left: &[String]) {
    assert!(left.is_empty(), "left behind:\n{}", left.join("\n"));
}

/// Looks once more when a store is given up, so that every test that uses one ends with an audit.
#[derive(Default)]
pub(crate) struct LastAudit {
    waived: AtomicBool,
}

impl LastAudit {
    pub(crate) fn waive(&self) {
        self.waived.store(true, Ordering::Relaxed);
    }

    /// What the audit finds; nothing where it was waived, or where the test has failed already.
    pub(crate) fn findings(&self, audit: impl FnOnce() -> Vec<String>) -> Vec<String> {
        if self.waived.load(Ordering::Relaxed) || std::thread::panicking() { Vec::new() } else { audit() }
    }
}

#[track_caller]
pub(crate) fn assert_agreement(findings: &[String]) {
    assert!(findings.is_empty(), "audit:\n{}", findings.join("\n"));
}
