//! A host to test on: a network and a mount namespace of its own.

use std::io::{BufRead, BufReader, Read};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::call::Call;
use crate::container::Container;
use crate::executables::{TOOL_PATH, tool};
use crate::leftovers::{LastAudit, assert_agreement};
use crate::place::Place;

/// A host of its own, with a loopback, an uplink, forwarding, and empty `/run` and `/var/lib/calico`.
///
/// A shell inside keeps the namespaces alive and reads a pipe from this process. When the pipe closes, because the
/// value is dropped or this process is gone for any reason, the shell removes the host's folder and ends, and with
/// it the namespaces and all links in them.
///
/// The store of a host that is dropped is audited, see [`Host::end_unaudited`].
pub struct Host {
    keeper: Child,
    pipe: Option<ChildStdin>,
    folder: PathBuf,
    last_audit: LastAudit,
}

impl Host {
    /// Starts a host.
    pub fn start() -> Host {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        assert!(nix::unistd::Uid::effective().is_root(), "run as root: the tests create network namespaces");
        let own = std::env::current_exe().expect("a running program has a path");
        // Beside the test's executable, and so on a real disk: in memory, flushing a file would cost nothing.
        let name = format!("host-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let folder = own.with_file_name(name);
        std::fs::create_dir_all(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));

        let mut keeper = Command::new(tool("unshare"))
            .args(["--mount", "--net", "--propagation", "private", "sh", "-c", include_str!("host.sh"), "host"])
            .arg(&folder)
            .env("PATH", TOOL_PATH)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("unshare can be started");
        let mut line = String::new();
        let _ = BufReader::new(keeper.stdout.take().expect("stdout is a pipe")).read_line(&mut line);
        let mut stderr = keeper.stderr.take().expect("stderr is a pipe");
        let pipe = keeper.stdin.take();
        let host = Host { keeper, pipe, folder, last_audit: LastAudit::default() };
        if line.trim_end() != "ready" {
            let mut why = String::new();
            let _ = stderr.read_to_string(&mut why);
            panic!("no host to test on: {}", why.trim_end());
        }
        host
    }

    /// Leaves out the audit of the store at the host's end: the test has planted faults that it leaves there.
    pub fn end_unaudited(&self) {
        self.last_audit.waive();
    }

    /// The host's `/var/lib/calico`, as seen from outside.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The name of a cgroup, in every hierarchy, that the host removes when it ends, with all below it.
    pub(crate) fn cgroup(&self) -> String {
        let name = self.folder.file_name().expect("a folder has a name");
        format!("calico-e2e-{}", name.to_string_lossy())
    }

    /// The embedded store, as seen from outside.
    pub fn store_file(&self) -> PathBuf {
        self.folder.join("calico.db")
    }

    /// Gives the host this text as its `/etc/resolv.conf`.
    pub fn set_resolver(&self, text: &str) {
        let file = self.folder.join("resolv.conf");
        std::fs::write(&file, text).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        self.run("mount", &["--bind", "/var/lib/calico/resolv.conf", "/etc/resolv.conf"]);
    }

    /// Creates a container's network namespace.
    pub fn container(&self, id: &str) -> Container<'_> {
        Container::create(self, id)
    }

    /// One run of an executable, `calico` or `calico-ipam`, still without container.
    pub fn call(&self, executable: &str, verb: &str) -> Call {
        Call::new(self, executable, verb)
    }

    /// The process whose namespaces are the host's.
    pub(crate) fn process(&self) -> u32 {
        self.keeper.id()
    }

    /// A stdio for processes on the host that write files in its folder: the folder is removed when the last of them
    /// has ended, too. Nothing reads what is written there.
    pub(crate) fn lifeline(&self) -> Stdio {
        let pipe = self.pipe.as_ref().expect("the pipe is open as long as the value lives");
        pipe.as_fd().try_clone_to_owned().expect("a pipe can be duplicated").into()
    }

    /// What a person puts before a command line to run it on this host.
    pub fn enter_line(&self) -> String {
        format!("nsenter --target={} --mount --net", self.keeper.id())
    }

    /// A command that will run a program of ours on this host, with an empty environment.
    pub fn program(&self, path: &Path) -> Command {
        let mut command = self.enter(None);
        command.arg(path);
        command
    }

    /// `nsenter` with this host's namespaces and an empty environment; the program to run inside is still to be added.
    /// A network namespace given as a file of the host takes the place of the host's own.
    pub(crate) fn enter(&self, network: Option<&str>) -> Command {
        let pid = self.keeper.id();
        let mut command = Command::new(tool("nsenter"));
        command.env_clear().arg(format!("--target={pid}")).arg("--mount");
        match network {
            Some(path) => command.arg(format!("--net=/proc/{pid}/root{path}")),
            None => command.arg("--net"),
        };
        command.arg("--");
        command
    }
}

impl Place for Host {
    fn command(&self, program: &str) -> Command {
        let mut command = self.enter(None);
        command.env("PATH", TOOL_PATH).env("LC_ALL", "C").arg(tool(program));
        command
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let findings = self.last_audit.findings(|| self.audit());
        drop(self.pipe.take());
        let _ = self.keeper.wait();
        assert_agreement(&findings);
    }
}
