//! Nodes and profiles: views of Kubernetes' own objects, on a real API server.

use std::time::SystemTime;

use calico_datastore::{Outcome, Revision, Stored, Want, Write};
use calico_ipam::audit::audit;
use calico_model::{Key, Kind, Listing, Node, Object, Profile};
use e2e::{ApiGroup, ControlPlane, Lease};
use serde_json::{Value, json};

use crate::opened::Opened;

const PATH: &str = "/api/v1/nodes/node-1";

fn key() -> Key {
    Key::resource(Kind::Node, "node-1")
}

/// A node with labels of its own, and annotations and a condition of others.
fn plant(plane: &ControlPlane) -> Value {
    let metadata = json!({"name": "node-1", "labels": {"zone": "a"}, "annotations": {"example.com/note": "x"}});
    let spec = json!({"podCIDR": "10.1.0.0/24", "podCIDRs": ["10.1.0.0/24"]});
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": metadata, "spec": spec});
    plane.admin().create("/api/v1/nodes", &node).unwrap();
    let status = json!({"status": {
        "addresses": [{"type": "Hostname", "address": "node-1"}, {"type": "InternalIP", "address": "10.0.0.1"}],
        "conditions": [{"type": "Ready", "status": "True"}]
    }});
    plane.admin().patch(&format!("{PATH}/status"), &status).unwrap()
}

fn site() -> (Lease, Opened) {
    let plane = crate::unaudited(ApiGroup::Crd);
    plant(&plane);
    let store = Opened::by_admin(&plane);
    (plane, store)
}

fn as_json<T: serde::Serialize>(value: &T) -> Value {
    serde_json::to_value(value).unwrap()
}

#[test]
fn a_node_is_read_changed_and_read_as_it_was_changed() {
    let (plane, store) = site();
    let before = plane.admin().get(PATH).unwrap();
    let Stored { revision, mut value, .. } = store.get::<Node>(&key()).unwrap();
    let derived = json!([{"nodeName": "node-1", "orchestrator": "k8s"}]);
    let internal = json!({"address": "10.0.0.1", "type": "InternalIP"});
    assert_eq!(as_json(&value.spec), json!({"orchRefs": derived, "addresses": [internal]}));
    assert_eq!(as_json(&value.extra), json!({"status": {"podCIDRs": ["10.1.0.0/24"]}}));
    assert_eq!(value.metadata.uid, before["metadata"]["uid"]);

    // All that is kept.
    let fields = json!({
        "bgp": {
            "asNumber": 64512, "ipv4Address": "10.0.0.1/24", "ipv6Address": "fd00::1/64",
            "ipv4IPIPTunnelAddr": "10.65.0.1", "routeReflectorClusterID": "244.0.0.1"
        },
        "ipv4VXLANTunnelAddr": "10.65.0.2", "vxlanTunnelMACAddr": "66:00:00:00:00:01",
        "ipv6VXLANTunnelAddr": "fd00:65::2", "vxlanTunnelMACAddrV6": "66:00:00:00:00:02",
        "wireguard": {"interfaceIPv4Address": "10.65.0.3", "interfaceIPv6Address": "fd00:65::3"},
        "interfaces": [{"name": "eth0", "addresses": ["10.0.0.1"]}]
    });
    value.spec.extend(fields.as_object().unwrap().clone());
    value.extra.insert("status".to_owned(), json!({"wireguardPublicKey": "key4", "wireguardPublicKeyV6": "key6"}));
    value.metadata.labels.insert("mine".to_owned(), "x".to_owned());
    value.metadata.annotations.insert("note".to_owned(), "y".to_owned());
    let changed = store.applied(&[Write::update(key(), revision, Object::Any(value.clone()))])[0];
    let read = store.get::<Node>(&key()).unwrap();
    assert_eq!(read.revision, changed);
    let mut expected = fields;
    expected["orchRefs"] = derived.clone();
    let calicos = |address: &str| json!({"address": address, "type": "CalicoNodeIP"});
    expected["addresses"] = json!([calicos("10.0.0.1/24"), calicos("fd00::1/64"), internal]);
    assert_eq!(as_json(&read.value.spec), expected);
    let status = json!({"wireguardPublicKey": "key4", "wireguardPublicKeyV6": "key6", "podCIDRs": ["10.1.0.0/24"]});
    assert_eq!(as_json(&read.value.extra), json!({"status": status}));
    assert_eq!(as_json(&read.value.metadata.labels), json!({"zone": "a", "mine": "x"}));
    assert_eq!(read.value.metadata.annotations["note"], "y");

    // All of it is gone again, and Kubernetes' node as it was.
    let mut value = read.value;
    value.spec.clear();
    value.extra.clear();
    value.metadata.labels.remove("mine");
    value.metadata.annotations.remove("note");
    store.applied(&[Write::update(key(), changed, value)]);
    let after = plane.admin().get(PATH).unwrap();
    for field in ["labels", "annotations", "uid"] {
        assert_eq!(after["metadata"][field], before["metadata"][field], "{field}");
    }
    assert_eq!((&after["spec"], &after["status"]), (&before["spec"], &before["status"]));
}

