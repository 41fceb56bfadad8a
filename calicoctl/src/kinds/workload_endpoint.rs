//! Workload endpoints: containers' interfaces.

use crate::kind::About;
use crate::schema::{Field, Holds, Shape};

static NAT: Shape = Shape {
    fields: &[
        Field::always("internalIP", "InternalIP", Holds::Text),
        Field::always("externalIP", "ExternalIP", Holds::Text),
    ],
};

static PORT: Shape = Shape {
    fields: &[
        Field::always("name", "Name", Holds::Text),
        Field::always("protocol", "Protocol", Holds::Protocol),
        Field::always("port", "Port", Holds::Number(0, 65535)),
        Field::always("hostPort", "HostPort", Holds::Number(0, 65535)),
        Field::always("hostIP", "HostIP", Holds::Text),
    ],
};

static QOS: Shape = Shape {
    fields: &[
        Field::of("ingressBandwidth", "IngressBandwidth", Holds::Number(0, i64::MAX)),
        Field::of("egressBandwidth", "EgressBandwidth", Holds::Number(0, i64::MAX)),
        Field::of("ingressBurst", "IngressBurst", Holds::Number(0, i64::MAX)),
        Field::of("egressBurst", "EgressBurst", Holds::Number(0, i64::MAX)),
        Field::of("ingressPeakrate", "IngressPeakrate", Holds::Number(0, i64::MAX)),
        Field::of("egressPeakrate", "EgressPeakrate", Holds::Number(0, i64::MAX)),
        Field::of("ingressMinburst", "IngressMinburst", Holds::Number(0, i64::MAX)),
        Field::of("egressMinburst", "EgressMinburst", Holds::Number(0, i64::MAX)),
        Field::of("ingressPacketRate", "IngressPacketRate", Holds::Number(0, i64::MAX)),
        Field::of("egressPacketRate", "EgressPacketRate", Holds::Number(0, i64::MAX)),
        Field::of("ingressPacketBurst", "IngressPacketBurst", Holds::Number(0, i64::MAX)),
        Field::of("egressPacketBurst", "EgressPacketBurst", Holds::Number(0, i64::MAX)),
        Field::of("ingressMaxConnections", "IngressMaxConnections", Holds::Number(0, i64::MAX)),
        Field::of("egressMaxConnections", "EgressMaxConnections", Holds::Number(0, i64::MAX)),
        Field::given("dscp", "DSCP", Holds::Anything),
    ],
};

static SPEC: Shape = Shape {
    fields: &[
        Field::of("orchestrator", "Orchestrator", Holds::Text),
        Field::of("workload", "Workload", Holds::Text),
        Field::of("node", "Node", Holds::Text),
        Field::of("containerID", "ContainerID", Holds::Text),
        Field::of("pod", "Pod", Holds::Text),
        Field::of("endpoint", "Endpoint", Holds::Text),
        Field::of("serviceAccountName", "ServiceAccountName", Holds::Text),
        Field::of("ipNetworks", "IPNetworks", Holds::List(&Holds::Text)),
        Field::of("ipNATs", "IPNATs", Holds::List(&Holds::Object(&NAT))),
        Field::of("ipv4Gateway", "IPv4Gateway", Holds::Text),
        Field::of("ipv6Gateway", "IPv6Gateway", Holds::Text),
        Field::of("profiles", "Profiles", Holds::List(&Holds::Text)),
        Field::of("interfaceName", "InterfaceName", Holds::Text),
        Field::of("mac", "MAC", Holds::Text),
        Field::of("ports", "Ports", Holds::List(&Holds::Object(&PORT))),
        Field::of("allowSpoofedSourcePrefixes", "AllowSpoofedSourcePrefixes", Holds::List(&Holds::Text)),
        Field::given("qosControls", "QoSControls", Holds::Object(&QOS)),
    ],
};

/// The kind.
pub static ABOUT: About = About {
    name: "WorkloadEndpoint",
    aliases: &["workloadendpoints", "workloadendpoint", "wep", "weps"],
    is_namespaced: true,
    spec: &SPEC,
    shows_status: false,
    columns: &["WORKLOAD", "NODE", "NETWORKS", "INTERFACE"],
    wide: &["NAME", "WORKLOAD", "NODE", "NETWORKS", "INTERFACE", "PROFILES", "NATS"],
    more: &["ORCHESTRATOR", "NAMESPACE"],
};
