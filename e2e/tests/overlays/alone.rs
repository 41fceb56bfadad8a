//! Without anything else of Calico.

use std::collections::BTreeSet;

use e2e::{ControlPlane, PLUGIN_ACCOUNT, rights};
use serde_json::{Value, json};

use crate::{
    IMAGE, apply, assert_modest, assert_rights, daemon_set, delete, empty_plane, kustomization, overlay, variable,
};

const INSTALLER: &str = "calico-install";
const GROUPS: [&str; 2] = ["projectcalico.org", "crd.projectcalico.org"];
const HOST: [&str; 3] = ["/etc/cni/net.d", "/opt/cni/bin", "/var/lib/calico"];
/// What the image has beside `calico`.
const OTHER_PLUGINS: [&str; 2] = ["portmap", "bandwidth"];

fn token_of_plugin() -> BTreeSet<String> {
    [format!("create serviceaccounts/token {PLUGIN_ACCOUNT}")].into()
}

fn installers() -> BTreeSet<String> {
    let mut all = rights(&["get", "create"], &GROUPS, &["clusterinformations", "ippools"]);
    all.extend(rights(&["list"], &GROUPS, &["ippools"]));
    all.extend(token_of_plugin());
    all
}

fn pod(plane: &ControlPlane) -> Value {
    daemon_set(plane)["spec"]["template"]["spec"].clone()
}

