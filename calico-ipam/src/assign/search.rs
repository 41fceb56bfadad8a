//! Looking for blocks with free addresses.

use std::collections::VecDeque;
use std::time::SystemTime;

use calico_datastore::{self as datastore, Datastore, Entry, Stored, Want};
use calico_model::reservation::Reservations;
use calico_model::{Affinity, AffinityState, Block, IpPool, IpVersion, Key, cidr, timestamp};
use ipnetwork::IpNetwork;

use super::commit::Change;
use super::{Demand, own_addresses};
use crate::error::Error;
use crate::inputs::Inputs;
use crate::{Allocation, Ipam, Lease, block, pools, start_block};

/// The most blocks of a family a host owns where the settings give no limit.
const DEFAULT_BLOCK_LIMIT: usize = 20;
/// How many blocks are looked at in one read.
const BATCH: usize = 64;

/// A block that is being allocated from, until nothing is left in it.
enum Candidate {
    /// This host's, by an affinity that was read.
    Affine(Stored<Affinity>, IpNetwork),
    /// This host's, claimed by this call.
    Claimed(IpNetwork),
    /// Another host's.
    Borrowed(IpNetwork),
}

impl Candidate {
    fn block(&self) -> IpNetwork {
        match self {
            Candidate::Affine(_, cidr) | Candidate::Claimed(cidr) | Candidate::Borrowed(cidr) => *cidr,
        }
    }
}

/// The search for the addresses of one demand: first this host's blocks, then new ones, then those of others.
pub(super) struct Search {
    pub version: IpVersion,
    pub wanted: usize,
    pub got: Vec<Allocation>,
    pub reasons: Vec<String>,
    pools: Vec<IpPool>,
    node: String,
    strict: bool,
    reservations: Reservations,
    may_claim: bool,
    limit: usize,
    owned: usize,
    affine: VecDeque<(Stored<Affinity>, IpNetwork)>,
    /// The pools' blocks in this host's order, from the first that was not looked at.
    order: Box<dyn Iterator<Item = IpNetwork>>,
    looked_ahead: VecDeque<IpNetwork>,
    borrowable: VecDeque<IpNetwork>,
    current: Option<Candidate>,
    found: Option<Stored<Block>>,
    exhausted: bool,
}

impl Search {
    pub fn start(inputs: &Inputs, demand: &Demand, node: &str, now: SystemTime) -> Result<Search, Error> {
        let pools = pools::select(&inputs.pools, demand.version, &demand.pools, node)?;
        let in_pools = |block: &IpNetwork| pools.iter().any(|pool| cidr::contains(&pool.cidr(), block));
        let affine: VecDeque<_> = inputs
            .affinities
            .iter()
            .filter_map(|stored| match stored.key {
                Key::Affinity { block, .. } if in_pools(&block) => Some((stored.clone(), block)),
                _ => None,
            })
            .collect();
        let (host, nanos) = (node.to_owned(), timestamp::unix_nanos(now) as i64);
        let sizes: Vec<(IpNetwork, u8)> = pools.iter().map(|pool| (pool.cidr(), pool.block_size())).collect();
        let order = sizes.into_iter().flat_map(move |(pool, size)| start_block::blocks(pool, size, &host, nanos));
        let limit = match inputs.config.max_blocks_per_host {
            0 => DEFAULT_BLOCK_LIMIT,
            limit => limit as usize,
        };
        Ok(Search {
            version: demand.version,
            wanted: demand.count,
            got: Vec::new(),
            reasons: Vec::new(),
            pools,
            node: node.to_owned(),
            strict: inputs.config.strict_affinity,
            reservations: inputs.reservations.clone(),
            may_claim: inputs.config.auto_allocate_blocks,
            limit,
            owned: affine.len(),
            affine,
            order: Box::new(order),
            looked_ahead: VecDeque::new(),
            borrowable: VecDeque::new(),
            current: None,
            found: None,
            exhausted: false,
        })
    }

    /// How many addresses are still wished for.
    pub fn missing(&self) -> usize {
        self.wanted - self.got.len().min(self.wanted)
    }

    /// The change that takes the missing addresses from the block that was found.
    pub fn plan(&mut self, lease: &Lease) -> Option<Change> {
        let before = self.found.take()?;
        let mut after = before.value.clone();
        let taken = block::assign_next(&mut after, self.missing(), &lease.holder, &self.reservations);
        let addresses = taken.into_iter().filter_map(|ordinal| before.value.address(ordinal)).collect();
        Some(Change { before, after, addresses })
    }

    fn is_open(&self) -> bool {
        self.missing() > 0 && self.found.is_none() && !self.exhausted
    }

    fn because(&mut self, reason: String) {
        if !self.reasons.contains(&reason) {
            self.reasons.push(reason);
        }
    }

    /// A claim that met a malformed object is passed over: there are other blocks.
    fn unless_malformed(
        &mut self,
        claim: Result<Option<Stored<Block>>, Error>,
    ) -> Result<Option<Stored<Block>>, Error> {
        match claim {
            Err(Error::Datastore(datastore::Error::Malformed(malformed))) => {
                self.because(format!("a block was passed over: {malformed}"));
                Ok(None)
            }
            claim => claim,
        }
    }

    /// Takes a block that was read as the one to allocate from, if it can be. Addresses in it that carry this call's
    /// mark are its own: from a try whose answer was lost.
    fn consider(&mut self, stored: Stored<Block>, lease: &Lease) -> bool {
        for address in own_addresses(&stored.value, lease) {
            let allocation = Allocation { address, block: stored.value.cidr };
            if !self.got.contains(&allocation) {
                self.got.push(allocation);
            }
        }
        if self.missing() == 0 {
            return false;
        }
        if let Some(reason) = stored.value.inconsistency() {
            self.because(format!("block {} was passed over: {reason}", stored.value.cidr));
            return false;
        }
        if stored.value.unallocated.is_empty() {
            return false;
        }
        self.found = Some(stored);
        true
    }

