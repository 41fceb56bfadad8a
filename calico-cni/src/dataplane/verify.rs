//! CHECK's part of the dataplane: whether the kernel still has what an ADD made.
//!
//! Plugins that come later in the list may have changed the container's end on purpose, and tell only in part: their MAC
//! address and addresses are in the result, other routes, settings and a smaller MTU are not. So what is missing or
//! broken is a difference, and what was replaced is none; whether packets get on their way is asked of the kernel.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Display;

use ipnetwork::IpNetwork;
use netlink_packet_route::AddressFamily;

use super::links::{FoundLink, mac_text};
use super::routes::{IPV4_GATEWAY, NextHop};
use super::socket::{NetlinkError, Socket};
use super::sysctl::Setting;
use super::worker::{Worker, netlink};
use super::{Error, addresses, routes, sysctl};

/// What a container's network has to be.
#[derive(Debug, Clone, Default)]
pub struct Expected {
    /// The container end's name.
    pub ifname: String,
    /// The host end's name.
    pub host_ifname: String,
    /// The container end's MAC address, if it is known.
    pub mac: Option<Vec<u8>>,
    /// The MTU in bytes that the interface was given, if it is known.
    pub mtu: Option<u32>,
    /// The addresses that the container end must have, with the lengths of their prefixes.
    pub addresses: Vec<IpNetwork>,
    /// Those of them that the host must route to the container.
    pub routed: Vec<IpAddr>,
    /// Destinations that the container must have a way to; of families that [`Expected::routed`] has.
    pub routes: Vec<IpNetwork>,
    /// Whether the container may forward. Where it may not, what the settings are is its own affair.
    pub allow_ip_forwarding: bool,
}

impl Expected {
    fn first(&self, ipv4: bool) -> Option<IpAddr> {
        self.routed.iter().copied().find(|address| address.is_ipv4() == ipv4)
    }

    fn has(&self, ipv4: bool) -> bool {
        self.first(ipv4).is_some()
    }
}

impl Worker {
    /// See [`super::Kernel::verify`].
    pub fn verify(&mut self, expected: &Expected) -> Result<(), Error> {
        let end = self.container_end(expected)?;
        let host_end = self.other_end(expected)?;
        self.verify_link(expected, &end, &host_end)?;
        self.verify_addresses(expected, end.index)?;
        for ipv4 in [true, false] {
            if let Some(source) = expected.first(ipv4) {
                self.verify_container_routes(expected, source, &end, &host_end)?;
            }
        }
        self.verify_host_routes(expected, host_end.index)?;
        self.verify_settings(expected)
    }

    fn container_end(&mut self, expected: &Expected) -> Result<FoundLink, Error> {
        let found = self.container_link(&expected.ifname)?;
        found.ok_or_else(|| Error::Differs(format!("netns {} has no interface {}", self.place(), expected.ifname)))
    }

    fn other_end(&mut self, Expected { ifname, host_ifname, .. }: &Expected) -> Result<FoundLink, Error> {
        match self.host_end(ifname)? {
            Some(found) if found.name == *host_ifname => Ok(found),
            Some(found) => {
                let text = format!(
                    "interface {ifname} in netns {} is connected to {} and not to {host_ifname}",
                    self.place(),
                    found.name
                );
                Err(Error::Differs(text))
            }
            None => {
                let place = self.place();
                Err(Error::Differs(format!("interface {ifname} in netns {place} is not connected to {host_ifname}")))
            }
        }
    }

    fn verify_link(&self, expected: &Expected, end: &FoundLink, host_end: &FoundLink) -> Result<(), Error> {
        let (place, ifname, host_ifname) = (self.place(), &expected.ifname, &expected.host_ifname);
        ensure(end.up, || format!("interface {ifname} in netns {place} is down"))?;
        ensure(host_end.up, || format!("host interface {host_ifname} is down"))?;
        if let Some(mac) = &expected.mac {
            let (found, expected) = (mac_text(&end.mac), mac_text(mac));
            ensure(end.mac == *mac, || {
                format!("interface {ifname} in netns {place} has the MAC address {found}, the result has {expected}")
            })?;
        }
        if let Some(mtu) = expected.mtu {
            let found = host_end.mtu;
            ensure(found == mtu, || format!("host interface {host_ifname} has the MTU {found}, the result has {mtu}"))?;
        }
        // A later plugin may have made it smaller, and that is in no result. Larger, packets are lost.
        let (found, limit) = (end.mtu, host_end.mtu);
        ensure(found <= limit, || {
            format!("interface {ifname} in netns {place} has the MTU {found}, its host end {host_ifname} only {limit}")
        })
    }

