//! The contract, in both groups of custom resources.

use std::time::SystemTime;

use calico_datastore::{Outcome, Want, Write};
use calico_model::resource::ClusterInformationSpec;
use calico_model::{
    Affinity, AffinityState, Block, ClusterInformation, Handle, IpPool, IpReservation, IpVersion, IpamConfig, Key,
    Kind, Listing, Node, Object, Owner, Resource,
};
use e2e::{ApiGroup, ControlPlane, Refusal};
use serde_json::{Map, Value, json};

use crate::opened::Opened;

/// More than one page of a listing.
const LISTED: usize = 501;

type Check = fn(&ControlPlane, &Opened);

const CHECKS: [Check; 11] = [
    writes_are_applied_in_their_order_up_to_a_conflict,
    a_revision_is_of_one_object_alone,
    every_kind_of_object_is_kept,
    what_is_absent_is_no_error,
    two_keys_may_have_one_place,
    a_host_and_a_virtual_owner_of_one_name_are_two,
    names_may_be_long,
    claims_of_old_releases_are_found,
    what_cannot_be_read_is_in_nobodys_way,
    what_is_being_deleted_is_absent,
    long_listings_are_complete,
];

fn keeps_the_contract(group: ApiGroup) {
    for check in CHECKS {
        let plane = crate::unaudited(group);
        check(&plane, &Opened::to(&plane));
    }
}

#[test]
fn the_usual_group_keeps_the_contract() {
    keeps_the_contract(ApiGroup::Crd);
}

#[test]
fn the_other_group_keeps_the_contract() {
    keeps_the_contract(ApiGroup::V3);
}

fn handle(count: i64) -> Handle {
    let mut handle = Handle::default();
    handle.set(&"10.0.0.0/26".parse().unwrap(), count);
    handle
}

fn key(id: &str) -> Key {
    Key::Handle(id.to_owned())
}

fn claim(owner: Owner, block: &str) -> Key {
    Key::Affinity { owner, block: block.parse().unwrap() }
}

fn host(name: &str) -> Owner {
    Owner::Host(name.to_owned())
}

fn virtual_owner(name: &str) -> Owner {
    Owner::Virtual(name.to_owned())
}

fn of_host(name: &str, version: IpVersion) -> Listing {
    Listing::Affinities { owner: host(name), version }
}

fn confirmed() -> Affinity {
    Affinity::new(AffinityState::Confirmed)
}

fn writes_are_applied_in_their_order_up_to_a_conflict(_: &ControlPlane, store: &Opened) {
    assert_eq!(store.commit(&[]), Outcome::Applied(vec![]));
    assert_eq!(store.revision(&key("a")), None);
    let first = store.applied(&[Write::create(key("a"), handle(1)), Write::create(key("b"), handle(1))]);
    let writes = [
        Write::update(key("a"), first[0], handle(2)),
        Write::create(key("b"), handle(9)),
        Write::create(key("c"), handle(1)),
    ];
    let Outcome::Conflict { index: 1, applied } = store.commit(&writes) else { panic!("no conflict") };
    let now: Vec<_> = ["a", "b", "c"].iter().map(|id| store.get::<Handle>(&key(id))).collect();
    let [Some(a), Some(b), None] = now.as_slice() else { panic!("{now:?}") };
    assert_eq!((&a.value, applied), (&handle(2), vec![a.revision]));
    assert_eq!((&b.value, b.revision), (&handle(1), first[1]));

    store.conflicts(Write::update(key("a"), first[0], handle(3)));
    store.conflicts(Write::delete(key("a"), first[0]));
    store.conflicts(Write::update(key("c"), first[0], handle(3)));
    // What was just written can be written again unread.
    let second = store.applied(&[Write::update(key("b"), first[1], handle(2))])[0];
    store.applied(&[Write::update(key("b"), second, handle(3))]);
    assert_eq!(store.get::<Handle>(&key("b")).unwrap().value, handle(3));
}

