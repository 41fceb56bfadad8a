//! Nonsense in the store stops what depends on it, and nothing else; and nothing hangs.

use e2e::{Host, Place, dual_stack};
use serde_json::{Value, json};

/// The stored values whose key is like `pattern`, with their keys. Not the fixture's own reading, which insists on sound
/// objects.
fn values(host: &Host, pattern: &str) -> Vec<(String, Value)> {
    let store = rusqlite::Connection::open(host.store_file()).unwrap();
    let mut select = store.prepare("SELECT key, value FROM objects WHERE key LIKE ?1").unwrap();
    let rows = select.query_map([pattern], |row| Ok((row.get(0)?, row.get::<_, String>(1)?))).unwrap();
    rows.map(Result::unwrap).map(|(key, text)| (key, serde_json::from_str(&text).unwrap())).collect()
}

/// Changes the values whose key is like `pattern`.
fn tamper(host: &Host, pattern: &str, change: impl Fn(&mut Value)) {
    let found = values(host, pattern);
    assert!(!found.is_empty(), "nothing is like {pattern}");
    let store = rusqlite::Connection::open(host.store_file()).unwrap();
    for (key, mut value) in found {
        change(&mut value);
        let changed = store.execute("UPDATE objects SET value = ?1 WHERE key = ?2", [value.to_string(), key]);
        assert_eq!(changed.unwrap(), 1);
    }
}

/// The key pattern of blocks.
const BLOCKS: &str = "/calico/ipam/v2/assignment/%";
/// The key pattern of handles.
const HANDLES: &str = "/calico/ipam/v2/handle/%";

fn is_free(block: &Value) -> bool {
    block["allocations"].as_array().is_some_and(|list| list.iter().all(Value::is_null))
}

#[track_caller]
fn assert_released(host: &Host) {
    assert!(values(host, BLOCKS).iter().all(|(_, block)| is_free(block)));
    assert_eq!(values(host, HANDLES), []);
    assert!(host.added_links().is_empty());
}

#[test]
fn a_malformed_pool_is_named() {
    let host = Host::start();
    host.end_unaudited();
    let netconf = dual_stack();
    let container = host.container("c1");
    container.add(&netconf).run().result();
    container.del(&netconf).run().result();
    tamper(&host, "%/ippools/ippool-10-65%", |pool| *pool = json!({}));
    let error = container.add(&netconf).run().error();
    assert!(error.text.contains("/ippools/ippool-10-65-0-0-16: missing field"), "{error:?}");
    container.del(&netconf).run().result();
    assert_released(&host);
}

#[test]
fn an_inconsistent_block_is_not_used_but_released_from() {
    let host = Host::start();
    host.end_unaudited();
    let mut netconf = dual_stack();
    netconf["ipam"]["assign_ipv6"] = json!("false");
    let (first, second) = (host.container("c1"), host.container("c2"));
    let before = first.add(&netconf).run().addresses();
    tamper(&host, BLOCKS, |block| block["unallocated"] = json!([-1, 7, 7, 99999]));
    let after = second.add(&netconf).run().addresses();
    assert_eq!(values(&host, BLOCKS).len(), 2, "another block is used for {after:?} than for {before:?}");
    first.del(&netconf).run().result();
    second.del(&netconf).run().result();
    assert_released(&host);
}

#[test]
fn an_unreadable_block_keeps_no_address_of_another_one() {
    let host = Host::start();
    host.end_unaudited();
    let netconf = dual_stack();
    let container = host.container("c1");
    container.add(&netconf).run().result();
    tamper(&host, "/calico/ipam/v2/assignment/ipv4/%", |block| block["allocations"] = json!("lost"));
    let error = container.del(&netconf).run().error();
    assert!(error.text.contains("ipv4/block/10.65"), "the key is named: {error:?}");
    assert!(values(&host, "/calico/ipam/v2/assignment/ipv6/%").iter().all(|(_, block)| is_free(block)));
    let handles = values(&host, HANDLES);
    let blocks: Vec<&String> = handles[0].1["block"].as_object().unwrap().keys().collect();
    assert_eq!(blocks, ["10.65.84.128/26"], "the handle still knows of the unreadable block, and only of it");
    assert!(host.added_links().is_empty());
}

#[test]
fn a_malformed_affinity_costs_one_block() {
    let host = Host::start();
    host.end_unaudited();
    let mut netconf = dual_stack();
    netconf["ipam"]["assign_ipv6"] = json!("false");
    let container = host.container("c1");
    container.add(&netconf).run().result();
    container.del(&netconf).run().result();
    tamper(&host, "%/host/node-1/ipv4/block/%", |affinity| *affinity = json!([1]));
    container.add(&netconf).run().result();
    container.del(&netconf).run().result();
    assert_released(&host);
}

#[test]
fn a_handle_that_names_no_block_goes_with_the_container() {
    let host = Host::start();
    let netconf = dual_stack();
    let container = host.container("c1");
    container.add(&netconf).run().result();
    tamper(&host, "%/handle/net1.c1", |handle| handle["block"]["junk"] = json!(1));
    container.del(&netconf).run().result();
    host.assert_nothing_left();
}

#[test]
fn an_unreadable_endpoint_is_no_missing_one() {
    let host = Host::start();
    let netconf = dual_stack();
    let container = host.container("c1");
    let addresses = container.add(&netconf).run().addresses();
    tamper(&host, "%/workloadendpoints/%", |endpoint| *endpoint = json!({}));
    let error = container.add(&netconf).run().error();
    assert!(error.text.contains("workloadendpoints/default/node--1-cni-c1-eth0"), "the key is named: {error:?}");
    container.del(&netconf).env("CNI_IFNAME", "eth1").run().result();
    assert!(addresses.iter().all(|address| host.ping(address)), "the network is still there");
    container.del(&netconf).run().result();
    host.assert_nothing_left();
}
