//! What an audit looks for between allocated addresses and those who use them.
//!
//! Only what is certain without the orchestrator is found. A virtual machine may rest without an endpoint, a service has
//! none, and of an address allocated by hand nothing is known: their allocations are never leaks.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

use calico_model::{Attribute, Key, Kind, Node, WorkloadEndpoint, cidr};
use ipnetwork::IpNetwork;

use super::pools::PoolIndex;
use super::{Finding, Snapshot, Tunnel, User, handle_of};
use crate::release;

/// As [`User`], with its object.
#[derive(Clone, Copy)]
enum Using<'a> {
    Endpoint(&'a Key, &'a WorkloadEndpoint),
    Tunnel(&'a str, Tunnel),
}

impl Using<'_> {
    fn named(self) -> User {
        match self {
            Using::Endpoint(key, _) => User::Endpoint(key.clone()),
            Using::Tunnel(node, tunnel) => User::Tunnel { node: node.to_owned(), tunnel },
        }
    }

    /// Whether an address with this attribute may be its user's.
    fn may_have(self, attribute: &Attribute) -> bool {
        let Some(handle) = attribute.handle().filter(|handle| !handle.is_empty()) else { return true };
        match self {
            Using::Tunnel(node, tunnel) => Tunnel::of_handle(handle) == Some((tunnel, node)),
            Using::Endpoint(_, endpoint) => {
                let (id, pod) = (endpoint.spec.container_id.as_str(), endpoint.spec.pod.as_str());
                let namespace = endpoint.metadata.namespace.as_str();
                let is_containers =
                    || handle.strip_suffix(id).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
                let is_pods = || {
                    let holders = [&attribute.secondary, &attribute.alternate_owner_attrs];
                    let is = |facts: &str, value| holders.iter().any(|it| it.get(facts).is_some_and(|it| it == value));
                    is("pod", pod) && is("namespace", namespace)
                };
                id.is_empty()
                    || is_virtual_machines(attribute)
                    || is_containers()
                    || !pod.is_empty() && (is_pods() || handle == format!("{namespace}.{pod}"))
            }
        }
    }
}

/// Whether an address is a virtual machine's, which keeps it when it moves or rests.
pub fn is_virtual_machines(attribute: &Attribute) -> bool {
    attribute.secondary.contains_key("vmi-name") || attribute.handle().is_some_and(release::is_of_vm)
}

/// Whether an address is allocated to a container, and so to be given back if there is no endpoint with it: the handle
/// of a container has a dot before its ID, and a pod is named.
pub fn is_containers(attribute: &Attribute, handle: &str) -> bool {
    let has = |fact| attribute.secondary.contains_key(fact);
    let service = attribute.secondary.get("type").is_some_and(|it| it == "LoadBalancer");
    !service && !is_virtual_machines(attribute) && (handle.contains('.') || has("pod") && has("namespace"))
}

impl Snapshot {
    pub(super) fn check_addresses(&self, findings: &mut Vec<Finding>) {
        let held: HashMap<IpAddr, &Attribute> =
            self.held().map(|(_, address, attribute)| (address, attribute)).collect();
        let mut uses = self.endpoint_uses(findings);
        uses.extend(self.tunnel_uses(findings));
        uses.sort_by_key(|(address, _)| *address);
        self.check_uses(&uses, &held, findings);
        self.check_holders(&uses, findings);
    }

    /// The endpoints and nodes that cannot be read, or name an address that is none, by their paths: they may have any address.
    pub fn unknown_users(&self) -> BTreeSet<String> {
        let mut findings = Vec::new();
        self.endpoint_uses(&mut findings);
        self.tunnel_uses(&mut findings);
        let addresses = findings.into_iter().filter_map(|finding| match finding {
            Finding::Malformed { key, .. } => Some(key),
            _ => None,
        });
        let may_use = |key: &&Key| matches!(key, Key::Resource { kind: Kind::WorkloadEndpoint | Kind::Node, .. });
        addresses.chain(self.unreadable.iter().filter(may_use).map(Key::path)).collect()
    }

