//! Kubernetes' nodes, namespaces and service accounts as Calico's nodes and profiles, and nodes written back.

use calico_model::kubernetes::{ClusterNode, Named, ProfileSource, account_profile, namespace_profile, node_patch};
use calico_model::{Node, Profile};
use serde_json::{Value, json};

fn cluster_node(value: &Value) -> ClusterNode {
    serde_json::from_str(&value.to_string()).unwrap()
}

fn node(value: &Value) -> Node {
    cluster_node(value).node().unwrap()
}

/// A node with everything.
fn full() -> Value {
    json!({
        "metadata": {
            "name": "node-1", "uid": "u", "resourceVersion": "7", "creationTimestamp": "2026-11-23T05:33:42Z",
            "labels": {"a": "real", "c": "d"},
            "annotations": {
                "node.alpha.kubernetes.io/ttl": "0",
                "projectcalico.org/ASNumber": "64512",
                "projectcalico.org/IPv4Address": "10.0.0.1/24",
                "projectcalico.org/IPv4IPIPTunnelAddr": "10.65.0.1",
                "projectcalico.org/IPv4VXLANTunnelAddr": "10.65.0.2",
                "projectcalico.org/IPv4WireguardInterfaceAddr": "10.65.0.3",
                "projectcalico.org/IPv6Address": "fd00::1/64",
                "projectcalico.org/IPv6VXLANTunnelAddr": "fd00:65::2",
                "projectcalico.org/IPv6WireguardInterfaceAddr": "fd00:65::3",
                "projectcalico.org/Interfaces": r#"[{"name":"eth0","addresses":["10.0.0.1"]}]"#,
                "projectcalico.org/RouteReflectorClusterID": "244.0.0.1",
                "projectcalico.org/VXLANTunnelMACAddr": "66:00:00:00:00:01",
                "projectcalico.org/VXLANTunnelMACAddrV6": "66:00:00:00:00:02",
                "projectcalico.org/WireguardPublicKey": "key4",
                "projectcalico.org/WireguardPublicKeyV6": "key6",
                "projectcalico.org/annotations": r#"{"note":"x"}"#,
                "projectcalico.org/labels": r#"{"a":"annotated","b":"x"}"#,
            },
        },
        "spec": {"podCIDR": "10.1.0.0/24", "podCIDRs": ["10.1.0.0/24", "fd01::/64"]},
        "status": {"addresses": [
            {"type": "Hostname", "address": "node-1"}, {"type": "InternalIP", "address": "10.0.0.1"}, null,
            {"type": "ExternalIP", "address": "192.0.2.1"}
        ]},
    })
}

#[test]
fn a_node_is_what_its_annotations_say_in_the_order_of_upstream() {
    let expected = concat!(
        r#"{"kind":"Node","apiVersion":"projectcalico.org/v3","metadata":{"name":"node-1","uid":"u","#,
        r#""creationTimestamp":"2026-11-23T05:33:42Z","labels":{"a":"real","b":"x","c":"d"},"#,
        r#""annotations":{"note":"x","projectcalico.org/kube-labels":"{\"a\":\"real\",\"c\":\"d\"}"}},"#,
        r#""spec":{"bgp":{"asNumber":64512,"ipv4Address":"10.0.0.1/24","ipv6Address":"fd00::1/64","#,
        r#""ipv4IPIPTunnelAddr":"10.65.0.1","routeReflectorClusterID":"244.0.0.1"},"#,
        r#""ipv4VXLANTunnelAddr":"10.65.0.2","vxlanTunnelMACAddr":"66:00:00:00:00:01","#,
        r#""ipv6VXLANTunnelAddr":"fd00:65::2","vxlanTunnelMACAddrV6":"66:00:00:00:00:02","#,
        r#""orchRefs":[{"nodeName":"node-1","orchestrator":"k8s"}],"#,
        r#""wireguard":{"interfaceIPv4Address":"10.65.0.3","interfaceIPv6Address":"fd00:65::3"},"#,
        r#""addresses":[{"address":"10.0.0.1/24","type":"CalicoNodeIP"},{"address":"fd00::1/64","type":"CalicoNodeIP"},"#,
        r#"{"address":"10.0.0.1","type":"InternalIP"},{"address":"192.0.2.1","type":"ExternalIP"}],"#,
        r#""interfaces":[{"name":"eth0","addresses":["10.0.0.1"]}]},"#,
        r#""status":{"wireguardPublicKey":"key4","wireguardPublicKeyV6":"key6","podCIDRs":["10.1.0.0/24","fd01::/64"]}}"#,
    );
    assert_eq!(serde_json::to_string(&node(&full())).unwrap(), expected);
    let bare = node(&json!({"metadata": {"name": "n", "labels": null, "annotations": null}, "spec": {}}));
    let expected = concat!(
        r#"{"kind":"Node","apiVersion":"projectcalico.org/v3","metadata":{"name":"n"},"#,
        r#""spec":{"orchRefs":[{"nodeName":"n","orchestrator":"k8s"}]}}"#
    );
    assert_eq!(serde_json::to_string(&bare).unwrap(), expected);
}

