//! Everything that is stored about addresses, read once.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::time::SystemTime;

use calico_datastore::{Datastore, Entry, Error, Stored, Want};
use calico_model::object::Malformed;
use calico_model::{
    Affinity, Attribute, Block, ClusterInformation, Handle, IpPool, IpReservation, IpamConfig, Key, Kind, Listing,
    Node, Object, Owner, WorkloadEndpoint,
};
use ipnetwork::IpNetwork;

use super::{Finding, Tunnel, in_order};

/// Everything that is stored about addresses, as it was read: for who looks for contradictions, shows them, and repairs what
/// can be repaired.
#[derive(Default)]
pub struct Snapshot {
    /// In the order of their addresses, the larger of those that begin alike first.
    pub blocks: Vec<Stored<Block>>,
    /// By their IDs.
    pub handles: HashMap<String, Stored<Handle>>,
    /// The claims to each block.
    pub affinities: HashMap<IpNetwork, Vec<(Owner, Stored<Affinity>)>>,
    /// All pools.
    pub pools: Vec<IpPool>,
    /// All reservations.
    pub reservations: Vec<IpReservation>,
    /// By their names.
    pub nodes: HashMap<String, Node>,
    /// All endpoints, in the order of their keys.
    pub endpoints: Vec<(Key, WorkloadEndpoint)>,
    /// The state of the cluster.
    pub information: Option<Stored<ClusterInformation>>,
    /// The settings; the defaults where none are stored.
    pub config: IpamConfig,
    /// What is there and says nothing.
    pub unreadable: HashSet<Key>,
    /// What is wrong with that.
    pub malformed: Vec<Malformed>,
    /// Whether every pod is an endpoint, and nothing else is (see [`Datastore::endpoints_are_pods`]).
    pub endpoints_are_pods: bool,
}

impl Snapshot {
    /// Reads everything, in one batch.
    pub async fn read(store: &impl Datastore) -> Result<Snapshot, Error> {
        let resources = [Kind::IpPool, Kind::IpReservation, Kind::Node, Kind::WorkloadEndpoint].map(Listing::Resources);
        let listings = [Listing::Blocks, Listing::Handles, Listing::HostAffinities, Listing::VirtualAffinities];
        let singles = [Key::IpamConfig, Key::resource(Kind::ClusterInformation, "default")];
        let wants: Vec<Want> =
            singles.into_iter().map(Want::Get).chain(listings.into_iter().chain(resources).map(Want::List)).collect();
        let mut answers = store.read(&wants).await?;
        let mut stored = Snapshot { endpoints_are_pods: store.endpoints_are_pods(), ..Snapshot::default() };
        for entry in wants.iter().flat_map(|_| answers.entries()) {
            stored.take(entry);
        }
        stored.blocks.sort_by_key(|block| in_order(&block.value.cidr));
        Ok(stored)
    }

    /// Takes an object in, which the caller has read.
    pub(crate) fn take(&mut self, entry: Entry) {
        let Entry { key, revision, object } = entry;
        let object = match object {
            Ok(object) => object,
            Err(malformed) => {
                self.malformed.push(malformed);
                self.unreadable.insert(key);
                return;
            }
        };
        match (key, object) {
            (key, Object::Block(value)) => self.blocks.push(Stored { key, revision, value }),
            (Key::Handle(id), Object::Handle(value)) => {
                self.handles.insert(id.clone(), Stored { key: Key::Handle(id), revision, value });
            }
            (Key::Affinity { owner, block }, Object::Affinity(value)) => {
                let key = Key::Affinity { owner: owner.clone(), block };
                self.affinities.entry(block).or_default().push((owner, Stored { key, revision, value }));
            }
            (_, Object::IpPool(pool)) => self.pools.push(pool),
            (_, Object::IpReservation(reservation)) => self.reservations.push(reservation),
            (Key::Resource { name, .. }, Object::Node(node)) => {
                self.nodes.insert(name, node);
            }
            (key, Object::WorkloadEndpoint(endpoint)) => self.endpoints.push((key, endpoint)),
            (key, Object::ClusterInformation(value)) => self.information = Some(Stored { key, revision, value }),
            (_, Object::IpamConfig(config)) => self.config = config,
            _ => {}
        }
    }

    /// Every contradiction, sorted. `now` tells what was released in the future.
    pub fn findings(&self, now: SystemTime) -> Vec<Finding> {
        let malformed = self.malformed.iter().cloned();
        let mut findings: Vec<Finding> =
            malformed.map(|Malformed { key, reason }| Finding::Malformed { key, reason }).collect();
        self.check_cluster(&mut findings);
        self.check_pools(&mut findings);
        self.check_blocks(now, &mut findings);
        self.check_affinities(&mut findings);
        self.check_handles(&mut findings);
        self.check_addresses(&mut findings);
        findings.sort();
        findings.dedup();
        findings
    }

    fn check_cluster(&self, findings: &mut Vec<Finding>) {
        match &self.information {
            None if self.has_unreadable(Kind::ClusterInformation) => {}
            None => findings.push(Finding::NoClusterInformation),
            Some(information) => match information.value.spec.datastore_ready {
                Some(true) => {}
                stated => findings.push(Finding::NotReady { stated }),
            },
        }
    }

    /// Every address that somebody holds, with its block and who that is.
    pub fn held(&self) -> impl Iterator<Item = (&Block, IpAddr, &Attribute)> {
        self.blocks.iter().map(|stored| &stored.value).flat_map(|block| {
            (0..block.allocations.len()).filter_map(move |ordinal| {
                let attribute = block.attribute_of(ordinal).filter(|attribute| !attribute.is_cooling())?;
                Some((block, block.address(ordinal)?, attribute))
            })
        })
    }

    /// Every address that an endpoint or a node's tunnel has.
    pub fn used(&self) -> HashSet<IpAddr> {
        let of_endpoints = self.endpoints.iter().flat_map(|(_, endpoint)| &endpoint.spec.ip_networks);
        let of_endpoints = of_endpoints.filter_map(|text| text.parse::<IpNetwork>().ok()).map(|network| network.ip());
        let nodes = self.nodes.values();
        let of_tunnels = nodes
            .flat_map(|node| Tunnel::ALL.into_iter().filter_map(move |tunnel| tunnel.address_of(node)))
            .filter_map(|text| text.parse().ok());
        of_endpoints.chain(of_tunnels).collect()
    }

    /// Whether a node exists, also where it cannot be read.
    pub fn node_exists(&self, name: &str) -> bool {
        self.nodes.contains_key(name) || self.is_unreadable(&Key::resource(Kind::Node, name))
    }

    pub(crate) fn is_unreadable(&self, key: &Key) -> bool {
        self.unreadable.contains(key)
    }

    pub(crate) fn has_unreadable(&self, wanted: Kind) -> bool {
        self.unreadable.iter().any(|key| matches!(key, Key::Resource { kind, .. } if *kind == wanted))
    }
}
