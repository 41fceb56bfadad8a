//! A cluster in memory: its store, its clock, and what its hosts do.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use calico_datastore::local::Local;
use calico_datastore::{Datastore, Outcome, Stored, Want, Write};
use calico_ipam::{Allocation, AssignAddress, Assigned, AutoAssign, Demand, Error, Explanation, Ipam, Lease, audit};
use calico_model::{
    Affinity, Block, Handle, IpPool, IpReservation, IpVersion, IpamConfig, Key, Kind, Listing, Node, Object, Owner,
};
use ipnetwork::IpNetwork;
use serde_json::json;

/// The cluster.
pub struct World {
    pub store: Local,
    now: Cell<u64>,
    calls: Cell<u64>,
}

pub fn net(text: &str) -> IpNetwork {
    text.parse().unwrap_or_else(|e| panic!("{text}: {e}"))
}

pub fn ip(text: &str) -> IpAddr {
    text.parse().unwrap_or_else(|e| panic!("{text}: {e}"))
}

/// A pool with a block size, to be changed further.
pub fn pool(name: &str, cidr: &str, block_size: u8) -> IpPool {
    let mut pool = IpPool::routed(name, net(cidr));
    pool.spec.block_size = block_size;
    pool
}

/// A wish for IPv4 addresses of any pool.
pub fn four(count: usize) -> AutoAssign {
    AutoAssign::workload(vec![Demand::any(IpVersion::V4, count)])
}

/// A wish for IPv4 addresses of these pools.
pub fn four_of(count: usize, pools: &[&str]) -> AutoAssign {
    let pools = pools.iter().map(|pool| net(pool)).collect();
    AutoAssign::workload(vec![Demand { pools, ..Demand::any(IpVersion::V4, count) }])
}

impl World {
    /// A cluster with these pools and the hosts `a` and `b`.
    pub async fn with(pools: &[IpPool]) -> World {
        let store = Local::in_memory().await.unwrap();
        for host in ["a", "b"] {
            store.seed(host, &[]).await.unwrap();
        }
        let world = World { store, now: Cell::new(1_800_000_000), calls: Cell::new(0) };
        for pool in pools {
            world.put(Key::resource(Kind::IpPool, &pool.metadata.name), pool.clone()).await;
        }
        world
    }

    /// Stores an object, whatever was there.
    pub async fn put(&self, key: Key, object: impl Into<Object>) {
        let entry = self.store.read(&[Want::Get(key.clone())]).await.unwrap().entries().into_iter().next();
        let write = match entry {
            Some(entry) => Write::update(key, entry.revision, object),
            None => Write::create(key, object),
        };
        assert!(matches!(self.store.commit(&[write]).await.unwrap(), Outcome::Applied(_)));
    }

    pub async fn get<T: TryFrom<Object>>(&self, key: Key) -> Option<Stored<T>> {
        self.store.read(&[Want::Get(key)]).await.unwrap().get().unwrap()
    }

    pub async fn settings(&self, change: impl FnOnce(&mut IpamConfig)) {
        let mut config = IpamConfig::default();
        change(&mut config);
        self.put(Key::IpamConfig, config).await;
    }

    pub async fn change_pool(&self, name: &str, change: impl FnOnce(&mut IpPool)) {
        let key = Key::resource(Kind::IpPool, name);
        let mut pool = self.get::<IpPool>(key.clone()).await.unwrap().value;
        change(&mut pool);
        self.put(key, pool).await;
    }

    pub async fn label(&self, host: &str, labels: &[(&str, &str)]) {
        let key = Key::resource(Kind::Node, host);
        let mut node = self.get::<Node>(key.clone()).await.unwrap().value;
        node.metadata.labels = labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        self.put(key, node).await;
    }

    pub async fn reserve(&self, cidrs: &[&str]) {
        let reservation: IpReservation = serde_json::from_value(json!({
            "kind": "IPReservation", "apiVersion": "projectcalico.org/v3", "metadata": {"name": "r"},
            "spec": {"reservedCIDRs": cidrs}
        }))
        .unwrap();
        self.put(Key::resource(Kind::IpReservation, "r"), reservation).await;
    }

    /// Lets time pass.
    pub fn pass(&self, seconds: u64) {
        self.now.set(self.now.get() + seconds);
    }

