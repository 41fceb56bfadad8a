//! When having no endpoint tells that a container is dead.

use calico_ipam::repair::End;
use serde_json::{Value, json};

use crate::shelf::Shelf;
use crate::site::*;

const BLOCK: &str = "fd01::d0/124";

/// An address of nobody who has an endpoint, under this handle and with these facts.
fn planted(handle: &str, facts: &Value) -> Site {
    let mut site = Site::new();
    let cidr = BLOCK.parse().unwrap();
    let mut block = used_block(BLOCK, "node-1", handle, "node-1");
    block["attributes"][0]["secondary"] = facts.clone();
    site.objects.put(&block_path(cidr), block);
    site.objects.put(&affinity_path("node-1", cidr), json!({ "state": "confirmed" }));
    site.objects.put(&handle_path(handle), counts(BLOCK, 1));
    site
}

/// The endpoint of the pod `web`.
fn with_pod(site: &mut Site, container: &str, addresses: &[&str]) {
    let (path, mut object) = endpoint("web", "node-1", addresses);
    object["spec"]["pod"] = json!("web");
    object["spec"]["containerID"] = json!(container);
    site.objects.put(&path, object);
}

fn store(site: &Site, endpoints_are_pods: bool) -> Shelf {
    let store = Shelf::new(&site.objects);
    store.endpoints_are_pods.set(endpoints_are_pods);
    store
}

/// It is found, and released.
#[track_caller]
fn assert_released(store: &Shelf) {
    let (findings, plan) = audit_and_plan(store);
    assert!(findings.iter().any(|it| it.to_string().contains("which has no endpoint with it")), "{findings:#?}");
    assert_eq!(plan.repairs.len(), 1, "{plan:#?}");
    assert_eq!(carry_out(store, &plan), [End::Done]);
    assert!(!store.objects().0.keys().any(|path| path.contains("/handle/") && path.ends_with(".x")));
}

/// It is found, and left for this reason.
#[track_caller]
fn assert_left(store: &Shelf, why: &str) {
    let (_, plan) = audit_and_plan(store);
    assert_eq!(plan.repairs, []);
    assert!(plan.left.iter().any(|left| left.why.contains(why)), "{plan:#?}");
}

/// Those of bridge or macvlan, say.
#[test]
fn a_network_whose_containers_have_no_endpoints() {
    let facts = json!({ "node": "node-1" });
    assert_left(
        &store(&planted("other.x", &facts), false),
        "Nothing tells that containers of network other have endpoints: if it is dead, release it with `calicoctl ipam release --ip`.",
    );
    for handle in ["net.other.x", "x.net.x"] {
        assert_left(&store(&planted(handle, &facts), false), "Nothing tells that containers of network");
    }
    assert_released(&store(&planted("net.x", &facts), false));
    // What an endpoint has under another handle than its own says nothing of that handle's network.
    let mut site = planted("other.x", &facts);
    let (path, object) = endpoint("y", "node-1", &["fd01::d1"]);
    site.objects.put(&path, object);
    let block = site.objects.at(&block_path(BLOCK.parse().unwrap()));
    block["allocations"][1] = json!(1);
    block["unallocated"].as_array_mut().unwrap().remove(0);
    block["attributes"].as_array_mut().unwrap().push(json!({ "handle_id": "other.z", "secondary": facts }));
    site.objects.put(&handle_path("other.z"), counts(BLOCK, 1));
    assert_left(&store(&site, false), "Nothing tells that containers of network other have endpoints");
    site.objects.at(&block_path(BLOCK.parse().unwrap()))["attributes"][1]["handle_id"] = json!("other.y");
    site.objects.remove("/handle/other.z");
    site.objects.put(&handle_path("other.y"), counts(BLOCK, 1));
    assert_released(&store(&site, false));
}

#[test]
fn what_no_container_was_given() {
    for facts in [json!({}), json!({ "node": "" }), json!({ "node": "node-1", "type": "x" })] {
        assert_left(&store(&planted("net.x", &facts), false), "Nothing tells that it is a container's");
    }
    let facts = json!({ "node": "node-1", "pod": "web", "namespace": "default" });
    assert_left(&store(&planted("x", &facts), false), "Nothing tells that its container had an endpoint");
}

#[test]
fn a_pod_with_an_endpoint() {
    let facts = json!({ "node": "node-1", "pod": "web", "namespace": "default" });
    let mut site = planted("net.x", &facts);
    with_pod(&mut site, "y", &["192.0.2.1"]);
    assert_left(&store(&site, false), "Its pod has an endpoint, with other addresses.");
}

#[test]
fn where_endpoints_are_pods() {
    let facts = json!({ "node": "node-1", "pod": "web", "namespace": "default" });
    // Whatever the network.
    let site = planted("other.x", &facts);
    let plan = audit_and_plan(&store(&site, true)).1;
    assert_released(&store(&site, true));
    let with = |container: &str, addresses: &[&str]| {
        let mut site = site.clone();
        with_pod(&mut site, container, addresses);
        store(&site, true)
    };
    assert_released(&with("y", &["192.0.2.1"]));
    for (container, addresses, why) in [
        ("x", ["192.0.2.1"].as_slice(), "Its container has an endpoint, with other addresses."),
        ("", &["192.0.2.1"], "Its pod has an endpoint, with other addresses."),
        ("y", &[], "Its pod has no address yet."),
    ] {
        assert_left(&with(container, addresses), why);
        let ends = carry_out(&with(container, addresses), &plan);
        assert_eq!(ends, [End::Skipped(why.trim_end_matches('.').to_owned())], "looked at again");
    }
    assert_eq!(carry_out(&with("y", &["192.0.2.1"]), &plan), [End::Done]);
    for facts in [json!({ "node": "node-1" }), json!({ "node": "node-1", "pod": "web" })] {
        assert_left(&store(&planted("net.x", &facts), true), "Nothing tells that its container is a pod");
    }
}
