//! When nothing is repaired because not everything is known, or because it may be in use by now.

use calico_ipam::repair::{self, End, Written};
use serde_json::json;

use crate::shelf::Shelf;
use crate::site::{Site, audit_and_plan, carry_out, counts, endpoint, handle_path, later, run};

fn leak(site: &mut Site) {
    site.objects.remove("cni-c1-");
}

#[track_caller]
fn assert_left(site: &Site, expected: &str) {
    let (_, plan) = audit_and_plan(&Shelf::new(&site.objects));
    assert_eq!(plan.repairs, []);
    assert!(plan.left.iter().any(|left| left.why.contains(expected)), "{plan:#?}");
}

#[test]
fn an_endpoint_with_an_address_that_is_none() {
    let mut site = Site::new();
    leak(&mut site);
    let (path, object) = endpoint("odd", "node-1", &["here"]);
    site.objects.put(&path, object);
    assert_left(&site, "cannot be read, and may have");
}

#[test]
fn a_node_that_cannot_be_read() {
    let mut site = Site::new();
    leak(&mut site);
    *site.objects.at("/nodes/node-3") = json!(1);
    assert_left(&site, "nodes/node-3 cannot be read, and may have");
}

#[test]
fn a_handle_that_cannot_be_read() {
    let mut site = Site::new();
    leak(&mut site);
    site.objects.put(&handle_path("net.c1"), json!(1));
    assert_left(&site, "The handle cannot be read");
}

#[test]
fn a_cluster_without_nodes() {
    let mut site = Site::new();
    site.objects.0.retain(|path, _| !path.contains("/nodes/"));
    let (findings, plan) = audit_and_plan(&Shelf::new(&site.objects));
    assert!(findings.len() > 10);
    assert_eq!(plan.repairs, []);
}

#[test]
fn a_pod_that_has_no_address_yet() {
    let mut site = Site::new();
    leak(&mut site);
    let (path, mut object) = endpoint("", "node-1", &[]);
    object["spec"]["pod"] = json!("web");
    site.objects.put(&path.replace("--eth0", "-x-eth0"), object);
    let block = site.block("node-1", 6);
    let attributes = site.objects.at(&crate::site::block_path(block))["attributes"].as_array_mut().unwrap();
    let of_handle = attributes.iter_mut().find(|it| it["handle_id"] == "net.c1").unwrap();
    of_handle["secondary"]["pod"] = json!("web");
    of_handle["secondary"]["namespace"] = json!("default");
    assert_left(&site, "Its pod has no address yet.");
}

/// The endpoint is recorded between plan and release.
#[test]
fn an_address_that_is_in_use_by_now() {
    let mut site = Site::new();
    let mut with_endpoint = site.objects.clone();
    leak(&mut site);
    let (_, plan) = audit_and_plan(&Shelf::new(&site.objects));
    assert_eq!(plan.repairs.len(), 1);
    let store = Shelf::new(&with_endpoint);
    assert_eq!(carry_out(&store, &plan), [End::Skipped(format!("{} is in use", site.address("net.c1")))]);
    with_endpoint.at("cni-c1-")["spec"]["ipNetworks"] = json!([]);
    let store = Shelf::new(&with_endpoint);
    let why = "Its container has an endpoint, with other addresses".to_owned();
    assert_eq!(carry_out(&store, &plan), [End::Skipped(why)]);
}

/// With a cooldown, the block of a node that is gone waits until its addresses have rested.
#[test]
fn addresses_that_rest() {
    let mut site = Site::new();
    let cidr = "fd01::d0/124";
    let block = crate::site::used_block(cidr, "gone", "net.g1", "gone");
    site.objects.put(&crate::site::block_path(cidr.parse().unwrap()), block);
    site.objects.put(&crate::site::affinity_path("gone", cidr.parse().unwrap()), json!({ "state": "confirmed" }));
    site.objects.put(&handle_path("net.g1"), counts(cidr, 1));
    site.objects.put("/calico/ipam/v2/config", json!({ "auto_allocate_blocks": true, "ipCooldownSeconds": 60 }));
    let store = Shelf::new(&site.objects);
    let (_, plan) = audit_and_plan(&store);
    assert_eq!(plan.repairs.len(), 1);
    assert_eq!(carry_out(&store, &plan), [End::Done]);
    let (_, again) = audit_and_plan(&store);
    assert_eq!(again.repairs, []);
    assert!(again.left.iter().all(|left| left.why.contains("rest for a while")), "{again:#?}");
}

#[test]
fn an_unused_handle_of_a_known_version() {
    let mut site = Site::new();
    site.objects.put(&handle_path("net.e"), counts(&site.block("node-1", 6).to_string(), 1));
    let store = Shelf::new(&site.objects);
    let delete = |revision| {
        let repair = repair::of_unused_handle("net.e", calico_datastore::Revision(revision));
        run(repair::carry_out(&store, &[repair], &mut Written::default(), later())).unwrap()
    };
    assert!(matches!(delete(7).as_slice(), [End::Skipped(_)]));
    assert!(store.objects().0.contains_key(&handle_path("net.e")));
    let block = crate::site::block_path(site.block("node-1", 6));
    let sequence = |store: &Shelf| store.objects().at(&block)["sequenceNumber"].as_u64().unwrap();
    let before = sequence(&store);
    assert_eq!(delete(1), [End::Done]);
    assert_eq!(sequence(&store), before + 1, "whoever is about to allocate for it loses");
    assert!(!store.objects().0.contains_key(&handle_path("net.e")));
    let in_use = repair::of_unused_handle("net.c9", calico_datastore::Revision(1));
    let ends = run(repair::carry_out(&store, &[in_use], &mut Written::default(), later())).unwrap();
    assert!(matches!(ends.as_slice(), [End::Skipped(why)] if why.starts_with("something is allocated")), "{ends:?}");
    assert!(store.objects().0.contains_key(&handle_path("net.c9")));
}

/// What a handle counts in a block that cannot be read, it goes on counting.
#[test]
fn a_handle_with_a_block_that_cannot_be_read() {
    let mut site = Site::new();
    let block = site.block("node-1", 6).to_string();
    site.objects.put(&crate::site::block_path("fd01::d0/124".parse().unwrap()), json!(1));
    site.objects.put(&handle_path("net.c7"), json!({ "block": { &block: 3, "fd01::d0/124": 2 } }));
    let store = Shelf::new(&site.objects);
    let (_, plan) = audit_and_plan(&store);
    let texts: Vec<&str> = plan.repairs.iter().map(|repair| repair.text.as_str()).collect();
    assert_eq!(texts, [format!("make the handle net.c7 count 1 in {block}, 2 in fd01::d0/124")]);
    assert_eq!(carry_out(&store, &plan), [End::Done]);
    let counted = store.objects().0[&handle_path("net.c7")]["block"].clone();
    assert_eq!(counted, json!({ &block: 1, "fd01::d0/124": 2 }));
}
