//! Assigning addresses: automatically, from this host's blocks, then new ones, finally those of others; or one given
//! address.

mod commit;
mod search;

use std::net::IpAddr;

use calico_datastore::{Datastore, Stored, Want};
use calico_model::pool::Use;
use calico_model::{Block, IpVersion, Key};
use ipnetwork::IpNetwork;
use thiserror::Error as ThisError;

use crate::error::Error;
use crate::inputs::Inputs;
use crate::{Allocation, Ipam, Lease, RETRIES, block, pools};
use commit::{Change, Committed, HandleWriter};
use search::Search;

/// A wish for addresses of one family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Demand {
    /// The family.
    pub version: IpVersion,
    /// How many addresses.
    pub count: usize,
    /// The pools to take them from, in this order; empty for all that may be used without being asked for.
    pub pools: Vec<IpNetwork>,
}

/// Wishes that are fulfilled together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AutoAssign {
    /// At most one for each family, IPv4 first.
    pub demands: Vec<Demand>,
}

/// Fewer addresses of a family than were wished for. The text is the established implementation's.
#[derive(Debug, Clone, PartialEq, Eq, ThisError)]
#[error(
    "failed to request IPv{version} addresses: Assigned {got} out of {wanted} requested IPv{version} addresses{}",
    .reasons.iter().map(|reason| format!("; {reason}")).collect::<String>()
)]
pub struct Shortfall {
    /// The family.
    pub version: IpVersion,
    /// How many were assigned.
    pub got: usize,
    /// How many were wished for.
    pub wanted: usize,
    /// Why there were no more.
    pub reasons: Vec<String>,
}

/// What was assigned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assigned {
    /// The addresses, in the order of the demands.
    pub allocations: Vec<Allocation>,
    /// The demands that were not met in full.
    pub shortfalls: Vec<Shortfall>,
}

impl<D: Datastore> Ipam<D> {
    /// Assigns addresses. Those of several families are committed together where this host's blocks have them.
    ///
    /// # Errors
    /// No usable pool, the host's block limit reached, a datastore that does not answer. What may have been assigned
    /// before the error is in `lease`, for [`Ipam::undo`]. Too few free addresses are no error but a [`Shortfall`].
    pub async fn auto_assign(&self, inputs: &Inputs, request: &AutoAssign, lease: &Lease) -> Result<Assigned, Error> {
        let mut searches = Vec::new();
        for demand in request.demands.iter().filter(|demand| demand.count > 0) {
            searches.push(Search::start(inputs, demand, self.owner.name(), self.now)?);
        }
        let mut handle = HandleWriter::assuming_absent(lease.handle());
        let mut last = String::new();
        for _ in 0..RETRIES {
            self.find_blocks(&mut searches, lease).await?;
            let plan: Vec<Change> = searches.iter_mut().filter_map(|search| search.plan(lease)).collect();
            if plan.is_empty() {
                self.settle_counts(handle, lease).await;
                return Ok(collect(searches));
            }
            let landed = match self.commit_changes(&plan, &mut handle, lease).await? {
                Committed::All => plan,
                Committed::First(count, reason) => {
                    last = reason;
                    plan.into_iter().take(count).collect()
                }
                // What was applied, or is later, is recognised when the block is read again.
                Committed::Unknown(reason) => {
                    last = reason;
                    Vec::new()
                }
            };
            for change in landed {
                let search = searches.iter_mut().find(|search| search.version == change.before.value.version());
                if let Some(search) = search {
                    search.got.extend(change.allocations());
                }
            }
        }
        Err(Error::RetriesUsedUp { last })
    }

    /// Assigns one given address.
    ///
    /// # Errors
    /// The address is outside the enabled pools, or taken.
    pub async fn assign_address(&self, inputs: &Inputs, address: IpAddr, lease: &Lease) -> Result<Allocation, Error> {
        let cidr = block_of(inputs, address)?;
        let mut handle = HandleWriter::assuming_absent(lease.handle());
        let mut last = String::new();
        for _ in 0..RETRIES {
            let stored = match self.store.read(&[Want::Get(Key::Block(cidr))]).await?.get::<Block>()? {
                Some(stored) => stored,
                None => match self.claim_absent(cidr).await? {
                    Some(stored) => stored,
                    // Another host has just claimed it: it is there now.
                    None => continue,
                },
            };
            if own_addresses(&stored.value, lease).contains(&address) {
                // By this try's predecessor, whose answer may have been lost.
                self.settle_counts(handle, lease).await;
                return Ok(Allocation { address, block: cidr });
            }
            let change = self.change_for(stored, address, inputs.config.strict_affinity, lease)?;
            match self.commit_changes(&[change], &mut handle, lease).await? {
                Committed::All => {
                    self.settle_counts(handle, lease).await;
                    return Ok(Allocation { address, block: cidr });
                }
                Committed::First(_, reason) | Committed::Unknown(reason) => last = reason,
            }
        }
        Err(Error::RetriesUsedUp { last })
    }

    fn change_for(&self, before: Stored<Block>, address: IpAddr, strict: bool, lease: &Lease) -> Result<Change, Error> {
        let block = before.value.cidr;
        if let Some(reason) = before.value.inconsistency() {
            return Err(Error::Inconsistent { block, reason });
        }
        if strict && !before.value.is_owned_by(&self.owner) {
            let owner = before.value.affinity.unwrap_or_else(|| "nobody".to_owned());
            return Err(Error::NotAffine { block, owner });
        }
        let ordinal = before.value.ordinal(address).unwrap_or(usize::MAX);
        let mut after = before.value.clone();
        if !block::assign(&mut after, ordinal, &lease.holder) {
            let handle = before.value.attribute_of(ordinal).and_then(|a| a.handle_id.clone());
            return Err(Error::AlreadyAssigned { address, handle });
        }
        Ok(Change { before, after, addresses: vec![address] })
    }
}

/// The addresses in a block that carry this call's mark.
fn own_addresses(block: &Block, lease: &Lease) -> Vec<IpAddr> {
    let own = (0..block.allocations.len()).filter(|&ordinal| block.attribute_of(ordinal) == Some(&lease.holder));
    own.filter_map(|ordinal| block.address(ordinal)).collect()
}

/// The block that a given address is assigned from.
fn block_of(inputs: &Inputs, address: IpAddr) -> Result<IpNetwork, Error> {
    let version = IpVersion::of(address);
    let enabled = pools::enabled(&inputs.pools, version);
    let Some(pool) = enabled.iter().find(|pool| pool.spec.cidr.contains(address)) else {
        let enabled = enabled.iter().map(|pool| pool.cidr()).collect();
        return Err(Error::NotInPool { address, enabled });
    };
    if !pool.allows(&Use::Workload) {
        let uses: Vec<String> = pool.spec.allowed_uses.iter().cloned().map(String::from).collect();
        return Err(Error::UseNotAllowed { address, pool: pool.metadata.name.clone(), uses: uses.join(" ") });
    }
    match Key::block_of(address, pool.block_size()) {
        Some(Key::Block(cidr)) if pools::has_usable_blocks(pool) => Ok(cidr),
        _ => Err(Error::NoPool { version }),
    }
}

fn collect(searches: Vec<Search>) -> Assigned {
    let mut assigned = Assigned { allocations: Vec::new(), shortfalls: Vec::new() };
    for search in searches {
        if search.missing() > 0 {
            let Search { version, wanted, reasons, .. } = search;
            assigned.shortfalls.push(Shortfall { version, got: search.got.len(), wanted, reasons });
        }
        assigned.allocations.extend(search.got);
    }
    assigned
}
