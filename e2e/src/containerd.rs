//! A containerd of its own for every test.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;

use crate::executables::tool;
use crate::host::Host;
use crate::runtime::{ROOTFS, Runtime, addresses_in, succeed};
use crate::servers::{ContainerdRelease, runc};
use crate::wait::until;

/// A running containerd on a host with a list of plugins, and its client `ctr`. Everything vanishes with the value, or
/// with this process however it ends.
///
/// `ctr` gives plugins a container's name with `default-` before it.
pub struct Containerd {
    runtime: Runtime,
    ctr: PathBuf,
    calls: AtomicU32,
}

/// A `ctr run` that is there as long as its container.
pub struct Kept(Child);

impl Kept {
    /// Waits until it has ended, and returns its exit status.
    pub fn wait(mut self) -> Option<i32> {
        self.0.wait().expect("a child can be waited for").code()
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        // What it started inside ends with containerd.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Containerd {
    /// Starts it, and waits until it serves.
    pub fn start(release: ContainerdRelease, conflist: &Value) -> Containerd {
        let daemon = release.executable("containerd");
        let folder = |path: &PathBuf| path.parent().expect("it is in a folder").to_owned();
        let folders = [folder(&daemon), folder(&runc())];
        // It makes networks for its own clients only, not for the kubelet.
        let config = "version = 2\ndisabled_plugins = ['io.containerd.grpc.v1.cri']";
        let script = format!("echo \"{config}\" >/run/containerd.toml; exec containerd --config /run/containerd.toml");
        let runtime = Runtime::start(conflist, &folders, &["sh", "-c", &script], "containerd successfully booted");
        Containerd { runtime, ctr: release.executable("ctr"), calls: AtomicU32::new(0) }
    }

    /// The host it runs on.
    pub fn host(&self) -> &Host {
        self.runtime.host()
    }

    /// A tool of the machine that sees containerd's processes.
    pub fn beside(&self, program: &str) -> Command {
        self.runtime.program(&tool(program))
    }

    /// One run of `ctr`.
    pub fn ctr(&self, arguments: &[&str]) -> Output {
        self.runtime.program(&self.ctr).args(arguments).output().expect("nsenter can be started")
    }

    /// `ctr run` that connects a new container and then runs busybox in it. It ends with the container, which it has
    /// disconnected before, unless `--detach` is among the flags.
    pub fn run(&self, name: &str, flags: &[&str], busybox: &[&str]) -> Command {
        let cgroup = format!("{}/{name}", self.runtime.cgroup());
        let mut command = self.runtime.program(&self.ctr);
        command.args(["run", "--cni", "--cgroup", &cgroup]).args(flags);
        command.args(["--rootfs", ROOTFS, name, "/bin/busybox"]).args(busybox);
        command
    }

    /// Runs a program of an image as the kubelet would, in a container without network whose file system it cannot
    /// change, until it ends. The image was imported into `k8s.io`, where the kubelet has its images.
    pub fn run_image(&self, image: &str, name: &str, program: &[&str]) -> Output {
        let cgroup = format!("{}/{name}", self.runtime.cgroup());
        let arguments = ["--namespace", "k8s.io", "run", "--rm", "--read-only", "--cgroup", &cgroup, image, name];
        self.ctr(&[&arguments, program].concat())
    }

    /// Connects a new container and leaves it running, in the care of a `ctr run`.
    pub fn keep(&self, name: &str) -> Kept {
        let path = self.host().folder().join(format!("{name}.log"));
        let log = File::create(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let mut command = self.run(name, &["--rm"], &["sleep", "1000"]);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn();
        let mut kept = Kept(child.expect("nsenter can be started"));
        until(&format!("{name} runs"), || {
            let ended = kept.0.try_wait().expect("a child can be waited for");
            assert!(ended.is_none(), "{name}: {}", std::fs::read_to_string(&path).unwrap_or_default());
            self.process(name).is_some()
        });
        kept
    }

    /// The process of a running container, as its neighbours see it.
    pub fn process(&self, name: &str) -> Option<u32> {
        let listed = succeed(&self.ctr(&["task", "list"]));
        let running = |line: &str| match line.split_whitespace().collect::<Vec<_>>()[..] {
            [task, process, "RUNNING"] if task == name => process.parse().ok(),
            _ => None,
        };
        listed.lines().find_map(running)
    }

    /// Runs busybox in a container.
    pub fn exec(&self, name: &str, busybox: &[&str]) -> Output {
        let id = format!("exec-{}", self.calls.fetch_add(1, Ordering::Relaxed));
        let arguments = ["task", "exec", "--exec-id", &id, name, "/bin/busybox"];
        self.ctr(&[&arguments, busybox].concat())
    }

    /// The addresses of a container's `eth0`, with prefix lengths.
    pub fn addresses(&self, name: &str) -> Vec<String> {
        addresses_in(&succeed(&self.exec(name, &["ip", "address", "show", "dev", "eth0"])))
    }

    /// The result of a container's ADD.
    pub fn result(&self, name: &str) -> Value {
        self.runtime.cached_result(&format!("default-{name}"))
    }

    /// The cgroups of all containers.
    pub fn cgroups(&self) -> Vec<PathBuf> {
        self.runtime.cgroups()
    }
}
