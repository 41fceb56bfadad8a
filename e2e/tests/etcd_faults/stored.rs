//! What is stored is not what a call needs.

use e2e::{Container, Place};
use serde_json::json;

use crate::{Cluster, unchanged};

const READY: &str = "/calico/resources/v3/projectcalico.org/clusterinformations/default";
const GARBAGE: &str = "{\"cut\": ";

#[test]
fn a_cluster_that_is_not_ready() {
    let cluster = Cluster::plain();
    let ready = cluster.etcd.dump()[READY].clone();
    let with = |spec| {
        json!({ "kind": "ClusterInformation", "apiVersion": "projectcalico.org/v3", "metadata": { "name": "default" }, "spec": spec })
            .to_string()
    };
    let not_ready = "Calico is currently not ready to process requests";
    for (value, words) in [
        (None, ["error getting ClusterInformation: resource does not exist: ClusterInformation(default)", ""]),
        (Some(with(json!({ "datastoreReady": false }))), [not_ready, "the datastore is locked"]),
        (Some(with(json!({}))), [not_ready, "ClusterInformation default has no datastoreReady"]),
        (Some(GARBAGE.to_owned()), ["error getting ClusterInformation: ", READY]),
    ] {
        let connected = cluster.container();
        cluster.add(&connected, &cluster.good()).run().result();
        match value {
            Some(value) => cluster.etcd.put(READY, &value),
            None => cluster.etcd.delete(READY),
        }
        let stored = cluster.etcd.dump();
        cluster.assert_add_refused(&cluster.good(), unchanged, &words);
        cluster.test(&cluster.good()).run().error().assert_words(&words);
        cluster.del(&connected, &cluster.good()).run().error().assert_words(&words);
        assert_eq!(connected.links(), ["lo"]);
        assert!(cluster.host.added_links().is_empty(), "DEL cleans the kernel");
        assert_eq!(cluster.etcd.dump(), stored, "nothing is written");
        cluster.etcd.put(READY, &ready);
        cluster.del(&connected, &cluster.good()).run().result();
        cluster.assert_works_with(&cluster.good());
    }
}

/// Puts garbage in place of a stored object, looks what becomes of it, and puts the object back.
#[track_caller]
fn with_garbage(cluster: &Cluster, key: &str, look: impl FnOnce()) {
    let before = cluster.etcd.dump().get(key).cloned();
    cluster.etcd.put(key, GARBAGE);
    look();
    assert_eq!(cluster.etcd.dump()[key], GARBAGE, "what cannot be read is not overwritten");
    match before {
        Some(value) => cluster.etcd.put(key, &value),
        None => cluster.etcd.delete(key),
    }
}

/// Objects that only ADD needs: it names them, and DEL does its work.
#[test]
fn unreadable_objects_on_the_way_of_an_add() {
    let cluster = Cluster::plain();
    let resource = |path: &str| format!("/calico/resources/v3/projectcalico.org/{path}");
    for key in [resource("nodes/node-1"), "/calico/ipam/v2/config".to_owned()] {
        let connected = cluster.container();
        cluster.add(&connected, &cluster.good()).run().result();
        with_garbage(&cluster, &key, || {
            let words = ["a stored object is malformed", &key, "correct or delete it"];
            cluster.assert_add_refused(&cluster.good(), unchanged, &words);
            cluster.del(&connected, &cluster.good()).run().result();
        });
        cluster.assert_works_with(&cluster.good());
    }
}

/// One bad pool must not stop a cluster; but where it is missed, it is named.
#[test]
fn an_unreadable_pool() {
    let cluster = Cluster::plain();
    let key = "/calico/resources/v3/projectcalico.org/ippools/pool6";
    let connected = cluster.container();
    cluster.add(&connected, &cluster.good()).run().result();
    with_garbage(&cluster, key, || {
        cluster.assert_add_refused(&cluster.good(), unchanged, &[key]);
        let (container, netconf) = (cluster.container(), cluster.with(json!({ "ipam": { "type": "calico-ipam" } })));
        assert_eq!(cluster.add(&container, &netconf).run().addresses().len(), 1);
        cluster.del(&container, &netconf).run().result();
        cluster.del(&connected, &cluster.good()).run().result();
    });
    cluster.assert_works_with(&cluster.good());
}

