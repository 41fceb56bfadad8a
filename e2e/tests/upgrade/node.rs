//! A node with host-local, and the root of the container that upgrades it: nothing but the executable, and what is mounted.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use e2e::{
    Answer, ControlPlane, Host, Place, Plugins, Refusal, executable, executables_folder, reference_plugin, until,
};
use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

/// The service account of the container.
pub const ACCOUNT: &str = "calico-install";
pub const NODE: &str = "node-1";

/// Where a container finds what its service account has.
const SECRETS: &str = "var/run/secrets/kubernetes.io/serviceaccount";

/// A pod that host-local gave addresses to.
#[derive(Debug, Clone, PartialEq)]
pub struct Networked {
    pub pod: String,
    pub container: String,
    pub addresses: Vec<String>,
}

/// One node.
pub struct Node<'p> {
    pub plane: &'p ControlPlane,
    // Before the network it is on.
    pub host: Host,
    pub root: PathBuf,
}

impl<'p> Node<'p> {
    /// A node with two networks for its pods, on which host-local and an older `calico` are installed, in a cluster with
    /// pools that these lie in.
    pub fn start(plane: &'p ControlPlane) -> Node<'p> {
        plane.seed(&[]);
        let networks = json!(["10.65.7.0/24", "fd65::700/120"]);
        let node = json!({
            "apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE},
            "spec": {"podCIDR": networks[0], "podCIDRs": networks}
        });
        plane.admin().create("/api/v1/nodes", &node).unwrap();
        let accounts = "/api/v1/namespaces/kube-system/serviceaccounts";
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": ACCOUNT}});
        match plane.admin().create(accounts, &account) {
            Ok(_) | Err(Refusal { code: 409, .. }) => {}
            Err(refusal) => panic!("{refusal}"),
        }
        let rights = concat!(env!("CARGO_MANIFEST_DIR"), "/../manifests/components/upgrade-ipam/rights.yaml");
        plane.kubectl(&["apply", "--server-side", "-f", rights]);
        let host = plane.host();
        let root = host.folder().join("container");
        let node = Node { plane, host, root };
        for folder in ["host/opt/cni/bin", "var/lib/cni/networks", SECRETS] {
            std::fs::create_dir_all(node.root.join(folder)).unwrap();
        }
        std::fs::copy(executable("calico-ipam"), node.root.join("calico-ipam")).unwrap();
        std::fs::copy(plane.authority(), node.root.join(SECRETS).join("ca.crt")).unwrap();
        std::fs::write(node.root.join(SECRETS).join("token"), plane.token_of("kube-system", ACCOUNT)).unwrap();
        node.install_executables();
        node
    }

    fn install_executables(&self) {
        for name in ["bandwidth", "calico", "calico-ipam", "host-local"] {
            std::fs::write(self.root.join("host/opt/cni/bin").join(name), "").unwrap();
        }
    }

    /// The names of the executables that a runtime finds.
    pub fn executables(&self) -> Vec<String> {
        names(&self.root.join("host/opt/cni/bin"))
    }

    /// Where host-local keeps the network's addresses.
    pub fn addresses_folder(&self) -> PathBuf {
        self.root.join("var/lib/cni/networks/k8s-pod-network")
    }

    /// The file by which an upgrade remembers that it may have closed the datastore.
    pub fn marker(&self) -> PathBuf {
        self.root.join("var/lib/cni/networks/.calico-upgrade")
    }

    /// Whether it is there.
    pub fn may_be_closed(&self) -> bool {
        self.marker().exists()
    }

    /// What is in host-local's folder.
    pub fn files(&self) -> Vec<String> {
        names(&self.addresses_folder())
    }

    /// Whether somebody has host-local's lock.
    pub fn is_locked(&self) -> bool {
        let Ok(file) = File::open(self.addresses_folder().join("lock")) else { return false };
        Flock::lock(file, FlockArg::LockSharedNonblock).is_err()
    }

    /// Has host-local give addresses of both families to a container.
    pub fn call_host_local(&self, command: &str, container: &str) -> Answer {
        let conf = json!({
            "cniVersion": "1.0.0", "name": "k8s-pod-network",
            "ipam": {
                "type": "host-local", "dataDir": self.root.join("var/lib/cni/networks"),
                "ranges": [[{"subnet": "10.65.7.0/24"}], [{"subnet": "fd65::700/120"}]]
            }
        });
        let mut call = self.host.program(&reference_plugin(Plugins::V1_9, "host-local"));
        call.env("CNI_COMMAND", command).env("CNI_CONTAINERID", container).env("CNI_IFNAME", "eth0");
        call.env("CNI_NETNS", "/var/run/netns/none").env("CNI_PATH", executables_folder());
        finish(start(call, &conf.to_string()))
    }

    /// Creates a pod of the namespace `default` that host-local gives addresses to, as the kubelet reports it.
    pub fn pod(&self, name: &str) -> Networked {
        self.plane.create_pod(NODE, "default", name, &json!({}));
        let container = format!("{name}-sandbox");
        let addresses = self.call_host_local("ADD", &container).addresses();
        assert_eq!(addresses.len(), 2, "{addresses:?}");
        self.report(name, &addresses);
        Networked { pod: name.to_owned(), container, addresses }
    }

    /// What the kubelet reports of a pod.
    pub fn report(&self, pod: &str, addresses: &[String]) {
        let ips: Vec<Value> = addresses.iter().map(|ip| json!({"ip": ip})).collect();
        let status = json!({"status": {"phase": "Running", "podIP": addresses[0], "podIPs": ips}});
        self.plane.admin().patch(&format!("{}/status", pod_path(pod)), &status).unwrap();
    }

    /// Starts the upgrade. Its log is a file, to be looked at meanwhile.
    pub fn start_upgrade(&self) -> Upgrade {
        self.start_upgrade_with(None)
    }

    /// Starts it with another address and port of the API.
    pub fn start_upgrade_with(&self, api: Option<&str>) -> Upgrade {
        let log = self.root.join("log");
        let file = File::create(&log).unwrap();
        let server = self.plane.server();
        let api = api.unwrap_or_else(|| server.strip_prefix("https://").unwrap());
        let (address, port) = api.split_once(':').unwrap();
        let mut command = self.host.command("chroot");
        command.arg(&self.root).args(["/calico-ipam", "-upgrade"]).env_clear();
        command.env("KUBERNETES_SERVICE_HOST", address).env("KUBERNETES_SERVICE_PORT", port);
        command.env("KUBERNETES_NODE_NAME", NODE).stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(Stdio::from(OwnedFd::from(file)));
        Upgrade { child: command.spawn().expect("chroot can be started"), log }
    }

    /// Upgrades to the end, which must succeed; answers the log.
    #[track_caller]
    pub fn upgrade(&self) -> String {
        self.start_upgrade().finish(0)
    }

    /// A DEL by an executable of ours, as the runtime calls it for a pod's container.
    pub fn del(&self, executable: &str, networked: &Networked) {
        let mut conf = Value::Object(self.plane.conf());
        for (key, value) in [
            ("cniVersion", json!("1.0.0")),
            ("name", json!("k8s-pod-network")),
            ("type", json!("calico")),
            ("nodename", json!(NODE)),
            ("nodename_file_optional", json!(true)),
            ("ipam", json!({"type": "calico-ipam"})),
        ] {
            conf[key] = value;
        }
        let arguments = format!("IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME={}", networked.pod);
        let call = self.host.call(executable, "DEL").env("CNI_CONTAINERID", &networked.container);
        let call = call.env("CNI_IFNAME", "eth0").env("CNI_ARGS", &arguments).stdin(&conf.to_string());
        let answer = call.run();
        assert_eq!(answer.exit, Some(0), "{answer:#?}");
    }

    /// Whether the datastore may be used, and for which nodes it may not.
    pub fn gate(&self) -> (bool, Option<String>) {
        let path = format!("{}/default", self.plane.collection("clusterinformations"));
        let information = self.plane.admin().get(&path).unwrap();
        let annotations = &information["metadata"]["annotations"];
        // In the group v1, Calico's own metadata is in an annotation.
        let inner = annotations["projectcalico.org/metadata"].as_str().unwrap_or("{}");
        let inner: Value = serde_json::from_str(inner).unwrap();
        let name = "projectcalico.org/host-local-upgrade";
        let nodes = [&annotations[name], &inner["annotations"][name]].into_iter().find_map(Value::as_str);
        (information["spec"]["datastoreReady"] == true, nodes.map(str::to_owned))
    }

    /// Locks or unlocks the datastore as an operator does.
    pub fn set_ready(&self, ready: bool) {
        let path = format!("{}/default", self.plane.collection("clusterinformations"));
        self.plane.admin().patch(&path, &json!({"spec": {"datastoreReady": ready}})).unwrap();
    }

    /// Every address that is assigned: its handle and its attributes.
    pub fn assigned(&self) -> BTreeMap<String, (String, Value)> {
        let mut assigned = BTreeMap::new();
        for block in self.plane.admin().list(&self.plane.collection("ipamblocks")).unwrap() {
            let spec = &block["spec"];
            let (base, _) = spec["cidr"].as_str().unwrap().split_once('/').unwrap();
            for (ordinal, at) in spec["allocations"].as_array().unwrap().iter().enumerate() {
                let Some(at) = at.as_u64() else { continue };
                let attribute = &spec["attributes"][usize::try_from(at).unwrap()];
                let handle = attribute["handle_id"].as_str().unwrap().to_owned();
                assigned.insert(nth(base, ordinal), (handle, attribute["secondary"].clone()));
            }
        }
        assigned
    }

    /// Asserts that these pods' addresses are Calico's, and no others, and that nothing is left of host-local.
    #[track_caller]
    pub fn assert_upgraded(&self, pods: &[Networked]) {
        assert!(!self.addresses_folder().exists() && !self.may_be_closed(), "{:?}", self.files());
        assert_eq!(self.executables(), ["bandwidth", "calico-ipam"]);
        assert_eq!(self.gate(), (true, None));
        let mut assigned = self.assigned();
        let tunnel = assigned.remove("10.65.7.1").expect("the tunnel has an address");
        assert_eq!(tunnel, (format!("ipip-tunnel-addr-{NODE}"), json!({"node": NODE, "type": "ipipTunnelAddress"})));
        for Networked { pod, container, addresses } in pods {
            for address in addresses {
                let (handle, mut attributes) = assigned.remove(address).unwrap_or_else(|| panic!("{address}"));
                assert_eq!(handle, format!("k8s-pod-network.{container}"));
                let timestamp = attributes.as_object_mut().unwrap().remove("timestamp").unwrap_or_default();
                assert!(timestamp.as_str().unwrap_or_default().starts_with("20"), "{timestamp}");
                assert_eq!(attributes, json!({"namespace": "default", "node": NODE, "pod": pod}));
            }
        }
        assert!(assigned.is_empty(), "{assigned:?}");
        let node = self.plane.admin().get(&format!("/api/v1/nodes/{NODE}")).unwrap();
        assert_eq!(node["metadata"]["annotations"]["projectcalico.org/IPv4IPIPTunnelAddr"], "10.65.7.1");
        self.plane.assert_audit_clean();
    }
}

/// The path of a pod.
pub fn pod_path(name: &str) -> String {
    format!("/api/v1/namespaces/default/pods/{name}")
}

fn names(folder: &Path) -> Vec<String> {
    let name = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    let mut names: Vec<String> = std::fs::read_dir(folder).into_iter().flatten().map(name).collect();
    names.sort();
    names
}

/// An address of a block.
fn nth(base: &str, ordinal: usize) -> String {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
    match base.parse().unwrap() {
        IpAddr::V4(base) => Ipv4Addr::from_bits(base.to_bits() + u32::try_from(ordinal).unwrap()).to_string(),
        IpAddr::V6(base) => Ipv6Addr::from_bits(base.to_bits() + u128::try_from(ordinal).unwrap()).to_string(),
    }
}

fn start(mut command: Command, stdin: &str) -> Child {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("nsenter can be started");
    child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
    child
}

fn finish(child: Child) -> Answer {
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Answer {
        exit: output.status.code(),
        signal: None,
        stdout: text(output.stdout),
        stderr: text(output.stderr),
        wall: std::time::Duration::ZERO,
    }
}

/// A running upgrade. It is killed when the value is dropped unfinished.
pub struct Upgrade {
    child: Child,
    log: PathBuf,
}

impl Upgrade {
    /// What it has logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// Waits until it has logged these words.
    #[track_caller]
    pub fn wait_for(&self, words: &str) {
        until(words, || self.log().contains(words));
    }

    /// Whether it waits for a lock of a file.
    pub fn waits_for_lock(&self) -> bool {
        let id = self.child.id().to_string();
        // The kernel's list of locks has waiters behind an arrow.
        let waits = |line: &str| line.contains("->") && line.split_whitespace().any(|word| word == id);
        std::fs::read_to_string("/proc/locks").unwrap().lines().any(waits)
    }

    pub fn signal(&self, signal: Signal) {
        // It is not reaped before `finish`, so that its ID is still its own.
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
    }

    /// Waits for the end, which must have this exit status; answers the log.
    #[track_caller]
    pub fn finish(mut self, exit: i32) -> String {
        let status = self.child.wait().unwrap();
        assert_eq!(status.code(), Some(exit), "{}", self.log());
        self.log()
    }

    /// Ends it with `kill -9`, wherever it is.
    pub fn kill(mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Upgrade {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
