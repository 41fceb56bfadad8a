//! From another installation to this one on a node at work, and back. The other is a stand-in for that of Calico's manifests: a
//! DaemonSet `calico-node` of the same shape, whose init container installs executables that differ from ours in one byte.

use e2e::{ContainerdRelease, Installed, Place, deployment, executable, executables_folder, manifests, until};
use serde_json::{Value, json};

use crate::release::{Release, assert_installed, is_installed};

const FORMER: &str = "registry.example/calico/cni:former";
const CONFIGURATION: &str = r#"{
  "name": "k8s-pod-network",
  "cniVersion": "0.3.1",
  "plugins": [
    {
      "type": "calico", "log_file_path": "/var/log/calico/cni/cni.log", "datastore_type": "kubernetes",
      "nodename": "__KUBERNETES_NODE_NAME__", "mtu": __CNI_MTU__, "ipam": {"type": "calico-ipam"},
      "policy": {"type": "k8s"}, "kubernetes": {"kubeconfig": "__KUBECONFIG_FILEPATH__"}
    },
    {"type": "portmap", "snat": true, "capabilities": {"portMappings": true}}
  ]
}"#;
const KUBECONFIG: &str = "/etc/cni/net.d/calico-kubeconfig";

/// What is there before: the former release with its account, configuration and definitions, and what calico-node makes.
fn furnish(cluster: &Installed) {
    for name in ["crds/v1", "rbac"] {
        cluster.apply(name);
    }
    let admin = cluster.plane.admin();
    let of_system = |name: &str| json!({"name": name, "namespace": "kube-system"});
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": of_system("calico-node")});
    admin.create("/api/v1/namespaces/kube-system/serviceaccounts", &account).unwrap();
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": of_system("calico-node"),
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "calico-install"},
        "subjects": [{"kind": "ServiceAccount", "name": "calico-node", "namespace": "kube-system"}]
    });
    admin.create("/apis/rbac.authorization.k8s.io/v1/namespaces/kube-system/rolebindings", &binding).unwrap();
    let config = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": of_system("calico-config"),
        "data": {"cni_network_config": CONFIGURATION, "veth_mtu": "0"}
    });
    admin.create("/api/v1/namespaces/kube-system/configmaps", &config).unwrap();
    cluster.plane.put("clusterinformations", "default", json!({"datastoreReady": true}));
    cluster.plane.put_pool("default-ipv4-ippool", "10.65.0.0/16", 26);
    cluster.worker.host().run("sh", &["-c", "printf node-1 >/var/lib/calico/nodename"]);
    admin.create("/apis/apps/v1/namespaces/kube-system/daemonsets", &calico_node()).unwrap();
}

fn calico_node() -> Value {
    let from_config = |key: &str| json!({"configMapKeyRef": {"name": "calico-config", "key": key}});
    let folder =
        |name: &str, path: &str| json!({"name": name, "hostPath": {"path": path, "type": "DirectoryOrCreate"}});
    let labels = json!({"k8s-app": "calico-node"});
    json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "calico-node", "namespace": "kube-system"},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "hostNetwork": true, "serviceAccountName": "calico-node", "tolerations": [{"operator": "Exists"}],
                    "terminationGracePeriodSeconds": 0,
                    "initContainers": [{
                        "name": "install-cni", "image": FORMER, "args": ["component", "cni", "install"],
                        "imagePullPolicy": "IfNotPresent", "securityContext": {"privileged": true},
                        "envFrom": [{"configMapRef": {"name": "kubernetes-services-endpoint", "optional": true}}],
                        "env": [
                            {"name": "CNI_CONF_NAME", "value": "10-calico.conflist"},
                            {"name": "CNI_NETWORK_CONFIG", "valueFrom": from_config("cni_network_config")},
                            {"name": "KUBERNETES_NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
                            {"name": "CNI_MTU", "valueFrom": from_config("veth_mtu")},
                            {"name": "SLEEP", "value": "false"}
                        ],
                        "volumeMounts": [
                            {"name": "cni-bin-dir", "mountPath": "/host/opt/cni/bin"},
                            {"name": "cni-net-dir", "mountPath": "/host/etc/cni/net.d"}
                        ]
                    }],
                    "containers": [{"name": "calico-node", "image": e2e::BUSYBOX, "imagePullPolicy": "Never"}],
                    "volumes": [folder("cni-bin-dir", "/opt/cni/bin"), folder("cni-net-dir", "/etc/cni/net.d")]
                }
            }
        }
    })
}

/// The kubeconfig's inode and content, and the configuration.
fn kept(cluster: &Installed) -> String {
    let conflist = "/etc/cni/net.d/10-calico.conflist";
    cluster.worker.host().run("sh", &["-c", &format!("stat -c %i {KUBECONFIG}; cat {KUBECONFIG} {conflist}")])
}

#[test]
fn a_node_at_work_goes_over_to_these_executables_and_back() {
    let cluster = Installed::bare(ContainerdRelease::V2_4);
    let former = Release::build("former");
    cluster.worker.import(&former.image());
    let tagged = cluster.worker.ctr(&["images", "tag", "localhost/calico-install:0.1.0", FORMER]);
    assert!(tagged.status.success(), "{tagged:?}");
    cluster.worker.import(&executable("calico-install-image.tar"));
    furnish(&cluster);
    cluster.wait_until_ready();
    assert_installed(&cluster, former.folder());
    let deployments = "/apis/apps/v1/namespaces/default/deployments";
    cluster.plane.admin().create(deployments, &deployment("web", 4)).unwrap();
    let scale = |count: usize| {
        cluster.plane.kubectl(&["scale", "deployment/web", &format!("--replicas={count}")]);
        cluster.wait_for_pods("app=web", count);
        cluster.assert_allocations_are_pods();
    };
    scale(4);
    let before = kept(&cluster);

    // As docs/install.md says.
    let patch = manifests("overlays/beside/patch.yaml");
    let of_system = |arguments: &[&str]| cluster.plane.kubectl(&[&["-n", "kube-system"], arguments].concat());
    let calico_node = "kube-system:daemonset/calico-node";
    of_system(&["patch", "daemonset", "calico-node", "--patch-file", patch.to_str().unwrap()]);
    cluster.wait_for_rollout(calico_node);
    assert_installed(&cluster, &executables_folder());
    assert_eq!(kept(&cluster), before);
    scale(6);
    of_system(&["rollout", "undo", "daemonset/calico-node"]);
    cluster.wait_for_rollout(calico_node);
    assert_installed(&cluster, former.folder());
    scale(3);

    // Where an operator would put the DaemonSet back.
    cluster.apply("overlays/operator");
    cluster.wait_for_rollout("kube-system:daemonset/calico-install");
    assert_installed(&cluster, &executables_folder());
    scale(5);
    // The init container installs the former once more, and is not the last to do so.
    of_system(&["rollout", "restart", "daemonset/calico-node"]);
    cluster.wait_for_rollout(calico_node);
    until("they are put back", || is_installed(&cluster, &executables_folder()));
    scale(2);
    cluster.plane.kubectl(&["delete", "-k", manifests("overlays/operator").to_str().unwrap()]);
    of_system(&["rollout", "restart", "daemonset/calico-node"]);
    cluster.wait_for_rollout(calico_node);
    assert_installed(&cluster, former.folder());
    scale(0);
    cluster.assert_no_pod_is_networked();
}
