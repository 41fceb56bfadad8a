//! A small cluster in memory, for tests: that of which the established tool's answers were recorded.

use std::time::{Duration, SystemTime};

use calico_datastore::{Datastore, Expect, Outcome, Stored, Want, Write};
use calico_ipam::{AssignAddress, AutoAssign, Demand, Ipam, Lease};
use calico_model::{IpPool, IpVersion, Key, Kind, Node, Object, Resource};

use crate::error::Error;
use crate::session::Session;

/// Two blocks of pool1: one with three pods of node-a and one of node-b, one with a pod of node-b.
pub async fn recorded() -> Session {
    let session = empty().await;
    put(&session, pool_key("pool1"), pool("pool1", "10.10.0.0/16")).await;
    let mut other = pool("pool6", "fd00:10::/64");
    other.spec.node_selector = "zone == 'a'".to_owned();
    put(&session, pool_key("pool6"), other).await;
    for (node, pod, address) in [
        ("node-a", "web-1", "10.10.174.128"),
        ("node-a", "web-2", "10.10.174.129"),
        ("node-a", "web-3", "10.10.174.130"),
        ("node-b", "db-0", "10.10.218.64"),
        ("node-b", "borrow-0", "10.10.174.140"),
    ] {
        assign(&session, node, pod, address).await;
    }
    session
}

/// Two nodes, without pools.
pub async fn empty() -> Session {
    let session = Session::in_memory().await;
    for (node, zone) in [("node-a", "a"), ("node-b", "b")] {
        let mut object: Node = Resource::new(Kind::Node, node, serde_json::Map::new());
        object.metadata.labels.insert("zone".to_owned(), zone.to_owned());
        put(&session, Key::resource(Kind::Node, node), object).await;
    }
    session
}

/// When everything was claimed and assigned: an hour ago.
fn then() -> SystemTime {
    SystemTime::now() - Duration::from_secs(3600)
}

/// A pool for all nodes.
pub fn pool(name: &str, cidr: &str) -> IpPool {
    IpPool::routed(name, cidr.parse().unwrap())
}

/// The key of a pool.
pub fn pool_key(name: &str) -> Key {
    Key::resource(Kind::IpPool, name)
}

/// Stores an object, whatever is there.
pub async fn put(session: &Session, key: Key, object: impl Into<Object>) {
    let store = session.store();
    let found = store.read(&[Want::Get(key.clone())]).await.unwrap().entries().into_iter().next();
    let expect = found.map_or(Expect::Absent, |entry| Expect::At(entry.revision));
    let outcome = store.commit(&[Write::put(key, expect, object)]).await.unwrap();
    assert!(matches!(outcome, Outcome::Applied(_)), "{outcome:?}");
}

/// An object of a type.
pub async fn get<T: TryFrom<Object>>(session: &Session, key: Key) -> Option<Stored<T>> {
    session.store().read(&[Want::Get(key)]).await.unwrap().get().unwrap()
}

/// Assigns an address to a pod.
pub async fn assign(session: &Session, node: &str, pod: &str, address: &str) {
    let ipam = Ipam::new(session.store(), node, then());
    let inputs = ipam.read_inputs().await.unwrap();
    let request = AssignAddress::workload(address.parse().unwrap());
    ipam.assign_address(&inputs, &request, &lease(node, pod)).await.unwrap();
}

/// Assigns as many addresses as a node wants, from anywhere.
pub async fn take(session: &Session, node: &str, pod: &str, count: usize) {
    let ipam = Ipam::new(session.store(), node, then());
    let inputs = ipam.read_inputs().await.unwrap();
    let request = AutoAssign::workload(vec![Demand::any(IpVersion::V4, count)]);
    let assigned = ipam.auto_assign(&inputs, &request, &lease(node, pod)).await.unwrap();
    assert_eq!(assigned.allocations.len(), count);
}

fn lease(node: &str, pod: &str) -> Lease {
    let attributes = [("namespace", "shop"), ("node", node), ("pod", pod)];
    Lease::new(&format!("net1.{pod}"), attributes.map(|(name, value)| (name.to_owned(), value.to_owned())))
}

/// An error as it is printed.
pub fn text_of(error: &Error) -> String {
    [&error.text].into_iter().chain(&error.details).cloned().collect::<Vec<_>>().join("\n")
}
