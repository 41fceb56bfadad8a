//! Where the objects are: files, environment, options.

use std::fs;

use e2e::{Ctl, Etcd, Options};
use serde_json::json;

use crate::inputs;

#[test]
fn nothing_configured_names_the_ways() {
    let ctl = Ctl::on_local().without("DATASTORE_TYPE");
    let stderr = ctl.run("get pools").failure();
    for words in ["ETCD_ENDPOINTS=", "KUBECONFIG=", "/etc/calico/calicoctl.cfg", "--local"] {
        assert!(stderr.contains(words), "no {words}: {stderr}");
    }
    // An etcd that is named without an address is the same mistake.
    let stderr = ctl.with("DATASTORE_TYPE", "etcdv3").run("get pools").failure();
    assert!(stderr.contains("no etcd endpoints specified") && stderr.contains("--local"), "{stderr}");
}

#[test]
fn a_file_is_the_only_source_if_it_exists() {
    let ctl = Ctl::on_etcd();
    inputs::write(&ctl);
    ctl.succeed("create -f pool.yaml");
    let endpoint = ctl.ground.etcd().endpoint(0);
    let file = |spec: &str| format!("apiVersion: projectcalico.org/v3\nkind: CalicoAPIConfig\nspec:\n{spec}");
    ctl.write("etcd.cfg", &file(&format!("  datastoreType: etcdv3\n  etcdEndpoints: {endpoint}\n")));
    ctl.write("local.cfg", &file("  datastoreType: local\n  localStoreFile: /var/lib/calico/other.db\n"));
    ctl.write("typo.cfg", &file("  datastoreTyp: etcdv3\n"));
    ctl.write("both.cfg", &file("  etcdEndpoints: https://a:1\n  etcdKey: x\n  etcdKeyFile: /x\n"));
    let ctl = ctl.with("ETCD_ENDPOINTS", "http://127.0.0.1:1");
    assert_eq!(ctl.succeed("get pools -o name -c etcd.cfg"), "ippool/pool1\n");
    ctl.succeed("create -f pool.yaml --config local.cfg");
    assert!(ctl.host.folder().join("other.db").exists());
    let stderr = ctl.run("get pools -c typo.cfg").failure();
    assert!(
        stderr.contains("unknown field spec.datastoreTyp") && stderr.contains("did you mean datastoreType?"),
        "{stderr}"
    );
    assert!(ctl.run("get pools -c both.cfg").failure().contains("the same thing"));
    // The environment's is not there: nobody hangs.
    let stderr = ctl.run("--timeout=2 get pools").failure();
    assert!(stderr.starts_with("Failed to create Calico API client: ") && stderr.contains("127.0.0.1:1"), "{stderr}");
    // A variable with the prefix has precedence.
    let ctl = ctl.with("CALICO_ETCD_ENDPOINTS", &endpoint);
    assert_eq!(ctl.succeed("get pools -o name"), "ippool/pool1\n");
}

#[test]
fn certificates_may_be_in_the_file_itself() {
    let etcd = Etcd::start(Options { tls: true, ..Options::default() });
    let host = etcd.host();
    let conf = etcd.conf();
    let text = |key: &str| fs::read_to_string(conf[key].as_str().unwrap()).unwrap();
    let file = json!({
        "apiVersion": "projectcalico.org/v3", "kind": "CalicoAPIConfig",
        "spec": {
            "datastoreType": "etcdv3", "etcdEndpoints": conf["etcd_endpoints"], "etcdCACert": text("etcd_ca_cert_file"),
            "etcdCert": text("etcd_cert_file"), "etcdKey": text("etcd_key_file")
        }
    });
    fs::write(host.folder().join("inline.cfg"), file.to_string()).unwrap();
    let mut command = host.program(&e2e::executable("calicoctl"));
    let output = command.args(["get", "pools", "-o", "name", "-c", "/var/lib/calico/inline.cfg"]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn a_kubeconfig_may_be_in_the_file_itself_and_has_contexts() {
    let ctl = Ctl::on_kubernetes();
    inputs::write(&ctl);
    ctl.succeed("create -f pool.yaml");
    let kubeconfig = fs::read_to_string(ctl.ground.plane().admin_kubeconfig()).unwrap();
    let file = json!({
        "apiVersion": "projectcalico.org/v3", "kind": "CalicoAPIConfig",
        "spec": {"datastoreType": "kubernetes", "kubeconfigInline": kubeconfig}
    });
    ctl.write("inline.cfg", &file.to_string());
    assert_eq!(ctl.succeed("get pools -o name -c inline.cfg"), "ippool/pool1\n");
    let stderr = ctl.run("get pools --context nowhere").failure();
    assert!(stderr.contains("nowhere"), "{stderr}");
}

#[test]
fn a_cluster_of_another_calico_is_refused() {
    let ctl = Ctl::on_etcd();
    let cluster = |version: &str| {
        let spec = json!({"datastoreReady": true, "calicoVersion": version, "clusterType": "k8s,bgp"});
        ctl.ground.etcd().put_resource("ClusterInformation", "clusterinformations", "default", spec);
    };
    cluster("v3.30.1");
    ctl.succeed("get pools");
    let version = ctl.succeed("version");
    assert!(version.ends_with("Cluster Version:   v3.30.1\nCluster Type:      k8s,bgp\n"), "{version}");
    cluster("v4.0.0");
    let stderr = ctl.run("get pools").failure();
    assert!(
        stderr.starts_with("version mismatch.\nClient Version:   ") && stderr.contains("--allow-version-mismatch"),
        "{stderr}"
    );
    ctl.succeed("get pools --allow-version-mismatch");
    inputs::write(&ctl);
    ctl.succeed("validate -f pool.yaml");
    cluster("v3.30.1");
}
