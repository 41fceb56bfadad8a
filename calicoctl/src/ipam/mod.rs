//! The commands about addresses.

mod address;
mod borrowed;
pub mod check;
pub mod configure;
pub mod explain;
mod numbers;
mod pools;
pub mod release_ip;
pub mod release_report;
mod report;
pub mod show;
pub mod split;
mod usage;

use std::time::SystemTime;

use calico_datastore::{Store, Timed};
use calico_ipam::Ipam;
use calico_model::Owner;

use crate::session::Session;

/// Address management of the cluster as a whole: for an owner that has no blocks and no node that could be looked up.
fn of_cluster(session: &Session) -> Ipam<Timed<&Store>> {
    Ipam::of(session.store(), Owner::Virtual("calicoctl".to_owned()), SystemTime::now())
}

#[cfg(test)]
mod world;
