//! What an audit looks for in pools and reservations.

use std::collections::{BTreeSet, HashMap};

use calico_model::{IpPool, IpVersion, Selector, cidr};
use ipnetwork::IpNetwork;

use super::{Finding, Snapshot, in_order, overlapping};

impl Snapshot {
    pub(super) fn check_pools(&self, findings: &mut Vec<Finding>) {
        for pool in &self.pools {
            let (name, cidr, block_size) = (pool.metadata.name.clone(), pool.spec.cidr, pool.block_size());
            let sizes = match pool.version() {
                IpVersion::V4 => 20..=32,
                IpVersion::V6 => 116..=128,
            };
            if !sizes.contains(&block_size) {
                findings.push(Finding::PoolBlockSize { pool: name.clone(), cidr, block_size });
            } else if block_size < cidr.prefix() && !pool.spec.disabled {
                findings.push(Finding::PoolBelowBlockSize { pool: name.clone(), cidr, block_size });
            }
            for selector in [&pool.spec.node_selector, &pool.spec.namespace_selector] {
                if let Err(error) = Selector::parse(selector) {
                    let (selector, reason) = (selector.clone(), error.to_string());
                    findings.push(Finding::PoolSelector { pool: name.clone(), selector, reason });
                }
            }
            if pool.cidr() != cidr {
                findings.push(Finding::UnmaskedPool { pool: name, cidr });
            }
        }
        let mut pools: Vec<&IpPool> = self.pools.iter().collect();
        pools.sort_by_key(|pool| in_order(&pool.cidr()));
        overlapping(
            &pools,
            |pool| pool.cidr(),
            |outer, inner| {
                let [first, second] = [outer, inner].map(|pool| pool.metadata.name.clone());
                findings.push(Finding::OverlappingPools { first, second });
            },
        );
        for reservation in &self.reservations {
            for entry in &reservation.spec.reserved_cidrs {
                if entry.trim().parse::<IpNetwork>().is_err() {
                    let reservation = reservation.metadata.name.clone();
                    findings.push(Finding::ReservationEntry { reservation, entry: entry.clone() });
                }
            }
        }
    }
}

/// Finds the pool that a CIDR lies in, without looking at all of them.
pub(super) struct PoolIndex<'a> {
    pools: HashMap<IpNetwork, &'a IpPool>,
    prefixes: BTreeSet<u8>,
}

impl<'a> PoolIndex<'a> {
    pub(super) fn new(pools: &'a [IpPool]) -> PoolIndex<'a> {
        let prefixes = pools.iter().map(|pool| pool.spec.cidr.prefix()).collect();
        PoolIndex { pools: pools.iter().map(|pool| (pool.cidr(), pool)).collect(), prefixes }
    }

    /// The smallest pool that a CIDR lies in.
    pub(super) fn around(&self, inner: &IpNetwork) -> Option<&'a IpPool> {
        let prefixes = self.prefixes.range(..=inner.prefix()).rev();
        prefixes
            .filter_map(|&prefix| cidr::containing(inner.ip(), prefix))
            .find_map(|outer| self.pools.get(&outer).copied())
    }
}
