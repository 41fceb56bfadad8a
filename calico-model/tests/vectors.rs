//! The stored shapes of Calico's reference: read, and written as they were.

use calico_model::{Key, Object};
use serde_json::Value;

/// Reads a stored text and writes it again.
fn rewritten(path: &str, text: &str) -> String {
    let key = Key::parse(path).unwrap_or_else(|| panic!("{path} is no key"));
    assert_eq!(key.path(), path);
    let object = Object::parse(&key, text.as_bytes()).unwrap_or_else(|e| panic!("{e}"));
    serde_json::to_string(&object).unwrap()
}

#[test]
fn objects_of_address_management_byte_for_byte() {
    let list = |items: &mut dyn Iterator<Item = String>| items.collect::<Vec<_>>().join(",");
    let allocations = list(&mut ["0", "1"].into_iter().chain(["null"; 62]).map(str::to_owned));
    let unallocated = list(&mut (2..64).map(|ordinal| ordinal.to_string()));
    let block = format!(
        r#"{{"cidr":"192.168.1.64/26","affinity":"host:node1","affinity_claim_time":"2026-01-02T03:04:05Z","allocations":[{allocations}],"unallocated":[{unallocated}],"attributes":[{{"handle_id":"k8s-pod-network.3f1c","secondary":{{"namespace":"default","node":"node1","pod":"web-0","timestamp":"2026-01-02 03:04:05.123456789 +0000 UTC"}}}},{{"handle_id":"k8s-pod-network.vmi.ns1.vm1","secondary":{{"pod":"virt-launcher-a"}},"alternateOwnerAttrs":{{"pod":"virt-launcher-b"}}}}],"sequenceNumber":1767323045123456791,"sequenceNumberForAllocation":{{"0":1767323045123456789,"1":1767323045123456790}},"deleted":false}}"#
    );
    let cooling = r#"{"cidr":"10.0.0.0/31","affinity":null,"allocations":[0,1],"unallocated":[],"attributes":[{"releasedAt":"2026-01-02T03:04:05Z"},{"handle_id":"windows-reserved-ipam-handle","secondary":{"note":"windows host rsvd"}}],"sequenceNumber":1,"sequenceNumberForAllocation":{},"deleted":false}"#;
    for (path, text) in [
        ("/calico/ipam/v2/assignment/ipv4/block/192.168.1.64-26", block.as_str()),
        ("/calico/ipam/v2/assignment/ipv4/block/10.0.0.0-31", cooling),
        ("/calico/ipam/v2/host/node1/ipv4/block/192.168.1.64-26", r#"{"state":"confirmed","deleted":false}"#),
        ("/calico/ipam/v2/host/node1/ipv4/block/192.168.1.64-26", r#"{"state":"pendingDeletion","deleted":false}"#),
        ("/calico/ipam/v2/virtual/load-balancer/ipv6/block/fd00::-122", r#"{"state":"pending","deleted":false}"#),
        ("/calico/ipam/v2/handle/k8s-pod-network.3f1c", r#"{"block":{"192.168.1.64/26":1},"deleted":false}"#),
        (
            "/calico/ipam/v2/config",
            r#"{"strict_affinity":true,"auto_allocate_blocks":true,"maxBlocksPerHost":5,"kubeVirtVMAddressPersistence":"Enabled","ipCooldownSeconds":30}"#,
        ),
        ("/calico/ipam/v2/config", r#"{"auto_allocate_blocks":true}"#),
    ] {
        assert_eq!(rewritten(path, text), text);
    }
}

/// Fields that this code does not know keep their values; their place in the text is of no meaning.
#[test]
fn resources_with_everything_in_them() {
    let of = |plural: &str, name: &str| format!("/calico/resources/v3/projectcalico.org/{plural}/{name}");
    for (path, text) in [
        (
            of("ippools", "default-ipv4-ippool"),
            r#"{"kind":"IPPool","apiVersion":"projectcalico.org/v3","metadata":{"name":"default-ipv4-ippool","uid":"6a0e","creationTimestamp":"2026-01-02T03:04:05Z"},"spec":{"cidr":"192.168.0.0/16","vxlanMode":"Never","ipipMode":"Always","natOutgoing":true,"blockSize":26,"nodeSelector":"all()","allowedUses":["Workload","Tunnel"],"assignmentMode":"Automatic"}}"#,
        ),
        (
            of("ipreservations", "r1"),
            r#"{"kind":"IPReservation","apiVersion":"projectcalico.org/v3","metadata":{"name":"r1"},"spec":{"reservedCIDRs":["192.168.2.3/32","10.0.0.0/24"]}}"#,
        ),
        (
            of("clusterinformations", "default"),
            r#"{"kind":"ClusterInformation","apiVersion":"projectcalico.org/v3","metadata":{"name":"default"},"spec":{"clusterGUID":"0123456789abcdef0123456789abcdef","clusterType":"k8s,bgp","calicoVersion":"v3.x","datastoreReady":true}}"#,
        ),
        (
            of("nodes", "node1"),
            r#"{"kind":"Node","apiVersion":"projectcalico.org/v3","metadata":{"name":"node1","labels":{"kubernetes.io/os":"linux"}},"spec":{"bgp":{"ipv4Address":"10.1.1.2/24","ipv4IPIPTunnelAddr":"192.168.1.64"},"orchRefs":[{"nodeName":"node1","orchestrator":"k8s"}],"addresses":[{"address":"10.1.1.2/24","type":"CalicoNodeIP"},{"address":"10.1.1.2","type":"InternalIP"}]},"status":{}}"#,
        ),
        (
            of("workloadendpoints", "default/node1-k8s-web--0-eth0"),
            r#"{"kind":"WorkloadEndpoint","apiVersion":"projectcalico.org/v3","metadata":{"name":"node1-k8s-web--0-eth0","generateName":"web-","namespace":"default","uid":"u","creationTimestamp":"2026-01-02T03:04:05Z","labels":{"app":"web","projectcalico.org/namespace":"default","projectcalico.org/orchestrator":"k8s","projectcalico.org/serviceaccount":"default"}},"spec":{"orchestrator":"k8s","node":"node1","containerID":"3f1c","pod":"web-0","endpoint":"eth0","serviceAccountName":"default","ipNetworks":["192.168.1.65/32"],"profiles":["kns.default","ksa.default.default"],"interfaceName":"cali0123456789a","mac":"aa:bb:cc:dd:ee:ff","ports":[{"name":"http","protocol":"TCP","port":80,"hostPort":0,"hostIP":""}]}}"#,
        ),
        (
            of("profiles", "net1"),
            r#"{"kind":"Profile","apiVersion":"projectcalico.org/v3","metadata":{"name":"net1"},"spec":{"ingress":[{"action":"Allow","source":{},"destination":{}}],"egress":[{"action":"Allow"}],"labelsToApply":{"net1":""}}}"#,
        ),
    ] {
        let parse = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        assert_eq!(parse(&rewritten(&path, text)), parse(text), "{path}");
    }
}

#[test]
fn what_old_releases_left() {
    let affinity = "/calico/ipam/v2/host/node1/ipv4/block/192.168.1.64-26";
    for text in ["", "{}", r#"{"state":""}"#, r#"{"state":null,"deleted":null}"#] {
        assert_eq!(rewritten(affinity, text), r#"{"state":"confirmed","deleted":false}"#, "{text:?}");
    }
    let resource = r#"{"kind":"IPPool","apiVersion":"projectcalico.org/v3","metadata":{"name":"p","creationTimestamp":null},"spec":{"cidr":"10.0.0.0/16"}}"#;
    let path = "/calico/resources/v3/projectcalico.org/ippools/p";
    assert_eq!(rewritten(path, resource), resource.replace(r#","creationTimestamp":null"#, ""));
}
