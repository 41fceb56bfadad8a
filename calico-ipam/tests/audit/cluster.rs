//! A small cluster: what it stores is made by real operations, and may then be changed at will.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use calico_datastore::local::Local;
use calico_datastore::{Answers, Datastore, Entry, Error, Outcome, Revision, Want, Write};
use calico_ipam::audit::{Class, Finding, audit};
use calico_ipam::{AutoAssign, Demand, Ipam, Lease};
use calico_model::endpoint_name::EndpointId;
use calico_model::{IpPool, IpVersion, Key, Kind, Listing, Node, WorkloadEndpoint, timestamp};
use serde_json::{Value, json};

/// The pools: eight blocks of four addresses, and sixteen of sixteen.
pub const POOLS: [(&str, &str, u8); 2] = [("four", "10.0.0.0/27", 30), ("six", "fd00::/120", 124)];

/// When everything happens.
pub fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

/// A datastore under construction.
pub struct Cluster(pub Local);

impl Cluster {
    pub async fn new(nodes: &[&str]) -> Cluster {
        let store = Local::in_memory().await.unwrap();
        for node in nodes {
            store.seed(node, &[]).await.unwrap();
        }
        let cluster = Cluster(store);
        for (name, cidr, size) in POOLS {
            let mut pool = IpPool::routed(name, cidr.parse().unwrap());
            pool.spec.block_size = size;
            cluster.commit(Write::create(Key::resource(Kind::IpPool, name), pool)).await;
        }
        cluster
    }

    pub async fn commit(&self, write: Write) {
        assert!(matches!(self.0.commit(&[write]).await, Ok(Outcome::Applied(_))));
    }

    /// Assigns addresses of each family to a handle, and answers them.
    pub async fn assign(&self, node: &str, handle: &str, [ipv4, ipv6]: [usize; 2]) -> Vec<IpAddr> {
        let ipam = Ipam::new(&self.0, node, now());
        let facts = [("node", node.to_owned()), ("timestamp", timestamp::go_text(now()))];
        let lease = Lease::new(handle, facts.map(|(fact, value)| (fact.to_owned(), value)));
        let demands = vec![Demand::any(IpVersion::V4, ipv4), Demand::any(IpVersion::V6, ipv6)];
        let request = AutoAssign::workload(demands);
        let inputs = ipam.read_inputs().await.unwrap();
        let assigned = ipam.auto_assign(&inputs, &request, &lease).await.unwrap();
        assert_eq!(assigned.shortfalls, []);
        assigned.allocations.into_iter().map(|allocation| allocation.address).collect()
    }

    /// Connects a container: addresses, and an endpoint with them.
    pub async fn connect(&self, node: &str, id: &str, counts: [usize; 2]) -> Vec<IpAddr> {
        let addresses = self.assign(node, &format!("net.{id}"), counts).await;
        let name = EndpointId {
            node: node.to_owned(),
            orchestrator: "cni".to_owned(),
            workload: id.to_owned(),
            endpoint: "eth0".to_owned(),
        };
        let mut endpoint = WorkloadEndpoint::for_interface(&name, "default").unwrap();
        endpoint.spec.container_id = id.to_owned();
        endpoint.spec.ip_networks = addresses.iter().map(|&it| calico_model::cidr::single(it).to_string()).collect();
        let key = Key::endpoint("default", &endpoint.metadata.name);
        self.commit(Write::create(key, endpoint)).await;
        addresses
    }

    /// Disconnects a container.
    pub async fn disconnect(&self, node: &str, id: &str) {
        let ipam = Ipam::new(&self.0, node, now());
        ipam.release_by_handle(ipam.read_handle(&format!("net.{id}")).await.unwrap()).await.unwrap();
        let endpoints = Want::List(Listing::Resources(Kind::WorkloadEndpoint));
        for endpoint in self.0.read(&[endpoints]).await.unwrap().list::<WorkloadEndpoint>() {
            if endpoint.value.spec.container_id == id {
                self.commit(Write::delete(endpoint.key, endpoint.revision)).await;
            }
        }
    }

