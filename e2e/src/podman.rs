//! A podman of its own for every test.

use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;

use crate::host::Host;
use crate::place::Place;
use crate::runtime::{ROOTFS, Runtime, addresses_in, succeed};
use crate::servers::{podman, runc};

const CONFIGURATION: &str = r#"[containers]
cgroupns = "host"
[network]
network_backend = "cni"
cni_plugin_dirs = ["/opt/cni/bin"]
network_config_dir = "/etc/cni/net.d"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "none"
runtime = "runc"
"#;

const STORAGE: &str = r#"[storage]
driver = "vfs"
graphroot = "/var/lib/containers/storage"
runroot = "/run/containers/storage"
"#;

/// A host with a list of plugins, and podman on it. Everything vanishes with the value, or with this process however it
/// ends.
pub struct Podman {
    runtime: Runtime,
    program: PathBuf,
}

impl Podman {
    /// Makes the host ready. podman has no server.
    pub fn start(conflist: &Value) -> Podman {
        let program = podman();
        let folder = |path: &PathBuf| path.parent().expect("it is in a folder").to_owned();
        let monitor = folder(&program).join("conmon");
        let folders = [folder(&program), folder(&runc())];
        let runtime = Runtime::start(conflist, &folders, &["sh", "-c", "echo ready; exec sleep infinity"], "ready");
        let libraries = format!("LD_LIBRARY_PATH={}", folder(&program).display());
        let environment = [runtime.path(), libraries];
        let configuration = format!("{CONFIGURATION}conmon_path = [{monitor:?}]\nconmon_env_vars = {environment:?}\n");
        let write =
            "mkdir /run/podman; echo \"$1\" >/run/podman/containers.conf; echo \"$2\" >/run/podman/storage.conf";
        runtime.host().run("sh", &["-c", write, "sh", &configuration, STORAGE]);
        Podman { runtime, program }
    }

    /// The host it runs on.
    pub fn host(&self) -> &Host {
        self.runtime.host()
    }

    /// A run of `podman`; the arguments are still to be added.
    pub fn command(&self) -> Command {
        let mut command = self.runtime.program(&self.program);
        command.env("CONTAINERS_CONF", "/run/podman/containers.conf");
        command.env("CONTAINERS_STORAGE_CONF", "/run/podman/storage.conf").env("HOME", "/run/podman");
        // Not every Debian has its libraries.
        command.env("LD_LIBRARY_PATH", self.program.parent().expect("it is in a folder"));
        command
    }

    /// Runs `podman`, which must succeed, and returns what it printed.
    #[track_caller]
    pub fn succeed(&self, arguments: &[&str]) -> String {
        succeed(&self.output(arguments))
    }

    /// Runs `podman`.
    pub fn output(&self, arguments: &[&str]) -> Output {
        self.command().args(arguments).output().expect("nsenter can be started")
    }

    /// Starts a container on the network `net1`, which runs busybox, and returns its ID.
    #[track_caller]
    pub fn run(&self, name: &str, flags: &[&str], busybox: &[&str]) -> String {
        let cgroup = self.runtime.cgroup();
        let before = ["run", "--detach", "--network", "net1", "--cgroup-parent", &cgroup, "--name", name];
        let after = ["--rootfs", ROOTFS, "/bin/busybox"];
        self.succeed(&[&before, flags, &after, busybox].concat()).trim_end().to_owned()
    }

    /// Runs busybox in a container.
    pub fn exec(&self, name: &str, busybox: &[&str]) -> Output {
        self.output(&[&["exec", name, "/bin/busybox"], busybox].concat())
    }

    /// The addresses of a container's `eth0`, with prefix lengths.
    pub fn addresses(&self, name: &str) -> Vec<String> {
        addresses_in(&succeed(&self.exec(name, &["ip", "address", "show", "dev", "eth0"])))
    }

    /// The result of the ADD for a container, by its ID.
    pub fn result(&self, id: &str) -> Value {
        self.runtime.cached_result(id)
    }
}
