//! ADD and DEL compared with recorded runs: the answer byte for byte, the stored objects, the kernel's state.

use e2e::recording::on_embedded_store;
use e2e::{Host, Place};
use serde_json::json;

#[test]
fn add_and_del_answer_in_the_version_asked_for() {
    for version in ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0"] {
        on_embedded_store(&format!("add-del-{version}"), false);
    }
}

#[test]
fn add_and_del_are_the_same_with_an_executed_ipam_plugin() {
    for version in ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0"] {
        on_embedded_store(&format!("add-del-{version}"), true);
    }
}

#[test]
fn both_families_and_a_repeated_add_which_changes_nothing() {
    on_embedded_store("dual-stack", false);
    on_embedded_store("dual-stack", true);
}

#[test]
fn options_reach_the_interfaces() {
    on_embedded_store("options", false);
    on_embedded_store("options", true);
}

#[test]
fn the_ipam_plugin_alone() {
    on_embedded_store("ipam-alone", false);
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
