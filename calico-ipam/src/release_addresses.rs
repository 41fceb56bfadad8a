//! Giving given addresses back, whoever has them.
//!
//! Blocks are changed many at a time, each before the handles that count its addresses, so that a handle counts too much
//! in between but never too little. What a handle counts beyond the released addresses it keeps: that may be an
//! allocation in progress.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use calico_datastore::{Datastore, Outcome, Stored, Want, Write};
use calico_model::{Attribute, Block, Handle, Key, Owner, cidr};
use ipnetwork::IpNetwork;
use thiserror::Error as ThisError;

use crate::affinities::Setting;
use crate::block::{self, Cooldown};
use crate::error::Error;
use crate::query::sequence_of;
use crate::{BATCH, Ipam, RETRIES, release};

/// The most writes of a commit: of blocks, and of at most [`BATCH`] handles.
const WRITES: usize = 100;

/// An address to be released, and what must be true of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseRequest {
    /// The address.
    pub address: IpAddr,
    /// The handle that must have it; `None` for any.
    pub handle: Option<String>,
    /// The allocation it must be, as [`AddressUse`](crate::AddressUse) numbers it; `None` for any.
    pub sequence: Option<u64>,
}

impl ReleaseRequest {
    /// An address to be released whoever has it.
    pub fn any(address: IpAddr) -> ReleaseRequest {
        ReleaseRequest { address, handle: None, sequence: None }
    }
}

/// What became of addresses that were to be released, each list in the order of the addresses.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Released {
    /// Released by this call.
    pub released: Vec<IpAddr>,
    /// Not assigned in the first place: free, at rest after an earlier release, or in no block.
    pub not_allocated: Vec<IpAddr>,
}

/// Not all addresses were released: no address of at least one block was.
#[derive(Debug, ThisError)]
#[error("{error}")]
pub struct PartlyReleased {
    /// What was done before, and in other blocks.
    pub done: Released,
    /// The first failure.
    #[source]
    pub error: Error,
}

/// One allocation of an address.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Holding {
    sequence: u64,
    handle: Option<String>,
}

/// How many addresses were released of each handle, by block.
type Owed = BTreeMap<String, BTreeMap<IpNetwork, i64>>;

/// What is done and what is still to be done.
#[derive(Default)]
struct Work {
    waiting: BTreeMap<IpNetwork, Vec<ReleaseRequest>>,
    /// What handles count of addresses that are released.
    owed: Owed,
    /// The allocations that a commit with unknown outcome was to end.
    doubtful: BTreeMap<IpAddr, Holding>,
    /// The entries of handles that such a commit was to lower.
    unsure: BTreeSet<(String, IpNetwork)>,
    /// The blocks that became empty and have an owner.
    emptied: Vec<(Owner, IpNetwork)>,
    setting: Setting,
    done: Released,
    failure: Option<Error>,
    losses: usize,
}

impl Work {
    fn land(&mut self, change: Change) {
        add_up(&mut self.owed, &change);
        self.done.released.extend(change.ended.into_iter().map(|(address, _)| address));
        self.done.not_allocated.extend(change.free);
        self.emptied.extend(change.emptied.map(|owner| (owner, change.block)));
    }

    fn wait(&mut self, change: Change) {
        self.waiting.insert(change.block, change.requests);
    }

    /// Takes note of an attempt that another writer, or a lost answer, made void.
    fn lose(&mut self, last: String) -> Result<(), Error> {
        self.losses += 1;
        if self.losses < RETRIES { Ok(()) } else { Err(Error::RetriesUsedUp { last }) }
    }
}

/// What the requests for a block do to it.
struct Plan {
    ordinals: Vec<usize>,
    ended: Vec<(IpAddr, Holding)>,
    free: Vec<IpAddr>,
    /// Released by an earlier try whose answer was lost.
    earlier: Vec<IpAddr>,
    failure: Option<Error>,
}

/// A change of a block that is to be written.
struct Change {
    block: IpNetwork,
    requests: Vec<ReleaseRequest>,
    write: Write,
    ended: Vec<(IpAddr, Holding)>,
    free: Vec<IpAddr>,
    emptied: Option<Owner>,
}

