//! A first installation, and a second one.

use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use e2e::{ApiGroup, ControlPlane, Etcd, Options, PLUGIN_ACCOUNT, kubectl_folder};
use serde_json::{Value, json};

use crate::node::{ACCOUNT, Node, PLUGINS, assert_nothing_unfinished, expected_conflist};

/// The tokens that were asked for by the installer.
fn token_requests(plane: &ControlPlane, since: e2e::Mark) -> usize {
    let user = format!("system:serviceaccount:kube-system:{ACCOUNT}");
    let events = plane.audit(since).into_iter().filter(|event| event.user == user && event.verb == "create");
    events.filter(|event| event.uri.contains("/token")).count()
}

#[test]
fn a_node_gets_everything_once() {
    let plane = ControlPlane::shared(ApiGroup::Crd);
    plane.seed(&["node-1"]);
    let mut node = Node::of(&plane).with_real_plugins();
    node.put("host/etc/cni/net.d/10-older.conflist", b"{}");
    node.set("CNI_OLD_CONF_NAME", "10-older.conflist");
    let mark = plane.mark();
    let said = node.install();
    said.assert_installed();
    assert!(!said.stderr.contains(&node.token()) && said.stdout.is_empty(), "{said:#?}");
    let line = said.stderr.lines().next().unwrap();
    assert!(line.contains(" [INFO][") && line.contains("] cni-installer/run.rs "), "{line}");

    assert_eq!(node.names("host/opt/cni/bin"), PLUGINS);
    for name in PLUGINS {
        let file = |folder: &str| std::fs::read(node.path(folder).join(name)).unwrap();
        assert_eq!(file("host/opt/cni/bin"), file("opt/cni/bin"), "{name}");
        assert_eq!(node.mode(&format!("host/opt/cni/bin/{name}")), 0o755);
    }
    assert_eq!(node.names("host/etc/cni/net.d"), ["10-calico.conflist", "calico-kubeconfig"]);
    assert_eq!(node.conflist(), expected_conflist());
    assert_eq!(node.mode("host/etc/cni/net.d/10-calico.conflist"), 0o600);
    assert_eq!(node.mode("host/etc/cni/net.d/calico-kubeconfig"), 0o600);

    // The kubeconfig is good for kubectl and for the plugin, as the plugin's account.
    let kubeconfig = node.on_host("host/etc/cni/net.d/calico-kubeconfig");
    let kubectl = |arguments: &[&str]| {
        let mut command = node.host.program(&kubectl_folder().join("kubectl"));
        let output = command.env("KUBECONFIG", &kubeconfig).args(arguments).output().unwrap();
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    };
    let user = kubectl(&["auth", "whoami", "-o", "jsonpath={.status.userInfo.username}"]);
    assert_eq!(user, format!("system:serviceaccount:kube-system:{PLUGIN_ACCOUNT}"));
    assert_eq!(kubectl(&["auth", "can-i", "patch", "pods", "--subresource=status"]), "yes");
    assert_eq!(kubectl(&["auth", "can-i", "create", "pods"]), "no");
    let mut conf: Value = serde_json::from_str(&node.conflist()).unwrap();
    let mut plugin = conf["plugins"][0].take();
    for (key, value) in [("name", conf["name"].take()), ("cniVersion", conf["cniVersion"].take())] {
        plugin[key] = value;
    }
    plugin["kubernetes"]["kubeconfig"] = json!(kubeconfig);
    plugin["log_file_path"] = json!("");
    let mut command = node.host.program(Path::new(&node.on_host("host/opt/cni/bin/calico")));
    let mut child = command.arg("-t").stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(plugin.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(token_requests(&plane, mark), 1);

    // Once more: nothing is touched, and no token is issued.
    let before = node.stamps();
    let mark = plane.mark();
    node.install().assert_installed();
    assert_eq!(node.stamps(), before);
    assert_eq!(token_requests(&plane, mark), 0);
    assert_nothing_unfinished(&node);

    // A token of somebody else is replaced.
    let text = node.kubeconfig().replace(&node.token(), &plane.token_of("kube-system", ACCOUNT));
    node.put("host/etc/cni/net.d/calico-kubeconfig", text.as_bytes());
    node.install().assert_installed();
    assert_eq!(token_requests(&plane, mark), 1);
    assert_ne!(node.kubeconfig(), text);
}

#[test]
fn a_token_of_an_account_that_was_made_anew_is_not_kept() {
    let plane = ControlPlane::start();
    let mut node = Node::of(&plane);
    node.install().assert_installed();
    let before = node.token();
    let path = format!("/api/v1/namespaces/kube-system/serviceaccounts/{PLUGIN_ACCOUNT}");
    plane.admin().delete(&path).unwrap();
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": PLUGIN_ACCOUNT}});
    plane.admin().create("/api/v1/namespaces/kube-system/serviceaccounts", &account).unwrap();
    e2e::until("the API server has seen that", || {
        node.install().assert_installed();
        node.token() != before
    });
}

#[test]
fn a_node_that_stands_alone_gets_calicos_objects_once() {
    for group in ApiGroup::ALL {
        let plane = ControlPlane::shared(group);
        plane.create_node("node-1");
        let rights = concat!(env!("CARGO_MANIFEST_DIR"), "/../manifests/components/alone/rights.yaml");
        plane.kubectl(&["apply", "--server-side", "-f", rights]);
        let mut node = Node::of(&plane);
        node.set("STANDALONE", "true");
        node.set("CALICO_API_GROUP", group.version());
        node.set("CALICO_IPV4POOL_CIDR", "10.70.0.0/16");
        node.set("CALICO_IPV6POOL_CIDR", "fd70::/64");
        node.install().assert_installed();
        assert_eq!(node.read("var/lib/calico/nodename"), "node-1");
        let spec = |plural: &str, name: &str| {
            plane.admin().get(&format!("{}/{name}", plane.collection(plural))).unwrap()["spec"].clone()
        };
        let state = spec("clusterinformations", "default");
        assert_eq!(state["datastoreReady"], true, "{state}");
        let pool = spec("ippools", "default-ipv4-ippool");
        for (key, value) in [
            ("cidr", json!("10.70.0.0/16")),
            ("blockSize", json!(26)),
            ("natOutgoing", json!(true)),
            ("ipipMode", json!("Never")),
            ("vxlanMode", json!("Never")),
        ] {
            assert_eq!(pool[key], value, "{pool}");
        }
        let pool = spec("ippools", "default-ipv6-ippool");
        assert_eq!((&pool["cidr"], &pool["blockSize"]), (&json!("fd70::/64"), &json!(122)), "{pool}");

        // What people make of it stays.
        let ippools = plane.collection("ippools");
        let path = format!("{ippools}/default-ipv4-ippool");
        plane.admin().patch(&path, &json!({"spec": {"disabled": true, "natOutgoing": null}})).unwrap();
        plane.admin().delete(&format!("{ippools}/default-ipv6-ippool")).unwrap();
        let path = format!("{}/default", plane.collection("clusterinformations"));
        plane.admin().patch(&path, &json!({"spec": {"datastoreReady": false}})).unwrap();
        node.put("var/lib/calico/nodename", b"another");
        let lists =
            || ["ippools", "clusterinformations"].map(|plural| plane.admin().list(&plane.collection(plural)).unwrap());
        let before = lists();
        node.set("CALICO_IPV4POOL_CIDR", "10.71.0.0/16");
        node.install().assert_installed();
        assert_eq!(lists(), before);
        assert_eq!(node.read("var/lib/calico/nodename"), "another");
    }
}

#[test]
fn certificates_for_etcd_and_a_configuration_of_ones_own() {
    let mut node = Node::start();
    let secret =
        |key: &'static [u8]| [("etcd-ca", &b"authority"[..]), ("etcd-cert", b"certificate"), ("etcd-key", key)];
    node.mount_secret("calico-secrets", &secret(b"key"));
    node.set(
        "CNI_NETWORK_CONFIG",
        r#"{"name": "n", "cniVersion": "1.0.0", "cniVersions": ["1.0.0", "1.1.0"], "plugins": [{"type": "calico", "etcd_endpoints": "__ETCD_ENDPOINTS__", "etcd_key_file": "__ETCD_KEY_FILE__", "etcd_cert_file": "__ETCD_CERT_FILE__", "etcd_ca_cert_file": "__ETCD_CA_CERT_FILE__"}]}"#,
    );
    node.set("ETCD_ENDPOINTS", "https://10.0.0.1:2379");
    node.set("CNI_NET_DIR", "/etc/kubernetes/cni/net.d");
    node.set("CNI_CONF_NAME", "05-calico.conflist");
    node.set("TEST_FILE_PERMISSION", "0644");
    let said = node.install();
    said.assert_installed();
    assert!(said.stderr.contains("no service account is mounted: no kubeconfig is written"), "{said:#?}");
    let folder = "host/etc/cni/net.d";
    assert_eq!(node.names(folder), ["05-calico.conflist", "calico-tls"]);
    assert_eq!(node.mode(&format!("{folder}/05-calico.conflist")), 0o644);
    let conflist: Value = serde_json::from_str(&node.read(&format!("{folder}/05-calico.conflist"))).unwrap();
    let plugin = &conflist["plugins"][0];
    assert_eq!(plugin["etcd_endpoints"], "https://10.0.0.1:2379");
    for (key, name, content, mode) in [
        ("etcd_ca_cert_file", "etcd-ca", "authority", 0o644),
        ("etcd_cert_file", "etcd-cert", "certificate", 0o644),
        ("etcd_key_file", "etcd-key", "key", 0o600),
    ] {
        assert_eq!(plugin[key], format!("/etc/kubernetes/cni/net.d/calico-tls/{name}"));
        assert_eq!(node.read(&format!("{folder}/calico-tls/{name}")), content);
        assert_eq!(node.mode(&format!("{folder}/calico-tls/{name}")), mode);
    }
    let before = node.stamps();
    node.install().assert_installed();
    assert_eq!(node.stamps(), before);

    // The secret is renewed while the installer is there.
    node.set("SLEEP", "true");
    let installer = node.start_installer();
    node.wait_until_ready();
    node.mount_secret("calico-secrets", &secret(b"key, renewed"));
    e2e::until("the key is followed", || node.read(&format!("{folder}/calico-tls/etcd-key")) == "key, renewed");
    // It is deleted and made anew.
    let before = node.stamps();
    node.mount_secret("calico-secrets", &[]);
    e2e::until("that is told", || node.ask("/readyz").is_some_and(|(_, text)| text.contains("has become empty")));
    assert_eq!(node.stamps(), before);
    assert_eq!(node.read(&format!("{folder}/calico-tls/etcd-key")), "key, renewed");
    node.mount_secret("calico-secrets", &secret(b"key, again"));
    e2e::until("the key is followed", || node.read(&format!("{folder}/calico-tls/etcd-key")) == "key, again");
    node.wait_until_ready();
    installer.end();
}

#[test]
fn with_etcd_and_its_certificates_a_container_gets_a_network() {
    let etcd = Etcd::start(Options { tls: true, ..Options::default() });
    let conf = etcd.conf();
    let mut node = Node::on(etcd.host());
    let keys = ["etcd_ca_cert_file", "etcd_cert_file", "etcd_key_file"];
    let contents = keys.map(|key| std::fs::read(conf[key].as_str().unwrap()).unwrap());
    let names = ["etcd-ca", "etcd-cert", "etcd-key"];
    let files: Vec<(&str, &[u8])> = names.into_iter().zip(contents.iter().map(Vec::as_slice)).collect();
    node.mount_secret("calico-secrets", &files);
    node.set("DATASTORE_TYPE", "etcdv3");
    node.set("ETCD_ENDPOINTS", &etcd.endpoint(0));
    node.set("STANDALONE", "true");
    node.set("CALICO_IPV4POOL_CIDR", "10.70.0.0/16");
    node.install().assert_installed();

    // By the certificates that were installed.
    let mut plugin = json!({
        "cniVersion": "1.0.0", "name": "net1", "type": "calico", "ipam": {"type": "calico-ipam"},
        "nodename": node.read("var/lib/calico/nodename"), "nodename_file_optional": true,
        "datastore_type": "etcdv3", "etcd_endpoints": etcd.endpoint(0)
    });
    for (key, name) in keys.into_iter().zip(names) {
        plugin[key] = json!(node.on_host(&format!("host/etc/cni/net.d/calico-tls/{name}")));
    }
    let container = node.host.container("c1");
    let result = container.add(&plugin).run().result();
    let address = result["ips"][0]["address"].as_str().unwrap();
    assert!(address.starts_with("10.70."), "{result}");
    container.del(&plugin).run().result();
}
