//! The addresses that nodes have for their tunnels: under which handles they are allocated, and where a node names them.

use std::fmt;

use calico_model::Node;

/// A kind of tunnel that a node has an address for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "each is named after its encapsulation and, where it is not IPv4, its family")]
pub enum Tunnel {
    Ipip,
    Vxlan,
    VxlanV6,
    Wireguard,
    WireguardV6,
}

impl Tunnel {
    /// All there are.
    pub const ALL: [Tunnel; 5] = [Tunnel::Ipip, Tunnel::Vxlan, Tunnel::VxlanV6, Tunnel::Wireguard, Tunnel::WireguardV6];

    /// What the handle of such an address begins with; the node's name follows.
    fn handle_prefix(self) -> &'static str {
        match self {
            Tunnel::Ipip => "ipip-tunnel-addr-",
            Tunnel::Vxlan => "vxlan-tunnel-addr-",
            Tunnel::VxlanV6 => "vxlan-v6-tunnel-addr-",
            Tunnel::Wireguard => "wireguard-tunnel-addr-",
            Tunnel::WireguardV6 => "wireguard-v6-tunnel-addr-",
        }
    }

    /// The tunnel that a handle's addresses are for, and the name of its node; `None` for any other handle.
    pub fn of_handle(handle: &str) -> Option<(Tunnel, &str)> {
        Tunnel::ALL.into_iter().find_map(|tunnel| Some((tunnel, handle.strip_prefix(tunnel.handle_prefix())?)))
    }

    /// The address of this tunnel that a node names, as it is stored.
    pub fn address_of(self, node: &Node) -> Option<&str> {
        let field = |object: &str, field: &str| node.spec.get(object)?.get(field)?.as_str();
        let address = match self {
            Tunnel::Ipip => field("bgp", "ipv4IPIPTunnelAddr"),
            Tunnel::Vxlan => node.spec.get("ipv4VXLANTunnelAddr")?.as_str(),
            Tunnel::VxlanV6 => node.spec.get("ipv6VXLANTunnelAddr")?.as_str(),
            Tunnel::Wireguard => field("wireguard", "interfaceIPv4Address"),
            Tunnel::WireguardV6 => field("wireguard", "interfaceIPv6Address"),
        };
        address.filter(|text| !text.is_empty())
    }
}

impl fmt::Display for Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Tunnel::Ipip => "IPIP",
            Tunnel::Vxlan => "VXLAN",
            Tunnel::VxlanV6 => "IPv6 VXLAN",
            Tunnel::Wireguard => "WireGuard",
            Tunnel::WireguardV6 => "IPv6 WireGuard",
        })
    }
}
