//! Nodes.

use crate::kind::About;
use crate::schema::{Field, Holds, Shape};

static BGP: Shape = Shape {
    fields: &[
        Field::given("asNumber", "ASNumber", Holds::AsNumber),
        Field::of("ipv4Address", "IPv4Address", Holds::Text),
        Field::of("ipv6Address", "IPv6Address", Holds::Text),
        Field::of("ipv4IPIPTunnelAddr", "IPv4IPIPTunnelAddr", Holds::Text),
        Field::of("routeReflectorClusterID", "RouteReflectorClusterID", Holds::Text),
    ],
};

static ORCH_REF: Shape = Shape {
    fields: &[
        Field::of("nodeName", "NodeName", Holds::Text),
        Field::always("orchestrator", "Orchestrator", Holds::Text),
    ],
};

static WIREGUARD: Shape = Shape {
    fields: &[
        Field::of("interfaceIPv4Address", "InterfaceIPv4Address", Holds::Text),
        Field::of("interfaceIPv6Address", "InterfaceIPv6Address", Holds::Text),
    ],
};

static ADDRESS: Shape =
    Shape { fields: &[Field::always("address", "Address", Holds::Text), Field::of("type", "Type", Holds::Text)] };

static INTERFACE: Shape = Shape {
    fields: &[Field::of("name", "Name", Holds::Text), Field::of("addresses", "Addresses", Holds::List(&Holds::Text))],
};

static SPEC: Shape = Shape {
    fields: &[
        Field::given("bgp", "BGP", Holds::Object(&BGP)),
        Field::of("ipv4VXLANTunnelAddr", "IPv4VXLANTunnelAddr", Holds::Text),
        Field::of("vxlanTunnelMACAddr", "VXLANTunnelMACAddr", Holds::Text),
        Field::of("ipv6VXLANTunnelAddr", "IPv6VXLANTunnelAddr", Holds::Text),
        Field::of("vxlanTunnelMACAddrV6", "VXLANTunnelMACAddrV6", Holds::Text),
        Field::of("orchRefs", "OrchRefs", Holds::List(&Holds::Object(&ORCH_REF))),
        Field::given("wireguard", "Wireguard", Holds::Object(&WIREGUARD)),
        Field::of("addresses", "Addresses", Holds::List(&Holds::Object(&ADDRESS))),
        Field::of("interfaces", "Interfaces", Holds::List(&Holds::Object(&INTERFACE))),
    ],
};

/// The kind.
pub static ABOUT: About = About {
    name: "Node",
    aliases: &["nodes", "node", "no", "nos"],
    is_namespaced: false,
    spec: &SPEC,
    shows_status: true,
    columns: &["NAME"],
    wide: &["NAME", "ASN", "IPV4", "IPV6"],
    more: &[],
};
