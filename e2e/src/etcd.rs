//! An etcd of its own for every test.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use nix::sys::signal::Signal;
use serde_json::{Map, Value, json};

use crate::base64;
use crate::daemon::{Daemon, PATIENCE};
use crate::host::Host;
use crate::lan::{Lan, SERVERS};
use crate::leftovers::{LastAudit, assert_agreement};
use crate::proxy::{Faults, Proxy};
use crate::servers::{self, Release};
use crate::tls::{Authority, Identity};

/// What plugins log in with where etcd has users.
const USER: (&str, &str) = ("calico", "calico-secret");
/// What the fixture itself logs in with.
const ROOT: (&str, &str) = ("root", "root-secret");
/// What a member of any release logs when clients may come.
const READY: &str = "serving client traffic";

/// A name of every server, for its certificate. Who asks for it needs a name server that knows it.
const SERVER_NAME: &str = "etcd.example.org";

/// What kind of etcd to start: by default, one member of the newest release, open to everybody.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// The release.
    pub release: Release,
    /// How many members: 1, or 3, of which any two are a majority.
    pub members: usize,
    /// Whether the members have certificates, and want one of every client.
    pub tls: bool,
    /// Whether the members' certificates have expired.
    pub expired: bool,
    /// Whether clients must log in: as `calico`, who may read and write below `/calico/`, or as `root`.
    pub auth: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options { release: Release::default(), members: 1, tls: false, expired: false, auth: false }
    }
}

/// A running etcd, and the network on which hosts reach it. Members are numbered from 0.
///
/// The data are on a real disk, with every flush. Everything vanishes with the value, or with this process however it
/// ends. What is stored is audited when the value is dropped, see [`Etcd::end_unaudited`].
pub struct Etcd {
    // Before the network: its folder goes when the last process in it has ended.
    members: Vec<Mutex<Member>>,
    tls: Option<Tls>,
    options: Options,
    /// Whether users exist already.
    guarded: bool,
    proxies: AtomicU32,
    last_audit: LastAudit,
    lan: Lan,
}

/// One member's process.
enum Member {
    Running(Daemon),
    Paused(Daemon),
    Killed,
}

/// Who is who in an etcd with certificates.
struct Tls {
    server: Identity,
    client: Identity,
    expired: Identity,
    foreign: Identity,
}

impl Tls {
    fn create(folder: &Path, expired: bool) -> Tls {
        let folder = folder.join("tls");
        std::fs::create_dir_all(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
        let authority = Authority::new(&folder, "authority");
        Tls {
            server: authority.issue("server", "etcd", &[&SERVERS[..], &[SERVER_NAME]].concat(), expired),
            client: authority.issue("client", USER.0, &[], false),
            expired: authority.issue("expired-client", USER.0, &[], true),
            foreign: Authority::new(&folder, "foreign-authority").issue("foreign-client", USER.0, &[], false),
        }
    }
}

impl Etcd {
    /// Starts all members and waits until every one of them has answered.
    pub fn start(options: Options) -> Etcd {
        assert!(matches!(options.members, 1 | 3), "1 or 3 members: {options:?}");
        let lan = Lan::start();
        let tls = options.tls.then(|| Tls::create(lan.servers().folder(), options.expired));
        let members = (0..options.members).map(|_| Mutex::new(Member::Killed)).collect();
        let mut etcd = Etcd {
            members,
            tls,
            options,
            guarded: false,
            proxies: AtomicU32::new(0),
            last_audit: LastAudit::default(),
            lan,
        };
        for member in 0..options.members {
            etcd.set(member, Member::Running(etcd.launch(member)));
        }
        etcd.wait_until_ready();
        if options.auth {
            etcd.create_users();
            etcd.guarded = true;
        }
        etcd
    }

    /// Leaves out the audit at the end: the test has planted faults that it leaves there.
    pub fn end_unaudited(&self) {
        self.last_audit.waive();
    }

    /// Starts a host that reaches the members.
    pub fn host(&self) -> Host {
        self.lan.host()
    }

    /// The host that the members run on.
    pub fn servers(&self) -> &Host {
        self.lan.servers()
    }

