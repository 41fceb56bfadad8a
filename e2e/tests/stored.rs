//! Nonsense in the store stops what depends on it, and nothing else; and nothing hangs.

use e2e::{Host, dual_stack};
use serde_json::{Value, json};

/// Changes the value of the stored objects whose key is like `pattern`.
fn tamper(host: &Host, pattern: &str, change: impl Fn(&mut Value)) {
    let store = rusqlite::Connection::open(host.store_file()).unwrap();
    let mut select = store.prepare("SELECT key, value FROM objects WHERE key LIKE ?1").unwrap();
    let rows: Vec<(String, String)> =
        select.query_map([pattern], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect();
    assert!(!rows.is_empty(), "nothing is like {pattern}");
    for (key, value) in rows {
        let mut value: Value = serde_json::from_str(&value).unwrap();
        change(&mut value);
        let changed = store.execute("UPDATE objects SET value = ?1 WHERE key = ?2", [value.to_string(), key]);
        assert_eq!(changed.unwrap(), 1);
    }
}

#[test]
fn a_malformed_pool_is_named() {
    let host = Host::start();
    let netconf = dual_stack();
    let container = host.container("c1");
    container.add(&netconf).run().result();
    container.del(&netconf).run().result();
    tamper(&host, "%/ippools/ippool-10-65%", |pool| *pool = json!({}));
    let error = container.add(&netconf).run().error();
    assert!(error.text.contains("/ippools/ippool-10-65-0-0-16: missing field"), "{error:?}");
    container.del(&netconf).run().result();
    assert_eq!(host.stored().allocated(), 0);
}

#[test]
fn an_inconsistent_block_is_not_used_but_released_from() {
    let host = Host::start();
    let mut netconf = dual_stack();
    netconf["ipam"]["assign_ipv6"] = json!("false");
    let (first, second) = (host.container("c1"), host.container("c2"));
    let before = first.add(&netconf).run().addresses();
    tamper(&host, "%/block/10.65%", |object| {
        if object.get("unallocated").is_some() {
            object["unallocated"] = json!([-1, 7, 7, 99999]);
        }
    });
    let after = second.add(&netconf).run().addresses();
    assert_ne!(before[0].rsplit_once('.').unwrap().0, after[0].rsplit_once('.').unwrap().0, "another block is used");
    first.del(&netconf).run().result();
    second.del(&netconf).run().result();
    assert_eq!((host.stored().allocated(), host.stored().handles().len()), (0, 0));
}

#[test]
fn an_unreadable_block_keeps_no_address_of_another_one() {
    let host = Host::start();
    let netconf = dual_stack();
    let container = host.container("c1");
    container.add(&netconf).run().result();
    tamper(&host, "%/ipv4/block/10.65%", |object| {
        if object.get("allocations").is_some() {
            object["allocations"] = json!("lost");
        }
    });
    let error = container.del(&netconf).run().error();
    assert!(error.text.contains("ipv4/block/10.65"), "the key is named: {error:?}");
    let stored = host.stored();
    assert!(stored.with("/ipv6/block/").values().any(|block| block["attributes"] == json!([])), "{stored:#?}");
    assert_eq!(stored.handles().len(), 1, "the handle still knows of the unreadable block");
    assert!(host.added_links().is_empty());
}

#[test]
fn a_malformed_affinity_costs_one_block() {
    let host = Host::start();
    let mut netconf = dual_stack();
    netconf["ipam"]["assign_ipv6"] = json!("false");
    let container = host.container("c1");
    container.add(&netconf).run().result();
    container.del(&netconf).run().result();
    tamper(&host, "%/host/node-1/ipv4/block/%", |affinity| *affinity = json!([1]));
    container.add(&netconf).run().result();
    container.del(&netconf).run().result();
    assert_eq!((host.stored().allocated(), host.stored().handles().len()), (0, 0));
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
