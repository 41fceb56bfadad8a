//! Why no address was given or taken back.

use std::net::IpAddr;

use calico_datastore as datastore;
use calico_model::pool::Use;
use calico_model::{Inconsistency, IpVersion, Key, Owner};
use ipnetwork::IpNetwork;
use thiserror::Error;

use crate::pools::{self, Verdict};

/// The text of each error is the established implementation's, which scripts and people recognise; what to do about
/// it is in [`Error::advice`].
#[derive(Debug, Error)]
#[allow(missing_docs, reason = "each variant's fields are the ones its text shows")]
pub enum Error {
    #[error(transparent)]
    Datastore(#[from] datastore::Error),
    #[error("resource does not exist: {key} with error: <nil>")]
    Missing { key: Key },
    #[error("cannot find a qualified ippool")]
    NoPool { version: IpVersion, verdicts: Vec<Verdict> },
    #[error("the given pool ({cidr}) does not exist, or is not enabled")]
    PoolNotEnabled { cidr: IpNetwork, verdicts: Vec<Verdict> },
    #[error("no configured Calico pools for node {node}")]
    NoPoolForNode { node: String, verdicts: Vec<Verdict> },
    #[error("cannot find a qualified ippool, no pools match the required use ({})", String::from(.intended_use.clone()))]
    NoPoolForUse { intended_use: Use, verdicts: Vec<Verdict> },
    #[error("provided IPv{version} IPPools list contains one or more IPv{other} IPPools")]
    WrongFamily { version: IpVersion, other: IpVersion },
    #[error("HostReservedAttr has wrong parameters")]
    WrongReserve,
    #[error("the {kind} selector {selector:?} of pool {pool} cannot be read: {reason}")]
    Selector { pool: String, kind: &'static str, selector: String, reason: String },
    #[error("The provided IP address is not in a configured pool\n")]
    NotInPool { address: IpAddr, verdicts: Vec<Verdict> },
    #[error(
        "IP address {address} is in IP pool \"{pool}\", which is not allowed for use \"{}\" (allowedUses: [{}])",
        String::from(.intended_use.clone()), pools::list(.uses)
    )]
    UseNotAllowed { address: IpAddr, pool: String, intended_use: Use, uses: Vec<Use> },
    #[error("resource already exists: {address} with error: Address already assigned in block")]
    AlreadyAssigned { address: IpAddr, handle: Option<String>, cooling: bool },
    #[error("Block host affinity does not match")]
    NotAffine { block: IpNetwork, owner: String },
    #[error("cannot allocate new block due to per host block limit")]
    BlockLimit { owner: Owner, owned: usize, limit: usize, rooms: Vec<String> },
    #[error("failed to find or claim a block")]
    NoNewBlocks { rooms: Vec<String> },
    #[error("No Free Blocks")]
    NoFreeBlocks { rooms: Vec<String> },
    #[error("handle {handle} already has {held} allocation(s), cannot allocate more (maxAlloc={most})")]
    HandleIsFull { handle: String, held: usize, most: usize },
    #[error(
        "handle {handle} already has IP(s) allocated, cannot assign additional IP {address} (maxAllocPerIPVersion={most})"
    )]
    HandleHasOthers { handle: String, address: IpAddr, most: usize },
    #[error("The requested CIDR ({cidr}) is not within any configured pools.")]
    NotWithinPools { cidr: IpNetwork, verdicts: Vec<Verdict> },
    #[error("The requested CIDR ({cidr}) is smaller than the minimum.")]
    SmallerThanBlock { cidr: IpNetwork, block_size: u8 },
    #[error("the requested CIDR ({cidr}) has more than {most} blocks")]
    TooManyBlocks { cidr: IpNetwork, most: usize },
    #[error("Max retries hit - excessive concurrent IPAM requests")]
    RetriesUsedUp { last: String },
    #[error("cannot use block {block}: {reason}")]
    Inconsistent { block: IpNetwork, reason: Inconsistency },
    #[error("the given sequence number ({given}) does not match ({stored}) when attempting to release IP")]
    BadSequenceNumber { address: IpAddr, given: u64, stored: u64 },
    #[error("the given handle ({given}) does not match ({stored}) when attempting to release IP")]
    BadHandle { address: IpAddr, given: String, stored: String },
    #[error("resource does not exist: {address} with error: IP is unassigned")]
    Unassigned { address: IpAddr },
    #[error("address {address} is in cooldown")]
    InCooldown { address: IpAddr },
    #[error("IP {address} is not assigned to handle {handle}")]
    NotOfHandle { address: IpAddr, handle: String, holder: Option<String> },
    #[error("update conflict: {address}")]
    OwnerDiffers { address: IpAddr, owner: &'static str, expected: String, found: String },
    #[error("Cannot disable 'StrictAffinity' and 'AutoAllocateBlocks' at the same time")]
    NeitherStrictNorAutomatic,
    #[error("MaxBlocksPerHost requires StrictAffinity to be enabled")]
    LimitWithoutStrictAffinity,
}

