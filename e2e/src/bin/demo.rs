//! The demo: two containers are connected by the real executables, reach each other, and are disconnected again, on a
//! host of their own beside the machine's. Fails if anything does not hold. `DATASTORE` says where the objects are
//! kept: `local`, the default, or `etcd`, which the demo starts and stops itself.

use std::process::ExitCode;
use std::time::Instant;

use e2e::{Answer, Container, Etcd, Host, Options, Place, Screen, Stored, executables_folder};
use serde_json::Value;

/// Where the plugins keep their objects.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Datastore {
    Local,
    Etcd,
}

impl Datastore {
    fn chosen() -> Result<Datastore, String> {
        match std::env::var("DATASTORE").unwrap_or_default().as_str() {
            "" | "local" => Ok(Datastore::Local),
            "etcd" => Ok(Datastore::Etcd),
            other => Err(format!("DATASTORE={other} is unknown: there are local and etcd")),
        }
    }

    /// What is given to the executables on stdin: the file's name, for commands that are shown, and its text.
    fn netconf(self) -> (&'static str, &'static str) {
        match self {
            Datastore::Local => ("e2e/fixtures/demo.json", include_str!("../../fixtures/demo.json")),
            Datastore::Etcd => ("e2e/fixtures/demo-etcd.json", include_str!("../../fixtures/demo-etcd.json")),
        }
    }

    /// A call as a person would type it.
    fn command_line(self, verb: &str, id: &str, folder: &str) -> String {
        let (file, _) = self.netconf();
        format!(
            "CNI_COMMAND={verb} CNI_CONTAINERID={id} CNI_NETNS=/var/run/netns/{id} CNI_IFNAME=eth0 \\\n    \
            CNI_PATH={folder} bin/calico <{file}"
        )
    }
}

fn main() -> ExitCode {
    let mut screen = Screen::new();
    if !nix::unistd::Uid::effective().is_root() {
        eprintln!("run as root: the demo creates network namespaces");
        return ExitCode::FAILURE;
    }
    for name in ["calico", "calico-ipam"] {
        if !executables_folder().join(name).is_file() {
            eprintln!("bin/{name} is absent: run `make build` first");
            return ExitCode::FAILURE;
        }
    }
    let datastore = match Datastore::chosen() {
        Ok(datastore) => datastore,
        Err(reason) => {
            eprintln!("{reason}");
            return ExitCode::FAILURE;
        }
    };
    let started = Instant::now();
    show(&mut screen, datastore);
    let failed = screen.failed();
    screen.blank();
    if failed > 0 {
        screen.verdict(&format!("{failed} checks failed"), false);
        return ExitCode::FAILURE;
    }
    screen.verdict(&format!("everything holds ({:.1} s)", started.elapsed().as_secs_f32()), true);
    screen.blank();
    by_hand(&mut screen, datastore);
    ExitCode::SUCCESS
}

fn by_hand(screen: &mut Screen, datastore: Datastore) {
    screen.text("By hand, on a machine that may change, as root:");
    if datastore == Datastore::Etcd {
        let (file, _) = datastore.netconf();
        screen.text(&format!("(with your cluster's etcd, a node of it and a pool of it in {file})"));
    }
    screen.command("sysctl -w net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1");
    screen.command("ip netns add c1");
    screen.command(&datastore.command_line("ADD", "c1", "$PWD/bin"));
    screen.command("ip netns exec c1 ip address");
    screen.command(&datastore.command_line("DEL", "c1", "$PWD/bin"));
    screen.command("ip netns delete c1");
    if datastore == Datastore::Local {
        screen.text("The store is the SQLite file /var/lib/calico/calico.db; `local_store_file` names another.");
    }
}

/// Where the demo takes place.
struct Stage {
    datastore: Datastore,
    netconf: Value,
    host: Host,
    etcd: Option<Etcd>,
}

impl Stage {
    fn start(screen: &mut Screen, datastore: Datastore) -> Stage {
        let (file, text) = datastore.netconf();
        let netconf: Value = serde_json::from_str(text).expect("the demo's configuration is JSON");
        let mut etcd = None;
        if datastore == Datastore::Etcd {
            screen.title("An etcd of its own, with what a cluster's other components put there");
            let started = Etcd::start(Options::default());
            started.seed(&[netconf["nodename"].as_str().expect("the demo's configuration names the node")]);
            keys(screen, &started.stored());
            etcd = Some(started);
        }
        screen.title("A host of its own: network and mount namespace, uplink, empty /var/lib/calico");
        let host = etcd.as_ref().map_or_else(Host::start, Etcd::host);
        screen.text(&format!("The configuration, {file}:"));
        screen.dim(&indented(text));
        Stage { datastore, netconf, host, etcd }
    }

    fn stored(&self) -> Stored {
        self.etcd.as_ref().map_or_else(|| self.host.stored(), Etcd::stored)
    }

    fn audit(&self) -> Vec<String> {
        self.etcd.as_ref().map_or_else(|| self.host.audit(), Etcd::audit)
    }