impl Change {
    fn handles(&self) -> impl Iterator<Item = &String> {
        self.ended.iter().filter_map(|(_, holding)| holding.handle.as_ref())
    }
}

impl<D: Datastore> Ipam<D> {
    /// Releases the given addresses; of several requests for one address the last counts. Blocks that become empty and
    /// have no owner are deleted.
    ///
    /// # Errors
    /// A request whose handle or sequence number is not that of the allocation ([`Error::BadHandle`],
    /// [`Error::BadSequenceNumber`]) fails all requests for its block and no other; a datastore that does not answer
    /// ends the call.
    pub async fn release_addresses(&self, requests: &[ReleaseRequest]) -> Result<Released, Box<PartlyReleased>> {
        let mut work = Work::default();
        let ended = self.release_all(requests, &mut work).await;
        let Work { mut done, emptied, setting, failure, .. } = work;
        // Also after a failure: other blocks were emptied all the same.
        self.give_up_emptied(emptied, &setting).await;
        done.released.sort();
        done.not_allocated.sort();
        match ended.err().or(failure) {
            None => Ok(done),
            Some(error) => Err(Box::new(PartlyReleased { done, error })),
        }
    }

    async fn release_all(&self, requests: &[ReleaseRequest], work: &mut Work) -> Result<(), Error> {
        let latest: BTreeMap<IpAddr, &ReleaseRequest> = requests.iter().map(|r| (r.address, r)).collect();
        if latest.is_empty() {
            return Ok(());
        }
        let addresses: Vec<IpAddr> = latest.keys().copied().collect();
        let places = self.locate(&addresses).await?;
        let cooldown = places.setting.cooldown(self.now);
        for (address, request) in latest {
            match places.block_of(address) {
                Some(block) => work.waiting.entry(block).or_default().push(request.clone()),
                None => work.done.not_allocated.push(address),
            }
        }
        work.setting = places.setting;
        while !work.waiting.is_empty() {
            let changes = self.plan_changes(work, cooldown).await?;
            for group in groups(changes) {
                self.commit_group(group, work).await?;
            }
        }
        while !work.owed.is_empty() {
            self.commit_group(Vec::new(), work).await?;
        }
        let mut unsure: Vec<(String, IpNetwork)> = std::mem::take(&mut work.unsure).into_iter().collect();
        // As by [`Ipam::release_by_handle`], nothing goes of these that was not released here for certain.
        unsure.retain(|(id, _)| !release::is_of_vm(id));
        for entries in unsure.chunks(WRITES / 2) {
            self.drop_empty_entries(entries).await?;
        }
        Ok(())
    }

    /// Reads the next blocks that wait and plans what to write; what needs no write is done.
    async fn plan_changes(&self, work: &mut Work, cooldown: Cooldown) -> Result<Vec<Change>, Error> {
        let mut next = Vec::new();
        while next.len() < BATCH {
            next.extend(match work.waiting.pop_first() {
                Some(waiting) => [waiting],
                None => break,
            });
        }
        let wants: Vec<Want> = next.iter().map(|(block, _)| Want::Get(Key::Block(*block))).collect();
        let mut answers = self.store.read(&wants).await?;
        let mut changes = Vec::new();
        for (cidr, requests) in next {
            match answers.get::<Block>() {
                Ok(Some(stored)) => changes.extend(plan_change(stored, cidr, requests, cooldown, work)),
                Ok(None) => {
                    for request in requests {
                        let earlier = work.doubtful.contains_key(&request.address);
                        let done = &mut work.done;
                        (if earlier { &mut done.released } else { &mut done.not_allocated }).push(request.address);
                    }
                }
                // What is in other blocks is released all the same.
                Err(error) => work.failure = work.failure.take().or(Some(error.into())),
            }
        }
        Ok(changes)
    }

