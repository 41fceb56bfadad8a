//! What a node agent would make, on a node that stands alone: made where it is absent, and never changed.

use calico_datastore::{Datastore, Error as StoreError, Outcome, Want, Write};
use calico_model::resource::{ClusterInformationSpec, random_uid};
use calico_model::{Key, Kind, Listing, Node, Resource};
use calico_plugin::Log;
use calico_plugin::log::Value;

use crate::error::Error;
use crate::files;
use crate::options::Options;
use crate::paths::{Paths, shown};
use crate::pools::Pools;

/// Writes the file by which the plugins know the node's name, where there is none.
pub fn name_node(paths: &Paths, options: &Options, log: &Log) -> Result<(), Error> {
    let path = paths.nodename();
    if path.exists() {
        return Ok(());
    }
    files::put(&path, options.node_name.as_bytes(), 0o644)?;
    log.info(
        "wrote the node's name",
        &[("file", Value::Text(&shown(&path))), ("node", Value::Text(&options.node_name))],
    );
    Ok(())
}

/// Makes a ready ClusterInformation, and the pools where there is none at all. Where nodes are objects of Calico's own,
/// `node` is this one, which is made, too.
pub async fn furnish(store: &impl Datastore, pools: &Pools, node: Option<&str>) -> Result<(), Error> {
    let information = Key::resource(Kind::ClusterInformation, "default");
    let mut wants = vec![Want::Get(information.clone()), Want::List(Listing::Resources(Kind::IpPool))];
    wants.extend(node.map(|name| Want::Get(Key::resource(Kind::Node, name))));
    let mut answers = store.read(&wants).await.map_err(refused_or_waiting)?;
    let mut writes = Vec::new();
    if answers.entries().is_empty() {
        writes.push(Write::create(information, cluster_information(node.is_none())?));
    }
    if answers.entries().is_empty() {
        let pool =
            |pool: &calico_model::IpPool| Write::create(Key::resource(Kind::IpPool, &pool.metadata.name), pool.clone());
        writes.extend(pools.0.iter().map(pool));
    }
    if let Some(name) = node
        && answers.entries().is_empty()
    {
        let mut object: Node = Resource::new(Kind::Node, name, serde_json::Map::new());
        object.extra.insert("status".to_owned(), serde_json::json!({}));
        writes.push(Write::create(Key::resource(Kind::Node, name), object));
    }
    for write in writes {
        match store.commit(std::slice::from_ref(&write)).await.map_err(refused_or_waiting)? {
            // Somebody else was faster: it is theirs.
            Outcome::Applied(_) | Outcome::Conflict { .. } => {}
            Outcome::Unknown(reason) => {
                return Err(Error::Waiting(format!("whether {} was made is not known: {reason}", write.key)));
            }
        }
    }
    Ok(())
}

fn cluster_information(is_kubernetes: bool) -> Result<calico_model::ClusterInformation, Error> {
    let mut spec = ClusterInformationSpec { datastore_ready: Some(true), ..ClusterInformationSpec::default() };
    let guid = random_uid().map_err(|error| Error::Waiting(format!("the kernel gives no random numbers: {error}")))?;
    spec.extra.insert("clusterGUID".to_owned(), guid.replace('-', "").into());
    if is_kubernetes {
        spec.extra.insert("clusterType".to_owned(), "kdd".into());
    }
    Ok(Resource::new(Kind::ClusterInformation, "default", spec))
}

fn refused_or_waiting(error: StoreError) -> Error {
    let text = format!("cannot make what a node that stands alone needs (STANDALONE=true): {error}");
    match error {
        StoreError::Forbidden { .. } | StoreError::Invalid { .. } | StoreError::Malformed(_) => Error::Refused(text),
        StoreError::Unreachable { .. } | StoreError::TimedOut { .. } => Error::Waiting(text),
    }
}

#[cfg(test)]
mod tests {
    use calico_datastore::local::Local;
    use calico_model::{ClusterInformation, IpPool};

    use super::*;
    use crate::scratch::Scratch;

    async fn pools(store: &Local) -> Vec<(String, u8)> {
        let mut answers = store.read(&[Want::List(Listing::Resources(Kind::IpPool))]).await.unwrap();
        answers
            .list::<IpPool>()
            .into_iter()
            .map(|pool| (pool.value.metadata.name, pool.value.spec.block_size))
            .collect()
    }

    #[tokio::test]
    async fn objects_are_made_once() {
        let store = Local::in_memory().await.unwrap();
        let key = Key::resource(Kind::ClusterInformation, "default");
        let standalone =
            Options::of(&[("STANDALONE", "true"), ("CALICO_IPV6POOL_CIDR", "fd65::/64")]).standalone.unwrap();
        // The embedded store begins with one.
        let found = store.read(&[Want::Get(key.clone())]).await.unwrap().get::<ClusterInformation>().unwrap().unwrap();
        store.commit(&[Write::delete(key.clone(), found.revision)]).await.unwrap();
        furnish(&store, &standalone, Some("node-1")).await.unwrap();
        let made = store.read(&[Want::Get(key.clone())]).await.unwrap().get::<ClusterInformation>().unwrap().unwrap();
        assert_eq!(made.value.spec.datastore_ready, Some(true));
        let default = [("default-ipv4-ippool".to_owned(), 26), ("default-ipv6-ippool".to_owned(), 122)];
        assert_eq!(pools(&store).await, default);

        // What people change stays, and what they delete too, as long as one is left.
        let mut changed = made.value.clone();
        changed.spec.datastore_ready = Some(false);
        store.commit(&[Write::update(key.clone(), made.revision, changed)]).await.unwrap();
        let pool = Key::resource(Kind::IpPool, "default-ipv4-ippool");
        let found = store.read(&[Want::Get(pool.clone())]).await.unwrap().get::<IpPool>().unwrap().unwrap();
        store.commit(&[Write::delete(pool, found.revision)]).await.unwrap();
        furnish(&store, &standalone, Some("node-1")).await.unwrap();
        let kept = store.read(&[Want::Get(key)]).await.unwrap().get::<ClusterInformation>().unwrap().unwrap();
        assert_eq!(kept.value.spec.datastore_ready, Some(false));
        assert_eq!(pools(&store).await, default[1..]);
        let node = store.read(&[Want::Get(Key::resource(Kind::Node, "node-1"))]).await.unwrap().entries();
        assert_eq!(node.len(), 1);
    }

    #[test]
    fn the_nodes_name_is_written_once() {
        let scratch = Scratch::image();
        scratch.write("var/lib/calico/other", "");
        let log = Log::silent();
        for (name, written) in [("node-1", "node-1"), ("node-2", "node-1")] {
            name_node(&scratch.paths(), &Options::of(&[("KUBERNETES_NODE_NAME", name)]), &log).unwrap();
            assert_eq!(scratch.read("var/lib/calico/nodename"), written);
        }
    }
}