#[test]
fn an_unreadable_block() {
    let cluster = Cluster::plain();
    let connected = cluster.container();
    let answer = cluster.add(&connected, &cluster.good()).run();
    let address = answer.addresses().remove(0);
    let key = cluster.etcd.stored().blocks().into_keys().find(|key| key.contains("ipv4")).unwrap().to_owned();
    with_garbage(&cluster, &key, || {
        let error = cluster.del(&connected, &cluster.good()).run().error();
        error.assert_words(&[
            "a stored object is malformed",
            &key,
            "do not delete it while containers have its addresses",
        ]);
        assert!(cluster.host.added_links().is_empty(), "DEL cleans the kernel: {error:?}");
        let stored = cluster.etcd.dump();
        assert!(stored.keys().all(|key| !key.contains("/workloadendpoints/")), "{:?}", stored.keys());
        let handle = &stored[&format!("/calico/ipam/v2/handle/{}", connected.handle())];
        assert!(handle.contains("10.65.") && !handle.contains("fd65:"), "only what cannot be read is left: {handle}");
        // Others get addresses of another block.
        let other = cluster.container();
        let addresses = cluster.add(&other, &cluster.good()).run().addresses();
        assert!(addresses.len() == 2 && block_of(&addresses[0]) != block_of(&address), "{address} and {addresses:?}");
        cluster.del(&other, &cluster.good()).run().result();
    });
    cluster.del(&connected, &cluster.good()).run().result();
    cluster.etcd.assert_nothing_left(&[&cluster.host]);
    cluster.assert_works_with(&cluster.good());
}

/// The block of 64 addresses that an IPv4 address is in.
fn block_of(address: &str) -> u32 {
    u32::from(address.parse::<std::net::Ipv4Addr>().expect("an IPv4 address")) / 64
}

/// The container of the handle is the only one who is concerned.
#[test]
fn an_unreadable_handle() {
    let cluster = Cluster::plain();
    let connected = cluster.container();
    cluster.add(&connected, &cluster.good()).run().result();
    let key = format!("/calico/ipam/v2/handle/{}", connected.handle());
    with_garbage(&cluster, &key, || {
        let error = cluster.del(&connected, &cluster.good()).run().error();
        error.assert_words(&[
            "a stored object is malformed",
            &key,
            "do not delete it while containers have its addresses",
        ]);
        assert!(cluster.host.added_links().is_empty(), "DEL cleans the kernel: {error:?}");
    });
    cluster.del(&connected, &cluster.good()).run().result();
    cluster.etcd.assert_nothing_left(&[&cluster.host]);

    let fresh = cluster.container();
    let key = format!("/calico/ipam/v2/handle/{}", fresh.handle());
    with_garbage(&cluster, &key, || {
        let error = cluster.add(&fresh, &cluster.good()).run().error();
        error.assert_words(&["a stored object is malformed", &key]);
        assert_eq!((fresh.links().len(), cluster.host.added_links().len()), (1, 0));
    });
    cluster.etcd.assert_nothing_left(&[&cluster.host]);
    cluster.assert_works_with(&cluster.good());
}

/// A record that cannot be read may be that of a working network, so ADD does nothing. DEL does not need what is in it.
#[test]
fn an_unreadable_endpoint() {
    let cluster = Cluster::plain();
    let connected = cluster.container();
    cluster.add(&connected, &cluster.good()).run().result();
    let key = endpoint_of(&connected);
    cluster.etcd.put(&key, GARBAGE);
    let error = cluster.add(&connected, &cluster.good()).run().error();
    error.assert_words(&["a stored object is malformed", &key, "correct or delete it"]);
    assert_eq!(connected.links().len(), 2, "what was there is untouched");
    cluster.del(&connected, &cluster.good()).run().result();
    cluster.etcd.assert_nothing_left(&[&cluster.host]);
    cluster.assert_works_with(&cluster.good());
}

fn endpoint_of(container: &Container<'_>) -> String {
    format!("/calico/resources/v3/projectcalico.org/workloadendpoints/default/node--1-cni-{}-eth0", container.id())
}
