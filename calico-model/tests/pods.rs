//! The workload endpoint that a pod is, and what is stored of one.

use calico_model::endpoint::{EndpointPort, Protocol};
use calico_model::kubernetes::{Pod, PodError, endpoint_patch, pod_of, pod_of_listing};
use calico_model::{Key, Kind, Listing, WorkloadEndpoint};
use serde_json::{Value, json};

fn pod(value: Value) -> Pod {
    serde_json::from_str(&value.to_string()).unwrap()
}

/// A pod with these annotations and this status.
fn with(annotations: Value, status: Value) -> Pod {
    pod(
        json!({"metadata": {"name": "web-0", "namespace": "default", "annotations": annotations}, "spec": {"nodeName": "node-1"}, "status": status}),
    )
}

fn endpoint(pod: &Pod) -> WorkloadEndpoint {
    pod.endpoint("cali").unwrap()
}

fn networks(annotations: Value, status: Value) -> Vec<String> {
    endpoint(&with(annotations, status)).spec.ip_networks
}

/// The recorded pods have the interfaces, and after an ADD the annotations, that the established implementation gave them.
#[test]
fn recorded_pods() {
    let fixture: Value = serde_json::from_str(include_str!("fixtures/kubernetes.json")).unwrap();
    let pods = fixture["pods"].as_array().unwrap();
    assert_eq!(pods.len(), 8);
    for recorded in pods {
        let before = endpoint(&pod(recorded["pod"].clone()));
        assert_eq!(before.spec.interface_name, recorded["interface"]);
        assert_eq!((before.spec.ip_networks.len(), before.spec.container_id.as_str()), (0, ""));

        let mut after = recorded["pod"].clone();
        after["metadata"]["annotations"] = recorded["annotations"].clone();
        let after = endpoint(&pod(after));
        assert_eq!(after.spec.container_id, recorded["container"]);
        assert!(!after.spec.ip_networks.is_empty());
        after.validate().unwrap();
        let patch = endpoint_patch(&after);
        for (annotation, value) in patch["metadata"]["annotations"].as_object().unwrap() {
            assert_eq!(value, &recorded["annotations"][annotation]);
        }
        assert_eq!(patch["metadata"]["annotations"].as_object().unwrap().len(), 3);
    }
}

#[test]
fn everything_at_once() {
    let pod = pod(json!({
        "metadata": {
            "name": "web-0", "namespace": "default", "generateName": "web-", "uid": "u", "resourceVersion": "7",
            "creationTimestamp": "2026-01-02T03:04:05Z", "labels": {"app": "web", "projectcalico.org/orchestrator": "x"},
            "annotations": {
                "cni.projectcalico.org/containerID": "3f1c",
                "cni.projectcalico.org/floatingIPs": "[\"1.2.3.4\",\"fd99::1\"]",
                "cni.projectcalico.org/allowedSourcePrefixes": "[\"10.0.0.1/8\",\"fd00::1/64\"]",
                "k8s.v1.cni.cncf.io/network-status": "[]",
                "other": "x",
            },
        },
        "spec": {
            "nodeName": "node-1", "serviceAccountName": "robot",
            "containers": [{"ports": [
                {"name": "http", "containerPort": 80, "protocol": "TCP"},
                {"containerPort": 81},
                {"containerPort": 82, "hostPort": 8082, "hostIP": "10.1.1.1", "protocol": "UDP"},
                {"name": "odd", "containerPort": 83, "protocol": "ICMP"},
                {"name": "none", "containerPort": 0},
            ]}],
            "initContainers": [{"ports": [{"name": "init", "containerPort": 84, "protocol": "sctp"}]}, {}],
        },
        "status": {"phase": "Running", "podIP": "192.168.1.65", "podIPs": [{"ip": "192.168.1.65"}, {"ip": "fd80::5"}]},
    }));
    assert!(pod.is_endpoint());
    let endpoint = endpoint(&pod);
    endpoint.validate().unwrap();
    assert_eq!(
        serde_json::to_string(&endpoint).unwrap(),
        r#"{"kind":"WorkloadEndpoint","apiVersion":"projectcalico.org/v3","metadata":{"name":"node--1-k8s-web--0-eth0","generateName":"web-","namespace":"default","uid":"u","creationTimestamp":"2026-01-02T03:04:05Z","labels":{"app":"web","projectcalico.org/namespace":"default","projectcalico.org/orchestrator":"k8s","projectcalico.org/serviceaccount":"robot"},"annotations":{"k8s.v1.cni.cncf.io/network-status":"[]"}},"spec":{"orchestrator":"k8s","node":"node-1","containerID":"3f1c","pod":"web-0","endpoint":"eth0","serviceAccountName":"robot","ipNetworks":["192.168.1.65/32","fd80::5/128"],"ipNATs":[{"internalIP":"192.168.1.65","externalIP":"1.2.3.4"},{"internalIP":"fd80::5","externalIP":"fd99::1"}],"profiles":["kns.default","ksa.default.robot"],"interfaceName":"cali0d7763386da","ports":[{"name":"http","protocol":"TCP","port":80,"hostPort":0,"hostIP":""},{"name":"","protocol":"UDP","port":82,"hostPort":8082,"hostIP":"10.1.1.1"},{"name":"init","protocol":"SCTP","port":84,"hostPort":0,"hostIP":""}],"allowSpoofedSourcePrefixes":["10.0.0.0/8","fd00::/64"]}}"#
    );
    let stored: WorkloadEndpoint = serde_json::from_str(&serde_json::to_string(&endpoint).unwrap()).unwrap();
    assert_eq!(stored, endpoint);
}

