//! Objects in the Kubernetes API: those that the established implementation was seen to store, and others that it may.

use calico_model::kubernetes::{Group, Item, Kept, Place, collection, decode, decode_outline, encode, place};
use calico_model::{
    Affinity, AnyResource, Block, Handle, IpPool, IpVersion, IpamConfig, Key, Kind, Listing, Object, Owner,
};
use serde_json::{Value, json};

/// Pairs of a collection and an object of it, as recorded.
fn recorded() -> Vec<(String, Value)> {
    let fixture: Value = serde_json::from_str(include_str!("fixtures/kubernetes.json")).unwrap();
    serde_json::from_value(fixture["objects"].clone()).unwrap()
}

fn read(group: Group, plural: &str, object: &Value) -> Option<Item> {
    decode(group, plural, object.to_string().as_bytes())
}

fn item(group: Group, plural: &str, object: &Value) -> Item {
    read(group, plural, object).unwrap_or_else(|| panic!("{object} names nothing"))
}

fn written(group: Group, key: &Key, object: &Object, kept: Option<&Kept>, version: Option<&str>) -> Value {
    serde_json::from_str(&encode(group, key, object, kept, version).unwrap()).unwrap()
}

/// Writes an item as it was read.
fn rewritten(group: Group, item: &Item) -> Value {
    written(group, &item.key, item.object.as_ref().unwrap(), Some(&item.kept), Some(&item.resource_version))
}

/// An object without what the API server sets, whatever a client sends.
fn sent(mut object: Value) -> Value {
    let metadata = object["metadata"].as_object_mut().unwrap();
    for field in ["creationTimestamp", "deletionTimestamp", "generation", "managedFields", "selfLink"] {
        metadata.remove(field);
    }
    if metadata.get("annotations") == Some(&json!({})) {
        metadata.remove("annotations");
    }
    object
}

/// An object that was read is written back as it was, and then read as the same.
#[track_caller]
fn assert_survives(group: Group, plural: &str, object: &Value) -> Item {
    let item = item(group, plural, object);
    let again = rewritten(group, &item);
    assert_eq!(again, sent(object.clone()));
    assert_eq!(read(group, plural, &again).unwrap().object.map(without_birth), item.object.clone().map(without_birth));
    item
}

fn without_birth(mut object: Object) -> Object {
    if let Some(metadata) = object.metadata_mut() {
        metadata.creation_timestamp = None;
    }
    object
}

#[test]
fn recorded_objects_survive() {
    let objects = recorded();
    assert_eq!(objects.len(), 39);
    for (plural, object) in objects {
        let item = assert_survives(Group::V1, &plural, &object);
        let metadata = &object["metadata"];
        let name = metadata["name"].as_str().unwrap().to_owned();
        let place = place(Group::V1, &item.key).unwrap();
        assert_eq!((place.plural, place.name), (plural.as_str(), name));
        assert_eq!(
            (item.resource_version.as_str(), item.uid.as_str(), item.is_deleted),
            (metadata["resourceVersion"].as_str().unwrap(), metadata["uid"].as_str().unwrap(), false)
        );
        let kind = object["kind"].as_str().unwrap();
        assert_eq!(read(Group::V1, kind, &object), Some(item));
    }
}

/// Blocks, affinities and handles are created as the established implementation creates them.
#[test]
fn created_as_recorded() {
    let (mut compared, mut lists) = (0, 0);
    for (plural, object) in recorded() {
        let item = item(Group::V1, &plural, &object);
        if !matches!(item.key, Key::Block(_) | Key::Affinity { .. } | Key::Handle(_)) {
            continue;
        }
        let mut expected = sent(object);
        expected["metadata"].as_object_mut().unwrap().retain(|field, _| field != "resourceVersion" && field != "uid");
        assert_eq!(written(Group::V1, &item.key, item.object.as_ref().unwrap(), None, None), expected);
        compared += 1;
        lists += usize::from(expected["spec"]["attributes"].is_array());
    }
    assert_eq!((compared, lists), (34, 22));
}

