//! What is stored: in a host's embedded store, in etcd, or in the Kubernetes API.

use std::collections::BTreeMap;
use std::time::SystemTime;

use calico_datastore::local::Local;
use calico_datastore::{Answers, Datastore, Entry, Error, Outcome, Revision, Want, Write};
use calico_ipam::audit::{Finding, audit};
use calico_model::kubernetes::{ClusterNode, Group, Pod, decode};
use calico_model::{Key, Kind, Listing, Object};
use serde_json::Value;

use crate::control_plane::{ApiGroup, ControlPlane};
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
    /// Reads everything that is stored of Calico's.
    pub fn stored(&self) -> Stored {
        block_on(read_all(&Dump::of(self.dump_below("/calico/"))))
    }

    /// Every way in which the stored objects contradict each other.
    pub fn audit(&self) -> Vec<String> {
        contradictions(self.dump_below("/calico/"))
    }
}

impl ControlPlane {
    /// Reads everything that is stored of Calico's. Pods without addresses are no endpoints yet, or no more.
    pub fn stored(&self) -> Stored {
        block_on(read_all(&Dump(self.entries())))
    }

    /// Every way in which the stored objects contradict each other.
    pub fn contradictions(&self) -> Vec<String> {
        block_on(audit_all(&Dump(self.entries())))
    }

    /// Both, of what is read once.
    pub(crate) fn stored_and_contradictions(&self) -> (Stored, Vec<String>) {
        let dump = Dump(self.entries());
        block_on(async { (read_all(&dump).await, audit_all(&dump).await) })
    }

    fn entries(&self) -> Vec<Entry> {
        let list = |path: &str| self.admin().list(path).unwrap_or_else(|refusal| panic!("{path}: {refusal}"));
        let group = match self.group() {
            ApiGroup::Crd => Group::V1,
            ApiGroup::V3 => Group::V3,
        };
        let mut entries = Vec::new();
        for (plural, _) in self.group().resources() {
            let items = list(&self.collection(plural));
            let items = items.iter().filter_map(|item| decode(group, plural, item.to_string().as_bytes()));
            entries.extend(items.map(|item| Entry { key: item.key, revision: Revision(0), object: item.object }));
        }
        for node in list("/api/v1/nodes") {
            let node: ClusterNode = serde_json::from_value(node).expect("the API server answers nodes");
            let key = Key::resource(Kind::Node, &node.metadata.name);
            entries.push(Entry { key, revision: Revision(0), object: node.node().map(Into::into) });
        }
        for pod in list("/api/v1/pods") {
            let pod: Pod = serde_json::from_value(pod).expect("the API server answers pods");
            // What a test says of a pod may be wrong on purpose.
            let Ok(endpoint) = pod.endpoint("cali") else { continue };
            if pod.is_endpoint() && !endpoint.spec.ip_networks.is_empty() {
                let key = Key::endpoint(&pod.metadata.namespace, &endpoint.metadata.name);
                entries.push(Entry { key, revision: Revision(0), object: Ok(Object::WorkloadEndpoint(endpoint)) });
            }
        }
        entries.sort_by_cached_key(|entry| entry.key.path());
        entries
    }
}

/// Every way in which objects contradict each other, given as the text that is stored.
pub(crate) fn contradictions(objects: BTreeMap<String, String>) -> Vec<String> {
    block_on(audit_all(&Dump::of(objects)))
}

/// All objects of a server, read beforehand by another client than the code under test.
struct Dump(Vec<Entry>);

impl Dump {
    /// The keys of an etcd with their values.
    fn of(objects: BTreeMap<String, String>) -> Dump {
        let parse = |(path, value): (String, String)| Entry::parse(&path, Revision(0), value.as_bytes());
        Dump(objects.into_iter().filter_map(parse).collect())
    }
}

impl Datastore for Dump {
    async fn read(&self, wants: &[Want]) -> Result<Answers, Error> {
        let is_wanted = |want: &Want, path: &str| match want {
            Want::Get(key) | Want::Outline(key) => key.path() == path,
            Want::List(listing) => path.starts_with(&listing.prefix()),
        };
        Ok(Answers::new(
            wants
                .iter()
                .map(|want| self.0.iter().filter(|entry| is_wanted(want, &entry.key.path())).cloned().collect()),
        ))
    }

    async fn commit(&self, _: &[Write]) -> Result<Outcome, Error> {
        let (store, reason) = ("dump".to_owned(), "it is a copy".to_owned());
        Err(Error::Forbidden { doing: "write", store, reason, advice: "write to the server itself".into() })
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
