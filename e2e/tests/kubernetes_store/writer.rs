//! Another writer of the same objects: what the established implementation stored, with what others added to it, is changed
//! by our calls, and nothing of it is lost.

use std::collections::BTreeMap;

use e2e::{ApiGroup, Call, ControlPlane, Host, Lease};
use serde_json::{Value, json};

/// Custom resources that the established implementation stored, without what the server sets.
const RECORDED: &str = include_str!("../../fixtures/kubernetes-objects.json");
/// The state of them that is taken: a pod with an address of each family.
const BLOCKS: [(&str, &str); 2] = [
    ("10-50-0-240-29", "2026-11-23T05:34:20Z"),
    ("fd80-24e2-f998-72d6-94fa-7820-5b81-7500-122", "2026-11-23T05:34:20Z"),
];
const HANDLE: &str = "k8s-pod-network.abcdef0123456789";
/// The container of that handle.
const CONTAINER: &str = "abcdef0123456789";

/// Whether an object is of the state that is taken.
fn is_taken(object: &Value) -> bool {
    let name = object["metadata"]["name"].as_str().unwrap();
    match object["kind"].as_str().unwrap() {
        "IPAMBlock" => {
            let claimed = object["spec"]["affinityClaimTime"].as_str().unwrap();
            BLOCKS.contains(&(name, claimed)) && object["spec"]["allocations"][0] == 0
        }
        "IPAMHandle" => name == HANDLE && object["spec"]["block"].as_object().unwrap().len() == 2,
        "BlockAffinity" => BLOCKS.iter().any(|(block, _)| name.ends_with(block)),
        _ => true,
    }
}

/// A number that a floating-point one could not hold, and what Go escapes.
fn future() -> Value {
    json!({"html": "<a&b>", "number": 9_007_199_254_740_993_u64, "list": [null, {"a": []}]})
}

/// What others may add to any object.
fn decorate(object: &mut Value, node: &Value) {
    object["spec"]["future"] = future();
    if object["spec"]["attributes"].is_array() {
        object["spec"]["attributes"][0]["future"] = future();
    }
    let metadata = &mut object["metadata"];
    metadata["labels"]["example.com/team"] = json!("network");
    metadata["annotations"]["example.com/note"] = json!("see <the> book");
    metadata["finalizers"] = json!(["example.com/guard"]);
    let uid = &node["metadata"]["uid"];
    metadata["ownerReferences"] = json!([{"apiVersion": "v1", "kind": "Node", "name": "node-1", "uid": uid}]);
    if let Some(text) = metadata["annotations"]["projectcalico.org/metadata"].as_str() {
        let mut inner: Value = serde_json::from_str(text).unwrap();
        inner["future"] = future();
        metadata["annotations"]["projectcalico.org/metadata"] = json!(inner.to_string());
    }
}

struct Site {
    host: Host,
    conf: Value,
    plane: Lease,
}

impl Site {
    /// A cluster with the recorded objects.
    fn start() -> Site {
        let plane = crate::unaudited(ApiGroup::Crd);
        let node = plane.create_node("node-1");
        let mut recorded: Vec<Value> = serde_json::from_str(RECORDED).unwrap();
        recorded.retain(is_taken);
        let mut kinds: Vec<&str> = recorded.iter().map(|object| object["kind"].as_str().unwrap()).collect();
        kinds.dedup();
        assert_eq!(kinds.len(), 6, "{kinds:?}");
        for mut object in recorded {
            decorate(&mut object, &node);
            let collection = collection(&plane, &object);
            plane.admin().create(&collection, &object).unwrap_or_else(|e| panic!("{e}: {object:#}"));
        }
        let mut conf = Value::Object(plane.conf());
        for (key, value) in [
            ("cniVersion", json!("1.0.0")),
            ("name", json!("k8s-pod-network")),
            ("type", json!("calico")),
            ("nodename", json!("node-1")),
            ("nodename_file_optional", json!(true)),
            (
                "ipam",
                json!({
                    "type": "calico-ipam", "assign_ipv4": "true", "assign_ipv6": "true", "ipv4_pools": ["other"],
                    "ipv6_pools": ["pool6"]
                }),
            ),
        ] {
            conf[key] = value;
        }
        Site { host: plane.host(), conf, plane }
    }

    fn call(&self, verb: &str, container: &str) -> Call {
        let call = self.host.call("calico-ipam", verb).env("CNI_CONTAINERID", container);
        let call = call.env("CNI_NETNS", "/var/run/netns/none").env("CNI_IFNAME", "eth0");
        call.stdin(&self.conf.to_string())
    }

    /// All custom resources, without what the server counts.
    fn objects(&self) -> BTreeMap<String, Value> {
        let mut all = BTreeMap::new();
        for (plural, _) in self.plane.group().resources() {
            let path = self.plane.collection(plural);
            for mut object in self.plane.admin().list(&path).unwrap() {
                let metadata = object["metadata"].as_object_mut().unwrap();
                metadata
                    .retain(|field, _| !matches!(field.as_str(), "resourceVersion" | "generation" | "managedFields"));
                all.insert(format!("{plural}/{}", metadata["name"].as_str().unwrap()), object);
            }
        }
        all
    }
}

