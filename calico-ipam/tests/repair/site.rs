//! The healthy cluster that faults are planted in.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use calico_datastore::Datastore;
use calico_ipam::audit::{Finding, Snapshot};
use calico_ipam::repair::{self, End, Plan, TOGETHER, Written};
use ipnetwork::IpNetwork;
use serde_json::{Value, json};

use crate::cluster::{Cluster, Objects, now};

pub const RESOURCES: &str = "/calico/resources/v3/projectcalico.org";
pub const IPAM: &str = "/calico/ipam/v2";

/// When repairs are planned: everything that the cluster has allocated is ten minutes old.
pub fn later() -> SystemTime {
    now() + Duration::from_secs(600)
}

pub fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(work)
}

/// Three nodes, with a block of each family, and containers with IPv6 addresses: `c1` to `c9` on `node-1`; `c10`, and with an
/// IPv4 address `c20`, on `node-2`; `c30` on `node-3`, with one of each.
#[derive(Clone)]
pub struct Site {
    pub objects: Objects,
}

impl Site {
    pub fn new() -> Site {
        let objects = run(async {
            let cluster = Cluster::new(&["node-1", "node-2", "node-3"]).await;
            for number in 1..=9 {
                let count = if [4, 9].contains(&number) { 2 } else { 1 };
                cluster.connect("node-1", &format!("c{number}"), [0, count]).await;
            }
            cluster.connect("node-2", "c10", [0, 1]).await;
            cluster.connect("node-2", "c20", [1, 0]).await;
            cluster.connect("node-3", "c30", [1, 1]).await;
            cluster.tunnel("node-1").await;
            cluster.objects().await
        });
        let mut site = Site { objects };
        // Room for what is planted.
        for (name, cidr, size) in [("spare-four", "10.1.0.0/27", 30), ("spare-six", "fd01::/120", 124)] {
            let mut pool = calico_model::IpPool::routed(name, cidr.parse().unwrap());
            pool.spec.block_size = size;
            site.objects.put(&format!("{RESOURCES}/ippools/{name}"), serde_json::to_value(pool).unwrap());
        }
        site.objects.assert_finds(&[]);
        site
    }

    /// The addresses of a handle, in the order of their blocks.
    pub fn addresses(&self, handle: &str) -> Vec<IpAddr> {
        let mut found = Vec::new();
        for (path, object) in &self.objects.0 {
            if !path.contains("/assignment/") {
                continue;
            }
            let block: calico_model::Block = serde_json::from_value(object.clone()).unwrap();
            found.extend(block.ordinals_of(handle).filter_map(|ordinal| block.address(ordinal)));
        }
        found
    }

    pub fn address(&self, handle: &str) -> IpAddr {
        self.addresses(handle)[0]
    }

    /// The block of a node.
    pub fn block(&self, node: &str, version: u8) -> IpNetwork {
        let prefix = format!("{IPAM}/host/{node}/ipv{version}/block/");
        let path = self.objects.0.keys().find(|path| path.starts_with(&prefix)).unwrap();
        path[prefix.len()..].replace('-', "/").parse().unwrap()
    }
}

/// The path of a block.
pub fn block_path(block: IpNetwork) -> String {
    calico_model::Key::Block(block).path()
}

/// The path of a node's affinity.
pub fn affinity_path(node: &str, block: IpNetwork) -> String {
    let version = if block.is_ipv4() { 4 } else { 6 };
    format!("{IPAM}/host/{node}/ipv{version}/block/{}", block.to_string().replace('/', "-"))
}

/// A block without an address in use.
pub fn empty_block(cidr: &str, affinity: Option<&str>) -> Value {
    let block: IpNetwork = cidr.parse().unwrap();
    let size = 1_usize << ((if block.is_ipv4() { 32 } else { 128 }) - block.prefix());
    let free: Vec<usize> = (0..size).collect();
    json!({
        "cidr": cidr, "affinity": affinity.map(|node| format!("host:{node}")),
        "allocations": vec![None::<i64>; size], "unallocated": free, "attributes": [], "sequenceNumber": 5,
        "sequenceNumberForAllocation": {}, "deleted": false
    })
}

/// The same, with its first address allocated.
pub fn used_block(cidr: &str, affinity: &str, handle: &str, node: &str) -> Value {
    let mut block = empty_block(cidr, Some(affinity));
    block["allocations"][0] = json!(0);
    block["unallocated"].as_array_mut().unwrap().remove(0);
    block["attributes"] = json!([{ "handle_id": handle, "secondary": { "node": node } }]);
    block["sequenceNumberForAllocation"] = json!({ "0": 4 });
    block
}

pub fn handle_path(id: &str) -> String {
    format!("{IPAM}/handle/{id}")
}

pub fn counts(block: &str, count: i64) -> Value {
    json!({ "block": { block: count }, "deleted": false })
}

/// An endpoint of a container, on `node-1` by its name.
pub fn endpoint(id: &str, on: &str, addresses: &[&str]) -> (String, Value) {
    let name = format!("node--1-cni-{id}-eth0");
    let spec = json!({ "orchestrator": "cni", "node": on, "containerID": id, "ipNetworks": addresses });
    let object = json!({
        "kind": "WorkloadEndpoint", "apiVersion": "projectcalico.org/v3",
        "metadata": { "name": name, "namespace": "default" }, "spec": spec
    });
    (format!("{RESOURCES}/workloadendpoints/default/{name}"), object)
}

pub fn audit_and_plan(store: &impl Datastore) -> (Vec<Finding>, Plan) {
    let snapshot = run(Snapshot::read(store)).unwrap();
    let findings = snapshot.findings(later());
    let plan = repair::plan(&snapshot, &findings, later());
    (findings, plan)
}

pub fn carry_out(store: &impl Datastore, plan: &Plan) -> Vec<End> {
    let mut written = Written::default();
    let mut ends = Vec::new();
    for repairs in plan.repairs.chunks(TOGETHER) {
        ends.extend(run(repair::carry_out(store, repairs, &mut written, later())).unwrap());
    }
    ends
}
