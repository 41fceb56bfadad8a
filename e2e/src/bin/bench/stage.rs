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
        let all = self.runner.run(&ids(containers).map(run).collect::<Vec<_>>());
        let Some(failed) = all.iter().find(|ran| ran.exit != Some(0)) else { return Ok(all) };
        let how =
            failed.exit.map_or("was ended by a signal".to_owned(), |status| format!("ended with status {status}"));
        let text = format!("{}/calico: {verb} {how}:\n{}{}", folder.name, failed.stdout, failed.stderr);
        Err(Failure { stdout: failed.stdout.clone(), text })
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
