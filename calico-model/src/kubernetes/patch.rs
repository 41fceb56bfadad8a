//! What is stored of a workload endpoint: annotations of its pod. Both patches are strategic merge patches
//! (`application/strategic-merge-patch+json`) of the pod's `status` subresource, which takes annotations, too.

use serde_json::{Map, Value, json};

use super::pod_endpoint::{CONTAINER_ID, POD_IP, POD_IPS};
use crate::endpoint::WorkloadEndpoint;

/// Says which addresses a pod has, and for which of its sandboxes. It expects nothing of the pod: the kubelet and others
/// change it all the time. Nothing is said of an endpoint without addresses.
pub fn endpoint_patch(endpoint: &WorkloadEndpoint) -> Value {
    let spec = &endpoint.spec;
    let mut annotations = Map::new();
    if let Some(first) = spec.ip_networks.first() {
        if !spec.container_id.is_empty() {
            annotations.insert(CONTAINER_ID.to_owned(), spec.container_id.clone().into());
        }
        annotations.insert(POD_IP.to_owned(), first.clone().into());
        annotations.insert(POD_IPS.to_owned(), spec.ip_networks.join(",").into());
    }
    if annotations.is_empty() { json!({"metadata": {}}) } else { json!({"metadata": {"annotations": annotations}}) }
}

/// Says that a pod has no addresses any more, if it is still the version that was read. The sandbox stays named, by which a
/// repeated DEL knows that it was this one.
pub fn clearing_patch(resource_version: &str, uid: &str) -> Value {
    json!({"metadata": {"annotations": {POD_IP: "", POD_IPS: ""}, "resourceVersion": resource_version, "uid": uid}})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::WorkloadEndpointSpec;
    use crate::resource::{Kind, Resource};

    fn patch(container_id: &str, networks: &[&str]) -> String {
        let ip_networks = networks.iter().map(|&network| network.to_owned()).collect();
        let spec = WorkloadEndpointSpec { container_id: container_id.to_owned(), ip_networks, ..Default::default() };
        endpoint_patch(&Resource::new(Kind::WorkloadEndpoint, "n", spec)).to_string()
    }

    #[test]
    fn as_the_reference_shows() {
        assert_eq!(
            patch("c1", &["192.168.1.65/32", "fd00::5/128"]),
            r#"{"metadata":{"annotations":{"cni.projectcalico.org/containerID":"c1","cni.projectcalico.org/podIP":"192.168.1.65/32","cni.projectcalico.org/podIPs":"192.168.1.65/32,fd00::5/128"}}}"#
        );
        assert_eq!(
            patch("", &["fd00::5/128"]),
            r#"{"metadata":{"annotations":{"cni.projectcalico.org/podIP":"fd00::5/128","cni.projectcalico.org/podIPs":"fd00::5/128"}}}"#
        );
        assert_eq!(patch("c1", &[]), r#"{"metadata":{}}"#);
        assert_eq!(
            clearing_patch("7", "u").to_string(),
            r#"{"metadata":{"annotations":{"cni.projectcalico.org/podIP":"","cni.projectcalico.org/podIPs":""},"resourceVersion":"7","uid":"u"}}"#
        );
    }
}
