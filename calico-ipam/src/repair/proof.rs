//! Whether it tells anything that a container has no endpoint.
//!
//! `calico-ipam` serves other plugins, too (bridge, macvlan, Multus): their containers have addresses and never an endpoint.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use calico_model::Attribute;
use ipnetwork::IpNetwork;

use crate::audit::{Snapshot, handle_of};

/// Whose containers have endpoints.
pub(super) struct Proof<'a> {
    /// Pods, all of them.
    pods: bool,
    /// Those of these networks: one at least is connected, and its endpoint has an address that is allocated to it.
    networks: HashSet<&'a str>,
}

impl<'a> Proof<'a> {
    pub fn of(snapshot: &'a Snapshot) -> Proof<'a> {
        let mut handles: HashMap<IpAddr, Vec<&str>> = HashMap::new();
        for (_, address, attribute) in snapshot.held() {
            handles.entry(address).or_default().extend(handle_of(attribute));
        }
        let mut networks = HashSet::new();
        for (_, endpoint) in &snapshot.endpoints {
            let id = endpoint.spec.container_id.as_str();
            let addresses = endpoint.spec.ip_networks.iter().filter_map(|text| text.parse::<IpNetwork>().ok());
            let own = addresses.filter_map(|network| handles.get(&network.ip())).flatten();
            networks
                .extend(own.filter(|_| !id.is_empty()).filter_map(|handle| handle.strip_suffix(id)?.strip_suffix('.')));
        }
        Proof { pods: snapshot.endpoints_are_pods, networks }
    }

    /// Why an address with this attribute may be a container's that never has an endpoint.
    pub fn objection(&self, attribute: &Attribute) -> Option<String> {
        let has = |fact: &str| attribute.secondary.get(fact).is_some_and(|it| !it.is_empty());
        let unknown = if attribute.secondary.contains_key("type") || !has("node") {
            "it is a container's".to_owned()
        } else if self.pods {
            if has("pod") && has("namespace") {
                return None;
            }
            "its container is a pod".to_owned()
        } else {
            match attribute.handle().and_then(|handle| handle.rsplit_once('.')) {
                Some((network, _)) if self.networks.contains(network) => return None,
                Some((network, _)) => format!("containers of network {network} have endpoints"),
                None => "its container had an endpoint".to_owned(),
            }
        };
        Some(format!("Nothing tells that {unknown}: if it is dead, release it with `calicoctl ipam release --ip`."))
    }
}
