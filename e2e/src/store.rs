//! What is in a host's embedded store.

use std::collections::BTreeMap;

use calico_datastore::Want;
use calico_datastore::local::Local;
use calico_datastore::{Datastore, Entry};
use calico_model::{Kind, Listing};
use serde_json::Value;

use crate::host::Host;

/// All objects of a store: paths, as in etcd, to JSON.
#[derive(Debug, Clone, Default)]
pub struct Stored(pub BTreeMap<String, Value>);

impl Host {
    /// Reads the whole store. An absent one has no objects, and stays absent.
    pub fn stored(&self) -> Stored {
        if !self.store_file().exists() {
            return Stored::default();
        }
        let resources = Kind::ALL.map(Listing::Resources);
        let listings = [Listing::Blocks, Listing::Handles, Listing::HostAffinities].into_iter().chain(resources);
        let wants: Vec<Want> = listings.map(Want::List).collect();
        let entries: Vec<Entry> = block_on(async {
            let store = Local::open(&self.store_file()).await.unwrap_or_else(|e| panic!("{e}"));
            let mut answers = store.read(&wants).await.unwrap_or_else(|e| panic!("{e}"));
            wants.iter().flat_map(|_| answers.entries()).collect()
        });
        let object = |entry: Entry| {
            let object = entry.object.unwrap_or_else(|e| panic!("{e}"));
            (entry.key.path(), serde_json::to_value(object).expect("an object is JSON"))
        };
        Stored(entries.into_iter().map(object).collect())
    }

    /// Every way in which the stored objects contradict each other.
    pub fn audit(&self) -> Vec<String> {
        if !self.store_file().exists() {
            return vec![];
        }
        let findings = block_on(async {
            let store = Local::open(&self.store_file()).await.unwrap_or_else(|e| panic!("{e}"));
            calico_ipam::audit(&store).await.unwrap_or_else(|e| panic!("{e}"))
        });
        findings.iter().map(ToString::to_string).collect()
    }
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime").block_on(work)
}

impl Stored {
    /// The objects whose path has a part.
    pub fn with(&self, part: &str) -> BTreeMap<&str, &Value> {
        self.0.iter().filter(|(path, _)| path.contains(part)).map(|(path, object)| (path.as_str(), object)).collect()
    }

    /// The blocks, of both families.
    pub fn blocks(&self) -> BTreeMap<&str, &Value> {
        self.with("/assignment/")
    }

    /// The IDs of all handles.
    pub fn handles(&self) -> Vec<&str> {
        self.with("/handle/").into_keys().filter_map(|path| path.rsplit('/').next()).collect()
    }

    /// The names of all endpoints.
    pub fn endpoints(&self) -> Vec<&str> {
        self.with("/workloadendpoints/").into_keys().filter_map(|path| path.rsplit('/').next()).collect()
    }

    /// How many addresses are allocated in all blocks.
    pub fn allocated(&self) -> usize {
        let taken =
            |block: &Value| block["allocations"].as_array().into_iter().flatten().filter(|a| !a.is_null()).count();
        self.blocks().into_values().map(taken).sum()
    }
}
