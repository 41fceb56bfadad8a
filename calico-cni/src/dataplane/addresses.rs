//! Addresses of a link.

use std::net::{IpAddr, Ipv6Addr};

use ipnetwork::IpNetwork;
use netlink_packet_core::{Emitable, parse_ip};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::address::{AddressAttribute, AddressHeader, AddressMessage};
use nix::libc::{IFA_ADDRESS, IFA_LOCAL, RTM_GETADDR, RTM_NEWADDR};

use super::socket::{NetlinkError, Socket, attributes};

/// Adds an address as /32 or /128: a container shares no subnet with anyone, everything goes through its gateway.
pub fn add(socket: &mut Socket, index: u32, address: IpAddr) -> Result<(), NetlinkError> {
    let mut message = AddressMessage::default();
    message.header.index = index;
    (message.header.family, message.header.prefix_len) = match address {
        IpAddr::V4(_) => (AddressFamily::Inet, 32),
        IpAddr::V6(_) => (AddressFamily::Inet6, 128),
    };
    message.attributes = vec![AddressAttribute::Local(address), AddressAttribute::Address(address)];
    socket.create(RTM_NEWADDR, &message)
}

/// The addresses of one link, of one family, with the lengths of their prefixes. The kernel filters by index; one that
/// cannot sends all, so the answer is filtered again.
pub fn of_link(socket: &mut Socket, index: u32, family: AddressFamily) -> Result<Vec<IpNetwork>, NetlinkError> {
    let mut question = AddressMessage::default();
    question.header.family = family;
    question.header.index = index;
    let mut addresses = Vec::new();
    for answer in socket.list(RTM_GETADDR, &question)? {
        let header = AddressHeader::parse(&answer)?;
        if header.index != index {
            continue;
        }
        let (mut local, mut other) = (None, None);
        for (kind, value) in attributes(&answer, header.buffer_len())? {
            match kind {
                // Of an address with a peer this is the own one, and `IFA_ADDRESS` the peer's.
                IFA_LOCAL => local = Some(parse_ip(value)?),
                IFA_ADDRESS => other = Some(parse_ip(value)?),
                _ => {}
            }
        }
        let address = local.or(other).map(|address| IpNetwork::new(address, header.prefix_len));
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
