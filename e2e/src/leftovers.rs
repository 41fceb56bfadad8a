//! What calls leave behind.

use crate::host::Host;
use crate::place::Place;

/// The links every host has.
const OWN_LINKS: [&str; 3] = ["lo", "uplink", "wire"];

impl Host {
    /// The links that were added to the host.
    pub fn added_links(&self) -> Vec<String> {
        self.links().into_iter().filter(|link| !OWN_LINKS.contains(&link.as_str())).collect()
    }

    /// Everything that should be gone when no container is connected: links, routes to containers, allocated
    /// addresses, handles, endpoints, and contradictions between stored objects. One line each.
    pub fn leftovers(&self) -> Vec<String> {
        let mut left: Vec<String> = self.added_links().into_iter().map(|link| format!("link {link}")).collect();
        for family in ["-4", "-6"] {
            let routes = self.ip(&format!("{family} route show"));
            let added =
                routes.lines().filter(|line| !OWN_LINKS.iter().any(|link| line.contains(&format!("dev {link}"))));
            left.extend(added.map(|line| format!("route {line}")));
        }
        let stored = self.stored();
        for (block, object) in stored.blocks() {
            if object["allocations"].as_array().is_some_and(|list| list.iter().any(|entry| !entry.is_null())) {
                left.push(format!("addresses in {block}: {object}"));
            }
        }
        left.extend(stored.handles().into_iter().map(|handle| format!("handle {handle}")));
        left.extend(stored.endpoints().into_iter().map(|endpoint| format!("endpoint {endpoint}")));
        left.extend(self.audit().into_iter().map(|finding| format!("audit: {finding}")));
        left
    }

    /// Asserts that there are no [`Host::leftovers`].
    #[track_caller]
    pub fn assert_nothing_left(&self) {
        let left = self.leftovers();
        assert!(left.is_empty(), "left behind:\n{}", left.join("\n"));
    }

    /// Asserts that the stored objects do not contradict each other.
    #[track_caller]
    pub fn assert_audit_clean(&self) {
        let findings = self.audit();
        assert!(findings.is_empty(), "audit:\n{}", findings.join("\n"));
    }
}
