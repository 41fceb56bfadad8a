//! Objects that are views of Kubernetes' own: nodes and profiles.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use calico_model::kubernetes::Group;
use calico_model::{Key, Kind, Listing, Node, Object, Resource};
use serde_json::{Map, Value, json};

use super::super::cluster::Cluster;
use super::super::store::Kubernetes;
use super::server::{Asked, Does, answers};
use super::{Setup, client_name};
use crate::contract::{Answers, Datastore, Outcome, Revision, Stored, Want, Write};
use crate::deadline::Deadline;
use crate::store::Store;

const PATCH: &str = "PATCH /api/v1/nodes/node-1/status";

async fn open(setup: &Setup) -> Kubernetes {
    let deadline = Deadline::after(Duration::from_secs(60));
    Kubernetes::open(&setup.settings, Some(Group::V1), deadline).await.expect("it connects")
}

async fn read(store: &Kubernetes, wants: &[Want]) -> Answers {
    store.read(wants).await.expect("answers")
}

/// A namespace, a service account or a node.
fn object(name: &str, namespace: Option<&str>, version: &str) -> Value {
    json!({"metadata": {"name": name, "namespace": namespace, "resourceVersion": version, "labels": {"zone": "a"}}})
}

fn key() -> Key {
    Key::resource(Kind::Node, "node-1")
}

async fn node(store: &Kubernetes) -> Stored<Node> {
    read(store, &[Want::Get(key())]).await.get().expect("a node").expect("it is there")
}