fn a_revision_is_of_one_object_alone(plane: &ControlPlane, store: &Opened) {
    assert_eq!(store.revision(&key("a")), None);
    let first = store.applied(&[Write::create(key("a"), handle(1))])[0];
    store.applied(&[Write::delete(key("a"), first)]);
    store.conflicts(Write::delete(key("a"), first));
    store.applied(&[Write::create(key("a"), handle(1))]);
    store.conflicts(Write::update(key("a"), first, handle(2)));
    store.conflicts(Write::delete(key("a"), first));
    // Others may delete it and make one that is alike between a read and a write.
    let read = store.revision(&key("a")).unwrap();
    let path = format!("{}/a", plane.collection("ipamhandles"));
    let mut again = plane.admin().get(&path).unwrap();
    plane.admin().delete(&path).unwrap();
    again["metadata"] = json!({"name": "a"});
    plane.admin().create(&plane.collection("ipamhandles"), &again).unwrap();
    store.conflicts(Write::update(key("a"), read, handle(2)));
    store.conflicts(Write::delete(key("a"), read));
    assert_eq!(store.get::<Handle>(&key("a")).unwrap().value, handle(1));
}

fn every_kind_of_object_is_kept(_: &ControlPlane, store: &Opened) {
    let now = SystemTime::now();
    let (v4, v6) = ("10.65.3.64/26", "fd65::7:40/122");
    let block = |cidr: &str, owner: Owner| Block::new(cidr.parse().unwrap(), &owner, now);
    let reservation = |cidr: &str| -> IpReservation {
        let spec = serde_json::from_value(json!({"reservedCIDRs": [cidr]})).unwrap();
        Resource::new(Kind::IpReservation, "some", spec)
    };
    let information = |ready: bool| -> ClusterInformation {
        let spec = ClusterInformationSpec { datastore_ready: Some(ready), ..ClusterInformationSpec::default() };
        Resource::new(Kind::ClusterInformation, "default", spec)
    };
    let pool = |cidr: &str| IpPool::routed("pool", cidr.parse().unwrap());
    let strict = |strict_affinity| IpamConfig { strict_affinity, ip_cooldown_seconds: 30, ..IpamConfig::default() };
    let taken = |cidr: &str| {
        let mut block = block(cidr, host("other"));
        block.sequence_number += 1;
        block
    };
    let pending = || Affinity::new(AffinityState::Pending);
    let of_block = |cidr: &str| Key::Block(cidr.parse().unwrap());
    let all: Vec<(Key, Listing, Object, Object)> = vec![
        (of_block(v4), Listing::Blocks, block(v4, host("node-1")).into(), taken(v4).into()),
        (of_block(v6), Listing::Blocks, block(v6, host("node-1")).into(), taken(v6).into()),
        (claim(host("node-1"), v4), Listing::HostAffinities, pending().into(), confirmed().into()),
        (claim(host("node-1"), v6), of_host("node-1", IpVersion::V6), pending().into(), confirmed().into()),
        (claim(virtual_owner("lb"), v4), Listing::VirtualAffinities, pending().into(), confirmed().into()),
        (key("net1.c1"), Listing::Handles, handle(1).into(), handle(2).into()),
        (
            Key::resource(Kind::IpPool, "pool"),
            Listing::Resources(Kind::IpPool),
            pool("10.65.0.0/16").into(),
            pool("10.66.0.0/16").into(),
        ),
        (
            Key::resource(Kind::IpReservation, "some"),
            Listing::Resources(Kind::IpReservation),
            reservation("10.65.0.0/30").into(),
            reservation("10.65.0.0/29").into(),
        ),
        (
            Key::resource(Kind::ClusterInformation, "default"),
            Listing::Resources(Kind::ClusterInformation),
            information(false).into(),
            information(true).into(),
        ),
    ];
    for (key, listing, before, after) in all {
        assert_eq!(store.revision(&key), None, "{key}");
        let created = store.applied(&[Write::create(key.clone(), before.clone())])[0];
        assert_eq!((content(store, &key), store.revision(&key)), (bare(before), Some(created)), "{key}");
        let changed = store.applied(&[Write::update(key.clone(), created, after.clone())])[0];
        assert_eq!((content(store, &key), store.revision(&key)), (bare(after), Some(changed)), "{key}");
        assert!(store.keys(listing.clone()).contains(&key), "{listing}");
        store.applied(&[Write::delete(key.clone(), changed)]);
        assert_eq!(store.revision(&key), None, "{key}");
        assert!(!store.keys(listing).contains(&key), "{key}");
    }
    let created = store.applied(&[Write::create(Key::IpamConfig, strict(true))])[0];
    store.applied(&[Write::update(Key::IpamConfig, created, strict(false))]);
    assert_eq!(store.get::<IpamConfig>(&Key::IpamConfig).unwrap().value, strict(false));

    // Nodes are Kubernetes' own.
    let node: Node = Resource::new(Kind::Node, "node-1", Map::new());
    let refused = store.try_commit(&[Write::create(Key::resource(Kind::Node, "node-1"), node)]);
    assert!(refused.unwrap_err().to_string().contains("Kubernetes' own"));
}