    fn leftovers(&self) -> Vec<String> {
        self.etcd.as_ref().map_or_else(|| self.host.leftovers(), |etcd| etcd.leftovers(&[&self.host]))
    }
}

fn show(screen: &mut Screen, datastore: Datastore) {
    let stage = Stage::start(screen, datastore);
    let containers = [stage.host.container("web"), stage.host.container("db")];
    let mut addresses = Vec::new();
    for container in &containers {
        addresses.push(add(screen, &stage, container));
    }
    let [web, db] = &containers;

    screen.title("They reach each other");
    for (from, to, targets) in [(web, db, &addresses[1]), (db, web, &addresses[0])] {
        for address in targets {
            screen.command(&format!("ip netns exec {} ping -c 1 {address}", from.id()));
            screen.check(from.ping(address), &format!("{} answers {}", to.id(), from.id()));
        }
    }

    for container in &containers {
        del(screen, &stage, container);
    }
    nothing_left(screen, &stage);
}

fn add(screen: &mut Screen, stage: &Stage, container: &Container<'_>) -> Vec<String> {
    screen.title(&format!("ADD {}", container.id()));
    let before = stage.stored();
    screen.command(&stage.datastore.command_line("ADD", container.id(), "bin"));
    let answer = container.add(&stage.netconf).run();
    if !succeeded(screen, &answer) {
        return Vec::new();
    }
    screen.text(&compact(&answer.result()));
    screen.dim(&format!("  ({:.1?}, entering the namespaces included)", answer.wall));
    screen.text("Stored:");
    stored(screen, &before, &stage.stored());
    screen.text("Routes of the host:");
    for family in ["-4", "-6"] {
        let routes = stage.host.ip(&format!("{family} route show dev {}", container.host_end()));
        // Every interface with IPv6 has the route to its own link.
        for route in routes.lines().filter(|route| !route.starts_with("fe80::")) {
            screen.dim(&format!("  {} dev {}", route.trim_end(), container.host_end()));
        }
    }
    let addresses = answer.addresses();
    screen.check(addresses.len() == 2, "an address of each family");
    addresses
}

fn del(screen: &mut Screen, stage: &Stage, container: &Container<'_>) {
    screen.title(&format!("DEL {}", container.id()));
    screen.command(&stage.datastore.command_line("DEL", container.id(), "bin"));
    let answer = container.del(&stage.netconf).run();
    if succeeded(screen, &answer) {
        screen.dim(&format!("  ({:.1?}, entering the namespaces included)", answer.wall));
    }
}

fn nothing_left(screen: &mut Screen, stage: &Stage) {
    screen.title("Nothing is left");
    let stored = stage.stored();
    screen.check(stored.allocated() == 0, "no address is allocated");
    screen.check(stored.handles().is_empty(), "no handle");
    screen.check(stored.endpoints().is_empty(), "no endpoint");
    screen.check(stage.host.added_links().is_empty(), "no interface on the host");
    let findings = stage.audit();
    screen.check(findings.is_empty(), "the audit of all stored objects finds nothing");
    for finding in findings.iter().chain(&stage.leftovers()) {
        screen.text(finding);
    }
    screen.blank();
    screen.text("What stays, on purpose: the host's empty blocks and its claims to them (the next container starts");
    screen.text("there), the node, the pools, the cluster's state, and the network's profile:");
    keys(screen, &stored);
}

fn keys(screen: &mut Screen, stored: &Stored) {
    for path in stored.0.keys() {
        screen.dim(&format!("  {path}"));
    }
}

fn succeeded(screen: &mut Screen, answer: &Answer) -> bool {
    let success = answer.exit == Some(0);
    if !success {
        screen.check(false, &format!("exit status {:?}: {}{}", answer.exit, answer.stdout, answer.stderr));
    }
    success
}

/// The objects about containers that a call stored or changed.
fn stored(screen: &mut Screen, before: &Stored, after: &Stored) {
    for (path, object) in &after.0 {
        let about_containers = path.contains("/ipam/") || path.contains("/workloadendpoints/");
        if about_containers && before.0.get(path) != Some(object) {
            screen.path(path);
            screen.dim(&format!("    {}", abbreviated(object)));
        }
    }
}

/// Compact JSON with long lists cut short.
fn abbreviated(value: &Value) -> Value {
    match value {
        Value::Array(list) if list.len() > 8 => {
            let mut short: Vec<Value> = list.iter().take(3).cloned().collect();
            short.push(format!("… {} in all", list.len()).into());
            short.into()
        }
        Value::Array(list) => list.iter().map(abbreviated).collect(),
        Value::Object(map) => map.iter().map(|(key, value)| (key.clone(), abbreviated(value))).collect(),
        other => other.clone(),
    }
}

/// A result with one line a key.
fn compact(result: &Value) -> String {
    let fields = result.as_object().into_iter().flatten();
    fields.map(|(key, value)| format!("  {key}: {value}")).collect::<Vec<_>>().join("\n")
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}