/// What has another form than in etcd is read as the same object.
#[test]
fn read_as_the_objects_of_etcd() {
    let block =
        |text| Block::try_from(Object::parse(&Key::Block("10.0.0.0/31".parse().unwrap()), text).unwrap()).unwrap();
    let of_etcd = block(br#"{"cidr":"10.0.0.0/31","affinity":"host:n","affinity_claim_time":"2026-01-02T03:04:05Z","allocations":[0,null],"unallocated":[1],"attributes":[{"handle_id":"h"}],"sequenceNumber":1767323045123456791,"sequenceNumberForAllocation":{"0":1767323045123456789},"deleted":false}"#);
    for group in [Group::V1, Group::V3] {
        let object = json!({"kind": "IPAMBlock", "apiVersion": group.api_version(), "metadata": {"name": "10-0-0-0-31"}, "spec": {"cidr": "10.0.0.0/31", "affinity": "host:n", "affinityClaimTime": "2026-01-02T03:04:05Z", "allocations": [0, null], "unallocated": [1], "attributes": [{"handle_id": "h"}], "sequenceNumber": 1_767_323_045_123_456_791_u64, "sequenceNumberForAllocation": {"0": 1_767_323_045_123_456_789_u64}, "deleted": false, "strictAffinity": false}});
        assert_eq!(item(group, "ipamblocks", &object).object, Ok(of_etcd.clone().into()));
    }
    let config = json!({"metadata": {"name": "default"}, "spec": {"strictAffinity": true, "autoAllocateBlocks": false, "maxBlocksPerHost": 4, "kubeVirtVMAddressPersistence": "Enabled", "ipCooldownSeconds": 30}});
    for (group, plural, kind) in
        [(Group::V1, "ipamconfigs", "IPAMConfig"), (Group::V3, "ipamconfigurations", "IPAMConfiguration")]
    {
        let item = item(group, plural, &config);
        let read = IpamConfig::try_from(item.object.clone().unwrap()).unwrap();
        assert!(read.strict_affinity && !read.auto_allocate_blocks && read.max_blocks_per_host == 4);
        assert_eq!((read.ip_cooldown_seconds, read.extra.len()), (30, 0));
        let written = rewritten(group, &item);
        assert_eq!((&written["spec"], &written["kind"]), (&config["spec"], &kind.into()));
    }
    let defaults = written(Group::V1, &Key::IpamConfig, &IpamConfig::default().into(), None, None);
    assert_eq!(
        defaults.to_string(),
        r#"{"kind":"IPAMConfig","apiVersion":"crd.projectcalico.org/v1","metadata":{"name":"default","annotations":{"projectcalico.org/metadata":"{}"}},"spec":{"strictAffinity":false,"autoAllocateBlocks":true}}"#
    );
}

/// Nothing that the schema requires is absent from a block, and nothing is `null`, also where the stored object lacks it.
#[test]
fn blocks_are_written_whole() {
    let bare = json!({"metadata": {"name": "10-0-0-0-32"}, "spec": {"cidr": "10.0.0.0/32", "allocations": null, "attributes": null, "affinity": null, "sequenceNumberForAllocation": null, "strictAffinity": null}});
    assert_eq!(
        rewritten(Group::V3, &item(Group::V3, "ipamblocks", &bare))["spec"].to_string(),
        r#"{"cidr":"10.0.0.0/32","allocations":[],"unallocated":[],"attributes":[],"sequenceNumber":0,"sequenceNumberForAllocation":{},"deleted":false,"strictAffinity":false}"#
    );
}

#[test]
fn places_of_the_reference() {
    let net = |text: &str| text.parse().unwrap();
    let host = |name: &str| Owner::Host(name.to_owned());
    let long = "abcdefghij".repeat(25);
    let affinity = |owner, block: &str| Key::Affinity { owner, block: net(block) };
    let cut = format!("{}-192-168-1-0-26-240317d1347", &long[..225]);
    for (key, plural, name) in [
        (Key::Block(net("192.168.1.64/26")), "ipamblocks", "192-168-1-64-26"),
        (Key::Block(net("fd80:24e2:f998:72d6::/122")), "ipamblocks", "fd80-24e2-f998-72d6---122"),
        (affinity(host("node1"), "192.168.1.64/26"), "blockaffinities", "node1-192-168-1-64-26"),
        (affinity(Owner::Virtual("load-balancer".into()), "fd00::/122"), "blockaffinities", "load-balancer-fd00---122"),
        (affinity(host(&long), "192.168.1.0/26"), "blockaffinities", &cut),
        (Key::Handle("K8s-pod-network.3F1c".into()), "ipamhandles", "k8s-pod-network.3f1c"),
        (Key::IpamConfig, "ipamconfigs", "default"),
        (Key::resource(Kind::IpPool, "p"), "ippools", "p"),
        (Key::resource(Kind::IpReservation, "r"), "ipreservations", "r"),
        (Key::resource(Kind::ClusterInformation, "default"), "clusterinformations", "default"),
    ] {
        assert_eq!(place(Group::V1, &key), Some(Place { plural, name: name.to_owned() }));
    }
    assert_eq!(cut.len(), 252);
    // 252 characters are not cut, 253 are.
    let name = |length: usize| place(Group::V1, &affinity(host(&"h".repeat(length)), "192.168.1.0/26")).unwrap().name;
    assert_eq!(name(237), format!("{}-192-168-1-0-26", "h".repeat(237)));
    assert!(name(238).starts_with(&format!("{}-192-168-1-0-26-", "h".repeat(225))) && name(238).len() == 252);
    // Other writers may have stored any text: it is cut between characters.
    assert!(place(Group::V1, &affinity(host(&"ä".repeat(200)), "192.168.1.0/26")).unwrap().name.len() <= 252);
    assert_eq!(place(Group::V3, &Key::IpamConfig).unwrap().plural, "ipamconfigurations");
    for key in [Key::endpoint("default", "e"), Key::resource(Kind::Node, "n"), Key::resource(Kind::Profile, "p")] {
        assert_eq!(place(Group::V1, &key), None);
        assert!(encode(Group::V1, &key, &IpamConfig::default().into(), None, None).is_err());
    }
}

#[test]
fn collections_and_what_they_list() {
    let of = |listing: &Listing| collection(Group::V1, listing).map(|it| (it.plural, it.selector));
    let owner = Owner::Host("node1".to_owned());
    let mine = Listing::Affinities { owner: owner.clone(), version: IpVersion::V4 };
    let selector = "projectcalico.org/hostname-hash=7DS2CCNJGGLTHBDQLLFO6SX24SY2YDDEG3W2VN556FA2W4DLLV5A";
    assert_eq!(of(&mine), Some(("blockaffinities", Some(selector.to_owned()))));
    assert_eq!(of(&Listing::Blocks), Some(("ipamblocks", None)));
    assert_eq!(of(&Listing::HostAffinities), Some(("blockaffinities", None)));
    assert_eq!(of(&Listing::Resources(Kind::IpReservation)), Some(("ipreservations", None)));
    assert_eq!(of(&Listing::Resources(Kind::Node)), None);
    assert_eq!(of(&Listing::Endpoints { namespace: "n".into(), name_prefix: "p".into() }), None);

    let affinity = |owner: Owner, block: &str| Key::Affinity { owner, block: block.parse().unwrap() };
    assert!(mine.contains(&affinity(owner.clone(), "10.0.0.0/26")));
    assert!(!mine.contains(&affinity(owner, "fd00::/122")));
    let namesake = affinity(Owner::Virtual("node1".to_owned()), "10.0.0.0/26");
    assert!(!mine.contains(&namesake) && !Listing::HostAffinities.contains(&namesake));
    assert!(Listing::VirtualAffinities.contains(&namesake) && !Listing::Blocks.contains(&namesake));
}

/// Every listing has the objects whose paths begin like it.
#[test]
fn listings_contain_what_begins_alike() {
    let block: ipnetwork::IpNetwork = "10.0.0.0/26".parse().unwrap();
    let owners = [Owner::Host("n".into()), Owner::Host("n1".into()), Owner::Virtual("n".into())];
    let mut keys = vec![Key::Block(block), Key::Handle("h".into()), Key::IpamConfig];
    keys.extend(owners.iter().map(|owner| Key::Affinity { owner: owner.clone(), block }));
    keys.extend(Kind::ALL.into_iter().filter(|kind| !kind.is_namespaced()).map(|kind| Key::resource(kind, "x")));
    keys.extend([Key::endpoint("default", "n-cni-a-eth0"), Key::endpoint("other", "n-cni-a-eth0")]);
    let mut listings = vec![Listing::Blocks, Listing::Handles, Listing::HostAffinities, Listing::VirtualAffinities];
    listings.extend(owners.map(|owner| Listing::Affinities { owner, version: IpVersion::V4 }));
    listings.extend(Kind::ALL.map(Listing::Resources));
    listings.push(Listing::Endpoints { namespace: "default".into(), name_prefix: "n-cni-".into() });
    for listing in &listings {
        for key in &keys {
            assert_eq!(listing.contains(key), key.path().starts_with(&listing.prefix()), "{listing} {key}");
        }
    }
}

#[test]
fn affinities_in_the_form_of_each_group() {
    let key = Key::parse("/calico/ipam/v2/virtual/lb/ipv6/block/fd00::-122").unwrap();
    let mut affinity = Affinity { deleted: true, ..Affinity::default() };
    let v1 = written(Group::V1, &key, &affinity.clone().into(), None, None);
    assert_eq!(
        v1["spec"].to_string(),
        r#"{"state":"confirmed","node":"lb","type":"virtual","cidr":"fd00::/122","deleted":"true"}"#
    );
    assert_eq!(v1["metadata"]["labels"]["projectcalico.org/affinity-type"], "virtual");
    assert_eq!(v1["metadata"]["labels"]["projectcalico.org/ip-version"], "6");
    let v3 = written(Group::V3, &key, &affinity.clone().into(), None, None);
    assert_eq!((&v3["spec"]["deleted"], v3["metadata"].get("annotations")), (&json!(true), None));
    assert_eq!(v3["metadata"]["labels"], v1["metadata"]["labels"]);
    for (group, object) in [(Group::V1, &v1), (Group::V3, &v3)] {
        let read = item(group, "blockaffinities", object);
        assert_eq!((read.key, read.is_deleted, read.object), (key.clone(), true, Ok(affinity.clone().into())));
    }
    affinity.deleted = false;
    let is_deleted = |deleted: Value| {
        let object =
            json!({"metadata": {"name": "x"}, "spec": {"node": "n", "cidr": "10.0.0.0/26", "deleted": deleted}});
        item(Group::V1, "blockaffinities", &object)
            .object
            .map(|_| item(Group::V1, "blockaffinities", &object).is_deleted)
    };
    for (text, deleted) in [("", false), ("false", false), ("true", true), ("T", true), ("1", true), ("0", false)] {
        assert_eq!(is_deleted(json!(text)), Ok(deleted), "{text}");
    }
    assert_eq!((is_deleted(json!(true)), is_deleted(Value::Null)), (Ok(true), Ok(false)));
    assert!(is_deleted(json!("maybe")).is_err() && is_deleted(json!(7)).is_err());
}

/// Rows of old releases: a host's, whose type and labels come with the next write.
#[test]
fn affinities_without_type_and_labels_are_healed() {
    for spec in [
        json!({"state": "", "node": "node1", "cidr": "10.0.0.64/26", "deleted": ""}),
        json!({"node": "node1", "type": "", "cidr": "10.0.0.65/26"}),
    ] {
        let old = json!({"metadata": {"name": "node1-10-0-0-64-26", "labels": {"mine": "x"}}, "spec": spec});
        let item = item(Group::V1, "blockaffinities", &old);
        assert_eq!(item.key.path(), "/calico/ipam/v2/host/node1/ipv4/block/10.0.0.64-26");
        let written = rewritten(Group::V1, &item);
        assert_eq!(
            written["spec"].to_string(),
            r#"{"state":"confirmed","node":"node1","type":"host","cidr":"10.0.0.64/26","deleted":"false"}"#
        );
        let labels = written["metadata"]["labels"].as_object().unwrap();
        assert_eq!((labels.len(), &labels["mine"]), (4, &json!("x")));
    }
}

/// Two IDs that differ in the case of letters have one place, and its object says whose it is.
#[test]
fn handles_say_whose_place_it_is() {
    let (upper, lower) = (Key::Handle("net.ABC".into()), Key::Handle("net.abc".into()));
    assert_eq!(place(Group::V1, &upper), place(Group::V1, &lower));
    let stored = written(Group::V1, &upper, &Handle::default().into(), None, None);
    assert_eq!(stored["metadata"]["name"], "net.abc");
    assert_eq!(stored["spec"].to_string(), r#"{"handleID":"net.ABC","block":{},"deleted":false}"#);
    let read = item(Group::V1, "ipamhandles", &stored);
    assert_eq!((&read.key, read.object), (&upper, Ok(Handle::default().into())));
}

#[test]
fn unknown_fields_survive_everywhere() {
    let metadata = |name: &str, uid: &str| {
        json!({"name": name, "resourceVersion": "7", "uid": uid, "generateName": "g", "finalizers": ["f"],
            "ownerReferences": [{"uid": "o"}], "labels": {"mine": "x"},
            "annotations": {"mine": "y", "projectcalico.org/metadata": "{\"later\":[1]}"}, "later": {"a": 1.5}})
    };
    for (plural, kind, name, spec) in [
        (
            "ipamblocks",
            "IPAMBlock",
            "10-0-0-0-32",
            json!({"cidr": "10.0.0.0/32", "affinity": "host:n", "allocations": [0], "unallocated": [], "attributes": [{"handle_id": "h", "later": null}], "sequenceNumber": 18_446_744_073_709_551_615_u64, "sequenceNumberForAllocation": {}, "deleted": true, "strictAffinity": true, "hostAffinity": "n", "later": {"a": []}}),
        ),
        (
            "ipamhandles",
            "IPAMHandle",
            "h",
            json!({"handleID": "h", "block": {"10.0.0.0/32": 1}, "deleted": true, "later": {"a": 0.1}}),
        ),
        (
            "ipamconfigs",
            "IPAMConfig",
            "default",
            json!({"strictAffinity": false, "autoAllocateBlocks": true, "later": [null]}),
        ),
    ] {
        let object = json!({"kind": kind, "apiVersion": "crd.projectcalico.org/v1", "metadata": metadata(name, "u"), "spec": spec, "status": {"later": 1}});
        let item = assert_survives(Group::V1, plural, &object);
        assert_eq!(item.is_deleted, spec.get("deleted").is_some());
    }
    let mut affinity = json!({"kind": "BlockAffinity", "apiVersion": "crd.projectcalico.org/v1", "metadata": metadata("n-10-0-0-0-32", "u"), "spec": {"state": "dreaming", "node": "n", "type": "host", "cidr": "10.0.0.0/32", "deleted": "false", "later": 1}, "status": 1});
    let written = rewritten(Group::V1, &item(Group::V1, "blockaffinities", &affinity));
    affinity["metadata"]["labels"] = written["metadata"]["labels"].clone();
    assert_eq!(written["metadata"]["labels"]["mine"], "x");
    let inner: Value =
        serde_json::from_str(written["metadata"]["annotations"]["projectcalico.org/metadata"].as_str().unwrap())
            .unwrap();
    assert_eq!((&inner["later"], inner["labels"].as_object().unwrap().len()), (&json!([1]), 3));
    affinity["metadata"]["annotations"] = written["metadata"]["annotations"].clone();
    assert_eq!(written["metadata"]["annotations"]["mine"], "y");
    assert_eq!(written, affinity);
}

/// A v3 resource's metadata: Calico's in the annotation, or, where there is none and in the group V3, the real one.
#[test]
fn metadata_of_resources() {
    let object = |group: Group, metadata: Value| json!({"kind": "IPPool", "apiVersion": group.api_version(), "metadata": metadata, "spec": {"cidr": "10.0.0.0/16", "later": 1}, "status": {"a": 1}});
    let inner = r#"{"creationTimestamp":"2026-01-02T03:04:05Z","labels":{"mine":"x","projectcalico.org/a":"b"},"annotations":{"mine":"y"},"finalizers":["calicos"]}"#;
    let annotated = object(
        Group::V1,
        json!({"name": "p", "resourceVersion": "7", "uid": "u", "labels": {"projectcalico.org/a": "b"},
            "annotations": {"projectcalico.org/metadata": inner}, "finalizers": ["real"]}),
    );
    let item = assert_survives(Group::V1, "ippools", &annotated);
    let mut pool = IpPool::try_from(item.object.clone().unwrap()).unwrap();
    assert_eq!((pool.kind.as_str(), pool.api_version.as_str()), ("IPPool", "projectcalico.org/v3"));
    assert_eq!((pool.metadata.uid.as_str(), pool.metadata.name.as_str()), ("u", "p"));
    assert_eq!(pool.metadata.creation_timestamp.as_deref(), Some("2026-01-02T03:04:05Z"));
    assert_eq!((pool.metadata.labels["mine"].as_str(), pool.metadata.labels.len()), ("x", 2));
    assert_eq!((pool.metadata.annotations["mine"].as_str(), pool.metadata.annotations.len()), ("y", 1));
    assert_eq!(pool.metadata.extra["finalizers"], json!(["calicos"]));
    pool.metadata.labels.insert("operator.tigera.io/c".into(), "d".into());
    pool.metadata.labels.remove("projectcalico.org/a");
    let changed = written(Group::V1, &item.key, &pool.clone().into(), Some(&item.kept), Some("7"));
    assert_eq!(changed["metadata"]["labels"], json!({"operator.tigera.io/c": "d"}));
    assert_eq!(changed["metadata"]["finalizers"], json!(["real"]));

    // Somebody labelled the real object.
    let mut labelled = annotated;
    labelled["metadata"]["labels"]["theirs"] = "z".into();
    let item = self::item(Group::V1, "ippools", &labelled);
    assert_eq!(item.object.clone().unwrap().metadata_mut().unwrap().labels["theirs"], "z");
    assert_eq!(rewritten(Group::V1, &item)["metadata"]["labels"], labelled["metadata"]["labels"]);

    let real = json!({"name": "p", "resourceVersion": "7", "uid": "u", "labels": {"mine": "x"}, "annotations": {"mine": "y"}, "finalizers": ["f"]});
    for group in [Group::V1, Group::V3] {
        let item = assert_survives(group, "ippools", &object(group, real.clone()));
        assert_eq!(item.object.unwrap().metadata_mut().unwrap().labels["mine"], "x");
    }
    let created = written(Group::V1, &Key::resource(Kind::IpPool, "p"), &pool.into(), None, None);
    assert_eq!((created["metadata"].get("uid"), created["metadata"].get("resourceVersion")), (None, None));
    assert!(created["metadata"]["annotations"]["projectcalico.org/metadata"].as_str().unwrap().contains("calicos"));
}

/// Objects of whatever content, as people's tools write them, are written as those with a type of their own. Neither what a tool
/// was shown of the place counts, nor is what others gave to the real object lost.
#[test]
fn resources_of_any_content_are_written() {
    let metadata = json!({"name": "default", "resourceVersion": "7", "uid": "u", "generation": 3,
        "creationTimestamp": "2026-01-02T03:04:05Z", "labels": {"mine": "x"}, "annotations": {"mine": "y"},
        "finalizers": ["f"], "ownerReferences": [{"uid": "o"}]});
    for group in [Group::V1, Group::V3] {
        for (kind, plural, spec) in [
            (Kind::IpPool, "ippools", json!({"cidr": "10.0.0.0/16", "ipipMode": "Always", "later": [1]})),
            (Kind::IpReservation, "ipreservations", json!({"reservedCIDRs": ["10.0.0.0/30"], "later": [1]})),
            (Kind::ClusterInformation, "clusterinformations", json!({"clusterGUID": "g", "datastoreReady": false})),
        ] {
            let key = Key::resource(kind, "default");
            let shown = json!({"kind": kind.name(), "apiVersion": "projectcalico.org/v3", "metadata": metadata,
                "spec": spec, "status": {"a": 1}});
            let any: AnyResource = serde_json::from_value(shown.clone()).unwrap();

            let created = written(group, &key, &Object::Any(any.clone()), None, None);
            assert_eq!(created["apiVersion"], group.api_version());
            assert_eq!((&created["kind"], &created["spec"]), (&shown["kind"], &spec));
            assert_eq!((created["metadata"].get("uid"), created["metadata"].get("resourceVersion")), (None, None));
            let again = item(group, plural, &created);
            let calicos = again.object.clone().unwrap().metadata_mut().unwrap().clone();
            assert_eq!((calicos.labels["mine"].as_str(), calicos.annotations["mine"].as_str()), ("x", "y"));
            assert_eq!(json!(calicos.extra), json!({"finalizers": ["f"], "ownerReferences": [{"uid": "o"}]}));

            // It replaces a later version of its place than the tool was shown, which others changed.
            let mut there = created;
            for (field, value) in [("resourceVersion", json!("9")), ("uid", json!("v"))] {
                there["metadata"][field] = value;
            }
            if group == Group::V1 {
                there["metadata"]["finalizers"] = json!(["theirs"]);
            }
            let there = item(group, plural, &there);
            let replaced = written(group, &key, &Object::Any(any), Some(&there.kept), Some("9"));
            let metadata = &replaced["metadata"];
            assert_eq!((&metadata["resourceVersion"], &metadata["uid"]), (&json!("9"), &json!("v")));
            assert_eq!((metadata.get("generation"), &replaced["spec"]), (None, &spec));
            assert_eq!(metadata["finalizers"], json!([if group == Group::V1 { "theirs" } else { "f" }]));
            let calicos = item(group, plural, &replaced).object.unwrap().metadata_mut().unwrap().clone();
            assert_eq!((calicos.labels["mine"].as_str(), calicos.annotations["mine"].as_str()), ("x", "y"));
            assert_eq!(calicos.extra["finalizers"], json!(["f"]));
        }
    }
    let other: AnyResource =
        serde_json::from_value(json!({"kind": "IPPool", "apiVersion": "", "metadata": {"name": "p"}, "spec": {}}))
            .unwrap();
    let key = Key::resource(Kind::IpReservation, "p");
    assert!(encode(Group::V1, &key, &Object::Any(other), None, None).is_err());
}

/// What people set of address management is the settings themselves here.
#[test]
fn the_settings_of_people_have_no_place_of_their_own() {
    for group in [Group::V1, Group::V3] {
        assert_eq!(place(group, &Key::resource(Kind::IpamConfiguration, "default")), None);
        assert_eq!(collection(group, &Listing::Resources(Kind::IpamConfiguration)), None);
    }
}

/// A pool that is being deleted is seen to be, wherever it says so.
#[test]
fn pools_being_deleted() {
    for annotations in [json!({}), json!({"projectcalico.org/metadata": "{\"deletionTimestamp\":null}"})] {
        let object = json!({"metadata": {"name": "p", "deletionTimestamp": "2026-01-02T03:04:05Z", "annotations": annotations}, "spec": {"cidr": "10.0.0.0/16"}});
        let item = item(Group::V1, "ippools", &object);
        assert!(!IpPool::try_from(item.object.clone().unwrap()).unwrap().is_enabled());
        assert!(!rewritten(Group::V1, &item).to_string().contains("deletionTimestamp"));
    }
}

#[test]
fn what_cannot_be_read_says_so() {
    let block =
        |spec: Value| json!({"metadata": {"name": "10-0-0-0-31", "resourceVersion": "7", "uid": "u"}, "spec": spec});
    let path = "/calico/ipam/v2/assignment/ipv4/block/10.0.0.0-31";
    for spec in [
        json!({"cidr": "10.0.0.0/31", "allocations": "none"}),
        json!({"cidr": "10.0.0.0/31", "allocations": [0.5]}),
        json!({"cidr": "10.0.0.0/31", "sequenceNumber": -1}),
        json!({"cidr": "10.0.0.0/31", "attributes": [7]}),
        json!({"cidr": "10.0.0.0/31", "affinityClaimTime": "a", "affinity_claim_time": "b"}),
        json!({"cidr": "junk"}),
        json!({}),
        json!([]),
        Value::Null,
    ] {
        let item = item(Group::V1, "ipamblocks", &block(spec));
        assert_eq!((item.key.path().as_str(), item.resource_version.as_str(), item.uid.as_str()), (path, "7", "u"));
        let error = item.object.unwrap_err();
        assert!(error.key == path && !error.reason.is_empty());
    }
    let deleted = item(Group::V1, "ipamblocks", &block(json!({"deleted": true, "unallocated": 1})));
    assert!(deleted.is_deleted && deleted.object.is_err());
    let v6 = json!({"metadata": {"name": "fd80-24e2-f998-72d6---122"}, "spec": 1});
    assert_eq!(item(Group::V1, "ipamblocks", &v6).key, Key::Block("fd80:24e2:f998:72d6::/122".parse().unwrap()));

    let malformed = |plural: &str, object: Value| item(Group::V1, plural, &object).object.unwrap_err().key;
    let handle = json!({"metadata": {"name": "h"}, "spec": {"block": {}}});
    assert_eq!(malformed("ipamhandles", handle), "/calico/ipam/v2/handle/h");
    let handle = json!({"metadata": {"name": "h"}, "spec": {"handleID": "H", "block": {"10.0.0.0/31": "one"}}});
    assert_eq!(malformed("ipamhandles", handle), "/calico/ipam/v2/handle/H");
    let affinity = json!({"metadata": {}, "spec": {"node": "n", "cidr": "10.0.0.0/31", "state": 1}});
    assert_eq!(malformed("blockaffinities", affinity), "/calico/ipam/v2/host/n/ipv4/block/10.0.0.0-31");
    let config = json!({"metadata": {"name": "default"}, "spec": {"strictAffinity": "yes"}});
    assert_eq!(malformed("ipamconfigs", config), "/calico/ipam/v2/config");
    let pool = json!({"metadata": {"name": "p", "annotations": {"projectcalico.org/metadata": "{"}}, "spec": {"cidr": "10.0.0.0/16"}});
    assert_eq!(malformed("ippools", pool), "/calico/resources/v3/projectcalico.org/ippools/p");
    let labels = json!({"metadata": {"name": "p", "labels": {"a": 1}}, "spec": {"cidr": "10.0.0.0/16"}});
    assert_eq!(malformed("ippools", labels), "/calico/resources/v3/projectcalico.org/ippools/p");
}

#[test]
fn what_names_nothing() {
    for (plural, object) in [
        ("ipamblocks", json!({"metadata": {"name": "x"}, "spec": {}})),
        ("ipamblocks", json!([])),
        ("ipamblocks", json!({"metadata": {"name": ""}})),
        ("ipamhandles", json!({"metadata": {}, "spec": {}})),
        ("blockaffinities", json!({"metadata": {"name": "n-10-0-0-0-31"}, "spec": {}})),
        ("blockaffinities", json!({"metadata": {}, "spec": {"node": "n", "type": "moon", "cidr": "10.0.0.0/31"}})),
        ("ipamconfigs", json!({"metadata": {"name": "other"}, "spec": {}})),
        ("ipamconfigurations", json!({"metadata": {"name": "default"}, "spec": {}})),
        ("ippools", json!({"metadata": {}, "spec": {}})),
        ("tiers", json!({"metadata": {"name": "default"}, "spec": {}})),
        ("workloadendpoints", json!({"metadata": {"name": "x"}, "spec": {}})),
    ] {
        assert_eq!(read(Group::V1, plural, &object), None, "{plural} {object}");
    }
    for text in ["", "[", "null", "7", "{\"metadata\":{\"name\":\"10-0-0-0-31\"},\"spec\":1e999}"] {
        assert_eq!(decode(Group::V1, "ipamblocks", text.as_bytes()), None, "{text}");
        assert_eq!(decode_outline(Group::V1, text.as_bytes()), None, "{text}");
    }
}

#[test]
fn outlines_are_of_the_same_block() {
    let mut compared = 0;
    for (plural, object) in recorded() {
        let text = object.to_string();
        let whole = item(Group::V1, &plural, &object);
        let Ok(Object::Block(block)) = whole.object else { continue };
        let item = decode_outline(Group::V1, text.as_bytes()).unwrap();
        assert_eq!((&item.key, &item.resource_version, &item.uid), (&whole.key, &whole.resource_version, &whole.uid));
        let Ok(Object::Outline(outline)) = item.object else { panic!("{text}") };
        let outline = outline.into_block();
        assert_eq!((&outline.allocations, &outline.unallocated), (&block.allocations, &block.unallocated));
        assert_eq!((&outline.affinity, &outline.affinity_claim_time), (&block.affinity, &block.affinity_claim_time));
        assert!(encode(Group::V1, &whole.key, &Object::Block(outline.clone()), None, None).is_ok());
        compared += 1;
    }
    assert_eq!(compared, 22);
    let odd = br#"{"metadata":{"name":"10-0-0-0-31"},"spec":{"cidr":"10.0.0.0/31","deleted":true}}"#;
    assert!(decode_outline(Group::V1, odd).unwrap().is_deleted);
    let outline = decode_outline(Group::V1, odd).unwrap();
    assert!(encode(Group::V1, &outline.key, &outline.object.unwrap(), None, None).is_err());
}

#[test]
fn groups_of_a_configuration() {
    for (text, group) in [
        ("", None),
        ("projectcalico.org/v3", Some(Group::V3)),
        ("ProjectCalico.org/V3", Some(Group::V3)),
        ("crd.projectcalico.org/v1", Some(Group::V1)),
        ("v3", Some(Group::V1)),
    ] {
        assert_eq!(Group::parse(text), group, "{text}");
    }
    for group in [Group::V1, Group::V3] {
        assert_eq!(group.path(), format!("/apis/{}", group.api_version()));
    }
}
