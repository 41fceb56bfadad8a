//! The netkit pair between host and container, for kernels from 6.7 on. Its ends are not alike: the primary one, to which the
//! node agent attaches its programs, is the host's.

use std::os::fd::{AsRawFd, RawFd};

use netlink_packet_route::link::{
    InfoData, InfoKind, InfoNetkit, LinkAttribute, LinkInfo, LinkMessage, NetkitMode, NetkitPolicy, NetkitScrub,
};
use nix::libc::RTM_NEWLINK;

use super::Link;
use super::namespace::Namespace;
use super::socket::{NetlinkError, Socket};
use super::veth;

/// Makes the pair, each end in its final namespace. `host` is a socket of the host's namespace.
///
/// `EOPNOTSUPP` means that the kernel has no netkit. Hardware addresses are set afterwards: the first kernels that have
/// it refuse them here, with the same number.
pub fn create(host: &mut Socket, container: &Namespace, link: &Link) -> Result<(), NetlinkError> {
    host.create(RTM_NEWLINK, &pair(container.as_raw_fd(), link))
}

fn pair(container: RawFd, link: &Link) -> LinkMessage {
    // It does not inherit the host end's MTU.
    let mut peer = veth::end(&link.ifname, link);
    peer.attributes.push(LinkAttribute::NetNsFd(container));
    let mut pair = veth::end(&link.host_ifname, link);
    pair.attributes.push(LinkAttribute::LinkInfo(vec![
        LinkInfo::Kind(InfoKind::Netkit),
        LinkInfo::Data(InfoData::Netkit(vec![
            InfoNetkit::Mode(NetkitMode::L2),
            InfoNetkit::Policy(NetkitPolicy::Forward),
            InfoNetkit::PeerPolicy(NetkitPolicy::Forward),
            InfoNetkit::Scrub(NetkitScrub::None),
            InfoNetkit::PeerScrub(NetkitScrub::None),
            InfoNetkit::Peer(peer),
        ])),
    ]));
    pair
}

#[cfg(test)]
mod tests {
    use super::*;
    use netlink_packet_core::Emitable;

    // include/uapi/linux/if_link.h
    const IFLA_MTU: u16 = 4;
    const IFLA_IFNAME: u16 = 3;
    const IFLA_LINKINFO: u16 = 18;
    const IFLA_NET_NS_FD: u16 = 28;
    const IFLA_NUM_TX_QUEUES: u16 = 31;
    const IFLA_NUM_RX_QUEUES: u16 = 32;
    const IFLA_INFO_KIND: u16 = 1;
    const IFLA_INFO_DATA: u16 = 2;
    const IFLA_NETKIT_PEER_INFO: u16 = 1;
    const IFLA_NETKIT_POLICY: u16 = 3;
    const IFLA_NETKIT_PEER_POLICY: u16 = 4;
    const IFLA_NETKIT_MODE: u16 = 5;
    const IFLA_NETKIT_SCRUB: u16 = 6;
    const IFLA_NETKIT_PEER_SCRUB: u16 = 7;
    const NETKIT_L2: u32 = 0;
    const NETKIT_PASS: u32 = 0;
    const NETKIT_SCRUB_NONE: u32 = 0;
    const NLA_F_NESTED: u16 = 1 << 15;

    /// An attribute as the kernel reads it: its length, its kind, its value, and nothing up to a multiple of four.
    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let length = u16::try_from(value.len() + 4).unwrap();
        let mut bytes = [&length.to_ne_bytes(), &kind.to_ne_bytes(), value].concat();
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn number(kind: u16, value: u32) -> Vec<u8> {
        attribute(kind, &value.to_ne_bytes())
    }

    /// `struct ifinfomsg`, all of it zero.
    const HEADER: [u8; 16] = [0; 16];

    #[test]
    fn the_message_is_what_the_kernel_wants() {
        let link = Link {
            ifname: "eth0".to_owned(),
            host_ifname: "calic1".to_owned(),
            mtu: Some(1400),
            queues: 2,
            mac: Some([2; 6]),
            ..Link::default()
        };
        let message = pair(7, &link);
        let mut bytes = vec![0; message.buffer_len()];
        message.emit(&mut bytes);

        let settings =
            || [number(IFLA_MTU, 1400), number(IFLA_NUM_TX_QUEUES, 2), number(IFLA_NUM_RX_QUEUES, 2)].concat();
        let peer = [&HEADER[..], &attribute(IFLA_IFNAME, b"eth0\0"), &settings(), &number(IFLA_NET_NS_FD, 7)].concat();
        let data = [
            number(IFLA_NETKIT_MODE, NETKIT_L2),
            number(IFLA_NETKIT_POLICY, NETKIT_PASS),
            number(IFLA_NETKIT_PEER_POLICY, NETKIT_PASS),
            number(IFLA_NETKIT_SCRUB, NETKIT_SCRUB_NONE),
            number(IFLA_NETKIT_PEER_SCRUB, NETKIT_SCRUB_NONE),
            attribute(IFLA_NETKIT_PEER_INFO, &peer),
        ]
        .concat();
        let info = [attribute(IFLA_INFO_KIND, b"netkit\0"), attribute(IFLA_INFO_DATA, &data)].concat();
        let expected =
            [&HEADER[..], &attribute(IFLA_IFNAME, b"calic1\0"), &settings(), &attribute(IFLA_LINKINFO, &info)].concat();
        // Whether a nested attribute says that it is one makes no difference to the kernel here.
        assert_eq!(without_nested_flag(&bytes), expected);
    }

    fn without_nested_flag(bytes: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        for kind in [IFLA_LINKINFO, IFLA_INFO_DATA, IFLA_NETKIT_PEER_INFO] {
            let flagged = (kind | NLA_F_NESTED).to_ne_bytes();
            for at in (2..bytes.len() - 1).step_by(4) {
                if bytes[at..at + 2] == flagged {
                    bytes[at..at + 2].copy_from_slice(&kind.to_ne_bytes());
                }
            }
        }
        bytes
    }
}
