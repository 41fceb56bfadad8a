//! Routes: what a container needs to reach its gateway, and the route by which the host reaches the container.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::IpNetwork;
use netlink_packet_core::{Emitable, parse_ip, parse_u32};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::route::{
    RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use nix::errno::Errno;
use nix::libc::{RTA_DST, RTA_GATEWAY, RTA_OIF, RTM_GETROUTE, RTM_NEWROUTE};

use super::links;
use super::socket::{NetlinkError, Socket, attributes};

/// The gateway of every container. No interface has this address: the host end answers ARP for it (proxy ARP).
pub const IPV4_GATEWAY: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);

/// A route that could not be added.
#[derive(Debug, thiserror::Error)]
pub enum RouteError {
    /// The kernel refused the route for another reason than a conflict.
    #[error("failed to add route ({route}): {error}")]
    Add {
        /// The route as it was asked for.
        route: String,
        /// The refusal.
        error: NetlinkError,
    },
    /// The address is routed to another interface: it is in use, or what used it last was not cleaned up.
    #[error("route ({route}) already exists for an interface other than '{interface}': {other}")]
    Conflict {
        /// The route as it was asked for.
        route: String,
        /// The interface it was asked for.
        interface: String,
        /// The route that is in its way, as far as the kernel tells.
        other: String,
    },
}

/// Adds what an IPv4 container needs: a route to the gateway, then every destination through it.
pub fn add_container_ipv4(socket: &mut Socket, index: u32, destinations: &[IpNetwork]) -> Result<(), RouteError> {
    let gateway = IpNetwork::from(IpAddr::V4(IPV4_GATEWAY));
    add(socket, index, gateway, None)?;
    add_through(socket, index, IPV4_GATEWAY.into(), &[gateway], destinations)
}

/// Adds every IPv6 destination through `gateway`, the host end's link-local address, which needs no route of its own:
/// fe80::/64 covers it.
pub fn add_container_ipv6(
    socket: &mut Socket,
    index: u32,
    gateway: Ipv6Addr,
    destinations: &[IpNetwork],
) -> Result<(), RouteError> {
    add_through(socket, index, gateway.into(), &[], destinations)
}

/// `present`: destinations that are routed already. The same destination twice would be refused as existing.
fn add_through(
    socket: &mut Socket,
    index: u32,
    gateway: IpAddr,
    present: &[IpNetwork],
    destinations: &[IpNetwork],
) -> Result<(), RouteError> {
    let key = |destination: &IpNetwork| (destination.network(), destination.prefix());
    let mut routed: Vec<_> = present.iter().map(key).collect();
    for destination in destinations.iter().filter(|destination| destination.is_ipv4() == gateway.is_ipv4()) {
        if !routed.contains(&key(destination)) {
            add(socket, index, *destination, Some(gateway))?;
            routed.push(key(destination));
        }
    }
    Ok(())
}

/// Adds the route by which the host reaches a container's address. The same route of the same interface is as good; one
/// of another interface is an error.
pub fn add_host(socket: &mut Socket, interface: &str, index: u32, address: IpAddr) -> Result<(), RouteError> {
    let destination = IpNetwork::from(address);
    let refusal = match add(socket, index, destination, None) {
        Ok(()) => return Ok(()),
        Err(RouteError::Add { error, .. }) if error.is(Errno::EEXIST) => error,
        Err(error) => return Err(error),
    };
    let failed = |error| RouteError::Add { route: describe(index, destination, RouteScope::Link), error };
    if let Some(own) = look_up(socket, address, Some(index)).map_err(failed)?
        && own.scope == stored_scope(address)
    {
        return Ok(());
    }
    let other = match look_up(socket, address, None).map_err(failed)? {
        Some(found) => {
            let name = links::find_index(socket, found.index)
                .map_err(failed)?
                .map_or_else(|| "unknown".into(), |link| link.name);
            format!("route ({}, Iface: {name})", describe(found.index, destination, found.scope))
        }
        None => {
            format!("{refusal}; no interface holds it: it may be a blackhole route, see `ip route show {destination}`")
        }
    };
    Err(RouteError::Conflict {
        route: describe(index, destination, RouteScope::Link),
        interface: interface.to_owned(),
        other,
    })
}

fn describe(index: u32, destination: IpNetwork, scope: RouteScope) -> String {
    let scope = match scope {
        RouteScope::Link => "link".to_owned(),
        RouteScope::Universe => "universe".to_owned(),
        RouteScope::Host => "host".to_owned(),
        other => u8::from(other).to_string(),
    };
    format!("Ifindex: {index}, Dst: {destination}, Scope: {scope}")
}

