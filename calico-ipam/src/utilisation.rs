//! How much of each pool and each block is used.

use calico_datastore::{Datastore, Stored, Want};
use calico_model::object::Malformed;
use calico_model::reservation::Reservations;
use calico_model::{Block, IpPool, IpReservation, Kind, Listing, cidr};
use ipnetwork::IpNetwork;

use crate::error::Error;
use crate::{Ipam, block};

/// Addresses, counted. More than `i64::MAX` of them are reported as that many, as the established implementation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// All there are: the sum of the others.
    pub capacity: u64,
    /// Assigned, or released and resting.
    pub in_use: u64,
    /// Not in use, and reserved.
    pub reserved: u64,
    /// Free to be assigned automatically.
    pub available: u64,
}

/// How much of a block is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockUtilisation {
    /// The block.
    pub cidr: IpNetwork,
    /// As it is stored: an address counts as in use until another allocation from the block frees it, even if it has
    /// rested long enough.
    pub counts: Counts,
}

/// How much of a pool is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolUtilisation {
    /// The pool's name.
    pub name: String,
    /// The pool.
    pub cidr: IpNetwork,
    /// Of all its addresses, also those of which no block was cut yet.
    pub counts: Counts,
    /// Its blocks, in the order of their keys.
    pub blocks: Vec<BlockUtilisation>,
}

/// How much is used, pool by pool.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Utilisation {
    /// The pools, in the order of their names.
    pub pools: Vec<PoolUtilisation>,
    /// The blocks that lie in no pool; none where only some pools were asked for.
    pub orphans: Vec<BlockUtilisation>,
    /// What is wrong with the pools, reservations and blocks that are left out because they cannot be read.
    pub malformed: Vec<Malformed>,
}

impl<D: Datastore> Ipam<D> {
    /// How much is used of the pools whose name or CIDR is in `wanted`, or of all where it is empty: one read.
    pub async fn utilisation(&self, wanted: &[String]) -> Result<Utilisation, Error> {
        let listings = [Listing::Resources(Kind::IpPool), Listing::Resources(Kind::IpReservation), Listing::Blocks]
            .map(Want::List);
        let mut answers = self.store.read(&listings).await?;
        let (pools, mut malformed): (Vec<Stored<IpPool>>, _) = answers.list_readable();
        let (reserved, unreadable): (Vec<Stored<IpReservation>>, _) = answers.list_readable();
        malformed.extend(unreadable);
        let reservations = Reservations::new(reserved.iter().map(|stored| &stored.value));
        let (blocks, unreadable): (Vec<Stored<Block>>, _) = answers.list_readable();
        malformed.extend(unreadable);

        let is_wanted = |pool: &IpPool| {
            let cidr = pool.cidr().to_string();
            wanted.is_empty() || wanted.iter().any(|name| *name == pool.metadata.name || *name == cidr)
        };
        let pools = pools.into_iter().map(|stored| stored.value).filter(is_wanted);
        let mut pools: Vec<(String, IpNetwork, Vec<InBlock>)> =
            pools.map(|pool| (pool.metadata.name.clone(), pool.cidr(), Vec::new())).collect();
        let mut orphans = Vec::new();
        for Stored { value: block, .. } in blocks {
            let counted = InBlock::count(&block, &reservations);
            match pools.iter_mut().find(|(_, pool, _)| cidr::overlap(pool, &counted.cidr)) {
                Some((_, _, blocks)) => blocks.push(counted),
                None if wanted.is_empty() => orphans.push(counted.report()),
                None => {}
            }
        }
        let pools = pools.into_iter().map(|(name, cidr, blocks)| {
            let counts = counts_of_pool(&cidr, &blocks, &reservations);
            PoolUtilisation { name, cidr, counts, blocks: blocks.iter().map(InBlock::report).collect() }
        });
        Ok(Utilisation { pools: pools.collect(), orphans, malformed })
    }
}

/// What a block has, in numbers that hold every count.
struct InBlock {
    cidr: IpNetwork,
    capacity: u128,
    in_use: u128,
    reserved: u128,
    available: u128,
}

impl InBlock {
    fn count(block: &Block, reservations: &Reservations) -> InBlock {
        let cidr = cidr::masked(&block.cidr);
        let capacity = cidr::size(&cidr).unwrap_or(u128::MAX);
        let room = block::room(block, reservations);
        let (reserved, available) = (room.reserved as u128, room.free as u128);
        InBlock { cidr, capacity, in_use: capacity.saturating_sub(reserved + available), reserved, available }
    }

