//! What the configuration promises and an operator would otherwise have to create: this node and its pools.

use calico_model::cidr;
use calico_model::{IpPool, Key, Kind, Listing, Node, Resource};
use ipnetwork::IpNetwork;

use super::Local;
use crate::contract::{Datastore, Outcome, Want, Write};
use crate::error::Error;

impl Local {
    /// Creates the node and one pool for each CIDR, where they are absent. Existing objects are left as they are.
    pub async fn seed(&self, node: &str, pools: &[IpNetwork]) -> Result<(), Error> {
        let node_key = Key::resource(Kind::Node, node);
        loop {
            let wants = [Want::Get(node_key.clone()), Want::List(Listing::Resources(Kind::IpPool))];
            let mut answers = self.read(&wants).await?;
            let mut writes = Vec::new();
            if answers.entries().is_empty() {
                let mut object: Node = Resource::new(Kind::Node, node, serde_json::Map::new());
                object.extra.insert("status".to_owned(), serde_json::json!({}));
                writes.push(Write::create(node_key.clone(), object));
            }
            let mut present: Vec<IpPool> = answers.list().into_iter().map(|pool| pool.value).collect();
            for wanted in pools.iter().map(cidr::masked) {
                if present.iter().any(|pool| pool.cidr() == wanted) {
                    continue;
                }
                if let Some(other) = present.iter().find(|pool| cidr::overlap(&pool.cidr(), &wanted)) {
                    return Err(Error::Invalid {
                        store: self.name.clone(),
                        reason: format!("the pool {wanted} overlaps the pool {} it already has", other.cidr()),
                        advice: "use that pool, or one that does not overlap it, in ipam.ipv4_pools or ipam.ipv6_pools",
                    });
                }
                let pool = IpPool::routed(&pool_name(&wanted), wanted);
                writes.push(Write::create(Key::resource(Kind::IpPool, &pool.metadata.name), pool.clone()));
                present.push(pool);
            }
            if writes.is_empty() {
                return Ok(());
            }
            match self.commit(&writes).await? {
                Outcome::Applied(_) => return Ok(()),
                // Another process was faster, or the disk failed: read what there is now.
                Outcome::Conflict { .. } => {}
                Outcome::Unknown(reason) => {
                    let advice = "check the host's disk";
                    return Err(Error::Unreachable { doing: "write", store: self.name.clone(), reason, advice });
                }
            }
        }
    }
}

/// A resource name for a pool that only has a CIDR: `ippool-10-65-0-0-16`.
fn pool_name(cidr: &IpNetwork) -> String {
    format!("ippool-{cidr}").replace(['.', ':', '/'], "-")
}
