//! No endpoint answers.

use e2e::{Faults, Place};
use nix::sys::signal::Signal;
use serde_json::json;

use crate::{Cluster, executing, unchanged};

/// Nothing listens there.
const CLOSED: &str = "http://172.31.0.1:1";
/// No host has this address.
const NOBODY: &str = "http://172.31.0.99:2379";

const BLACKHOLE: Faults = Faults { blackhole: true, ..NONE };
const NONE: Faults = Faults {
    delay: std::time::Duration::ZERO,
    cut: None,
    drop: None,
    late: None,
    hold: None,
    mute: None,
    once: false,
    blackhole: false,
};

#[test]
fn connections_are_refused() {
    let cluster = Cluster::plain();
    let netconf = cluster.with(json!({ "etcd_endpoints": CLOSED, "timeout_seconds": 1 }));
    let words = [CLOSED, "Connection refused", "(attempts: ", "gave up after", "check etcd_endpoints"];
    let error = cluster.assert_refused(&netconf, unchanged, &words);
    assert!(error.text.contains("gave up after 1.0s"), "{error:?}");
}

#[test]
fn a_server_that_says_nothing() {
    let cluster = Cluster::plain();
    let blackhole = cluster.proxy(0, BLACKHOLE);
    let netconf = cluster.with(json!({ "etcd_endpoints": blackhole.endpoint(), "timeout_seconds": 1 }));
    let error = cluster.assert_refused(&netconf, unchanged, &["timed out after", blackhole.endpoint(), "to read"]);
    assert_eq!(error.code, 11);
    let said = "timed out after 1.0s while waiting for the datastore etcd at ";
    assert!(error.text.starts_with(said) && error.text.contains("timeout_seconds bounds a call"), "{error:?}");
}

#[test]
fn each_of_three_dead_endpoints_is_named() {
    let cluster = Cluster::plain();
    let blackhole = cluster.proxy(0, BLACKHOLE);
    let all = format!("{CLOSED},{},{NOBODY}", blackhole.endpoint());
    let netconf = cluster.with(json!({ "etcd_endpoints": all, "timeout_seconds": 3 }));
    let words = [CLOSED, "Connection refused", blackhole.endpoint(), NOBODY];
    let error = cluster.assert_add_refused(&netconf, unchanged, &words);
    assert!(error.text.contains("after 3.0s") && error.text.contains("(attempts: "), "{error:?}");
    assert!(error.text.contains(&format!("{}: no answer", blackhole.endpoint())), "{error:?}");
    cluster.assert_works_with(&cluster.good());
}

#[test]
fn none_of_three_accepts_connections() {
    let cluster = Cluster::plain();
    let ports = [1, 2, 3].map(|port| format!("http://172.31.0.1:{port}"));
    let netconf = cluster.with(json!({ "etcd_endpoints": ports.join(","), "timeout_seconds": 1 }));
    let refused = ports.map(|url| format!("{url}: Connection refused"));
    let [a, b, c] = &refused;
    cluster.assert_refused(&netconf, unchanged, &[a, b, c, "(attempts: ", "gave up after", "check etcd_endpoints"]);
}

/// The deadline is far away: only the signal can be what ends the call.
#[test]
fn a_call_that_waits_for_etcd_can_be_terminated() {
    let cluster = Cluster::plain();
    for exec in [false, true] {
        let blackhole = cluster.proxy(0, BLACKHOLE);
        let changes = json!({ "etcd_endpoints": blackhole.endpoint(), "timeout_seconds": 3600 });
        let (container, netconf) = (cluster.container(), executing(&cluster.with(changes), exec));
        let add = cluster.add(&container, &netconf).start();
        blackhole.wait_for_connections(1);
        add.signal(Signal::SIGTERM);
        let error = add.finish().error();
        assert!(error.code == 11 && error.text.contains("the call was ended by SIGTERM"), "{error:?}");

        // A DEL has nothing to undo: the next one goes on.
        let del = cluster.del(&container, &netconf).start();
        blackhole.wait_for_connections(2);
        del.signal(Signal::SIGTERM);
        let error = del.finish().error();
        assert!(error.code == 11 && error.text.contains("the call was ended by SIGTERM"), "{error:?}");
        assert_eq!(container.links(), ["lo"]);
        cluster.etcd.assert_nothing_left(&[&cluster.host]);
    }
    cluster.assert_works_with(&cluster.good());
}

/// Looking up a name is done by a thread that nobody can stop: the process must not wait for it.
#[test]
fn a_name_server_that_says_nothing_is_not_waited_for() {
    let cluster = Cluster::plain();
    let host = &cluster.host;
    host.run("iptables", &["-A", "INPUT", "-p", "udp", "--dport", "53", "-j", "DROP"]);
    host.set_resolver("nameserver 127.0.0.1\noptions timeout:60 attempts:1\n");
    let changes = json!({ "etcd_endpoints": "http://etcd.example:2379", "timeout_seconds": 1 });
    let container = cluster.container();
    for call in [cluster.add(&container, &cluster.with(changes.clone())), cluster.test(&cluster.with(changes))] {
        let answer = call.run();
        let error = answer.error();
        assert!(error.text.contains("http://etcd.example:2379") && error.text.contains("gave up after"), "{error:?}");
        assert!(answer.wall < std::time::Duration::from_secs(30), "it waited for the name server: {answer:#?}");
    }
    cluster.etcd.assert_nothing_left(&[host]);
}
