//! The datastore that a command works on.

use std::time::{Duration, SystemTime};

use calico_datastore::{Deadline, Store, Timed};
use calico_ipam::Ipam;
use calico_plugin::config::DatastoreConf;

use crate::config::Configured;
use crate::error::Error;

/// Which kind of datastore it is: some commands differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is named after the datastore")]
pub enum Backend {
    Etcd,
    Kubernetes,
    Local,
}

/// An open datastore, with the time that a command may take.
pub struct Session {
    store: Store,
    limit: Duration,
    configured: Configured,
}

impl Session {
    /// Opens the datastore. An absent embedded store is made where `may_create`.
    ///
    /// # Errors
    /// It cannot be reached in time, does not let us in, or is absent.
    pub async fn open(configured: Configured, limit: Duration, may_create: bool) -> Result<Session, Error> {
        if let DatastoreConf::Local(path) = &configured.datastore
            && !may_create
            && !path.exists()
        {
            let error = Error::new(format_args!("there is no store {}", path.display()));
            return Err(error.with_detail(
                "the plugin makes it with the host's first container, and `calicoctl create` with the first object",
            ));
        }
        let opened = configured.datastore.open(Deadline::after(limit)).await;
        let store = opened
            .map_err(|error| Error::new(crate::config::reason(&error)).after("Failed to create Calico API client: "))?;
        Ok(Session { store, limit, configured })
    }

    /// An embedded store in memory, with a time limit that no test reaches.
    #[cfg(test)]
    pub async fn in_memory() -> Session {
        let path = std::path::PathBuf::from(":memory:");
        let store = Store::Local(calico_datastore::local::Local::open(&path).await.expect("a store in memory opens"));
        Session { store, limit: Duration::from_secs(3600), configured: Configured::of(DatastoreConf::Local(path)) }
    }

    /// The datastore, for so long from now as one command may take.
    pub fn store(&self) -> Timed<&Store> {
        Timed::new(&self.store, self.deadline())
    }

    /// How it was configured.
    pub fn conf(&self) -> &DatastoreConf {
        &self.configured.datastore
    }

    /// When a command that begins now gives up.
    pub fn deadline(&self) -> Deadline {
        Deadline::after(self.limit)
    }

    /// The datastore without a bound on time.
    pub fn raw(&self) -> &Store {
        &self.store
    }

    /// Address management, for the host of this name where it matters.
    pub fn ipam(&self, node: &str) -> Ipam<Timed<&Store>> {
        Ipam::new(self.store(), node, SystemTime::now())
    }

    /// Which kind it is.
    pub fn backend(&self) -> Backend {
        match &self.store {
            Store::Etcd(_) => Backend::Etcd,
            Store::Kubernetes(_) => Backend::Kubernetes,
            Store::Local(_) => Backend::Local,
        }
    }
}
