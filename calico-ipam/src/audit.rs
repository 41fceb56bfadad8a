//! Checks that everything stored about addresses agrees: run at the end of tests, and by operators' tools.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use calico_datastore::{Datastore, Error, Want};
use calico_model::endpoint::WorkloadEndpointSpec;
use calico_model::{
    Affinity, AffinityState, Block, Handle, IpPool, Key, Kind, Listing, Object, Owner, WorkloadEndpoint, cidr,
};
use ipnetwork::IpNetwork;

/// One way in which stored objects contradict each other.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Finding {
    /// A stored value cannot be read.
    Malformed(String),
    /// A block contradicts itself.
    InconsistentBlock(IpNetwork, String),
    /// Blocks overlap.
    OverlappingBlocks(IpNetwork, IpNetwork),
    /// A block lies in no pool.
    BlockOutsidePools(IpNetwork),
    /// A handle counts other than the number of addresses it has in a block: too many is a leak in waiting, too few
    /// an address that is never released.
    WrongCount {
        /// The handle.
        handle: String,
        /// The block.
        block: IpNetwork,
        /// What the handle says.
        counted: i64,
        /// What the block says.
        held: i64,
    },
    /// An owner claims, confirmed, a block that names another owner or does not exist.
    FalseAffinity(Owner, IpNetwork),
    /// A claim was never finished: the next allocation of its owner will.
    UnfinishedAffinity(Owner, IpNetwork),
    /// A block names an owner that has no affinity to it.
    MissingAffinity(IpNetwork, String),
    /// An endpoint has an address that is not allocated.
    EndpointWithoutAddress(Key, String),
    /// Two endpoints have the same address.
    DoubledAddress(String),
    /// An address is allocated to a container that has no endpoint.
    Leaked {
        /// The address.
        address: String,
        /// The handle it is allocated to.
        handle: String,
    },
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Finding::Malformed(what) => write!(f, "{what}"),
            Finding::InconsistentBlock(block, why) => write!(f, "block {block}: {why}"),
            Finding::OverlappingBlocks(a, b) => write!(f, "blocks {a} and {b} overlap"),
            Finding::BlockOutsidePools(block) => write!(f, "block {block} lies in no pool"),
            Finding::WrongCount { handle, block, counted, held } => {
                write!(f, "handle {handle} counts {counted} addresses in block {block}, which has {held} of it")
            }
            Finding::FalseAffinity(owner, block) => write!(f, "{owner} has an affinity to {block} but not the block"),
            Finding::UnfinishedAffinity(owner, block) => write!(f, "the affinity of {owner} to {block} is unconfirmed"),
            Finding::MissingAffinity(block, owner) => write!(f, "block {block} names {owner}, which has no affinity"),
            Finding::EndpointWithoutAddress(key, address) => write!(f, "{key} has {address}, which is not allocated"),
            Finding::DoubledAddress(address) => write!(f, "{address} belongs to two endpoints"),
            Finding::Leaked { address, handle } => write!(f, "{address} is held by {handle}, which has no endpoint"),
        }
    }
}

/// Reads everything and reports every contradiction, sorted. Nothing may be in progress meanwhile.
pub async fn audit(store: &impl Datastore) -> Result<Vec<Finding>, Error> {
    let listings = [
        Listing::Blocks,
        Listing::Handles,
        Listing::HostAffinities,
        Listing::Resources(Kind::IpPool),
        Listing::Resources(Kind::WorkloadEndpoint),
    ];
    let mut answers = store.read(&listings.map(Want::List)).await?;
    let mut findings = BTreeSet::new();
    let mut stored = Stored::default();
    for _ in 0..5 {
        for entry in answers.entries() {
            match (entry.key, entry.object) {
                (_, Err(malformed)) => {
                    findings.insert(Finding::Malformed(malformed.to_string()));
                }
                (_, Ok(Object::Block(block))) => stored.blocks.push(block),
                (Key::Handle(id), Ok(Object::Handle(handle))) => {
                    stored.handles.insert(id, handle);
                }
                (Key::Affinity { owner, block }, Ok(Object::Affinity(affinity))) => {
                    stored.affinities.insert((owner, block), affinity);
                }
                (_, Ok(Object::IpPool(pool))) => stored.pools.push(pool),
                (key, Ok(Object::WorkloadEndpoint(endpoint))) => stored.endpoints.push((key, endpoint)),
                _ => {}
            }
        }
    }
    stored.check_blocks(&mut findings);
    stored.check_handles(&mut findings);
    stored.check_affinities(&mut findings);
    stored.check_endpoints(&mut findings);
    Ok(findings.into_iter().collect())
}

