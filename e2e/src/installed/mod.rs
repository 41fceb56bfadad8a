//! A cluster of one node that somebody has installed with the manifests and the image, as a person does.

mod pods;
mod workload;

use std::process::Output;
use std::sync::{Mutex, MutexGuard};

use serde_json::json;

use crate::control_plane::{ControlPlane, ControlPlaneOptions, manifests};
use crate::executables::executable;
use crate::lan::SERVERS;
use crate::servers::ContainerdRelease;
use crate::store::Stored;
use crate::wait::until;
use crate::worker::Worker;

pub use pods::Pod;
pub use workload::{deployment, pod, stateful_set};

/// The name of the node.
pub const NODE: &str = "node-1";

/// A control plane, a node with a containerd and a kubelet, and what manifests have put there.
///
/// Everything vanishes with the value, or with this process however it ends.
pub struct Installed {
    // Before the network it is on.
    /// The node.
    pub worker: Worker,
    /// The control plane.
    pub plane: ControlPlane,
    /// Whether Calico's objects are in the etcd of the control plane, and not in its API.
    in_etcd: bool,
    _alone: MutexGuard<'static, ()>,
}

/// Two of them at once would take more than twice as long.
static ONE: Mutex<()> = Mutex::new(());

impl Installed {
    /// Starts a cluster that has no network for pods yet, with the image of `make image` on its node.
    pub fn bare(release: ContainerdRelease) -> Installed {
        // A test that failed has left nothing behind.
        let alone = ONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let plane = ControlPlane::with(ControlPlaneOptions::CLUSTER);
        let worker = Worker::join(&plane, NODE, release);
        worker.import(&executable("calico-install-image.tar"));
        let cluster = Installed { worker, plane, in_etcd: false, _alone: alone };
        cluster.say_where_the_api_is();
        cluster
    }

    /// The same, and applies `manifests/alone.yaml`. Waits until the node is ready for pods.
    pub fn alone(release: ContainerdRelease) -> Installed {
        let cluster = Installed::bare(release);
        cluster.apply("alone.yaml");
        cluster.wait_until_ready();
        cluster
    }

    /// Starts a cluster and applies `manifests/alone-etcd.yaml`, with the address of an etcd that it has. Waits until the node is
    /// ready for pods.
    pub fn alone_with_etcd(release: ContainerdRelease) -> Installed {
        let cluster = Installed { in_etcd: true, ..Installed::bare(release) };
        let text = std::fs::read_to_string(manifests("alone-etcd.yaml")).expect("the manifests are there");
        let text = text.replace("http://127.0.0.1:2379", &cluster.plane.etcd().endpoint(0));
        let file = cluster.worker.host().folder().join("alone-etcd.yaml");
        std::fs::write(&file, text).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        cluster.plane.kubectl(&["apply", "--server-side", "-f", file.to_str().expect("a path is text")]);
        cluster.wait_until_ready();
        cluster
    }

    /// What is stored of Calico's, and how it contradicts itself.
    pub(crate) fn stored_and_contradictions(&self) -> (Stored, Vec<String>) {
        match self.in_etcd {
            true => (self.plane.etcd().stored(), self.plane.etcd().audit()),
            false => self.plane.stored_and_contradictions(),
        }
    }

    /// Applies a file of the manifests, or a folder of theirs with a kustomization.
    #[track_caller]
    pub fn apply(&self, name: &str) {
        let path = manifests(name);
        let flag = if path.is_dir() { "-k" } else { "-f" };
        self.plane.kubectl(&["apply", "--server-side", flag, path.to_str().expect("a path is text")]);
    }

    /// Waits until pods can run on the node.
    #[track_caller]
    pub fn wait_until_ready(&self) {
        let node = format!("/api/v1/nodes/{NODE}");
        until("the node is ready", || {
            let node = self.plane.admin().get(&node).expect("it has joined");
            let conditions = node["status"]["conditions"].as_array().into_iter().flatten();
            let ready = conditions.into_iter().any(|c| c["type"] == "Ready" && c["status"] == "True");
            ready && node["spec"]["taints"].is_null()
        });
    }

    /// Waits until every pod of a deployment, daemon set or stateful set, such as `deployment/web`, is of its newest revision
    /// and ready.
    #[track_caller]
    pub fn wait_for_rollout(&self, what: &str) {
        let (namespace, what) = what.split_once(':').unwrap_or(("default", what));
        self.plane.kubectl(&["-n", namespace, "rollout", "status", "--timeout=120s", what]);
    }

    /// Runs a command in a pod.
    pub fn exec(&self, pod: &str, command: &[&str]) -> Output {
        let arguments = [&["exec", pod, "--"][..], command].concat();
        self.plane.kubectl_command().args(arguments).output().expect("nsenter can be started")
    }

    /// What the web server of an address answers a pod. (A static busybox has no `wget`: that looks up names.)
    pub fn get(&self, pod: &str, address: &str) -> String {
        let ask = format!("printf 'GET / HTTP/1.0\\r\\n\\r\\n' | busybox nc -w 5 {address} 80");
        String::from_utf8_lossy(&self.exec(pod, &["busybox", "sh", "-c", &ask]).stdout).into_owned()
    }

    /// The service of the API has an address that no kube-proxy forwards here. This is how clusters without one say where
    /// the API is.
    fn say_where_the_api_is(&self) {
        let map = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "kubernetes-services-endpoint"},
            "data": {"KUBERNETES_SERVICE_HOST": SERVERS[0], "KUBERNETES_SERVICE_PORT": "6443"}
        });
        let made = self.plane.admin().create("/api/v1/namespaces/kube-system/configmaps", &map);
        made.unwrap_or_else(|refusal| panic!("{refusal}"));
    }
}
