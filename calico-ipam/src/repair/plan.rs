//! What can be repaired of what was found.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::time::SystemTime;

use calico_datastore::{Revision, Stored};
use calico_model::{Block, Key};
use ipnetwork::IpNetwork;

use super::living::Living;
use super::proof::Proof;
use super::{Action, Left, Plan, Repair};
use crate::audit::{Finding, Snapshot};
use crate::block::Cooldown;

/// What repairs are planned from.
pub(super) struct Planner<'a> {
    pub snapshot: &'a Snapshot,
    pub living: Living<'a>,
    pub proof: Proof<'a>,
    pub cooldown: Cooldown,
    pub blocks: HashMap<IpNetwork, &'a Stored<Block>>,
    pub repairs: Vec<Repair>,
    /// What is to be released, by block.
    pub released: HashMap<IpNetwork, Vec<IpAddr>>,
    /// What is to be freed that nobody has, by block.
    pub freed: HashMap<IpNetwork, Vec<IpAddr>>,
    /// What became of findings so far: nothing, where a repair is about them; otherwise why none is.
    pub decided: BTreeMap<Finding, Option<String>>,
}

/// Plans the repairs of everything that was found in `snapshot`, at the time `now`.
pub fn plan(snapshot: &Snapshot, findings: &[Finding], now: SystemTime) -> Plan {
    let mut planner = Planner {
        snapshot,
        living: Living::of(snapshot, now),
        proof: Proof::of(snapshot),
        cooldown: Cooldown { rest: snapshot.config.cooldown(), now },
        blocks: snapshot.blocks.iter().map(|stored| (stored.value.cidr, stored)).collect(),
        repairs: Vec::new(),
        released: HashMap::new(),
        freed: HashMap::new(),
        decided: BTreeMap::new(),
    };
    // In the order in which one makes room for the next: addresses, blocks, claims.
    planner.plan_handles(findings);
    planner.plan_blocks(findings);
    planner.plan_affinities(findings);
    let Planner { repairs, mut decided, .. } = planner;
    let distinct: BTreeSet<&Finding> = findings.iter().collect();
    let left = distinct.into_iter().filter_map(|finding| {
        let why = match decided.remove(finding) {
            Some(decided) => decided?,
            None => finding.advice().to_owned(),
        };
        Some(Left { finding: finding.clone(), why })
    });
    Plan { left: left.collect(), repairs }
}

impl Planner<'_> {
    pub fn repair(
        &mut self,
        findings: Vec<Finding>,
        text: String,
        action: Action,
        seen: BTreeMap<Key, Option<Revision>>,
    ) {
        self.decided.extend(findings.iter().map(|finding| (finding.clone(), None)));
        self.repairs.push(Repair { findings, text, action, seen });
    }

    pub fn leave(&mut self, finding: &Finding, why: String) {
        self.decided.insert(finding.clone(), Some(why));
    }

    /// A block's key, with the version that was read.
    pub fn seen(&self, block: IpNetwork) -> (Key, Option<Revision>) {
        (Key::Block(block), self.blocks.get(&block).map(|stored| stored.revision))
    }

    /// Whether a block is there and cannot be read.
    pub fn is_unreadable(&self, block: IpNetwork) -> bool {
        self.snapshot.is_unreadable(&Key::Block(block))
    }
}
