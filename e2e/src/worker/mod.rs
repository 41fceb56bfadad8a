//! A node of a cluster, as it is in the field: a host with a containerd and a kubelet.

mod burst;
mod image;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::control_plane::ControlPlane;
use crate::daemon::Daemon;
use crate::executables::{TOOL_PATH, tool};
use crate::host::Host;
use crate::place::Place;
use crate::runtime::succeed;
use crate::servers::{ContainerdRelease, kubernetes, runc};
use crate::wait::until;

pub use image::BUSYBOX;

/// A host that has joined a cluster. Its pods and everything else vanish with the value, or with this process however it
/// ends.
///
/// There is no network for pods: somebody has to install a plugin.
pub struct Worker {
    // Before the host: its folder goes when the last process in it has ended.
    daemon: Daemon,
    host: Host,
    name: String,
    ctr: PathBuf,
    path: String,
}

/// What a node runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// The container runtime.
    Containerd,
    /// The kubelet.
    Kubelet,
}

impl Service {
    fn name(self) -> &'static str {
        match self {
            Service::Containerd => "containerd",
            Service::Kubelet => "kubelet",
        }
    }
}

impl Worker {
    /// Starts a node of this name, and waits until the cluster knows it. It has an image of busybox, [`BUSYBOX`].
    pub fn join(plane: &ControlPlane, name: &str, release: ContainerdRelease) -> Worker {
        let host = plane.host();
        let prepared = host.command("sh").args(["-c", include_str!("../cni_folders.sh")]).output();
        succeed(&prepared.expect("a command can be started"));
        let write = |file: &str, text: &str| {
            let path = host.folder().join(file);
            std::fs::write(&path, text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        };
        write("containerd.toml", &containerd(release));
        write("kubelet.yaml", &kubelet(plane).to_string());
        let folders = [release.executable("containerd"), runc(), kubernetes("kubelet")];
        let folders = folders.iter().map(|file| file.parent().and_then(Path::to_str).expect("a path is text"));
        let path = folders.chain([TOOL_PATH]).collect::<Vec<_>>().join(":");
        let kubeconfig = plane.kubeconfig_of_kubelet(name);
        let arguments = [
            &format!("PATH={path}"),
            "sh",
            "-c",
            include_str!("cgroup.sh"),
            "cgroup",
            &host.cgroup(),
            "sh",
            "-c",
            include_str!("worker.sh"),
            "worker",
            "/var/lib/calico",
            kubeconfig.to_str().expect("a path is text"),
            &host.lan_address(),
            name,
        ];
        let arguments: Vec<String> = arguments.iter().map(|&word| word.to_owned()).collect();
        let mut daemon = Daemon::start(&host, host.folder().join("worker.log"), &tool("env"), &arguments);
        daemon.wait_for("started");
        let worker = Worker { daemon, host, name: name.to_owned(), ctr: release.executable("ctr"), path };
        until("containerd serves", || worker.ctr(&["version"]).status.success());
        worker.import(&image::busybox(worker.host.folder()));
        until("the cluster knows the node", || plane.admin().get(&format!("/api/v1/nodes/{name}")).is_ok());
        worker
    }

    /// The host it is.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The node's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A command that runs a program of ours on the node, where it sees all processes and mounts.
    pub fn program(&self, path: &Path) -> Command {
        let mut command = self.daemon.program(path);
        command.env("PATH", &self.path).env("LC_ALL", "C");
        command
    }

    /// One run of `ctr`, in the kubelet's namespace of containerd.
    pub fn ctr(&self, arguments: &[&str]) -> Output {
        let mut command = self.program(&self.ctr);
        command.args(["--namespace", "k8s.io"]).args(arguments).output().expect("nsenter can be started")
    }

    /// Gives the node the images of an archive.
    #[track_caller]
    pub fn import(&self, archive: &Path) {
        let archive = archive.to_str().expect("a path is text");
        succeed(&self.ctr(&["images", "import", archive]));
    }

    /// Ends a service with a signal, such as `TERM`, and waits until it runs again.
    pub fn restart(&self, service: Service, signal: &str) {
        let running = || {
            let file = format!("/run/{}.pid", service.name());
            self.host.run("cat", &[&file]).trim_end().to_owned()
        };
        let before = running();
        succeed(
            &self.program(&tool("busybox")).args(["kill", &format!("-{signal}"), &before]).output().expect("nsenter"),
        );
        until(&format!("{service:?} is started again"), || running() != before);
    }

    /// What a service has logged.
    pub fn log(&self, service: Service) -> String {
        let file = self.host.folder().join(format!("{}.log", service.name()));
        String::from_utf8_lossy(&std::fs::read(file).unwrap_or_default()).into_owned()
    }
}

fn containerd(release: ContainerdRelease) -> String {
    // A machine that is itself in a container may not lower the scores. The plugins' names are of the version of the configuration.
    match release {
        ContainerdRelease::V2_4 => format!(
            "\
version = 3
[plugins.'io.containerd.cri.v1.runtime']
restrict_oom_score_adj = true
[plugins.'io.containerd.cri.v1.images'.pinned_images]
sandbox = '{BUSYBOX}'
"
        ),
        ContainerdRelease::Debian1_6 => format!(
            "\
version = 2
[plugins.'io.containerd.grpc.v1.cri']
sandbox_image = '{BUSYBOX}'
restrict_oom_score_adj = true
"
        ),
    }
}

/// What a kubelet is told where cgroups are those of a machine that is not its own.
fn kubelet(plane: &ControlPlane) -> Value {
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {"x509": {"clientCAFile": plane.authority()}},
        "cgroupDriver": "cgroupfs",
        "cgroupsPerQOS": false,
        // Nobody answers there; without it every pod would be told that.
        "clusterDNS": ["10.96.0.10"],
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "enforceNodeAllocatable": [],
        // The machine's disk is not the node's.
        "evictionHard": {"memory.available": "1Mi", "nodefs.available": "0%", "imagefs.available": "0%"},
        "failCgroupV1": false,
        "failSwapOn": false,
        "imageGCHighThresholdPercent": 100,
        "localStorageCapacityIsolation": false,
        "volumePluginDir": "/var/lib/kubelet/volume-plugins",
    })
}
