//! Addresses of a link.

use std::net::{IpAddr, Ipv6Addr};

use ipnetwork::IpNetwork;
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::socket::{NetlinkError, Socket};

/// Adds an address as /32 or /128: a container shares no subnet with anyone, everything goes through its gateway.
pub fn add(socket: &mut Socket, index: u32, address: IpAddr) -> Result<(), NetlinkError> {
    let mut message = AddressMessage::default();
    message.header.index = index;
    (message.header.family, message.header.prefix_len) = match address {
        IpAddr::V4(_) => (AddressFamily::Inet, 32),
        IpAddr::V6(_) => (AddressFamily::Inet6, 128),
    };
    message.attributes = vec![AddressAttribute::Local(address), AddressAttribute::Address(address)];
    socket.create(RouteNetlinkMessage::NewAddress(message))
}

/// The addresses of one link, of one family, with the lengths of their prefixes. The kernel filters by index; one that
/// cannot sends all, so the answer is filtered again.
pub fn of_link(socket: &mut Socket, index: u32, family: AddressFamily) -> Result<Vec<IpNetwork>, NetlinkError> {
    let mut question = AddressMessage::default();
    question.header.family = family;
    question.header.index = index;
    let mut addresses = Vec::new();
    for answer in socket.list(RouteNetlinkMessage::GetAddress(question))? {
        let RouteNetlinkMessage::NewAddress(answer) = answer else { continue };
        if answer.header.index != index {
            continue;
        }
        let (mut local, mut other) = (None, None);
        for attribute in answer.attributes {
            match attribute {
                // Of an address with a peer this is the own one, and `Address` the peer's.
                AddressAttribute::Local(address) => local = Some(address),
                AddressAttribute::Address(address) => other = Some(address),
                _ => {}
            }
        }
        let address = local.or(other).map(|address| IpNetwork::new(address, answer.header.prefix_len));
        addresses.extend(address.and_then(Result::ok));
    }
    Ok(addresses)
}

/// The IPv6 addresses of one link.
pub fn ipv6(socket: &mut Socket, index: u32) -> Result<Vec<Ipv6Addr>, NetlinkError> {
    let addresses = of_link(socket, index, AddressFamily::Inet6)?;
    let ipv6 = |address: IpNetwork| match address.ip() {
        IpAddr::V6(address) => Some(address),
        IpAddr::V4(_) => None,
    };
    Ok(addresses.into_iter().filter_map(ipv6).collect())
}