fn collection(plane: &ControlPlane, object: &Value) -> String {
    let resources = plane.group().resources();
    let (plural, _) = resources.iter().find(|(_, kind)| object["kind"] == *kind).unwrap();
    plane.collection(plural)
}

/// What an allocation does to a block: the address and its attribute are the last.
fn allocate(block: &mut Value, container: &str, after: &Value) {
    let ordinal = block["unallocated"].as_array_mut().unwrap().remove(0);
    let index = block["attributes"].as_array().unwrap().len();
    block["allocations"][usize::try_from(ordinal.as_u64().unwrap()).unwrap()] = json!(index);
    let attribute = &after["attributes"][index];
    assert_eq!(attribute["handle_id"], format!("k8s-pod-network.{container}"));
    block["attributes"].as_array_mut().unwrap().push(attribute.clone());
    let sequence = block["sequenceNumber"].as_u64().unwrap();
    block["sequenceNumberForAllocation"][ordinal.to_string()] = json!(sequence);
    block["sequenceNumber"] = json!(sequence + 1);
}

#[test]
fn what_others_stored_is_kept() {
    let site = Site::start();
    let blocks = BLOCKS.map(|(name, _)| format!("ipamblocks/{name}"));
    let claim = format!("blockaffinities/node-1-{}", BLOCKS[1].0);
    // A claim that the other writer has not finished.
    let path = format!("{}/node-1-{}", site.plane.collection("blockaffinities"), BLOCKS[1].0);
    site.plane.admin().patch(&path, &json!({"spec": {"state": "pending"}})).unwrap();

    let before = site.objects();
    site.call("ADD", "c2").run().result();
    let after = site.objects();
    let mut expected = before.clone();
    // Finishing a claim writes the block, too, so that no other finishes its own.
    let sequence = |objects: &BTreeMap<String, Value>| objects[&blocks[1]]["spec"]["sequenceNumber"].as_u64().unwrap();
    assert!(sequence(&after) > sequence(&before) + 1);
    expected.get_mut(&blocks[1]).unwrap()["spec"]["sequenceNumber"] = json!(sequence(&after) - 1);
    for block in &blocks {
        allocate(&mut expected.get_mut(block).unwrap()["spec"], "c2", &after[block]["spec"]);
    }
    expected.get_mut(&claim).unwrap()["spec"]["state"] = json!("confirmed");
    let made = "ipamhandles/k8s-pod-network.c2".to_owned();
    expected.insert(made.clone(), after[&made].clone());
    assert_same(&after, &expected);

    site.call("DEL", "c2").run().result();
    let after = site.objects();
    expected.remove(&made);
    for block in &blocks {
        let (spec, was) = (&mut expected.get_mut(block).unwrap()["spec"], &before[block]["spec"]);
        for field in ["allocations", "attributes", "sequenceNumberForAllocation"] {
            spec[field] = was[field].clone();
        }
        spec["sequenceNumber"] = json!(spec["sequenceNumber"].as_u64().unwrap() + 1);
        let released = was["unallocated"][0].clone();
        spec["unallocated"].as_array_mut().unwrap().push(released);
    }
    assert_same(&after, &expected);

    // The handle is written, too, as its container gets further addresses.
    site.call("ADD", CONTAINER).run().result();
    let handle = format!("ipamhandles/{HANDLE}");
    let after = site.objects();
    let counts = expected.get_mut(&handle).unwrap()["spec"]["block"].as_object_mut().unwrap();
    counts.values_mut().for_each(|count| *count = json!(2));
    for block in &blocks {
        allocate(&mut expected.get_mut(block).unwrap()["spec"], CONTAINER, &after[block]["spec"]);
    }
    assert_same(&after, &expected);

    // Everything of it goes; the handle when whoever guards it lets it.
    site.call("DEL", CONTAINER).run().result();
    let mut after = site.objects();
    let guarded = &mut after.get_mut(&handle).unwrap()["metadata"];
    assert!(guarded["deletionTimestamp"].is_string(), "{guarded}");
    for block in &blocks {
        let spec = &after[block]["spec"];
        assert!(spec["allocations"].as_array().unwrap().iter().all(Value::is_null), "{spec}");
        assert_eq!((&spec["attributes"], &spec["future"]), (&json!([]), &future()));
        assert_eq!(after[block]["metadata"], before[block]["metadata"]);
    }
    // Once more, with what is still there.
    site.call("DEL", CONTAINER).run().result();
}

#[track_caller]
fn assert_same(after: &BTreeMap<String, Value>, expected: &BTreeMap<String, Value>) {
    assert_eq!(after.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (path, object) in expected {
        assert_eq!(go_json::to_compact(&after[path]), go_json::to_compact(object), "{path}");
    }
}
