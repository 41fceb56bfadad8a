//! What other releases store in the objects, and this one does not know, stays when an object is written.

use std::collections::BTreeMap;

use calico_model::{Key, Object};
use e2e::Etcd;
use e2e::recording::Recording;
use serde_json::{Value, json};

/// An unknown field as it is stored: a number that a floating-point one could not hold, and what Go escapes.
const FIELD: &str = r#""future":{"html":"\u003ca\u0026b\u003e","number":9007199254740993}"#;
/// Where objects get one.
const PLACES: [&str; 4] = ["", "/metadata", "/spec", "/attributes/0"];

fn with_unknown_fields(text: &str) -> String {
    let mut object: Value = serde_json::from_str(text).unwrap();
    for place in PLACES {
        if let Some(part) = object.pointer_mut(place) {
            part["future"] = json!({"html": "<a&b>", "number": 9_007_199_254_740_993_u64});
        }
    }
    go_json::to_compact(&object)
}

/// How many unknown fields each object has; those that have none are left out.
fn unknown_fields(etcd: &Etcd) -> BTreeMap<String, usize> {
    let counts = etcd.dump().into_iter().map(|(path, text)| (path, text.matches(FIELD).count()));
    counts.filter(|(_, count)| *count > 0).collect()
}

#[test]
fn reading_and_writing_keeps_them() {
    let mut objects = 0;
    let recording = Recording::load("dual-stack");
    for (path, text) in &recording.steps[0].after {
        if let Some(key) = Key::parse(path) {
            let text = with_unknown_fields(text);
            let object = Object::parse(&key, text.as_bytes()).unwrap();
            assert_eq!(go_json::to_compact(&object), text, "{path}");
            objects += 1;
        }
    }
    assert_eq!(objects, 11, "all objects but the tiers");
}

#[test]
fn add_and_del_keep_them() {
    keeps_unknown_fields(false);
}

#[test]
fn add_and_del_with_an_executed_ipam_plugin_keep_them() {
    keeps_unknown_fields(true);
}

fn keeps_unknown_fields(exec: bool) {
    let recording = Recording::load("dual-stack");
    let etcd = recording.etcd();
    let host = etcd.host();
    let mut netconf = etcd.configured(recording.netconf);
    netconf["ipam"]["exec"] = json!(exec);
    let (first, second) = (host.container("c1"), host.container("c2"));
    first.add(&netconf).run().result();
    let objects = etcd.dump();
    for (path, text) in &objects {
        etcd.put(path, &with_unknown_fields(text));
    }
    let all = unknown_fields(&etcd);
    assert_eq!(all.len(), objects.len());

    // Both blocks are written.
    second.add(&netconf).run().result();
    assert_eq!(unknown_fields(&etcd), all);
    second.del(&netconf).run().result();
    assert_eq!(unknown_fields(&etcd), all);

    // The endpoint is written: it gets the other network's profile.
    let mut other = netconf.clone();
    other["name"] = json!("net2");
    first.add(&other).run().result();
    assert_eq!(unknown_fields(&etcd), all);
    let endpoint = "/calico/resources/v3/projectcalico.org/workloadendpoints/default/node--1-cni-c1-eth0";
    assert!(etcd.dump()[endpoint].contains(r#""profiles":["net1","net2"]"#));

    // The handle is written: it counts further addresses.
    first.call("calico-ipam", "ADD", &netconf).run().result();
    assert_eq!(unknown_fields(&etcd), all);
    let handle = "/calico/ipam/v2/handle/net1.c1";
    assert!(etcd.dump()[handle].contains(r#""192.168.84.128/26":2"#));

    // The handle again: a DEL releases what it can read, and the handle keeps the rest.
    let [block] = objects.keys().filter(|path| path.contains("/assignment/ipv6/")).collect::<Vec<_>>()[..] else {
        panic!("not one block of IPv6: {objects:?}");
    };
    let text = etcd.dump()[block].clone();
    etcd.put(block, "{}");
    first.del(&netconf).run().error();
    etcd.put(block, &text);
    assert!(!etcd.dump()[handle].contains("192.168.84.128/26"));
    assert_eq!(unknown_fields(&etcd).get(handle), all.get(handle));

    // The blocks, as the container's attributes go.
    first.del(&netconf).run().result();
    let kept = unknown_fields(&etcd);
    let expected = all.into_iter().filter(|(path, _)| path != handle && path != endpoint);
    let expected =
        expected.map(|(path, count)| if path.contains("/assignment/") { (path, count - 1) } else { (path, count) });
    assert_eq!(kept, expected.collect());
    etcd.assert_nothing_left(&[&host]);
}
