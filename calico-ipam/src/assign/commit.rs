//! Writing an allocation: the handle first, then the blocks.

use std::net::IpAddr;

use calico_datastore::{Datastore, Expect, Outcome, Revision, Stored, Want, Write};
use calico_model::{Block, Handle, IpVersion, Key, cidr};
use ipnetwork::IpNetwork;

use crate::error::Error;
use crate::{Allocation, Attempts, Ipam, Lease};

/// A block before and after some of its addresses are given out.
pub(crate) struct Change {
    pub before: Stored<Block>,
    pub after: Block,
    pub addresses: Vec<IpAddr>,
}

impl Change {
    fn block(&self) -> IpNetwork {
        cidr::masked(&self.before.value.cidr)
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
/// Every commit of addresses carries a write of the handle: so whoever is about to forget the handle (a DEL that rewrote the
/// block and now deletes the handle) loses against it. Counts that no address follows serve the next attempt; what is left of
/// them is taken back at the end, block first, by [`Ipam::settle`].
pub(super) struct HandleWriter<'a> {
    lease: &'a Lease,
    key: Key,
    stored: Option<Stored<Handle>>,
    /// The most addresses of a family that it may count.
    most: Option<usize>,
}

impl HandleWriter<'_> {
    /// A container's handle is new, almost always: it is read only when creating it shows that it is there.
    pub fn assuming_absent(lease: &Lease, most: Option<usize>) -> HandleWriter<'_> {
        HandleWriter { lease, key: Key::Handle(lease.handle().to_owned()), stored: None, most }
    }

    /// How many addresses of a change the handle does not count yet.
    fn uncounted(&self, change: &Change) -> i64 {
        (change.addresses.len() as i64).saturating_sub(self.lease.attempts(&change.block()).over).max(0)
    }

    /// The family of which the handle would count more than it may, and how many it counts now.
    fn is_full(&self, changes: &[Change]) -> Option<(IpVersion, usize)> {
        let most = self.most?;
        IpVersion::BOTH.into_iter().find_map(|version| {
            let of_family = changes.iter().filter(|change| change.before.value.version() == version);
            let added: i64 = of_family.map(|change| self.uncounted(change)).sum();
            let counted = self.stored.as_ref().map_or(0, |stored| stored.value.count_of(version));
            (added > 0 && counted.saturating_add(added as usize) > most).then_some((version, counted))
        })
    }

    /// The handle that counts the changes, too. Relative to what is stored: another process may be adding to it.
    fn counting(&self, changes: &[Change]) -> Handle {
        let mut value = self.stored.as_ref().map(|stored| stored.value.clone()).unwrap_or_default();
        for change in changes {
            value.set(&change.block(), value.count(&change.block()).saturating_add(self.uncounted(change)));
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
        for (index, change) in changes.iter().enumerate() {
            let count = change.addresses.len() as i64;
            let got = if index < landed.len() { count } else { 0 };
            self.lease.note(change.block(), |attempts| attempts.over = attempts.over.max(count) - got);
        }
        landed.len()
    }

    /// Reads the handle, which another writer has changed. What it counts of earlier attempts is anyone's guess then.
    async fn reload(&mut self, store: &impl Datastore) -> Result<(), Error> {
        for attempts in self.lease.tried.borrow_mut().values_mut() {
            attempts.unsure += std::mem::take(&mut attempts.over);
        }
        self.stored = store.read(&[Want::Get(self.key.clone())]).await?.get()?;
        Ok(())
    }
}

impl<D: Datastore> Ipam<D> {
    /// Commits changes of blocks together with the handle that counts them.
    pub(super) async fn commit_changes(
        &self,
        changes: &[Change],
        handle: &mut HandleWriter<'_>,
    ) -> Result<Committed, Error> {
        if let Some((version, held)) = handle.is_full(changes) {
            return Ok(Committed::HandleIsFull(version, held));
        }
        let counting = handle.counting(changes);
        let mut writes = vec![Write::put(handle.key.clone(), handle.expect(), counting.clone())];
        for change in changes {
            // Before anything is sent: a call that is cut short has it to undo.
            handle.lease.note(change.block(), |attempts| attempts.unsure += change.addresses.len() as i64);
            writes.push(Write::update(change.before.key.clone(), change.before.revision, change.after.clone()));
        }
        let outcome = self.store.commit(&writes).await?;
        if !matches!(outcome, Outcome::Unknown(_)) {
            for change in changes {
                handle.lease.note(change.block(), |attempts| attempts.unsure -= change.addresses.len() as i64);
            }
        }
        match outcome {
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
                handle.reload(&self.store).await?;
                Ok(Committed::Unknown(reason))
            }
        }
    }

    /// Makes the handle count no more than there is, after attempts that failed half-way. What cannot be corrected now
    /// is when the handle is released.
    pub(super) async fn settle_counts(&self, lease: &Lease) {
        let tried = lease.tried.borrow().clone();
        let uncovered = tried.into_iter().filter(|(_, attempts)| attempts.over > 0 || attempts.unsure > 0).collect();
        if self.settle(lease.handle(), uncovered, |_| false).await.is_ok() {
            // Taken back: an undoing that follows must not do it again.
            lease.tried.borrow_mut().values_mut().for_each(|attempts| *attempts = Attempts::default());
        }
    }
}
