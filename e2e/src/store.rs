//! What is stored: in a host's embedded store, or in etcd.

use std::collections::BTreeMap;
use std::time::SystemTime;

use calico_datastore::local::Local;
use calico_datastore::{Answers, Datastore, Entry, Error, Outcome, Revision, Want, Write};
use calico_ipam::audit::{Finding, audit};
use calico_model::{Kind, Listing};
use serde_json::Value;

use crate::etcd::Etcd;
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
        block_on(async { read_all(&self.open_store().await).await })
    }

    /// Every way in which the stored objects contradict each other.
    pub fn audit(&self) -> Vec<String> {
        if !self.store_file().exists() {
            return vec![];
        }
        block_on(async { audit_all(&self.open_store().await).await })
    }

    async fn open_store(&self) -> Local {
        Local::open(&self.store_file()).await.unwrap_or_else(|e| panic!("{e}"))
    }
}

impl Etcd {
    /// Reads everything that is stored.
    pub fn stored(&self) -> Stored {
        block_on(read_all(&Dump(self.dump())))
    }

    /// Every way in which the stored objects contradict each other.
    pub fn audit(&self) -> Vec<String> {
        contradictions(self.dump())
    }
}

/// Every way in which objects contradict each other, given as the text that is stored.
pub(crate) fn contradictions(objects: BTreeMap<String, String>) -> Vec<String> {
    block_on(audit_all(&Dump(objects)))
}

/// All keys of an etcd with their values, read beforehand by etcd's own client rather than by the code under test.
struct Dump(BTreeMap<String, String>);

impl Datastore for Dump {
    async fn read(&self, wants: &[Want]) -> Result<Answers, Error> {
        let is_wanted = |want: &Want, path: &str| match want {
            Want::Get(key) | Want::Outline(key) => key.path() == path,
            Want::List(listing) => path.starts_with(&listing.prefix()),
        };
        Ok(Answers::new(wants.iter().map(|want| {
            let found = self.0.iter().filter(|(path, _)| is_wanted(want, path));
            found.filter_map(|(path, value)| Entry::parse(path, Revision(0), value.as_bytes())).collect()
        })))
    }

    async fn commit(&self, _: &[Write]) -> Result<Outcome, Error> {
        let (store, reason) = ("dump".to_owned(), "it is a copy".to_owned());
        Err(Error::Forbidden { doing: "write", store, reason, advice: "write to the etcd itself".into() })
    }

    async fn settle(&self) -> Result<(), Error> {
        Ok(())
    }

    fn name(&self) -> String {
        "dump".to_owned()
    }
}

async fn read_all(store: &impl Datastore) -> Stored {
    let resources = Kind::ALL.map(Listing::Resources);
    let listings = [Listing::Blocks, Listing::Handles, Listing::HostAffinities].into_iter().chain(resources);
    let wants: Vec<Want> = listings.map(Want::List).collect();
    let mut answers = store.read(&wants).await.unwrap_or_else(|e| panic!("{e}"));
    let object = |entry: Entry| {
        let object = entry.object.unwrap_or_else(|e| panic!("{e}"));
        (entry.key.path(), serde_json::to_value(object).expect("an object is JSON"))
    };
    Stored(wants.iter().flat_map(|_| answers.entries()).map(object).collect())
}

async fn audit_all(store: &impl Datastore) -> Vec<String> {
    let mut findings = audit(store, SystemTime::now()).await.unwrap_or_else(|e| panic!("{e}"));
    // Whether the datastore may be used is no contradiction, and many a test is about its not being so.
    findings.retain(|finding| !matches!(finding, Finding::NoClusterInformation | Finding::NotReady { .. }));
    findings.iter().map(ToString::to_string).collect()
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
