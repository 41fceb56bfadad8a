//! Where plugins are measured: a host with containers to connect, and the datastore.

use std::collections::BTreeMap;
use std::path::PathBuf;

use e2e::{Etcd, Faults, Host, Options, Ran, Run, Runner, dual_stack};
use serde_json::{Value, json};

use crate::settings::{AT_ONCE, Datastore, Folder, Settings};

/// A host, its containers, and the datastore, which all folders share.
pub struct Stage {
    // Before the host, which waits for what runs on it.
    runner: Runner,
    netconf: Value,
    host: Host,
    etcd: Option<Etcd>,
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
        let mut netconf = dual_stack();
        netconf["log_level"] = json!("error");
        // With etcd, nodes have a file with their name, unless this says otherwise.
        netconf["nodename_file_optional"] = json!(true);
        netconf["ipam"]["assign_ipv6"] = json!("false");
        let etcd = (datastore == Datastore::Etcd).then(|| Etcd::start(Options::default()));
        let host = match &etcd {
            None => Host::start(),
            Some(etcd) => {
                netconf = etcd.configured(netconf);
                etcd.seed(&["node-1"]);
                etcd.host()
            }
        };
        for id in ids(AT_ONCE) {
            host.container(&id);
        }
        for folder in &settings.folders {
            install(folder, &host).map_err(|e| format!("{} cannot be copied: {e}", folder.name))?;
        }
        // What is left behind is reported, whoever's plugins they are.
        host.end_unaudited();
        etcd.iter().for_each(Etcd::end_unaudited);
        let runner = Runner::start(&host, &sibling("runner"));
        Ok(Stage { runner, netconf, host, etcd })
    }

    /// A stage on etcd whose only pool has the blocks of so many other hosts, with so many addresses in use in each.
    pub fn crowded(settings: &Settings, pool: &str, hosts: usize, used: usize) -> Result<Stage, String> {
        let mut stage = Stage::start(Datastore::Etcd, settings)?;
        stage.netconf["ipam"] = json!({"type": "calico-ipam"});
        let etcd = stage.etcd.as_ref().expect("it was started on etcd");
        etcd.put_pool("pool4", pool, 26);
        etcd.crowd(&sibling("crowd"), pool, 26, hosts, used);
        Ok(stage)
    }

    /// From now on, calls are those of another host of an etcd's.
    pub fn become_host(&mut self, node: &str) {
        if let Some(etcd) = &self.etcd {
            etcd.put_resource("Node", "nodes", node, json!({}));
        }
        self.netconf["nodename"] = json!(node);
    }

    /// One ADD that gets no address since there is none.
    pub fn refused(&mut self, folder: &Folder) -> Result<Ran, String> {
        let ran = self.start_all(folder, "ADD", 1, &self.netconf.clone()).remove(0);
        match ran.stdout.contains("Assigned 0 out of 1 requested IPv4 addresses") {
            true => Ok(ran),
            false => Err(Failure::of(folder, "ADD in a full pool", &ran).text),
        }
    }

    /// One call for each of some containers, all at once.
    pub fn call(&mut self, folder: &Folder, verb: &str, containers: usize) -> Result<Vec<Ran>, Failure> {
        let netconf = self.netconf.clone();
        self.run(folder, verb, containers, &netconf)
    }

    /// How many requests etcd gets by one call; nothing to count with the embedded store.
    pub fn requests(&mut self, folder: &Folder, verb: &str) -> Result<Option<usize>, Failure> {
        // It is taken out for as long as the proxy borrows it.
        let Some(etcd) = self.etcd.take() else { return Ok(None) };
        let proxy = etcd.proxy(&sibling("proxy"), 0, Faults::default());
        let mut netconf = self.netconf.clone();
        netconf["etcd_endpoints"] = json!(proxy.endpoint());
        let outcome = self.run(folder, verb, 1, &netconf);
        let count = proxy.requests().iter().sum();
        drop(proxy);
        self.etcd = Some(etcd);
        outcome.map(|_| Some(count))
    }

    /// What should be gone when all containers are disconnected.
    pub fn leftovers(&self) -> Vec<String> {
        match &self.etcd {
            None => self.host.leftovers(),
            Some(etcd) => etcd.leftovers(&[&self.host]),
        }
    }

    fn run(&mut self, folder: &Folder, verb: &str, containers: usize, netconf: &Value) -> Result<Vec<Ran>, Failure> {
        let all = self.start_all(folder, verb, containers, netconf);
        match all.iter().find(|ran| ran.exit != Some(0)) {
            Some(failed) => Err(Failure::of(folder, verb, failed)),
            None => Ok(all),
        }
    }

    fn start_all(&mut self, folder: &Folder, verb: &str, containers: usize, netconf: &Value) -> Vec<Ran> {
        let installed = format!("/var/lib/calico/{}", folder.installed());
        let run = |id: String| {
            let environment = [
                ("CNI_COMMAND", verb.to_owned()),
                ("CNI_PATH", installed.clone()),
                ("CNI_IFNAME", "eth0".to_owned()),
                ("CNI_NETNS", format!("/var/run/netns/{id}")),
                ("CNI_CONTAINERID", id),
            ];
            Run {
                program: format!("{installed}/calico").into(),
                environment: BTreeMap::from(environment.map(|(name, value)| (name.to_owned(), value))),
                stdin: netconf.to_string(),
            }
        };
        self.runner.run(&ids(containers).map(run).collect::<Vec<_>>())
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

/// Another of this crate's executables.
fn sibling(name: &str) -> PathBuf {
    std::env::current_exe().expect("a running program has a path").with_file_name(name)
}