#[test]
fn a_bare_pod() {
    let bare = pod(
        json!({"metadata": {"name": "p", "namespace": "n", "labels": null, "annotations": null}, "spec": {"nodeName": "a", "containers": [null, {"ports": null}], "initContainers": null, "hostNetwork": null}, "status": null}),
    );
    let endpoint = bare.endpoint("eni").unwrap();
    assert_eq!((endpoint.metadata.name.as_str(), &endpoint.metadata.uid), ("a-k8s-p-eth0", &String::new()));
    assert_eq!(endpoint.spec.profiles, ["kns.n"]);
    assert!(endpoint.spec.interface_name.starts_with("eni") && endpoint.spec.interface_name.len() == 14);
    assert_eq!(endpoint.metadata.labels.len(), 2);
    assert_eq!(pod(json!({})), Pod::default());
}

#[test]
fn pods_that_are_no_endpoints() {
    let host =
        pod(json!({"metadata": {"name": "p", "namespace": "n"}, "spec": {"nodeName": "a", "hostNetwork": true}}));
    assert!(!host.is_endpoint() && host.endpoint("cali").is_ok());
    let pending = pod(json!({"metadata": {"name": "p", "namespace": "n"}, "spec": {}}));
    assert!(!pending.is_endpoint());
    let error = pending.endpoint("cali").unwrap_err();
    assert_eq!(error.to_string(), "the pod n/p has no node (spec.nodeName is empty): it is not scheduled yet");
    let odd = pod(json!({"metadata": {"name": "p-", "namespace": "n"}, "spec": {"nodeName": "a"}}));
    assert!(matches!(odd.endpoint("cali"), Err(PodError::Name(_))));
    // Too long for the name of a stored object: it can be read all the same, and so deleted.
    let name = "p".repeat(253);
    let long = pod(json!({"metadata": {"name": name, "namespace": "n"}, "spec": {"nodeName": "a"}}));
    assert!(long.endpoint("cali").unwrap().validate().is_err());
}

