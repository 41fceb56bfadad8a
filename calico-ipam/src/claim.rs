//! Claims: one owner's affinity to one block, and the block. How they are made and given up.
//!
//! Making one and giving one up have two phases each, so that a process that dies in between leaves a state which the next
//! one recognises and completes:
//!
//! ```text
//!   (none) ── affinity created ──▶ pending ── block created, or ours and touched ──▶ confirmed
//!     ▲                               ▲                                                  │
//!     │                         wanted again                                        given up
//!     │                               │                                                  ▼
//!     └── block deleted, or ── pendingDeletion ◀─────────────────────────────────────────┘
//!         nobody's any more
//!
//!   any state ── the block is another's ──▶ (none)
//! ```
//!
//! Whoever makes a claim writes the block before it confirms, and whoever gives one up writes the affinity before the block: of
//! two that meet, one loses its compare-and-swap. `block.affinity` alone says who owns a block (invariant 3).
//!
//! Both are steps decided from what is stored, so that nothing else is needed to go on after a conflict, a lost answer or
//! another process's death: read again, and decide again.

use std::collections::BTreeSet;

use calico_datastore::{Datastore, Outcome, Revision, Stored, Want, Write};
use calico_model::object::Malformed;
use calico_model::{Affinity, AffinityState, Block, Key, Object, Owner};
use ipnetwork::IpNetwork;

use crate::block::{self, Cooldown};
use crate::error::Error;
use crate::{HostReserve, Ipam, RETRIES};

/// How many claims are read and changed together: two keys each.
const TOGETHER: usize = 32;

/// A claim as it is stored.
#[derive(Debug, Clone)]
pub(crate) struct Claim {
    pub owner: Owner,
    pub cidr: IpNetwork,
    pub affinity: Option<Stored<Affinity>>,
    pub block: Option<Stored<Block>>,
    /// The block was created by this very call, and the affinity has not changed since.
    fresh: bool,
}

/// What to do next about a claim.
enum Step<T> {
    /// Nothing: this is what became of it.
    Done(T),
    /// To write this, in this order, and decide again.
    Write(Vec<Write>),
}

/// What became of a claim that was to be given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GivenUp {
    /// The owner has neither the block nor an affinity to it any more.
    Done,
    /// It had neither to begin with.
    Absent,
    /// It was to be given up only if no address of the block were in use, and some is.
    InUse,
    /// The block is somebody else's. What was stale of this claim is gone.
    AnotherOwners(String),
    /// The block is not what the caller saw.
    Changed,
}

/// When a claim may be given up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Condition {
    /// Only without an address in use; otherwise they stay in the block, which is nobody's then.
    pub must_be_empty: bool,
    /// Only at this sequence number of the block.
    pub sequence: Option<u64>,
}

impl Claim {
    /// A claim of which nothing is stored yet.
    pub fn absent(owner: Owner, cidr: IpNetwork) -> Claim {
        Claim::known(owner, cidr, None, None)
    }

    /// A claim as it was read.
    pub fn known(
        owner: Owner,
        cidr: IpNetwork,
        affinity: Option<Stored<Affinity>>,
        block: Option<Stored<Block>>,
    ) -> Claim {
        Claim { owner, cidr, affinity, block, fresh: false }
    }

    fn affinity_key(&self) -> Key {
        Key::Affinity { owner: self.owner.clone(), block: self.cidr }
    }

    fn put_affinity(&self, state: AffinityState) -> Write {
        let key = self.affinity_key();
        match &self.affinity {
            Some(stored) => Write::update(key, stored.revision, Affinity { state, ..stored.value.clone() }),
            None => Write::create(key, Affinity::new(state)),
        }
    }

    fn delete_affinity(&self) -> Option<Write> {
        Some(Write::delete(self.affinity_key(), self.affinity.as_ref()?.revision))
    }

    /// Takes note of a write that was applied.
    fn note(&mut self, write: Write, revision: Revision) {
        let created = write.expect == calico_datastore::Expect::Absent;
        match (write.key, write.object) {
            (key, Some(Object::Affinity(value))) => self.affinity = Some(Stored { key, revision, value }),
            (key, Some(Object::Block(value))) => {
                self.block = Some(Stored { key, revision, value });
                self.fresh = created;
            }
            (Key::Affinity { .. }, None) => self.affinity = None,
            _ => self.block = None,
        }
    }

