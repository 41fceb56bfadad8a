//! What the configuration promises and an operator would otherwise have to create: this node and its pools.

use calico_model::cidr;
use calico_model::{IpPool, Key, Kind, Listing, Node, Resource};
use ipnetwork::IpNetwork;

use super::Local;
use crate::contract::{Datastore, Outcome, Want, Write};
use crate::error::Error;

/// How often to try: each loss is another process's success at the same.
const RETRIES: usize = 20;

impl Local {
    /// Creates the node and one pool for each CIDR, where they are absent. Existing objects are left as they are.
    pub async fn seed(&self, node: &str, pools: &[IpNetwork]) -> Result<(), Error> {
        let node_key = Key::resource(Kind::Node, node);
        let mut last = String::new();
        for _ in 0..RETRIES {
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
                    let reason = format!("the pool {wanted} overlaps the pool {} it already has", other.cidr());
                    let advice =
                        "use that pool, or one that does not overlap it, in ipam.ipv4_pools or ipam.ipv6_pools";
                    return Err(Error::Invalid { store: self.name.clone(), reason, advice: advice.into() });
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
                Outcome::Conflict { index, .. } => {
                    // Another process was faster, or what is there is not what its name says: then that is the error.
                    last = format!("{} is there already, and is not the one that is needed", writes[index].key);
                    self.read(&[Want::Get(writes[index].key.clone())]).await?.get::<IpPool>()?;
                }
                Outcome::Unknown(reason) => last = reason,
            }
        }
        let advice = "correct or delete that object, or name another file in local_store_file";
        Err(Error::Invalid { store: self.name.clone(), reason: last, advice: advice.into() })
    }
}

/// A resource name for a pool that only has a CIDR: `ippool-10-65-0-0-16`.
fn pool_name(cidr: &IpNetwork) -> String {
    format!("ippool-{cidr}").replace(['.', ':', '/'], "-")
}
