//! What an allocation must answer where nothing disturbs it, worked out from what is stored without looking for it in any
//! order.

use std::time::SystemTime;

use calico_ipam::{Assigned, AutoAssign, Demand, Error};
use calico_model::{Block, IpVersion, Owner, cidr};

use super::World;
use super::ops::HOSTS;
use super::rules::Rules;

/// What a host can get of one family.
#[derive(Debug)]
struct Outlook {
    /// Whether there is any pool for it.
    any_pool: bool,
    /// How many blocks of those pools it has.
    owned: usize,
    /// How many addresses are free in them.
    own: usize,
    /// How many addresses are free wherever it may take some.
    reachable: usize,
}

/// What is stored before an allocation, when, and for whom.
pub struct Before {
    pub host: usize,
    pub now: SystemTime,
    pub blocks: Vec<Block>,
    /// Whether the handle has addresses already.
    pub is_held: bool,
}

impl Before {
    fn outlook(&self, rules: &Rules, demand: &Demand) -> Outlook {
        let owner = Owner::Host(HOSTS[self.host].to_owned());
        let chosen = rules.chosen(HOSTS[self.host], demand.version, &demand.pools);
        let mut outlook = Outlook { any_pool: !chosen.is_empty(), owned: 0, own: 0, reachable: 0 };
        for pool in chosen {
            for cidr in calico_ipam::start_block::in_order(pool.cidr(), pool.block_size()) {
                let Some(block) = self.blocks.iter().find(|block| block.cidr == cidr) else {
                    let absent = Block::new(cidr, &owner, self.now);
                    outlook.reachable += rules.room(&absent, self.now).0;
                    continue;
                };
                let (free, is_empty) = rules.room(block, self.now);
                let is_own = block.is_owned_by(&owner);
                if is_own {
                    outlook.owned += 1;
                    outlook.own += free;
                }
                let is_nobodys = block.affinity.is_none() && is_empty;
                let is_taken_over = is_nobodys || rules.is_unused(block, self.now);
                if is_own || is_taken_over || !rules.config.strict_affinity {
                    outlook.reachable += free;
                }
            }
        }
        outlook
    }

    /// Judges the answer. `after` is what is stored now.
    pub fn judge(&self, rules: &Rules, request: &AutoAssign, answer: &Result<Assigned, Error>, after: &[Block]) {
        let demands: Vec<(&Demand, Outlook)> =
            request.demands.iter().filter(|d| d.count > 0).map(|d| (d, self.outlook(rules, d))).collect();
        let limit = rules.config.max_blocks_per_host as usize;
        for (demand, outlook) in &demands {
            let owned = self.owned(rules, demand, after);
            assert!(limit == 0 || owned <= limit.max(outlook.owned), "{owned} blocks with a limit of {limit}");
        }
        match answer {
            Ok(assigned) => {
                for (demand, outlook) in &demands {
                    let version = demand.version;
                    let got = assigned.allocations.iter().filter(|a| IpVersion::of(a.address) == version).count();
                    assert!(outlook.any_pool, "IPv{version}: addresses without a pool");
                    let is_right = got == demand.count || got == outlook.reachable || self.is_held;
                    assert!(is_right && got <= demand.count, "IPv{version}: got {got} of {outlook:?} for {demand:?}");
                }
            }
            Err(Error::NoPool { .. } | Error::PoolNotEnabled { .. } | Error::NoPoolForNode { .. }) => {
                assert!(demands.iter().any(|(_, outlook)| !outlook.any_pool), "{demands:?}");
            }
            Err(Error::BlockLimit { owned, .. }) => {
                let is_over = |demand: &Demand| self.owned(rules, demand, after) >= limit;
                assert!(limit > 0 && *owned >= limit && demands.iter().any(|(demand, _)| is_over(demand)));
                assert!(demands.iter().any(|(demand, outlook)| outlook.own < demand.count), "{demands:?}");
            }
            Err(Error::NoNewBlocks { .. }) => {
                assert!(!rules.config.auto_allocate_blocks);
                assert!(demands.iter().any(|(demand, outlook)| outlook.own < demand.count), "{demands:?}");
            }
            Err(error) => panic!("{error}"),
        }
        for before in self.blocks.iter().filter(|block| block.affinity.is_some()) {
            let owner =
                |blocks: &[Block]| blocks.iter().find(|b| b.cidr == before.cidr).and_then(|b| b.affinity.clone());
            let is_own = before.is_owned_by(&Owner::Host(HOSTS[self.host].to_owned()));
            let has_changed = !is_own && owner(after) != before.affinity;
            assert!(!has_changed || rules.is_unused(before, self.now), "taken too early: {before:?}");
        }
        if request.demands.iter().all(|demand| demand.pools.is_empty()) && !answer.is_err() {
            for block in after.iter().filter(|b| b.is_owned_by(&Owner::Host(HOSTS[self.host].to_owned()))) {
                let is_for_host = rules.pool_of(&block.cidr).is_none_or(|pool| rules.selects(pool, HOSTS[self.host]));
                assert!(is_for_host || !rules.room(block, self.now).1, "kept though it is for others: {block:?}");
            }
        }
    }

    fn owned(&self, rules: &Rules, demand: &Demand, blocks: &[Block]) -> usize {
        let owner = Owner::Host(HOSTS[self.host].to_owned());
        let chosen = rules.chosen(HOSTS[self.host], demand.version, &demand.pools);
        let is_chosen = |block: &&Block| chosen.iter().any(|pool| cidr::contains(&pool.cidr(), &block.cidr));
        blocks.iter().filter(|block| block.is_owned_by(&owner)).filter(is_chosen).count()
    }
}

impl World {
    pub(super) fn before(&self, host: usize, handle: &str) -> Before {
        let is_held = self.store.handle(handle).is_some();
        Before { host, now: self.store.now(), blocks: self.store.blocks(), is_held }
    }
}
