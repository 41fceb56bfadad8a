//! Calico's IP address management.
//!
//! Addresses are handed out from blocks. A host claims a block by writing an affinity, and allocates from it by
//! compare-and-swap on the block; a handle remembers in which blocks a container has addresses. The rules that every
//! operation here keeps (the design's invariants 1 to 3, repeated in docs/architecture.md):
//!
//! * The block write that wins its compare-and-swap is the commit point of an allocation.
//! * A handle may count too much but never too little, so that releasing by handle releases everything.
//! * `block.affinity` decides who owns a block; an affinity that is not confirmed is a claim in progress.
//!
//! Every operation works by content: after a lost answer it reads again and looks for its own mark.

mod affinities;
mod assign;
pub mod audit;
mod block;
pub mod check;
mod claim;
mod error;
mod explain;
mod go_rand;
mod go_rand_seed;
mod inputs;
mod locate;
mod owner_attributes;
pub mod plugin;
mod pools;
mod query;
mod release;
mod release_addresses;
pub mod repair;
mod settings;
pub mod start_block;
pub mod upgrade;
mod utilisation;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::SystemTime;

use calico_model::{Attribute, IpamConfig, Owner};
use ipnetwork::IpNetwork;

pub use affinities::{Claims, Releases};
pub use assign::{AssignAddress, Assigned, AutoAssign, Considered, Decision, Demand, Shortfall, Trace};
use block::Cooldown;

pub use block::{HostReserve, Room};
pub use claim::GivenUp;
pub use error::Error;
pub use explain::{AddressesExplained, Explanation};
pub use inputs::Inputs;
pub use owner_attributes::{ExpectedOwner, OwnerExpectation, OwnerUpdate};
pub use pools::{Answer, Verdict};
pub use query::AddressUse;
pub use release::Held;
pub use release_addresses::{PartlyReleased, ReleaseRequest, Released};
pub use utilisation::{BlockUtilisation, Counts, PoolUtilisation, Utilisation};

/// How often a write that loses its compare-and-swap is tried again. Each loss is another writer's success, so only
/// a fault elsewhere uses this up.
const RETRIES: usize = 100;

/// How many objects are read together.
const BATCH: usize = 64;

/// Address management for one owner of blocks, on one datastore.
pub struct Ipam<D> {
    store: D,
    owner: Owner,
    now: SystemTime,
}

impl<D> Ipam<D> {
    /// Address management for a node. `now` dates what this call creates.
    pub fn new(store: D, node: &str, now: SystemTime) -> Ipam<D> {
        Ipam::of(store, Owner::Host(node.to_owned()), now)
    }

    /// Address management for any owner, such as the cluster-wide one of load balancers' addresses.
    pub fn of(store: D, owner: Owner, now: SystemTime) -> Ipam<D> {
        Ipam { store, owner, now }
    }

    fn cooldown(&self, config: &IpamConfig) -> Cooldown {
        Cooldown { rest: config.cooldown(), now: self.now }
    }
}

/// One address of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allocation {
    /// The address.
    pub address: IpAddr,
    /// The block it was taken from.
    pub block: IpNetwork,
}

/// The allocations of one call: under which mark they are made and where they may be, so that they can be undone even
/// if an answer was lost or the call was cut short.
#[derive(Debug)]
pub struct Lease {
    holder: Attribute,
    handle: String,
    tried: RefCell<BTreeMap<IpNetwork, Attempts>>,
}

/// What became of attempts to assign addresses of one block.
#[derive(Debug, Clone, Copy, Default)]
struct Attempts {
    /// How many addresses the handle counts that this call did not get.
    over: i64,
    /// How many more it may count: the answer was lost.
    unsure: i64,
}

impl Lease {
    /// Allocations for `handle`. The attributes must be this call's alone (their `timestamp` makes them so): they are
    /// how it recognises its own writes.
    pub fn new(handle: &str, attributes: impl IntoIterator<Item = (String, String)>) -> Lease {
        let holder = Attribute {
            handle_id: Some(handle.to_owned()),
            secondary: attributes.into_iter().collect(),
            ..Attribute::default()
        };
        Lease { holder, handle: handle.to_owned(), tried: RefCell::default() }
    }

    /// The handle.
    pub fn handle(&self) -> &str {
        &self.handle
    }

    fn attempts(&self, block: &IpNetwork) -> Attempts {
        self.tried.borrow().get(block).copied().unwrap_or_default()
    }

    fn note(&self, block: IpNetwork, change: impl FnOnce(&mut Attempts)) {
        change(self.tried.borrow_mut().entry(block).or_default());
    }
}
