//! ADD and DEL compared with recorded runs: the answer byte for byte, the stored objects, the kernel's state.

use std::time::{Duration, Instant};

use e2e::recording::{Recording, Step, kernel_state, mask_result, stored_state};
use e2e::{Answer, Container, Host, Place};
use serde_json::{Value, json};

/// Forwarding of IPv6 would show in the settings of every new interface, and was off where the runs were recorded.
fn recorded_host() -> Host {
    let host = Host::start();
    for scope in ["all", "default"] {
        host.set_sysctl(&format!("ipv6/conf/{scope}/forwarding"), "0");
    }
    host
}

/// Compares for as long as the kernel may need to settle: an interface is not up the moment it is set up.
#[track_caller]
fn assert_settles_at(expected: &Value, state: impl Fn() -> Value, what: &str) {
    let start = Instant::now();
    loop {
        let found = state();
        if found == *expected {
            return;
        }
        if start.elapsed() > Duration::from_secs(3) {
            assert_eq!(format!("{found:#}"), format!("{expected:#}"), "{what}");
            panic!("{what}: {found:#} is not {expected:#}");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[track_caller]
fn assert_answer(answer: &Answer, step: &Step, what: &str) {
    assert_eq!(answer.exit.map(i64::from), Some(step.exit), "{what}: {answer:#?}");
    if step.exit != 0 {
        // Ours may add details, which say what to do; number and message are what callers look at.
        let recorded: Value = serde_json::from_str(&step.stdout).unwrap();
        let ours: Value = serde_json::from_str(&answer.stdout).unwrap();
        assert_eq!((&ours["code"], &ours["msg"]), (&recorded["code"], &recorded["msg"]), "{what}");
        answer.error();
        return;
    }
    let ((ours, _), (recorded, _)) = (mask_result(&answer.stdout), mask_result(&step.stdout));
    assert_eq!(ours, recorded, "{what}");
}

#[track_caller]
fn assert_stored(host: &Host, step: &Step, what: &str) {
    let (found, expected) = (stored_state(&host.stored()), &step.store);
    if found != *expected {
        assert_eq!(format!("{found:#}"), format!("{expected:#}"), "{what}");
        panic!("{what}: {found:#} is not {expected:#}");
    }
}

/// The MAC in the answer is the one in the kernel and in the endpoint.
#[track_caller]
fn assert_one_mac(host: &Host, container: &Container<'_>, answer: &Answer) {
    let kernel = container.ip_json("link show dev eth0")[0]["address"].clone();
    if let (_, Some(mac)) = mask_result(&answer.stdout) {
        assert_eq!(kernel, json!(mac));
    }
    let stored = host.stored();
    let endpoints = stored.with("/workloadendpoints/");
    let endpoint = endpoints.values().next().expect("an endpoint is stored");
    assert_eq!(endpoint["spec"]["mac"], kernel);
}

/// Runs a recorded scenario of one container and compares everything after each step.
fn replay(scenario: &str, exec: bool) {
    let host = recorded_host();
    let recording = Recording::load(scenario);
    let mut netconf = recording.local_netconf();
    if exec {
        netconf["ipam"]["exec"] = json!(true);
    }
    let container = host.container("golden").renamed(&recording.steps[0].container);
    for (index, step) in recording.steps.iter().enumerate() {
        let what = format!("{scenario}, exec {exec}, step {index}: {}", step.verb);
        let answer = container.call(&step.executable, &step.verb, &netconf).env("CNI_ARGS", &step.arguments).run();
        assert_answer(&answer, step, &what);
        assert_stored(&host, step, &what);
        assert_settles_at(&step.kernel, || kernel_state(&host, &container, "eth0"), &what);
        if step.verb == "ADD" {
            assert_one_mac(&host, &container, &answer);
        }
        host.assert_audit_clean();
    }
    host.assert_nothing_left();
}

#[test]
fn add_and_del_answer_in_the_version_asked_for() {
    for version in ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0"] {
        replay(&format!("add-del-{version}"), false);
    }
}

#[test]
fn add_and_del_are_the_same_with_an_executed_ipam_plugin() {
    for version in ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0"] {
        replay(&format!("add-del-{version}"), true);
    }
}

#[test]
fn both_families_and_a_repeated_add_which_changes_nothing() {
    replay("dual-stack", false);
    replay("dual-stack", true);
}

#[test]
fn options_reach_the_interfaces() {
    replay("options", false);
    replay("options", true);
}

#[test]
fn the_ipam_plugin_alone() {
    let host = recorded_host();
    let recording = Recording::load("ipam-alone");
    let netconf = recording.local_netconf();
    for (index, step) in recording.steps.iter().enumerate() {
        let what = format!("step {index}: {} {} {}", step.verb, step.container, step.arguments);
        let answer = host
            .call(&step.executable, &step.verb)
            .env("CNI_CONTAINERID", &step.container)
            .env("CNI_NETNS", "/var/run/netns/golden")
            .env("CNI_IFNAME", "eth0")
            .env("CNI_ARGS", &step.arguments)
            .stdin(&netconf.to_string())
            .run();
        assert_answer(&answer, step, &what);
        assert_stored(&host, step, &what);
    }
    host.assert_nothing_left();
}

#[test]
fn an_absent_store_is_created_with_what_the_configuration_names() {
    let host = Host::start();
    let container = host.container("first");
    let netconf = e2e::dual_stack();
    container.add(&netconf).run().result();
    let stored = host.stored();
    let resources = "/calico/resources/v3/projectcalico.org/";
    let pool4 = &stored.0[&format!("{resources}ippools/ippool-10-65-0-0-16")]["spec"];
    let pool6 = &stored.0[&format!("{resources}ippools/ippool-fd65---64")]["spec"];
    assert_eq!((&pool4["cidr"], &pool4["blockSize"]), (&json!("10.65.0.0/16"), &json!(26)));
    assert_eq!((&pool6["cidr"], &pool6["blockSize"]), (&json!("fd65::/64"), &json!(122)));
    assert!(stored.0.contains_key(&format!("{resources}nodes/node-1")), "{stored:#?}");
    assert_eq!(stored.0[&format!("{resources}clusterinformations/default")]["spec"], json!({"datastoreReady": true}));
    container.del(&netconf).run().result();
    host.assert_nothing_left();
}

#[test]
fn a_leftover_of_the_same_name_does_not_stop_an_add() {
    let host = Host::start();
    let container = host.container("again");
    host.ip("link add caliagain type veth peer name old");
    let netconf = e2e::dual_stack();
    container.add(&netconf).run().result();
    assert_eq!(host.added_links(), ["caliagain"], "the old pair is gone");
    container.del(&netconf).run().result();
    host.assert_nothing_left();
}

#[test]
fn two_containers_reach_each_other_over_both_families() {
    let host = Host::start();
    let netconf = e2e::dual_stack();
    let (a, b) = (host.container("a"), host.container("b"));
    let to_a = a.add(&netconf).run().addresses();
    let to_b = b.add(&netconf).run().addresses();
    assert_eq!((to_a.len(), to_b.len()), (2, 2));
    for address in to_b {
        assert!(a.ping(&address), "{address} does not answer a");
    }
    for address in to_a {
        assert!(b.ping(&address) && host.ping(&address), "{address} does not answer b and the host");
    }
    for container in [a, b] {
        container.del(&netconf).run().result();
    }
    host.assert_nothing_left();
}