    /// Commits changes of blocks, and then what handles count less because of these and of earlier ones.
    async fn commit_group(&self, changes: Vec<Change>, work: &mut Work) -> Result<(), Error> {
        let mut owed = work.owed.clone();
        for change in &changes {
            add_up(&mut owed, change);
        }
        let ids: Vec<&String> = owed.keys().take(BATCH).collect();
        let handles = self.read_readable_handles(&ids).await?;
        let mut writes: Vec<Write> = changes.iter().map(|change| change.write.clone()).collect();
        let (mut lowered, mut moot) = (Vec::new(), Vec::new());
        for &id in &ids {
            match handles.get(id).and_then(|handle| discount(handle, &owed[id])) {
                Some(write) => {
                    writes.push(write);
                    lowered.push(id);
                }
                // There is no such handle, or it counts nothing of this.
                None => moot.push(id),
            }
        }
        let blocks = changes.len();
        let outcome = match writes.as_slice() {
            [] => Outcome::Applied(Vec::new()),
            writes => self.store.commit(writes).await?,
        };
        let (landed, lost) = match outcome {
            Outcome::Applied(_) => {
                work.losses = 0;
                (writes.len(), None)
            }
            Outcome::Conflict { index, applied } => {
                (applied.len(), Some(format!("another writer changed {}", writes[index].key)))
            }
            Outcome::Unknown(reason) => {
                for change in changes {
                    work.unsure.extend(change.handles().map(|handle| (handle.clone(), change.block)));
                    work.doubtful.extend(change.ended.iter().cloned());
                    work.wait(change);
                }
                for id in lowered {
                    let entries = work.owed.remove(id).unwrap_or_default();
                    work.unsure.extend(entries.into_keys().map(|block| (id.clone(), block)));
                }
                return work.lose(reason);
            }
        };
        for (index, change) in changes.into_iter().enumerate() {
            if index < landed { work.land(change) } else { work.wait(change) }
        }
        for id in lowered.into_iter().take(landed.saturating_sub(blocks)).chain(moot) {
            work.owed.remove(id);
        }
        lost.map_or(Ok(()), |last| work.lose(last))
    }

    /// After a lost answer it cannot be known whether a handle was lowered, and to lower it twice would make it forget an
    /// address. Where its block has nothing of the handle any more, the entry goes, after the block is rewritten so that
    /// an allocation under way is lost (invariant 2 of the design). Elsewhere the handle may go on counting too much.
    async fn drop_empty_entries(&self, entries: &[(String, IpNetwork)]) -> Result<(), Error> {
        let ids: BTreeSet<&String> = entries.iter().map(|(id, _)| id).collect();
        let ids: Vec<&String> = ids.into_iter().collect();
        let mut last = String::new();
        for _ in 0..RETRIES {
            // The handles before the blocks: of what a handle that was read counts, the block existed.
            let handles = self.read_readable_handles(&ids).await?;
            let counted: Vec<&(String, IpNetwork)> = entries
                .iter()
                .filter(|(id, block)| handles.get(id).is_some_and(|handle| counts(&handle.value, block)))
                .collect();
            let cidrs: BTreeSet<IpNetwork> = counted.iter().map(|(_, block)| *block).collect();
            let wants: Vec<Want> = cidrs.iter().map(|&block| Want::Get(Key::Block(block))).collect();
            let mut answers = self.store.read(&wants).await?;
            let mut blocks = BTreeMap::new();
            for cidr in cidrs {
                if let Ok(block) = answers.get::<Block>() {
                    blocks.insert(cidr, block);
                }
            }
            let (mut touched, mut empty) = (BTreeSet::new(), Owed::new());
            for (id, cidr) in counted {
                match blocks.get(cidr) {
                    Some(Some(stored)) if stored.value.ordinals_of(id).next().is_none() => {
                        touched.insert(*cidr);
                    }
                    Some(None) => {}
                    // It still has something there, or nobody can tell.
                    _ => continue,
                }
                empty.entry(id.clone()).or_default().insert(*cidr, i64::MAX);
            }
            let mut writes = Vec::new();
            for mut stored in touched.iter().filter_map(|cidr| blocks.remove(cidr).flatten()) {
                block::touch(&mut stored.value);
                writes.push(Write::update(stored.key, stored.revision, stored.value));
            }
            writes.extend(empty.iter().filter_map(|(id, entries)| discount(handles.get(id)?, entries)));
            if writes.is_empty() {
                return Ok(());
            }
            last = match self.store.commit(&writes).await? {
                Outcome::Applied(_) => return Ok(()),
                Outcome::Conflict { index, .. } => format!("another writer changed {}", writes[index].key),
                Outcome::Unknown(reason) => reason,
            };
        }
        Err(Error::RetriesUsedUp { last })
    }