#[test]
fn each_source_of_addresses() {
    let annotations = json!({
        "cni.projectcalico.org/podIPs": "10.0.0.3/32,fd00::3/128", "cni.projectcalico.org/podIP": "10.0.0.4/32",
        "vpc.amazonaws.com/pod-ips": "10.0.0.5, 10.0.0.6",
    });
    let without = |names: &[&str]| {
        let mut fewer = annotations.clone();
        fewer.as_object_mut().unwrap().retain(|name, _| !names.iter().any(|gone| name.ends_with(gone)));
        fewer
    };
    let status = json!({"podIP": "10.0.0.2", "podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}]});
    assert_eq!(networks(annotations.clone(), status), ["10.0.0.1/32", "fd00::1/128"]);
    assert_eq!(
        networks(annotations.clone(), json!({"podIP": "10.0.0.2", "podIPs": [{"ip": ""}, null]})),
        ["10.0.0.2/32"]
    );
    assert_eq!(networks(annotations.clone(), json!({})), ["10.0.0.3/32", "fd00::3/128"]);
    assert_eq!(networks(without(&["podIPs"]), json!({})), ["10.0.0.4/32"]);
    assert_eq!(networks(without(&["podIPs", "podIP"]), json!({})), ["10.0.0.5/32", "10.0.0.6/32"]);
    assert!(networks(json!({}), json!({})).is_empty());
    let emptied = json!({"cni.projectcalico.org/podIPs": "", "cni.projectcalico.org/podIP": ""});
    assert!(networks(emptied, json!({})).is_empty());

    let junk = with(json!({"cni.projectcalico.org/podIPs": "10.0.0.1/32,,"}), json!({}));
    assert_eq!(
        junk.endpoint("cali").unwrap_err().to_string(),
        "the pod default/web-0 has \"\" as an address (in cni.projectcalico.org/podIPs), which is neither an address nor a CIDR"
    );
}

#[test]
fn finished_pods_have_no_addresses() {
    let status = |phase: &str| json!({"phase": phase, "podIPs": [{"ip": "10.0.0.1"}]});
    for (phase, count) in [("Running", 1), ("Pending", 1), ("Failed", 0), ("Succeeded", 0), ("Completed", 0)] {
        assert_eq!(networks(json!({}), status(phase)).len(), count, "{phase}");
    }
    for (annotation, is_deleted, count) in [
        ("cni.projectcalico.org/podIP", true, 0),
        ("vpc.amazonaws.com/pod-ips", true, 0),
        ("cni.projectcalico.org/podIPs", true, 1),
        ("cni.projectcalico.org/podIP", false, 1),
    ] {
        let mut pod = with(json!({annotation: ""}), status("Running"));
        pod.metadata.deletion_timestamp = is_deleted.then(|| "2026-01-02T03:04:05Z".to_owned());
        assert_eq!(endpoint(&pod).spec.ip_networks.len(), count, "{annotation} {is_deleted}");
    }
    let mut leaving = with(json!({"cni.projectcalico.org/podIP": "10.0.0.1/32"}), status("Running"));
    leaving.metadata.deletion_timestamp = Some("2026-01-02T03:04:05Z".to_owned());
    assert_eq!(endpoint(&leaving).spec.ip_networks, ["10.0.0.1/32"]);
}

#[test]
fn service_accounts_with_long_names_have_no_label() {
    for (length, has_label) in [(1, true), (62, true), (63, false), (253, false)] {
        let mut pod = with(json!({}), json!({}));
        pod.spec.service_account_name = "a".repeat(length);
        let endpoint = endpoint(&pod);
        assert_eq!(endpoint.metadata.labels.contains_key("projectcalico.org/serviceaccount"), has_label, "{length}");
        assert_eq!(endpoint.spec.profiles.len(), 2);
    }
}

#[test]
fn annotations_that_cannot_be_read() {
    let address = json!({"podIP": "10.0.0.1"});
    let floating = |text: &str| with(json!({"cni.projectcalico.org/floatingIPs": text}), address.clone());
    // None of the pod's addresses is of that family.
    assert!(endpoint(&floating("[\"fd99::1\"]")).spec.ip_nats.is_empty());
    assert_eq!(
        floating("[1]").endpoint("cali").unwrap_err().to_string(),
        "the annotation cni.projectcalico.org/floatingIPs of the pod default/web-0 is \"[1]\": invalid type: integer `1`, expected a string at line 1 column 2; correct the annotation"
    );
    let homeless = with(json!({"cni.projectcalico.org/floatingIPs": "junk"}), json!({}));
    assert!(endpoint(&homeless).spec.ip_nats.is_empty());
    for (text, part) in [("[\"10.0.0.0/33\"]", "\"10.0.0.0/33\" is not a CIDR"), ("{}", "invalid type: map")] {
        let pod = with(json!({"cni.projectcalico.org/allowedSourcePrefixes": text}), json!({}));
        let error = pod.endpoint("cali").unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn pods_of_endpoints() {
    let key = Key::endpoint("default", "node--1-k8s-web--0-eth0");
    assert_eq!(pod_of(&key), Some(("default", "web-0".to_owned())));
    for key in [
        Key::endpoint("default", "node--1-cni-abc-eth0"),
        Key::endpoint("default", "junk"),
        Key::resource(Kind::Profile, "node--1-k8s-web--0-eth0"),
        Key::IpamConfig,
    ] {
        assert_eq!(pod_of(&key), None, "{key}");
    }
    let listing = |prefix: &str| Listing::Endpoints { namespace: "default".into(), name_prefix: prefix.into() };
    assert_eq!(pod_of_listing(&listing("node--1-k8s-web--0-")), Some(("default", "web-0".to_owned())));
    for prefix in ["node--1-k8s-web--0", "node--1-k8s-", "node--1-cni-abc-", ""] {
        assert_eq!(pod_of_listing(&listing(prefix)), None, "{prefix}");
    }
    assert_eq!(pod_of_listing(&Listing::Blocks), None);
}

#[test]
fn protocols_of_stored_ports() {
    let read = |text: &str| serde_json::from_str::<EndpointPort>(text).unwrap();
    assert_eq!(read(r#"{"protocol":6}"#).protocol, Protocol::Number(6));
    let odd = r#"{"name":"a","protocol":132,"port":1,"hostPort":0,"hostIP":"","later":1}"#;
    assert_eq!(serde_json::to_string(&read(odd)).unwrap(), odd);
}