impl Error {
    /// What was decided about each pool, where that is the reason.
    pub fn verdicts(&self) -> &[Verdict] {
        match self {
            Error::NoPool { verdicts, .. }
            | Error::PoolNotEnabled { verdicts, .. }
            | Error::NoPoolForNode { verdicts, .. }
            | Error::NoPoolForUse { verdicts, .. }
            | Error::NotInPool { verdicts, .. }
            | Error::NotWithinPools { verdicts, .. } => verdicts,
            _ => &[],
        }
    }

    /// What the operator can know and do beyond the text of the error; empty where the text says it all.
    pub fn advice(&self) -> String {
        match self {
            Error::Datastore(datastore::Error::TimedOut { .. }) => datastore::Error::TIMEOUT_ADVICE.to_owned(),
            Error::Datastore(_) | Error::WrongReserve | Error::WrongFamily { .. } => String::new(),
            Error::Missing { key: Key::Resource { name, .. } } => {
                format!(
                    "this host calls itself {name:?}: start its node agent, or correct its name (nodename in the configuration, or /var/lib/calico/nodename)"
                )
            }
            Error::Missing { .. } => String::new(),
            Error::NoPool { version, verdicts } => format!(
                "IPv{version} pools: {}. Create or enable one with a usable block size, 20 to 32 or 116 to 128 (with datastore_type local: name its CIDR in ipam.ipv{version}_pools)",
                pools::all(verdicts)
            ),
            Error::PoolNotEnabled { verdicts, .. }
            | Error::NotInPool { verdicts, .. }
            | Error::NotWithinPools { verdicts, .. } => {
                format!("pools: {}", pools::all(verdicts))
            }
            Error::NoPoolForNode { verdicts, .. } => format!(
                "pools: {}. Label the node or the namespace, change a pool, or name one in ipam.ipv4_pools or ipam.ipv6_pools",
                pools::all(verdicts)
            ),
            Error::NoPoolForUse { intended_use, verdicts } => format!(
                "pools: {}. Add {} to the allowedUses of one",
                pools::all(verdicts),
                String::from(intended_use.clone())
            ),
            Error::Selector { pool, .. } => {
                format!(
                    "correct it, or name {pool} in ipam.ipv4_pools or ipam.ipv6_pools, for which selectors do not count"
                )
            }
            Error::UseNotAllowed { .. } => {
                "choose an address of another pool, or change the pool's allowedUses".to_owned()
            }
            Error::AlreadyAssigned { cooling: true, .. } => {
                "it was released a moment ago: choose another address, or wait for ipCooldownSeconds".to_owned()
            }
            Error::AlreadyAssigned { handle, .. } => {
                format!("it is held by {}: delete that container, or choose another address", holder_text(handle))
            }
            Error::NotAffine { block, owner } => {
                format!("strict affinity is on and block {block} belongs to {owner}: choose another address")
            }
            Error::BlockLimit { owner, owned, limit, rooms } => format!(
                "blocks that {} owns: {owned}, none with an address to assign; it may own {limit}: raise maxBlocksPerHost (with strict affinity), or use larger blocks{}",
                owner.name(),
                tail(rooms)
            ),
            Error::NoNewBlocks { rooms } => {
                format!(
                    "no block of this host has a free address, and auto_allocate_blocks is off in /calico/ipam/v2/config, where absent means off (calicoctl: autoAllocateBlocks): turn it on{}",
                    tail(rooms)
                )
            }
            Error::NoFreeBlocks { rooms } => format!("every block is another owner's: add a pool{}", tail(rooms)),
            Error::HandleIsFull { .. } | Error::HandleHasOthers { .. } => {
                "release what the handle has, or ask for that".to_owned()
            }
            Error::SmallerThanBlock { block_size, .. } => format!("blocks there have the size /{block_size}"),
            Error::TooManyBlocks { .. } => "name smaller ones, one after the other".to_owned(),
            Error::RetriesUsedUp { last } => format!("the last attempt: {last}"),
            Error::Inconsistent { .. } => {
                "its own data contradict each other: choose an address of another block, or repair the block".to_owned()
            }
            Error::BadSequenceNumber { address, .. } => {
                format!("{address} was released meanwhile, and may be another's: look at its use again")
            }
            Error::BadHandle { address, .. } => format!("{address} is another's: look at its use again"),
            Error::Unassigned { .. } => String::new(),
            Error::InCooldown { .. } => {
                "it was released, and can be assigned again when ipCooldownSeconds have passed".to_owned()
            }
            Error::NotOfHandle { holder, .. } => format!("it is held by {}", holder_text(holder)),
            Error::OwnerDiffers { owner, expected, found, .. } => {
                format!("its {owner} owner is {found}, not {expected}: look at its use again")
            }
            Error::NeitherStrictNorAutomatic | Error::LimitWithoutStrictAffinity => {
                "set StrictAffinity in the same step".to_owned()
            }
        }
    }
}

/// What was found in the pools, after an advice.
fn tail(rooms: &[String]) -> String {
    rooms.iter().map(|room| format!("; {room}")).collect()
}

fn holder_text(handle: &Option<String>) -> &str {
    handle.as_deref().unwrap_or("no handle (assigned by hand)")
}
