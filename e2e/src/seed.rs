//! What a cluster's own components put into etcd before any container starts.

use serde_json::{Value, json};

use crate::etcd::Etcd;

/// Where v3 resources are.
const RESOURCES: &str = "/calico/resources/v3/projectcalico.org";

impl Etcd {
    /// Puts a ready ClusterInformation, a pool of each family, and the nodes.
    pub fn seed(&self, nodes: &[&str]) {
        self.put_resource("ClusterInformation", "clusterinformations", "default", json!({"datastoreReady": true}));
        for (name, cidr, size) in [("pool4", "10.65.0.0/16", 26), ("pool6", "fd65::/64", 122)] {
            let spec = json!({
                "cidr": cidr, "vxlanMode": "Never", "ipipMode": "Never", "natOutgoing": true, "blockSize": size,
                "nodeSelector": "all()", "allowedUses": ["Workload", "Tunnel"], "assignmentMode": "Automatic"
            });
            self.put_resource("IPPool", "ippools", name, spec);
        }
        for node in nodes {
            self.put_resource("Node", "nodes", node, json!({}));
        }
    }

    /// Puts a v3 resource without namespace.
    fn put_resource(&self, kind: &str, plural: &str, name: &str, spec: Value) {
        let object = json!({
            "kind": kind, "apiVersion": "projectcalico.org/v3", "metadata": {"name": name}, "spec": spec
        });
        self.put(&format!("{RESOURCES}/{plural}/{name}"), &object.to_string());
    }
}
