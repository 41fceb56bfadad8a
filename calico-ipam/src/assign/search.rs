//! Looking for blocks with free addresses: first this owner's, then new ones, then those that their owners do not use, finally
//! those of others.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, SystemTime};

use calico_datastore::{self as datastore, Datastore, Entry, Stored, Want};
use calico_model::object::Malformed;
use calico_model::pool::Use;
use calico_model::{Affinity, AffinityState, Block, IpVersion, Key, Listing, Object, Owner, timestamp};
use ipnetwork::IpNetwork;

use super::commit::Change;
use super::trace::{Considered, Decision, Trace};
use super::{Demand, Shortfall, own_addresses};
use crate::block::{self, Cooldown};
use crate::claim::{Claim, Condition, GivenUp};
use crate::error::Error;
use crate::inputs::Inputs;
use crate::pools::{self, Selection, Wish};
use crate::start_block::{self, Blocks};
use crate::{Allocation, BATCH, Ipam, Lease};

/// The most blocks of a family that an owner has where neither the settings nor the request give a limit.
const DEFAULT_BLOCK_LIMIT: usize = 20;
/// The most blocks that are looked at in one read: each has up to 20 KiB and more. The first read for a new block looks at
/// [`BATCH`], further ones at this many: where the first did not help, the pool is crowded.
const LARGEST_BATCH: usize = 128;
/// The first read looks at so many where each is a request of its own: one of them is free, nearly always.
const FEW: usize = 4;
/// A block that was claimed less than this ago is not taken over, although nothing in it is in use yet.
const YOUNG: Duration = Duration::from_secs(60);

/// A block that may have free addresses.
#[derive(Debug, Clone)]
enum Candidate {
    /// This owner's, by an affinity that was read.
    Own(Box<Claim>),
    /// Another owner's.
    Borrowed(IpNetwork),
}

impl Candidate {
    fn block(&self) -> IpNetwork {
        match self {
            Candidate::Own(claim) => claim.cidr,
            Candidate::Borrowed(cidr) => *cidr,
        }
    }
}

/// Another owner's block in which nothing was in use when it was read.
#[derive(Debug)]
struct Unused {
    cidr: IpNetwork,
    owner: Option<Owner>,
    sequence: u64,
    claimed: Option<SystemTime>,
}

/// What a search takes from a request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms<'a> {
    pub demand: &'a Demand,
    pub intended_use: &'a Use,
    pub namespace: &'a BTreeMap<String, String>,
    /// The most blocks that the owner may have, if the request says; the settings' limit stands where it is lower.
    pub limit: Option<usize>,
    /// Whether a block of the owner will do without a free address, and nobody else's at all.
    pub any_own_block: bool,
}

/// The search for the addresses of one demand.
pub(crate) struct Search<'a> {
    terms: Terms<'a>,
    inputs: &'a Inputs,
    cooldown: Cooldown,
    pub got: Vec<Allocation>,
    pub reasons: Vec<String>,
    pub trace: Trace,
    selection: Selection,
    limit: usize,
    owned: usize,
    /// Whether this owner's claims were read when nobody else of its host could make any.
    is_fresh: bool,
    /// Blocks to be read, in this order.
    candidates: VecDeque<Candidate>,
    /// Whether a block was full: then the others are read together.
    eager: bool,
    /// Blocks that were read.
    read: VecDeque<(Candidate, Option<Entry>)>,
    /// The pools' blocks in this owner's order, from the first that was not looked at.
    order: VecDeque<Blocks>,
    batch: Option<usize>,
    /// Blocks that were looked at, and what there is.
    probed: VecDeque<(IpNetwork, Option<Entry>)>,
    unused: VecDeque<Unused>,
    borrowable: VecDeque<IpNetwork>,
    current: Option<Candidate>,
    pub found: Option<Stored<Block>>,
    exhausted: bool,
}

