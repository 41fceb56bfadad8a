//! Connections that end under a request: it was carried out or it was not, and the call cannot know.

use e2e::{Faults, Place, until};
use nix::sys::signal::Signal;
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

/// No DEL can know of a request that is still on its way when it comes. What lands later is whole, so that nothing is
/// given twice, and the next DEL finds it.
#[test]
fn a_killed_adds_commit_that_lands_after_its_del_is_found_by_the_next() {
    let cluster = Cluster::plain();
    let other = cluster.container();
    cluster.add(&other, &cluster.good()).run().result();
    // The third request of an ADD commits its addresses.
    let proxy = cluster.proxy(0, Faults { late: Some(3), ..Faults::default() });
    let container = cluster.container();
    let running = cluster.add(&container, &cluster.with(json!({ "etcd_endpoints": proxy.endpoint() }))).start();
    until("the commit is sent", || proxy.requests() == [3]);
    running.signal(Signal::SIGKILL);
    running.finish();
    cluster.del(&container, &cluster.good()).run().result();
    assert_eq!(cluster.etcd.stored().handles(), [other.handle().as_str()]);

    proxy.release();
    until("the commit lands", || cluster.etcd.stored().handles().contains(&container.handle().as_str()));
    let findings = cluster.etcd.audit();
    assert!(
        findings.len() == 2 && findings.iter().all(|it| it.ends_with("which has no endpoint with it")),
        "{findings:?}"
    );
    let next = cluster.container();
    let addresses = cluster.add(&next, &cluster.good()).run().addresses();
    assert_eq!((addresses.len(), cluster.etcd.stored().allocated()), (2, 6), "an address was given twice");
    for container in [&container, &next, &other] {
        cluster.del(container, &cluster.good()).run().result();
    }
    cluster.etcd.assert_nothing_left(&[&cluster.host]);
}
