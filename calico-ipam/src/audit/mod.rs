//! Checks that everything stored about addresses agrees: run at the end of tests, and by operators' tools.

mod addresses;
mod advice;
mod affinities;
mod blocks;
mod finding;
mod handles;
mod pools;
mod snapshot;
mod tunnel;

use std::net::IpAddr;
use std::time::SystemTime;

use calico_datastore::{Datastore, Error};
use calico_model::{Attribute, cidr};
use ipnetwork::IpNetwork;

pub use addresses::{is_containers, is_virtual_machines};
pub use advice::Class;
pub use finding::{Finding, User};
pub use snapshot::Snapshot;
pub use tunnel::Tunnel;

/// Reads everything and reports every contradiction, sorted. Nothing may be in progress meanwhile. `now` tells what was
/// released in the future.
pub async fn audit(store: &impl Datastore, now: SystemTime) -> Result<Vec<Finding>, Error> {
    Ok(Snapshot::read(store).await?.findings(now))
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
pub(crate) fn handle_of(attribute: &Attribute) -> Option<&str> {
    attribute.handle().filter(|handle| !handle.is_empty() && !attribute.is_windows_reserve())
}
