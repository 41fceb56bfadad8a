//! Calls that find a pool crowded, beside the same calls where it is not: whatever else a cluster has should not matter to them.

use e2e::Ran;

use crate::progress;
use crate::settings::{Folder, Settings};
use crate::stage::Stage;

/// The most calls of each kind: every one of a new host leaves a block behind.
const MOST: usize = 20;

/// What the pool is like that a call finds, and what becomes of the call.
struct Scene {
    label: &'static str,
    pool: &'static str,
    /// How many other hosts have a block of 64 addresses.
    hosts: usize,
    /// How many addresses of each are in use.
    used: usize,
    /// Whether the call gets an address.
    gives: bool,
}

/// Pairs: not crowded, crowded.
const SCENES: [[Scene; 2]; 2] = [
    [
        Scene { label: "first ADD on a host", pool: "10.64.0.0/12", hosts: 0, used: 0, gives: true },
        Scene { label: "beside 10000 blocks", pool: "10.64.0.0/12", hosts: 10_000, used: 1, gives: true },
    ],
    [
        Scene { label: "ADD refused, 1 full block", pool: "10.64.0.0/26", hosts: 1, used: 64, gives: false },
        Scene { label: "1024 full blocks", pool: "10.64.0.0/16", hosts: 1024, used: 64, gives: false },
    ],
];

/// A pair of rows for every folder: what the calls cost where the pool is not crowded, and where it is.
pub struct Pair {
    pub labels: [&'static str; 2],
    /// By the folders' names, in their order.
    pub runs: Vec<(String, [Vec<Ran>; 2])>,
}

/// Measures all scenes, on etcd.
pub fn measure(settings: &Settings, folders: &[&Folder]) -> Result<Vec<Pair>, String> {
    SCENES.iter().map(|pair| measure_pair(settings, folders, pair)).collect()
}

fn measure_pair(settings: &Settings, folders: &[&Folder], pair: &[Scene; 2]) -> Result<Pair, String> {
    let mut runs: Vec<(String, [Vec<Ran>; 2])> =
        folders.iter().map(|folder| (folder.name.clone(), Default::default())).collect();
    // Both are there at once and take turns, so that a change of the machine's mood meets both.
    progress(&format!("etcd: {}, {}", pair[0].label, pair[1].label));
    let mut stages = Vec::new();
    for scene in pair {
        stages.push(Stage::crowded(settings, scene.pool, scene.hosts, scene.used)?);
    }
    // The first is not measured.
    for number in 0..=settings.count.min(MOST) {
        for (folder, (_, rows)) in folders.iter().zip(&mut runs) {
            for ((scene, stage), row) in pair.iter().zip(&mut stages).zip(rows) {
                let ran = call(scene, stage, folder, number)?;
                row.extend((number > 0).then_some(ran));
            }
        }
    }
    Ok(Pair { labels: [pair[0].label, pair[1].label], runs })
}

fn call(scene: &Scene, stage: &mut Stage, folder: &Folder, number: usize) -> Result<Ran, String> {
    stage.become_host(&format!("new-{}-{number}", folder.installed()));
    if !scene.gives {
        return stage.refused(folder);
    }
    let mut ran = stage.call(folder, "ADD", 1)?;
    stage.call(folder, "DEL", 1)?;
    Ok(ran.remove(0))
}
