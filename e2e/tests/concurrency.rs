//! Many calls at once on one host, from a store that does not exist yet.

use std::collections::BTreeSet;

use e2e::{Answer, Container, Host, Place, at_once, dual_stack, note};
use serde_json::{Value, json};

const CONTAINERS: usize = 50;

fn fifty_at_once(netconf: &Value) {
    let host = Host::start();
    let containers: Vec<Container<'_>> = (0..CONTAINERS).map(|n| host.container(&format!("c{n}"))).collect();

    let answers = at_once(containers.iter().map(|container| container.add(netconf)));
    let longest = answers.iter().map(|answer| answer.wall).max().unwrap_or_default();
    let addresses: Vec<String> = answers.iter().flat_map(Answer::addresses).collect();
    assert_eq!(addresses.len(), 2 * CONTAINERS);
    assert_eq!(addresses.iter().collect::<BTreeSet<_>>().len(), 2 * CONTAINERS, "an address was given twice");

    let stored = host.stored();
    assert_eq!(stored.allocated(), 2 * CONTAINERS);
    assert_eq!((stored.handles().len(), stored.endpoints().len()), (CONTAINERS, CONTAINERS));
    let blocks: Vec<&str> = stored.blocks().into_keys().collect();
    let of_family = |family: &str| blocks.iter().filter(|path| path.contains(family)).count();
    assert_eq!((of_family("/ipv4/"), of_family("/ipv6/")), (1, 1), "one host needs one block: {blocks:?}");
    assert_eq!(host.added_links().len(), CONTAINERS);
    host.assert_audit_clean();

    let answers = at_once(containers.iter().map(|container| container.del(netconf)));
    for answer in &answers {
        answer.result();
    }
    let longest_del = answers.iter().map(|answer| answer.wall).max().unwrap_or_default();
    note(&format!("{CONTAINERS} at once, exec {}: ADD {longest:.1?}, DEL {longest_del:.1?}", netconf["ipam"]["exec"]));
    host.assert_nothing_left();
}

#[test]
fn fifty_containers_at_once() {
    fifty_at_once(&dual_stack());
}

#[test]
fn fifty_containers_at_once_with_an_executed_ipam_plugin() {
    let mut netconf = dual_stack();
    netconf["ipam"]["exec"] = json!(true);
    fifty_at_once(&netconf);
}

#[test]
fn adds_and_dels_of_different_containers_at_once() {
    let host = Host::start();
    let netconf = dual_stack();
    let containers: Vec<Container<'_>> = (0..20).map(|n| host.container(&format!("c{n}"))).collect();
    let (early, late) = containers.split_at(10);
    for answer in at_once(early.iter().map(|container| container.add(&netconf))) {
        answer.result();
    }
    let mixed = early.iter().zip(late).flat_map(|(old, new)| [old.del(&netconf), new.add(&netconf)]);
    for answer in at_once(mixed) {
        answer.result();
    }
    assert_eq!((host.stored().allocated(), host.added_links().len()), (20, 10));
    host.assert_audit_clean();
    for answer in at_once(late.iter().map(|container| container.del(&netconf))) {
        answer.result();
    }
    host.assert_nothing_left();
}

/// The wait for the host lock has its own bound, and is no part of `timeout_seconds`.
#[test]
fn a_long_wait_for_the_host_lock_is_not_a_timeout() {
    for exec in [false, true] {
        let host = Host::start();
        let mut netconf = dual_stack();
        netconf["ipam"]["exec"] = json!(exec);
        netconf["timeout_seconds"] = json!(3);
        let container = host.container("c1");
        container.add(&netconf).run().result();
        container.del(&netconf).run().result();
        std::thread::scope(|scope| {
            scope.spawn(|| host.run("flock", &["/run/calico/ipam.lock", "sleep", "4.5"]));
            while host.succeeds("flock", &["--nonblock", "/run/calico/ipam.lock", "true"]) {
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
            container.add(&netconf).run().result();
        });
        container.del(&netconf).run().result();
        host.assert_nothing_left();
    }
}

/// CNI forbids it; but a runtime that gave up on one call may send the next.
#[test]
fn two_adds_of_one_container_at_once_leave_it_networked() {
    let host = Host::start();
    let netconf = dual_stack();
    for round in 0..10 {
        let container = host.container(&format!("c{round}"));
        let answers = at_once((0..2).map(|_| container.add(&netconf)));
        assert_eq!(answers[0].addresses(), answers[1].addresses());
        assert!(answers[0].addresses().iter().all(|address| host.ping(address)));
        host.assert_audit_clean();
        container.del(&netconf).run().result();
        host.assert_nothing_left();
    }
}
