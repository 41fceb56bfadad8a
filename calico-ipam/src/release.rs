//! Giving addresses back.

use std::collections::BTreeMap;

use calico_datastore::{Answers, Datastore, Outcome, Revision, Stored, Want, Write};
use calico_model::{Attribute, Block, Handle, IpamConfig, Key, Owner, cidr};
use ipnetwork::IpNetwork;

use crate::affinities::{Setting, Surroundings};
use crate::block::{self, Cooldown};
use crate::error::Error;
use crate::{Attempts, Ipam, Lease, RETRIES};

impl<D: Datastore> Ipam<D> {
    /// Reads a handle for [`Ipam::release_by_handle`].
    pub async fn read_handle(&self, handle: &str) -> Result<Option<Stored<Handle>>, Error> {
        Ok(self.read_handles([handle.to_owned()]).await?.pop())
    }

    /// Reads those of the handles that there are, together.
    pub async fn read_handles(&self, handles: impl IntoIterator<Item = String>) -> Result<Vec<Stored<Handle>>, Error> {
        let wants: Vec<Want> = handles.into_iter().map(|handle| Want::Get(Key::Handle(handle))).collect();
        let mut answers = self.store.read(&wants).await?;
        let mut found = Vec::new();
        for _ in &wants {
            found.extend(answers.get()?);
        }
        Ok(found)
    }

    /// Reads what releasing handles starts from, for [`Ipam::release`]; `config` are the settings, where they can be
    /// read.
    pub async fn read_held(
        &self,
        handles: Vec<Stored<Handle>>,
        config: Option<IpamConfig>,
    ) -> Result<Vec<Held>, Error> {
        let all = !self.store.answers_singly();
        let mut held = Vec::new();
        for handle in handles {
            let mut wants = if all { Surroundings::wants(&self.owner) } else { Vec::new() };
            wants.extend(blocks_of(&handle.value).into_iter().map(|block| Want::Get(Key::Block(block))));
            let read = match self.store.read(&wants).await {
                // What may be read is found out where it is needed.
                Err(calico_datastore::Error::Forbidden { .. }) => None,
                answers => {
                    let mut answers = answers?;
                    let surroundings = all.then(|| Surroundings::take(&self.owner, &mut answers));
                    Some((Setting::of(config.clone(), surroundings), answers))
                }
            };
            held.push(Held { handle, read });
        }
        Ok(held)
    }

    /// Releases every address of a handle that was read, with what it starts from.
    pub async fn release(&self, held: Held) -> Result<(), Error> {
        self.release_known(held.handle, held.read).await
    }

    /// Releases every address of a handle that was read. Without a handle there is nothing to release.
    pub async fn release_by_handle(&self, known: Option<Stored<Handle>>) -> Result<(), Error> {
        match known {
            Some(known) => self.release_known(known, None).await,
            None => Ok(()),
        }
    }

    async fn release_known(&self, known: Stored<Handle>, read: Option<(Setting, Answers)>) -> Result<(), Error> {
        let Key::Handle(id) = known.key.clone() else { return Ok(()) };
        let blocks = blocks_of(&known.value);
        // Processes of other hosts may be about to assign what a virtual machine's handle counts.
        let count = if is_of_vm(&id) { Count::Lower(BTreeMap::new()) } else { Count::Exact };
        self.settle_from(&id, (Some(known), read), blocks, count, |_| true).await
    }

    /// Makes a handle count what its blocks hold: after a process that died may have counted what it did not assign. For
    /// handles that nobody else is writing.
    pub(crate) async fn recount(&self, handle: &str) -> Result<(), Error> {
        let Some(known) = self.read_handle(handle).await? else { return Ok(()) };
        let blocks = blocks_of(&known.value);
        self.settle_from(handle, (Some(known), None), blocks, Count::Exact, |_| false).await
    }

    /// Takes back what `lease` may have got, whether or not this process ever heard of it.
    pub async fn undo(&self, lease: &Lease) -> Result<(), Error> {
        let tried = lease.tried.borrow().clone();
        if !tried.is_empty() {
            // A commit that was cut short may be under way, and create what there is nothing yet to guard.
            self.store.settle().await?;
        }
        self.settle(lease.handle(), tried, |attribute| attribute == &lease.holder).await
    }

