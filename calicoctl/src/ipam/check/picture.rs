//! Which addresses are allocated, and which are in use.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;

use calico_ipam::audit::{Snapshot, Tunnel, is_virtual_machines};
use calico_model::{Attribute, Block, Key, Owner};
use ipnetwork::IpNetwork;

use super::services::Services;
use crate::ipam::report;

/// One allocated address of a block.
pub struct Allocation<'a> {
    pub address: IpAddr,
    pub block: IpNetwork,
    /// `None` where it points to an attribute that there is not.
    pub attribute: Option<&'a Attribute>,
    pub sequence: u64,
    /// The node it is on: as it says itself, or else the block's.
    pub node: &'a str,
    /// Whether the block is another node's.
    pub is_borrowed: bool,
}

impl Allocation<'_> {
    pub fn handle(&self) -> Option<&str> {
        self.attribute.and_then(Attribute::handle).filter(|handle| !handle.is_empty())
    }

    pub fn is_cooling(&self) -> bool {
        self.attribute.is_some_and(Attribute::is_cooling)
    }

    fn fact(&self, name: &str) -> &str {
        self.attribute.and_then(|it| it.secondary.get(name)).map(String::as_str).unwrap_or_default()
    }

    /// Its attributes, as they are listed.
    pub fn attributes(&self) -> String {
        let Some(attribute) = self.attribute else { return "<missing>".to_owned() };
        let list = |facts: &BTreeMap<String, String>| {
            facts.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(",")
        };
        let handle = self.handle().unwrap_or("<none>");
        let mut text = format!("Main:{handle} Extra:{}", list(&attribute.secondary));
        if !attribute.alternate_owner_attrs.is_empty() {
            text.push_str(&format!(" Alternate:{}", list(&attribute.alternate_owner_attrs)));
        }
        text
    }
}

/// Everything that is allocated, and all users of addresses.
pub struct Picture<'a> {
    pub snapshot: &'a Snapshot,
    /// In the order of the addresses.
    pub allocations: Vec<Allocation<'a>>,
    /// Nodes with tunnels' addresses, in their order.
    pub of_nodes: Vec<(IpAddr, String)>,
    pub services: Services,
    /// Services with addresses that are Calico's to give, or were given.
    pub of_services: Vec<(String, Vec<IpAddr>)>,
    /// Endpoints' addresses, in the endpoints' order.
    pub of_endpoints: Vec<(IpAddr, String)>,
    /// All of these.
    pub users: BTreeMap<IpAddr, Vec<String>>,
    /// What is not leaked although nobody is seen to use it, and for whom it is kept.
    kept: HashMap<IpAddr, String>,
}

impl<'a> Picture<'a> {
    pub fn new(snapshot: &'a Snapshot, services: Services) -> Picture<'a> {
        let allocations = allocations(snapshot);
        let of_nodes = tunnels(snapshot);
        let of_endpoints = endpoints(snapshot);
        let of_services = services.of_pools(snapshot, &allocations);
        let mut users: BTreeMap<IpAddr, Vec<String>> = BTreeMap::new();
        let uses_of_services = of_services
            .iter()
            .flat_map(|(name, addresses)| addresses.iter().map(move |&it| (it, format!("Service({name})"))));
        let uses = of_nodes.iter().cloned().chain(uses_of_services).chain(of_endpoints.iter().cloned());
        for (address, user) in uses {
            users.entry(address).or_default().push(user);
        }
        let unknown = snapshot.unknown_users().pop_first();
        let keepers = Keepers { services: services.names(), unknown: unknown.as_deref() };
        let kept = allocations.iter().filter_map(|it| Some((it.address, keepers.keeper_of(it)?))).collect();
        Picture { snapshot, allocations, of_nodes, services, of_services, of_endpoints, users, kept }
    }

    /// Whether an allocation is in vain, as far as can be told.
    pub fn is_leaked(&self, allocation: &Allocation<'_>) -> bool {
        let address = &allocation.address;
        !allocation.is_cooling() && !self.users.contains_key(address) && !self.kept.contains_key(address)
    }

    /// An allocation as a report has it.
    pub fn reported(&self, allocation: &Allocation<'_>) -> report::Allocation {
        let owners = self.users.get(&allocation.address).cloned();
        let kept = self.kept.get(&allocation.address).map(|keeper| vec![keeper.clone()]);
        let owners = owners.or(kept);
        report::Allocation {
            ip: allocation.address.to_string(),
            handle: allocation.handle().unwrap_or_default().to_owned(),
            sequence_number: allocation.sequence,
            pod: allocation.fact("pod").to_owned(),
            namespace: allocation.fact("namespace").to_owned(),
            node: allocation.node.to_owned(),
            kind: allocation.fact("type").to_owned(),
            creation_timestamp: allocation.fact("timestamp").to_owned(),
            in_use: owners.is_some(),
            borrowed: allocation.is_borrowed,
            cooling_down: allocation.is_cooling(),
            owners,
        }
    }
}

/// Who may have addresses that nobody is seen to use.
struct Keepers<'a> {
    /// All services, if they are known.
    services: Option<HashSet<&'a str>>,
    /// An endpoint or a node that cannot be read.
    unknown: Option<&'a str>,
}

