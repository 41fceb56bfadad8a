//! Checks that everything stored about addresses agrees: run at the end of tests, and by operators' tools.

mod addresses;
mod advice;
mod affinities;
mod blocks;
mod finding;
mod handles;
mod pools;
mod tunnel;

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::time::SystemTime;

use calico_datastore::{Datastore, Error, Want};
use calico_model::{
    AffinityState, Attribute, Block, ClusterInformation, Handle, IpPool, IpReservation, Key, Kind, Listing, Node,
    Object, Owner, WorkloadEndpoint, cidr,
};
use ipnetwork::IpNetwork;

pub use advice::Class;
pub use finding::{Finding, User};
pub use tunnel::Tunnel;

/// Reads everything and reports every contradiction, sorted. Nothing may be in progress meanwhile. `now` tells what was
/// released in the future.
pub async fn audit(store: &impl Datastore, now: SystemTime) -> Result<Vec<Finding>, Error> {
    let resources = [Kind::IpPool, Kind::IpReservation, Kind::Node, Kind::WorkloadEndpoint].map(Listing::Resources);
    let listings = [Listing::Blocks, Listing::Handles, Listing::HostAffinities, Listing::VirtualAffinities];
    let singles = [Key::IpamConfig, Key::resource(Kind::ClusterInformation, "default")];
    let wants: Vec<Want> =
        singles.into_iter().map(Want::Get).chain(listings.into_iter().chain(resources).map(Want::List)).collect();
    let mut answers = store.read(&wants).await?;
    let mut findings = Vec::new();
    let mut stored = Objects::default();
    for entry in wants.iter().flat_map(|_| answers.entries()) {
        match entry.object {
            Ok(object) => stored.add(entry.key, object),
            Err(malformed) => {
                findings.push(Finding::Malformed { key: malformed.key, reason: malformed.reason });
                stored.unreadable.insert(entry.key);
            }
        }
    }
    stored.blocks.sort_by_key(|block| in_order(&block.cidr));
    stored.check_cluster(&mut findings);
    stored.check_pools(&mut findings);
    stored.check_blocks(now, &mut findings);
    stored.check_affinities(&mut findings);
    stored.check_handles(&mut findings);
    stored.check_addresses(&mut findings);
    findings.sort();
    findings.dedup();
    Ok(findings)
}

/// Everything that was read.
#[derive(Default)]
struct Objects {
    /// In the order of their addresses, the larger of those that begin alike first.
    blocks: Vec<Block>,
    handles: HashMap<String, Handle>,
    affinities: HashMap<IpNetwork, Vec<(Owner, AffinityState)>>,
    pools: Vec<IpPool>,
    reservations: Vec<IpReservation>,
    nodes: HashMap<String, Node>,
    endpoints: Vec<(Key, WorkloadEndpoint)>,
    information: Option<ClusterInformation>,
    /// What is there and says nothing.
    unreadable: HashSet<Key>,
}

impl Objects {
    fn add(&mut self, key: Key, object: Object) {
        match (key, object) {
            (_, Object::Block(block)) => self.blocks.push(block),
            (Key::Handle(id), Object::Handle(handle)) => {
                self.handles.insert(id, handle);
            }
            (Key::Affinity { owner, block }, Object::Affinity(affinity)) => {
                self.affinities.entry(block).or_default().push((owner, affinity.state));
            }
            (_, Object::IpPool(pool)) => self.pools.push(pool),
            (_, Object::IpReservation(reservation)) => self.reservations.push(reservation),
            (Key::Resource { name, .. }, Object::Node(node)) => {
                self.nodes.insert(name, node);
            }
            (key, Object::WorkloadEndpoint(endpoint)) => self.endpoints.push((key, endpoint)),
            (_, Object::ClusterInformation(information)) => self.information = Some(information),
            _ => {}
        }
    }

    fn check_cluster(&self, findings: &mut Vec<Finding>) {
        match &self.information {
            None if self.has_unreadable(Kind::ClusterInformation) => {}
            None => findings.push(Finding::NoClusterInformation),
            Some(information) => match information.spec.datastore_ready {
                Some(true) => {}
                stated => findings.push(Finding::NotReady { stated }),
            },
        }
    }

    /// Every address that somebody holds, with its block and who that is.
    fn held(&self) -> impl Iterator<Item = (&Block, IpAddr, &Attribute)> {
        self.blocks.iter().flat_map(|block| {
            (0..block.allocations.len()).filter_map(move |ordinal| {
                let attribute = block.attribute_of(ordinal).filter(|attribute| !attribute.is_cooling())?;
                Some((block, block.address(ordinal)?, attribute))
            })
        })
    }

    fn node_exists(&self, name: &str) -> bool {
        self.nodes.contains_key(name) || self.is_unreadable(&Key::resource(Kind::Node, name))
    }

    fn is_unreadable(&self, key: &Key) -> bool {
        self.unreadable.contains(key)
    }

    fn has_unreadable(&self, wanted: Kind) -> bool {
        self.unreadable.iter().any(|key| matches!(key, Key::Resource { kind, .. } if *kind == wanted))
    }
}

/// What to sort CIDRs by, so that each comes after those it lies in.
fn in_order(cidr: &IpNetwork) -> (IpAddr, u8) {
    (cidr.network(), cidr.prefix())
}

/// Calls `report` for every two CIDRs of which one lies in the other, as they do where they overlap. They are
/// [in order](in_order).
fn overlapping<T>(sorted: &[T], cidr_of: impl Fn(&T) -> IpNetwork, mut report: impl FnMut(&T, &T)) {
    let mut around: Vec<&T> = Vec::new();
    for item in sorted {
        while around.pop_if(|outer| !cidr::contains(&cidr_of(outer), &cidr_of(item))).is_some() {}
        around.iter().for_each(|outer| report(outer, item));
        around.push(item);
    }
}

/// A handle that there must be an object for: not the one that marks what a Windows host sets aside.
fn handle_of(attribute: &Attribute) -> Option<&str> {
    attribute.handle().filter(|handle| !handle.is_empty() && !attribute.is_windows_reserve())
}