/// An object as it is stored.
fn content(store: &Opened, key: &Key) -> Value {
    let entry = store.read(&[Want::Get(key.clone())]).entries().pop().unwrap_or_else(|| panic!("no {key}"));
    bare(entry.object.unwrap())
}

/// An object without what is given to it when it is created.
fn bare(object: Object) -> Value {
    let mut value = serde_json::to_value(object).unwrap();
    if let Some(metadata) = value["metadata"].as_object_mut() {
        metadata.retain(|field, _| !matches!(field.as_str(), "uid" | "creationTimestamp"));
    }
    value
}

fn what_is_absent_is_no_error(plane: &ControlPlane, _: &Opened) {
    let store = Opened::by_admin(plane);
    plane.create_node("node-1");
    let block = "10.0.0.0/26".parse().unwrap();
    let absent = [
        Want::Get(Key::Block(block)),
        Want::Outline(Key::Block(block)),
        Want::Get(claim(host("node-1"), "10.0.0.0/26")),
        Want::Get(key("none")),
        Want::Get(Key::IpamConfig),
        Want::Get(Key::resource(Kind::ClusterInformation, "default")),
        Want::Get(Key::resource(Kind::Node, "node-2")),
        Want::Get(Key::endpoint("default", "node--1-k8s-none-eth0")),
        Want::Get(Key::endpoint("default", "node--1-cni-none-eth0")),
        Want::Get(Key::endpoint("none", "node--1-k8s-none-eth0")),
        Want::Get(Key::resource(Kind::Profile, "none")),
        Want::Get(Key::resource(Kind::Profile, "kns.none")),
        Want::Get(Key::resource(Kind::Profile, "ksa.default.none")),
        Want::Get(Key::resource(Kind::IpamConfiguration, "default")),
        Want::List(Listing::Blocks),
        Want::List(Listing::Handles),
        Want::List(Listing::HostAffinities),
        Want::List(Listing::VirtualAffinities),
        Want::List(of_host("node-1", IpVersion::V4)),
        Want::List(Listing::Resources(Kind::IpPool)),
        Want::List(Listing::Resources(Kind::WorkloadEndpoint)),
        Want::List(Listing::Endpoints { namespace: "none".to_owned(), name_prefix: "node--1-k8s-none-".to_owned() }),
        Want::List(Listing::Resources(Kind::IpamConfiguration)),
    ];
    let mut answers = store.read(&absent);
    for want in &absent {
        assert_eq!(answers.entries().len(), 0, "{want}");
    }
    assert_eq!(store.keys(Listing::Resources(Kind::Node)), [Key::resource(Kind::Node, "node-1")]);
    store.conflicts(Write::delete(key("none"), calico_datastore::Revision(1)));
}