    /// The next step towards owning the block. The end is the block, or nothing where it is another's.
    fn towards_owning(&self, cooldown: Cooldown, new_block: impl FnOnce() -> Block) -> Step<Option<Stored<Block>>> {
        let Some(block) = &self.block else {
            let pending = self.put_affinity(AffinityState::Pending);
            return Step::Write(vec![pending, Write::create(Key::Block(self.cidr), new_block())]);
        };
        if block.value.affinity.is_none() && block::is_unused(&block.value, cooldown) {
            // Nobody's, and nobody needs it: what is left when one dies between giving up a block and deleting it, or when
            // the last addresses have rested.
            let pending = self.put_affinity(AffinityState::Pending);
            return Step::Write(vec![pending, Write::delete(block.key.clone(), block.revision)]);
        }
        if !block.value.is_owned_by(&self.owner) {
            return match self.delete_affinity() {
                Some(stale) => Step::Write(vec![stale]),
                None => Step::Done(None),
            };
        }
        let Some(affinity) = &self.affinity else {
            return Step::Write(vec![self.put_affinity(AffinityState::Pending)]);
        };
        match affinity.value.state {
            AffinityState::Confirmed => Step::Done(Some(block.clone())),
            // Whoever would take a block away that was created just now must change the affinity first: confirming it loses.
            _ if self.fresh => Step::Write(vec![self.put_affinity(AffinityState::Confirmed)]),
            _ => self.confirm(block),
        }
    }

    /// The next step towards a claim that says what the block says: confirmed where this owner has the block, else none.
    fn towards_agreement(&self) -> Step<()> {
        let is_own = self.block.as_ref().filter(|stored| stored.value.is_owned_by(&self.owner));
        match (&self.affinity, is_own) {
            (Some(affinity), Some(block)) if affinity.value.state != AffinityState::Confirmed => self.confirm(block),
            (Some(_), None) => self.delete_affinity().map_or(Step::Done(()), |stale| Step::Write(vec![stale])),
            _ => Step::Done(()),
        }
    }

    /// The next step towards not owning the block. `begun` tells that this call has taken a step before.
    fn towards_giving_up(&self, condition: Condition, cooldown: Cooldown, begun: bool) -> Step<GivenUp> {
        let stale = |end: GivenUp| match self.delete_affinity() {
            Some(delete) => Step::Write(vec![delete]),
            None => Step::Done(end),
        };
        let Some(stored) = &self.block else {
            return stale(if begun { GivenUp::Done } else { GivenUp::Absent });
        };
        let mut block = stored.value.clone();
        block::warm_up(&mut block, cooldown);
        match &block.affinity {
            Some(owner) if !block.is_owned_by(&self.owner) => return stale(GivenUp::AnotherOwners(owner.clone())),
            None if !block::is_empty(&block) || self.affinity.is_none() => {
                return stale(if begun { GivenUp::Done } else { GivenUp::Absent });
            }
            _ => {}
        }
        if condition.sequence.is_some_and(|seen| seen != block.sequence_number) {
            return Step::Done(GivenUp::Changed);
        }
        if condition.must_be_empty && !block::is_empty(&block) {
            // Whoever began to give it up, it stays its owner's.
            return match &self.affinity {
                Some(affinity) if affinity.value.state == AffinityState::PendingDeletion => self.confirm(stored),
                _ => Step::Done(GivenUp::InUse),
            };
        }
        let leave = if block::is_empty(&block) {
            Write::delete(stored.key.clone(), stored.revision)
        } else {
            block.affinity = None;
            block.affinity_claim_time = None;
            block::touch(&mut block);
            Write::update(stored.key.clone(), stored.revision, block)
        };
        // Also where it is marked already: its owner may be about to confirm it.
        let mark = self.affinity.as_ref().map(|_| self.put_affinity(AffinityState::PendingDeletion));
        Step::Write(mark.into_iter().chain([leave]).collect())
    }

    /// Rewrites the block, so that whoever is about to take it away loses, and confirms the affinity.
    fn confirm<T>(&self, block: &Stored<Block>) -> Step<T> {
        let mut touched = block.value.clone();
        block::touch(&mut touched);
        let touched = Write::update(block.key.clone(), block.revision, touched);
        Step::Write(vec![touched, self.put_affinity(AffinityState::Confirmed)])
    }
}

impl<D: Datastore> Ipam<D> {
    /// Claims a block, from the state given. `None` where it is another's.
    pub(crate) async fn claim(
        &self,
        claim: Claim,
        reserve: Option<&HostReserve>,
        cooldown: Cooldown,
    ) -> Result<Option<Stored<Block>>, Error> {
        let ends = self.make_claims(vec![claim], reserve, cooldown).await?;
        Ok(ends.into_iter().next().transpose().map_err(calico_datastore::Error::from)?.flatten())
    }

    /// Claims blocks, from the states given; answers for each the block, or nothing where it is another's.
    pub(crate) async fn make_claims(
        &self,
        claims: Vec<Claim>,
        reserve: Option<&HostReserve>,
        cooldown: Cooldown,
    ) -> Result<Vec<Result<Option<Stored<Block>>, Malformed>>, Error> {
        let step = |claim: &Claim, _| {
            claim.towards_owning(cooldown, || {
                let mut block = Block::new(claim.cidr, &claim.owner, self.now);
                if let Some(reserve) = reserve {
                    block::set_aside(&mut block, reserve);
                }
                block
            })
        };
        self.advance(claims, step).await
    }

