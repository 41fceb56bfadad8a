//! What can be done to any link: find it, set it up or down, set its MAC, remove it.

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkAttribute, LinkExtentMask, LinkFlags, LinkInfo, LinkMessage};
use nix::errno::Errno;

use super::socket::{NetlinkError, Socket};

/// A link as the kernel describes it.
#[derive(Debug, Clone, Default)]
pub struct FoundLink {
    /// The interface index, unique in its network namespace.
    pub index: u32,
    /// The interface name.
    pub name: String,
    /// The hardware address; empty for links that have none.
    pub mac: Vec<u8>,
    /// Whether it is set up (`IFF_UP`), which says nothing about its other end.
    pub up: bool,
    /// The MTU in bytes.
    pub mtu: u32,
    /// The kernel's name for the kind ("veth", "dummy"); `None` for physical links and loopback.
    pub kind: Option<String>,
    /// `IFLA_LINK`: of a pair, the index of the other end.
    pub peer: Option<u32>,
    /// `IFLA_LINK_NETNSID`: the number by which this link's namespace knows the one `peer` is in; absent when it is the
    /// same.
    pub peer_namespace: Option<i32>,
}

impl FoundLink {
    /// Whether it is one end of a pair, so that the other end goes with it.
    pub fn is_of_pair(&self) -> bool {
        matches!(self.kind.as_deref(), Some("veth" | "netkit"))
    }
}

/// Reads one link by name.
pub fn find(socket: &mut Socket, name: &str) -> Result<Option<FoundLink>, NetlinkError> {
    read(socket, named(name))
}

/// Reads one link by index.
pub fn find_index(socket: &mut Socket, index: u32) -> Result<Option<FoundLink>, NetlinkError> {
    read(socket, indexed(index))
}

fn read(socket: &mut Socket, mut question: LinkMessage) -> Result<Option<FoundLink>, NetlinkError> {
    // Counters are the larger part of the answer and cost the kernel a sum over all processors.
    question.attributes.push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
    let answer = match socket.get(RouteNetlinkMessage::GetLink(question)) {
        Ok(RouteNetlinkMessage::NewLink(answer)) => answer,
        Ok(other) => return Err(NetlinkError::Unexpected(format!("{other:?} instead of a link"))),
        Err(error) if error.is(Errno::ENODEV) => return Ok(None),
        Err(error) => return Err(error),
    };
    let up = answer.header.flags.contains(LinkFlags::Up);
    let mut found = FoundLink { index: answer.header.index, up, ..FoundLink::default() };
    for attribute in answer.attributes {
        match attribute {
            LinkAttribute::IfName(name) => found.name = name,
            LinkAttribute::Address(mac) => found.mac = mac,
            LinkAttribute::Mtu(mtu) => found.mtu = mtu,
            LinkAttribute::Link(peer) => found.peer = Some(peer),
            LinkAttribute::LinkNetNsId(id) => found.peer_namespace = Some(id),
            LinkAttribute::LinkInfo(infos) => {
                found.kind = infos.into_iter().find_map(|info| match info {
                    LinkInfo::Kind(kind) => Some(kind.to_string()),
                    _ => None,
                });
            }
            _ => {}
        }
    }
    Ok(Some(found))
}

/// Sets a link up or down. Down takes every route through it away.
pub fn set_up(socket: &mut Socket, index: u32, up: bool) -> Result<(), NetlinkError> {
    let mut link = indexed(index);
    link.header.change_mask = LinkFlags::Up;
    link.header.flags = if up { LinkFlags::Up } else { LinkFlags::empty() };
    socket.change(RouteNetlinkMessage::SetLink(link))
}

/// Sets the hardware address of a link.
pub fn set_mac(socket: &mut Socket, index: u32, mac: [u8; 6]) -> Result<(), NetlinkError> {
    let mut link = indexed(index);
    link.attributes.push(LinkAttribute::Address(mac.to_vec()));
    socket.change(RouteNetlinkMessage::SetLink(link))
}

/// Removes a link by name, that of a pair with its other end. `false`: there was none. Blocks until the kernel has let go of it
/// (15–20 ms).
pub fn delete(socket: &mut Socket, name: &str) -> Result<bool, NetlinkError> {
    remove(socket, named(name))
}

/// Removes a link by its index. `false`: there was none.
pub fn delete_index(socket: &mut Socket, index: u32) -> Result<bool, NetlinkError> {
    remove(socket, indexed(index))
}

fn remove(socket: &mut Socket, link: LinkMessage) -> Result<bool, NetlinkError> {
    match socket.change(RouteNetlinkMessage::DelLink(link)) {
        Ok(()) => Ok(true),
        Err(error) if error.is(Errno::ENODEV) => Ok(false),
        Err(error) => Err(error),
    }
}

/// The colon form of a hardware address, in lower case.
pub fn mac_text(mac: &[u8]) -> String {
    mac.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
}

fn named(name: &str) -> LinkMessage {
    let mut link = LinkMessage::default();
    link.attributes.push(LinkAttribute::IfName(name.to_owned()));
    link
}

fn indexed(index: u32) -> LinkMessage {
    let mut link = LinkMessage::default();
    link.header.index = index;
    link
}
