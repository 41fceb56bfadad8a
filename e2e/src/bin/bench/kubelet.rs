//! What the plugin costs a real kubelet: pods at once, and as many on the host's network, in turns.

use std::time::Duration;

use e2e::{ContainerdRelease, Installed, Place, until};

use crate::progress;
use crate::settings::{AT_ONCE, Folder, Settings};

/// How many rounds.
const ROUNDS: usize = 7;

/// With fewer calls than this, somebody only wants to see that it works: one round with few pods.
const SERIOUS: usize = 10;
const FEW: usize = 5;

/// The rounds of a folder's plugins.
pub struct Measured {
    /// The folder's name.
    pub folder: String,
    /// How long it took until all pods ran: on the host's network, and on the plugin's.
    pub rounds: Vec<[Duration; 2]>,
}

/// Measures all folders.
pub fn measure(settings: &Settings) -> Result<Vec<Measured>, String> {
    progress("kubelet: starting");
    let cluster = Installed::alone(ContainerdRelease::V2_4);
    // It would put its own executables back. What it has installed stays.
    cluster.plane.kubectl(&["-n", "kube-system", "delete", "daemonset", "calico-install"]);
    until("it is gone", || cluster.pods("k8s-app=calico-install").is_empty());
    let mut measured: Vec<Measured> =
        settings.folders.iter().map(|folder| Measured { folder: folder.name.clone(), rounds: Vec::new() }).collect();
    let (rounds, pods) = if settings.count < SERIOUS { (1, FEW) } else { (ROUNDS, AT_ONCE) };
    // The first round is not measured: it makes the node's block, and reads the executables from the disk.
    for round in 0..=rounds {
        progress(&format!("kubelet: {pods} pods at once, round {round} of {rounds}"));
        for (folder, measured) in settings.folders.iter().zip(&mut measured) {
            install(&cluster, folder);
            let times = [true, false].map(|host_network| cluster.worker.burst(&cluster.plane, pods, host_network));
            measured.rounds.extend((round > 0).then_some(times));
        }
    }
    cluster.assert_no_pod_is_networked();
    Ok(measured)
}

fn install(cluster: &Installed, folder: &Folder) {
    for name in folder.executables().iter().filter(|name| **name != "calicoctl") {
        let (from, to) = (folder.path.join(name), format!("/opt/cni/bin/{name}"));
        let copy = "cp \"$1\" \"$2.new\" && mv \"$2.new\" \"$2\"";
        cluster.worker.host().run("sh", &["-c", copy, "sh", from.to_str().expect("a path is text"), &to]);
    }
}
