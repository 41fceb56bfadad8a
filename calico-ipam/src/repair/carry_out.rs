//! Carrying repairs out: each against exactly what was read.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::time::SystemTime;

use calico_datastore::{Datastore, Error, Stored, Want, Write};
use calico_model::{Affinity, AffinityState, Attribute, Block, Handle, IpamConfig, Key, Kind, Listing, Owner};
use ipnetwork::IpNetwork;

use super::handles::{held_in, named_blocks, recounted};
use super::living::Living;
use super::world::{World, Written};
use super::{Action, End, Release, Repair};
use crate::audit::Snapshot;
use crate::block::{self, Cooldown};
use crate::query::sequence_of;
use crate::release;

/// The most blocks that are written together: etcd takes 128 writes at once.
const MOST_BLOCKS: usize = 100;

/// Carries out repairs, at best [`TOGETHER`](super::TOGETHER) in a call and in the order of the plan, and answers what
/// became of each. `written` goes with them from call to call.
///
/// # Errors
/// The datastore does not answer, or refuses.
pub async fn carry_out(
    store: &impl Datastore,
    repairs: &[Repair],
    written: &mut Written,
    now: SystemTime,
) -> Result<Vec<End>, Error> {
    let singles = World::wants(repairs);
    let living: &[Kind] = if repairs.iter().any(asks_who_lives) { &[Kind::WorkloadEndpoint, Kind::Node] } else { &[] };
    let lists = living.iter().map(|&kind| Want::List(Listing::Resources(kind)));
    let wants: Vec<Want> = [Want::Get(Key::IpamConfig)].into_iter().chain(lists).chain(singles.clone()).collect();
    let mut answers = store.read(&wants).await?;
    // Where it cannot be read, nobody's rest ends.
    let config = answers.get::<IpamConfig>().map(|stored| stored.map(|stored| stored.value).unwrap_or_default());
    let rest = config.map_or(std::time::Duration::MAX, |config| config.cooldown());
    let mut seen_again = Snapshot { endpoints_are_pods: store.endpoints_are_pods(), ..Snapshot::default() };
    for entry in living.iter().flat_map(|_| answers.entries()) {
        seen_again.take(entry);
    }
    let mut world = World::take(&singles, &mut answers, written);
    read_named_blocks(store, repairs, &mut world).await?;
    let mut hand = Hand { living: Living::of(&seen_again, now), cooldown: Cooldown { rest, now }, world, store };
    let mut ends = Vec::with_capacity(repairs.len());
    for repair in repairs {
        ends.push(match hand.world.objection(repair) {
            Some(reason) => End::Skipped(reason),
            None => hand.carry_out(&repair.action).await?,
        });
    }
    Ok(ends)
}

/// Whether a repair depends on who uses addresses, or on which nodes there are.
fn asks_who_lives(repair: &Repair) -> bool {
    match &repair.action {
        Action::Settle { releases, .. } => !releases.is_empty(),
        Action::Mend { free, .. } => !free.is_empty(),
        Action::DropAffinity { gone, .. } => *gone,
        Action::GiveUp { .. } => true,
    }
}

/// Reads the blocks that handles name beyond those that their repairs rest on: blocks that cannot be read, and those of a
/// handle of which only the version is known.
async fn read_named_blocks(store: &impl Datastore, repairs: &[Repair], world: &mut World<'_>) -> Result<(), Error> {
    let mut unseen: BTreeSet<Key> = BTreeSet::new();
    for repair in repairs {
        if let Action::Settle { handle, .. } = &repair.action
            && let Some(stored) = world.get::<Handle>(&Key::Handle(handle.clone()))
        {
            let named = named_blocks(&stored.value).into_iter().map(Key::Block);
            unseen.extend(named.filter(|key| !repair.seen.contains_key(key)));
        }
    }
    let wants: Vec<Want> = unseen.into_iter().map(Want::Get).collect();
    if !wants.is_empty() {
        world.add(&wants, &mut store.read(&wants).await?);
    }
    Ok(())
}

