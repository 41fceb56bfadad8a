//! Connections that end under a request: it was carried out or it was not, and the call cannot know.

use e2e::{Faults, Place};
use serde_json::json;

use crate::{Cluster, executing};

/// As far as a connection of an ADD or a DEL gets.
const REQUESTS: usize = 6;

fn at(request: usize, carried_out: bool, once: bool) -> Faults {
    let request = Some(request);
    match carried_out {
        true => Faults { cut: request, once, ..Faults::default() },
        false => Faults { drop: request, once, ..Faults::default() },
    }
}

#[track_caller]
fn lose(carried_out: bool, once: bool, exec: bool) {
    let cluster = Cluster::plain();
    // One container stays: its address must never be given again.
    let other = cluster.container();
    let taken = cluster.add(&other, &cluster.good()).run().addresses();
    let mut hits = 0;
    for request in 1..=REQUESTS {
        let (container, faults) = (cluster.container(), at(request, carried_out, once));
        let what = format!("{faults:?}, exec {exec}");
        let through = |endpoint: &str| {
            let changes = json!({ "etcd_endpoints": endpoint, "timeout_seconds": if once { 30 } else { 1 } });
            executing(&cluster.with(changes), exec)
        };
        let proxy = cluster.proxy(0, faults);
        let answer = cluster.add(&container, &through(proxy.endpoint())).run();
        hits += usize::from(proxy.requests().iter().any(|&requests| requests >= request));
        if answer.exit == Some(0) {
            let addresses = answer.addresses();
            assert!(addresses.len() == 2 && addresses.iter().all(|address| !taken.contains(address)), "{what}");
        } else {
            assert!(!once, "{what}: {answer:#?}");
            answer.error();
            assert_eq!((container.links().len(), cluster.host.added_links().len()), (1, 1), "{what}");
        }
        cluster.etcd.assert_audit_clean();
        if once {
            let proxy = cluster.proxy(0, faults);
            cluster.del(&container, &through(proxy.endpoint())).run().result();
        } else {
            // It may fail, but not do harm; the next one, when all is well again, finishes it.
            cluster.del(&container, &through(proxy.endpoint())).run();
            cluster.del(&container, &cluster.good()).run().result();
        }
        let stored = cluster.etcd.stored();
        assert_eq!(
            (stored.allocated(), stored.handles(), stored.endpoints().len()),
            (2, vec![other.handle().as_str()], 1),
            "{what}"
        );
        assert_eq!((container.links().len(), cluster.host.added_links().len()), (1, 1), "{what}");
        cluster.etcd.assert_audit_clean();
    }
    assert!(hits >= 3, "only {hits} of the faults have happened");
    cluster.del(&other, &cluster.good()).run().result();
    cluster.assert_works_with(&cluster.good());
}

#[test]
fn an_answer_is_lost_once() {
    lose(true, true, false);
}

#[test]
fn an_answer_is_lost_once_with_an_executed_ipam_plugin() {
    lose(true, true, true);
}

#[test]
fn a_request_is_lost_once() {
    lose(false, true, false);
}

#[test]
fn a_request_is_lost_once_with_an_executed_ipam_plugin() {
    lose(false, true, true);
}

#[test]
fn answers_are_lost_on_every_connection() {
    lose(true, false, false);
}

#[test]
fn requests_are_lost_on_every_connection() {
    lose(false, false, false);
}