    fn verify_addresses(&mut self, expected: &Expected, index: u32) -> Result<(), Error> {
        let mut found = Vec::new();
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let step = "list addresses";
            found.extend(self.ask_container(step, |socket| addresses::of_link(socket, index, family))?);
        }
        match expected.addresses.iter().find(|address| !found.contains(address)) {
            None => Ok(()),
            Some(address) => {
                let place = self.place();
                Err(Error::Differs(format!("interface {} in netns {place} lacks address {address}", expected.ifname)))
            }
        }
    }

    /// Packets must get to each destination, on whatever way. Where that is the one that was programmed, its gateway must
    /// be there.
    fn verify_container_routes(
        &mut self,
        expected: &Expected,
        source: IpAddr,
        end: &FoundLink,
        host_end: &FoundLink,
    ) -> Result<(), Error> {
        for destination in expected.routes.iter().filter(|destination| destination.is_ipv4() == source.is_ipv4()) {
            let next = self.next_hop(source, address_in(destination))?;
            let Some(next) = next else {
                return Err(Error::Differs(format!(
                    "netns {} has no way from {source} to {destination}",
                    self.place()
                )));
            };
            match next.gateway {
                Some(gateway) if next.index == end.index => self.verify_gateway(source, gateway, end, host_end)?,
                // A later plugin's.
                _ => {}
            }
        }
        Ok(())
    }

    fn verify_gateway(
        &mut self,
        source: IpAddr,
        gateway: IpAddr,
        end: &FoundLink,
        host_end: &FoundLink,
    ) -> Result<(), Error> {
        if gateway == IPV4_GATEWAY {
            let direct = NextHop { gateway: None, index: end.index };
            let next = self.next_hop(source, gateway)?;
            return ensure(next == Some(direct), || {
                format!("netns {} has no route to its gateway {gateway} by {}", self.place(), end.name)
            });
        }
        if !matches!(gateway, IpAddr::V6(gateway) if gateway.is_unicast_link_local()) {
            return Ok(());
        }
        let found = addresses::of_link(&mut self.host()?.socket, host_end.index, AddressFamily::Inet6)
            .map_err(|error| netlink(format!("failed to list addresses of {}", host_end.name), error))?;
        ensure(found.iter().any(|found| found.ip() == gateway), || {
            format!(
                "the gateway {gateway} of {} in netns {} is no address of {}",
                end.name,
                self.place(),
                host_end.name
            )
        })
    }

    fn next_hop(&mut self, source: IpAddr, destination: IpAddr) -> Result<Option<NextHop>, Error> {
        let step = format!("look up the way from {source} to {destination}");
        self.ask_container(&step, |socket| routes::next_hop(socket, source, destination))
    }

    fn verify_host_routes(&mut self, expected: &Expected, index: u32) -> Result<(), Error> {
        let host_ifname = &expected.host_ifname;
        for address in &expected.routed {
            let leads = routes::leads_to(&mut self.host()?.socket, *address, index)
                .map_err(|error| netlink(format!("failed to look up the host's route to {address}"), error))?;
            ensure(leads, || format!("the host has no route to {address} by {host_ifname}"))?;
        }
        Ok(())
    }

    fn verify_settings(&mut self, expected: &Expected) -> Result<(), Error> {
        let host_ifname = &expected.host_ifname;
        self.enter_host()?;
        let differs = |place: &str, setting: &Setting| {
            let text = setting.difference().map(|text| format!("{place}: {text}"));
            text.map_or(Ok(()), |text| Err(Error::Differs(text)))
        };
        for setting in sysctl::of_host_end(host_ifname, expected.has(true), expected.has(false)) {
            if setting.lasts() {
                differs("on the host", &setting)?;
            }
        }
        if expected.allow_ip_forwarding {
            self.enter_container()?;
            let place = format!("in netns {}", self.place());
            for ipv4 in [true, false].into_iter().filter(|ipv4| expected.has(*ipv4)) {
                differs(&place, &sysctl::of_forwarding(ipv4, true))?;
            }
        }
        Ok(())
    }

    fn ask_container<T>(
        &mut self,
        step: &str,
        question: impl FnOnce(&mut Socket) -> Result<T, NetlinkError>,
    ) -> Result<T, Error> {
        let answer = question(&mut self.container()?.socket);
        answer.map_err(|error| netlink(format!("failed to {step} in netns {}", self.place()), error))
    }

    fn place(&self) -> Display<'_> {
        self.netns.display()
    }
}

