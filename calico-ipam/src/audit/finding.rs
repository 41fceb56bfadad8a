//! What an audit finds: one type for each way in which stored objects contradict each other.

use std::fmt;
use std::net::IpAddr;

use calico_model::{AffinityState, Inconsistency, Key, Owner};
use ipnetwork::IpNetwork;

use super::tunnel::Tunnel;

/// Who is using an address, as far as the datastore tells.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum User {
    /// A workload endpoint.
    Endpoint(Key),
    /// A node, for a tunnel.
    Tunnel {
        /// The node's name.
        node: String,
        /// Which tunnel.
        tunnel: Tunnel,
    },
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            User::Endpoint(key) => key.fmt(f),
            User::Tunnel { node, tunnel } => write!(f, "the {tunnel} tunnel of node {node}"),
        }
    }
}

/// One way in which stored objects contradict each other. The text says what is stored, [`Finding::class`] what it means,
/// and [`Finding::advice`] what becomes of it or is to be done.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "each variant's fields are the ones its text shows")]
pub enum Finding {
    /// There is no ClusterInformation.
    NoClusterInformation,
    /// ClusterInformation does not say that nodes may use the datastore.
    NotReady { stated: Option<bool> },
    /// A stored value, or a part of it, cannot be read. Nothing is found that only its absence would make so.
    Malformed { key: String, reason: String },

    /// Two pools share addresses.
    OverlappingPools { first: String, second: String },
    /// A pool's CIDR has host bits.
    UnmaskedPool { pool: String, cidr: IpNetwork },
    /// A pool's blocks are of a size that there is not for its family.
    PoolBlockSize { pool: String, cidr: IpNetwork, block_size: u8 },
    /// A pool in use is smaller than one of its blocks.
    PoolBelowBlockSize { pool: String, cidr: IpNetwork, block_size: u8 },
    /// A pool's selector for nodes or namespaces cannot be read: no ADD succeeds that does not ask for other pools.
    PoolSelector { pool: String, selector: String, reason: String },
    /// A reservation's entry is neither a CIDR nor an address.
    ReservationEntry { reservation: String, entry: String },

    /// A block contradicts itself.
    InconsistentBlock { block: IpNetwork, inconsistency: Inconsistency },
    /// A block keeps an attribute that no address is allocated to.
    UnusedAttribute { block: IpNetwork, attribute: usize },
    /// Addresses were released later than now.
    ReleasedInFuture { block: IpNetwork, attribute: usize, released_at: String },
    /// Two blocks share addresses.
    OverlappingBlocks { first: IpNetwork, second: IpNetwork },
    /// A block lies in no pool.
    BlockOutsidePools { block: IpNetwork },
    /// A block is not of the size of its pool's blocks.
    ForeignBlockSize { block: IpNetwork, pool: String, block_size: u8 },
    /// A block's owner is neither a host nor a virtual one.
    UnreadableOwner { block: IpNetwork, affinity: String },
    /// A block belongs to a node that does not exist.
    BlockOfUnknownNode { block: IpNetwork, node: String },

    /// An owner claims, confirmed, a block that does not exist.
    AffinityWithoutBlock { owner: Owner, block: IpNetwork },
    /// An owner claims, confirmed, a block that names another owner or none.
    AffinityToForeignBlock { owner: Owner, block: IpNetwork, named: Option<String> },
    /// A claim, or the end of one, was never finished.
    UnfinishedAffinity { owner: Owner, block: IpNetwork, state: AffinityState },
    /// Several owners claim one block, confirmed.
    DoubledAffinity { block: IpNetwork, owners: Vec<Owner> },
    /// A claim of a node that does not exist.
    AffinityOfUnknownNode { node: String, block: IpNetwork },
    /// A block names an owner that has no claim to it.
    MissingAffinity { block: IpNetwork, owner: Owner },

    /// A handle counts nothing.
    EmptyHandle { handle: String },
    /// A handle's entry is no block.
    HandleEntry { handle: String, entry: String },
    /// A handle counts more addresses in a block than it has there.
    CountsTooMuch { handle: String, block: IpNetwork, counted: i64, held: i64 },
    /// A handle counts fewer addresses in a block than it has there.
    CountsTooLittle { handle: String, block: IpNetwork, counted: i64, held: i64 },
    /// Addresses are allocated to a handle that does not exist.
    MissingHandle { handle: String, block: IpNetwork, held: i64 },

    /// An address is in use and in a pool, but not allocated.
    NotAllocated { address: IpAddr, user: User },
    /// An address is in use by somebody it is not allocated to.
    AllocatedToAnother { address: IpAddr, user: User, handle: String },
    /// An address is in use more than once.
    DoubledAddress { address: IpAddr, users: Vec<User> },
    /// An address is allocated to a container that has no endpoint with it.
    Leaked { address: IpAddr, handle: String },
    /// An address is allocated on a node that does not exist.
    AllocationOfUnknownNode { address: IpAddr, node: String },
    /// An endpoint is on a node that does not exist.
    EndpointOfUnknownNode { endpoint: Key, node: String },
    /// An address is allocated for a tunnel of a node that does not exist.
    TunnelOfUnknownNode { address: IpAddr, tunnel: Tunnel, node: String },
    /// An address is allocated for a tunnel, for which its node names another address or none.
    TunnelElsewhere { address: IpAddr, tunnel: Tunnel, node: String, named: Option<String> },
}

