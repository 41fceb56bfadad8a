//! Beside Calico's node agent, which manifests installed.

use e2e::{ControlPlane, ControlPlaneOptions, until};
use serde_json::{Value, json};

use crate::{DAEMON_SETS, IMAGE, kustomization, manifests};

const REVISIONS: &str = "/apis/apps/v1/namespaces/kube-system/controllerrevisions";

/// The node agent's DaemonSet as far as it matters here: what its init containers are, mount and are told.
fn calico_node(install: Value) -> Value {
    let mut install_cni = json!({
        "name": "install-cni", "image": "registry.example/calico/cni:v3.31.0", "imagePullPolicy": "IfNotPresent",
        "securityContext": {"privileged": true},
        "envFrom": [{"configMapRef": {"name": "kubernetes-services-endpoint", "optional": true}}],
        "env": [
            {"name": "CNI_CONF_NAME", "value": "10-calico.conflist"},
            {"name": "CNI_NETWORK_CONFIG",
                "valueFrom": {"configMapKeyRef": {"name": "calico-config", "key": "cni_network_config"}}},
            {"name": "KUBERNETES_NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
            {"name": "CNI_MTU", "valueFrom": {"configMapKeyRef": {"name": "calico-config", "key": "veth_mtu"}}},
            {"name": "SLEEP", "value": "false"}
        ],
        "volumeMounts": [
            {"name": "cni-bin-dir", "mountPath": "/host/opt/cni/bin"},
            {"name": "cni-net-dir", "mountPath": "/host/etc/cni/net.d"}
        ]
    });
    install_cni.as_object_mut().unwrap().extend(install.as_object().unwrap().clone());
    let folder =
        |name: &str, path: &str| json!({"name": name, "hostPath": {"path": path, "type": "DirectoryOrCreate"}});
    json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet",
        "metadata": {"name": "calico-node", "namespace": "kube-system", "labels": {"k8s-app": "calico-node"}},
        "spec": {
            "selector": {"matchLabels": {"k8s-app": "calico-node"}},
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}},
            "template": {
                "metadata": {"labels": {"k8s-app": "calico-node"}},
                "spec": {
                    "hostNetwork": true, "serviceAccountName": "calico-node", "priorityClassName": "system-node-critical",
                    "tolerations": [{"effect": "NoSchedule", "operator": "Exists"}],
                    "initContainers": [
                        {
                            "name": "upgrade-ipam", "image": "registry.example/calico/cni:v3.31.0",
                            "command": ["/opt/cni/bin/calico-ipam", "-upgrade"],
                            "securityContext": {"privileged": true},
                            "env": [
                                {"name": "KUBERNETES_NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}
                            ],
                            "volumeMounts": [
                                {"name": "host-local-net-dir", "mountPath": "/var/lib/cni/networks"},
                                {"name": "cni-bin-dir", "mountPath": "/host/opt/cni/bin"}
                            ]
                        },
                        install_cni,
                        {"name": "ebpf-bootstrap", "image": "registry.example/calico/node:v3.31.0", "env": []}
                    ],
                    "containers": [{"name": "calico-node", "image": "registry.example/calico/node:v3.31.0"}],
                    "volumes": [
                        folder("cni-bin-dir", "/opt/cni/bin"),
                        folder("cni-net-dir", "/etc/cni/net.d"),
                        folder("host-local-net-dir", "/var/lib/cni/networks")
                    ]
                }
            }
        }
    })
}

/// The ways in which releases of it call their installer.
fn shapes() -> [Value; 2] {
    [json!({"command": ["/opt/cni/bin/install"]}), json!({"args": ["component", "cni", "install"]})]
}

fn stored(plane: &ControlPlane) -> Value {
    plane.admin().get(&format!("{DAEMON_SETS}/calico-node")).unwrap()
}

fn delete(plane: &ControlPlane) {
    plane.kubectl(&["--namespace", "kube-system", "delete", "daemonset", "calico-node"]);
    // They are the garbage collector's.
    until("its revisions are gone", || plane.admin().list(REVISIONS).unwrap().is_empty());
}

/// A specification in which variables come in the order of their names: a patch may put its own anywhere.
fn sorted(object: &Value) -> Value {
    let mut spec = object["spec"].clone();
    for container in spec["template"]["spec"]["initContainers"].as_array_mut().unwrap() {
        if let Some(list) = container["env"].as_array_mut() {
            list.sort_by_key(|variable| variable["name"].to_string());
        }
    }
    spec
}

/// What the stored object must be with the patch.
fn patched(before: &Value) -> Value {
    let mut after = before.clone();
    let containers = after["spec"]["template"]["spec"]["initContainers"].as_array_mut().unwrap();
    assert_eq!(containers.remove(0)["name"], "upgrade-ipam");
    let install = containers[0].as_object_mut().unwrap();
    install.insert("image".to_owned(), json!(IMAGE));
    // That of the image.
    install.remove("command");
    install["env"].as_array_mut().unwrap().push(json!({"name": "MANAGE_KUBECONFIG", "value": "missing"}));
    sorted(&after)
}

