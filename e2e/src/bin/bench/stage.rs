//! Where plugins are measured: a host with containers to connect, and the datastore.

use e2e::{Host, Ran, Run, Runner, dual_stack};
use serde_json::{Value, json};

use crate::server::Server;
use crate::settings::{AT_ONCE, Datastore, Folder, Settings};
use crate::sibling;

/// A host, its containers, and the datastore, which all folders share.
pub struct Stage {
    // Before the host, which waits for what runs on it.
    runner: Runner,
    netconf: Value,
    host: Host,
    server: Server,
}

/// A call that did not succeed.
pub struct Failure {
    /// What the plugin answered.
    stdout: String,
    /// What went wrong with which call.
    pub text: String,
}

impl From<Failure> for String {
    fn from(failure: Failure) -> String {
        failure.text
    }
}

impl Failure {
    fn of(folder: &Folder, verb: &str, ran: &Ran) -> Failure {
        let how = ran.exit.map_or("was ended by a signal".to_owned(), |status| format!("ended with status {status}"));
        let text = format!("{}/calico: {verb} {how}:\n{}{}", folder.name, ran.stdout, ran.stderr);
        Failure { stdout: ran.stdout.clone(), text }
    }

    /// The plugin's message, if it says that it has no datastore of this type.
    pub fn unknown_datastore(&self) -> Option<String> {
        let object: Value = serde_json::from_str(&self.stdout).ok()?;
        let message = object["msg"].as_str()?;
        message.contains("unknown datastore type").then(|| message.to_owned())
    }
}

impl Stage {
    pub fn start(datastore: Datastore, settings: &Settings) -> Result<Stage, String> {
        Stage::on(Server::start(datastore, ids(AT_ONCE)), settings)
    }

    /// A stage on etcd whose only pool has the blocks of so many other hosts, with so many addresses in use in each.
    pub fn crowded(settings: &Settings, pool: &str, hosts: usize, used: usize) -> Result<Stage, String> {
        let mut stage = Stage::on(Server::crowded(pool, hosts, used), settings)?;
        stage.netconf["ipam"] = json!({"type": "calico-ipam"});
        Ok(stage)
    }

    fn on(server: Server, settings: &Settings) -> Result<Stage, String> {
        let mut netconf = server.configured(dual_stack());
        netconf["log_level"] = json!("error");
        // With a server, nodes have a file with their name, unless this says otherwise.
        netconf["nodename_file_optional"] = json!(true);
        netconf["ipam"]["assign_ipv6"] = json!("false");
        let host = server.host();
        for id in ids(AT_ONCE) {
            host.container(&id);
        }
        for folder in &settings.folders {
            install(folder, &host).map_err(|e| format!("{} cannot be copied: {e}", folder.name))?;
        }
        // What is left behind is reported, whoever's plugins they are.
        host.end_unaudited();
        let runner = Runner::start(&host, &sibling("runner"));
        Ok(Stage { runner, netconf, host, server })
    }

    /// From now on, calls are those of another host of an etcd's.
    pub fn become_host(&mut self, node: &str) {
        self.server.become_node(&mut self.netconf, node);
    }

    /// One ADD that gets no address since there is none.
    pub fn refused(&mut self, folder: &Folder) -> Result<Ran, String> {
        let ran = self.runner.run(&runs(&self.server, folder, "ADD", 1, &self.netconf)).remove(0);
        match ran.stdout.contains("Assigned 0 out of 1 requested IPv4 addresses") {
            true => Ok(ran),
            false => Err(Failure::of(folder, "ADD in a full pool", &ran).text),
        }
    }

    /// One call for each of some containers, all at once.
    pub fn call(&mut self, folder: &Folder, verb: &str, containers: usize) -> Result<Vec<Ran>, Failure> {
        let all = self.runner.run(&runs(&self.server, folder, verb, containers, &self.netconf));
        succeeded(folder, verb, all)
    }

    /// How many requests the server gets by one call; nothing to count without one.
    pub fn requests(&mut self, folder: &Folder, verb: &str) -> Result<Option<usize>, Failure> {
        let call = |netconf: &Value| self.runner.run(&runs(&self.server, folder, verb, 1, netconf));
        let (all, count) = self.server.counted(&self.netconf, call);
        succeeded(folder, verb, all).map(|_| count)
    }

    /// What should be gone when all containers are disconnected.
    pub fn leftovers(&self) -> Vec<String> {
        self.server.leftovers(&self.host)
    }
}

/// One call for each of some containers, still to be made.
fn runs(server: &Server, folder: &Folder, verb: &str, containers: usize, netconf: &Value) -> Vec<Run> {
    let installed = format!("/var/lib/calico/{}", folder.installed());
    let run = |id: String| {
        let arguments = server.arguments(&id).map(|arguments| ("CNI_ARGS", arguments));
        let environment = [
            ("CNI_COMMAND", verb.to_owned()),
            ("CNI_PATH", installed.clone()),
            ("CNI_IFNAME", "eth0".to_owned()),
            ("CNI_NETNS", format!("/var/run/netns/{id}")),
            ("CNI_CONTAINERID", id),
        ];
        let environment = environment.into_iter().chain(arguments);
        Run {
            program: format!("{installed}/calico").into(),
            arguments: Vec::new(),
            environment: environment.map(|(name, value)| (name.to_owned(), value)).collect(),
            stdin: netconf.to_string(),
        }
    };
    ids(containers).map(run).collect()
}

fn succeeded(folder: &Folder, verb: &str, all: Vec<Ran>) -> Result<Vec<Ran>, Failure> {
    match all.iter().find(|ran| ran.exit != Some(0)) {
        Some(failed) => Err(Failure::of(folder, verb, failed)),
        None => Ok(all),
    }
}

/// Copies the executables to where the host sees them: the machine's `/opt/cni` it does not.
fn install(folder: &Folder, host: &Host) -> std::io::Result<()> {
    let own = host.folder().join(folder.installed());
    std::fs::create_dir(&own)?;
    folder
        .executables()
        .into_iter()
        .try_for_each(|name| std::fs::copy(folder.path.join(name), own.join(name)).map(drop))
}

fn ids(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|number| format!("c{number}"))
}