/// What repairs are carried out with.
struct Hand<'a, D> {
    living: Living<'a>,
    cooldown: Cooldown,
    world: World<'a>,
    store: &'a D,
}

impl<D: Datastore> Hand<'_, D> {
    async fn carry_out(&mut self, action: &Action) -> Result<End, Error> {
        let planned = match action {
            Action::Settle { handle, releases, blocks } => self.settle(handle, releases, blocks),
            Action::Mend { block, free } => self.mend(*block, free),
            Action::DropAffinity { owner, block, gone } => self.drop_affinity(owner, *block, *gone),
            Action::GiveUp { owner, block } => return self.give_up(owner, *block).await,
        };
        match planned {
            Ok(writes) => self.world.commit(self.store, writes).await,
            Err(reason) => Ok(End::Skipped(reason)),
        }
    }

    /// The blocks first, each rewritten where the handle is to count less, and then the handle.
    fn settle(&self, id: &str, releases: &[Release], blocks: &[IpNetwork]) -> Result<Vec<Write>, String> {
        let must_be_unused = blocks.is_empty();
        let key = Key::Handle(id.to_owned());
        let known = self.world.get::<Handle>(&key);
        let mut blocks: BTreeSet<IpNetwork> = blocks.iter().copied().collect();
        blocks.extend(known.iter().flat_map(|stored| named_blocks(&stored.value)));
        let (mut writes, mut left) = (Vec::new(), HashMap::new());
        for &cidr in &blocks {
            let key = Key::Block(cidr);
            let Some(mut stored) = self.world.get::<Block>(&key) else {
                // What cannot be read may have some.
                left.insert(cidr, (!self.world.has(&key)).then_some(0));
                continue;
            };
            let of_block = releases.iter().filter(|release| release.block == cidr);
            let ordinals =
                of_block.map(|release| self.released(&stored.value, id, release)).collect::<Result<Vec<_>, _>>()?;
            let remaining = held_in(&stored.value, id) - ordinals.len() as i64;
            left.insert(cidr, Some(remaining));
            let counted = known.as_ref().map_or(0, |stored| counted_in(&stored.value, cidr));
            if !ordinals.is_empty() {
                block::release(&mut stored.value, &ordinals, self.cooldown);
            } else if counted > remaining || known.as_ref().is_some_and(|it| names(&it.value, cidr) && remaining == 0) {
                block::touch(&mut stored.value);
            } else {
                continue;
            }
            writes.push(release::write_back(stored.key, stored.revision, stored.value).0);
        }
        if writes.len() > MOST_BLOCKS {
            return Err(format!("{id} has addresses in more than {MOST_BLOCKS} blocks: release it by a report"));
        }
        let after = recounted(known.as_ref().map(|stored| &stored.value), &blocks, |block| left[&block]);
        if must_be_unused && !after.block.is_empty() {
            return Err(format!("something is allocated to {id}, or may be"));
        }
        writes.extend(match known {
            None if after.block.is_empty() => None,
            None => Some(Write::create(key, after)),
            Some(stored) if after.block.is_empty() => Some(Write::delete(key, stored.revision)),
            Some(stored) if after == stored.value => None,
            Some(stored) => Some(Write::update(key, stored.revision, after)),
        });
        Ok(writes)
    }

    /// The ordinal of an address that is to be released, if it still is to be.
    fn released(&self, block: &Block, handle: &str, release: &Release) -> Result<usize, String> {
        let address = release.address;
        let changed = || format!("{address} is another allocation by now");
        let ordinal = block.ordinal(address).ok_or_else(changed)?;
        let attribute = block.attribute_of(ordinal).filter(|it| it.handle() == Some(handle)).ok_or_else(changed)?;
        if sequence_of(block, ordinal) != release.sequence {
            return Err(changed());
        }
        let returned = release.gone.as_deref().and_then(|node| self.living.node_objection(node));
        match returned.or_else(|| self.living.objection(address, attribute)) {
            Some(objection) => Err(objection.trim_end_matches('.').to_owned()),
            None => Ok(ordinal),
        }
    }

    fn mend(&self, cidr: IpNetwork, free: &[IpAddr]) -> Result<Vec<Write>, String> {
        let Some(Stored { key, revision, value: mut block }) = self.world.get::<Block>(&Key::Block(cidr)) else {
            // It was emptied by an earlier repair, and went.
            return Ok(Vec::new());
        };
        let used = free.iter().find_map(|&address| self.living.objection(address, &Attribute::default()));
        if let Some(objection) = used {
            return Err(objection.trim_end_matches('.').to_owned());
        }
        let is_free =
            |&ordinal: &usize| block.attribute_of(ordinal).is_none() && !block.unallocated.contains(&(ordinal as i64));
        let ordinals: Vec<usize> = free.iter().filter_map(|&it| block.ordinal(it)).filter(is_free).collect();
        let is_changed = block::mend(&mut block, &ordinals);
        Ok(is_changed.then(|| release::write_back(key, revision, block).0).into_iter().collect())
    }

    fn drop_affinity(&self, owner: &Owner, cidr: IpNetwork, gone: bool) -> Result<Vec<Write>, String> {
        let key = Key::Affinity { owner: owner.clone(), block: cidr };
        if self.world.get::<Block>(&Key::Block(cidr)).is_some_and(|stored| stored.value.is_owned_by(owner)) {
            return Err(format!("block {cidr} is {owner}'s by now"));
        }
        if gone {
            self.is_gone(owner)?;
        }
        let stored = self.world.get::<Affinity>(&key);
        Ok(stored.map(|stored| Write::delete(key, stored.revision)).into_iter().collect())
    }

    fn is_gone(&self, owner: &Owner) -> Result<(), String> {
        match self.living.node_objection(owner.name()) {
            Some(objection) => Err(objection.trim_end_matches('.').to_owned()),
            None => Ok(()),
        }
    }

    /// The affinity is marked before the block goes, and goes after it, as whoever gives a block up does.
    async fn give_up(&mut self, owner: &Owner, cidr: IpNetwork) -> Result<End, Error> {
        if let Err(reason) = self.is_gone(owner) {
            return Ok(End::Skipped(reason));
        }
        let key = Key::Affinity { owner: owner.clone(), block: cidr };
        if let Some(Stored { revision, value: block, .. }) = self.world.get::<Block>(&Key::Block(cidr)) {
            if !block::is_unused(&block, self.cooldown) {
                return Ok(End::Skipped(format!("addresses of block {cidr} are in use, or rest")));
            }
            let mark = self.world.get::<Affinity>(&key).map(|stored| {
                let state = AffinityState::PendingDeletion;
                Write::update(key.clone(), stored.revision, Affinity { state, ..stored.value })
            });
            let writes = mark.into_iter().chain([Write::delete(Key::Block(cidr), revision)]).collect();
            let end = self.world.commit(self.store, writes).await?;
            if end != End::Done {
                return Ok(end);
            }
        }
        let stored = self.world.get::<Affinity>(&key);
        let delete = stored.map(|stored| Write::delete(key, stored.revision));
        self.world.commit(self.store, delete.into_iter().collect()).await
    }
}

/// How many addresses a handle counts in a block, under whatever names.
fn counted_in(handle: &Handle, block: IpNetwork) -> i64 {
    let of_block = handle.block.iter().filter(|(text, _)| is_name_of(text, block));
    of_block.map(|(_, &count)| count).fold(0, i64::saturating_add)
}

fn names(handle: &Handle, block: IpNetwork) -> bool {
    handle.block.keys().any(|text| is_name_of(text, block))
}

fn is_name_of(text: &str, block: IpNetwork) -> bool {
    text.parse().is_ok_and(|named| calico_model::cidr::masked(&named) == block)
}
