//! Assigning addresses: automatically, from this owner's blocks, then new ones, finally those of others; or one given
//! address.

mod commit;
mod search;
mod trace;

use std::collections::BTreeMap;
use std::net::IpAddr;

use calico_datastore::{Datastore, Stored, Want};
use calico_model::pool::Use;
use calico_model::{Block, IpVersion, Key, Owner};
use ipnetwork::IpNetwork;
use thiserror::Error as ThisError;

use crate::block::{self, HostReserve};
use crate::claim::Claim;
use crate::error::Error;
use crate::inputs::Inputs;
use crate::pools;
use crate::{Allocation, Ipam, Lease, RETRIES};
use commit::{Change, Committed, HandleWriter};
pub(crate) use search::{Search, Terms};
pub use trace::{Considered, Decision, Trace};

/// A wish for addresses of one family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Demand {
    /// The family.
    pub version: IpVersion,
    /// How many addresses.
    pub count: usize,
    /// The pools to take them from, in this order; empty for all that may be used without being asked for.
    pub pools: Vec<IpNetwork>,
    /// What to set aside in each block that is claimed.
    pub reserve: Option<HostReserve>,
}

impl Demand {
    /// A wish for addresses from any pool that may be used without being asked for.
    pub fn any(version: IpVersion, count: usize) -> Demand {
        Demand { version, count, pools: Vec::new(), reserve: None }
    }
}

/// Wishes that are fulfilled together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AutoAssign {
    /// At most one for each family, IPv4 first.
    pub demands: Vec<Demand>,
    /// What the addresses are for.
    pub intended_use: Use,
    /// The labels of the namespace that they are for; none where there is no namespace.
    pub namespace: BTreeMap<String, String>,
    /// The most blocks of a family that the owner may have; the settings' `maxBlocksPerHost` stands where it is lower.
    pub block_limit: Option<usize>,
    /// The most addresses of a family that the handle may have: for virtual machines, which keep what they have.
    pub most_for_handle: Option<usize>,
}

impl AutoAssign {
    /// Addresses for a container without a namespace.
    pub fn workload(demands: Vec<Demand>) -> AutoAssign {
        AutoAssign {
            demands,
            intended_use: Use::Workload,
            namespace: BTreeMap::new(),
            block_limit: None,
            most_for_handle: None,
        }
    }
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
    /// What the operator can know and do beyond that.
    pub advice: String,
}

/// What was assigned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assigned {
    /// The addresses, in the order of the demands.
    pub allocations: Vec<Allocation>,
    /// The demands that were not met in full.
    pub shortfalls: Vec<Shortfall>,
    /// The blocks that were passed over because they cannot be read or contradict themselves, and how.
    pub unsound: Vec<String>,
}

impl<D: Datastore> Ipam<D> {
    /// Assigns addresses. Those of several families are committed together where this owner's blocks have them.
    ///
    /// # Errors
    /// No usable pool, the owner's block limit reached, a datastore that does not answer. What may have been assigned
    /// before the error is in `lease`, for [`Ipam::undo`]. Too few free addresses are no error but a [`Shortfall`].
    pub async fn auto_assign(&self, inputs: &Inputs, request: &AutoAssign, lease: &Lease) -> Result<Assigned, Error> {
        let mut searches = self.searches(inputs, request)?;
        self.put_in_order(inputs, &searches).await;
        self.assign_from(&mut searches, request, lease).await?;
        Ok(Self::collect(&self.owner, searches))
    }

    /// One search for each demand.
    pub(crate) fn searches<'a>(&self, inputs: &'a Inputs, request: &'a AutoAssign) -> Result<Vec<Search<'a>>, Error> {
        let terms = |demand| Terms {
            demand,
            intended_use: &request.intended_use,
            namespace: &request.namespace,
            limit: request.block_limit,
            any_own_block: false,
        };
        let demands = request.demands.iter().filter(|demand| demand.count > 0);
        demands.map(|demand| Search::start(inputs, terms(demand), &self.owner, self.now)).collect()
    }