#[test]
fn a_node_that_others_changed_is_a_conflict() {
    let (plane, store) = site();
    let other = Opened::by_admin(&plane);
    let Stored { revision, value, .. } = store.get::<Node>(&key()).unwrap();
    let label = |zone: &str| plane.admin().patch(PATH, &json!({"metadata": {"labels": {"zone": zone}}})).unwrap();
    label("b");
    store.conflicts(Write::update(key(), revision, value.clone()));
    // The label that was read is no longer Kubernetes' own; who reads again sees the new one.
    let Stored { revision, mut value, .. } = store.get::<Node>(&key()).unwrap();
    assert_eq!(value.metadata.labels["zone"], "b");
    value.spec.insert("ipv4VXLANTunnelAddr".to_owned(), json!("10.65.0.2"));
    let theirs = other.get::<Node>(&key()).unwrap();
    store.applied(&[Write::update(key(), revision, value)]);
    other.conflicts(Write::update(key(), theirs.revision, theirs.value.clone()));
    assert_eq!(plane.admin().get(PATH).unwrap()["metadata"]["annotations"].get("projectcalico.org/labels"), None);

    plane.admin().delete(PATH).unwrap();
    let gone = store.commit(&[Write::update(key(), revision, theirs.value)]);
    assert_eq!(gone, Outcome::Conflict { index: 0, applied: vec![] });
    let refused = store.try_commit(&[Write::delete(key(), Revision(1))]).unwrap_err().to_string();
    assert!(refused.contains("Kubernetes' own"), "{refused}");
}

/// A node's tunnel addresses are compared with what is allocated for them.
#[test]
fn an_audit_knows_the_tunnel_addresses_of_nodes() {
    let (plane, store) = site();
    plane.put_pool("pool4", "10.65.0.0/16", 26);
    let Stored { revision, mut value, .. } = store.get::<Node>(&key()).unwrap();
    value.spec.insert("bgp".to_owned(), json!({"ipv4IPIPTunnelAddr": "10.65.0.1"}));
    store.applied(&[Write::update(key(), revision, value)]);
    let found = store.run(async |store| audit(store, SystemTime::UNIX_EPOCH).await.unwrap());
    let found: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert!(found.iter().any(|text| text.contains("10.65.0.1") && text.contains("node-1")), "{found:#?}");
}

#[test]
fn namespaces_and_service_accounts_are_profiles() {
    let (plane, store) = site();
    plane.create_namespace("web");
    let path = "/api/v1/namespaces/web";
    let namespace = plane.admin().patch(path, &json!({"metadata": {"labels": {"team": "net"}}})).unwrap();
    let account = plane.admin().get(&format!("{path}/serviceaccounts/default")).unwrap();
    let names = ["kns.web", "ksa.web.default"].map(|name| Key::resource(Kind::Profile, name));
    let listed = store.keys(Listing::Resources(Kind::Profile));
    let of_web: Vec<&Key> = listed.iter().filter(|key| key.to_string().contains(".web")).collect();
    assert_eq!(of_web, names.iter().collect::<Vec<_>>());
    assert!(listed.contains(&Key::resource(Kind::Profile, "kns.default")));

    for (key, source) in names.iter().zip([namespace, account]) {
        let found = store.get::<Profile>(key).unwrap();
        assert_eq!(json!(found.revision.0.to_string()), source["metadata"]["resourceVersion"], "{key}");
        assert_eq!(found.value.metadata.uid, source["metadata"]["uid"]);
        assert_eq!(json!(found.value.metadata.creation_timestamp), source["metadata"]["creationTimestamp"]);
        let refused = store.try_commit(&[Write::update(key.clone(), found.revision, found.value)]);
        assert!(refused.unwrap_err().to_string().contains("Kubernetes' own"), "{key}");
    }
    let mut answers = store.read(&names.map(Want::Get));
    let allow = json!([{"action": "Allow"}]);
    // Every namespace has a label with its name.
    let labels = json!({
        "pcns.kubernetes.io/metadata.name": "web", "pcns.team": "net", "pcns.projectcalico.org/name": "web"
    });
    let profile = answers.get::<Profile>().unwrap().unwrap().value;
    assert_eq!(as_json(&profile.spec), json!({"ingress": allow, "egress": allow, "labelsToApply": labels}));
    let profile = answers.get::<Profile>().unwrap().unwrap().value;
    assert_eq!(as_json(&profile.spec), json!({"labelsToApply": {"pcsa.projectcalico.org/name": "default"}}));
}