#[test]
fn pod_networks_of_a_node() {
    assert_eq!(cluster_node(&full()).pod_cidrs(), ["10.1.0.0/24", "fd01::/64"]);
    let old = cluster_node(&json!({"spec": {"podCIDR": "10.0.0.0/24", "podCIDRs": null}, "status": null}));
    assert_eq!(old.pod_cidrs(), ["10.0.0.0/24"]);
    assert!(cluster_node(&json!({"metadata": null, "spec": null})).pod_cidrs().is_empty());
}

/// What is unreadable keeps nobody from using a node, except for its labels, by which pools choose.
#[test]
fn odd_annotations() {
    let with = |annotation: &str, text: &str| {
        cluster_node(
            &json!({"metadata": {"name": "n", "annotations": {format!("projectcalico.org/{annotation}"): text}}}),
        )
    };
    let number =
        |text: &str| with("ASNumber", text).node().unwrap().spec.remove("bgp").map(|bgp| bgp["asNumber"].clone());
    assert_eq!(number("4294967295"), Some(json!(4_294_967_295_u32)));
    assert_eq!(number("1.10"), Some(json!(65_546)));
    assert_eq!(number("65535.65535"), Some(json!(4_294_967_295_u32)));
    for text in ["4294967296", "1.65536", "1.2.3", "AS1"] {
        assert_eq!(number(text), Some(json!(text)));
    }
    assert_eq!(number(""), None);
    for text in ["junk", r#"{"name":"eth0"}"#] {
        let node = with("Interfaces", text);
        let read = node.node().unwrap();
        assert_eq!(read.spec["interfaces"], text);
        // Nothing of it is lost.
        assert_eq!(
            node_patch(&read, &node.kept(), "7")["metadata"]["annotations"]["projectcalico.org/Interfaces"],
            text
        );
    }
    for annotation in ["labels", "annotations"] {
        let error = with(annotation, "junk").node().unwrap_err().to_string();
        assert!(error.contains(&format!("projectcalico.org/{annotation}")), "{error}");
        assert!(with(annotation, "").node().is_ok());
    }
}

#[test]
fn a_node_is_written_back_as_it_was_read() {
    let node = cluster_node(&full());
    let patch = node_patch(&node.node().unwrap(), &node.kept(), "7");
    let mut annotations = full()["metadata"]["annotations"].clone();
    // It is hidden by Kubernetes' own label; the other annotation is none of Calico's.
    annotations["projectcalico.org/labels"] = r#"{"b":"x"}"#.into();
    annotations.as_object_mut().unwrap().remove("node.alpha.kubernetes.io/ttl");
    assert_eq!(patch, json!({"metadata": {"annotations": annotations, "resourceVersion": "7"}}));
}