impl<'a> Search<'a> {
    pub fn start(inputs: &'a Inputs, terms: Terms<'a>, owner: &Owner, now: SystemTime) -> Result<Search<'a>, Error> {
        let wish = Wish {
            version: terms.demand.version,
            intended_use: terms.intended_use,
            requested: &terms.demand.pools,
            namespace: terms.namespace,
            reserve: terms.demand.reserve.as_ref(),
        };
        let mut selection = pools::select(inputs, owner.name(), wish)?;
        let own: VecDeque<Candidate> = inputs
            .affinities
            .iter()
            .filter_map(|stored| match stored.key {
                Key::Affinity { block, .. } if selection.contains(&block) => {
                    Some(Candidate::Own(Box::new(Claim::known(owner.clone(), block, Some(stored.clone()), None))))
                }
                _ => None,
            })
            .collect();
        let nanos = timestamp::unix_nanos(now) as i64;
        let blocks_of =
            |pool: &calico_model::IpPool| start_block::blocks(pool.cidr(), pool.block_size(), owner.name(), nanos);
        let setting = usize::try_from(inputs.config.max_blocks_per_host).unwrap_or(usize::MAX);
        let limit = match (setting, terms.limit.unwrap_or(0)) {
            (0, 0) => DEFAULT_BLOCK_LIMIT,
            (0, one) | (one, 0) => one,
            (setting, requested) => setting.min(requested),
        };
        Ok(Search {
            terms,
            inputs,
            cooldown: Cooldown { rest: inputs.config.cooldown(), now },
            got: Vec::new(),
            reasons: Vec::new(),
            trace: Trace::of(std::mem::take(&mut selection.verdicts)),
            order: selection.pools.iter().map(blocks_of).collect(),
            selection,
            limit,
            owned: own.len(),
            is_fresh: !inputs.are_early,
            candidates: own,
            eager: false,
            read: VecDeque::new(),
            batch: None,
            probed: VecDeque::new(),
            unused: VecDeque::new(),
            borrowable: VecDeque::new(),
            current: None,
            found: None,
            exhausted: false,
        })
    }

    pub fn version(&self) -> IpVersion {
        self.terms.demand.version
    }

    pub fn wanted(&self) -> usize {
        self.terms.demand.count
    }

    /// Whether a block lies in one of the pools to allocate from.
    pub fn may_use(&self, block: &IpNetwork) -> bool {
        self.selection.contains(block)
    }

    /// How many addresses are still wished for.
    pub fn missing(&self) -> usize {
        self.wanted().saturating_sub(self.got.len())
    }

    /// The change that takes the missing addresses from the block that was found.
    pub fn plan(&mut self, lease: &Lease) -> Option<Change> {
        let before = self.found.take()?;
        let mut after = before.value.clone();
        let taken = block::assign_next(&mut after, self.missing(), &lease.holder, &self.inputs.reservations);
        let addresses = taken.into_iter().filter_map(|ordinal| before.value.address(ordinal)).collect();
        Some(Change { before, after, addresses })
    }

    /// Takes note that the planned change was made. What is still missing is not in that block.
    pub fn made(&mut self, change: Change) {
        self.trace.used(change.before.value.cidr, block::room(&change.after, &self.inputs.reservations));
        self.got.extend(change.allocations());
        self.current = None;
    }

    /// Looks at the block again: the planned change met another writer's, or nobody knows what became of it.
    pub fn again(&mut self) {
        for (candidate, _) in self.read.drain(..).rev() {
            self.candidates.push_front(candidate);
        }
        if let Some(current) = self.current.take() {
            self.candidates.push_front(current);
        }
        self.eager = false;
    }

    fn is_open(&self) -> bool {
        self.missing() > 0 && self.found.is_none() && !self.exhausted
    }

    fn because(&mut self, reason: String) {
        if !self.reasons.contains(&reason) {
            self.reasons.push(reason);
        }
    }

    /// Takes a block that was read as the one to allocate from, if it can be. Addresses in it that carry this call's
    /// mark are its own: from a try whose answer was lost.
    fn consider(&mut self, mut stored: Stored<Block>, candidate: Candidate, chosen: Decision, lease: &Lease) -> bool {
        let cidr = stored.value.cidr;
        block::warm_up(&mut stored.value, self.cooldown);
        for address in own_addresses(&stored.value, lease) {
            let allocation = Allocation { address, block: cidr };
            if !self.got.contains(&allocation) {
                self.got.push(allocation);
            }
        }
        if self.missing() == 0 {
            return false;
        }
        let (is_usable, decision) = self.judge(&stored.value, chosen);
        let room = block::room(&stored.value, &self.inputs.reservations);
        self.trace.note(Considered { block: cidr, owner: stored.value.affinity.clone(), room, decision });
        if is_usable {
            self.found = Some(stored);
            self.current = Some(candidate);
        }
        is_usable
    }

    fn judge(&mut self, block: &Block, chosen: Decision) -> (bool, Decision) {
        if let Some(reason) = block.inconsistency() {
            self.because(format!("block {} was passed over: {reason}", block.cidr));
            return (false, Decision::Inconsistent(reason.to_string()));
        }
        if self.terms.any_own_block || block::has_free(block, &self.inputs.reservations) {
            return (true, chosen);
        }
        (false, Decision::Full)
    }

    fn malformed(&mut self, cidr: IpNetwork, why: &Malformed) {
        self.because(format!("block {cidr} was passed over: {why}"));
        self.trace.decide(cidr, Decision::Malformed(why.to_string()));
    }

    /// The blocks to be read next: one, since it suffices nearly always, and then all that there are.
    fn next_candidates(&mut self) -> Vec<Candidate> {
        if !self.is_open() || !self.read.is_empty() {
            return Vec::new();
        }
        let count = if self.eager { BATCH } else { 1 }.min(self.candidates.len());
        self.candidates.drain(..count).collect()
    }

    /// The next blocks of the order that may have free addresses. Those that are reserved as a whole are not looked at.
    fn next_in_order(&mut self, first: usize) -> Vec<IpNetwork> {
        let size = self.batch.unwrap_or(first);
        let mut batch = Vec::with_capacity(size);
        while batch.len() < size {
            let Some(blocks) = self.order.front_mut() else { break };
            let Some(cidr) = blocks.next() else {
                self.order.pop_front();
                continue;
            };
            if let Some(reserved) = self.inputs.reservations.covering(&cidr) {
                blocks.leave(reserved);
            } else if !self.inputs.reservations.covers(&cidr) {
                batch.push(cidr);
                continue;
            }
            self.trace.decide(cidr, Decision::Reserved);
        }
        self.batch = Some(if size < BATCH { BATCH } else { LARGEST_BATCH });
        batch
    }

    /// Sorts a block that is another owner's.
    fn sort(&mut self, block: Block) {
        let room = block::room(&block, &self.inputs.reservations);
        let decision = match (block.inconsistency(), room.free) {
            (Some(reason), _) => Decision::Inconsistent(reason.to_string()),
            (None, 0) => Decision::Full,
            (None, _) => Decision::AnotherOwners,
        };
        if decision == Decision::AnotherOwners {
            self.borrowable.push_back(block.cidr);
            if block::is_empty(&block) {
                self.unused.push_back(Unused {
                    cidr: block.cidr,
                    owner: block.affinity.as_deref().and_then(Owner::parse),
                    sequence: block.sequence_number,
                    claimed: block.affinity_claim_time.as_deref().and_then(timestamp::parse_rfc3339),
                });
            }
        }
        self.trace.note(Considered { block: block.cidr, owner: block.affinity, room, decision });
    }

    /// Why fewer addresses were found than wished for.
    pub fn shortfall(&self, owner: &Owner) -> Shortfall {
        let mut reasons = self.reasons.clone();
        reasons
            .extend(self.terms.demand.reserve.as_ref().map(|reserve| format!("HostReservedAttr: {}", reserve.handle)));
        let help = match self.inputs.config.strict_affinity {
            true => {
                "add a pool, shorten a reservation, delete containers that are no longer needed, or turn strict affinity off"
            }
            false => "add a pool, shorten a reservation, or delete containers that are no longer needed",
        };
        let advice: Vec<String> = self.rooms(owner).into_iter().chain([help.to_owned()]).collect();
        let (version, got, wanted) = (self.version(), self.got.len(), self.wanted());
        Shortfall { version, got, wanted, reasons, advice: advice.join("; ") }
    }

    /// What is there, for whoever asks why there was no address.
    pub fn rooms(&self, owner: &Owner) -> Vec<String> {
        self.trace.rooms(&owner.to_string(), &self.inputs.reservations)
    }
}

