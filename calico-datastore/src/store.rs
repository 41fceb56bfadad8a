//! Whichever datastore the configuration names.

use crate::contract::{Answers, Datastore, Outcome, Want, Write};
use crate::error::Error;
use crate::etcd::Etcd;
use crate::kubernetes::Kubernetes;
use crate::local::Local;

/// An open datastore.
#[allow(clippy::large_enum_variant, reason = "a process has one")]
#[allow(missing_docs, reason = "each variant is named after the type it holds")]
pub enum Store {
    Local(Local),
    Etcd(Etcd),
    Kubernetes(Kubernetes),
}

/// What talks to servers is on the heap: whoever awaits a store in many places would be as large as all of them together.
impl Datastore for Store {
    async fn read(&self, wants: &[Want]) -> Result<Answers, Error> {
        match self {
            Store::Local(store) => store.read(wants).await,
            Store::Etcd(store) => Box::pin(store.read(wants)).await,
            Store::Kubernetes(store) => Box::pin(store.read(wants)).await,
        }
    }

    async fn commit(&self, writes: &[Write]) -> Result<Outcome, Error> {
        match self {
            Store::Local(store) => store.commit(writes).await,
            Store::Etcd(store) => Box::pin(store.commit(writes)).await,
            Store::Kubernetes(store) => Box::pin(store.commit(writes)).await,
        }
    }

    async fn settle(&self) -> Result<(), Error> {
        match self {
            Store::Local(store) => store.settle().await,
            Store::Etcd(store) => store.settle().await,
            Store::Kubernetes(store) => store.settle().await,
        }
    }

    fn answers_singly(&self) -> bool {
        match self {
            Store::Local(_) | Store::Etcd(_) => false,
            Store::Kubernetes(store) => store.answers_singly(),
        }
    }

    fn endpoints_are_pods(&self) -> bool {
        matches!(self, Store::Kubernetes(_))
    }

    fn name(&self) -> String {
        match self {
            Store::Local(store) => store.name(),
            Store::Etcd(store) => store.name(),
            Store::Kubernetes(store) => store.name(),
        }
    }
}
