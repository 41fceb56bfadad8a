//! Claiming a block for this host.
//!
//! A claim has two phases, so that a process that dies in between leaves a state which the next one recognises: the
//! affinity is written as `pending`, the block is created (or, where it is already ours, touched, so that whoever was
//! about to take it away loses its compare-and-swap), and only then the affinity becomes `confirmed`.
//!
//! ```text
//!   (none) ── create ──▶ pending ── block is ours ──▶ confirmed
//!                           ▲                             │ another process gives the block up
//!                           └──── wanted again ──── pendingDeletion ──▶ (none)
//!   any state ── the block is another's ──▶ (none)
//! ```

use calico_datastore::{Datastore, Outcome, Stored, Want, Write};
use calico_model::{Affinity, AffinityState, Block, Key};
use ipnetwork::IpNetwork;

use crate::error::Error;
use crate::{Ipam, RETRIES, block};

/// A claim as it is stored: this host's affinity, and the block.
type Claim = (Option<Stored<Affinity>>, Option<Stored<Block>>);

impl<D: Datastore> Ipam<D> {
    /// Claims a block that was seen to be absent. `None` where another host was faster.
    pub(crate) async fn claim_absent(&self, cidr: IpNetwork) -> Result<Option<Stored<Block>>, Error> {
        self.claim_from(cidr, None, None).await
    }

    /// Claims a block whatever state it and this host's affinity are in. `None` where it is another host's.
    pub(crate) async fn claim(&self, cidr: IpNetwork) -> Result<Option<Stored<Block>>, Error> {
        let (affinity, block) = self.read_claim(cidr).await?;
        self.claim_from(cidr, affinity, block).await
    }

    /// Brings the claim forward from the state given, reading it again whenever another writer changed it.
    pub(crate) async fn claim_from(
        &self,
        cidr: IpNetwork,
        mut affinity: Option<Stored<Affinity>>,
        mut block: Option<Stored<Block>>,
    ) -> Result<Option<Stored<Block>>, Error> {
        let owner = self.owner.clone();
        let affinity_key = Key::Affinity { owner: owner.clone(), block: cidr };
        let mut last = String::new();
        for _ in 0..RETRIES {
            let writes = match (affinity, block) {
                (affinity, Some(other)) if !other.value.is_owned_by(&owner) => {
                    if let Some(stale) = affinity {
                        // Best effort: a stale affinity is recognised again by whoever meets it.
                        self.store.commit(&[Write::delete(affinity_key, stale.revision)]).await?;
                    }
                    return Ok(None);
                }
                (Some(affinity), Some(block)) if affinity.value.state == AffinityState::Confirmed => {
                    return Ok(Some(block));
                }
                (Some(mut affinity), Some(mut block)) => {
                    affinity.value.state = AffinityState::Confirmed;
                    block::touch(&mut block.value);
                    vec![
                        Write::update(block.key, block.revision, block.value),
                        Write::update(affinity_key.clone(), affinity.revision, affinity.value),
                    ]
                }
                (Some(mut affinity), None) => {
                    affinity.value.state = AffinityState::Pending;
                    vec![
                        Write::update(affinity_key.clone(), affinity.revision, affinity.value),
                        Write::create(Key::Block(cidr), Block::new(cidr, &owner, self.now)),
                    ]
                }
                (None, Some(_)) => {
                    vec![Write::create(affinity_key.clone(), Affinity::new(AffinityState::Pending))]
                }
                (None, None) => vec![
                    Write::create(affinity_key.clone(), Affinity::new(AffinityState::Pending)),
                    Write::create(Key::Block(cidr), Block::new(cidr, &owner, self.now)),
                ],
            };
            (affinity, block) = match self.store.commit(&writes).await? {
                Outcome::Applied(revisions) => self.after_applying(cidr, writes, revisions).await?,
                Outcome::Conflict { index, .. } => {
                    last = format!("another writer changed {}", writes[index].key);
                    self.read_claim(cidr).await?
                }
                Outcome::Unknown(reason) => {
                    last = reason;
                    self.read_claim(cidr).await?
                }
            };
        }
        Err(Error::RetriesUsedUp { last })
    }

    async fn read_claim(&self, cidr: IpNetwork) -> Result<Claim, Error> {
        let affinity = Key::Affinity { owner: self.owner.clone(), block: cidr };
        let mut answers = self.store.read(&[Want::Get(affinity), Want::Get(Key::Block(cidr))]).await?;
        Ok((answers.get()?, answers.get()?))
    }

    /// The claim as it is after a successful commit, without reading what was just written.
    async fn after_applying(
        &self,
        cidr: IpNetwork,
        writes: Vec<Write>,
        revisions: Vec<calico_datastore::Revision>,
    ) -> Result<Claim, Error> {
        let (mut affinity, mut block) = (None, None);
        for (write, revision) in writes.into_iter().zip(revisions) {
            match write.object {
                Some(calico_model::Object::Affinity(value)) => {
                    affinity = Some(Stored { key: write.key, revision, value });
                }
                Some(calico_model::Object::Block(value)) => {
                    block = Some(Stored { key: write.key, revision, value });
                }
                _ => {}
            }
        }
        match (affinity, block) {
            (Some(affinity), Some(block)) if affinity.value.state == AffinityState::Confirmed => {
                Ok((Some(affinity), Some(block)))
            }
            // The block was created in this very commit. Whoever would take it away must change the affinity first,
            // and then the confirmation loses.
            (Some(affinity), Some(block)) => self.confirm(cidr, affinity, block).await,
            _ => self.read_claim(cidr).await,
        }
    }

    async fn confirm(
        &self,
        cidr: IpNetwork,
        mut affinity: Stored<Affinity>,
        block: Stored<Block>,
    ) -> Result<Claim, Error> {
        affinity.value.state = AffinityState::Confirmed;
        let write = Write::update(affinity.key.clone(), affinity.revision, affinity.value.clone());
        match self.store.commit(&[write]).await? {
            Outcome::Applied(revisions) => {
                affinity.revision = revisions.first().copied().unwrap_or(affinity.revision);
                Ok((Some(affinity), Some(block)))
            }
            Outcome::Conflict { .. } | Outcome::Unknown(_) => self.read_claim(cidr).await,
        }
    }
}