    /// Releases the addresses of a handle in the given blocks whose attribute is `chosen`, and lowers what the handle counts
    /// there by these, and by what attempts have left over.
    pub(crate) async fn settle(
        &self,
        handle: &str,
        tried: BTreeMap<IpNetwork, Attempts>,
        chosen: impl Fn(&Attribute) -> bool,
    ) -> Result<(), Error> {
        if tried.is_empty() {
            return Ok(());
        }
        let is_shared = is_of_vm(handle);
        let spare = |attempts: &Attempts| if is_shared { attempts.over } else { attempts.over + attempts.unsure };
        let known = self.read_handle(handle).await?;
        let blocks = tried.keys().copied().collect();
        let spare = tried.iter().map(|(&block, attempts)| (block, spare(attempts))).collect();
        self.settle_from(handle, (known, None), blocks, Count::Lower(spare), chosen).await
    }

    /// As [`Ipam::settle`], with the handle as it was read, and perhaps its blocks.
    ///
    /// Each block is rewritten even if nothing in it is released, before the handle's entry goes: a request of a dead
    /// process that is still on its way then loses its compare-and-swap instead of allocating an address that no
    /// handle remembers (invariant 2 of the design).
    async fn settle_from(
        &self,
        handle: &str,
        (known, mut read): (Option<Stored<Handle>>, Option<(Setting, Answers)>),
        blocks: Vec<IpNetwork>,
        mut count: Count,
        chosen: impl Fn(&Attribute) -> bool,
    ) -> Result<(), Error> {
        // What only an emptied block needs is read beforehand where it costs nothing.
        let (mut known, mut may_read_all) = (Some(known), !self.store.answers_singly());
        let mut last = String::new();
        for _ in 0..RETRIES {
            // The handle first: a block that is absent after that is not counted by an entry that is newer.
            let counted = match known.clone() {
                Some(counted) => counted,
                None => self.read_handle(handle).await?,
            };
            let (setting, mut answers) = match read.take() {
                Some(read) => read,
                None => {
                    let mut wants = Setting::wants(&self.owner, may_read_all);
                    wants.extend(blocks.iter().map(|&block| Want::Get(Key::Block(block))));
                    let mut answers = match self.store.read(&wants).await {
                        Err(calico_datastore::Error::Forbidden { .. }) if may_read_all => {
                            may_read_all = false;
                            continue;
                        }
                        answers => answers?,
                    };
                    (Setting::take(&self.owner, may_read_all, &mut answers), answers)
                }
            };
            known = None;
            let mut left = counted.as_ref().map(|stored| canonical(&stored.value)).unwrap_or_default();
            let (mut writes, mut released, mut emptied) = (Vec::new(), Vec::new(), Vec::new());
            let mut unreadable = Ok(());
            for block in &blocks {
                match answers.get::<Block>() {
                    Ok(Some(stored)) => {
                        let taken = take_back(stored, handle, setting.cooldown(self.now), &chosen);
                        let entry = count.left(block, left.count(block), taken.released, taken.remaining);
                        if taken.released > 0 || count.rewrites(block) {
                            left.set(block, entry);
                            emptied.extend(taken.emptied.map(|owner| (owner, *block)));
                            released.push((*block, taken.released));
                            writes.push(taken.write);
                        }
                    }
                    Ok(None) => left.set(block, count.left(block, left.count(block), 0, 0)),
                    // The handle keeps this block; what it has in others is released all the same.
                    Err(error) => unreadable = Err(error.into()),
                }
            }
            writes.extend(counted.and_then(|counted| recount(counted, left)));
            if writes.is_empty() {
                return unreadable;
            }
            match self.store.commit(&writes).await? {
                Outcome::Applied(_) => {
                    self.give_up_emptied(emptied, &setting).await;
                    return unreadable;
                }
                Outcome::Conflict { index, applied } => {
                    last = format!("another writer changed {}", writes[index].key);
                    count.owe(released.into_iter().take(applied.len()));
                }
                Outcome::Unknown(reason) => last = reason,
            }
        }
        Err(Error::RetriesUsedUp { last })
    }
}

/// A handle that was read, and what releasing its addresses starts from.
pub struct Held {
    handle: Stored<Handle>,
    /// The settings, and the handle's blocks.
    read: Option<(Setting, Answers)>,
}

/// How a handle's entry follows what its block holds.
enum Count {
    /// It counts exactly what is left: the handle is this container's alone, and all of it is released.
    Exact,
    /// It is lowered by what is released, and by so many more for each block, never below what the block holds: others may be
    /// adding to it, or lowering it themselves.
    Lower(BTreeMap<IpNetwork, i64>),
}

impl Count {
    fn left(&self, block: &IpNetwork, counted: i64, released: i64, remaining: i64) -> i64 {
        match self {
            Count::Exact => remaining,
            Count::Lower(spare) => {
                let spare = spare.get(block).copied().unwrap_or(0);
                counted.saturating_sub(released).saturating_sub(spare).max(remaining)
            }
        }
    }