    fn report(&self) -> BlockUtilisation {
        let counts = Counts {
            capacity: clamp(self.capacity),
            in_use: clamp(self.in_use),
            reserved: clamp(self.reserved),
            available: clamp(self.available),
        };
        BlockUtilisation { cidr: self.cidr, counts }
    }
}

fn counts_of_pool(pool: &IpNetwork, blocks: &[InBlock], reservations: &Reservations) -> Counts {
    let sum = |count: fn(&InBlock) -> u128| blocks.iter().map(count).fold(0, u128::saturating_add);
    let capacity = cidr::size(pool).unwrap_or(u128::MAX);
    let in_blocks = blocks.iter().map(|block| reservations.count_in(&block.cidr)).fold(0, u128::saturating_add);
    let reserved_outside = reservations.count_in(pool).saturating_sub(in_blocks);
    let available_outside = capacity.saturating_sub(sum(|block| block.capacity)).saturating_sub(reserved_outside);
    Counts {
        capacity: clamp(capacity),
        in_use: clamp(sum(|block| block.in_use)),
        reserved: clamp(sum(|block| block.reserved).saturating_add(reserved_outside)),
        available: clamp(sum(|block| block.available).saturating_add(available_outside)),
    }
}

fn clamp(count: u128) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX).min(i64::MAX as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use calico_model::reservation::IpReservationSpec;
    use calico_model::{Attribute, Owner, Resource};
    use std::time::SystemTime;

    fn reservations(texts: &[&str]) -> Reservations {
        let reserved_cidrs = texts.iter().map(|&text| text.to_owned()).collect();
        let spec = IpReservationSpec { reserved_cidrs, ..IpReservationSpec::default() };
        Reservations::new([&Resource::new(Kind::IpReservation, "r", spec)])
    }

    /// A block of which so many addresses are assigned.
    fn block(cidr: &str, assigned: usize, reserved: &Reservations) -> InBlock {
        let mut block = Block::new(cidr.parse().unwrap(), &Owner::Host("n".into()), SystemTime::UNIX_EPOCH);
        block::assign_next(&mut block, assigned, &Attribute::default(), &Reservations::default());
        InBlock::count(&block, reserved)
    }

    fn of_pool(pool: &str, blocks: &[(&str, usize)], reserved: &[&str]) -> [u64; 4] {
        let reserved = reservations(reserved);
        let blocks: Vec<InBlock> = blocks.iter().map(|(cidr, assigned)| block(cidr, *assigned, &reserved)).collect();
        let counts = counts_of_pool(&pool.parse().unwrap(), &blocks, &reserved);
        [counts.capacity, counts.in_use, counts.reserved, counts.available]
    }

    #[test]
    fn a_pools_addresses_are_counted_once() {
        assert_eq!(of_pool("10.0.0.0/24", &[], &[]), [256, 0, 0, 256]);
        assert_eq!(of_pool("10.0.0.0/24", &[], &["10.0.0.32/30"]), [256, 0, 4, 252]);
        assert_eq!(of_pool("10.0.0.0/24", &[], &["10.0.0.0/29", "10.0.0.1", "10.0.0.0/29"]), [256, 0, 8, 248]);
        assert_eq!(of_pool("10.0.0.0/24", &[], &["10.1.0.0/24"]), [256, 0, 0, 256]);
        assert_eq!(of_pool("10.0.0.0/24", &[], &["10.0.0.0/16"]), [256, 0, 256, 0]);
        assert_eq!(of_pool("10.0.0.0/24", &[("10.0.0.0/26", 10)], &[]), [256, 10, 0, 246]);
        // One of the four reserved addresses of the block is in use; four more lie outside.
        let reserved = ["10.0.0.0/30", "10.0.0.128/30"];
        assert_eq!(of_pool("10.0.0.0/24", &[("10.0.0.0/26", 1)], &reserved), [256, 1, 7, 248]);
    }

    #[test]
    fn counts_saturate() {
        let most = i64::MAX as u64;
        assert_eq!(of_pool("fd00::/64", &[("fd00::/122", 3)], &[]), [most, 3, 0, most]);
        assert_eq!(of_pool("::/0", &[], &["::/0"]), [most, 0, most, 0]);
        assert_eq!(of_pool("fd00::/65", &[], &[]), [most, 0, 0, most]);
        assert_eq!(of_pool("fd00::/66", &[], &[])[0], 1 << 62);
    }

    #[test]
    fn a_block_is_counted_as_it_is_stored() {
        let reserved = reservations(&["10.0.0.0/31", "10.0.0.8/31"]);
        let counts = block("10.0.0.0/28", 3, &reserved).report().counts;
        assert_eq!(counts, Counts { capacity: 16, in_use: 3, reserved: 2, available: 11 });
    }
}