    /// Gives claims up, from the states given; answers what became of each.
    pub(crate) async fn give_up(
        &self,
        claims: Vec<Claim>,
        condition: Condition,
        cooldown: Cooldown,
    ) -> Result<Vec<Result<GivenUp, Malformed>>, Error> {
        self.advance(claims, |claim, begun| claim.towards_giving_up(condition, cooldown, begun)).await
    }

    /// Brings affinities into agreement with their blocks.
    pub(crate) async fn settle_claims(&self, claims: Vec<Claim>) -> Result<(), Error> {
        self.advance(claims, |claim, _| claim.towards_agreement()).await.map(|_| ())
    }

    /// Reads claims, together. One that cannot be read says so.
    pub(crate) async fn read_claims(
        &self,
        claims: impl IntoIterator<Item = (Owner, IpNetwork)>,
    ) -> Result<Vec<Result<Claim, Malformed>>, Error> {
        let absent: Vec<Claim> = claims.into_iter().map(|(owner, cidr)| Claim::absent(owner, cidr)).collect();
        let mut read = Vec::with_capacity(absent.len());
        for part in absent.chunks(TOGETHER) {
            let wants: Vec<Want> =
                part.iter().flat_map(|c| [c.affinity_key(), Key::Block(c.cidr)]).map(Want::Get).collect();
            let mut answers = self.store.read(&wants).await?;
            for claim in part {
                let (affinity, block) = (answers.get(), answers.get());
                let claim = || Ok(Claim::known(claim.owner.clone(), claim.cidr, affinity?, block?));
                read.push(match claim() {
                    Ok(claim) => Ok(claim),
                    Err(calico_datastore::Error::Malformed(malformed)) => Err(malformed),
                    Err(error) => return Err(error.into()),
                });
            }
        }
        Ok(read)
    }

    /// Takes steps until every claim has come to its end. `step` is told whether this call has taken one before.
    async fn advance<T>(
        &self,
        claims: Vec<Claim>,
        step: impl Fn(&Claim, bool) -> Step<T>,
    ) -> Result<Vec<Result<T, Malformed>>, Error> {
        let mut ends = Vec::with_capacity(claims.len());
        let mut claims = claims.into_iter().peekable();
        while claims.peek().is_some() {
            ends.extend(self.advance_together(claims.by_ref().take(TOGETHER).collect(), &step).await?);
        }
        Ok(ends)
    }

    async fn advance_together<T>(
        &self,
        claims: Vec<Claim>,
        step: impl Fn(&Claim, bool) -> Step<T>,
    ) -> Result<Vec<Result<T, Malformed>>, Error> {
        let mut ends: Vec<Option<Result<T, Malformed>>> = claims.iter().map(|_| None).collect();
        let mut open: Vec<(usize, Claim)> = claims.into_iter().enumerate().collect();
        let (mut last, mut begun) = (String::new(), false);
        for _ in 0..RETRIES {
            let (mut writes, mut writers) = (Vec::new(), Vec::new());
            let mut changing = BTreeSet::new();
            open.retain(|(index, claim)| match step(claim, begun) {
                Step::Done(end) => {
                    ends[*index] = Some(Ok(end));
                    false
                }
                // Another owner's claim to the same block waits.
                Step::Write(_) if !changing.insert(claim.cidr) => true,
                Step::Write(wanted) => {
                    writers.extend(wanted.iter().map(|_| *index));
                    writes.extend(wanted);
                    true
                }
            });
            if open.is_empty() {
                return Ok(ends.into_iter().flatten().collect());
            }
            begun = true;
            match self.store.commit(&writes).await? {
                Outcome::Applied(revisions) => {
                    for ((write, writer), revision) in writes.into_iter().zip(writers).zip(revisions) {
                        if let Some((_, claim)) = open.iter_mut().find(|(index, _)| *index == writer) {
                            claim.note(write, revision);
                        }
                    }
                    continue;
                }
                Outcome::Conflict { index, .. } => last = format!("another writer changed {}", writes[index].key),
                Outcome::Unknown(reason) => last = reason,
            }
            let read = self.read_claims(open.iter().map(|(_, claim)| (claim.owner.clone(), claim.cidr))).await?;
            let numbers: Vec<usize> = open.drain(..).map(|(number, _)| number).collect();
            for (number, claim) in numbers.into_iter().zip(read) {
                match claim {
                    Ok(claim) => open.push((number, claim)),
                    Err(malformed) => ends[number] = Some(Err(malformed)),
                }
            }
        }
        Err(Error::RetriesUsedUp { last })
    }
}
