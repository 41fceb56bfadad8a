//! What an audit looks for in blocks by themselves.

use std::time::SystemTime;

use calico_datastore::Stored;
use calico_model::{Block, Key, Kind, timestamp};

use super::pools::PoolIndex;
use super::{Finding, Snapshot, overlapping};

impl Snapshot {
    pub(super) fn check_blocks(&self, now: SystemTime, findings: &mut Vec<Finding>) {
        let pools = PoolIndex::new(&self.pools);
        let all_pools_are_known = !self.has_unreadable(Kind::IpPool);
        for Stored { value: block, .. } in &self.blocks {
            let inconsistencies = block.inconsistencies().into_iter();
            findings.extend(
                inconsistencies.map(|inconsistency| Finding::InconsistentBlock { block: block.cidr, inconsistency }),
            );
            check_attributes(block, now, findings);
            match pools.around(&block.cidr) {
                None if all_pools_are_known => findings.push(Finding::BlockOutsidePools { block: block.cidr }),
                Some(pool) if pool.block_size() != block.cidr.prefix() => findings.push(Finding::ForeignBlockSize {
                    block: block.cidr,
                    pool: pool.metadata.name.clone(),
                    block_size: pool.block_size(),
                }),
                _ => {}
            }
        }
        overlapping(
            &self.blocks,
            |block| block.value.cidr,
            |outer, inner| {
                findings.push(Finding::OverlappingBlocks { first: outer.value.cidr, second: inner.value.cidr })
            },
        );
    }
}

fn check_attributes(block: &Block, now: SystemTime, findings: &mut Vec<Finding>) {
    let no_time = |what: String, text: &str| Finding::Malformed {
        key: Key::Block(block.cidr).path(),
        reason: format!("{what} {text:?}, which is no time"),
    };
    if let Some(text) = &block.affinity_claim_time
        && timestamp::parse_rfc3339(text).is_none()
    {
        findings.push(no_time("the block was claimed at".to_owned(), text));
    }
    let mut used = vec![false; block.attributes.len()];
    for &index in block.allocations.iter().flatten() {
        if let Some(used) = usize::try_from(index).ok().and_then(|index| used.get_mut(index)) {
            *used = true;
        }
    }
    for (attribute, (it, used)) in block.attributes.iter().zip(used).enumerate() {
        if !used {
            findings.push(Finding::UnusedAttribute { block: block.cidr, attribute });
        }
        let Some(text) = &it.released_at else { continue };
        match timestamp::parse_rfc3339(text) {
            None => findings.push(no_time(format!("attribute {attribute} was released at"), text)),
            Some(at) if at > now => {
                findings.push(Finding::ReleasedInFuture { block: block.cidr, attribute, released_at: text.clone() })
            }
            Some(_) => {}
        }
    }
}
