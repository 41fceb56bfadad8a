//! What an audit looks for between blocks and those who claim them.

use std::collections::HashMap;

use calico_datastore::Stored;
use calico_model::{AffinityState, Block, Key, Owner};
use ipnetwork::IpNetwork;

use super::{Finding, Snapshot};

impl Snapshot {
    pub(super) fn check_affinities(&self, findings: &mut Vec<Finding>) {
        let blocks: HashMap<IpNetwork, &Block> =
            self.blocks.iter().map(|stored| (stored.value.cidr, &stored.value)).collect();
        for (&block, claims) in &self.affinities {
            for (owner, claim) in claims {
                let state = &claim.value.state;
                if let Some(node) = self.absent_node(owner) {
                    findings.push(Finding::AffinityOfUnknownNode { node, block });
                }
                let owner = owner.clone();
                match (state, blocks.get(&block)) {
                    (AffinityState::Confirmed, None) if self.is_unreadable(&Key::Block(block)) => {}
                    (AffinityState::Confirmed, None) => findings.push(Finding::AffinityWithoutBlock { owner, block }),
                    (AffinityState::Confirmed, Some(stored)) if stored.is_owned_by(&owner) => {}
                    (AffinityState::Confirmed, Some(stored)) => {
                        let named = stored.affinity.clone();
                        findings.push(Finding::AffinityToForeignBlock { owner, block, named });
                    }
                    (state, _) => {
                        findings.push(Finding::UnfinishedAffinity { owner, block, state: state.clone() });
                    }
                }
            }
            let confirmed = claims.iter().filter(|(_, claim)| claim.value.state == AffinityState::Confirmed);
            let mut owners: Vec<Owner> = confirmed.map(|(owner, _)| owner.clone()).collect();
            if owners.len() > 1 {
                owners.sort();
                findings.push(Finding::DoubledAffinity { block, owners });
            }
        }
        for Stored { value: block, .. } in &self.blocks {
            let Some(affinity) = &block.affinity else { continue };
            findings.extend(self.owner_trouble(block.cidr, affinity));
        }
    }

    /// What is wrong with the owner that a block names.
    fn owner_trouble(&self, block: IpNetwork, affinity: &str) -> Option<Finding> {
        let Some(owner) = Owner::parse(affinity) else {
            return Some(Finding::UnreadableOwner { block, affinity: affinity.to_owned() });
        };
        if let Some(node) = self.absent_node(&owner) {
            return Some(Finding::BlockOfUnknownNode { block, node });
        }
        let claimed = self.affinities.get(&block).is_some_and(|claims| claims.iter().any(|(of, _)| *of == owner));
        let claimed = claimed || self.is_unreadable(&Key::Affinity { owner: owner.clone(), block });
        (!claimed).then_some(Finding::MissingAffinity { block, owner })
    }

    fn absent_node(&self, owner: &Owner) -> Option<String> {
        match owner {
            Owner::Host(node) if !self.node_exists(node) => Some(node.clone()),
            _ => None,
        }
    }
}
