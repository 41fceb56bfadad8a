//! What `calicoctl` costs on a whole cluster: ten thousand blocks with ten addresses in use in each, and for each of these a handle
//! and an endpoint, in etcd.

use std::collections::BTreeMap;

use e2e::{Etcd, Options, Ran, Run, Runner};
use serde_json::json;

use crate::settings::{Folder, Settings};
use crate::{progress, sibling};

/// How many hosts with a block each, and how many addresses of each are in use.
const HOSTS: usize = 10_000;
const ADDRESSES: usize = 10;

/// With fewer calls than this, somebody only wants to see that it works: on a tenth of the cluster.
const SERIOUS: usize = 10;

/// The most calls of each kind.
const MOST: usize = 10;

/// The commands.
const COMMANDS: [&str; 3] = ["ipam show", "ipam show --show-blocks", "ipam check"];

/// What the commands of a folder's tool cost.
pub struct Measured {
    /// The folder's name.
    pub folder: String,
    /// By the commands, in their order.
    pub rows: Vec<(&'static str, Vec<Ran>)>,
}

/// Measures the tools of all folders that have one.
pub fn measure(settings: &Settings) -> Result<Vec<Measured>, String> {
    let hosts = if settings.count < SERIOUS { HOSTS / 10 } else { HOSTS };
    progress(&format!("etcd: calicoctl beside {hosts} blocks with {} addresses", hosts * ADDRESSES));
    let etcd = Etcd::start(Options::default());
    etcd.end_unaudited();
    etcd.put_resource("ClusterInformation", "clusterinformations", "default", json!({"datastoreReady": true}));
    etcd.put_pool("pool4", "10.64.0.0/12", 26);
    etcd.crowd(&sibling("crowd"), "10.64.0.0/12", 26, hosts, ADDRESSES, true);
    let host = etcd.host();
    let mut runner = Runner::start(&host, &sibling("runner"));
    let folders = settings.folders.iter().filter(|folder| folder.path.join("calicoctl").is_file());
    folders.map(|folder| measure_folder(settings, &etcd, &mut runner, folder)).collect()
}

fn measure_folder(settings: &Settings, etcd: &Etcd, runner: &mut Runner, folder: &Folder) -> Result<Measured, String> {
    let mut rows: Vec<(&'static str, Vec<Ran>)> = COMMANDS.iter().map(|&command| (command, Vec::new())).collect();
    // The first of each is not measured.
    for number in 0..=settings.count.min(MOST) {
        for (command, runs) in &mut rows {
            let run = Run {
                program: folder.path.join("calicoctl"),
                arguments: command.split_whitespace().map(str::to_owned).collect(),
                environment: BTreeMap::from([("ETCD_ENDPOINTS".to_owned(), etcd.endpoint(0))]),
                stdin: String::new(),
            };
            let ran = runner.run(&[run]).remove(0);
            if ran.exit != Some(0) {
                return Err(format!("{}/calicoctl {command}: {}{}", folder.name, ran.stdout, ran.stderr));
            }
            if *command == "ipam check" && !ran.stdout.contains("found 0 problems") {
                return Err(format!("{}/calicoctl {command} finds fault: {}", folder.name, ran.stdout));
            }
            runs.extend((number > 0).then_some(ran));
        }
    }
    Ok(Measured { folder: folder.name.clone(), rows })
}
