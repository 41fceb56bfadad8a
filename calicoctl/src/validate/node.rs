//! Nodes.

use serde_json::Value;

use super::Broken;
use super::part::Part;
use super::tag::Tag;
use crate::schema::{Field, Holds, Shape};

/// Only what there are rules for: a status is kept as it is.
static STATUS: Shape = Shape {
    fields: &[
        Field::of("wireguardPublicKey", "WireguardPublicKey", Holds::Text),
        Field::of("wireguardPublicKeyV6", "WireguardPublicKeyV6", Holds::Text),
    ],
};

/// The rules for nodes.
pub fn check(spec: &Part<'_>, status: Option<&Value>) -> Vec<Broken> {
    let (bgp, wireguard) = (spec.part("bgp"), spec.part("wireguard"));
    let status = Part::new(&STATUS, status, "status");
    let nothing_of_bgp = spec.get("bgp").and_then(Value::as_object).is_some_and(|bgp| bgp.is_empty());
    let rules = [
        bgp.tagged("ipv4Address", Tag::CidrV4),
        bgp.tagged("ipv6Address", Tag::CidrV6),
        bgp.tagged("ipv4IPIPTunnelAddr", Tag::Ipv4),
        bgp.tagged("routeReflectorClusterID", Tag::Ipv4),
        spec.tagged("ipv4VXLANTunnelAddr", Tag::Ipv4),
        spec.tagged("vxlanTunnelMACAddr", Tag::Mac),
        spec.tagged("ipv6VXLANTunnelAddr", Tag::Ipv6),
        spec.tagged("vxlanTunnelMACAddrV6", Tag::Mac),
        wireguard.tagged("interfaceIPv4Address", Tag::Ipv4),
        wireguard.tagged("interfaceIPv6Address", Tag::Ipv6),
        // What is in it is always the same.
        nothing_of_bgp.then(|| spec.broken("bgp", "&{<nil>    }", "Spec.BGP should not be empty")),
        status.tagged("wireguardPublicKey", Tag::WireguardPublicKey),
        status.tagged("wireguardPublicKeyV6", Tag::WireguardPublicKey),
    ];
    rules.into_iter().flatten().collect()
}