    /// Whether an entry may go although nothing is released in the block.
    fn rewrites(&self, block: &IpNetwork) -> bool {
        match self {
            Count::Exact => true,
            Count::Lower(spare) => spare.get(block).is_some_and(|&spare| spare > 0),
        }
    }

    /// Takes note that addresses were released, and the entry not yet lowered.
    fn owe(&mut self, released: impl Iterator<Item = (IpNetwork, i64)>) {
        if let Count::Lower(spare) = self {
            for (block, count) in released {
                *spare.entry(block).or_default() += count;
            }
        }
    }
}

/// A block without the chosen addresses of a handle.
struct Taken {
    write: Write,
    /// How many addresses of the handle were released.
    released: i64,
    /// How many addresses the handle still has in it.
    remaining: i64,
    /// The owner of the block, if nothing in it is in use any more.
    emptied: Option<Owner>,
}

fn take_back(stored: Stored<Block>, handle: &str, cooldown: Cooldown, chosen: impl Fn(&Attribute) -> bool) -> Taken {
    let Stored { key, revision, value: mut block } = stored;
    block::warm_up(&mut block, cooldown);
    let (mut ordinals, mut remaining) = (Vec::new(), 0);
    for ordinal in block.ordinals_of(handle) {
        if block.attribute_of(ordinal).is_some_and(&chosen) {
            ordinals.push(ordinal);
        } else {
            remaining += 1;
        }
    }
    if ordinals.is_empty() {
        block::touch(&mut block);
    } else {
        block::release(&mut block, &ordinals, cooldown);
    }
    let (write, emptied) = write_back(key, revision, block);
    Taken { write, released: ordinals.len() as i64, remaining, emptied: emptied.filter(|_| !ordinals.is_empty()) }
}

/// The write of a block that was changed, which goes where nothing in it is in use and nobody owns it; and its owner, where
/// nothing in it is in use.
pub(crate) fn write_back(key: Key, revision: Revision, block: Block) -> (Write, Option<Owner>) {
    match (block::is_empty(&block), &block.affinity) {
        (true, None) => (Write::delete(key, revision), None),
        (is_empty, affinity) => {
            let owner = affinity.as_deref().filter(|_| is_empty).and_then(Owner::parse);
            (Write::update(key, revision, block), owner)
        }
    }
}

/// Whether a handle is a virtual machine's, `<network>.vmi.<namespace>.<name>`. Processes of several hosts write those at the same
/// time, for one machine on its way from host to host: what one does not see in a block, another may be about to put there.
pub(crate) fn is_of_vm(handle: &str) -> bool {
    handle.split_once(".vmi.").is_some_and(|(_, machine)| machine.contains('.') || machine.starts_with('_'))
}

/// The write that makes a handle count what is left; `None` where it already does.
fn recount(counted: Stored<Handle>, left: Handle) -> Option<Write> {
    if left.block.is_empty() {
        Some(Write::delete(counted.key, counted.revision))
    } else if left != counted.value {
        Some(Write::update(counted.key, counted.revision, left))
    } else {
        None
    }
}

/// The blocks that a handle names.
pub(crate) fn blocks_of(handle: &Handle) -> Vec<IpNetwork> {
    canonical(handle).block.keys().filter_map(|cidr| cidr.parse().ok()).collect()
}

/// The handle with its blocks named as this code names them. An entry that is no CIDR names no block, and is dropped.
fn canonical(handle: &Handle) -> Handle {
    let mut canonical = Handle { block: BTreeMap::new(), ..handle.clone() };
    for (text, &count) in &handle.block {
        if let Ok(cidr) = text.parse::<IpNetwork>() {
            let cidr = cidr::masked(&cidr);
            canonical.set(&cidr, canonical.count(&cidr).saturating_add(count.max(1)));
        }
    }
    canonical
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_renamed_or_dropped() {
        let text = r#"{"block":{"junk":1,"10.0.0.77/26":2,"10.0.0.64/26":1,"fd00::/122":0}}"#;
        let handle: Handle = serde_json::from_str(text).unwrap();
        let expected = [("10.0.0.64/26".to_owned(), 3), ("fd00::/122".to_owned(), 1)];
        assert_eq!(canonical(&handle).block, expected.into());
        assert_eq!(blocks_of(&handle).len(), 2);
    }

    #[test]
    fn handles_of_virtual_machines() {
        for (handle, is) in [
            ("net.vmi.ns.vm", true),
            ("net.vmi._3f1c", true),
            ("net.1.vmi.ns.vm", true),
            ("net.3f1c", false),
            ("x.vmi.3f1c", false),
            ("vmi.3f1c.x", false),
        ] {
            assert_eq!(is_of_vm(handle), is, "{handle}");
        }
    }
}