    /// Every address of an endpoint.
    fn endpoint_uses(&self, findings: &mut Vec<Finding>) -> Vec<(IpAddr, Using<'_>)> {
        let mut uses = Vec::new();
        for (key, endpoint) in &self.endpoints {
            if !endpoint.spec.node.is_empty() && !self.node_exists(&endpoint.spec.node) {
                let node = endpoint.spec.node.clone();
                findings.push(Finding::EndpointOfUnknownNode { endpoint: key.clone(), node });
            }
            let mut own: Vec<IpAddr> = Vec::new();
            for text in &endpoint.spec.ip_networks {
                match text.parse::<IpNetwork>() {
                    Ok(network) => own.push(network.ip()),
                    Err(_) => findings.push(Finding::Malformed {
                        key: key.path(),
                        reason: format!("it has {text:?}, which is no address"),
                    }),
                }
            }
            own.sort();
            own.dedup();
            uses.extend(own.into_iter().map(|address| (address, Using::Endpoint(key, endpoint))));
        }
        uses
    }

    /// Every address that a node has for a tunnel.
    fn tunnel_uses(&self, findings: &mut Vec<Finding>) -> Vec<(IpAddr, Using<'_>)> {
        let mut uses = Vec::new();
        for (name, node) in &self.nodes {
            for tunnel in Tunnel::ALL {
                let Some(text) = tunnel.address_of(node) else { continue };
                match text.parse() {
                    Ok(address) => uses.push((address, Using::Tunnel(name, tunnel))),
                    Err(_) => findings.push(Finding::Malformed {
                        key: Key::resource(Kind::Node, name).path(),
                        reason: format!("it has {text:?} for its {tunnel} tunnel, which is no address"),
                    }),
                }
            }
        }
        uses
    }

    /// Whether what is used is allocated, and to its user.
    fn check_uses(
        &self,
        uses: &[(IpAddr, Using<'_>)],
        held: &HashMap<IpAddr, &Attribute>,
        findings: &mut Vec<Finding>,
    ) {
        let pools = PoolIndex::new(&self.pools);
        for of_one in uses.chunk_by(|a, b| a.0 == b.0) {
            let address = of_one[0].0;
            if of_one.len() > 1 {
                let mut users: Vec<User> = of_one.iter().map(|(_, user)| user.named()).collect();
                users.sort();
                findings.push(Finding::DoubledAddress { address, users });
            }
            for (_, user) in of_one {
                match held.get(&address) {
                    Some(attribute) if user.may_have(attribute) => {}
                    Some(attribute) => {
                        let handle = attribute.handle().unwrap_or_default().to_owned();
                        findings.push(Finding::AllocatedToAnother { address, user: user.named(), handle });
                    }
                    None if self.may_be_unreadable(address) || pools.around(&cidr::single(address)).is_none() => {}
                    None => findings.push(Finding::NotAllocated { address, user: user.named() }),
                }
            }
        }
    }

    /// Whether an address lies in a block that cannot be read.
    fn may_be_unreadable(&self, address: IpAddr) -> bool {
        self.unreadable.iter().any(|key| matches!(key, Key::Block(block) if block.contains(address)))
    }

    /// Whether those whom addresses are allocated to exist, and use them.
    fn check_holders(&self, uses: &[(IpAddr, Using<'_>)], findings: &mut Vec<Finding>) {
        // One that cannot be read may have any address.
        let all_endpoints_are_known = !self.has_unreadable(Kind::WorkloadEndpoint);
        for (_, address, attribute) in self.held() {
            let handle = handle_of(attribute);
            if let Some((tunnel, node)) = handle.and_then(Tunnel::of_handle) {
                findings.extend(self.tunnel_trouble(address, tunnel, node));
                continue;
            }
            if let Some(node) = attribute.secondary.get("node").filter(|node| !self.node_exists(node)) {
                findings.push(Finding::AllocationOfUnknownNode { address, node: node.clone() });
            }
            let is_used = || uses.binary_search_by_key(&address, |(used, _)| *used).is_ok();
            if let Some(handle) = handle.filter(|handle| is_containers(attribute, handle))
                && all_endpoints_are_known
                && !is_used()
            {
                findings.push(Finding::Leaked { address, handle: handle.to_owned() });
            }
        }
    }

    /// What is wrong with an address that is allocated for a node's tunnel.
    fn tunnel_trouble(&self, address: IpAddr, tunnel: Tunnel, node: &str) -> Option<Finding> {
        let name = node.to_owned();
        let Some(node): Option<&Node> = self.nodes.get(node) else {
            let exists = self.node_exists(node);
            return (!exists).then_some(Finding::TunnelOfUnknownNode { address, tunnel, node: name });
        };
        let named = tunnel.address_of(node);
        let agrees = named.is_some_and(|text| text.parse() == Ok(address));
        let named = named.map(str::to_owned);
        (!agrees).then_some(Finding::TunnelElsewhere { address, tunnel, node: name, named })
    }
}
