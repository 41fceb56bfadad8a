//! Members that are gone while others are there, and members that come back.

use std::time::Duration;

use e2e::{Answer, Container, Faults, Options, Running};
use serde_json::json;

use crate::{Cluster, executing};

const THREE: Options = Options { release: e2e::Release::V3_6, members: 3, tls: false, expired: false, auth: false };

/// How many ADDs are under way when something happens.
const ADDS: usize = 20;

/// All orders in which one is first, second or last.
fn rotated(endpoints: &[String]) -> Vec<String> {
    (0..endpoints.len()).map(|n| [&endpoints[n..], &endpoints[..n]].concat().join(",")).collect()
}

fn endpoints(cluster: &Cluster) -> Vec<String> {
    (0..3).map(|member| cluster.etcd.endpoint(member)).collect()
}

/// Which member is tried first follows from a process's ID, so several calls are made.
#[track_caller]
fn assert_works_in_any_order(cluster: &Cluster, endpoints: &[String], runs: usize) {
    for endpoints in rotated(endpoints).iter().cycle().take(runs) {
        let (container, netconf) = (cluster.container(), cluster.with(json!({ "etcd_endpoints": endpoints })));
        assert_eq!(cluster.add(&container, &netconf).run().addresses().len(), 2);
        cluster.del(&container, &netconf).run().result();
    }
    cluster.etcd.assert_nothing_left(&[&cluster.host]);
}

#[test]
fn one_of_three_is_killed() {
    let cluster = Cluster::start(THREE);
    for member in 0..3 {
        cluster.etcd.kill(member);
        cluster.etcd.wait_until_ready();
        assert_works_in_any_order(&cluster, &endpoints(&cluster), 6);
        cluster.etcd.restart(member);
    }
}

#[test]
fn one_of_three_is_paused() {
    let cluster = Cluster::start(THREE);
    let follower = (cluster.etcd.leader() + 1) % 3;
    cluster.etcd.pause(follower);
    cluster.etcd.wait_until_ready();
    assert_works_in_any_order(&cluster, &endpoints(&cluster), 4);
    cluster.etcd.resume(follower);
    cluster.etcd.wait_until_ready();
    cluster.assert_works_with(&cluster.good());
}

#[test]
fn one_of_three_says_nothing() {
    let cluster = Cluster::start(THREE);
    let blackhole = cluster.proxy(0, Faults { blackhole: true, ..Faults::default() });
    let mut endpoints = endpoints(&cluster);
    endpoints[0] = blackhole.endpoint().to_owned();
    assert_works_in_any_order(&cluster, &endpoints, 4);
    // A call that begins with another member does not try it.
    let mut runs = 4;
    while blackhole.requests().is_empty() {
        assert!(runs < 100, "no call has tried it");
        assert_works_in_any_order(&cluster, &endpoints, 1);
        runs += 1;
    }
}

#[test]
fn the_leader_is_killed_just_before_an_add() {
    let cluster = Cluster::start(THREE);
    for exec in [false, true] {
        let leader = cluster.etcd.leader();
        cluster.etcd.kill(leader);
        let (container, netconf) = (cluster.container(), executing(&cluster.good(), exec));
        assert_eq!(cluster.add(&container, &netconf).run().addresses().len(), 2);
        cluster.del(&container, &netconf).run().result();
        cluster.etcd.assert_nothing_left(&[&cluster.host]);
        cluster.etcd.restart(leader);
    }
}

/// Starts many ADDs, lets something happen, and looks that each of them has done all or nothing.
#[track_caller]
fn assert_all_or_nothing(cluster: &Cluster, happening: impl FnOnce()) {
    let containers: Vec<Container<'_>> = (0..ADDS).map(|_| cluster.container()).collect();
    let running: Vec<Running> = containers.iter().map(|c| cluster.add(c, &cluster.good()).start()).collect();
    happening();
    let answers: Vec<Answer> = running.into_iter().map(Running::finish).collect();
    let connected: Vec<&Container<'_>> =
        containers.iter().zip(&answers).filter(|(_, answer)| answer.exit == Some(0)).map(|(c, _)| c).collect();
    for answer in answers.iter().filter(|answer| answer.exit != Some(0)) {
        answer.error();
    }
    e2e::note(&format!("{} of {ADDS} ADDs succeeded", connected.len()));
    cluster.etcd.wait_until_ready();
    let stored = cluster.etcd.stored();
    let found =
        (stored.allocated(), stored.handles().len(), stored.endpoints().len(), cluster.host.added_links().len());
    let n = connected.len();
    assert_eq!(found, (2 * n, n, n, n), "addresses, handles, endpoints and links: {answers:#?}");
    cluster.etcd.assert_audit_clean();
    for container in &containers {
        cluster.del(container, &cluster.good()).run().result();
    }
    cluster.etcd.assert_nothing_left(&[&cluster.host]);
}

#[test]
fn the_only_member_is_restarted_under_adds() {
    let cluster = Cluster::plain();
    for millis in [0, 40, 120] {
        assert_all_or_nothing(&cluster, || {
            std::thread::sleep(Duration::from_millis(millis));
            cluster.etcd.restart(0);
        });
    }
    cluster.assert_works_with(&cluster.good());
}

#[test]
fn the_leader_is_killed_under_adds() {
    let cluster = Cluster::start(THREE);
    let leader = cluster.etcd.leader();
    assert_all_or_nothing(&cluster, || cluster.etcd.kill(leader));
    cluster.assert_works_with(&cluster.good());
}
