//! Repairs of what is provably dead: an audit's findings that can be put right without knowing more than what is stored.
//!
//! What is repaired, and why that is safe:
//!
//! * **An address that is allocated to a container without an endpoint** is released, by its handle and its sequence number, if
//!   that it has none tells that it is dead. `calico-ipam` serves other plugins, whose containers never have one; so the
//!   allocation must name a node and no type, and:
//!   * where endpoints are pods (the Kubernetes API), it names its pod, and that has no endpoint, or one of another container;
//!   * elsewhere, neither its container nor its pod has an endpoint, and those of its network have some: an endpoint there is
//!     has an address that is allocated to `<the same network>.<its container ID>`.
//!
//!   An ADD allocates before it records its endpoint, so this waits until the allocation is [five minutes](GRACE) old; one
//!   without a time counts as old, one with a time that cannot be read may be young. It is not done where another address of
//!   its handle is in use, where the pod has no address yet, or where an endpoint or a node cannot be read, which may have the
//!   address. Right before the release, endpoints and nodes are looked at again.
//! * **An address for a tunnel of a node that does not exist** is released if nobody has it, it is not young, and every endpoint
//!   and node can be read.
//! * **A handle that does not count what its blocks hold** is made to. Before an entry is lowered or removed, the block that
//!   it names is rewritten, so that an allocation under way loses its compare-and-swap (invariant 2 of the design); raising one
//!   cannot hurt. The handles of virtual machines are left alone: several hosts write them.
//! * **An affinity whose block does not exist, or belongs to another or to nobody,** is deleted: the block decides who owns
//!   it. One that is not confirmed may be a claim in progress; it is deleted only if its node does not exist.
//! * **A block of a node that does not exist** is deleted with its affinity if nothing in it is in use, or nothing but what is
//!   released here. Addresses that rest after that make it wait for another run.
//! * **An attribute that no address has** is dropped, and **an address that is neither allocated nor free, or allocated to
//!   nobody,** is freed, unless somebody uses it. A block that contradicts itself in other ways is left alone.
//!
//! Everything else is left to people: among them endpoints of nodes that do not exist (their containers may run, and the node
//! may come back), addresses that were allocated by hand, to services and to virtual machines, and what the owner's next
//! operation puts right anyway. Where there is no node at all, no node counts as gone: that is another kind of trouble.
//!
//! Every repair remembers the revisions of all it rests on. Whatever was changed since by anybody else is skipped, never forced;
//! and the writes are ordered so that it is safe to die after any of them.

mod affinities;
mod blocks;
mod carry_out;
mod handles;
mod living;
mod plan;
mod proof;
mod world;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use calico_datastore::Revision;
use calico_model::{Key, Owner};
use ipnetwork::IpNetwork;

use crate::audit::Finding;

pub use carry_out::carry_out;
pub use handles::of_unused_handle;
pub use living::Living;
pub use plan::plan;
pub use world::Written;

/// How old an allocation must be before the absence of an endpoint means that there will be none.
pub const GRACE: Duration = Duration::from_secs(5 * 60);

/// How many repairs are best carried out in one call: what they rest on is read together, and with it all endpoints.
pub const TOGETHER: usize = 256;

/// What can be repaired, and what cannot.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Plan {
    /// To be carried out in this order.
    pub repairs: Vec<Repair>,
    /// Every finding that no repair is about.
    pub left: Vec<Left>,
}

/// One repair.
#[derive(Debug, Clone, PartialEq)]
pub struct Repair {
    /// What it puts right.
    pub findings: Vec<Finding>,
    /// What it does.
    pub text: String,
    action: Action,
    /// What it rests on: the versions that were read, or that nothing was there.
    seen: BTreeMap<Key, Option<Revision>>,
}

/// A finding that is not repaired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// The finding.
    pub finding: Finding,
    /// Why not, or what to do about it: a sentence.
    pub why: String,
}

/// What became of a repair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// It is done.
    Done,
    /// It was not carried out, or not to its end, for this reason.
    Skipped(String),
}

/// What a repair does.
#[derive(Debug, Clone, PartialEq)]
enum Action {
    /// Releases addresses of a handle, and makes it count what is left in these blocks.
    Settle { handle: String, releases: Vec<Release>, blocks: Vec<IpNetwork> },
    /// Frees addresses that nobody has, and drops the attributes that no address has.
    Mend { block: IpNetwork, free: Vec<IpAddr> },
    /// Deletes an affinity whose owner does not own the block; `gone` tells that its node must not exist.
    DropAffinity { owner: Owner, block: IpNetwork, gone: bool },
    /// Deletes an empty block of a node that does not exist, and its affinity.
    GiveUp { owner: Owner, block: IpNetwork },
}

/// An allocation that is to end.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Release {
    address: IpAddr,
    block: IpNetwork,
    sequence: u64,
    /// The node that must not exist, where it is a tunnel's.
    gone: Option<String>,
}

fn list<T: std::fmt::Display>(items: impl IntoIterator<Item = T>) -> String {
    items.into_iter().map(|item| item.to_string()).collect::<Vec<_>>().join(", ")
}
