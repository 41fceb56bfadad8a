//! What a cluster's own components put into etcd before any container starts.

use std::path::Path;

use serde_json::{Value, json};

use crate::etcd::Etcd;

/// Where v3 resources are.
const RESOURCES: &str = "/calico/resources/v3/projectcalico.org";

impl Etcd {
    /// Puts a ready ClusterInformation, a pool of each family, and the nodes.
    pub fn seed(&self, nodes: &[&str]) {
        self.put_resource("ClusterInformation", "clusterinformations", "default", json!({"datastoreReady": true}));
        self.put_pool("pool4", "10.65.0.0/16", 26);
        self.put_pool("pool6", "fd65::/64", 122);
        for node in nodes {
            self.put_resource("Node", "nodes", node, json!({}));
        }
    }

    /// Puts a pool for all nodes, or changes it: `pool4` and `pool6` are there. `size` is the prefix length of its blocks.
    pub fn put_pool(&self, name: &str, cidr: &str, size: u8) {
        let spec = json!({
            "cidr": cidr, "vxlanMode": "Never", "ipipMode": "Never", "natOutgoing": true, "blockSize": size,
            "nodeSelector": "all()", "allowedUses": ["Workload", "Tunnel"], "assignmentMode": "Automatic"
        });
        self.put_resource("IPPool", "ippools", name, spec);
    }

    /// Puts the blocks of so many hosts into a pool, each the first that is free in its host's order, with so many addresses in
    /// use in each; `whole` also the hosts' nodes, the handles and the endpoints. `program` is this crate's executable `crowd`.
    pub fn crowd(&self, program: &Path, pool: &str, block_size: u8, hosts: usize, addresses: usize, whole: bool) {
        let mut crowd = self.servers().program(program);
        crowd.arg(self.endpoint(0)).arg(pool).args([block_size.to_string(), hosts.to_string(), addresses.to_string()]);
        crowd.args(whole.then_some("whole"));
        let output = crowd.output().expect("nsenter can be started");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Puts a v3 resource without namespace.
    pub fn put_resource(&self, kind: &str, plural: &str, name: &str, spec: Value) {
        let object = json!({
            "kind": kind, "apiVersion": "projectcalico.org/v3", "metadata": {"name": name}, "spec": spec
        });
        self.put(&format!("{RESOURCES}/{plural}/{name}"), &object.to_string());
    }
}
