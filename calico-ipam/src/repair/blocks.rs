//! Blocks with attributes that no address has, and addresses that are neither free nor anybody's.

use std::collections::BTreeMap;
use std::net::IpAddr;

use calico_model::{Attribute, Inconsistency};
use ipnetwork::IpNetwork;

use super::handles::contradictions;
use super::plan::Planner;
use super::{Action, list};
use crate::audit::Finding;

impl Planner<'_> {
    pub fn plan_blocks(&mut self, findings: &[Finding]) {
        let mut found: BTreeMap<IpNetwork, Vec<&Finding>> = BTreeMap::new();
        for finding in findings {
            if let Finding::UnusedAttribute { block, .. } | Finding::InconsistentBlock { block, .. } = finding {
                found.entry(*block).or_default().push(finding);
            }
        }
        for (cidr, found) in found {
            let Some(stored) = self.blocks.get(&cidr).copied() else { continue };
            if !contradictions(&stored.value).is_empty() {
                // What is the matter has its own advice.
                let mendable = |finding: &&Finding| match finding {
                    Finding::InconsistentBlock { inconsistency, .. } => is_mendable(*inconsistency),
                    _ => true,
                };
                for finding in found.into_iter().filter(mendable) {
                    self.leave(finding, "The block contradicts itself in other ways, too: repair that first.".into());
                }
                continue;
            }
            let (mut mended, mut free): (Vec<Finding>, Vec<IpAddr>) = Default::default();
            for finding in found {
                if let Finding::InconsistentBlock {
                    inconsistency: Inconsistency::Lost { ordinal } | Inconsistency::NoAttribute { ordinal },
                    ..
                } = finding
                {
                    let Some(address) = stored.value.address(*ordinal) else { continue };
                    if let Some(why) = self.living.objection(address, &Attribute::default()) {
                        self.leave(finding, why);
                        continue;
                    }
                    free.push(address);
                }
                mended.push(finding.clone());
            }
            if !mended.is_empty() {
                let frees = if free.is_empty() { String::new() } else { format!("free {}, and ", list(&free)) };
                let text = format!("{frees}rewrite block {cidr} without attributes that no address has");
                let seen = [self.seen(cidr)].into();
                self.freed.insert(cidr, free.clone());
                self.repair(mended, text, Action::Mend { block: cidr, free }, seen);
            }
        }
    }
}

fn is_mendable(inconsistency: Inconsistency) -> bool {
    matches!(inconsistency, Inconsistency::Lost { .. } | Inconsistency::NoAttribute { .. })
}
