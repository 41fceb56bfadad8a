//! A Kubernetes control plane of a test's own: etcd, the API server and, where they are wanted, the controller manager
//! and the scheduler.

mod audit;
mod client;
mod door;
mod kubeconfig;
mod objects;
mod processes;
mod rights;
mod shared;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Instant;

use calico_datastore::kubernetes::Settings;
use hyper::Method;
use nix::sys::signal::Signal;
use serde_json::{Map, Value, json};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

pub use audit::{Event, Mark};
pub use client::{Client, Refusal};
pub(crate) use door::{Way, Wire};
pub use objects::{ApiGroup, manifests};
pub use rights::rights;
pub use shared::Lease;

use crate::daemon::{Daemon, PATIENCE};
use crate::etcd::{Etcd, Options};
use crate::executables::TOOL_PATH;
use crate::gateway::{Gateway, Upstream};
use crate::host::Host;
use crate::lan::SERVERS;
use crate::place::Place;
use crate::proxy::{Faults, Proxy};
use crate::servers;

use client::Credentials;
use door::Door;
use processes::{Files, PORT};

/// The service account that the plugin's kubeconfig is for, in `kube-system`.
pub const PLUGIN_ACCOUNT: &str = "calico-cni-plugin";

/// Where the fixture's own clients reach the API server, apart from all others.
const LOOPBACK: &str = "127.0.0.1";

/// What kind of control plane to start. By default there is the API server alone, and in it what the plugin needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ControlPlaneOptions {
    /// Which custom resources there are. With any, there is the plugin's service account with its rights, too. Without, they are
    /// those of most clusters once a test has put them there.
    pub resources: Option<ApiGroup>,
    /// Whether the controller manager runs. Without it nobody gives namespaces their default service account, empties
    /// deleted namespaces, or deletes what belongs to a deleted object.
    pub controller_manager: bool,
    /// Whether the scheduler runs. Without it a pod must name its node.
    pub scheduler: bool,
    /// Whether kubelets will run. Without it the controller manager leaves nodes alone that nobody reports about.
    pub kubelets: bool,
    /// Whether what the API server is asked for is logged, for [`ControlPlane::audit`].
    pub audited: bool,
}

impl ControlPlaneOptions {
    /// Everything that a cluster with kubelets has, and nothing of the plugin's.
    pub const CLUSTER: ControlPlaneOptions = ControlPlaneOptions {
        resources: None,
        controller_manager: true,
        scheduler: true,
        kubelets: true,
        audited: false,
    };
}

impl Default for ControlPlaneOptions {
    fn default() -> ControlPlaneOptions {
        ControlPlaneOptions {
            resources: Some(ApiGroup::Crd),
            controller_manager: false,
            scheduler: false,
            kubelets: false,
            audited: true,
        }
    }
}

/// A running control plane, and the network on which hosts reach it.
///
/// Everything vanishes with the value, or with this process however it ends.
pub struct ControlPlane {
    // Before the network they are on.
    controllers: Vec<Daemon>,
    api_server: Mutex<Daemon>,
    admin: Client,
    admin_kubeconfig: PathBuf,
    files: Files,
    options: ControlPlaneOptions,
    proxies: AtomicU32,
    /// Once somebody asks for it.
    door: OnceLock<Door>,
    etcd: Etcd,
}

impl ControlPlane {
    /// Starts the API server with the plugin's custom resources, its service account and its rights.
    pub fn start() -> ControlPlane {
        ControlPlane::with(ControlPlaneOptions::default())
    }

    /// Starts a control plane of this kind, and waits until it can be used.
    pub fn with(options: ControlPlaneOptions) -> ControlPlane {
        let etcd = Etcd::start(Options::default());
        // Its keys are the API server's.
        etcd.end_unaudited();
        let host = etcd.servers();
        // What a client of ours writes arrives in small parts, the last of which would wait for an acknowledgement.
        host.ip("route replace local 127.0.0.1 dev lo table local scope host src 127.0.0.1 quickack 1");
        let files = Files::create(host.folder().join("control-plane"));
        let api_server = Mutex::new(files.api_server(host, &etcd.endpoint(0), options.audited));
        let server = format!("https://{}:{PORT}", SERVERS[0]);
        let admin_kubeconfig = kubeconfig::with_certificate(files.folder(), "admin", &server, &files.admin);
        let admin = Client::new(host, LOOPBACK, PORT, &files.admin, &Credentials::Certificate);
        let mut plane = ControlPlane {
            controllers: Vec::new(),
            api_server,
            admin,
            admin_kubeconfig,
            files,
            options,
            proxies: AtomicU32::new(0),
            door: OnceLock::new(),
            etcd,
        };
        plane.wait_until_ready();
        let host = plane.etcd.servers();
        let mut controllers = Vec::new();
        if options.controller_manager {
            controllers.push(plane.files.controller_manager(host, &server, options.kubelets));
        }
        if options.scheduler {
            controllers.push(plane.files.scheduler(host, &server));
        }
        plane.controllers = controllers;
        plane.furnish();
        plane
    }

