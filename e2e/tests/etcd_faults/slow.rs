//! Answers that are late.

use std::time::Duration;

use e2e::{Faults, Place};
use serde_json::json;

use crate::{Cluster, executing};

fn late(millis: u64) -> Faults {
    Faults { delay: Duration::from_millis(millis), ..Faults::default() }
}

#[test]
fn late_answers_are_waited_for() {
    let cluster = Cluster::plain();
    let proxy = cluster.proxy(0, late(100));
    cluster.assert_works_with(&cluster.with(json!({ "etcd_endpoints": proxy.endpoint() })));
}

#[test]
fn very_late_answers_are_waited_for() {
    let cluster = Cluster::plain();
    let proxy = cluster.proxy(0, late(700));
    let netconf = cluster.with(json!({ "etcd_endpoints": proxy.endpoint() }));
    let container = cluster.container();
    assert_eq!(cluster.add(&container, &netconf).run().addresses().len(), 2);
    cluster.del(&container, &netconf).run().result();
    cluster.etcd.assert_nothing_left(&[&cluster.host]);
}

/// The time is over at one step after the other, and undoing has a time of its own.
#[test]
fn what_comes_too_late_is_undone() {
    let cluster = Cluster::plain();
    cluster.assert_works_with(&cluster.good());
    let proxy = cluster.proxy(0, late(700));
    for (seconds, exec) in [(1, false), (2, false), (3, false), (1, true)] {
        let changes = json!({ "etcd_endpoints": proxy.endpoint(), "timeout_seconds": seconds });
        let (container, netconf) = (cluster.container(), executing(&cluster.with(changes), exec));
        let answer = cluster.add(&container, &netconf).run();
        if seconds < 3 || answer.exit != Some(0) {
            let error = answer.error();
            let after = format!("after {seconds}.0s");
            let named = error.text.contains(&after) && error.text.contains(proxy.endpoint());
            assert!(error.code == 11 && named, "{error:?}");
            let step = error.text.contains(" to read ") || error.text.contains(" to write ");
            let about = error.text.contains("/calico/ipam/v2/") || error.text.contains("WorkloadEndpoint(");
            assert!(step && about, "the step and what it is about: {error:?}");
        } else {
            cluster.del(&container, &cluster.good()).run().result();
        }
        assert_eq!(container.links(), ["lo"]);
        cluster.etcd.assert_nothing_left(&[&cluster.host]);
    }
    cluster.assert_works_with(&cluster.good());
}
