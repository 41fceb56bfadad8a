//! The overlays that operators apply: a real API server takes them strictly, they ask for no more of the host and of the
//! API than is written down here, and what they did can be undone.

mod alone;
mod beside;
mod operator;
mod plain;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use e2e::{Client, ControlPlane, ControlPlaneOptions, kubectl_folder, manifests, until};
use serde_json::{Value, json};

const IMAGE: &str = concat!("localhost/calico-install:", env!("CARGO_PKG_VERSION"));
const DAEMON_SETS: &str = "/apis/apps/v1/namespaces/kube-system/daemonsets";

fn overlay(name: &str) -> String {
    manifests("overlays").join(name).to_string_lossy().into_owned()
}

/// An API server without anything of Calico.
fn empty_plane() -> ControlPlane {
    ControlPlane::with(ControlPlaneOptions { resources: None, ..ControlPlaneOptions::default() })
}

/// A folder with a kustomization of an operator's own, in which `manifests` is the project's folder.
fn kustomization(name: &str, text: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("overlays").join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    std::os::unix::fs::symlink(manifests(""), folder.join("manifests")).unwrap();
    std::fs::write(folder.join("kustomization.yaml"), text).unwrap();
    folder
}

/// What kustomize makes of a folder.
fn rendered(folder: &str) -> String {
    let output = Command::new(kubectl_folder().join("kubectl")).args(["kustomize", folder]).output().unwrap();
    assert!(output.status.success(), "{folder}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Has the server check a folder's objects, stores them, and stores them again, by which nothing changes. Returns their
/// names.
fn apply(plane: &ControlPlane, folder: &str) -> BTreeSet<String> {
    let apply = ["apply", "--server-side", "--validate=strict", "-k", folder, "-o", "name"];
    let tried = plane.kubectl(&[&apply[..], &["--dry-run=server"]].concat());
    let stored = plane.kubectl(&apply);
    assert_eq!(stored, tried);
    let revisions = || plane.kubectl(&["get", "-k", folder, "-o", "jsonpath={.items[*].metadata.generation}"]);
    let before = revisions();
    plane.kubectl(&apply);
    assert_eq!(revisions(), before);
    stored.lines().map(str::to_owned).collect()
}

/// Deletes a folder's objects (`-k`), or a file's (`-f`). Nothing of Calico is left in the API.
fn delete(plane: &ControlPlane, what: [&str; 2]) {
    // The server gives up for minutes on a definition that is deleted before it serves the resource.
    for definition in plane.admin().list("/apis/apiextensions.k8s.io/v1/customresourcedefinitions").unwrap() {
        let text = |path: &str| definition.pointer(path).and_then(Value::as_str).expect("a definition has it");
        let [group, version, plural] = ["/spec/group", "/spec/versions/0/name", "/spec/names/plural"].map(text);
        let path = format!("/apis/{group}/{version}/{plural}");
        until("the resource is served", || plane.admin().get(&path).is_ok());
    }
    plane.kubectl(&[&["delete"], &what[..]].concat());
    let kinds = "daemonsets,configmaps,serviceaccounts,roles,rolebindings,clusterroles,clusterrolebindings,crd";
    let left = plane.kubectl(&["get", kinds, "--all-namespaces", "-o", "name"]);
    assert!(!left.contains("calico"), "{left}");
}

/// The stored DaemonSet `calico-install`.
fn daemon_set(plane: &ControlPlane) -> Value {
    plane.admin().get(&format!("{DAEMON_SETS}/calico-install")).unwrap()
}

/// Asserts that all containers are those of this release, and may do what they must and no more; and that the pod has
/// these folders of the host, and no others.
#[track_caller]
fn assert_modest(pod: &Value, folders: &[&str]) {
    let security = json!({
        "runAsUser": 0, "runAsGroup": 0, "privileged": false, "allowPrivilegeEscalation": false,
        "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"], "add": ["DAC_OVERRIDE"]},
        "seccompProfile": {"type": "RuntimeDefault"}, "seLinuxOptions": {"type": "spc_t"}
    });
    let containers = ["initContainers", "containers"].into_iter().filter_map(|list| pod[list].as_array()).flatten();
    for container in containers {
        assert_eq!(container["securityContext"], security, "{container:#}");
        assert_eq!(container["image"], IMAGE);
        let resources = json!({"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "64Mi"}});
        assert_eq!(container["resources"], resources);
    }
    assert!(pod["hostPID"].is_null() && pod["hostIPC"].is_null(), "{pod:#}");
    assert_eq!((&pod["hostNetwork"], &pod["tolerations"]), (&json!(true), &json!([{"operator": "Exists"}])));
    let volumes = pod["volumes"].as_array().unwrap();
    let host: BTreeSet<&str> = volumes.iter().filter_map(|volume| volume["hostPath"]["path"].as_str()).collect();
    assert_eq!(host, folders.iter().copied().collect());
}

/// The value of a variable that is in the DaemonSet itself.
fn variable<'d>(container: &'d Value, name: &str) -> Option<&'d str> {
    let list = container["env"].as_array().unwrap();
    list.iter().find(|entry| entry["name"] == name)?["value"].as_str()
}

/// Asserts what a client may do in `kube-system`, which the API server knows a moment after it was stored.
#[track_caller]
fn assert_rights(client: &Client, expected: &BTreeSet<String>) {
    let (mut found, mut tries) = (BTreeSet::new(), 0);
    until("the rights are known", || {
        found = client.rights("kube-system");
        tries += 1;
        found == *expected || tries == 1000
    });
    assert_eq!(found, *expected);
}