    /// Starts a host that reaches the API server.
    pub fn host(&self) -> Host {
        self.etcd.host()
    }

    /// The host that the control plane runs on.
    pub fn servers(&self) -> &Host {
        self.etcd.servers()
    }

    /// The etcd that the API server keeps its objects in. Below `/calico/` it is free for objects of Calico's own.
    pub fn etcd(&self) -> &Etcd {
        &self.etcd
    }

    /// The URL of the API server.
    pub fn server(&self) -> String {
        format!("https://{}:{PORT}", SERVERS[0])
    }

    /// The file with the certificate of the authority that the API server's own is of.
    pub fn authority(&self) -> &Path {
        &self.files.admin.authority
    }

    /// Writes a kubeconfig of a node's kubelet, and returns its path, under which every host sees it.
    pub(crate) fn kubeconfig_of_kubelet(&self, node: &str) -> PathBuf {
        let identity = self.files.kubelet(node);
        kubeconfig::with_certificate(self.files.folder(), node, &self.server(), &identity)
    }

    /// The kind of control plane.
    pub fn options(&self) -> ControlPlaneOptions {
        self.options
    }

    /// A kubeconfig of the administrator, who may do everything. Every host sees it under this path.
    pub fn admin_kubeconfig(&self) -> &Path {
        &self.admin_kubeconfig
    }

    /// Writes a kubeconfig of a service account of `kube-system`, with a new token, and returns its path, under which
    /// every host sees it. It is laid out like that of the established implementation's installer.
    pub fn kubeconfig_of(&self, account: &str) -> PathBuf {
        let token = self.token_of("kube-system", account);
        kubeconfig::with_token(self.files.folder(), account, &self.server(), self.authority(), &token)
    }

    /// The same with another server, such as that of [`ControlPlane::proxy`]. `name` is the file's.
    pub fn kubeconfig_through(&self, account: &str, server: &str, name: &str) -> PathBuf {
        let token = self.token_of("kube-system", account);
        kubeconfig::with_token(self.files.folder(), name, server, self.authority(), &token)
    }

    /// A new token of a service account, good for a day.
    pub fn token_of(&self, namespace: &str, account: &str) -> String {
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token");
        let request = json!({
            "kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1", "spec": {"expirationSeconds": 86400}
        });
        let answer = self.admin.create(&path, &request).unwrap_or_else(|e| panic!("{path}: {e}"));
        answer["status"]["token"].as_str().unwrap_or_else(|| panic!("no token: {answer}")).to_owned()
    }

    /// The keys of a plugin's configuration that tell it of this API server and of the plugin's service account.
    pub fn conf(&self) -> Map<String, Value> {
        let mut conf = Map::new();
        conf.insert("datastore_type".to_owned(), json!("kubernetes"));
        conf.insert("kubernetes".to_owned(), json!({"kubeconfig": self.kubeconfig_of(PLUGIN_ACCOUNT)}));
        conf.insert("policy".to_owned(), json!({"type": "k8s"}));
        conf
    }

    /// The administrator's connection.
    pub fn admin(&self) -> &Client {
        &self.admin
    }

    /// What this very process can connect with, as administrator.
    pub fn settings(&self) -> Settings {
        let (cert_file, key_file) = (Some(self.files.admin.certificate.clone()), Some(self.files.admin.key.clone()));
        Settings { cert_file, key_file, ..self.settings_of_anybody() }
    }

    /// What this very process can connect with, as a service account of `kube-system`.
    pub fn settings_of(&self, account: &str) -> Settings {
        Settings { token: Some(self.token_of("kube-system", account)), ..self.settings_of_anybody() }
    }

    fn settings_of_anybody(&self) -> Settings {
        let door = self.door.get_or_init(|| Door::open(Way::new(self.servers(), LOOPBACK, PORT)));
        Settings { server: Some(door.url()), ca_file: Some(self.authority().to_owned()), ..Settings::default() }
    }

