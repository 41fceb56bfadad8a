//! The processes of a control plane, and what they are told.

use std::path::{Path, PathBuf};

use crate::control_plane::{audit, kubeconfig};
use crate::daemon::Daemon;
use crate::host::Host;
use crate::lan::SERVERS;
use crate::servers;
use crate::tls::{Authority, Identity};

pub(super) const PORT: u16 = 6443;

/// What the processes share: files in one folder.
pub(super) struct Files {
    folder: PathBuf,
    authority: Authority,
    /// The administrator, who may do everything.
    pub(super) admin: Identity,
    server: Identity,
    /// What the API server is to kubelets, when somebody wants a pod's log, or a command run in it.
    to_kubelets: Identity,
    controller_manager: Identity,
    scheduler: Identity,
    /// What tokens of service accounts are signed with.
    tokens: Identity,
}

impl Files {
    pub(super) fn create(folder: PathBuf) -> Files {
        std::fs::create_dir_all(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
        std::fs::write(folder.join("audit-policy.yaml"), audit::POLICY).expect("the folder was just created");
        let authority = Authority::new(&folder, "authority");
        // The last two: the service of the API itself, in each family.
        let names = ["localhost", "127.0.0.1", "kubernetes.default.svc", "10.96.0.1", "fd96::1"];
        Files {
            admin: authority.issue_member("admin", "kubernetes-admin", "system:masters"),
            server: authority.issue("apiserver", "kube-apiserver", &[&SERVERS[..], &names].concat(), false),
            to_kubelets: authority.issue_member(
                "apiserver-to-kubelets",
                "kube-apiserver-to-kubelets",
                "system:masters",
            ),
            controller_manager: authority.issue("controller-manager", "system:kube-controller-manager", &[], false),
            scheduler: authority.issue("scheduler", "system:kube-scheduler", &[], false),
            tokens: authority.issue("tokens", "service-accounts", &[], false),
            authority,
            folder,
        }
    }

    /// The identity of a node's kubelet.
    pub(super) fn kubelet(&self, node: &str) -> Identity {
        self.authority.issue_member(node, &format!("system:node:{node}"), "system:nodes")
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn audit_log(&self) -> PathBuf {
        self.folder.join("audit.log")
    }

    /// Starts the API server on an etcd; `audited`: what it is asked for is logged.
    pub(super) fn api_server(&self, host: &Host, etcd: &str, audited: bool) -> Daemon {
        let mut flags = Flags::default();
        flags.set("etcd-servers", etcd);
        flags.set("advertise-address", SERVERS[0]);
        flags.set("bind-address", "0.0.0.0");
        flags.set("secure-port", &PORT.to_string());
        flags.set("service-cluster-ip-range", "10.96.0.0/16,fd96::/112");
        flags.set("authorization-mode", "Node,RBAC");
        flags.set("allow-privileged", "true");
        flags.file("client-ca-file", &self.server.authority);
        flags.file("tls-cert-file", &self.server.certificate);
        flags.file("tls-private-key-file", &self.server.key);
        flags.set("service-account-issuer", "https://kubernetes.default.svc");
        flags.file("service-account-key-file", &self.tokens.certificate);
        flags.file("service-account-signing-key-file", &self.tokens.key);
        // Nobody knows nodes by name.
        flags.set("kubelet-preferred-address-types", "InternalIP");
        flags.file("kubelet-client-certificate", &self.to_kubelets.certificate);
        flags.file("kubelet-client-key", &self.to_kubelets.key);
        if audited {
            flags.file("audit-policy-file", &self.folder.join("audit-policy.yaml"));
            flags.file("audit-log-path", &self.audit_log());
            // Whoever has an answer finds in the log that it asked; the log stays one file.
            flags.set("audit-log-mode", "blocking");
            flags.set("audit-log-maxsize", "100000");
        }
        self.start(host, "kube-apiserver", flags)
    }

    /// Starts the controller manager; where no kubelets run, without what removes nodes, and pods from them.
    pub(super) fn controller_manager(&self, host: &Host, server: &str, kubelets: bool) -> Daemon {
        let kubeconfig =
            kubeconfig::with_certificate(&self.folder, "controller-manager", server, &self.controller_manager);
        let mut flags = Flags::default();
        flags.file("kubeconfig", &kubeconfig);
        if !kubelets {
            let controllers =
                "*,-node-lifecycle-controller,-taint-eviction-controller,-pod-garbage-collector-controller";
            flags.set("controllers", controllers);
        }
        flags.file("service-account-private-key-file", &self.tokens.key);
        flags.file("root-ca-file", &self.server.authority);
        // Every controller has a role of its own.
        flags.set("use-service-account-credentials", "true");
        flags.set("leader-elect", "false");
        flags.set("secure-port", "0");
        self.start(host, "kube-controller-manager", flags)
    }

    /// Starts the scheduler.
    pub(super) fn scheduler(&self, host: &Host, server: &str) -> Daemon {
        let kubeconfig = kubeconfig::with_certificate(&self.folder, "scheduler", server, &self.scheduler);
        let mut flags = Flags::default();
        flags.file("kubeconfig", &kubeconfig);
        flags.set("leader-elect", "false");
        flags.set("secure-port", "0");
        self.start(host, "kube-scheduler", flags)
    }

    fn start(&self, host: &Host, program: &str, flags: Flags) -> Daemon {
        Daemon::start(host, self.folder.join(format!("{program}.log")), &servers::kubernetes(program), &flags.0)
    }
}

#[derive(Default)]
struct Flags(Vec<String>);

impl Flags {
    fn set(&mut self, name: &str, value: &str) {
        self.0.push(format!("--{name}={value}"));
    }

    fn file(&mut self, name: &str, path: &Path) {
        self.set(name, &path.to_string_lossy());
    }
}