/// The names of custom resources are of small letters, and handles' IDs need not be.
fn two_keys_may_have_one_place(_: &ControlPlane, store: &Opened) {
    let (one, other) = (key("net1.Sandbox_1"), key("net1.sandbox_1"));
    for id in [&one, &other] {
        assert_eq!(store.revision(id), None);
    }
    // A name with such a character is none for a custom resource.
    assert!(store.try_commit(&[Write::create(one, handle(1))]).is_err());
    let (one, other) = (key("net1.Sandbox-1"), key("net1.sandbox-1"));
    let created = store.applied(&[Write::create(one.clone(), handle(1))])[0];
    assert_eq!(store.get::<Handle>(&one).unwrap().value, handle(1));
    assert_eq!(store.revision(&other), None);
    store.conflicts(Write::create(other.clone(), handle(2)));
    store.conflicts(Write::update(other.clone(), created, handle(2)));
    assert_eq!(store.keys(Listing::Handles), std::slice::from_ref(&one));
    store.applied(&[Write::delete(one, created)]);
    store.applied(&[Write::create(other.clone(), handle(2))]);
    assert_eq!(store.keys(Listing::Handles), [other]);
}

fn a_host_and_a_virtual_owner_of_one_name_are_two(_: &ControlPlane, store: &Opened) {
    let block = "10.0.0.64/26";
    let (of_host_key, of_virtual) = (claim(host("lb"), block), claim(virtual_owner("lb"), block));
    assert_eq!(store.revision(&of_virtual), None);
    let created = store.applied(&[Write::create(of_virtual.clone(), confirmed())])[0];
    assert_eq!(store.revision(&of_host_key), None);
    store.conflicts(Write::create(of_host_key.clone(), confirmed()));
    assert_eq!(store.keys(Listing::HostAffinities), []);
    assert_eq!(store.keys(of_host("lb", IpVersion::V4)), []);
    assert_eq!(store.keys(Listing::VirtualAffinities), std::slice::from_ref(&of_virtual));
    store.applied(&[Write::delete(of_virtual, created), Write::create(of_host_key.clone(), confirmed())]);
    assert_eq!(store.keys(of_host("lb", IpVersion::V4)), [of_host_key]);
    assert_eq!(store.keys(of_host("lb", IpVersion::V6)), []);
    assert_eq!(store.keys(Listing::VirtualAffinities), []);
}

/// A node's name may have 253 characters, and so may an object's: the two that a claim is named after do not fit.
fn names_may_be_long(_: &ControlPlane, store: &Opened) {
    let label = "n".repeat(61);
    let long = format!("{label}.{label}.{label}.{label}.{}", "n".repeat(5));
    assert_eq!(long.len(), 253);
    let almost = long[..252].to_owned();
    let hosts = [&long, &almost, &long[..236].to_owned()].map(|name| host(name));
    let blocks = ["192.168.100.128/26", "fd65:1111:2222:3333:4444:5555:6666:7700/122"];
    let mut all: Vec<Key> = hosts.iter().flat_map(|owner| blocks.map(|block| claim(owner.clone(), block))).collect();
    for key in &all {
        assert_eq!(store.revision(key), None);
        let created = store.applied(&[Write::create(key.clone(), Affinity::new(AffinityState::Pending))])[0];
        store.applied(&[Write::update(key.clone(), created, confirmed())]);
        assert_eq!(store.get::<Affinity>(key).unwrap().value, confirmed());
    }
    for owner in &hosts {
        for (version, block) in IpVersion::BOTH.into_iter().zip(blocks) {
            let listing = Listing::Affinities { owner: owner.clone(), version };
            assert_eq!(store.keys(listing), [claim(owner.clone(), block)]);
        }
    }
    all.sort_by_key(Key::path);
    assert_eq!(store.keys(Listing::HostAffinities), all);
    for key in all {
        let revision = store.revision(&key).unwrap();
        store.applied(&[Write::delete(key, revision)]);
    }
    assert_eq!(store.keys(Listing::HostAffinities), []);
}

/// Stores a claim of `node-1` that lacks what later releases write.
fn plant_claim(plane: &ControlPlane, block: &str, spec: Value, labels: Option<Value>) -> String {
    let collection = plane.collection("blockaffinities");
    let name = format!("node-1-{}", block.replace(['.', '/'], "-"));
    let mut object = json!({
        "apiVersion": plane.group().version(), "kind": "BlockAffinity", "metadata": {"name": name},
        "spec": {"state": "confirmed", "node": "node-1", "cidr": block, "deleted": deleted(plane, false)}
    });
    for (field, value) in spec.as_object().unwrap() {
        object["spec"][field] = value.clone();
    }
    if let Some(labels) = labels {
        object["metadata"]["labels"] = labels;
    }
    plane.admin().create(&collection, &object).unwrap_or_else(|e| panic!("{e}: {object}"));
    format!("{collection}/{name}")
}

