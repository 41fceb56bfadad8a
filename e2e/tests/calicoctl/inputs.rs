//! The manifests of the recorded runs, as far as the kinds are there.

use e2e::Ctl;

/// Names and texts. Compact ones are objects of one line, after their kind.
const FILES: [(&str, &str); 21] = [
    (
        "pool.yaml",
        "kind: IPPool\nmetadata: {name: pool1}\nspec: {cidr: 10.10.0.0/16, ipipMode: CrossSubnet, natOutgoing: true}",
    ),
    (
        "pool6.yaml",
        "- apiVersion: projectcalico.org/v3\n  kind: IPPool\n  metadata: {name: pool6}\n  spec: {cidr: \"fd00:10:0::/64\", nodeSelector: \"zone == 'a'\"}\n- apiVersion: projectcalico.org/v3\n  kind: IPReservation\n  metadata: {name: resv1}\n  spec: {reservedCIDRs: [10.10.0.0/30, 10.10.9.9/32]}",
    ),
    ("bad-cidr.yaml", "kind: IPPool\nmetadata: {name: bad}\nspec: {cidr: 10.0.0.1/24}"),
    ("overlap.yaml", "kind: IPPool\nmetadata: {name: pool2}\nspec: {cidr: 10.10.4.0/24}"),
    ("unknown.yaml", "kind: IPPool\nmetadata: {name: x}\nspec: {cidr: 10.1.0.0/24, natoutgoing2: true}"),
    ("badkind.yaml", "kind: Foo\nmetadata: {name: x}"),
    ("name.yaml", "kind: IPReservation\nmetadata: {name: Bad_Name}\nspec: {reservedCIDRs: [10.0.0.1/32]}"),
    (
        "cel.yaml",
        "kind: IPPool\nmetadata: {name: q}\nspec: {cidr: \"fd00:77::/112\", ipipMode: Always, vxlanMode: Always, nodeSelector: global()}",
    ),
    ("empty.yaml", "# nothing"),
    (
        "nodes.yaml",
        "kind: Node\nmetadata: {name: node-a, labels: {rack: r1}}\nspec: {bgp: {asNumber: 64512, ipv4Address: 172.16.0.2/24, ipv6Address: \"2001:db8::2/64\", ipv4IPIPTunnelAddr: 10.10.1.1}, orchRefs: [{nodeName: k8s-a, orchestrator: k8s}]}\n---\nkind: Node\nmetadata: {name: node-b}\nspec: {bgp: {ipv4Address: 172.16.0.3/24}, orchRefs: [{nodeName: k8s-b, orchestrator: k8s}]}\n---\nkind: WorkloadEndpoint\nmetadata: {name: node--a-k8s-web--0-eth0, namespace: shop, labels: {app: web}}\nspec: {orchestrator: k8s, node: node-a, pod: web-0, endpoint: eth0, containerID: abc123, ipNetworks: [10.10.44.64/32], profiles: [kns.shop], interfaceName: cali0123456789a, mac: \"ee:ee:ee:ee:ee:ee\", ports: [{name: http, protocol: TCP, port: 8080}]}",
    ),
    (
        "profile.yaml",
        "kind: Profile\nmetadata: {name: prof1}\nspec: {labelsToApply: {b: \"2\", a: \"1\"}, ingress: [{action: Allow}]}",
    ),
    (
        "mixed.yaml",
        "kind: IPPool\nmetadata: {name: pool9}\nspec: {cidr: 10.99.0.0/16}\n---\nkind: IPReservation\nmetadata: {name: set9}\nspec: {reservedCIDRs: [10.0.0.300]}",
    ),
    ("nothere.yaml", "kind: IPReservation\nmetadata: {name: nothere}\nspec: {reservedCIDRs: [10.0.0.1/32]}"),
    (
        "many.yaml",
        "kind: Node\nmetadata: {name: n9}\nspec: {bgp: {}}\n---\nkind: IPAMConfiguration\nmetadata: {name: foo}\nspec: {}\n---\nkind: WorkloadEndpoint\nmetadata: {name: bad, namespace: default}\nspec: {orchestrator: k8s, node: n, pod: p, endpoint: eth0, interfaceName: c1}",
    ),
    ("lower.yaml", "kind: ippool\nmetadata: {name: x}"),
    ("word.yaml", "word"),
    ("ci.yaml", "kind: ClusterInformation\nmetadata: {name: default}\nspec: {datastoreReady: true}"),
    ("cfgv1", "apiVersion: v1\nkind: CalicoAPIConfig\nspec: {}"),
    ("cfgbad", "apiVersion: projectcalico.org/v3\nkind: CalicoAPIConfig\nspec: {datastoreType: foo}"),
    (
        "settings.yaml",
        "kind: IPAMConfiguration\nmetadata: {name: default}\nspec: {strictAffinity: false, autoAllocateBlocks: true}",
    ),
    (
        "claim.yaml",
        "kind: BlockAffinity\nmetadata: {name: node-b-10-10-3-0-26}\nspec: {state: pending, node: node-b, type: host, cidr: 10.10.3.0/26}",
    ),
];

/// Writes all of them into the working folder.
pub fn write(ctl: &Ctl) {
    for (name, text) in FILES {
        let document = |text: &str| match text.starts_with("kind:") {
            true => format!("apiVersion: projectcalico.org/v3\n{text}\n"),
            false => format!("{text}\n"),
        };
        ctl.write(name, &text.split("---\n").map(document).collect::<Vec<_>>().join("---\n"));
    }
}