    /// A connection of a service account.
    pub fn client_of(&self, namespace: &str, account: &str) -> Client {
        let token = self.token_of(namespace, account);
        Client::new(self.etcd.servers(), LOOPBACK, PORT, &self.files.admin, &Credentials::Token(&token))
    }

    /// Runs `kubectl` as administrator, which must succeed, and returns its stdout.
    #[track_caller]
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        let output = self.kubectl_command().args(arguments).output().expect("nsenter can be started");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "kubectl {}: {}", arguments.join(" "), text(&output.stderr));
        text(&output.stdout)
    }

    /// `kubectl` as administrator; the arguments are still to be added.
    pub fn kubectl_command(&self) -> Command {
        let mut command = self.etcd.servers().program(&servers::kubernetes("kubectl"));
        // It keeps there what it has learned about the server.
        command.env("HOME", self.files.folder()).env("KUBECONFIG", &self.admin_kubeconfig).env("PATH", TOOL_PATH);
        command
    }

    /// This moment, for [`ControlPlane::audit`].
    pub fn mark(&self) -> Mark {
        audit::mark(&self.files.audit_log())
    }

    /// What the API server was asked for since a moment by all others than the parts of the control plane, in the order
    /// in which it came.
    pub fn audit(&self, since: Mark) -> Vec<Event> {
        audit::since(&self.files.audit_log(), since)
    }

    /// What it was asked for since a moment by the plugin's service account.
    pub fn audit_of_plugin(&self, since: Mark) -> Vec<Event> {
        let user = format!("system:serviceaccount:kube-system:{PLUGIN_ACCOUNT}");
        self.audit(since).into_iter().filter(|event| event.user == user).collect()
    }

    /// What the API server has logged.
    pub fn log(&self) -> String {
        self.api_server.lock().unwrap().log()
    }

    /// Stops the API server: its connections stay open and it says nothing any more.
    pub fn pause(&self) {
        self.api_server.lock().unwrap().signal(Signal::SIGSTOP);
    }

    /// Lets a stopped API server go on.
    pub fn resume(&self) {
        self.api_server.lock().unwrap().signal(Signal::SIGCONT);
    }

    /// Ends the API server at once, starts it again with its data, and waits until it can be used.
    pub fn restart(&self) {
        let mut api_server = self.api_server.lock().unwrap();
        // Its port must be free before.
        api_server.end();
        *api_server = self.files.api_server(self.etcd.servers(), &self.etcd.endpoint(0), self.options.audited);
        drop(api_server);
        self.wait_until_ready();
        self.wait_until_resources_are_served();
    }

    /// Starts a further endpoint, which forwards to the API server and makes faults. `program` is this crate's
    /// executable `proxy`.
    pub fn proxy(&self, program: &Path, faults: Faults) -> Proxy<'_> {
        let number = self.proxies.fetch_add(1, Ordering::Relaxed);
        let report = self.files.folder().join(format!("proxy-{number}"));
        Proxy::start(self.servers(), program, report, "https", &format!("{}:{PORT}", SERVERS[0]), faults)
    }

    /// Starts a further endpoint, which sees every request and makes faults. `program` is this crate's executable `forward`.
    pub fn gateway(&self, program: &Path) -> Gateway<'_> {
        let number = self.proxies.fetch_add(1, Ordering::Relaxed);
        let mut tls = client::tls(&self.files.admin, false);
        tls.alpn_protocols = vec![b"h2".to_vec()];
        let server = ServerName::try_from(SERVERS[0]).expect("an address");
        let way = Way::new(self.servers(), SERVERS[0], PORT);
        let upstream = Upstream::new(way, server, TlsConnector::from(Arc::new(tls)));
        Gateway::start(self.servers(), program, self.files.folder(), &format!("gateway-{number}"), upstream)
    }

    /// Writes the kubeconfig of a gateway's client anew, with this token, and returns its path, under which every host sees
    /// it.
    pub fn kubeconfig_to(&self, gateway: &Gateway<'_>, token: &str, name: &str) -> PathBuf {
        kubeconfig::with_token(self.files.folder(), name, gateway.endpoint(), gateway.authority(), token)
    }

    fn wait_until_ready(&self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.api_server.lock().unwrap().assert_running();
            let answer = self.admin.try_send(Method::GET, "/readyz", "", None);
            if matches!(answer, Ok(Ok(_))) {
                return;
            }
            assert!(Instant::now() < deadline, "the API server is not ready: {answer:?}\n{}", self.log());
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}