/// How a claim says whether it is being deleted.
fn deleted(plane: &ControlPlane, deleted: bool) -> Value {
    match plane.group() {
        ApiGroup::Crd => json!(deleted.to_string()),
        ApiGroup::V3 => json!(deleted),
    }
}

fn claims_of_old_releases_are_found(plane: &ControlPlane, store: &Opened) {
    let own = claim(host("node-1"), "10.0.0.0/26");
    assert_eq!(store.revision(&own), None);
    store.applied(&[Write::create(own.clone(), confirmed())]);
    store.applied(&[Write::create(claim(host("node-2"), "10.0.0.192/26"), confirmed())]);
    let written = plane.admin().get(&format!("{}/node-1-10-0-0-0-26", plane.collection("blockaffinities"))).unwrap();
    let mut labels = written["metadata"]["labels"].clone();
    labels["projectcalico.org/affinity-type"] = json!("");
    plant_claim(plane, "10.0.0.64/26", json!({}), Some(labels.clone()));
    plant_claim(plane, "10.0.1.64/26", json!({"type": ""}), Some(labels.clone()));
    let unlabelled = plant_claim(plane, "10.0.0.128/26", json!({}), None);
    let of_node = |blocks: &[&str]| -> Vec<Key> { blocks.iter().map(|block| claim(host("node-1"), block)).collect() };
    assert_eq!(store.keys(of_host("node-1", IpVersion::V4)), of_node(&["10.0.0.0/26", "10.0.0.64/26", "10.0.1.64/26"]));
    assert_eq!(store.keys(Listing::HostAffinities).len(), 5);
    // Writing one makes it like the others.
    let key = claim(host("node-1"), "10.0.0.128/26");
    let revision = store.revision(&key).unwrap();
    store.applied(&[Write::update(key, revision, confirmed())]);
    assert_eq!(store.keys(of_host("node-1", IpVersion::V4)).len(), 4);
    let now = plane.admin().get(&unlabelled).unwrap();
    assert_eq!((&now["metadata"]["labels"], &now["spec"]["type"]), (&written["metadata"]["labels"], &json!("host")));
}

fn what_cannot_be_read_is_in_nobodys_way(plane: &ControlPlane, store: &Opened) {
    plane.put_pool("good", "10.65.0.0/16", 26);
    plane.put_pool("bad", "10.66.0.0/16", 26);
    plane.put_pool("deaf", "10.67.0.0/16", 26);
    let pools = plane.collection("ippools");
    // In the other group the annotation means nothing.
    let annotation = json!({"metadata": {"annotations": {"projectcalico.org/metadata": "{"}}});
    plane.admin().patch(&format!("{pools}/bad"), &annotation).unwrap();
    plane.admin().patch(&format!("{pools}/deaf"), &json!({"spec": {"disabled": null, "blockSize": null}})).unwrap();
    let mut answers = store.read(&[Want::List(Listing::Resources(Kind::IpPool))]);
    let (readable, malformed) = answers.list_readable::<IpPool>();
    let bad = usize::from(plane.group() == ApiGroup::Crd);
    assert_eq!((readable.len(), malformed.len()), (3 - bad, bad));
    let read = store.try_get::<IpPool>(&Key::resource(Kind::IpPool, "bad"));
    assert_eq!(read.is_err(), bad == 1, "{read:?}");

    // What the definitions let pass, and is none all the same.
    let cidr = "10.65.0.0/26".parse().unwrap();
    let block = Key::Block(cidr);
    store.applied(&[Write::create(block.clone(), Block::new(cidr, &host("node-1"), SystemTime::now()))]);
    let path = format!("{}/10-65-0-0-26", plane.collection("ipamblocks"));
    plane.admin().patch(&path, &json!({"spec": {"sequenceNumber": -1}})).unwrap();
    assert!(store.try_get::<Block>(&block).unwrap_err().to_string().contains("10.65.0.0-26"));
    assert_eq!(store.read(&[Want::List(Listing::Blocks)]).list::<Block>().len(), 0);
    // It can be deleted by whoever has seen it.
    let revision = store.revision(&block).unwrap();
    store.conflicts(Write::create(block.clone(), Block::new(cidr, &host("node-1"), SystemTime::now())));
    store.applied(&[Write::delete(block, revision)]);

    // Settings of another name.
    let settings = json!({"strictAffinity": true, "autoAllocateBlocks": false});
    let (plural, _) = plane.group().resources()[3];
    plane.put(plural, "another", settings);
    assert_eq!(store.revision(&Key::IpamConfig), None);
}

