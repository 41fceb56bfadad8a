//! The Kubernetes API as datastore: the contract, the model of allocation, hosts at once, and another writer of the same
//! objects. A real API server with upstream's rights, reached by this process itself and by the executables.

#![allow(clippy::print_stdout, reason = "the seed is for whoever reads a failed test's output")]

mod base;
mod contract;
mod fleet;
mod groups;
mod hosts;
mod model;
mod nodes;
mod opened;
#[path = "../../../calico-ipam/tests/model/stopped.rs"]
mod stopped;
#[path = "../../../calico-ipam/tests/model/world/mod.rs"]
mod world;
mod writer;

use base::Base;
use e2e::{ApiGroup, ControlPlane, Lease};

/// A control plane whose objects are what a test planted, or what a model has judged by itself already.
fn unaudited(group: ApiGroup) -> Lease {
    let lease = ControlPlane::shared(group);
    lease.end_unaudited();
    lease
}
