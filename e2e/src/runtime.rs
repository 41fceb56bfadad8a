//! What the container runtimes have in common: a host with a list of plugins where runtimes look for it, and an end to
//! everything they start.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::daemon::Daemon;
use crate::executables::{TOOL_PATH, executable, tool};
use crate::host::Host;
use crate::place::Place;
use crate::servers::{Plugins, reference_plugin};

/// What the containers' file system is, on the host.
pub(crate) const ROOTFS: &str = "/run/rootfs";

/// A host for a container runtime. Shims and monitors leave their parents, and containers outlive them: everything runs
/// in one PID namespace, whose end is the end of all of it.
pub(crate) struct Runtime {
    // Before the host: its folder goes when the last process in it has ended.
    daemon: Daemon,
    host: Host,
    /// Where executables are looked for.
    path: String,
}

impl Runtime {
    /// Starts a program on a host with this list of plugins, and waits until it has printed `ready`. The folders are
    /// where it, and everything that runs beside it, finds executables before those of the machine.
    pub(crate) fn start(conflist: &Value, folders: &[PathBuf], program: &[&str], ready: &str) -> Runtime {
        let host = Host::start();
        let prepared = host
            .command("sh")
            .args(["-c", concat!(include_str!("cni_folders.sh"), include_str!("runtime.sh")), "runtime"])
            .arg(conflist.to_string())
            .args(plugins(conflist))
            .output()
            .expect("a command can be started");
        assert!(prepared.status.success(), "no host for a runtime: {prepared:?}");
        let folders = folders.iter().map(|folder| folder.to_str().expect("a path is text"));
        let path = folders.chain([TOOL_PATH]).collect::<Vec<_>>().join(":");
        let mut arguments = vec![format!("PATH={path}")];
        arguments.extend(program.iter().map(|&word| word.to_owned()));
        let log = host.folder().join("runtime.log");
        let mut daemon = Daemon::start(&host, log, &tool("env"), &arguments);
        daemon.wait_for(ready);
        Runtime { daemon, host, path }
    }

    /// The host.
    pub(crate) fn host(&self) -> &Host {
        &self.host
    }

    /// Where containers' cgroups shall be: the host removes what is below that.
    pub(crate) fn cgroup(&self) -> String {
        format!("/{}", self.host.cgroup())
    }

    /// A command that runs a program beside the runtime.
    pub(crate) fn program(&self, path: &Path) -> Command {
        let mut command = self.daemon.program(path);
        command.env("PATH", &self.path).env("LC_ALL", "C");
        command
    }

    /// The variable that says where executables are looked for.
    pub(crate) fn path(&self) -> String {
        format!("PATH={}", self.path)
    }

    /// The containers' cgroups that are there. Those of other hosts, which come and go, are not looked at.
    pub(crate) fn cgroups(&self) -> Vec<PathBuf> {
        let entries = |folder: &Path| std::fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path());
        let root = Path::new("/sys/fs/cgroup");
        let hierarchies = entries(root).chain([root.to_owned()]);
        let ours = hierarchies.map(|hierarchy| hierarchy.join(self.host.cgroup()));
        ours.flat_map(|group| entries(&group).collect::<Vec<_>>()).filter(|path| path.is_dir()).collect()
    }

    /// What libcni keeps of the last ADD for a container: its result.
    pub(crate) fn cached_result(&self, id: &str) -> Value {
        let text = self.host.run("cat", &[&format!("/var/lib/cni/results/net1-{id}-eth0")]);
        let cached: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
        cached["result"].clone()
    }
}

/// The executables that a list of plugins needs.
fn plugins(conflist: &Value) -> Vec<PathBuf> {
    let others = conflist["plugins"].as_array().expect("a list of plugins").iter().skip(1);
    let others = others.map(|plugin| reference_plugin(Plugins::V1_9, plugin["type"].as_str().expect("a type")));
    [executable("calico"), executable("calico-ipam")].into_iter().chain(others).collect()
}

/// Asserts that a command succeeded, and returns its stdout.
#[track_caller]
pub(crate) fn succeed(output: &Output) -> String {
    assert!(output.status.success(), "{output:#?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The addresses of an interface, but for that of its own link, as busybox's `ip address` prints them.
pub(crate) fn addresses_in(printed: &str) -> Vec<String> {
    let address = |line: &str| match line.split_whitespace().collect::<Vec<_>>()[..] {
        ["inet" | "inet6", address, "scope", "global", ..] => Some(address.to_owned()),
        _ => None,
    };
    printed.lines().filter_map(address).collect()
}