    fn next_blocks_in_order(&mut self) -> Vec<IpNetwork> {
        while self.looked_ahead.len() < BATCH {
            let Some(cidr) = self.order.next() else { break };
            self.looked_ahead.push_back(cidr);
        }
        self.looked_ahead.iter().copied().collect()
    }
}

impl<D: Datastore> Ipam<D> {
    /// Finds for each demand that is not met a block with free addresses, or exhausts its search. Blocks that this
    /// host already has are read together for all demands.
    pub(super) async fn find_blocks(&self, searches: &mut [Search], lease: &Lease) -> Result<(), Error> {
        loop {
            for search in searches.iter_mut().filter(|s| s.is_open() && s.current.is_none()) {
                search.current = search.affine.pop_front().map(|(affinity, cidr)| Candidate::Affine(affinity, cidr));
                if search.current.is_none() {
                    self.find_new_block(search, lease).await?;
                }
            }
            let open: Vec<&mut Search> = searches.iter_mut().filter(|s| s.is_open()).collect();
            if open.is_empty() {
                return Ok(());
            }
            let wants: Vec<Want> =
                open.iter().flat_map(|s| &s.current).map(|c| Want::Get(Key::Block(c.block()))).collect();
            let mut answers = self.store.read(&wants).await?;
            for search in open {
                let entry = answers.entries().into_iter().next();
                self.look_at(search, entry, lease).await?;
            }
        }
    }

    /// Considers the current candidate as it was read; gives it up where nothing can be had from it.
    async fn look_at(&self, search: &mut Search, entry: Option<Entry>, lease: &Lease) -> Result<(), Error> {
        let Some(candidate) = search.current.take() else { return Ok(()) };
        let cidr = candidate.block();
        let stored = match entry.map(|entry| (entry.revision, entry.object)) {
            None => None,
            Some((_, Err(malformed))) => {
                search.because(format!("block {cidr} was passed over: {malformed}"));
                return Ok(());
            }
            Some((revision, object)) => {
                let block = object.ok().and_then(|object| Block::try_from(object).ok());
                block.map(|value| Stored { key: Key::Block(cidr), revision, value })
            }
        };
        let (stored, candidate) = match (candidate, stored) {
            (Candidate::Affine(affinity, _), stored) => {
                let sound = affinity.value.state == AffinityState::Confirmed
                    && stored.as_ref().is_some_and(|stored| stored.value.is_owned_by(&self.owner));
                if sound {
                    (stored, Candidate::Affine(affinity, cidr))
                } else {
                    let claim = self.claim_from(cidr, Some(affinity), stored).await;
                    (search.unless_malformed(claim)?, Candidate::Claimed(cidr))
                }
            }
            (Candidate::Claimed(_), Some(stored)) if !stored.value.is_owned_by(&self.owner) => return Ok(()),
            (candidate, stored) => (stored, candidate),
        };
        if stored.is_some_and(|stored| search.consider(stored, lease)) {
            search.current = Some(candidate);
        }
        Ok(())
    }

    /// Claims the next block in this host's order that is free or already this host's; failing that, names a block to
    /// borrow from.
    async fn find_new_block(&self, search: &mut Search, lease: &Lease) -> Result<(), Error> {
        if search.owned >= search.limit {
            let (node, owned, limit) = (search.node.clone(), search.owned, search.limit);
            return Err(Error::BlockLimit { node, owned, limit });
        }
        if !search.may_claim {
            return Err(Error::NoNewBlocks);
        }
        loop {
            let batch = search.next_blocks_in_order();
            if batch.is_empty() {
                break;
            }
            let wants: Vec<Want> = batch.iter().map(|&cidr| Want::Get(Key::Block(cidr))).collect();
            let mut answers = self.store.read(&wants).await?;
            for cidr in batch {
                search.looked_ahead.pop_front();
                let Some(entry) = answers.entries().into_iter().next() else {
                    if let Some(claimed) = search.unless_malformed(self.claim_absent(cidr).await)? {
                        search.owned += 1;
                        search.consider(claimed, lease);
                        search.current = Some(Candidate::Claimed(cidr));
                        return Ok(());
                    }
                    continue;
                };
                let Ok(Ok(block)) = entry.object.map(Block::try_from) else { continue };
                if block.unallocated.is_empty() {
                    continue;
                }
                if !block.is_owned_by(&self.owner) {
                    search.borrowable.push_back(cidr);
                } else if let Some(claimed) = search.unless_malformed(self.claim(cidr).await)? {
                    // Ours, although its affinity was not listed: another process of this host has just claimed it.
                    if search.consider(claimed, lease) {
                        search.owned += 1;
                        search.current = Some(Candidate::Claimed(cidr));
                        return Ok(());
                    }
                }
            }
        }
        if search.strict {
            search.because("No more free affine blocks and strict affinity enabled".to_owned());
        } else if let Some(cidr) = search.borrowable.pop_front() {
            search.current = Some(Candidate::Borrowed(cidr));
            return Ok(());
        } else {
            let pools: Vec<String> = search.pools.iter().map(|pool| pool.cidr().to_string()).collect();
            search.because(format!("No IPs available in pools: [{}]", pools.join(" ")));
        }
        search.exhausted = true;
        Ok(())
    }
}