    /// Searches and assigns until every demand is met, or nothing more is found.
    pub(crate) async fn assign_from(
        &self,
        searches: &mut [Search<'_>],
        request: &AutoAssign,
        lease: &Lease,
    ) -> Result<(), Error> {
        let mut handle = HandleWriter::assuming_absent(lease, request.most_for_handle);
        let (mut last, mut full, mut losses) = (String::new(), None, 0);
        while losses < RETRIES {
            self.find_blocks(searches, lease).await?;
            let plan: Vec<Change> = searches.iter_mut().filter_map(|search| search.plan(lease)).collect();
            if plan.is_empty() {
                self.settle_counts(lease).await;
                return Ok(());
            }
            let mut landed = match self.commit_changes(&plan, &mut handle).await? {
                Committed::All => plan.len(),
                Committed::First(count, reason) => {
                    last = reason;
                    count
                }
                // What was applied, or is later, is recognised when the block is read again.
                Committed::Unknown(reason) => {
                    last = reason;
                    0
                }
                Committed::HandleIsFull(version, held) => {
                    self.take_what_is_held(searches, version, lease).await?;
                    full = Some(held);
                    0
                }
            };
            losses += usize::from(landed == 0);
            for change in plan {
                let version = change.before.value.version();
                let Some(search) = searches.iter_mut().find(|search| search.version() == version) else { continue };
                match landed.checked_sub(1) {
                    Some(left) => {
                        landed = left;
                        search.made(change);
                    }
                    None => search.again(),
                }
            }
        }
        Err(match (full, request.most_for_handle) {
            // It counts addresses that it does not have, or that another host's call is still about to assign.
            (Some(held), Some(most)) => Error::HandleIsFull { handle: lease.handle().to_owned(), held, most },
            _ => Error::RetriesUsedUp { last },
        })
    }

    /// Where a handle may not have more addresses: those that it has are what is assigned.
    async fn take_what_is_held(
        &self,
        searches: &mut [Search<'_>],
        version: IpVersion,
        lease: &Lease,
    ) -> Result<(), Error> {
        let held = match self.read_handle(lease.handle()).await? {
            Some(handle) => self.allocations_of(&handle, &[version]).await?,
            None => Vec::new(),
        };
        for search in searches.iter_mut().filter(|search| search.version() == version) {
            if held.len() >= search.wanted() {
                search.got = held.iter().take(search.wanted()).cloned().collect();
            }
        }
        Ok(())
    }

    /// Assigns one given address.
    ///
    /// # Errors
    /// The address is outside the enabled pools, or taken.
    pub async fn assign_address(
        &self,
        inputs: &Inputs,
        request: &AssignAddress,
        lease: &Lease,
    ) -> Result<Allocation, Error> {
        let address = request.address;
        let cidr = block_of(inputs, request)?;
        let cooldown = self.cooldown(&inputs.config);
        let mut handle = HandleWriter::assuming_absent(lease, request.most_for_handle);
        let mut last = String::new();
        for _ in 0..RETRIES {
            let mut stored = match self.store.read(&[Want::Get(Key::Block(cidr))]).await?.get::<Block>()? {
                Some(stored) => stored,
                None => {
                    let claim = Claim::absent(self.owner.clone(), cidr);
                    match self.claim(claim, request.reserve.as_ref(), cooldown).await? {
                        Some(stored) => stored,
                        // Another host has just claimed it: it is there now.
                        None => continue,
                    }
                }
            };
            block::warm_up(&mut stored.value, cooldown);
            let found = Allocation { address, block: cidr };
            let holds = |attribute: &calico_model::Attribute| attribute.handle() == Some(lease.handle());
            let ordinal = stored.value.ordinal(address).unwrap_or(usize::MAX);
            let is_held = stored.value.attribute_of(ordinal).is_some_and(holds) && request.most_for_handle.is_some();
            if is_held || own_addresses(&stored.value, lease).contains(&address) {
                // By this try's predecessor, whose answer may have been lost.
                self.settle_counts(lease).await;
                return Ok(found);
            }
            let change = self.change_for(stored, address, inputs.config.strict_affinity, lease)?;
            match self.commit_changes(&[change], &mut handle).await? {
                Committed::All => {
                    self.settle_counts(lease).await;
                    return Ok(found);
                }
                Committed::First(_, reason) | Committed::Unknown(reason) => last = reason,
                Committed::HandleIsFull(..) => {
                    let most = request.most_for_handle.unwrap_or_default();
                    return Err(Error::HandleHasOthers { handle: lease.handle().to_owned(), address, most });
                }
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
            let holder = before.value.attribute_of(ordinal);
            let cooling = holder.is_some_and(calico_model::Attribute::is_cooling);
            let handle = holder.and_then(|attribute| attribute.handle_id.clone());
            return Err(Error::AlreadyAssigned { address, handle, cooling });
        }
        Ok(Change { before, after, addresses: vec![address] })
    }

    /// What came of searches.
    pub(crate) fn collect(owner: &Owner, searches: Vec<Search<'_>>) -> Assigned {
        let mut assigned = Assigned { allocations: Vec::new(), shortfalls: Vec::new(), unsound: Vec::new() };
        for search in searches {
            assigned.unsound.extend(search.trace.unsound());
            if search.missing() > 0 {
                assigned.shortfalls.push(search.shortfall(owner));
            }
            assigned.allocations.extend(search.got);
        }
        assigned
    }
}

/// A wish for one given address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssignAddress {
    /// The address.
    pub address: IpAddr,
    /// What it is for. `None` asks no pool whether it allows that.
    pub intended_use: Option<Use>,
    /// What to set aside if the block is claimed.
    pub reserve: Option<HostReserve>,
    /// The most addresses of a family that the handle may have: for virtual machines, which keep what they have.
    pub most_for_handle: Option<usize>,
}

impl AssignAddress {
    /// An address for a container.
    pub fn workload(address: IpAddr) -> AssignAddress {
        AssignAddress { address, intended_use: Some(Use::Workload), reserve: None, most_for_handle: None }
    }
}

/// The addresses in a block that carry this call's mark.
fn own_addresses(block: &Block, lease: &Lease) -> Vec<IpAddr> {
    let own = (0..block.allocations.len()).filter(|&ordinal| block.attribute_of(ordinal) == Some(&lease.holder));
    own.filter_map(|ordinal| block.address(ordinal)).collect()
}

/// The block that a given address is assigned from.
pub(crate) fn block_of(inputs: &Inputs, request: &AssignAddress) -> Result<IpNetwork, Error> {
    let (address, version) = (request.address, IpVersion::of(request.address));
    let Some(pool) = pools::enabled(&inputs.pools, version).find(|pool| pool.spec.cidr.contains(address)) else {
        return Err(Error::NotInPool { address, verdicts: pools::availability(&inputs.pools, version) });
    };
    if let Some(intended_use) = request.intended_use.clone().filter(|intended| !pool.allows(intended)) {
        let uses = pool.spec.allowed_uses.clone();
        return Err(Error::UseNotAllowed { address, pool: pool.metadata.name.clone(), intended_use, uses });
    }
    match Key::block_of(address, pool.block_size()) {
        Some(Key::Block(cidr)) if pools::has_usable_blocks(pool) => Ok(cidr),
        _ => Err(Error::NoPool { version, verdicts: vec![pools::unusable_blocks(pool)] }),
    }
}