fn plane() -> ControlPlane {
    let options = ControlPlaneOptions { resources: None, controller_manager: true, ..ControlPlaneOptions::default() };
    ControlPlane::with(options)
}

#[test]
fn the_patch_changes_the_installer_alone_and_is_undone() {
    let plane = plane();
    let folder = kustomization("beside-patch", "");
    let patch = manifests("overlays/beside/patch.yaml").to_string_lossy().into_owned();
    for shape in shapes() {
        let file = folder.join("calico.json");
        std::fs::write(&file, calico_node(shape).to_string()).unwrap();
        plane.kubectl(&["apply", "--validate=strict", "-f", file.to_str().unwrap()]);
        until("the revision is kept", || plane.admin().list(REVISIONS).unwrap().len() == 1);
        let before = stored(&plane);
        plane.kubectl(&["--namespace", "kube-system", "patch", "daemonset", "calico-node", "--patch-file", &patch]);
        assert_eq!(sorted(&stored(&plane)), patched(&before));

        until("the new revision is kept", || plane.admin().list(REVISIONS).unwrap().len() == 2);
        plane.kubectl(&["--namespace", "kube-system", "rollout", "undo", "daemonset/calico-node"]);
        let undone = stored(&plane);
        assert_eq!(undone["spec"], before["spec"]);
        assert_eq!(undone["metadata"]["labels"], before["metadata"]["labels"]);
        let annotations = |object: &Value| {
            let mut annotations = object["metadata"]["annotations"].as_object().unwrap().clone();
            // The server counts changes there.
            annotations.remove("deprecated.daemonset.template.generation");
            annotations
        };
        assert_eq!(annotations(&undone), annotations(&before));
        delete(&plane);
    }
}

#[test]
fn a_manifest_that_is_applied_after_the_patch_puts_its_own_installer_back() {
    let plane = plane();
    let folder = kustomization("beside-release", "");
    let file = folder.join("calico.json");
    let patch = manifests("overlays/beside/patch.yaml").to_string_lossy().into_owned();
    let apply = |object: &Value, more: &[&str]| {
        std::fs::write(&file, object.to_string()).unwrap();
        plane.kubectl(&[&["apply", "--validate=strict", "-f", file.to_str().unwrap()], more].concat());
        stored(&plane)
    };
    let releases = || shapes().into_iter().flat_map(|former| shapes().map(|next| (former.clone(), next)));
    for more in [&[][..], &["--server-side", "--force-conflicts"]] {
        for (former, next) in releases() {
            apply(&calico_node(former), more);
            plane.kubectl(&["--namespace", "kube-system", "patch", "daemonset", "calico-node", "--patch-file", &patch]);
            let next = calico_node(next);
            let mut after = apply(&next, more);
            let containers = after["spec"]["template"]["spec"]["initContainers"].as_array_mut().unwrap();
            let names: Vec<&str> = containers.iter().filter_map(|container| container["name"].as_str()).collect();
            assert_eq!(names, ["upgrade-ipam", "install-cni", "ebpf-bootstrap"]);
            let wanted = &next["spec"]["template"]["spec"]["initContainers"];
            for (found, wanted) in containers.iter().zip(wanted.as_array().unwrap()) {
                for key in ["image", "command", "args"] {
                    assert_eq!(found[key], wanted[key], "{key} of {}", found["name"]);
                }
            }
            delete(&plane);
        }
    }
}

#[test]
fn the_component_changes_the_same_and_is_undone() {
    let plane = plane();
    let alone = "resources: [calico.json]\n";
    let beside = format!("{alone}components: [manifests/overlays/beside]\n");
    let folder = kustomization("beside-component", alone);
    let path = folder.to_str().unwrap();
    let apply = |text: &str| {
        std::fs::write(folder.join("kustomization.yaml"), text).unwrap();
        plane.kubectl(&["apply", "--validate=strict", "-k", path]);
        stored(&plane)
    };
    for shape in shapes() {
        std::fs::write(folder.join("calico.json"), calico_node(shape).to_string()).unwrap();
        let before = apply(alone);
        assert_eq!(sorted(&apply(&beside)), patched(&before));
        assert_eq!(apply(alone)["spec"], before["spec"]);

        // With that of the migration, in its place: it takes away the executables that are installed then.
        let both = format!("{alone}components: [manifests/overlays/beside, manifests/components/upgrade-ipam]\n");
        let after = apply(&both);
        let containers = &after["spec"]["template"]["spec"]["initContainers"];
        let named = |place: usize| (&containers[place]["name"], &containers[place]["image"]);
        assert_eq!(named(0), (&json!("upgrade-ipam"), &json!(IMAGE)));
        assert_eq!(named(1), (&json!("install-cni"), &json!(IMAGE)));
        assert_eq!(containers.as_array().unwrap().len(), 3);
        assert_eq!(containers[0]["securityContext"]["privileged"], false);
        delete(&plane);
    }
}
