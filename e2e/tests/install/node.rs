//! A node with the installer's image: a folder that is the root of the installer's process, as in its container. The folders
//! that a pod mounts are below it.

use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use e2e::{ControlPlane, Host, Place, executable, until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Where the root is on the host; the host's folder is its `/var/lib/calico`.
const ROOT: &str = "/var/lib/calico/image";

/// The installer's service account.
pub const ACCOUNT: &str = "calico-install";

/// A token of this very account that expired in 2001. It is signed by nobody.
pub const EXPIRED: &str =
    "e30.eyJleHAiOjEwMDAwMDAwMDAsInN1YiI6InN5c3RlbTpzZXJ2aWNlYWNjb3VudDprdWJlLXN5c3RlbTpjYWxpY28taW5zdGFsbCJ9.c2ln";

/// The plugins of the image: small ones, but for the tests that run them.
pub const PLUGINS: [&str; 4] = ["calico", "calico-ipam", "loopback", "portmap"];

pub struct Node {
    pub host: Host,
    root: PathBuf,
    variables: Vec<(String, String)>,
    /// What is mounted below the root, as paths of the host.
    mounts: Vec<String>,
}

impl Node {
    /// A node outside of any cluster.
    pub fn start() -> Node {
        Node::on(Host::start())
    }

    /// A node of a cluster, with what the kubelet mounts.
    pub fn of(plane: &ControlPlane) -> Node {
        let mut node = Node::on(plane.host());
        node.mount_account(&plane.token_of("kube-system", ACCOUNT), &std::fs::read(plane.authority()).unwrap());
        let server = plane.server();
        let (host, port) = server.strip_prefix("https://").unwrap().rsplit_once(':').unwrap();
        node.set("KUBERNETES_SERVICE_HOST", host);
        node.set("KUBERNETES_SERVICE_PORT", port);
        node
    }

    /// A node on a host of some network, outside of any cluster.
    pub fn on(host: Host) -> Node {
        let root = host.folder().join("image");
        for folder in
            ["usr/bin", "opt/cni/bin", "host/opt/cni/bin", "host/etc/cni/net.d", "calico-secrets", "var/lib/calico"]
        {
            std::fs::create_dir_all(root.join(folder)).unwrap();
        }
        std::fs::copy(executable("calico-install"), root.join("usr/bin/calico-install")).unwrap();
        let mut node = Node { host, root, variables: Vec::new(), mounts: Vec::new() };
        for name in PLUGINS {
            node.put(&format!("opt/cni/bin/{name}"), format!("#!/bin/sh\n# {name}\n").as_bytes());
            std::fs::set_permissions(node.path(&format!("opt/cni/bin/{name}")), PermissionsExt::from_mode(0o755))
                .unwrap();
        }
        node.set("KUBERNETES_NODE_NAME", "node-1");
        node.set("CNI_MTU", "0");
        node
    }

    /// Puts the real plugins into the image.
    pub fn with_real_plugins(self) -> Node {
        for name in ["calico", "calico-ipam"] {
            std::fs::copy(executable(name), self.path(&format!("opt/cni/bin/{name}"))).unwrap();
        }
        self
    }

    /// Sets a variable of the installer's environment.
    pub fn set(&mut self, name: &str, value: &str) {
        self.variables.retain(|(other, _)| other != name);
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    /// A file or folder below the root, as seen from here.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    pub fn put(&self, name: &str, content: &[u8]) {
        std::fs::write(self.path(name), content).unwrap_or_else(|e| panic!("{name}: {e}"));
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    pub fn mode(&self, name: &str) -> u32 {
        std::fs::metadata(self.path(name)).unwrap_or_else(|e| panic!("{name}: {e}")).mode() & 0o7777
    }

    /// The names in a folder, sorted.
    pub fn names(&self, folder: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.path(folder)).unwrap_or_else(|e| panic!("{folder}: {e}"));
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    pub fn conflist(&self) -> String {
        self.read("host/etc/cni/net.d/10-calico.conflist")
    }

    pub fn kubeconfig(&self) -> String {
        self.read("host/etc/cni/net.d/calico-kubeconfig")
    }

    /// The token in the kubeconfig; empty where there is none.
    pub fn token(&self) -> String {
        let text = std::fs::read_to_string(self.path("host/etc/cni/net.d/calico-kubeconfig")).unwrap_or_default();
        text.lines().find_map(|line| line.trim().strip_prefix("token: ")).unwrap_or_default().to_owned()
    }

    /// What tells whether a file was touched, of everything that is installed.
    pub fn stamps(&self) -> Vec<(String, u64, i64, i64)> {
        let mut stamps = Vec::new();
        for folder in ["host/opt/cni/bin", "host/etc/cni/net.d", "var/lib/calico"] {
            for name in self.names(folder) {
                let data = std::fs::metadata(self.path(folder).join(&name)).unwrap();
                stamps.push((name, data.ino(), data.mtime_nsec(), data.ctime_nsec()));
            }
        }
        stamps
    }

    /// Mounts a service account, or renews it, as the kubelet does: in one step, by a link.
    pub fn mount_account(&self, token: &str, ca: &[u8]) {
        let files = [("token", token.as_bytes()), ("ca.crt", ca), ("namespace", &b"kube-system"[..])];
        self.mount_secret("var/run/secrets/kubernetes.io/serviceaccount", &files);
    }

    /// Fills a folder as the kubelet does, or renews it in one step.
    pub fn mount_secret(&self, folder: &str, files: &[(&str, &[u8])]) {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let folder = self.path(folder);
        let version = format!("..{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        std::fs::create_dir_all(folder.join(&version)).unwrap();
        for (name, content) in files {
            std::fs::write(folder.join(&version).join(name), content).unwrap();
            if folder.join(name).symlink_metadata().is_err() {
                symlink(format!("..data/{name}"), folder.join(name)).unwrap();
            }
        }
        symlink(&version, folder.join("..next")).unwrap();
        std::fs::rename(folder.join("..next"), folder.join("..data")).unwrap();
    }

    /// Mounts something on a folder below the root.
    pub fn mount(&mut self, options: &[&str], folder: &str) {
        let target = format!("{ROOT}/{folder}");
        let own = if options.contains(&"--bind") { vec![target.as_str()] } else { Vec::new() };
        self.host.run("mount", &[options, &own, &[target.as_str()]].concat());
        self.mounts.push(target);
    }

    /// Makes a folder below the root read-only for the installer.
    pub fn make_read_only(&mut self, folder: &str) {
        self.mount(&["--bind"], folder);
        self.host.run("mount", &["-o", "remount,ro,bind", &format!("{ROOT}/{folder}")]);
    }

    /// A path below the root, as seen on the host.
    pub fn on_host(&self, name: &str) -> String {
        format!("{ROOT}/{name}")
    }

    /// Runs the installer in a user namespace of its own, by a script that ends with `exec "$@"`.
    pub fn run_by(&self, script: &str) -> Said {
        let mut command = self.host.command("unshare");
        command.args([
            "--user",
            "--map-root-user",
            "sh",
            "-c",
            script,
            "sh",
            "chroot",
            ROOT,
            "/usr/bin/calico-install",
        ]);
        Said::of(&self.with_variables(command).output().expect("nsenter can be started"))
    }

    fn command(&self) -> Command {
        let mut command = self.host.command("chroot");
        command.args([ROOT, "/usr/bin/calico-install"]);
        self.with_variables(command)
    }

    fn with_variables(&self, mut command: Command) -> Command {
        command.stdin(Stdio::null());
        for (name, value) in &self.variables {
            command.env(name, value);
        }
        command
    }

    /// Runs the installer to its end.
    pub fn install(&mut self) -> Said {
        self.set("SLEEP", "false");
        Said::of(&self.command().output().expect("nsenter can be started"))
    }

    /// Runs the installer with arguments.
    pub fn with_arguments(&self, arguments: &[&str]) -> Said {
        Said::of(&self.command().args(arguments).output().expect("nsenter can be started"))
    }

    /// Starts an installer, which is to stay unless it is set otherwise.
    pub fn start_installer(&self) -> Installer<'_> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let log = self.host.folder().join(format!("install-{}.log", NUMBER.fetch_add(1, Ordering::Relaxed)));
        let child =
            self.command().stderr(std::fs::File::create(&log).unwrap()).spawn().expect("nsenter can be started");
        Installer { node: self, child, log }
    }

    /// Asks for a path over HTTP on the host; the status and the body, if there is an answer.
    pub fn ask(&self, path: &str) -> Option<(u16, String)> {
        let mut command = self.host.command("busybox");
        command.args(["nc", "-w", "5", "127.0.0.1", "9197"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.stderr(Stdio::null()).spawn().expect("nsenter can be started");
        let request = format!("GET {path} HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n");
        // Nobody may be there.
        let _ = child.stdin.as_mut().expect("stdin is a pipe").write_all(request.as_bytes());
        let output = child.wait_with_output().expect("a child can be waited for");
        let answer = String::from_utf8_lossy(&output.stdout).into_owned();
        let (head, body) = answer.split_once("\r\n\r\n")?;
        Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
    }

    /// Waits until everything is installed.
    #[track_caller]
    pub fn wait_until_ready(&self) {
        until("everything is installed", || self.ask("/readyz").is_some_and(|(status, _)| status == 200));
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        for target in self.mounts.iter().rev() {
            // Not asserted: the test may be failing.
            self.host.succeeds("umount", &[target]);
        }
    }
}

/// What a run has said and how it ended.
#[derive(Debug)]
pub struct Said {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Said {
    fn of(output: &Output) -> Said {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Said { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }

    /// Asserts that it ended so, and that one line says why in these words.
    #[track_caller]
    pub fn assert_failed(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:#?}");
        let lines: Vec<&str> = self.stderr.lines().filter(|line| line.contains("[ERROR]")).collect();
        assert_eq!(lines.len(), 1, "{self:#?}");
        assert!(lines[0].contains(&format!("exit={code}")), "{self:#?}");
        for word in words {
            assert!(lines[0].contains(word), "{word:?} is not in {self:#?}");
        }
    }

    #[track_caller]
    pub fn assert_installed(&self) {
        assert_eq!(self.code, Some(0), "{self:#?}");
        assert!(self.stderr.contains("everything is installed"), "{self:#?}");
    }
}

/// An installer that runs. It is killed when the value is dropped.
pub struct Installer<'n> {
    node: &'n Node,
    child: Child,
    log: PathBuf,
}

impl Installer<'_> {
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// Waits until it has said something.
    #[track_caller]
    pub fn wait_for(&mut self, text: &str) {
        until(text, || {
            let ended = self.child.try_wait().expect("a child can be waited for");
            assert!(ended.is_none() || self.log().contains(text), "it ended, {ended:?}:\n{}", self.log());
            self.log().contains(text)
        });
    }

    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).expect("a process ID"));
        // It may have ended.
        let _ = kill(pid, signal);
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> Option<i32> {
        self.child.wait().expect("a child can be waited for").code()
    }

    /// Asserts that SIGTERM ends it, that it left nothing unfinished, and that it never told a token.
    #[track_caller]
    pub fn end(mut self) {
        self.signal(Signal::SIGTERM);
        assert_eq!(self.wait(), Some(0), "{}", self.log());
        assert_nothing_unfinished(self.node);
        assert!(!self.log().contains("eyJ"), "there is a token in the log:\n{}", self.log());
    }
}

impl Drop for Installer<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[track_caller]
pub fn assert_nothing_unfinished(node: &Node) {
    for folder in ["host/opt/cni/bin", "host/etc/cni/net.d"] {
        let names = node.names(folder);
        assert!(!names.iter().any(|name| name.starts_with('.')), "{names:?}");
    }
}

/// The CNI configuration of the node `node-1`, as checked in.
pub fn expected_conflist() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../calico-install/fixtures/10-calico.conflist");
    std::fs::read_to_string(path).unwrap()
}