fn ensure(holds: bool, difference: impl FnOnce() -> String) -> Result<(), Error> {
    if holds { Ok(()) } else { Err(Error::Differs(difference())) }
}

/// Some address of a destination, of the default one an address that nobody has (RFC 5737, RFC 3849).
fn address_in(destination: &IpNetwork) -> IpAddr {
    match (destination.prefix(), destination) {
        (0, IpNetwork::V4(_)) => Ipv4Addr::new(192, 0, 2, 1).into(),
        (0, IpNetwork::V6(_)) => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
        _ => destination.network(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testbed::{Bed, HOST_IFNAME, IPV4, IPV6, dual_link, wait};
    use super::super::{Link, default_routes};
    use super::*;

    fn connected() -> (Bed, Expected) {
        let bed = Bed::new();
        let mac = bed.prepare(Link { mtu: Some(1400), ..dual_link() }).unwrap().mac;
        bed.finish(&[IPV4, IPV6]).unwrap();
        let addresses: Vec<IpAddr> = [IPV4, IPV6].iter().map(|address| address.parse().unwrap()).collect();
        let expected = Expected {
            ifname: "eth0".into(),
            host_ifname: HOST_IFNAME.into(),
            mac: Some(bytes(&mac)),
            mtu: Some(1400),
            addresses: addresses.iter().copied().map(IpNetwork::from).collect(),
            routed: addresses,
            routes: default_routes(),
            allow_ip_forwarding: false,
        };
        (bed, expected)
    }

    fn bytes(mac: &str) -> Vec<u8> {
        mac.split(':').map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
    }

    fn verify(bed: &Bed, expected: &Expected) -> Result<(), String> {
        wait(bed.kernel.verify(expected.clone())).map_err(|error| error.to_string())
    }

    /// What is done in the container (`c:`) or on the host (`h:`) to a network that is as it should be, and what is then
    /// found.
    const BREAKAGES: [(&str, &str); 23] = [
        ("c:ip link delete eth0", "has no interface eth0"),
        ("c:ip link set eth0 down", "is down"),
        ("c:ip link set eth0 name eth1", "has no interface eth0"),
        ("h:ip link set caliabcdef01234 down", "host interface caliabcdef01234 is down"),
        ("h:ip link set caliabcdef01234 name cali0", "is connected to cali0 and not to caliabcdef01234"),
        ("c:ip link set eth0 address 02:00:5e:10:00:01", "has the MAC address 02:00:5e:10:00:01, the result has "),
        ("c:ip link set eth0 mtu 1401", "has the MTU 1401, its host end caliabcdef01234 only 1400"),
        ("h:ip link set caliabcdef01234 mtu 1500", "caliabcdef01234 has the MTU 1500, the result has 1400"),
        ("c:ip address delete 192.168.84.128/32 dev eth0", "lacks address 192.168.84.128/32"),
        ("c:ip -6 address flush dev eth0 scope global", "lacks address fd80:24e2:f998:72d6:94fa:7820:5b81:7500/128"),
        ("c:ip route delete default", "has no way from 192.168.84.128 to 0.0.0.0/0"),
        ("c:ip route add unreachable 192.0.2.0/24", "has no way from 192.168.84.128 to 0.0.0.0/0"),
        ("c:ip route replace default via 169.254.1.1 dev eth0 table 77;ip route delete default", "has no way from"),
        ("c:ip route delete 169.254.1.1", "has no route to its gateway 169.254.1.1 by eth0"),
        ("c:ip -6 route delete default", "has no way from fd80:24e2:f998:72d6:94fa:7820:5b81:7500 to ::/0"),
        ("c:ip -6 route replace default via fe80::1 dev eth0", "the gateway fe80::1 of eth0"),
        ("h:ip -6 address flush dev caliabcdef01234", "is no address of caliabcdef01234"),
        ("h:ip route delete 192.168.84.128", "the host has no route to 192.168.84.128 by caliabcdef01234"),
        ("h:ip -6 route delete fd80:24e2:f998:72d6:94fa:7820:5b81:7500", "the host has no route to fd80:"),
        ("h:busybox sysctl -w net.ipv4.conf.caliabcdef01234.proxy_arp=0", "proxy_arp is 0 and not 1"),
        ("h:busybox sysctl -w net.ipv4.conf.caliabcdef01234.forwarding=0", "forwarding is 0 and not 1"),
        ("h:busybox sysctl -w net.ipv6.conf.caliabcdef01234.proxy_ndp=0", "proxy_ndp is 0 and not 1"),
        ("c:busybox sysctl -w net.ipv6.conf.all.disable_ipv6=1", "lacks address fd80:"),
    ];

    #[test]
    fn each_difference_is_named() {
        for (breakage, words) in BREAKAGES {
            let (bed, expected) = connected();
            assert_eq!(verify(&bed, &expected), Ok(()));
            let (place, command) = breakage.split_once(':').unwrap();
            let place = if place == "c" { &bed.container } else { &bed.host };
            for command in command.split(';') {
                place.lines(command);
            }
            let difference = verify(&bed, &expected).expect_err(breakage);
            assert!(difference.contains(words), "{breakage}: {difference}");
        }
    }

    /// What later plugins do on purpose.
    #[test]
    fn what_a_later_plugin_changed_is_none() {
        for change in [
            "ip link set eth0 mtu 1280",
            "ip link set eth0 txqueuelen 500",
            "ip link set eth0 promisc on",
            "ip address add 10.9.0.1/24 dev eth0",
            "ip route add 10.10.0.0/16 via 169.254.1.1 dev eth0",
            "ip -6 route add 2001:db8:77::/64 via fe80::1234 dev eth0",
            "ip route add 0.0.0.0/1 via 169.254.1.1 dev eth0;ip route add 128.0.0.0/1 via 169.254.1.1 dev eth0;ip route delete default",
            // Routes of the source.
            "ip rule add from 192.168.84.128 lookup 100;ip route add 169.254.1.1 dev eth0 table 100;\
             ip route add default via 169.254.1.1 dev eth0 table 100;ip route delete default",
            "busybox sysctl -w net.ipv6.conf.default.disable_ipv6=1",
            "busybox sysctl -w net.ipv6.conf.lo.disable_ipv6=1",
            "busybox sysctl -w net.ipv4.ip_forward=1",
            "busybox sysctl -w net.ipv6.conf.all.forwarding=1",
            "busybox sysctl -w net.ipv4.conf.eth0.arp_notify=1",
        ] {
            let (bed, expected) = connected();
            for command in change.split(';') {
                bed.container.lines(command.trim());
            }
            assert_eq!(verify(&bed, &expected), Ok(()), "{change}");
        }
        let (bed, expected) = connected();
        bed.container.lines("ip link add net1 type veth peer name far");
        for command in [
            "ip link set net1 up",
            "ip link set far up",
            "ip address add 10.9.0.1/24 dev net1",
            "ip route replace default via 10.9.0.2 dev net1",
        ] {
            bed.container.lines(command);
        }
        assert_eq!(verify(&bed, &expected), Ok(()), "another interface has the default route");
        bed.container.lines("ip link set eth0 address 02:00:5e:10:00:01");
        let of_result = Some(bytes("02:00:5e:10:00:01"));
        assert_eq!(verify(&bed, &Expected { mac: of_result, ..expected }), Ok(()), "the result tells it");
    }

    #[test]
    fn one_family_says_nothing_of_the_other() {
        let bed = Bed::new();
        bed.prepare(Link { ipv4: false, ..dual_link() }).unwrap();
        bed.finish(&[IPV6]).unwrap();
        let addresses: Vec<IpAddr> = vec![IPV6.parse().unwrap()];
        let expected = Expected {
            ifname: "eth0".into(),
            host_ifname: HOST_IFNAME.into(),
            addresses: addresses.iter().copied().map(IpNetwork::from).collect(),
            routed: addresses,
            routes: default_routes(),
            ..Expected::default()
        };
        assert_eq!(verify(&bed, &expected), Ok(()));
    }

    #[test]
    fn forwarding_is_verified_where_it_is_asked_for() {
        let (bed, expected) = connected();
        let expected = Expected { allow_ip_forwarding: true, ..expected };
        assert!(verify(&bed, &expected).unwrap_err().contains("net/ipv4/ip_forward is 0 and not 1"));
        bed.container.lines("busybox sysctl -w net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1");
        assert_eq!(verify(&bed, &expected), Ok(()));
    }

    #[test]
    fn a_namespace_that_is_gone_is_an_error() {
        let (bed, expected) = connected();
        let elsewhere = super::super::testbed::start(&bed.host, std::path::Path::new("/proc/self/no/such/netns"));
        let error = wait(elsewhere.verify(expected)).unwrap_err().to_string();
        assert!(error.contains("there is no such namespace"), "{error}");
    }
}