#[test]
fn what_is_gone_from_a_node_is_removed() {
    let cluster = cluster_node(&full());
    let mut node = cluster.node().unwrap();
    node.spec = serde_json::from_value(json!({
        "bgp": {"asNumber": 64513, "ipv4Address": ""}, "ipv4VXLANTunnelAddr": "10.65.9.9", "interfaces": [], "later": 1
    }))
    .unwrap();
    node.extra.clear();
    node.metadata.annotations.remove("note");
    node.metadata.labels.remove("b");
    let patch = node_patch(&node, &cluster.kept(), "8");
    let annotations = patch["metadata"]["annotations"].as_object().unwrap();
    let set: Vec<(&str, &str)> =
        annotations.iter().filter_map(|(name, value)| Some((name.as_str(), value.as_str()?))).collect();
    assert_eq!(set, [("projectcalico.org/ASNumber", "64513"), ("projectcalico.org/IPv4VXLANTunnelAddr", "10.65.9.9")]);
    assert_eq!(annotations.values().filter(|value| value.is_null()).count(), 14);
}

/// Labels of Kubernetes' node are no labels of Calico's: those that are there now, and those that were there when the node was shown
/// to whoever changed it. With another value they are.
#[test]
fn labels_of_kubernetes_are_not_written() {
    let cluster = cluster_node(&json!({"metadata": {"name": "n", "labels": {"zone": "b", "new": "x"}}}));
    let labels = |labels: Value, shown: Option<Value>| {
        let mut node = cluster.node().unwrap();
        node.metadata.labels = serde_json::from_value(labels).unwrap();
        node.metadata.annotations.clear();
        if let Some(shown) = shown {
            node.metadata.annotations.insert("projectcalico.org/kube-labels".to_owned(), shown.to_string());
        }
        let patch = node_patch(&node, &cluster.kept(), "7");
        assert!(patch["metadata"]["annotations"]["projectcalico.org/annotations"].is_null());
        patch["metadata"]["annotations"]["projectcalico.org/labels"].as_str().map(str::to_owned)
    };
    let shown = || Some(json!({"zone": "a", "old": "y"}));
    assert_eq!(labels(json!({"zone": "b", "new": "x"}), None), None);
    assert_eq!(labels(json!({"zone": "a", "old": "y"}), shown()), None);
    assert_eq!(labels(json!({"zone": "a", "old": "y"}), None).as_deref(), Some(r#"{"old":"y","zone":"a"}"#));
    assert_eq!(labels(json!({"zone": "c", "mine": "z"}), shown()).as_deref(), Some(r#"{"mine":"z","zone":"c"}"#));
}

fn text(profile: &Profile) -> String {
    serde_json::to_string(profile).unwrap()
}

#[test]
fn namespaces_and_service_accounts_are_profiles() {
    let namespace: Named = serde_json::from_str(
        r#"{"metadata":{"name":"web","uid":"u","creationTimestamp":"t","labels":{"a":"b"},"annotations":null},"spec":{}}"#,
    )
    .unwrap();
    let expected = concat!(
        r#"{"kind":"Profile","apiVersion":"projectcalico.org/v3","metadata":{"name":"kns.web","uid":"u","creationTimestamp":"t"},"#,
        r#""spec":{"ingress":[{"action":"Allow"}],"egress":[{"action":"Allow"}],"#,
        r#""labelsToApply":{"pcns.a":"b","pcns.projectcalico.org/name":"web"}}}"#,
    );
    assert_eq!(text(&namespace_profile(&namespace)), expected);
    let account: Named =
        serde_json::from_str(r#"{"metadata":{"name":"a.b","namespace":"web","uid":"v","labels":{"c":"d"}}}"#).unwrap();
    let expected = concat!(
        r#"{"kind":"Profile","apiVersion":"projectcalico.org/v3","metadata":{"name":"ksa.web.a.b","uid":"v"},"#,
        r#""spec":{"labelsToApply":{"pcsa.c":"d","pcsa.projectcalico.org/name":"a.b"}}}"#,
    );
    assert_eq!(text(&account_profile(&account)), expected);
}

#[test]
fn names_of_profiles() {
    assert_eq!(ProfileSource::of("kns.web"), Some(ProfileSource::Namespace("web")));
    let account = ProfileSource::ServiceAccount { namespace: "web", name: "a.b" };
    assert_eq!(ProfileSource::of("ksa.web.a.b"), Some(account));
    for name in ["", "kns.", "ksa.web", "ksa.web.", "ksa..a", "net1", "projectcalico-default-allow"] {
        assert_eq!(ProfileSource::of(name), None, "{name}");
    }
}
