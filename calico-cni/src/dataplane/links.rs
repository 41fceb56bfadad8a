//! What can be done to any link: find it, set it up or down, set its MAC, remove it.

use netlink_packet_core::{Emitable, parse_i32, parse_string, parse_u32};
use netlink_packet_route::link::{LinkAttribute, LinkExtentMask, LinkFlags, LinkHeader, LinkMessage};
use nix::errno::Errno;
use nix::libc::{RTM_DELLINK, RTM_GETLINK, RTM_SETLINK};

use super::socket::{NetlinkError, Socket, attributes};

// include/uapi/linux/if_link.h
const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_LINK: u16 = 5;
const IFLA_LINKINFO: u16 = 18;
const IFLA_LINK_NETNSID: u16 = 37;
const IFLA_INFO_KIND: u16 = 1;

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
    let answer = match socket.get(RTM_GETLINK, &question) {
        Ok(answer) => answer,
        Err(error) if error.is(Errno::ENODEV) => return Ok(None),
        Err(error) => return Err(error),
    };
    let header = LinkHeader::parse(&answer)?;
    let up = header.flags.contains(LinkFlags::Up);
    let mut found = FoundLink { index: header.index, up, ..FoundLink::default() };
    for (kind, value) in attributes(&answer, header.buffer_len())? {
        match kind {
            IFLA_IFNAME => found.name = parse_string(value)?,
            IFLA_ADDRESS => found.mac = value.to_vec(),
            IFLA_MTU => found.mtu = parse_u32(value)?,
            IFLA_LINK => found.peer = Some(parse_u32(value)?),
            IFLA_LINK_NETNSID => found.peer_namespace = Some(parse_i32(value)?),
            IFLA_LINKINFO => {
                let kind = attributes(value, 0)?.into_iter().find(|(kind, _)| *kind == IFLA_INFO_KIND);
                found.kind = kind.map(|(_, name)| parse_string(name)).transpose()?;
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
    socket.change(RTM_SETLINK, &link)
}

/// Sets the hardware address of a link.
pub fn set_mac(socket: &mut Socket, index: u32, mac: [u8; 6]) -> Result<(), NetlinkError> {
    let mut link = indexed(index);
    link.attributes.push(LinkAttribute::Address(mac.to_vec()));
    socket.change(RTM_SETLINK, &link)
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
    match socket.change(RTM_DELLINK, &link) {
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