/// The configuration of the ConfigMap, with something for each placeholder that calico-install knows.
fn configuration(plane: &ControlPlane) -> Value {
    let stored = plane.admin().get("/api/v1/namespaces/kube-system/configmaps/calico-install").unwrap();
    assert_eq!(stored["data"]["veth_mtu"], "0");
    let mut text = stored["data"]["cni_network_config"].as_str().unwrap().replace("__CNI_MTU__", "0");
    for name in [
        "KUBERNETES_NODE_NAME",
        "KUBECONFIG_FILEPATH",
        "CALICO_API_GROUP",
        "ETCD_ENDPOINTS",
        "ETCD_KEY_FILE",
        "ETCD_CERT_FILE",
        "ETCD_CA_CERT_FILE",
    ] {
        text = text.replace(&format!("\"__{name}__\""), &json!(name).to_string());
    }
    assert!(!text.contains("__"), "{text}");
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

fn assert_chain(configuration: &Value) {
    assert_eq!((&configuration["name"], &configuration["cniVersion"]), (&json!("k8s-pod-network"), &json!("1.0.0")));
    let plugins = configuration["plugins"].as_array().unwrap();
    let types: Vec<&str> = plugins.iter().filter_map(|plugin| plugin["type"].as_str()).collect();
    assert_eq!(types, [&["calico"], &OTHER_PLUGINS[..]].concat());
}

#[test]
fn alone_there_is_everything() {
    let plane = empty_plane();
    let folder = overlay("alone");
    let names = apply(&plane, &folder);
    assert_eq!(names.iter().filter(|name| name.starts_with("customresourcedefinition")).count(), 7, "{names:#?}");
    let pod = pod(&plane);
    assert_modest(&pod, &HOST);
    assert_eq!((&pod["serviceAccountName"], &pod["automountServiceAccountToken"]), (&json!(INSTALLER), &json!(true)));
    let container = &pod["containers"][0];
    assert_eq!(variable(container, "STANDALONE"), Some("true"));
    assert_eq!(variable(container, "CALICO_IPV4POOL_CIDR"), Some("192.168.0.0/16"));

    let configuration = configuration(&plane);
    assert_chain(&configuration);
    let calico = &configuration["plugins"][0];
    assert_eq!(
        (&calico["datastore_type"], &calico["nodename"]),
        (&json!("kubernetes"), &json!("KUBERNETES_NODE_NAME"))
    );

    assert_rights(&plane.client_of("kube-system", INSTALLER), &installers());
    delete(&plane, ["-k", &folder]);
}

#[test]
fn with_etcd_nothing_is_asked_of_the_api_but_what_pods_are() {
    let plane = empty_plane();
    let folder = overlay("alone-etcd");
    let names = apply(&plane, &folder);
    assert!(!names.iter().any(|name| name.starts_with("customresourcedefinition")), "{names:#?}");
    let pod = pod(&plane);
    assert_modest(&pod, &HOST);
    let secrets: Vec<&Value> = pod["volumes"].as_array().unwrap().iter().map(|volume| &volume["secret"]).collect();
    let certificates = json!({"secretName": "calico-etcd-secrets", "defaultMode": 0o400, "optional": true});
    assert!(secrets.contains(&&certificates), "{secrets:#?}");
    assert_eq!(variable(&pod["containers"][0], "DATASTORE_TYPE"), Some("etcdv3"));

    let configuration = configuration(&plane);
    assert_chain(&configuration);
    let calico = &configuration["plugins"][0];
    assert!(calico["datastore_type"].is_null() && calico["nodename"].is_null(), "{calico:#}");
    for key in ["etcd_endpoints", "etcd_key_file", "etcd_cert_file", "etcd_ca_cert_file"] {
        assert_eq!(calico[key], key.to_uppercase());
    }

    assert_rights(&plane.client_of("kube-system", INSTALLER), &token_of_plugin());
    let plugins = rights(&["get"], &[""], &["pods", "nodes", "namespaces"]);
    assert_rights(&plane.client_of("kube-system", PLUGIN_ACCOUNT), &plugins);
    delete(&plane, ["-k", &folder]);
}

#[test]
fn host_locals_addresses_are_taken_over_first() {
    let plane = empty_plane();
    let text = "resources: [manifests/overlays/alone]\ncomponents: [manifests/components/upgrade-ipam]\n";
    let folder = kustomization("upgrade", text).to_string_lossy().into_owned();
    apply(&plane, &folder);
    let pod = pod(&plane);
    assert_modest(&pod, &[&HOST[..], &["/var/lib/cni/networks"]].concat());
    // First the pools that the addresses lie in. What makes them has no executables to install on the node.
    let [pools, upgrade] = &pod["initContainers"].as_array().unwrap()[..] else { panic!("{pod:#}") };
    assert_eq!((&pools["name"], &pools["command"]), (&json!("pools"), &Value::Null));
    for (name, value) in [
        ("STANDALONE", "true"),
        ("CALICO_IPV4POOL_CIDR", "192.168.0.0/16"),
        ("MANAGE_CNI_CONFIG", "false"),
        ("MANAGE_KUBECONFIG", "false"),
        ("SLEEP", "false"),
    ] {
        assert_eq!(variable(pools, name), Some(value), "{name}");
    }
    let mounts = json!([
        {"name": "no-bin-dir", "mountPath": "/host/opt/cni/bin"}, {"name": "var-lib-calico", "mountPath": "/var/lib/calico"}
    ]);
    assert_eq!(pools["volumeMounts"], mounts);
    assert!(pod["volumes"].as_array().unwrap().contains(&json!({"name": "no-bin-dir", "emptyDir": {}})), "{pod:#}");
    assert_eq!(upgrade["command"], json!(["/usr/bin/calico-ipam", "-upgrade"]));
    assert_eq!((&upgrade["name"], &upgrade["image"]), (&json!("upgrade-ipam"), &json!(IMAGE)));

    let mut expected = installers();
    expected.extend(rights(&["list"], &[""], &["pods"]));
    expected.extend(rights(&["get"], &[""], &["nodes"]));
    expected.extend(rights(&["patch"], &[""], &["nodes/status"]));
    // Of its one object, by name.
    let of_any = rights(&["get", "update"], &GROUPS, &["clusterinformations"]);
    expected.extend(of_any.iter().map(|right| format!("{right} default")));
    expected.extend(rights(&["get"], &GROUPS, &["ipamconfigs", "ipamconfigurations"]));
    expected.extend(rights(&["list"], &GROUPS, &["ippools", "ipreservations"]));
    expected.extend(rights(&["get", "list", "create", "update", "delete"], &GROUPS, &["blockaffinities"]));
    expected.extend(rights(&["get", "create", "update", "delete"], &GROUPS, &["ipamblocks", "ipamhandles"]));
    assert_rights(&plane.client_of("kube-system", INSTALLER), &expected);
    delete(&plane, ["-k", &folder]);
}