    /// Those of the handles that there are. One that cannot be read is left as it is, like one that counts too much.
    async fn read_readable_handles(&self, ids: &[&String]) -> Result<BTreeMap<String, Stored<Handle>>, Error> {
        if ids.is_empty() {
            return Ok(BTreeMap::new());
        }
        let wants: Vec<Want> = ids.iter().map(|&id| Want::Get(Key::Handle(id.clone()))).collect();
        let mut answers = self.store.read(&wants).await?;
        let mut handles = BTreeMap::new();
        for &id in ids {
            if let Ok(Some(stored)) = answers.get::<Handle>() {
                handles.insert(id.clone(), stored);
            }
        }
        Ok(handles)
    }
}

fn add_up(owed: &mut Owed, change: &Change) {
    for handle in change.handles() {
        *owed.entry(handle.clone()).or_default().entry(change.block).or_default() += 1;
    }
}

/// Splits changes into what fits into a commit, each with as many handles as are read together. A block with more
/// handles than that is alone; the rest of its handles come after.
fn groups(changes: Vec<Change>) -> Vec<Vec<Change>> {
    let mut groups: Vec<Vec<Change>> = Vec::new();
    let mut handles: BTreeSet<String> = BTreeSet::new();
    for change in changes {
        let mut together = handles.clone();
        together.extend(change.handles().cloned());
        match groups.last_mut() {
            Some(group) if together.len() <= BATCH && group.len() < WRITES - BATCH => {
                group.push(change);
                handles = together;
            }
            _ => {
                handles = change.handles().cloned().collect();
                groups.push(vec![change]);
            }
        }
    }
    groups
}

/// What the requests do to a block that was read; `None` where that is nothing to write.
fn plan_change(
    stored: Stored<Block>,
    cidr: IpNetwork,
    requests: Vec<ReleaseRequest>,
    cooldown: Cooldown,
    work: &mut Work,
) -> Option<Change> {
    let Stored { key, revision, value: mut block } = stored;
    block::warm_up(&mut block, cooldown);
    let Plan { ordinals, ended, free, earlier, failure } = plan(&block, &requests, &work.doubtful);
    if !earlier.is_empty() && block::is_empty(&block) {
        work.emptied.extend(block.affinity.as_deref().and_then(Owner::parse).map(|owner| (owner, cidr)));
    }
    work.done.released.extend(earlier.iter().copied());
    if let Some(failure) = failure {
        work.failure.get_or_insert(failure);
        return None;
    }
    if ordinals.is_empty() {
        work.done.not_allocated.extend(free);
        return None;
    }
    block::release(&mut block, &ordinals, cooldown);
    let (write, emptied) = release::write_back(key, revision, block);
    let requests = requests.into_iter().filter(|request| !earlier.contains(&request.address)).collect();
    Some(Change { block: cidr, requests, write, ended, free, emptied })
}

