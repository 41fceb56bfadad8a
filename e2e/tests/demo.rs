//! The demo shows what it promises, on each datastore.

use std::process::{Command, Output};

fn demo(datastore: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_demo")).env("DATASTORE", datastore).output().unwrap()
}

#[track_caller]
fn shows(output: &Output, expected: &[&str]) {
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    for words in expected {
        assert!(text.contains(words), "no {words:?} in:\n{text}");
    }
}

/// What is the same everywhere: pings in both directions and families, keys, and a clean end.
const ALWAYS: [&str; 7] = [
    "== ADD web",
    "  /calico/ipam/v2/handle/net1.web\n",
    "  /calico/resources/v3/projectcalico.org/workloadendpoints/default/node--1-cni-web-eth0\n",
    "  ok  db answers web\n",
    "  ok  web answers db\n",
    "  ok  the audit of all stored objects finds nothing\n",
    "\neverything holds",
];

#[test]
fn the_embedded_store_is_the_default() {
    for datastore in ["", "local"] {
        let output = demo(datastore);
        shows(&output, &ALWAYS);
        shows(&output, &["bin/calico <e2e/fixtures/demo.json\n", "\"datastore_type\": \"local\""]);
    }
}

#[test]
fn etcd_is_started_and_seeded() {
    let output = demo("etcd");
    shows(&output, &ALWAYS);
    shows(&output, &["bin/calico <e2e/fixtures/demo-etcd.json\n", "\"datastore_type\": \"etcdv3\"", "== An etcd"]);
    shows(&output, &["  /calico/resources/v3/projectcalico.org/clusterinformations/default\n"]);
}

#[test]
fn another_datastore_is_an_error() {
    let output = demo("kubernetes");
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
    let reason = String::from_utf8_lossy(&output.stderr);
    assert_eq!(reason, "DATASTORE=kubernetes is unknown: there are local and etcd\n");
}

#[test]
fn a_kubelet_runs_pods_where_the_manifests_were_applied() {
    let output = Command::new(env!("CARGO_BIN_EXE_kubelet_demo")).output().unwrap();
    let expected = [
        "# kubectl apply --server-side -k manifests/overlays/alone\n",
        "\"type\": \"calico-ipam\"",
        "  ok  and serves it a page\n",
        "  ok  no address is allocated, no handle, no interface\n",
        "  ok  calicoctl ipam check\n",
        "\neverything holds",
    ];
    shows(&output, &expected);
}
