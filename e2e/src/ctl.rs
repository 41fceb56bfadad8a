//! Runs of `calicoctl`, on every datastore.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::control_plane::{ApiGroup, ControlPlane, Lease};
use crate::etcd::{Etcd, Options};
use crate::executables::{TOOL_PATH, executable, tool};
use crate::host::Host;
use crate::store::Stored;

/// A host with `calicoctl`, and the datastore that its environment names.
pub struct Ctl {
    // Before the network it is on.
    /// The host. Files in its folder are the program's working folder.
    pub host: Host,
    /// Where the objects are.
    pub ground: Ground,
    environment: Vec<(String, String)>,
}

/// A datastore, as tests change it behind the program's back.
#[allow(missing_docs, reason = "each variant is named after the datastore")]
pub enum Ground {
    Local,
    Etcd(Box<Etcd>),
    Kubernetes(Lease),
}

/// What a run printed and how it ended.
#[derive(Debug)]
pub struct Said {
    /// The exit code.
    pub code: i32,
    /// What it printed on stdout.
    pub stdout: String,
    /// What it printed on stderr.
    pub stderr: String,
}

impl Ctl {
    /// On the host's embedded store, which is still absent.
    pub fn on_local() -> Ctl {
        let environment = vec![("DATASTORE_TYPE".to_owned(), "local".to_owned())];
        Ctl { host: Host::start(), ground: Ground::Local, environment }
    }

    /// On an etcd without any object.
    pub fn on_etcd() -> Ctl {
        let etcd = Etcd::start(Options::default());
        let environment = vec![("ETCD_ENDPOINTS".to_owned(), etcd.endpoint(0))];
        Ctl { host: etcd.host(), ground: Ground::Etcd(Box::new(etcd)), environment }
    }

    /// On the Kubernetes API, as its administrator.
    pub fn on_kubernetes() -> Ctl {
        Ctl::on_kubernetes_of(ApiGroup::Crd)
    }

    /// The same with these custom resources.
    pub fn on_kubernetes_of(group: ApiGroup) -> Ctl {
        let plane = ControlPlane::shared(group);
        let kubeconfig = plane.admin_kubeconfig().display().to_string();
        let environment = [("DATASTORE_TYPE", "kubernetes"), ("KUBECONFIG", &kubeconfig)];
        let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        Ctl { host: plane.host(), ground: Ground::Kubernetes(plane), environment }
    }

    /// Does the same on each datastore. What fails names it.
    pub fn on_each(test: impl Fn(&Ctl)) {
        for start in [Ctl::on_local, Ctl::on_etcd, Ctl::on_kubernetes] {
            let ctl = start();
            eprintln!("on {}", ctl.ground.name());
            test(&ctl);
        }
    }

    /// Adds a variable to the environment.
    pub fn with(mut self, name: &str, value: &str) -> Ctl {
        self.environment.retain(|(known, _)| known != name);
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Takes a variable out of the environment.
    pub fn without(mut self, name: &str) -> Ctl {
        self.environment.retain(|(known, _)| known != name);
        self
    }

    /// Writes a file into the program's working folder.
    pub fn write(&self, name: &str, text: &str) {
        let path = self.host.folder().join(name);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
        }
        std::fs::write(&path, text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    }

    /// The command, in the working folder; arguments are still to be added.
    pub fn command(&self) -> Command {
        let mut command = self.host.program(&tool("sh"));
        command.args(["-c", "cd /var/lib/calico && exec \"$0\" \"$@\""]).arg(executable("calicoctl"));
        command.env("PATH", TOOL_PATH).envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs it with arguments that have no spaces.
    pub fn run(&self, line: &str) -> Said {
        self.run_all(&line.split_whitespace().collect::<Vec<_>>())
    }

    /// Runs it with these arguments.
    pub fn run_all(&self, arguments: &[&str]) -> Said {
        let mut command = self.command();
        Said::of(command.args(arguments).stdin(Stdio::null()))
    }

    /// Runs it with a text on stdin.
    pub fn feed(&self, line: &str, text: &str) -> Said {
        let mut command = self.command();
        command.args(line.split_whitespace()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("nsenter can be started");
        // It may have ended already: what is wrong with its arguments is known before its input.
        let _ = child.stdin.take().expect("stdin is a pipe").write_all(text.as_bytes());
        Said::from(child.wait_with_output().expect("a child can be waited for"))
    }

    /// What it prints with these arguments, which must succeed.
    #[track_caller]
    pub fn succeed(&self, line: &str) -> String {
        self.run(line).success()
    }

    /// What it prints as JSON.
    #[track_caller]
    pub fn json(&self, line: &str) -> Value {
        let text = self.succeed(line);
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{line}: {e}: {text}"))
    }

    /// Everything that is stored.
    pub fn stored(&self) -> Stored {
        match &self.ground {
            Ground::Local => self.host.stored(),
            Ground::Etcd(etcd) => etcd.stored(),
            Ground::Kubernetes(plane) => plane.stored(),
        }
    }

    /// Every way in which the stored objects contradict each other.
    pub fn audit(&self) -> Vec<String> {
        match &self.ground {
            Ground::Local => self.host.audit(),
            Ground::Etcd(etcd) => etcd.audit(),
            Ground::Kubernetes(plane) => plane.contradictions(),
        }
    }

    /// Leaves out the audit at the end: the test leaves what is wrong on purpose.
    pub fn end_unaudited(&self) {
        match &self.ground {
            Ground::Local => self.host.end_unaudited(),
            Ground::Etcd(etcd) => etcd.end_unaudited(),
            Ground::Kubernetes(plane) => plane.end_unaudited(),
        }
    }
}

impl Ground {
    /// What it is called.
    pub fn name(&self) -> &'static str {
        match self {
            Ground::Local => "the embedded store",
            Ground::Etcd(_) => "etcd",
            Ground::Kubernetes(_) => "the Kubernetes API",
        }
    }

    /// The etcd; the test must be on one.
    #[track_caller]
    pub fn etcd(&self) -> &Etcd {
        match self {
            Ground::Etcd(etcd) => etcd,
            other => panic!("the test is on {}", other.name()),
        }
    }

    /// The control plane; the test must be on one.
    #[track_caller]
    pub fn plane(&self) -> &ControlPlane {
        match self {
            Ground::Kubernetes(plane) => plane,
            other => panic!("the test is on {}", other.name()),
        }
    }
}

impl Said {
    fn of(command: &mut Command) -> Said {
        Said::from(command.output().expect("nsenter can be started"))
    }

    /// Its stdout. It must have succeeded and have nothing on stderr.
    #[track_caller]
    pub fn success(self) -> String {
        assert!(self.code == 0 && self.stderr.is_empty(), "{self:#?}");
        self.stdout
    }

    /// Its stderr. It must have failed as failures are documented, with nothing on stdout.
    #[track_caller]
    pub fn failure(self) -> String {
        assert!(self.code == 1 && self.stdout.is_empty() && !self.stderr.is_empty(), "{self:#?}");
        self.stderr
    }
}

impl From<std::process::Output> for Said {
    fn from(output: std::process::Output) -> Said {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("it prints UTF-8");
        let code = output.status.code().unwrap_or_else(|| panic!("it did not exit: {:?}", output.status));
        Said { code, stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}
