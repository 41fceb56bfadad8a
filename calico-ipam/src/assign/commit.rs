//! Writing an allocation: the handle first, then the blocks.

use std::collections::BTreeMap;
use std::net::IpAddr;

use calico_datastore::{Datastore, Expect, Outcome, Revision, Stored, Want, Write};
use calico_model::{Block, Handle, Key};
use ipnetwork::IpNetwork;

use crate::error::Error;
use crate::{Allocation, Ipam, Lease};

/// A block before and after some of its addresses are given out.
pub(super) struct Change {
    pub before: Stored<Block>,
    pub after: Block,
    pub addresses: Vec<IpAddr>,
}

impl Change {
    fn block(&self) -> IpNetwork {
        self.before.value.cidr
    }

    pub fn allocations(self) -> impl Iterator<Item = Allocation> {
        let block = self.block();
        self.addresses.into_iter().map(move |address| Allocation { address, block })
    }
}

/// What became of a list of changes.
pub(super) enum Committed {
    All,
    /// The first so many; the next met another writer's change.
    First(usize, String),
    Unknown(String),
}

/// Keeps a handle's counts true while blocks are tried.
///
/// Counts are changed relative to what is stored, never set: another process may be adding to the same handle.
pub(super) struct HandleWriter {
    key: Key,
    stored: Option<Stored<Handle>>,
    /// What the stored handle counts for this call beyond what its blocks hold.
    uncovered: BTreeMap<IpNetwork, i64>,
}

impl HandleWriter {
    /// A container's handle is new, almost always: it is read only when creating it shows that it is there.
    pub fn assuming_absent(handle: &str) -> HandleWriter {
        HandleWriter { key: Key::Handle(handle.to_owned()), stored: None, uncovered: BTreeMap::new() }
    }

    /// The blocks in which the handle counts addresses that this call did not get.
    pub fn uncovered(&self) -> Vec<IpNetwork> {
        self.uncovered.keys().copied().collect()
    }

    /// The handle that counts the changes, too; `None` where the stored one already does.
    fn counting(&self, changes: &[Change]) -> Option<Handle> {
        let mut value = self.stored.as_ref().map(|stored| stored.value.clone()).unwrap_or_default();
        for (block, count) in &self.uncovered {
            value.set(block, value.count(block) - count);
        }
        for change in changes {
            value.set(&change.block(), value.count(&change.block()) + change.addresses.len() as i64);
        }
        let counted = self.stored.as_ref().is_some_and(|stored| stored.value == value);
        (!counted).then_some(value)
    }

    fn expect(&self) -> Expect {
        self.stored.as_ref().map_or(Expect::Absent, |stored| Expect::At(stored.revision))
    }

    /// Takes note of what was applied of a commit: the handle's own write, if there was one (`counting`), and then the
    /// changes. Answers how many changes.
    fn note(&mut self, counting: Option<Handle>, revisions: &[Revision], changes: &[Change]) -> usize {
        let mut revisions = revisions.iter();
        if let Some(value) = counting {
            let Some(&revision) = revisions.next() else { return 0 };
            self.stored = Some(Stored { key: self.key.clone(), revision, value });
        }
        let landed = revisions.len().min(changes.len());
        self.uncovered = changes[landed..].iter().map(|c| (c.block(), c.addresses.len() as i64)).collect();
        landed
    }

    async fn reload(&mut self, store: &impl Datastore) -> Result<(), Error> {
        self.stored = store.read(&[Want::Get(self.key.clone())]).await?.get()?;
        Ok(())
    }
}

impl<D: Datastore> Ipam<D> {
    /// Commits changes of blocks together with the handle that counts them.
    pub(super) async fn commit_changes(
        &self,
        changes: &[Change],
        handle: &mut HandleWriter,
        lease: &Lease,
    ) -> Result<Committed, Error> {
        let counting = handle.counting(changes);
        let mut writes: Vec<Write> = Vec::new();
        if let Some(value) = &counting {
            writes.push(Write::put(handle.key.clone(), handle.expect(), value.clone()));
        }
        for change in changes {
            lease.trying(change.block());
            writes.push(Write::update(change.before.key.clone(), change.before.revision, change.after.clone()));
        }
        match self.store.commit(&writes).await? {
            Outcome::Applied(revisions) => {
                handle.note(counting, &revisions, changes);
                Ok(Committed::All)
            }
            Outcome::Conflict { index, applied } => {
                let landed = handle.note(counting, &applied, changes);
                if writes[index].key == handle.key {
                    handle.reload(&self.store).await?;
                }
                Ok(Committed::First(landed, format!("another writer changed {}", writes[index].key)))
            }
            Outcome::Unknown(reason) => {
                // Whether the handle counts these already cannot be told: counting them again is the safe mistake.
                handle.uncovered.clear();
                handle.reload(&self.store).await?;
                Ok(Committed::Unknown(reason))
            }
        }
    }
}