    pub fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(self.now.get())
    }

    pub fn ipam(&self, host: &str) -> Ipam<&Local> {
        Ipam::new(&self.store, host, self.now())
    }

    /// A lease of its own, for a container of that name.
    pub fn lease(&self, container: &str) -> Lease {
        self.calls.set(self.calls.get() + 1);
        Lease::new(&format!("net.{container}"), [("timestamp".to_owned(), self.calls.get().to_string())])
    }

    pub async fn try_assign(&self, host: &str, container: &str, request: &AutoAssign) -> Result<Assigned, Error> {
        let ipam = self.ipam(host);
        ipam.auto_assign(&ipam.read_inputs().await?, request, &self.lease(container)).await
    }

    /// Assigns; what could not be met is in the answer.
    pub async fn assign(&self, host: &str, container: &str, request: &AutoAssign) -> Assigned {
        self.try_assign(host, container, request).await.unwrap_or_else(|e| panic!("{e}; {}", e.advice()))
    }

    /// Assigns IPv4 addresses, all that are asked for.
    pub async fn addresses(&self, host: &str, container: &str, count: usize) -> Vec<String> {
        let assigned = self.assign(host, container, &four(count)).await;
        assert_eq!(assigned.shortfalls, []);
        assigned.allocations.iter().map(|allocation| allocation.address.to_string()).collect()
    }

    pub async fn assign_address(&self, host: &str, container: &str, address: &str) -> Result<Allocation, Error> {
        let ipam = self.ipam(host);
        let request = AssignAddress::workload(ip(address));
        ipam.assign_address(&ipam.read_inputs().await?, &request, &self.lease(container)).await
    }

    pub async fn explain(&self, host: &str, container: &str, request: &AutoAssign) -> Explanation {
        let ipam = self.ipam(host);
        ipam.explain(&ipam.read_inputs().await.unwrap(), request, &self.lease(container)).await
    }

    pub async fn release(&self, host: &str, container: &str) {
        let ipam = self.ipam(host);
        let handle = ipam.read_handle(&format!("net.{container}")).await.unwrap();
        ipam.release_by_handle(handle).await.unwrap();
    }

    pub async fn blocks(&self) -> BTreeMap<String, Block> {
        let mut answers = self.store.read(&[Want::List(Listing::Blocks)]).await.unwrap();
        answers.list::<Block>().into_iter().map(|stored| (stored.value.cidr.to_string(), stored.value)).collect()
    }

    /// The blocks that a host has a confirmed affinity to, and that say so themselves.
    pub async fn owned(&self, host: &str) -> Vec<String> {
        let owner = Owner::Host(host.to_owned());
        let listing = |version| Want::List(Listing::Affinities { owner: owner.clone(), version });
        let mut answers = self.store.read(&IpVersion::BOTH.map(listing)).await.unwrap();
        let mut affinities: Vec<Stored<Affinity>> = answers.list();
        affinities.extend(answers.list());
        let blocks = self.blocks().await;
        let mut owned = Vec::new();
        for stored in affinities {
            let Key::Affinity { block, .. } = stored.key else { continue };
            assert_eq!(String::from(stored.value.state), "confirmed", "{block}");
            assert!(blocks[&block.to_string()].is_owned_by(&owner), "{block}");
            owned.push(block.to_string());
        }
        owned
    }

    pub async fn handles(&self) -> BTreeMap<String, Handle> {
        let mut answers = self.store.read(&[Want::List(Listing::Handles)]).await.unwrap();
        let id = |stored: Stored<Handle>| match stored.key {
            Key::Handle(id) => Some((id, stored.value)),
            _ => None,
        };
        answers.list().into_iter().filter_map(id).collect()
    }

    /// Everything that is stored, as text.
    pub async fn dump(&self) -> String {
        let listings = [Listing::Blocks, Listing::Handles, Listing::HostAffinities];
        format!("{:#?}", self.store.read(&listings.map(Want::List)).await.unwrap())
    }

    /// Asserts that what is stored agrees. There are no endpoints here.
    pub async fn assert_sound(&self) {
        let findings = audit::audit(&self.store, self.now()).await.unwrap();
        let serious: Vec<String> =
            findings.iter().map(ToString::to_string).filter(|f| !f.contains("no endpoint")).collect();
        assert_eq!(serious, [""; 0]);
    }
}