fn plan(block: &Block, requests: &[ReleaseRequest], doubtful: &BTreeMap<IpAddr, Holding>) -> Plan {
    let mut plan =
        Plan { ordinals: Vec::new(), ended: Vec::new(), free: Vec::new(), earlier: Vec::new(), failure: None };
    for &ReleaseRequest { address, ref handle, sequence } in requests {
        let Some(ordinal) = block.ordinal(address).filter(|&ordinal| ordinal < block.allocations.len()) else {
            plan.free.push(address);
            continue;
        };
        let attribute = block.attribute_of(ordinal);
        let is_held = block.allocations[ordinal].is_some() && !attribute.is_some_and(Attribute::is_cooling);
        let holder = attribute.and_then(Attribute::handle).filter(|handle| !handle.is_empty()).map(str::to_owned);
        let holding = Holding { sequence: sequence_of(block, ordinal), handle: holder };
        if doubtful.get(&address).is_some_and(|before| !is_held || *before != holding) {
            plan.earlier.push(address);
            continue;
        }
        let stored = holding.sequence;
        if let Some(given) = sequence.filter(|&given| given != stored) {
            plan.failure.get_or_insert(Error::BadSequenceNumber { address, given, stored });
        } else if !is_held {
            plan.free.push(address);
        } else {
            let stored = holding.handle.clone().unwrap_or_default();
            let given = handle
                .as_deref()
                .map(calico_model::handle::sanitised)
                .filter(|given| !given.is_empty() && *given != stored);
            if let Some(given) = given {
                plan.failure.get_or_insert(Error::BadHandle { address, given: given.to_owned(), stored });
            } else {
                plan.ordinals.push(ordinal);
                plan.ended.push((address, holding));
            }
        }
    }
    plan
}

/// The write that makes a handle count so many addresses less, never fewer than none; `None` where it counts none of
/// them. A handle that then counts nothing is deleted.
fn discount(stored: &Stored<Handle>, released: &BTreeMap<IpNetwork, i64>) -> Option<Write> {
    let mut handle = stored.value.clone();
    for (block, &count) in released {
        let mut left = count;
        handle.block.retain(|text, counted| {
            if !names(text, block) {
                return true;
            }
            let taken = left.min(*counted).max(0);
            left -= taken;
            *counted -= taken;
            *counted > 0
        });
    }
    if handle == stored.value {
        return None;
    }
    let (key, revision) = (stored.key.clone(), stored.revision);
    Some(if handle.block.is_empty() { Write::delete(key, revision) } else { Write::update(key, revision, handle) })
}

fn counts(handle: &Handle, block: &IpNetwork) -> bool {
    handle.block.keys().any(|text| names(text, block))
}

/// Whether an entry of a handle names a block, in whatever form it was written.
fn names(text: &str, block: &IpNetwork) -> bool {
    text.parse().is_ok_and(|named| cidr::masked(&named) == *block)
}

#[cfg(test)]
mod tests {
    use super::*;
    use calico_datastore::Revision;
    use std::time::SystemTime;

    fn net(text: &str) -> IpNetwork {
        text.parse().unwrap()
    }

    /// `None`: as it was; an empty list: deleted.
    fn after(entries: &[(&str, i64)], released: &[(&str, i64)]) -> Option<Vec<(String, i64)>> {
        let block = entries.iter().map(|(block, count)| ((*block).to_owned(), *count)).collect();
        let value = Handle { block, ..Handle::default() };
        let stored = Stored { key: Key::Handle("h".into()), revision: Revision(1), value };
        let write = discount(&stored, &released.iter().map(|(block, count)| (net(block), *count)).collect())?;
        Some(write.object.map_or_else(Vec::new, |object| Handle::try_from(object).unwrap().block.into_iter().collect()))
    }

    #[test]
    fn a_handle_is_lowered_by_what_was_released() {
        let entry = |block: &str, count| (block.to_owned(), count);
        let (a, b) = ("10.0.0.0/26", "10.0.0.64/26");
        assert_eq!(after(&[(a, 2)], &[(a, 1)]), Some(vec![entry(a, 1)]));
        assert_eq!(after(&[(a, 1), (b, 3)], &[(a, 1), (b, 1)]), Some(vec![entry(b, 2)]));
        assert_eq!(after(&[(a, 1)], &[(a, 1)]), Some(vec![]));
        assert_eq!(after(&[(a, 1)], &[(a, 5)]), Some(vec![]), "not below zero");
        assert_eq!(after(&[("10.0.0.9/26", 1), (b, 1)], &[(a, 1)]), Some(vec![entry(b, 1)]), "however it is written");
        assert_eq!(after(&[("junk", 1)], &[(a, 1)]), None);
    }

