//! The veth pair between host and container: making it, and finding its host end from the container's.

use std::os::fd::{AsRawFd, RawFd};

use netlink_packet_core::{Emitable, parse_i32};
use netlink_packet_route::link::{InfoData, InfoKind, InfoVeth, LinkAttribute, LinkInfo, LinkMessage};
use netlink_packet_route::nsid::{NsidAttribute, NsidMessage};
use nix::libc::{RTM_GETNSID, RTM_NEWLINK};

use super::Link;
use super::links::{self, FoundLink};
use super::namespace::Namespace;
use super::socket::{NetlinkError, Socket, attributes};

/// `NETNSA_NSID` of `linux/net_namespace.h`.
const NAMESPACE_ID: u16 = 1;

/// The MAC address of every host end. All containers share it, so a container's neighbour entry for its gateway stays
/// true when it moves to another host.
pub const HOST_MAC: [u8; 6] = [0xee; 6];

/// Makes the pair, each end in its final namespace: moving a link afterwards would cost the kernel a grace period.
///
/// `container` is a socket of the container's namespace. `EEXIST` does not say which of the two names is taken.
pub fn create(container: &mut Socket, host: &Namespace, link: &Link) -> Result<(), NetlinkError> {
    let mut host_end = end(&link.host_ifname, link);
    host_end.attributes.push(LinkAttribute::Address(HOST_MAC.to_vec()));
    host_end.attributes.push(LinkAttribute::NetNsFd(host.as_raw_fd()));
    let mut pair = end(&link.ifname, link);
    if let Some(mac) = link.mac {
        pair.attributes.push(LinkAttribute::Address(mac.to_vec()));
    }
    pair.attributes.push(LinkAttribute::LinkInfo(vec![
        LinkInfo::Kind(InfoKind::Veth),
        LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(host_end))),
    ]));
    container.create(RTM_NEWLINK, &pair)
}

/// What both ends have, of a veth or a netkit pair.
pub fn end(name: &str, link: &Link) -> LinkMessage {
    let mut end = LinkMessage::default();
    end.attributes.push(LinkAttribute::IfName(name.to_owned()));
    // The kernel takes 0 for a real MTU and refuses it; absent means its default.
    if let Some(mtu) = link.mtu.filter(|mtu| *mtu > 0) {
        end.attributes.push(LinkAttribute::Mtu(mtu));
    }
    if link.queues > 0 {
        end.attributes.push(LinkAttribute::NumTxQueues(link.queues));
        end.attributes.push(LinkAttribute::NumRxQueues(link.queues));
    }
    end
}

/// The host end of a container's veth or netkit pair; `None` when the link is neither, or its other end is not in the
/// host's namespace.
///
/// Indexes are unique only in their namespace, and most containers use the same few. So it is not enough that a host
/// link has the index the container's end names: the namespace that index belongs to must be the host's, and the host
/// link must point back.
pub fn host_end(
    container: &mut Socket,
    host: &mut Socket,
    host_namespace: &Namespace,
    end: &FoundLink,
) -> Result<Option<FoundLink>, NetlinkError> {
    let (true, Some(peer), Some(_)) = (end.is_of_pair(), end.peer, end.peer_namespace) else {
        return Ok(None);
    };
    if namespace_id(container, host_namespace.as_raw_fd())? != end.peer_namespace {
        return Ok(None);
    }
    let found = links::find_index(host, peer)?;
    Ok(found.filter(|found| found.kind == end.kind && found.peer == Some(end.index)))
}

/// The number by which the socket's namespace knows another one; `None` when it has no number for it.
fn namespace_id(socket: &mut Socket, namespace: RawFd) -> Result<Option<i32>, NetlinkError> {
    let mut question = NsidMessage::default();
    question.attributes.push(NsidAttribute::Fd(namespace as u32));
    let answer = socket.get(RTM_GETNSID, &question)?;
    let id = attributes(&answer, question.header.buffer_len())?.into_iter().find(|(kind, _)| *kind == NAMESPACE_ID);
    let id = id.map(|(_, value)| parse_i32(value)).transpose()?;
    Ok(id.filter(|id| *id >= 0))
}
