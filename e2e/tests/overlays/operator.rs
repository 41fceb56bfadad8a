//! Beside an operator that manages Calico.

use std::collections::BTreeSet;

use serde_json::json;

use crate::{apply, assert_modest, assert_rights, daemon_set, delete, empty_plane, manifests, overlay, variable};

const ACCOUNT: &str = "calico-install";

#[test]
fn beside_an_operator_only_the_executables_are_ours() {
    let plane = empty_plane();
    let folder = overlay("operator");
    // No object that the operator has, too.
    let ours = ["daemonset.apps/calico-install", "serviceaccount/calico-install"];
    assert_eq!(apply(&plane, &folder), ours.map(str::to_owned).into());
    let pod = daemon_set(&plane)["spec"]["template"]["spec"].clone();
    assert_modest(&pod, &["/opt/cni/bin"]);
    assert_eq!((&pod["serviceAccountName"], &pod["automountServiceAccountToken"]), (&json!(ACCOUNT), &json!(false)));
    assert_rights(&plane.client_of("kube-system", ACCOUNT), &BTreeSet::new());
    // The operator's folder, which is there.
    assert_eq!(pod["volumes"][0]["hostPath"]["type"], "Directory");
    let container = &pod["containers"][0];
    assert_eq!(variable(container, "MANAGE_CNI_CONFIG"), Some("false"));
    assert_eq!(variable(container, "MANAGE_KUBECONFIG"), Some("false"));
    assert_eq!(variable(container, "STANDALONE"), None);
    // Every plugin of the image but the two.
    let script = std::fs::read_to_string(manifests("../image/build.sh")).unwrap();
    let skipped = variable(container, "SKIP_CNI_BINARIES").unwrap().replace(',', " ");
    assert!(script.contains(&format!("\nfor plugin in {skipped}; do\n")), "{skipped}");
    delete(&plane, ["-k", &folder]);
}