    /// Gives a node an address for its IPIP tunnel.
    pub async fn tunnel(&self, node: &str) {
        let addresses = self.assign(node, &format!("ipip-tunnel-addr-{node}"), [1, 0]).await;
        let mut answers = self.0.read(&[Want::Get(Key::resource(Kind::Node, node))]).await.unwrap();
        let mut stored = answers.get::<Node>().unwrap().unwrap();
        stored.value.spec.insert("bgp".to_owned(), json!({ "ipv4IPIPTunnelAddr": addresses[0].to_string() }));
        self.commit(Write::update(stored.key, stored.revision, stored.value)).await;
    }

    pub async fn audit(&self) -> Vec<Finding> {
        audit(&self.0, now()).await.unwrap()
    }

    /// Everything that is stored.
    pub async fn objects(&self) -> Objects {
        let resources = Kind::ALL.map(Listing::Resources);
        let listings = [Listing::Blocks, Listing::Handles, Listing::HostAffinities, Listing::VirtualAffinities];
        let wants: Vec<Want> = listings.into_iter().chain(resources).map(Want::List).collect();
        let mut answers = self.0.read(&wants).await.unwrap();
        let entries = wants.iter().flat_map(|_| answers.entries());
        Objects(entries.map(|it| (it.key.path(), serde_json::to_value(it.object.unwrap()).unwrap())).collect())
    }
}

/// What is stored, to be changed without asking.
#[derive(Clone)]
pub struct Objects(pub BTreeMap<String, Value>);

impl Objects {
    /// The only path with this part.
    #[track_caller]
    pub fn path(&self, part: &str) -> String {
        let found: Vec<&String> = self.0.keys().filter(|path| path.contains(part)).collect();
        assert_eq!(found.len(), 1, "{part}: {found:?}");
        found[0].clone()
    }

    /// The only object whose path has this part.
    #[track_caller]
    pub fn at(&mut self, part: &str) -> &mut Value {
        let path = self.path(part);
        self.0.get_mut(&path).unwrap()
    }

    #[track_caller]
    pub fn remove(&mut self, part: &str) {
        let path = self.path(part);
        self.0.remove(&path);
    }

    pub fn put(&mut self, path: &str, object: Value) {
        self.0.insert(path.to_owned(), object);
    }

    pub fn audit(&self) -> Vec<Finding> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(audit(self, now())).unwrap()
    }

    /// Asserts what is found, each with its class.
    #[track_caller]
    pub fn assert_finds(&self, expected: &[(Finding, Class)]) {
        let found: Vec<(Finding, Class)> = self.audit().into_iter().map(|it| (it.clone(), it.class())).collect();
        assert_eq!(found, expected);
        for (finding, _) in found {
            let (text, advice) = (finding.to_string(), finding.advice());
            assert!(!text.is_empty() && !text.ends_with('.') && advice.ends_with('.'), "{text}\n{advice}");
        }
    }
}

impl Datastore for Objects {
    async fn read(&self, wants: &[Want]) -> Result<Answers, Error> {
        let is_wanted = |want: &Want, path: &str| match want {
            Want::Get(key) | Want::Outline(key) => key.path() == path,
            Want::List(listing) => path.starts_with(&listing.prefix()),
        };
        let entry = |(path, object): (&String, &Value)| Entry::parse(path, Revision(1), object.to_string().as_bytes());
        let answer = |want| self.0.iter().filter(|(path, _)| is_wanted(want, path)).filter_map(entry).collect();
        Ok(Answers::new(wants.iter().map(answer)))
    }

    async fn commit(&self, _: &[Write]) -> Result<Outcome, Error> {
        unreachable!("an audit changes nothing")
    }

    async fn settle(&self) -> Result<(), Error> {
        Ok(())
    }

    fn name(&self) -> String {
        "objects".to_owned()
    }
}
