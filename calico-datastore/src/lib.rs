//! The datastore contract, and the places that keep Calico's objects behind it.
//!
//! Two operations carry everything: [`Datastore::read`] answers a batch of keys and listings together, and
//! [`Datastore::commit`] applies an ordered list of writes, each with the revision it expects.

mod contract;
pub mod deadline;
mod encode;
mod error;
pub mod etcd;
mod first_word;
pub mod kubernetes;
pub mod local;
mod store;
pub mod trust;
mod tunnel;
mod way;

pub use contract::{Answers, Datastore, Entry, Expect, Outcome, Revision, Stored, Want, Write};
pub use deadline::{Deadline, Timed};
pub use error::Error;
pub use store::Store;
