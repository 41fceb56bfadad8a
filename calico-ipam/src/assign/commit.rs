//! Writing an allocation: the handle first, then the blocks.

use std::collections::BTreeSet;
use std::net::IpAddr;

use calico_datastore::{Datastore, Expect, Outcome, Revision, Stored, Want, Write};
use calico_model::{Block, Handle, IpVersion, Key};
use ipnetwork::IpNetwork;

use crate::error::Error;
use crate::{Allocation, Ipam, Lease};

/// A block before and after some of its addresses are given out.
pub(crate) struct Change {
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
    /// The handle would have more addresses of the family than it may; it has so many.
    HandleIsFull(IpVersion, usize),
}

/// Counts addresses in a handle before they are assigned.
///
/// Every commit of addresses carries a write of the handle, and every one counts more than is stored: so whoever is
/// about to forget the handle (a DEL that rewrote the block and now deletes the handle) loses against it. Counts that
/// no address follows are made true at the end, block first, by [`Ipam::settle`].
pub(super) struct HandleWriter {
    key: Key,
    stored: Option<Stored<Handle>>,
    /// The most addresses of a family that it may count.
    most: Option<usize>,
    /// Blocks in which the handle may count addresses that this call did not get.
    uncovered: BTreeSet<IpNetwork>,
}

impl HandleWriter {
    /// A container's handle is new, almost always: it is read only when creating it shows that it is there.
    pub fn assuming_absent(handle: &str, most: Option<usize>) -> HandleWriter {
        HandleWriter { key: Key::Handle(handle.to_owned()), stored: None, most, uncovered: BTreeSet::new() }
    }

    /// The family of which the handle would count more than it may, and how many it counts now.
    fn is_full(&self, changes: &[Change]) -> Option<(IpVersion, usize)> {
        let most = self.most?;
        let counted = |version| self.stored.as_ref().map_or(0, |stored| stored.value.count_of(version));
        let added = |version| {
            let of_family = changes.iter().filter(|change| change.before.value.version() == version);
            of_family.map(|change| change.addresses.len()).sum::<usize>()
        };
        IpVersion::BOTH
            .into_iter()
            .map(|version| (version, counted(version), added(version)))
            .find(|(_, counted, added)| *added > 0 && counted + added > most)
            .map(|(version, counted, _)| (version, counted))
    }

    /// The handle that counts the changes, too. Relative to what is stored: another process may be adding to it.
    fn counting(&self, changes: &[Change]) -> Handle {
        let mut value = self.stored.as_ref().map(|stored| stored.value.clone()).unwrap_or_default();
        for change in changes {
            value.set(&change.block(), value.count(&change.block()).saturating_add(change.addresses.len() as i64));
        }
        value
    }

    fn expect(&self) -> Expect {
        self.stored.as_ref().map_or(Expect::Absent, |stored| Expect::At(stored.revision))
    }

    /// Takes note of what was applied of a commit: the handle's own write, then the changes. Answers how many changes.
    fn note(&mut self, value: Handle, revisions: &[Revision], changes: &[Change]) -> usize {
        let Some((&revision, landed)) = revisions.split_first() else { return 0 };
        self.stored = Some(Stored { key: self.key.clone(), revision, value });
        self.uncovered.extend(changes.iter().skip(landed.len()).map(Change::block));
        landed.len()
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
        if let Some((version, held)) = handle.is_full(changes) {
            return Ok(Committed::HandleIsFull(version, held));
        }
        let counting = handle.counting(changes);
        let mut writes = vec![Write::put(handle.key.clone(), handle.expect(), counting.clone())];
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
                if index == 0 {
                    handle.reload(&self.store).await?;
                }
                Ok(Committed::First(landed, format!("another writer changed {}", writes[index].key)))
            }
            Outcome::Unknown(reason) => {
                handle.uncovered.extend(changes.iter().map(Change::block));
                handle.reload(&self.store).await?;
                Ok(Committed::Unknown(reason))
            }
        }
    }

    /// Makes the handle count no more than there is, after attempts that failed half-way. What cannot be corrected now
    /// is when the handle is released.
    pub(super) async fn settle_counts(&self, handle: HandleWriter, lease: &Lease) {
        let blocks = handle.uncovered.into_iter().collect();
        let _ = self.settle(lease.handle(), blocks, |_| false).await;
    }
}
