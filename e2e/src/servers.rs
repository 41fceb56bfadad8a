//! Where the servers, runtimes and tools are that tests run against: the cache that `make servers` fills.

use std::path::PathBuf;

use crate::executables::tool;

// The versions; the Makefile takes them from here, too.
const GO_MOD: &str = include_str!("../tools/go.mod");
const PLUGINS_GO_MOD: &str = include_str!("../tools/plugins/go.mod");
const CONTAINERD_GO_MOD: &str = include_str!("../tools/containerd/go.mod");
const KUBERNETES_GO_MOD: &str = include_str!("../kubernetes/go.mod");

/// A release of etcd to test against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Release {
    /// The newest, built from its Go module.
    #[default]
    V3_6,
    /// Debian's 3.4.
    Debian3_4,
}

impl Release {
    /// The server.
    pub fn etcd(self) -> PathBuf {
        match self {
            Release::V3_6 => cached(&etcd_folder(), "etcd"),
            Release::Debian3_4 => cached("etcd-3.4-debian", "etcd"),
        }
    }

    /// Its version, as far as it is chosen here.
    pub fn version(self) -> &'static str {
        match self {
            Release::V3_6 => version(GO_MOD, "go.etcd.io/etcd/server/v3"),
            Release::Debian3_4 => "3.4",
        }
    }
}

/// etcd's client for people, for every release.
pub fn etcdctl() -> PathBuf {
    cached(&etcd_folder(), "etcdctl")
}

/// The container runtimes' way of calling plugins, as a tool: it reads `.conflist` files.
pub fn cnitool() -> PathBuf {
    cached(&format!("cnitool-{}", version(GO_MOD, "github.com/containernetworking/cni")), "cnitool")
}

/// A release of the CNI project's own plugins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plugins {
    /// The newest, built from their Go module: those that its `go.mod` lists.
    V1_9,
    /// All of Debian's 1.1.1.
    Debian1_1,
}

impl Plugins {
    /// Both.
    pub const ALL: [Plugins; 2] = [Plugins::V1_9, Plugins::Debian1_1];
}

/// One of the CNI project's own plugins, such as `host-local`. The others are in the same folder.
pub fn reference_plugin(release: Plugins, name: &str) -> PathBuf {
    match release {
        Plugins::V1_9 => {
            let version = version(PLUGINS_GO_MOD, "github.com/containernetworking/plugins");
            cached(&format!("cni-plugins-{version}"), name)
        }
        Plugins::Debian1_1 => cached("cni-plugins-1.1.1-debian", name),
    }
}

/// A release of containerd to test with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContainerdRelease {
    /// The newest, built from its Go module.
    V2_4,
    /// Debian's 1.6.
    Debian1_6,
}

impl ContainerdRelease {
    /// Both.
    pub const ALL: [ContainerdRelease; 2] = [ContainerdRelease::V2_4, ContainerdRelease::Debian1_6];

    /// One of its executables: the server `containerd`, its client `ctr`.
    pub(crate) fn executable(self, name: &str) -> PathBuf {
        match self {
            ContainerdRelease::V2_4 => {
                let version = version(CONTAINERD_GO_MOD, "github.com/containerd/containerd/v2");
                cached(&format!("containerd-{version}"), name)
            }
            ContainerdRelease::Debian1_6 => cached("containerd-1.6-debian", name),
        }
    }
}

/// One of the executables of Kubernetes: `kube-apiserver`, `kubectl` and so on.
pub(crate) fn kubernetes(name: &str) -> PathBuf {
    cached(&format!("kubernetes-{}", kubernetes_version()), name)
}

/// The folder with `kubectl`.
pub fn kubectl_folder() -> PathBuf {
    kubernetes("kubectl").parent().expect("it is in a folder").to_owned()
}

/// The version of Kubernetes, such as `1.34.4`.
pub fn kubernetes_version() -> &'static str {
    version(KUBERNETES_GO_MOD, "k8s.io/kubernetes")
}

/// What makes containers' processes for containerd and podman: Debian's.
pub(crate) fn runc() -> PathBuf {
    cached("runc-1.1-debian", "runc")
}

/// Debian's podman. What else it needs is in the same folder.
pub(crate) fn podman() -> PathBuf {
    cached("podman-4.3-debian", "podman")
}

/// A runtime's way of putting one container on several networks, as a tool. Its own sources are its version.
pub fn networks() -> PathBuf {
    let sum = "cd \"$1\" && cat go.mod go.sum networks/main.go | sha256sum | cut -c1-12";
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tools/plugins");
    let output = std::process::Command::new(tool("sh")).args(["-c", sum, "sh", folder]).output();
    let sum = String::from_utf8_lossy(&output.expect("a command can be started").stdout).trim_end().to_owned();
    cached(&format!("networks-{sum}"), "networks")
}

fn etcd_folder() -> String {
    format!("etcd-{}", version(GO_MOD, "go.etcd.io/etcd/server/v3"))
}

/// The version of a module that a `go.mod` requires.
fn version(go_mod: &'static str, module: &str) -> &'static str {
    let required = |line: &'static str| line.trim_start().strip_prefix(module)?.strip_prefix(" v")?.split(' ').next();
    go_mod.lines().find_map(required).unwrap_or_else(|| panic!("go.mod does not require {module}"))
}

/// A file of the cache: `E2E_CACHE`, else `calico-e2e` in the user's cache. The Makefile has the same rule.
fn cached(folder: &str, name: &str) -> PathBuf {
    let set = |variable: &str| std::env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = || Some(set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")))?.join("calico-e2e"));
    let root = set("E2E_CACHE").or_else(cache).expect("E2E_CACHE or HOME is set");
    let path = root.join(folder).join(name);
    assert!(path.is_file(), "{} is absent: run `make servers` first", path.display());
    path
}
