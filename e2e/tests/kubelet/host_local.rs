//! A node whose pods have addresses of host-local comes to Calico's own address management.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use e2e::{ContainerdRelease, Installed, NODE, Place, deployment, until};
use serde_json::{Value, json};

const CONFIG_MAP: &str = "/api/v1/namespaces/kube-system/configmaps/calico-install";
const DAEMON_SET: &str = "kube-system:daemonset/calico-install";
const KUSTOMIZATION: &str = r#"
resources: [manifests/overlays/alone]
components: [manifests/components/upgrade-ipam]
patches:
- patch: |-
    apiVersion: apps/v1
    kind: DaemonSet
    metadata: {name: calico-install, namespace: kube-system}
    spec:
      template:
        spec:
          initContainers:
          - name: pools
            env:
            - {name: CALICO_IPV4POOL_CIDR, value: 10.65.0.0/16}
"#;

/// A folder with that kustomization, which is removed with the value.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("host-local-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let manifests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests");
        std::os::unix::fs::symlink(manifests.canonicalize().unwrap(), folder.join("manifests")).unwrap();
        std::fs::write(folder.join("kustomization.yaml"), KUSTOMIZATION).unwrap();
        Folder(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A cluster on which the same plugin has host-local give addresses.
fn cluster_with_host_local() -> Installed {
    let cluster = Installed::bare(ContainerdRelease::V2_4);
    let admin = cluster.plane.admin();
    let networks = json!({"spec": {"podCIDR": "10.65.3.0/24", "podCIDRs": ["10.65.3.0/24"]}});
    admin.patch(&format!("/api/v1/nodes/{NODE}"), &networks).unwrap();
    cluster.apply("alone.yaml");
    let configuration = admin.get(CONFIG_MAP).unwrap()["data"]["cni_network_config"].as_str().unwrap().to_owned();
    let host_local = r#"{"type": "host-local", "subnet": "usePodCidr"}"#;
    let configuration = configuration.replace(r#"{"type": "calico-ipam"}"#, host_local);
    assert!(configuration.contains("usePodCidr"));
    admin.patch(CONFIG_MAP, &json!({"data": {"cni_network_config": configuration}})).unwrap();
    cluster.plane.kubectl(&["-n", "kube-system", "rollout", "restart", "daemonset/calico-install"]);
    cluster.wait_for_rollout(DAEMON_SET);
    cluster.wait_until_ready();
    // There are no pools: what is made with the upgrade is all there will be.
    cluster.plane.kubectl(&["delete", "ippools", "--all"]);
    cluster
}

/// The addresses of all pods, and the handles that their sandboxes have.
fn wanted(cluster: &Installed) -> BTreeMap<String, String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let pods = cluster.plane.admin().list("/api/v1/pods").unwrap();
    let networked = pods.iter().filter(|pod| pod["spec"]["hostNetwork"] != true);
    let entry = |pod: &Value| {
        let sandbox = text(&pod["metadata"]["annotations"]["cni.projectcalico.org/containerID"]);
        (text(&pod["status"]["podIP"]), format!("k8s-pod-network.{sandbox}"))
    };
    networked.map(entry).collect()
}

#[track_caller]
fn assert_allocations(cluster: &Installed) {
    let (mut pods, mut allocated) = (BTreeMap::new(), BTreeMap::new());
    let mut tries = 0;
    until("allocations are pods", || {
        pods = wanted(cluster);
        pods.insert("10.65.3.1".to_owned(), format!("ipip-tunnel-addr-{NODE}"));
        allocated = cluster.plane.stored().allocations();
        tries += 1;
        pods == allocated || tries == 300
    });
    assert_eq!(allocated, pods);
    assert_eq!(cluster.plane.contradictions(), Vec::<String>::new());
}

#[test]
fn pods_keep_the_addresses_that_host_local_gave_them() {
    let cluster = cluster_with_host_local();
    let deployments = "/apis/apps/v1/namespaces/default/deployments";
    cluster.plane.admin().create(deployments, &deployment("web", 6)).unwrap();
    let before = cluster.wait_for_pods("app=web", 6);
    assert!(before.iter().all(|pod| pod.address.starts_with("10.65.3.")), "{before:#?}");
    assert_eq!(cluster.plane.stored().allocated(), 0);

    // As docs/install.md says.
    let folder = Folder::new();
    let apply = ["apply", "--server-side", "--force-conflicts", "-k", folder.0.to_str().unwrap()];
    cluster.plane.kubectl(&apply);
    cluster.wait_for_rollout(DAEMON_SET);
    assert_eq!(cluster.wait_for_pods("app=web", 6), before);
    let left = cluster.worker.host().run("sh", &["-c", "ls -A /var/lib/cni/networks"]);
    assert_eq!(left.trim(), "");
    assert_allocations(&cluster);
    let pools = cluster.plane.admin().list(&cluster.plane.collection("ippools")).unwrap();
    assert_eq!((pools.len(), &pools[0]["spec"]["cidr"]), (1, &json!("10.65.0.0/16")));

    // Those that come are Calico's, and those that go leave nothing.
    for count in [12, 2, 0] {
        cluster.plane.kubectl(&["scale", "deployment/web", &format!("--replicas={count}")]);
        cluster.wait_for_pods("app=web", count);
        assert_allocations(&cluster);
    }
}