#[derive(Default)]
struct Stored {
    blocks: Vec<Block>,
    handles: BTreeMap<String, Handle>,
    affinities: BTreeMap<(Owner, IpNetwork), Affinity>,
    pools: Vec<IpPool>,
    endpoints: Vec<(Key, WorkloadEndpoint)>,
}

impl Stored {
    /// Every allocated address with its handle, where it has one.
    fn held(&self) -> impl Iterator<Item = (&Block, std::net::IpAddr, Option<&str>)> {
        self.blocks.iter().flat_map(|block| {
            (0..block.allocations.len()).filter_map(move |ordinal| {
                let attribute = block.attribute_of(ordinal)?;
                Some((block, block.address(ordinal)?, attribute.handle()))
            })
        })
    }

    fn check_blocks(&self, findings: &mut BTreeSet<Finding>) {
        for (index, block) in self.blocks.iter().enumerate() {
            if let Some(why) = block.inconsistency() {
                findings.insert(Finding::InconsistentBlock(block.cidr, why));
            }
            if !self.pools.iter().any(|pool| cidr::contains(&pool.cidr(), &block.cidr)) {
                findings.insert(Finding::BlockOutsidePools(block.cidr));
            }
            for other in &self.blocks[..index] {
                if cidr::overlap(&block.cidr, &other.cidr) {
                    findings.insert(Finding::OverlappingBlocks(other.cidr, block.cidr));
                }
            }
        }
    }

    fn check_handles(&self, findings: &mut BTreeSet<Finding>) {
        let mut counts: BTreeMap<(String, IpNetwork), (i64, i64)> = BTreeMap::new();
        for (id, handle) in &self.handles {
            if handle.block.is_empty() {
                findings.insert(Finding::Malformed(format!("handle {id} counts nothing")));
            }
            for (block, &count) in &handle.block {
                match block.parse() {
                    Ok(block) => counts.entry((id.clone(), block)).or_default().0 = count,
                    Err(_) => {
                        findings.insert(Finding::Malformed(format!("handle {id} names the block {block:?}")));
                    }
                }
            }
        }
        for (block, _, handle) in self.held() {
            if let Some(handle) = handle {
                counts.entry((handle.to_owned(), block.cidr)).or_default().1 += 1;
            }
        }
        for ((handle, block), (counted, held)) in counts {
            if counted != held {
                findings.insert(Finding::WrongCount { handle, block, counted, held });
            }
        }
    }

    fn check_affinities(&self, findings: &mut BTreeSet<Finding>) {
        for ((owner, cidr), affinity) in &self.affinities {
            let owns = self.blocks.iter().any(|block| block.cidr == *cidr && block.is_owned_by(owner));
            match affinity.state {
                AffinityState::Confirmed if !owns => findings.insert(Finding::FalseAffinity(owner.clone(), *cidr)),
                AffinityState::Confirmed => continue,
                _ => findings.insert(Finding::UnfinishedAffinity(owner.clone(), *cidr)),
            };
        }
        for block in &self.blocks {
            let Some(text) = &block.affinity else { continue };
            // Only hosts' affinities were read.
            let Some(owner @ Owner::Host(_)) = Owner::parse(text) else { continue };
            if !self.affinities.contains_key(&(owner, block.cidr)) {
                findings.insert(Finding::MissingAffinity(block.cidr, text.clone()));
            }
        }
    }

    fn check_endpoints(&self, findings: &mut BTreeSet<Finding>) {
        let held: BTreeSet<String> = self.held().map(|(_, address, _)| address.to_string()).collect();
        let mut seen = BTreeSet::new();
        for (key, endpoint) in &self.endpoints {
            for network in &endpoint.spec.ip_networks {
                let address = network.split('/').next().unwrap_or(network).to_owned();
                if !held.contains(&address) {
                    findings.insert(Finding::EndpointWithoutAddress(key.clone(), address.clone()));
                }
                if !seen.insert(address.clone()) {
                    findings.insert(Finding::DoubledAddress(address));
                }
            }
        }
        for (_, address, handle) in self.held() {
            // Handles of tunnels and of addresses assigned by hand have no endpoint, and no dot before a container ID.
            let Some(handle) = handle.filter(|handle| handle.contains('.')) else { continue };
            let address = address.to_string();
            let owned = self.endpoints.iter().any(|(_, endpoint)| {
                let WorkloadEndpointSpec { container_id, ip_networks, .. } = &endpoint.spec;
                handle.strip_suffix(container_id.as_str()).is_some_and(|network| network.ends_with('.'))
                    && ip_networks.iter().any(|network| network.split('/').next() == Some(&address))
            });
            if !owned {
                findings.insert(Finding::Leaked { address, handle: handle.to_owned() });
            }
        }
    }
}