    /// The URL of a member.
    pub fn endpoint(&self, member: usize) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}:2379", SERVERS[member])
    }

    /// The keys of a plugin's configuration that tell it of this etcd.
    pub fn conf(&self) -> Map<String, Value> {
        let endpoints: Vec<String> = (0..self.options.members).map(|member| self.endpoint(member)).collect();
        let mut conf = Map::new();
        conf.insert("datastore_type".to_owned(), json!("etcdv3"));
        conf.insert("etcd_endpoints".to_owned(), json!(endpoints.join(",")));
        if let Some(tls) = &self.tls {
            conf.insert("etcd_ca_cert_file".to_owned(), json!(tls.client.authority));
            conf.insert("etcd_cert_file".to_owned(), json!(tls.client.certificate));
            conf.insert("etcd_key_file".to_owned(), json!(tls.client.key));
        }
        conf
    }

    /// A plugin's configuration with the keys of [`Etcd::conf`] in place of its own.
    pub fn configured(&self, mut netconf: Value) -> Value {
        netconf.as_object_mut().expect("a configuration is an object").extend(self.conf());
        netconf
    }

    /// The environment of a plugin that logs in; nothing where nobody has to.
    pub fn env(&self) -> Vec<(String, String)> {
        let pairs = [("ETCD_USERNAME", USER.0), ("ETCD_PASSWORD", USER.1)];
        let pairs = pairs.into_iter().filter(|_| self.options.auth);
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    /// A client's certificate, which has expired.
    pub fn expired_client(&self) -> &Identity {
        &self.tls.as_ref().expect("this etcd has certificates").expired
    }

    /// A client's certificate of an authority that the members do not trust, and who trusts only that.
    pub fn foreign_client(&self) -> &Identity {
        &self.tls.as_ref().expect("this etcd has certificates").foreign
    }

    /// `etcdctl` on a host, as root, with every member that answers. The environment (`ETCDCTL_…`) says so and may be
    /// changed; the arguments are still to be added.
    pub fn client(&self, host: &Host) -> Command {
        let mut command = host.enter(None);
        let answering = |member: &usize| matches!(*self.members[*member].lock().unwrap(), Member::Running(_));
        let endpoints: Vec<String> =
            (0..self.options.members).filter(answering).map(|member| self.endpoint(member)).collect();
        command.env("ETCDCTL_ENDPOINTS", endpoints.join(","));
        if self.guarded {
            command.env("ETCDCTL_USER", format!("{}:{}", ROOT.0, ROOT.1));
        }
        if let Some(tls) = &self.tls {
            command.env("ETCDCTL_CACERT", &tls.client.authority);
            command.env("ETCDCTL_CERT", &tls.client.certificate).env("ETCDCTL_KEY", &tls.client.key);
            if self.options.expired {
                command.env("ETCDCTL_INSECURE_SKIP_TLS_VERIFY", "true");
            }
        }
        command.arg(servers::etcdctl());
        command
    }

    /// All keys with their values.
    pub fn dump(&self) -> BTreeMap<String, String> {
        self.dump_below("")
    }

    /// All keys that begin with a prefix, with their values.
    pub fn dump_below(&self, prefix: &str) -> BTreeMap<String, String> {
        let output = self.succeed(&["get", prefix, "--prefix", "-w", "json"]);
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {output:?}"));
        let text = |pair: &Value, field: &str| {
            // Go leaves out what is empty.
            let bytes = base64::decode(pair[field].as_str().unwrap_or_default());
            String::from_utf8(bytes).unwrap_or_else(|e| panic!("not UTF-8: {e}: {pair}"))
        };
        let pairs = answer["kvs"].as_array().into_iter().flatten();
        pairs.map(|pair| (text(pair, "key"), text(pair, "value"))).collect()
    }

    /// Stores a value.
    pub fn put(&self, key: &str, value: &str) {
        self.succeed(&["put", "--", key, value]);
    }

    /// Deletes a key, which must be there.
    pub fn delete(&self, key: &str) {
        let output = self.succeed(&["del", "--", key]);
        assert_eq!(output.stdout, b"1\n", "{key} is absent");
    }

    /// Deletes all keys that begin with a prefix.
    pub fn delete_below(&self, prefix: &str) {
        self.succeed(&["del", prefix, "--prefix"]);
    }

    /// What a running member has logged since it was started.
    pub fn log(&self, member: usize) -> String {
        match &*self.members[member].lock().unwrap() {
            Member::Running(process) | Member::Paused(process) => process.log(),
            Member::Killed => panic!("member {member} was killed"),
        }
    }

    /// Ends a member at once. The others may need a moment, see [`Etcd::wait_until_ready`].
    pub fn kill(&self, member: usize) {
        self.set(member, Member::Killed);
    }

    /// Stops a member: its connections stay open and it says nothing any more.
    pub fn pause(&self, member: usize) {
        self.change(member, |state| match state {
            Member::Running(mut process) => {
                process.signal(Signal::SIGSTOP);
                Member::Paused(process)
            }
            other => other,
        });
    }

    /// Lets a stopped member go on.
    pub fn resume(&self, member: usize) {
        self.change(member, |state| match state {
            Member::Paused(mut process) => {
                process.signal(Signal::SIGCONT);
                Member::Running(process)
            }
            other => other,
        });
    }

    /// Ends a member, if it was not killed before, and starts it again with its data. Waits until it has answered,
    /// unless there is still no majority, without which none does.
    pub fn restart(&self, member: usize) {
        self.kill(member);
        self.set(member, Member::Running(self.launch(member)));
        if self.has_majority() {
            self.wait_until_ready();
        }
    }

    /// Whether enough members run to answer.
    fn has_majority(&self) -> bool {
        let running = |member: &&Mutex<Member>| matches!(member.lock().as_deref(), Ok(Member::Running(_)));
        self.members.iter().filter(running).count() * 2 > self.options.members
    }

    /// Waits until every running member answers. After a member was killed or paused, the others may have to elect a
    /// leader first; until then they answer nothing, and lose what they are given to store.
    pub fn wait_until_ready(&self) {
        for member in &self.members {
            if let Member::Running(process) = &mut *member.lock().unwrap() {
                process.wait_for(READY);
            }
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut client = self.client(self.servers());
            client.args(["endpoint", "health", "--command-timeout=1s"]);
            let output = client.output().expect("nsenter can be started");
            if output.status.success() {
                return;
            }
            assert!(Instant::now() < deadline, "no answer: {output:?}");
        }
    }

    /// The member that leads the others.
    pub fn leader(&self) -> usize {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let output = self.succeed(&["endpoint", "status", "-w", "json"]);
            let members: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {output:?}"));
            let leads = |member: &&Value| member["Status"]["leader"] == member["Status"]["header"]["member_id"];
            let leader = members.as_array().into_iter().flatten().find(leads).map(|member| member["Endpoint"].clone());
            if let Some(number) = (0..self.options.members).find(|&number| leader == Some(json!(self.endpoint(number))))
            {
                return number;
            }
            assert!(Instant::now() < deadline, "no leader: {members}");
        }
    }

    /// Starts a further endpoint, which forwards to one member, counts what it is asked for, and makes faults.
    /// `program` is this crate's executable `proxy`.
    pub fn proxy(&self, program: &Path, member: usize, faults: Faults) -> Proxy<'_> {
        let number = self.proxies.fetch_add(1, Ordering::Relaxed);
        let report = self.servers().folder().join(format!("proxy-{number}"));
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        Proxy::start(self.servers(), program, report, scheme, &format!("{}:2379", SERVERS[member]), faults)
    }

    fn set(&self, member: usize, state: Member) {
        self.change(member, |_| state);
    }

    fn change(&self, member: usize, change: impl FnOnce(Member) -> Member) {
        let mut state = self.members[member].lock().unwrap();
        let before = std::mem::replace(&mut *state, Member::Killed);
        *state = change(before);
    }

    fn launch(&self, member: usize) -> Daemon {
        let folder = self.servers().folder();
        let peer = |member: usize| format!("http://{}:2380", SERVERS[member]);
        let peers: Vec<String> = (0..self.options.members).map(|other| format!("{other}={}", peer(other))).collect();
        let mut arguments: Vec<String> = Vec::new();
        let mut flag = |name: &str, value: &str| arguments.push(format!("--{name}={value}"));
        flag("name", &member.to_string());
        flag("data-dir", &folder.join(format!("etcd-{member}")).to_string_lossy());
        flag("listen-client-urls", &self.endpoint(member));
        flag("advertise-client-urls", &self.endpoint(member));
        flag("listen-peer-urls", &peer(member));
        flag("initial-advertise-peer-urls", &peer(member));
        flag("initial-cluster", &peers.join(","));
        flag("logger", "zap");
        // The start waits for an election. A single member cannot lose one; several must bear a busy machine.
        let (heartbeat, election) = if self.options.members == 1 { ("10", "100") } else { ("50", "500") };
        flag("heartbeat-interval", heartbeat);
        flag("election-timeout", election);
        // The least there is: how well passwords are kept is not what is tested.
        flag("bcrypt-cost", "4");
        if let Some(Tls { server, .. }) = &self.tls {
            flag("client-cert-auth", "true");
            flag("trusted-ca-file", &server.authority.to_string_lossy());
            flag("cert-file", &server.certificate.to_string_lossy());
            flag("key-file", &server.key.to_string_lossy());
        }
        let log: PathBuf = folder.join(format!("etcd-{member}.log"));
        Daemon::start(self.servers(), log, &self.options.release.etcd(), &arguments)
    }

    fn create_users(&self) {
        for user in [ROOT, USER] {
            self.succeed(&["user", "add", &format!("{}:{}", user.0, user.1)]);
            self.succeed(&["role", "add", user.0]);
            self.succeed(&["user", "grant-role", user.0, user.0]);
        }
        self.succeed(&["role", "grant-permission", "--prefix=true", USER.0, "readwrite", "/calico/"]);
        self.succeed(&["auth", "enable"]);
    }

    fn succeed(&self, arguments: &[&str]) -> Output {
        let output = self.client(self.servers()).args(arguments).output().expect("nsenter can be started");
        assert!(output.status.success(), "etcdctl {}: {output:?}", arguments.join(" "));
        output
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        // Without a majority of members nobody can look.
        if self.has_majority() {
            assert_agreement(&self.last_audit.findings(|| self.audit()));
        }
    }
}