    #[test]
    fn commits_have_a_bounded_size() {
        let change = |index: u32, handles: u32| {
            let address = IpAddr::from(std::net::Ipv4Addr::from(index * 4096));
            let block = IpNetwork::new(address, 20).unwrap();
            let handle = |n| Some(format!("h{index}-{n}"));
            let ended = (0..handles).map(|n| (address, Holding { sequence: 0, handle: handle(n) })).collect();
            let write = Write::delete(Key::Block(block), Revision(1));
            Change { block, requests: vec![], write, ended, free: vec![], emptied: None }
        };
        let sizes = |handles: &[u32]| {
            let changes = handles.iter().zip(0..).map(|(&handles, index)| change(index, handles)).collect();
            groups(changes).iter().map(Vec::len).collect::<Vec<_>>()
        };
        assert_eq!(sizes(&[30, 30, 5, 60]), [2, 1, 1]);
        assert_eq!(sizes(&[4096, 1, 1]), [1, 2]);
        assert_eq!(sizes(&[0; 40]), [36, 4]);
        assert!(sizes(&[]).is_empty());
    }

    #[test]
    fn what_a_lost_answer_released_is_not_released_again() {
        let mut block = Block::new(net("10.0.0.0/30"), &Owner::Host("n".into()), SystemTime::UNIX_EPOCH);
        let holder = |handle: &str| Attribute { handle_id: Some(handle.into()), ..Attribute::default() };
        let address: IpAddr = "10.0.0.1".parse().unwrap();
        block::assign(&mut block, 1, &holder("a"));
        let requests = [ReleaseRequest::any(address)];
        let before = plan(&block, &requests, &BTreeMap::new());
        assert_eq!(before.ordinals, [1]);
        let doubtful: BTreeMap<_, _> = before.ended.into_iter().collect();
        assert_eq!(plan(&block, &requests, &doubtful).ordinals, [1], "it did not land");
        let at_once = Cooldown { rest: std::time::Duration::ZERO, now: SystemTime::UNIX_EPOCH };
        block::release(&mut block, &[1], at_once);
        assert_eq!(plan(&block, &requests, &doubtful).earlier, [address]);
        block::assign(&mut block, 1, &holder("a"));
        let again = plan(&block, &requests, &doubtful);
        assert_eq!((again.earlier, again.ordinals), (vec![address], vec![]), "it is another allocation by now");
    }

    #[test]
    fn an_emptied_block_is_its_owners_or_goes() {
        let at_once = Cooldown { rest: std::time::Duration::ZERO, now: SystemTime::UNIX_EPOCH };
        let holder = Attribute { handle_id: Some("h".into()), ..Attribute::default() };
        let cidr = net("10.0.0.0/30");
        let change = |affinity: Option<&str>, assigned: usize| {
            let mut block = Block::new(cidr, &Owner::Host("n".into()), SystemTime::UNIX_EPOCH);
            block.affinity = affinity.map(str::to_owned);
            block::assign_next(&mut block, assigned, &holder, &Default::default());
            let stored = Stored { key: Key::Block(cidr), revision: Revision(1), value: block };
            let requests = vec![ReleaseRequest::any(cidr.network())];
            let change = plan_change(stored, cidr, requests, at_once, &mut Work::default()).unwrap();
            (change.emptied, change.write.object.is_none())
        };
        assert_eq!(change(Some("host:n"), 2), (None, false));
        assert_eq!(change(Some("host:n"), 1), (Some(Owner::Host("n".into())), false));
        assert_eq!(change(None, 2), (None, false));
        assert_eq!(change(None, 1), (None, true));
    }

    #[test]
    fn an_address_without_attribute_can_be_released() {
        let mut block = Block::new(net("10.0.0.0/30"), &Owner::Host("n".into()), SystemTime::UNIX_EPOCH);
        block.allocations[2] = Some(7);
        let request = ReleaseRequest::any("10.0.0.2".parse().unwrap());
        assert_eq!(plan(&block, std::slice::from_ref(&request), &BTreeMap::new()).ordinals, [2]);
        let named = ReleaseRequest { handle: Some("h".into()), ..request };
        assert!(matches!(plan(&block, &[named], &BTreeMap::new()).failure, Some(Error::BadHandle { .. })));
    }
}