fn list<T: fmt::Display>(items: &[T]) -> String {
    items.iter().map(T::to_string).collect::<Vec<_>>().join(" and ")
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use Finding::*;
        match self {
            NoClusterInformation => write!(f, "there is no ClusterInformation(default)"),
            NotReady { stated: Some(_) } => {
                write!(f, "ClusterInformation(default) says that the datastore is not ready")
            }
            NotReady { stated: None } => {
                write!(f, "ClusterInformation(default) does not say whether the datastore is ready")
            }
            Malformed { key, reason } => write!(f, "{key}: {reason}"),

            OverlappingPools { first, second } => write!(f, "pools {first} and {second} overlap"),
            UnmaskedPool { pool, cidr } => write!(f, "the CIDR of pool {pool}, {cidr}, has host bits"),
            PoolBlockSize { pool, cidr, block_size } => {
                write!(f, "pool {pool}, {cidr}, has blocks of /{block_size}, a size that there is not for its family")
            }
            PoolSelector { pool, selector, reason } => {
                write!(f, "the selector {selector:?} of pool {pool} cannot be read: {reason}")
            }
            PoolBelowBlockSize { pool, cidr, block_size } => {
                write!(f, "pool {pool}, {cidr}, is smaller than one of its blocks, /{block_size}")
            }
            ReservationEntry { reservation, entry } => {
                write!(f, "reservation {reservation} names {entry:?}, which is neither a CIDR nor an address")
            }

            InconsistentBlock { block, inconsistency } => write!(f, "block {block}: {inconsistency}"),
            UnusedAttribute { block, attribute } => {
                write!(f, "block {block}: no address is allocated to attribute {attribute}")
            }
            ReleasedInFuture { block, attribute, released_at } => {
                write!(
                    f,
                    "block {block}: the addresses of attribute {attribute} were released at {released_at}, later than now"
                )
            }
            OverlappingBlocks { first, second } => write!(f, "blocks {first} and {second} overlap"),
            BlockOutsidePools { block } => write!(f, "block {block} lies in no pool"),
            ForeignBlockSize { block, pool, block_size } => {
                write!(f, "block {block} lies in pool {pool}, whose blocks are of /{block_size}")
            }
            UnreadableOwner { block, affinity } => {
                write!(f, "block {block} names the owner {affinity:?}, which is neither a host nor a virtual one")
            }
            BlockOfUnknownNode { block, node } => {
                write!(f, "block {block} belongs to node {node}, which does not exist")
            }

            AffinityWithoutBlock { owner, block } => {
                write!(f, "{owner} has an affinity to block {block}, which does not exist")
            }
            AffinityToForeignBlock { owner, block, named } => {
                let named = named.as_deref().unwrap_or("no owner");
                write!(f, "{owner} has an affinity to block {block}, which names {named}")
            }
            UnfinishedAffinity { owner, block, state } => {
                write!(
                    f,
                    "the affinity of {owner} to block {block} is not confirmed but {}",
                    String::from(state.clone())
                )
            }
            DoubledAffinity { block, owners } => write!(f, "{} have an affinity to block {block}", list(owners)),
            AffinityOfUnknownNode { node, block } => {
                write!(f, "node {node}, which does not exist, has an affinity to block {block}")
            }
            MissingAffinity { block, owner } => write!(f, "block {block} names {owner}, which has no affinity to it"),

            EmptyHandle { handle } => write!(f, "handle {handle} counts nothing"),
            HandleEntry { handle, entry } => write!(f, "handle {handle} names the block {entry:?}, which is no CIDR"),
            CountsTooMuch { handle, block, counted, held } | CountsTooLittle { handle, block, counted, held } => {
                write!(f, "handle {handle} counts {counted} addresses in block {block}, and has {held} there")
            }
            MissingHandle { handle, block, held } => {
                write!(f, "block {block} has {held} addresses of handle {handle}, which does not exist")
            }

            NotAllocated { address, user } => write!(f, "{address} is in use by {user}, and not allocated"),
            AllocatedToAnother { address, user, handle } => {
                write!(f, "{address} is in use by {user}, and allocated to {handle}")
            }
            DoubledAddress { address, users } => write!(f, "{address} is in use by {}", list(users)),
            Leaked { address, handle } => {
                write!(f, "{address} is allocated to {handle}, which has no endpoint with it")
            }
            AllocationOfUnknownNode { address, node } => {
                write!(f, "{address} is allocated on node {node}, which does not exist")
            }
            EndpointOfUnknownNode { endpoint, node } => write!(f, "{endpoint} is on node {node}, which does not exist"),
            TunnelOfUnknownNode { address, tunnel, node } => {
                write!(f, "{address} is allocated for the {tunnel} tunnel of node {node}, which does not exist")
            }
            TunnelElsewhere { address, tunnel, node, named } => {
                let named = named.as_deref().unwrap_or("no address");
                write!(f, "{address} is allocated for the {tunnel} tunnel of node {node}, which names {named} for it")
            }
        }
    }
}
