//! The address of the node's IPIP tunnel: the node keeps the one that it has had, the first of its own network, since others
//! route to it.

use std::net::{IpAddr, Ipv4Addr};

use calico_datastore::{Datastore, Outcome, Stored, Want, Write};
use calico_model::kubernetes::ClusterNode;
use calico_model::{Key, Kind, Node};
use calico_plugin::log::Value::{Plain, Text};
use ipnetwork::Ipv4Network;
use serde_json::{Map, Value, json};

use super::error::Error;
use super::gate::RETRIES;
use super::migration::{Given, Migration};
use super::orchestrator::Orchestrator;
use crate::Lease;

/// Where a node has the address: an object in its `spec`, and the field in it.
const FIELD: (&str, &str) = ("bgp", "ipv4IPIPTunnelAddr");

fn has_address(node: &Node) -> bool {
    let field = node.spec.get(FIELD.0).and_then(|bgp| bgp.get(FIELD.1));
    field.and_then(Value::as_str).is_some_and(|text| !text.is_empty())
}

fn set_address(node: &mut Node, address: Ipv4Addr) {
    let bgp = node.spec.entry(FIELD.0).or_insert_with(|| Map::new().into());
    bgp[FIELD.1] = json!(address.to_string());
}

/// The first address of the node's network for pods, if it has an IPv4 one.
fn first_address(node: &ClusterNode) -> Option<Ipv4Addr> {
    let networks = node.pod_cidrs();
    let network: Ipv4Network = networks.iter().find_map(|cidr| cidr.parse().ok())?;
    Some(Ipv4Addr::from_bits(network.network().to_bits().wrapping_add(1)))
}

impl<D: Datastore, K: Orchestrator> Migration<'_, D, K> {
    /// Assigns the tunnel's address and gives it to the node, if it has none.
    pub(super) async fn keep_tunnel_address(&self) -> Result<(), Error> {
        let key = Key::resource(Kind::Node, self.node);
        let mut last = String::new();
        for _ in 0..RETRIES {
            let read = self.timed().read(&[Want::Get(key.clone())]).await?.get()?;
            let Stored { revision, value: mut node, .. }: Stored<Node> =
                read.ok_or_else(|| Error::NoNode(self.node.to_owned()))?;
            if has_address(&node) {
                return Ok(());
            }
            let known = self.orchestrator.node(self.node).await?.ok_or_else(|| Error::NoNode(self.node.to_owned()))?;
            let Some(address) = first_address(&known) else {
                self.log.info("the node has no podCIDR of IPv4: its tunnel keeps no address", &[]);
                return Ok(());
            };
            if !self.assign_to_tunnel(address.into()).await? {
                return Ok(());
            }
            set_address(&mut node, address);
            match self.timed().commit(&[Write::update(key.clone(), revision, node)]).await? {
                Outcome::Applied(_) => {
                    self.log.info("the node keeps the address of its tunnel", &[("address", Plain(&address))]);
                    return Ok(());
                }
                Outcome::Conflict { .. } => last = "others keep changing it".to_owned(),
                Outcome::Unknown(reason) => last = reason,
            }
        }
        Err(Error::NotWritten { key, last })
    }

    /// Answers whether the tunnel has it.
    async fn assign_to_tunnel(&self, address: IpAddr) -> Result<bool, Error> {
        let attributes = [("node", self.node), ("type", "ipipTunnelAddress")];
        let attributes = attributes.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let lease = Lease::new(&format!("ipip-tunnel-addr-{}", self.node), attributes);
        let inputs = self.inputs().await?;
        let whom = format!("the tunnel of node {}", self.node);
        match self.assign(&inputs, address, &lease, &whom).await? {
            Given::ToUs => Ok(true),
            Given::ToAnother(holder) => {
                // The node agent finds another one when it starts.
                let message = "the address of the node's tunnel is another's: it gets a new one";
                self.log.warning(message, &[("address", Plain(&address)), ("holder", Text(&holder))]);
                Ok(false)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_address_of_the_first_network_of_ipv4() {
        for (spec, expected) in [
            (json!({"podCIDR": "10.1.2.0/24"}), Some("10.1.2.1")),
            (json!({"podCIDR": "fd00::/64", "podCIDRs": ["fd00::/64", "10.1.2.0/24"]}), Some("10.1.2.1")),
            (json!({"podCIDR": "10.1.2.128/25", "podCIDRs": ["10.1.2.128/25"]}), Some("10.1.2.129")),
            (json!({"podCIDR": "fd00::/64", "podCIDRs": ["fd00::/64"]}), None),
            (json!({}), None),
        ] {
            let node: ClusterNode = serde_json::from_str(&json!({"spec": spec}).to_string()).unwrap();
            assert_eq!(first_address(&node).map(|address| address.to_string()).as_deref(), expected, "{spec}");
        }
    }
}
