//! Addresses of a link.

use std::net::{IpAddr, Ipv6Addr};

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

/// The IPv6 addresses of one link. The kernel filters by index; one that cannot sends all, so the answer is filtered
/// again.
pub fn ipv6(socket: &mut Socket, index: u32) -> Result<Vec<Ipv6Addr>, NetlinkError> {
    let mut question = AddressMessage::default();
    question.header.family = AddressFamily::Inet6;
    question.header.index = index;
    let mut addresses = Vec::new();
    for answer in socket.list(RouteNetlinkMessage::GetAddress(question))? {
        let RouteNetlinkMessage::NewAddress(answer) = answer else { continue };
        if answer.header.index != index {
            continue;
        }
        addresses.extend(answer.attributes.into_iter().find_map(|attribute| match attribute {
            AddressAttribute::Address(IpAddr::V6(address)) => Some(address),
            _ => None,
        }));
    }
    Ok(addresses)
}