/// IPv6 routes have no scope: whatever was asked for, the kernel reports universe.
fn stored_scope(address: IpAddr) -> RouteScope {
    if address.is_ipv4() { RouteScope::Link } else { RouteScope::Universe }
}

fn add(socket: &mut Socket, index: u32, destination: IpNetwork, gateway: Option<IpAddr>) -> Result<(), RouteError> {
    let scope = if gateway.is_some() { RouteScope::Universe } else { RouteScope::Link };
    let mut route = RouteMessage::default();
    route.header = RouteHeader {
        address_family: family(destination.ip()),
        destination_prefix_length: destination.prefix(),
        table: RouteHeader::RT_TABLE_MAIN,
        protocol: RouteProtocol::Boot,
        scope,
        kind: RouteType::Unicast,
        ..RouteHeader::default()
    };
    // The kernel refuses a destination with host bits.
    route.attributes = vec![RouteAttribute::Destination(destination.network().into()), RouteAttribute::Oif(index)];
    route.attributes.extend(gateway.map(|gateway| RouteAttribute::Gateway(gateway.into())));
    socket
        .create(RTM_NEWROUTE, &route)
        .map_err(|error| RouteError::Add { route: describe(index, destination, scope), error })
}

/// Where a packet goes next.
#[derive(Debug, PartialEq, Eq)]
pub struct NextHop {
    /// The router; `None` where the destination is on the link.
    pub gateway: Option<IpAddr>,
    /// The interface.
    pub index: u32,
}

/// Where a packet from one address to another goes, by all tables and rules; `None` where it goes nowhere.
pub fn next_hop(socket: &mut Socket, source: IpAddr, destination: IpAddr) -> Result<Option<NextHop>, NetlinkError> {
    let mut question = RouteMessage::default();
    question.header.address_family = family(destination);
    question.header.destination_prefix_length = IpNetwork::from(destination).prefix();
    question.header.source_prefix_length = IpNetwork::from(source).prefix();
    question.attributes = vec![RouteAttribute::Destination(destination.into()), RouteAttribute::Source(source.into())];
    Ok(found(socket, &question)?.and_then(|found| Some(NextHop { gateway: found.gateway, index: found.index? })))
}

/// Whether the host routes an address to this interface, as [`add_host`] does.
pub fn leads_to(socket: &mut Socket, address: IpAddr, index: u32) -> Result<bool, NetlinkError> {
    Ok(look_up(socket, address, Some(index))?.is_some())
}

struct FoundRoute {
    index: u32,
    scope: RouteScope,
}

/// A route as the kernel describes it.
struct Answer {
    header: RouteHeader,
    destination: Option<IpAddr>,
    gateway: Option<IpAddr>,
    index: Option<u32>,
}

/// Reads one route. `None`: there is none, or one that drops packets; the kernel answers with the error a sender would
/// get.
fn found(socket: &mut Socket, question: &RouteMessage) -> Result<Option<Answer>, NetlinkError> {
    let answer = match socket.get(RTM_GETROUTE, question) {
        Ok(answer) => answer,
        Err(NetlinkError::Refused { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let header = RouteHeader::parse(&answer)?;
    let (mut destination, mut gateway, mut index) = (None, None, None);
    for (kind, value) in attributes(&answer, header.buffer_len())? {
        match kind {
            RTA_DST => destination = Some(parse_ip(value)?),
            RTA_GATEWAY => gateway = Some(parse_ip(value)?),
            RTA_OIF => index = Some(parse_u32(value)?),
            _ => {}
        }
    }
    Ok(Some(Answer { header, destination, gateway, index }))
}

/// The main table's route for exactly this address, of any interface or of the one named.
///
/// Asks for the table entry that a packet to the address would use, so the cost does not depend on the number of
/// routes.
fn look_up(socket: &mut Socket, address: IpAddr, index: Option<u32>) -> Result<Option<FoundRoute>, NetlinkError> {
    let mut question = RouteMessage::default();
    question.header.address_family = family(address);
    question.header.destination_prefix_length = IpNetwork::from(address).prefix();
    question.header.flags = RouteFlags::FibMatch;
    question.attributes.push(RouteAttribute::Destination(address.into()));
    question.attributes.extend(index.map(RouteAttribute::Oif));
    let Some(answer) = found(socket, &question)? else {
        return Ok(None);
    };
    let exact = answer.header.destination_prefix_length == question.header.destination_prefix_length
        && answer.header.table == RouteHeader::RT_TABLE_MAIN
        && answer.destination == Some(address);
    Ok(answer
        .index
        .filter(|found| exact && index.is_none_or(|index| index == *found))
        .map(|index| FoundRoute { index, scope: answer.header.scope }))
}

fn family(address: IpAddr) -> AddressFamily {
    match address {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    }
}