impl<D: Datastore> Ipam<D> {
    /// Finds for each demand that is not met a block with free addresses, or exhausts its search. Blocks that this
    /// owner already has are read together for all demands.
    pub(crate) async fn find_blocks(&self, searches: &mut [Search<'_>], lease: &Lease) -> Result<(), Error> {
        loop {
            let next: Vec<Vec<Candidate>> = searches.iter_mut().map(Search::next_candidates).collect();
            let wants: Vec<Want> =
                next.iter().flatten().map(|candidate| Want::Get(Key::Block(candidate.block()))).collect();
            if !wants.is_empty() {
                let mut answers = self.store.read(&wants).await?;
                for (search, next) in searches.iter_mut().zip(next) {
                    let with_entry = |candidate| (candidate, answers.entries().into_iter().next());
                    search.read.extend(next.into_iter().map(with_entry));
                }
            }
            for search in searches.iter_mut() {
                while search.is_open()
                    && let Some((candidate, entry)) = search.read.pop_front()
                {
                    self.look_at(search, candidate, entry, lease).await?;
                    search.eager = search.found.is_none();
                }
                if search.is_open() && search.candidates.is_empty() {
                    self.find_new_block(search, lease).await?;
                }
            }
            if !searches.iter().any(Search::is_open) {
                return Ok(());
            }
        }
    }

    /// Considers a candidate as it was read.
    async fn look_at(
        &self,
        search: &mut Search<'_>,
        candidate: Candidate,
        entry: Option<Entry>,
        lease: &Lease,
    ) -> Result<(), Error> {
        let cidr = candidate.block();
        let stored = match entry.map(stored).transpose() {
            Ok(stored) => stored,
            Err(malformed) => {
                search.malformed(cidr, &malformed);
                return Ok(());
            }
        };
        if search.inputs.reservations.covers(&cidr) {
            search.trace.decide(cidr, Decision::Reserved);
            return Ok(());
        }
        match (candidate, stored) {
            (Candidate::Own(claim), stored) => {
                let confirmed = claim.affinity.as_ref().is_some_and(|a| a.value.state == AffinityState::Confirmed);
                let is_own = stored.as_ref().is_some_and(|stored| stored.value.is_owned_by(&self.owner));
                let claim = Claim::known(claim.owner, cidr, claim.affinity, stored.clone());
                let block = match confirmed && is_own {
                    true => stored,
                    false => self.claim_for(search, &claim).await?,
                };
                match block {
                    Some(block) => {
                        search.consider(block, Candidate::Own(Box::new(claim)), Decision::Own, lease);
                    }
                    None => search.owned = search.owned.saturating_sub(1),
                }
            }
            (candidate @ Candidate::Borrowed(_), Some(block)) => {
                search.consider(block, candidate, Decision::Borrowed, lease);
            }
            // Its owner gave it up meanwhile: it can be claimed.
            (Candidate::Borrowed(_), None) => search.probed.push_back((cidr, None)),
        }
        Ok(())
    }

    /// Claims the next block in this owner's order that is free or already its own; failing that, one that its owner does not
    /// use; failing that, names a block to borrow from.
    async fn find_new_block(&self, search: &mut Search<'_>, lease: &Lease) -> Result<(), Error> {
        if !search.is_fresh {
            search.is_fresh = true;
            if self.find_claimed_since(search).await? {
                return Ok(());
            }
        }
        if search.owned >= search.limit {
            let (owner, owned, limit) = (self.owner.clone(), search.owned, search.limit);
            return Err(Error::BlockLimit { owner, owned, limit, rooms: search.rooms(&self.owner) });
        }
        if !search.inputs.config.auto_allocate_blocks {
            return Err(Error::NoNewBlocks { rooms: search.rooms(&self.owner) });
        }
        if self.probe(search, lease).await? || self.take_over(search, lease).await? {
            search.owned += 1;
            return Ok(());
        }
        if search.inputs.config.strict_affinity || search.terms.any_own_block {
            search.because("No more free affine blocks and strict affinity enabled".to_owned());
        } else if let Some(cidr) = search.borrowable.pop_front() {
            search.candidates.push_back(Candidate::Borrowed(cidr));
            return Ok(());
        } else {
            let pools: Vec<String> = search.selection.pools.iter().map(|pool| pool.cidr().to_string()).collect();
            search.because(format!("No IPs available in pools: [{}]", pools.join(" ")));
        }
        search.exhausted = true;
        Ok(())
    }

    /// Adds the blocks that other calls of this owner have claimed since its claims were read: they count, and may have free
    /// addresses. Answers whether there are any.
    async fn find_claimed_since(&self, search: &mut Search<'_>) -> Result<bool, Error> {
        let listing = Listing::Affinities { owner: self.owner.clone(), version: search.version() };
        let listed: Vec<Stored<Affinity>> = self.store.read(&[Want::List(listing)]).await?.list();
        let before = search.owned;
        for stored in listed {
            let Key::Affinity { block, .. } = stored.key else { continue };
            let was_listed = search.inputs.affinities.iter().any(|known| known.key == stored.key);
            if search.may_use(&block) && !was_listed {
                let claim = Claim::known(self.owner.clone(), block, Some(stored), None);
                search.candidates.push_back(Candidate::Own(Box::new(claim)));
                search.owned += 1;
            }
        }
        Ok(search.owned > before)
    }

    /// Looks at the pools' blocks in this owner's order until one is absent, or its own with free addresses; many at a time, so
    /// that a cluster's blocks are never listed, nor asked for one by one. Answers whether one was found.
    async fn probe(&self, search: &mut Search<'_>, lease: &Lease) -> Result<bool, Error> {
        let first = if self.store.answers_singly() { FEW } else { BATCH };
        loop {
            if search.probed.is_empty() {
                let batch = search.next_in_order(first);
                if batch.is_empty() {
                    return Ok(false);
                }
                let wants: Vec<Want> = batch.iter().map(|&cidr| Want::Outline(Key::Block(cidr))).collect();
                let mut answers = self.store.read(&wants).await?;
                search.probed.extend(batch.into_iter().map(|cidr| (cidr, answers.entries().into_iter().next())));
            }
            while let Some((cidr, entry)) = search.probed.pop_front() {
                let decision = match entry.map(outlined).transpose() {
                    Ok(None) => Decision::Claimed,
                    Err(malformed) => {
                        search.malformed(cidr, &malformed);
                        continue;
                    }
                    Ok(Some(mut block)) => {
                        block::warm_up(&mut block, search.cooldown);
                        if !block.is_owned_by(&self.owner) {
                            search.sort(block);
                            continue;
                        }
                        // Its own, although its affinity was not listed: another process of this host claimed it just now.
                        if !search.judge(&block, Decision::Own).0 {
                            continue;
                        }
                        Decision::Own
                    }
                };
                let is_there = decision == Decision::Own;
                if self.try_claim(search, cidr, is_there, decision, lease).await? {
                    return Ok(true);
                }
                // Whoever was faster may lend an address.
                search.borrowable.push_back(cidr);
            }
        }
    }

    /// Takes over the first block that its owner has had for a while and does not use. Answers whether there was one.
    async fn take_over(&self, search: &mut Search<'_>, lease: &Lease) -> Result<bool, Error> {
        while let Some(Unused { cidr, owner, sequence, claimed }) = search.unused.pop_front() {
            let age = claimed.map(|claimed| self.now.duration_since(claimed).unwrap_or_default());
            if age.is_some_and(|age| age < YOUNG) {
                search.trace.decide(cidr, Decision::ClaimedJustNow);
                continue;
            }
            if let Some(owner) = owner {
                let condition = Condition { must_be_empty: true, sequence: Some(sequence) };
                let claims = self.read_claims([(owner, cidr)]).await?.into_iter().filter_map(Result::ok).collect();
                let ends = self.give_up(claims, condition, search.cooldown).await?;
                if !matches!(ends.as_slice(), [Ok(GivenUp::Done | GivenUp::Absent)]) {
                    search.trace.decide(cidr, Decision::NotTakenOver);
                    continue;
                }
            }
            let claims = self.read_claims([(self.owner.clone(), cidr)]).await?;
            let Some(Ok(claim)) = claims.into_iter().next() else { continue };
            if self.try_claim(search, cidr, claim.block.is_some(), Decision::TakenOver, lease).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Claims a block, which was there or not, and takes it as the one to allocate from.
    async fn try_claim(
        &self,
        search: &mut Search<'_>,
        cidr: IpNetwork,
        is_there: bool,
        decision: Decision,
        lease: &Lease,
    ) -> Result<bool, Error> {
        // Where there is no block there is nearly always no affinity, either; if there is, the claim learns of it.
        let claim = match is_there {
            false => Claim::absent(self.owner.clone(), cidr),
            true => match self.read_claims([(self.owner.clone(), cidr)]).await?.into_iter().next() {
                Some(Ok(claim)) => claim,
                _ => return Ok(false),
            },
        };
        let Some(block) = self.claim_for(search, &claim).await? else { return Ok(false) };
        Ok(search.consider(block, Candidate::Own(Box::new(claim)), decision, lease) || search.missing() == 0)
    }

    /// Claims a block. `None` where it is another owner's, or cannot be read: there are others.
    async fn claim_for(&self, search: &mut Search<'_>, claim: &Claim) -> Result<Option<Stored<Block>>, Error> {
        let claimed = match self.claim(claim.clone(), search.terms.demand.reserve.as_ref(), search.cooldown).await {
            Err(Error::Datastore(datastore::Error::Malformed(malformed))) => {
                search.malformed(claim.cidr, &malformed);
                return Ok(None);
            }
            claimed => claimed?,
        };
        if claimed.is_none() {
            search.trace.decide(claim.cidr, Decision::Lost);
        }
        Ok(claimed)
    }
}

/// A block as it was read.
fn stored(entry: Entry) -> Result<Stored<Block>, Malformed> {
    let Entry { key, revision, object } = entry;
    match Block::try_from(object?) {
        Ok(value) => Ok(Stored { key, revision, value }),
        Err(_) => Err(Malformed { key: key.path(), reason: "it is no block".to_owned() }),
    }
}

/// What was read of a block to see how its addresses are used.
fn outlined(entry: Entry) -> Result<Block, Malformed> {
    match entry.object? {
        Object::Outline(outline) => Ok(outline.into_block()),
        Object::Block(block) => Ok(block),
        _ => Err(Malformed { key: entry.key.path(), reason: "it is no block".to_owned() }),
    }
}
