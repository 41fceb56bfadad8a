//! Why no address was given or taken back.

use std::net::IpAddr;

use calico_datastore as datastore;
use calico_model::{IpVersion, Key};
use ipnetwork::IpNetwork;
use thiserror::Error;

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
    NoPool { version: IpVersion },
    #[error("the given pool ({cidr}) does not exist, or is not enabled")]
    PoolNotEnabled { cidr: IpNetwork, enabled: Vec<IpNetwork> },
    #[error("no configured Calico pools for node {node}")]
    NoPoolForNode { node: String, manual: Vec<String> },
    #[error("cannot find a qualified ippool, no pools match the required use (Workload)")]
    NoPoolForUse,
    #[error("the {kind} selector {selector:?} of pool {pool} cannot be evaluated by this release")]
    Selector { pool: String, kind: &'static str, selector: String },
    #[error("The provided IP address is not in a configured pool\n")]
    NotInPool { address: IpAddr, enabled: Vec<IpNetwork> },
    #[error(
        "IP address {address} is in IP pool \"{pool}\", which is not allowed for use \"Workload\" (allowedUses: [{uses}])"
    )]
    UseNotAllowed { address: IpAddr, pool: String, uses: String },
    #[error("resource already exists: {address} with error: Address already assigned in block")]
    AlreadyAssigned { address: IpAddr, handle: Option<String> },
    #[error("Block host affinity does not match")]
    NotAffine { block: IpNetwork, owner: String },
    #[error("cannot allocate new block due to per host block limit")]
    BlockLimit { node: String, owned: usize, limit: usize },
    #[error("failed to find or claim a block")]
    NoNewBlocks,
    #[error("Max retries hit - excessive concurrent IPAM requests")]
    RetriesUsedUp { last: String },
    #[error("cannot use block {block}: {reason}")]
    Inconsistent { block: IpNetwork, reason: String },
}

impl Error {
    /// What the operator can know and do beyond the text of the error; empty where the text says it all.
    pub fn advice(&self) -> String {
        let list = |cidrs: &[IpNetwork]| match cidrs {
            [] => "none".to_owned(),
            cidrs => cidrs.iter().map(IpNetwork::to_string).collect::<Vec<_>>().join(", "),
        };
        match self {
            Error::Datastore(datastore::Error::TimedOut { .. }) => datastore::Error::TIMEOUT_ADVICE.to_owned(),
            Error::Datastore(_) => String::new(),
            Error::Missing { key: Key::Resource { name, .. } } => {
                format!(
                    "this host calls itself {name:?}: start its node agent, or correct nodename in the configuration"
                )
            }
            Error::Missing { .. } => String::new(),
            Error::NoPool { version } => format!(
                "the datastore has no enabled IPv{version} pool with a usable block size (20 to 32, 116 to 128): create one (with datastore_type local: name its CIDR in ipam.ipv{version}_pools)"
            ),
            Error::PoolNotEnabled { enabled, .. } | Error::NotInPool { enabled, .. } => {
                format!("enabled pools: {}", list(enabled))
            }
            Error::NoPoolForNode { manual, .. } => {
                format!("pools that are used only when asked for: {}", manual.join(", "))
            }
            Error::NoPoolForUse => "add Workload to the allowedUses of a pool".to_owned(),
            Error::Selector { pool, .. } => format!("name {pool} in ipam.ipv4_pools or ipam.ipv6_pools to use it"),
            Error::UseNotAllowed { .. } => {
                "choose an address of another pool, or change the pool's allowedUses".to_owned()
            }
            Error::AlreadyAssigned { handle, .. } => {
                let holder = handle.as_deref().unwrap_or("no handle (assigned by hand)");
                format!("it is held by {holder}: delete that container, or choose another address")
            }
            Error::NotAffine { block, owner } => {
                format!("strict affinity is on and block {block} belongs to {owner}: choose another address")
            }
            Error::BlockLimit { node, owned, limit } => format!(
                "{node} owns {owned} blocks, all full, and may own {limit}: raise maxBlocksPerHost, or use larger blocks"
            ),
            Error::NoNewBlocks => "autoAllocateBlocks is off and no block of this host has a free address".to_owned(),
            Error::RetriesUsedUp { last } => format!("the last attempt: {last}"),
            Error::Inconsistent { .. } => {
                "its own data contradict each other: choose an address of another block, and repair it".to_owned()
            }
        }
    }
}
