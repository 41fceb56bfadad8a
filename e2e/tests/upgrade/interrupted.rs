//! Upgrades that are killed, must wait, or cannot be completed for now.

use std::fs::OpenOptions;
use std::time::Duration;

use e2e::{ApiGroup, ControlPlane, Random, note, until};
use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::Signal;
use serde_json::json;

use crate::node::{NODE, Networked, Node};

/// Kills that come before plugins must wait, and as many that come while addresses are taken over.
const KILLS: usize = 3;

/// At any time each pod's address has its file still, or is Calico's; and a closed datastore says for whom.
#[track_caller]
fn assert_nothing_lost(node: &Node<'_>, pods: &[Networked]) {
    let (files, assigned) = (node.files(), node.assigned());
    for networked in pods {
        let handle = format!("k8s-pod-network.{}", networked.container);
        for address in &networked.addresses {
            let is_assigned = assigned.get(address).is_some_and(|(holder, _)| *holder == handle);
            assert!(files.contains(address) || is_assigned, "{address}: {files:?} {assigned:?}");
        }
    }
    let (ready, nodes) = node.gate();
    assert_eq!(nodes.as_deref(), (!ready).then_some(NODE));
    assert!(ready || node.may_be_closed());
}

#[test]
fn an_upgrade_may_be_killed() {
    let plane = ControlPlane::shared(ApiGroup::Crd);
    let node = Node::start(&plane);
    let pods: Vec<Networked> = (0..12).map(|number| node.pod(&format!("web-{number}"))).collect();
    node.call_host_local("ADD", "gone-sandbox");
    let files = node.files().len();
    let mut random = Random::for_test("an_upgrade_may_be_killed");
    for early in [true, false] {
        for _ in 0..KILLS {
            let upgrade = node.start_upgrade();
            let limit = if early {
                Duration::from_millis(200)
            } else {
                upgrade.wait_for("waiting for calls that are under way");
                // It may be done already.
                until("it has the lock", || node.is_locked() || !node.addresses_folder().exists());
                Duration::from_millis(150)
            };
            // Not to wait for anything: to end it anywhere.
            std::thread::sleep(random.below(limit));
            upgrade.kill();
            note(&format!("killed with {} of {} files left", node.files().len(), files));
            assert_nothing_lost(&node, &pods);
        }
    }
    node.upgrade();
    node.assert_upgraded(&pods);
}

#[test]
fn host_locals_lock_is_waited_for() {
    let plane = ControlPlane::shared(ApiGroup::Crd);
    let node = Node::start(&plane);
    let pods = [node.pod("web-0")];
    let files = node.files();
    let lock = || {
        let file = OpenOptions::new().read(true).open(node.addresses_folder().join("lock")).unwrap();
        Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, errno)| errno).unwrap()
    };
    // As host-local does.
    let held = lock();
    let upgrade = node.start_upgrade();
    until("it waits for the lock", || upgrade.waits_for_lock());
    // And nobody else for that.
    assert_eq!((node.files(), node.executables().len(), node.gate()), (files, 4, (true, None)));
    // What host-local does in between counts.
    plane.create_pod(NODE, "default", "late", &json!({}));
    std::fs::write(node.addresses_folder().join("10.65.7.77"), "late-sandbox\r\neth0").unwrap();
    node.report("late", &["10.65.7.77".to_owned()]);
    drop(held);
    upgrade.finish(0);
    let late = Networked {
        pod: "late".to_owned(),
        container: "late-sandbox".to_owned(),
        addresses: vec!["10.65.7.77".to_owned()],
    };
    node.assert_upgraded(&[pods[0].clone(), late]);
}

#[test]
fn asked_to_end_it_leaves_nobody_waiting() {
    let plane = ControlPlane::shared(ApiGroup::Crd);
    let node = Node::start(&plane);
    let pods = [node.pod("web-0")];
    let files = node.files();
    let upgrade = node.start_upgrade();
    upgrade.wait_for("waiting for calls that are under way");
    assert_eq!((node.files(), node.gate()), (files.clone(), (false, Some(NODE.to_owned()))));
    assert!(node.may_be_closed());
    upgrade.signal(Signal::SIGTERM);
    let log = upgrade.finish(1);
    assert!(log.contains("ended by SIGTERM") && log.contains("opened the datastore"), "{log}");
    assert_eq!((node.files(), node.gate()), (files, (true, None)));
    node.upgrade();
    node.assert_upgraded(&pods);
}

#[test]
fn where_nothing_is_to_be_done_no_api_is_needed() {
    let plane = ControlPlane::shared(ApiGroup::Crd);
    let node = Node::start(&plane);
    let elsewhere = Some("127.0.0.1:1");
    node.start_upgrade_with(elsewhere).finish(0);

    // Unless an earlier run was killed at the last moment.
    std::fs::write(node.marker(), "").unwrap();
    let upgrade = node.start_upgrade_with(elsewhere);
    upgrade.wait_for("the addresses are not taken over yet");
    upgrade.kill();
    node.upgrade();
    assert!(!node.may_be_closed());
}

#[test]
fn what_stands_in_the_way_is_said_and_waited_for() {
    let plane = ControlPlane::shared(ApiGroup::Crd);
    let node = Node::start(&plane);
    let pods = [node.pod("web-0")];
    plane.create_pod(NODE, "default", "far", &json!({}));
    std::fs::write(node.addresses_folder().join("10.99.0.2"), "far-sandbox\r\neth0").unwrap();
    node.report("far", &["10.99.0.2".to_owned()]);
    let far = Networked {
        pod: "far".to_owned(),
        container: "far-sandbox".to_owned(),
        addresses: vec!["10.99.0.2".to_owned()],
    };
    let untouched = (node.files(), node.executables());

    let upgrade = node.start_upgrade();
    upgrade.wait_for("cannot assign 10.99.0.2 to pod default/far: The provided IP address is not in a configured pool");
    assert!(upgrade.log().contains("create or enable a pool that it lies in"), "{}", upgrade.log());
    assert_eq!((node.files(), node.executables()), untouched);
    assert_eq!(node.gate(), (true, None));

    // An operator's lock is not ours to open.
    node.set_ready(false);
    plane.put_pool("pool99", "10.99.0.0/16", 26);
    upgrade.wait_for("the datastore is locked, and not by an upgrade from host-local");
    assert_eq!((node.files(), node.executables()), untouched);
    assert_eq!(node.gate(), (false, None));

    node.set_ready(true);
    upgrade.finish(0);
    node.assert_upgraded(&[pods[0].clone(), far]);
}
