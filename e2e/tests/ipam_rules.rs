//! What operators set: selectors, reservations, settings. The real executables on an etcd; the rules one by one are in
//! `calico-ipam/tests/allocation`.

use e2e::{Site, dual_stack};
use serde_json::{Value, json};

const RESOURCES: &str = "/calico/resources/v3/projectcalico.org";

fn pool(name: &str, spec: Value) -> (String, String) {
    let pool = json!({
        "kind": "IPPool", "apiVersion": "projectcalico.org/v3", "metadata": { "name": name }, "spec": spec
    });
    (format!("{RESOURCES}/ippools/{name}"), pool.to_string())
}

/// A site with no other pools than these.
fn site(pools: &[(String, String)]) -> (Site, Value) {
    let site = Site::start();
    for path in site.etcd.dump().keys().filter(|path| path.contains("/ippools/")) {
        site.etcd.delete(path);
    }
    for (path, text) in pools {
        site.etcd.put(path, text);
    }
    let mut netconf = site.netconf();
    netconf["ipam"] = json!({ "type": "calico-ipam" });
    (site, netconf)
}

fn label(site: &Site, labels: Value) {
    let node = json!({
        "kind": "Node", "apiVersion": "projectcalico.org/v3", "metadata": { "name": "node-1", "labels": labels }, "spec": {}
    });
    site.etcd.put(&format!("{RESOURCES}/nodes/node-1"), &node.to_string());
}

#[test]
fn a_node_gets_addresses_of_the_pools_that_choose_it() {
    let (site, netconf) = site(&[
        pool("x", json!({ "cidr": "10.70.0.0/24", "nodeSelector": "zone == 'x'" })),
        pool("y", json!({ "cidr": "10.71.0.0/24", "nodeSelector": "zone == 'y' && !has(retired)" })),
    ]);
    for exec in [false, true] {
        let mut netconf = netconf.clone();
        netconf["ipam"]["exec"] = json!(exec);
        for (zone, begin) in [("x", "10.70.0."), ("y", "10.71.0.")] {
            label(&site, json!({ "zone": zone }));
            let container = site.host.container(&format!("{zone}-{exec}"));
            let addresses = container.add(&netconf).run().addresses();
            assert!(addresses[0].starts_with(begin), "{addresses:?}");
            container.del(&netconf).run().result();
        }
        let blocks = site.etcd.stored();
        assert_eq!(blocks.blocks().len(), 1, "the block of the pool that is for other nodes now was given up");
        label(&site, json!({ "zone": "y", "retired": "yes" }));
        let refused = site.host.container(&format!("none-{exec}")).add(&netconf).run().error();
        refused.assert_words(&[
            "no configured Calico pools for node node-1",
            "x (10.70.0.0/24) is not for this node: nodeSelector zone == 'x'",
            "y (10.71.0.0/24) is not for this node: nodeSelector zone == 'y' && !has(retired)",
        ]);
    }
    site.assert_nothing_left();
}

#[test]
fn what_is_reserved_and_what_rests_is_counted() {
    let (site, netconf) = site(&[pool("p", json!({ "cidr": "10.70.0.0/30", "blockSize": 30 }))]);
    let reservation = json!({
        "kind": "IPReservation", "apiVersion": "projectcalico.org/v3", "metadata": { "name": "r" },
        "spec": { "reservedCIDRs": ["10.70.0.0", "10.70.0.3/32"] }
    });
    site.etcd.put(&format!("{RESOURCES}/ipreservations/r"), &reservation.to_string());
    site.etcd.put("/calico/ipam/v2/config", r#"{"auto_allocate_blocks":true,"ipCooldownSeconds":600}"#);
    let [first, second, third] = ["one", "two", "three"].map(|name| site.host.container(name));
    assert_eq!(first.add(&netconf).run().addresses(), ["10.70.0.1"]);
    first.del(&netconf).run().result();
    assert_eq!(second.add(&netconf).run().addresses(), ["10.70.0.2"], "the first rests");
    third.add(&netconf).run().error().assert_words(&[
        "Assigned 0 out of 1 requested IPv4 addresses; No IPs available in pools: [10.70.0.0/30]",
        "pool p (10.70.0.0/30): 1 block looked at, none of others; addresses: 1 used, 1 cooling down, 2 reserved, 0 free",
    ]);
    site.etcd.put("/calico/ipam/v2/config", r#"{"auto_allocate_blocks":true}"#);
    assert_eq!(third.add(&netconf).run().addresses(), ["10.70.0.1"], "without a cooldown nothing rests");
    for container in [&second, &third] {
        container.del(&netconf).run().result();
    }
    site.assert_nothing_left();
}

#[test]
fn one_family_without_an_address_takes_the_other_back() {
    let (site, mut netconf) = site(&[
        pool("four", json!({ "cidr": "10.70.0.0/26" })),
        pool("six", json!({ "cidr": "fd00:70::/128", "blockSize": 128 })),
    ]);
    netconf["ipam"] = dual_stack()["ipam"].clone();
    netconf["ipam"]["ipv4_pools"] = json!(["four"]);
    netconf["ipam"]["ipv6_pools"] = json!(["six"]);
    let (first, second) = (site.host.container("one"), site.host.container("two"));
    assert_eq!(first.add(&netconf).run().addresses(), ["10.70.0.0", "fd00:70::"]);
    for exec in [false, true] {
        netconf["ipam"]["exec"] = json!(exec);
        second.add(&netconf).run().error().assert_words(&["Assigned 0 out of 1 requested IPv6 addresses"]);
        assert_eq!((site.etcd.stored().allocated(), site.etcd.stored().handles().len()), (2, 1));
    }
    first.del(&netconf).run().result();
    site.assert_nothing_left();
}

#[test]
fn a_block_that_contradicts_itself_is_passed_over_with_a_warning() {
    let (site, netconf) = site(&[pool("p", json!({ "cidr": "10.70.0.0/25" }))]);
    let (first, second) = (site.host.container("one"), site.host.container("two"));
    let address = first.add(&netconf).run().addresses().remove(0);
    let dump = site.etcd.dump();
    let (path, text) = dump.iter().find(|(path, _)| path.contains("/assignment/")).unwrap();
    let mut block: Value = serde_json::from_str(text).unwrap();
    block["unallocated"].as_array_mut().unwrap().push(json!(7));
    site.etcd.put(path, &block.to_string());
    let answer = second.add(&netconf).run();
    assert_ne!(answer.addresses(), [address]);
    assert!(
        answer.stderr.contains("passed over a block: repair it")
            && answer.stderr.contains("ordinal 7 is unallocated twice"),
        "{answer:?}"
    );
    first.del(&netconf).run().result();
    second.del(&netconf).run().result();
    assert_eq!((site.etcd.stored().allocated(), site.etcd.stored().handles().len()), (0, 0));
    // The damage stays in the store.
    site.etcd.end_unaudited();
}
