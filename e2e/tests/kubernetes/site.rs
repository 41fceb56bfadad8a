//! A host of a control plane, whose plugin reaches the API server through a gateway.

use std::path::Path;

use e2e::{Answer, Call, Container, ControlPlane, Gateway, Host, PLUGIN_ACCOUNT, Rule};
use serde_json::{Value, json};

/// One host, `node-1`.
pub struct Site<'p> {
    // Before the network it is on.
    pub host: Host,
    pub gateway: Gateway<'p>,
    pub plane: &'p ControlPlane,
    /// The plugin's configuration, through the gateway.
    pub conf: Value,
    /// The same, straight to the API server.
    pub direct: Value,
}

impl<'p> Site<'p> {
    /// Starts one, and stores what a cluster has before any pod.
    pub fn start(plane: &'p ControlPlane) -> Site<'p> {
        plane.seed(&["node-1"]);
        let gateway = plane.gateway(Path::new(env!("CARGO_BIN_EXE_forward")));
        let token = plane.token_of("kube-system", PLUGIN_ACCOUNT);
        let kubeconfig = plane.kubeconfig_to(&gateway, &token, "through-a-gateway");
        let direct = conf(plane);
        let mut conf = direct.clone();
        conf["kubernetes"]["kubeconfig"] = json!(kubeconfig);
        Site { host: plane.host(), gateway, plane, conf, direct }
    }

    /// Creates a pod of this host in `default`.
    pub fn pod(&self, name: &str) -> Value {
        self.plane.create_pod("node-1", "default", name, &json!({}))
    }

    /// An ADD with these faults, of a pod in `default`.
    pub fn add(&self, container: &Container<'_>, pod: &str, rules: impl IntoIterator<Item = Rule>) -> Answer {
        self.gateway.set(rules);
        container.add(&self.conf).of_pod("default", pod).run()
    }

    /// A DEL with these faults.
    pub fn del(&self, container: &Container<'_>, pod: &str, rules: impl IntoIterator<Item = Rule>) -> Answer {
        self.gateway.set(rules);
        container.del(&self.conf).of_pod("default", pod).run()
    }

    /// Forgets the blocks that the host has claimed.
    pub fn make_cold(&self) {
        for plural in ["ipamblocks", "blockaffinities"] {
            self.plane.admin().delete(&self.plane.collection(plural)).expect("a collection can be deleted");
        }
    }

    /// What is left of containers. A claim to a block that was cut short is none: whoever sees it next ends it.
    pub fn leftovers(&self) -> Vec<String> {
        let mut left = self.plane.leftovers(&[&self.host]);
        left.retain(|line| !line.ends_with("is not confirmed but pending"));
        left
    }

    /// Asserts that nothing is left.
    #[track_caller]
    pub fn assert_nothing_left(&self, after: &str) {
        let left = self.leftovers();
        assert!(left.is_empty(), "{after}: left behind:\n{}", left.join("\n"));
    }

    /// The addresses that a pod's annotations say it has.
    pub fn annotated(&self, pod: &str) -> String {
        let path = format!("/api/v1/namespaces/default/pods/{pod}");
        let object = self.plane.admin().get(&path).unwrap_or_else(|refusal| panic!("{path}: {refusal}"));
        object["metadata"]["annotations"]["cni.projectcalico.org/podIPs"].as_str().unwrap_or_default().to_owned()
    }
}

/// The plugin's configuration, for the host `node-1`.
fn conf(plane: &ControlPlane) -> Value {
    let mut conf = Value::Object(plane.conf());
    for (key, value) in [
        ("cniVersion", json!("1.0.0")),
        ("name", json!("k8s-pod-network")),
        ("type", json!("calico")),
        ("nodename", json!("node-1")),
        ("nodename_file_optional", json!(true)),
        ("ipam", json!({"type": "calico-ipam"})),
    ] {
        conf[key] = value;
    }
    conf
}

/// A call about a pod.
pub trait OfPod {
    /// As the kubelet's runtime names it.
    fn of_pod(self, namespace: &str, name: &str) -> Self;
    /// With its UID, too.
    fn of_pod_with(self, namespace: &str, name: &str, uid: &str) -> Self;
}

impl OfPod for Call {
    fn of_pod(self, namespace: &str, name: &str) -> Call {
        self.env("CNI_ARGS", &format!("IgnoreUnknown=1;K8S_POD_NAMESPACE={namespace};K8S_POD_NAME={name}"))
    }

    fn of_pod_with(self, namespace: &str, name: &str, uid: &str) -> Call {
        let args = format!("IgnoreUnknown=1;K8S_POD_NAMESPACE={namespace};K8S_POD_NAME={name};K8S_POD_UID={uid}");
        self.env("CNI_ARGS", &args)
    }
}