impl Keepers<'_> {
    /// For whom an address is kept: a Windows host, a virtual machine that rests, a service that exists or may, and what cannot be
    /// read.
    fn keeper_of(&self, allocation: &Allocation<'_>) -> Option<String> {
        let service = format!("{}/{}", allocation.fact("namespace"), allocation.fact("service"));
        let may_exist = || self.services.as_ref().is_none_or(|services| services.contains(service.as_str()));
        match allocation.attribute {
            Some(attribute) if attribute.is_windows_reserve() => Some("Windows".to_owned()),
            Some(attribute) if is_virtual_machines(attribute) => {
                Some(format!("VirtualMachine({})", allocation.handle().unwrap_or_default()))
            }
            Some(_) if allocation.fact("type") == "LoadBalancer" && may_exist() => Some(format!("Service({service})")),
            _ => self.unknown.map(|key| format!("unknown: {key} cannot be read")),
        }
    }
}

/// Everything that is allocated, in the order of the addresses.
pub fn allocations(snapshot: &Snapshot) -> Vec<Allocation<'_>> {
    let mut all: Vec<Allocation<'_>> =
        snapshot.blocks.iter().flat_map(|stored| allocations_of(&stored.value)).collect();
    all.sort_by_key(|allocation| allocation.address);
    all
}

fn allocations_of(block: &Block) -> impl Iterator<Item = Allocation<'_>> {
    let owner = block.affinity.as_deref().map(|text| text.split_once(':').map_or(text, |(_, name)| name));
    let is_hosts = block.affinity.as_deref().and_then(Owner::parse).is_some_and(|it| matches!(it, Owner::Host(_)));
    (0..block.allocations.len()).filter(|&ordinal| block.allocations[ordinal].is_some()).filter_map(move |ordinal| {
        let attribute = block.attribute_of(ordinal);
        let named = attribute.and_then(|attribute| attribute.secondary.get("node")).map(String::as_str);
        let sequence = block.sequence_number_for_allocation.get(&ordinal.to_string()).copied().unwrap_or(0);
        Some(Allocation {
            address: block.address(ordinal)?,
            block: block.cidr,
            attribute,
            sequence,
            node: named.or(owner).unwrap_or_default(),
            is_borrowed: is_hosts && named.is_some() && named != owner,
        })
    })
}

/// The addresses of all tunnels, of both families.
fn tunnels(snapshot: &Snapshot) -> Vec<(IpAddr, String)> {
    let mut nodes: Vec<_> = snapshot.nodes.iter().collect();
    nodes.sort_by_key(|(name, _)| *name);
    let addresses = nodes.into_iter().flat_map(|(name, node)| {
        let of_node = Tunnel::ALL.into_iter().filter_map(|tunnel| tunnel.address_of(node)?.parse().ok());
        of_node.map(move |address| (address, format!("Node({name})")))
    });
    addresses.collect()
}

fn endpoints(snapshot: &Snapshot) -> Vec<(IpAddr, String)> {
    let mut uses = Vec::new();
    for (key, endpoint) in &snapshot.endpoints {
        let Key::Resource { namespace, name, .. } = key else { continue };
        let networks = endpoint.spec.ip_networks.iter().filter_map(|text| text.parse::<IpNetwork>().ok());
        uses.extend(networks.map(|network| (network.ip(), format!("Workload({namespace}/{name})"))));
    }
    uses
}
