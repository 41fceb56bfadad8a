//! `calico-ipam -upgrade`: takes over the addresses that the plugin host-local has given to a node's pods.
//!
//! Clusters on which Calico did policy only (with flannel, say) have host-local give each node's pods addresses of the node's
//! own network, and note them in files. When Calico comes to manage addresses there, they must be recorded before anybody
//! assigns one of them anew. This runs to its end before the plugin is installed, as a container of its own.
//!
//! It may be killed at any point, and is then started again. What keeps that safe:
//!
//! * A file goes only when its address is recorded under its container's handle. An address that is recorded under it already
//!   is done.
//! * Who has closed the datastore stands in the object that says so, and is written in one with it (`gate`): the next run
//!   knows whether it must open it again, even where nothing else is left to do.
//! * The folder goes under host-local's own lock, and only when it is empty; then the datastore is opened, and last goes the
//!   file that said that it may be closed. Where neither is there, nothing is asked of anybody.

mod error;
mod gate;
mod host_local;
mod migration;
mod orchestrator;
mod run;
#[cfg(test)]
mod tests;
mod tunnel;

pub use run::run;