/// The established implementation deletes in two steps: it says so in the object, and then deletes it. Between them it may
/// have died.
fn what_is_being_deleted_is_absent(plane: &ControlPlane, store: &Opened) {
    let cidr = "10.65.0.0/26".parse().unwrap();
    let (block, own, id) = (Key::Block(cidr), claim(host("node-1"), "10.65.0.0/26"), key("net1.c1"));
    let paths =
        [("ipamblocks", "10-65-0-0-26"), ("blockaffinities", "node-1-10-65-0-0-26"), ("ipamhandles", "net1.c1")]
            .map(|(plural, name)| format!("{}/{name}", plane.collection(plural)));
    assert_eq!(store.revision(&block), None);
    let create = || -> [Write; 3] {
        [
            Write::create(block.clone(), Block::new(cidr, &host("node-1"), SystemTime::now())),
            Write::create(own.clone(), confirmed()),
            Write::create(id.clone(), handle(1)),
        ]
    };
    let begin_deletion = || {
        for (path, value) in paths.iter().zip([json!(true), deleted(plane, true), json!(true)]) {
            plane.admin().patch(path, &json!({"spec": {"deleted": value}})).unwrap();
        }
    };
    let assert_gone = || {
        for path in &paths {
            assert!(matches!(plane.admin().get(path), Err(Refusal { code: 404, .. })), "{path} is there");
        }
    };
    let readings: [&dyn Fn(); 3] = [
        &|| {
            for key in [&block, &own, &id] {
                assert_eq!(store.revision(key), None);
            }
        },
        &|| {
            for listing in [Listing::Blocks, Listing::HostAffinities, Listing::Handles] {
                assert_eq!(store.keys(listing), []);
            }
        },
        &|| {
            let outline = store.read(&[Want::Outline(block.clone())]).entries();
            assert_eq!(outline.len(), 0);
            assert_eq!(store.keys(of_host("node-1", IpVersion::V4)), []);
            assert_eq!(store.revision(&id), None);
        },
    ];
    for read in readings {
        store.applied(&create());
        begin_deletion();
        read();
        assert_gone();
    }
    // Who has read nothing of it creates over it, and a write of what was read before conflicts.
    let before = store.applied(&create());
    begin_deletion();
    store.conflicts(Write::update(id.clone(), before[2], handle(2)));
    let again = store.applied(&create());
    for (key, revision) in [&block, &own, &id].into_iter().zip(again) {
        assert_eq!(store.revision(key), Some(revision));
    }
}

fn long_listings_are_complete(plane: &ControlPlane, store: &Opened) {
    assert_eq!(store.revision(&key("a")), None);
    let mut ids: Vec<String> = (0..LISTED).map(|number| format!("listed-{number:05}")).collect();
    let writes: Vec<Write> = ids.iter().map(|id| Write::create(key(id), handle(1))).collect();
    store.applied(&writes);
    // In the order of the keys, which the server's is not.
    store.applied(&[Write::create(key("Upper"), handle(1))]);
    ids.insert(0, "Upper".to_owned());
    let mark = plane.mark();
    let expected: Vec<Key> = ids.iter().map(|id| key(id)).collect();
    assert_eq!(store.keys(Listing::Handles), expected);
    let asked: Vec<String> = plane.audit_of_plugin(mark).into_iter().map(|event| event.uri).collect();
    assert!(asked.len() == 2 && asked[1].contains("limit=500&continue="), "{asked:?}");
}