#[tokio::test]
async fn a_profile_is_one_request_and_all_are_two() {
    let setup = Setup::new(&["h2"], |asked| {
        let body = match asked.line.as_str() {
            "GET /api/v1/namespaces/web" => object("web", None, "5"),
            "GET /api/v1/namespaces/web/serviceaccounts/a.b" => object("a.b", Some("web"), "6"),
            "GET /api/v1/namespaces?limit=500" => json!({"items": [object("web", None, "5"), {"metadata": 1}]}),
            "GET /api/v1/serviceaccounts?limit=500" => json!({"items": [object("a.b", Some("web"), "6"), 1]}),
            _ => return answers(404, r#"{"kind":"Status","code":404}"#),
        };
        answers(200, &body.to_string())
    })
    .await;
    let store = open(&setup).await;
    let names = ["kns.web", "ksa.web.a.b", "kns.none", "net1", "projectcalico-default-allow"];
    let mut wants: Vec<Want> = names.map(|name| Want::Get(Key::resource(Kind::Profile, name))).into();
    wants.push(Want::List(Listing::Resources(Kind::Profile)));
    let mut answers = read(&store, &wants).await;
    let mut found = || {
        let entries = answers.entries().into_iter();
        entries.map(|entry| (entry.key.to_string(), entry.revision.0, entry.object.is_ok())).collect::<Vec<_>>()
    };
    let namespace = ("Profile(kns.web)".to_owned(), 5, true);
    let account = ("Profile(ksa.web.a.b)".to_owned(), 6, true);
    assert_eq!(found().as_slice(), std::slice::from_ref(&namespace));
    assert_eq!(found().as_slice(), std::slice::from_ref(&account));
    for _ in 2..names.len() {
        assert_eq!(found(), []);
    }
    assert_eq!(found(), [namespace, account]);
    let mut lines = setup.server.lines();
    lines.sort();
    let expected = [
        "GET /api/v1/namespaces/none",
        "GET /api/v1/namespaces/web",
        "GET /api/v1/namespaces/web/serviceaccounts/a.b",
        "GET /api/v1/namespaces?limit=500",
        "GET /api/v1/serviceaccounts?limit=500",
    ];
    assert_eq!(lines, expected);
    let profile: Object = Object::Any(Resource::new(Kind::Profile, "kns.web", Map::new()));
    let refused = store.commit(&[Write::create(Key::resource(Kind::Profile, "kns.web"), profile)]).await;
    assert!(refused.expect_err("it is refused").to_string().contains("derived from Kubernetes' own objects"));
    assert_eq!(setup.server.lines().len(), expected.len());
}

#[tokio::test]
async fn what_is_kept_elsewhere_is_not_asked_for() {
    let setup = Setup::new(&["h2"], |_| answers(200, r#"{"items":[]}"#)).await;
    let store = open(&setup).await;
    let wants = [
        Want::Get(Key::resource(Kind::IpamConfiguration, "default")),
        Want::List(Listing::Resources(Kind::IpamConfiguration)),
        // Claims of all owners are one listing.
        Want::List(Listing::HostAffinities),
        Want::List(Listing::VirtualAffinities),
    ];
    let mut answers = read(&store, &wants).await;
    assert!(wants.iter().all(|_| answers.entries().is_empty()));
    assert_eq!(setup.server.lines(), ["GET /apis/crd.projectcalico.org/v1/blockaffinities?limit=500"]);
}

#[tokio::test]
async fn a_node_is_changed_by_a_patch_of_its_status() {
    let patches = AtomicUsize::new(0);
    let setup = Setup::new(&["h2"], move |asked| match asked.line.as_str() {
        PATCH => match patches.fetch_add(1, Ordering::SeqCst) {
            0 => answers(200, &object("node-1", None, "8").to_string()),
            1 => answers(409, r#"{"kind":"Status","code":409}"#),
            _ => Does::Hangs,
        },
        _ => answers(200, &object("node-1", None, "7").to_string()),
    })
    .await;
    let store = open(&setup).await;
    let Stored { revision, mut value, .. } = node(&store).await;
    assert_eq!((revision, value.metadata.labels["zone"].as_str()), (Revision(7), "a"));
    value.spec.insert("bgp".to_owned(), json!({"asNumber": 64512}));
    value.metadata.labels.insert("mine".to_owned(), "x".to_owned());
    let written = |revision: i64| Write::update(key(), Revision(revision), Object::Any(value.clone()));

    assert_eq!(store.commit(&[written(7)]).await.expect("it is applied"), Outcome::Applied(vec![Revision(8)]));
    let patched = |asked: &Asked| {
        let body: Value = serde_json::from_slice(&asked.body).expect("JSON");
        (asked.header("content-type").to_owned(), body["metadata"].clone())
    };
    let (media, metadata) = patched(setup.server.asked.lock().expect("no panic").last().expect("a request"));
    assert_eq!((media.as_str(), &metadata["resourceVersion"]), ("application/strategic-merge-patch+json", &json!("7")));
    let annotations = &metadata["annotations"];
    assert_eq!(annotations["projectcalico.org/ASNumber"], "64512");
    assert_eq!(annotations["projectcalico.org/labels"], r#"{"mine":"x"}"#);
    assert_eq!(annotations.get("projectcalico.org/IPv4Address"), Some(&Value::Null));

    // The answer tells the next version. The old one is not asked about.
    let conflict = Outcome::Conflict { index: 0, applied: vec![] };
    assert_eq!(store.commit(&[written(7)]).await.expect("an answer"), conflict);
    assert_eq!(setup.server.lines(), ["GET /api/v1/nodes/node-1", PATCH]);
    assert_eq!(store.commit(&[written(8)]).await.expect("an answer"), conflict);
    // It is never sent twice: the first may have been applied.
    let lost = store.commit(&[written(8)]).await.expect("an answer");
    assert!(matches!(&lost, Outcome::Unknown(reason) if reason.contains(&client_name(&setup))), "{lost:?}");
    assert_eq!(setup.server.lines().iter().filter(|line| *line == PATCH).count(), 3);
}

#[tokio::test]
async fn nodes_are_neither_created_nor_deleted() {
    let setup = Setup::new(&["h2"], |_| answers(200, "{}")).await;
    let store = open(&setup).await;
    let node: Node = Resource::new(Kind::Node, "node-1", Map::new());
    for write in
        [Write::create(key(), node.clone()), Write::create(key(), Object::Any(node)), Write::delete(key(), Revision(7))]
    {
        let refused = store.commit(&[write]).await.expect_err("it is refused").to_string();
        assert!(refused.contains("nodes are Kubernetes' own"), "{refused}");
    }
    assert!(setup.server.lines().is_empty());
}

/// Whatever a pod or a node looks like, it is there: who looks for users of addresses must know.
#[tokio::test]
async fn what_cannot_be_read_is_answered_as_that() {
    let setup = Setup::new(&["h2"], |asked| {
        let odd = |name: &str, spec: Value| {
            json!({"metadata": {"namespace": "web", "name": name, "resourceVersion": "9", "labels": 1}, "spec": spec})
        };
        let items = match asked.line.as_str() {
            "GET /api/v1/nodes?limit=500" => json!([object("good", None, "5"), odd("bad", json!({})), {"metadata": 1}]),
            "GET /api/v1/pods?limit=500" => json!([
                odd("bad", json!({"nodeName": "node-1"})),
                odd("worse", json!({"nodeName": 1})),
                odd("worst", json!(1)),
                odd("waiting", json!({})),
                odd("hosts", json!({"nodeName": "node-1", "hostNetwork": true})),
            ]),
            _ => return answers(404, r#"{"kind":"Status","code":404}"#),
        };
        answers(200, &json!({"items": items}).to_string())
    })
    .await;
    let store = open(&setup).await;
    let wants = [Kind::Node, Kind::WorkloadEndpoint].map(|kind| Want::List(Listing::Resources(kind)));
    let mut answers = read(&store, &wants).await;
    let mut found = || {
        let entries = answers.entries().into_iter();
        entries.map(|entry| (entry.key.to_string(), entry.revision.0, entry.object.is_ok())).collect::<Vec<_>>()
    };
    let expected = [("Node()", 0, false), ("Node(bad)", 9, false), ("Node(good)", 5, true)];
    assert_eq!(found(), expected.map(|(key, revision, good)| (key.to_owned(), revision, good)));
    let names = ["node--1-k8s-bad-eth0", "worse", "worst"];
    assert_eq!(found(), names.map(|name| (format!("WorkloadEndpoint(web/{name})"), 9, false)));
}

#[tokio::test]
async fn a_service_that_cannot_be_read_makes_all_unknown() {
    let setup = Setup::new(&["h2"], |asked| {
        let good = json!({"metadata": {"name": "web", "namespace": "shop"}, "spec": {"type": "ClusterIP"}});
        let odd = if asked.number == 0 { json!({"metadata": {"name": "odd"}}) } else { good.clone() };
        answers(200, &json!({"items": [good, odd]}).to_string())
    })
    .await;
    let deadline = Deadline::after(Duration::from_secs(60));
    let cluster = Cluster::open(&setup.settings, &Store::Kubernetes(open(&setup).await), deadline).await.unwrap();
    let error = cluster.services().await.expect_err("one cannot be read").to_string();
    assert!(error.contains("a service in /api/v1/services is not what one should be"), "{error}");
    let web = ("shop/web".to_owned(), Vec::new());
    assert_eq!(cluster.services().await.expect("all can be read"), [web.clone(), web]);
}
