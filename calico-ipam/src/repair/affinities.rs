//! Claims to blocks that are others', and what a node that is gone has left.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use calico_datastore::Stored;
use calico_model::{Affinity, AffinityState, Block, Key, Owner};
use ipnetwork::IpNetwork;

use super::Action;
use super::plan::Planner;
use crate::audit::Finding;
use crate::block;

/// What to do about a claim.
enum Decision {
    /// Delete the affinity. `gone`: because its node does not exist.
    Drop { gone: bool },
    /// Delete the block and the affinity.
    GiveUp,
    /// Nothing, for this reason, or for that of each finding's own advice.
    Leave(Option<String>),
}

impl Planner<'_> {
    pub fn plan_affinities(&mut self, findings: &[Finding]) {
        let mut found: BTreeMap<(Owner, IpNetwork), Vec<&Finding>> = BTreeMap::new();
        for finding in findings {
            let (owner, block) = match finding {
                Finding::AffinityWithoutBlock { owner, block }
                | Finding::AffinityToForeignBlock { owner, block, .. }
                | Finding::UnfinishedAffinity { owner, block, .. } => (owner.clone(), *block),
                Finding::AffinityOfUnknownNode { node, block } | Finding::BlockOfUnknownNode { node, block } => {
                    (Owner::Host(node.clone()), *block)
                }
                _ => continue,
            };
            found.entry((owner, block)).or_default().push(finding);
        }
        // Whose claims to a block go, and by which repair the last of them.
        let mut dropped: BTreeMap<IpNetwork, (BTreeSet<Owner>, usize)> = BTreeMap::new();
        for ((owner, cidr), found) in found {
            let affinity = self.affinity(&owner, cidr);
            let decision = self.decide(&owner, cidr, affinity);
            let (text, action) = match decision {
                Decision::Leave(why) => {
                    for finding in found {
                        self.leave(finding, why.clone().unwrap_or_else(|| finding.advice().to_owned()));
                    }
                    continue;
                }
                Decision::Drop { gone } => (
                    format!("delete the affinity of {owner} to block {cidr}"),
                    Action::DropAffinity { owner: owner.clone(), block: cidr, gone },
                ),
                Decision::GiveUp => {
                    let and = affinity.map(|_| format!(", and the affinity of {owner} to it")).unwrap_or_default();
                    let text = format!("delete block {cidr}, in which nothing is in use then{and}");
                    (text, Action::GiveUp { owner: owner.clone(), block: cidr })
                }
            };
            let key = Key::Affinity { owner: owner.clone(), block: cidr };
            let seen = [self.seen(cidr), (key, affinity.map(|stored| stored.revision))].into();
            let of_block = dropped.entry(cidr).or_default();
            of_block.0.insert(owner);
            of_block.1 = self.repairs.len();
            self.repair(found.into_iter().cloned().collect(), text, action, seen);
        }
        for finding in findings {
            if let Finding::DoubledAffinity { block, owners } = finding
                && let Some((dropped, last)) = dropped.get(block)
                && owners.iter().filter(|owner| !dropped.contains(owner)).count() <= 1
            {
                self.repairs[*last].findings.push(finding.clone());
                self.decided.insert(finding.clone(), None);
            }
        }
    }

    fn affinity(&self, owner: &Owner, block: IpNetwork) -> Option<&Stored<Affinity>> {
        let claims = self.snapshot.affinities.get(&block)?;
        claims.iter().find(|(of, _)| of == owner).map(|(_, stored)| stored)
    }

    fn decide(&self, owner: &Owner, cidr: IpNetwork, affinity: Option<&Stored<Affinity>>) -> Decision {
        if self.is_unreadable(cidr) {
            return Decision::Leave(Some("The block cannot be read: correct it first.".to_owned()));
        }
        if self.snapshot.is_unreadable(&Key::Affinity { owner: owner.clone(), block: cidr }) {
            return Decision::Leave(Some("The affinity cannot be read: correct it first.".to_owned()));
        }
        let is_gone = matches!(owner, Owner::Host(node) if self.living.node_objection(node).is_none());
        let is_confirmed = affinity.is_some_and(|stored| stored.value.state == AffinityState::Confirmed);
        match self.blocks.get(&cidr) {
            Some(stored) if stored.value.is_owned_by(owner) => match is_gone {
                false => Decision::Leave(None),
                true if self.would_be_empty(&stored.value) => Decision::GiveUp,
                true => {
                    let why = "Addresses in the block are in use, may be, or rest for a while after their release.";
                    Decision::Leave(Some(why.to_owned()))
                }
            },
            Some(stored) if stored.value.affinity.as_deref().is_some_and(|named| Owner::parse(named).is_none()) => {
                Decision::Leave(Some("Nobody can tell whose the block is: correct its affinity first.".to_owned()))
            }
            _ if is_confirmed => Decision::Drop { gone: false },
            _ if is_gone => Decision::Drop { gone: true },
            _ => Decision::Leave(None),
        }
    }

    /// Whether nothing is in use in a block once what is planned is done.
    fn would_be_empty(&self, stored: &Block) -> bool {
        let mut after = stored.clone();
        let ordinals = |addresses: Option<&Vec<IpAddr>>| -> Vec<usize> {
            addresses.into_iter().flatten().filter_map(|&address| stored.ordinal(address)).collect()
        };
        let released = ordinals(self.released.get(&stored.cidr));
        if !released.is_empty() {
            block::release(&mut after, &released, self.cooldown);
        }
        block::mend(&mut after, &ordinals(self.freed.get(&stored.cidr)));
        block::is_unused(&after, self.cooldown)
    }
}
