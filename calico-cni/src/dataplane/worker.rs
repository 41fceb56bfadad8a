//! The jobs of the kernel thread, in the order their steps must have.

use std::net::{IpAddr, Ipv6Addr};
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::links::{self, FoundLink};
use super::namespace::Namespace;
use super::socket::{NetlinkError, Socket};
use super::sysctl::{Setting, SysctlError};
use super::veth::{self, HOST_MAC};
use super::{Addressing, Error, HostEnd, IsLeft, Link, Prepared, addresses, netkit, routes, sysctl};

/// How often and how long the host end's MAC address is set again when something on the host resets it.
const MAC_RETRY: Duration = Duration::from_millis(100);
const MAC_PATIENCE: Duration = Duration::from_secs(5);
/// How often, at first and at last, and how long the host end's link-local address is waited for, and the pause that
/// lets a changed MAC address settle. It comes in less than a millisecond, except that the kernel lets a second pass
/// between two carrier changes of a link that has its peer's index by chance, as in two new namespaces; and more where
/// hundreds of links come and go.
const LINK_LOCAL_POLL: [Duration; 2] = [Duration::from_millis(1), Duration::from_millis(50)];
const LINK_LOCAL_PATIENCE: Duration = Duration::from_secs(10);
const MAC_SETTLES: Duration = Duration::from_millis(50);
/// The link-local address that [`HOST_MAC`] gives (EUI-64).
const HOST_LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0xecee, 0xeeff, 0xfeee, 0xeeee);

/// What the kernel thread holds between jobs. It opens each namespace when first needed.
pub struct Worker {
    pub(super) netns: PathBuf,
    host: Option<Side>,
    container: Option<Side>,
    in_container: bool,
    /// The container end this thread created: what `undo` may remove.
    made: Option<String>,
    /// The index of its host end, once that was looked up.
    made_host_end: Option<u32>,
    prepared: Option<Pair>,
}

pub(super) struct Side {
    namespace: Namespace,
    pub(super) socket: Socket,
}

#[derive(Clone)]
struct Pair {
    ifname: String,
    index: u32,
    host_ifname: String,
    host_index: u32,
    ipv4: bool,
    /// The host end's link-local address, when the pair was prepared for IPv6.
    ipv6_gateway: Option<Ipv6Addr>,
}

impl Worker {
    /// A worker for the container at `netns`, in the calling thread.
    pub fn new(netns: PathBuf) -> Worker {
        Worker {
            netns,
            host: None,
            container: None,
            in_container: false,
            made: None,
            made_host_end: None,
            prepared: None,
        }
    }

    /// See [`super::Kernel::host_link`].
    pub fn host_link(&mut self, name: &str) -> Result<Option<FoundLink>, Error> {
        links::find(&mut self.host()?.socket, name)
            .map_err(|error| netlink(format!("failed to look up host interface {name}"), error))
    }

    /// See [`super::Kernel::prepare`].
    pub fn prepare(&mut self, link: &Link, is_left: IsLeft<'_>) -> Result<Prepared, Error> {
        let mut warnings = Vec::new();
        match self.create(link) {
            // Once it is made, the kernel has it.
            Err(Error::Netlink { error, .. }) if link.netkit && self.made.is_none() && error.is(Errno::EOPNOTSUPP) => {
                warnings.push(format!("this kernel has no netkit ({error}): {} becomes a veth", link.ifname));
                self.create(&Link { netkit: false, ..link.clone() })?;
            }
            created => created?,
        }
        let (host_index, has_host_mac) = self.settle_host_mac(&link.host_ifname, &mut warnings)?;
        self.made_host_end = Some(host_index);

        if link.ipv6 {
            self.set_in_container(&[sysctl::of_duplicate_detection(&link.ifname)])?;
        }
        self.enter_host()?;
        let written = sysctl::write(&sysctl::of_host_end(&link.host_ifname, link.ipv4, link.ipv6));
        warnings.extend(
            written.map_err(|error| Error::Sysctl { scope: format!("interface: {}", link.host_ifname), error })?,
        );

        self.set_host_up(&link.host_ifname, host_index, true)?;
        let end = self.container_link(&link.ifname)?.ok_or_else(|| Error::Vanished(link.ifname.clone()))?;
        links::set_up(&mut self.container()?.socket, end.index, true).map_err(|error| {
            netlink(format!("failed to set {} up in netns {}", link.ifname, self.netns.display()), error)
        })?;

        let ipv6_gateway = if link.ipv6 {
            self.set_in_container(&sysctl::of_ipv6())?;
            Some(self.await_link_local(&link.host_ifname, host_index, has_host_mac, is_left)?)
        } else {
            None
        };
        self.prepared = Some(Pair {
            ifname: link.ifname.clone(),
            index: end.index,
            host_ifname: link.host_ifname.clone(),
            host_index,
            ipv4: link.ipv4,
            ipv6_gateway,
        });
        Ok(Prepared { mac: links::mac_text(&end.mac), warnings })
    }

    /// See [`super::Kernel::finish`].
    pub fn finish(&mut self, addressing: &Addressing) -> Result<(), Error> {
        let pair = self.prepared.clone().ok_or(Error::NotPrepared)?;
        let prepared = |address: &IpAddr| if address.is_ipv4() { pair.ipv4 } else { pair.ipv6_gateway.is_some() };
        if let Some(address) = addressing.addresses.iter().find(|address| !prepared(address)) {
            return Err(Error::Unprepared(*address));
        }
        let ipv4 = addressing.addresses.iter().any(IpAddr::is_ipv4);
        let ipv6_gateway = pair.ipv6_gateway.filter(|_| addressing.addresses.iter().any(IpAddr::is_ipv6));

        // Routes before addresses: a /32 alone would make the gateway unreachable, and the route to it must not depend
        // on an address.
        let container = &mut self.container()?.socket;
        let mut routed = Ok(());
        if ipv4 {
            routed = routes::add_container_ipv4(container, pair.index, &addressing.routes);
        }
        if let Some(gateway) = ipv6_gateway {
            routed =
                routed.and_then(|()| routes::add_container_ipv6(container, pair.index, gateway, &addressing.routes));
        }
        routed.map_err(|error| Error::ContainerRoute {
            ifname: pair.ifname.clone(),
            netns: self.netns.clone(),
            error,
        })?;

        for address in &addressing.addresses {
            addresses::add(&mut self.container()?.socket, pair.index, *address).map_err(|error| {
                netlink(format!("failed to add {address} to {} in netns {}", pair.ifname, self.netns.display()), error)
            })?;
        }

        if ipv4 {
            self.set_in_container(&[sysctl::of_forwarding(true, addressing.allow_ip_forwarding)])?;
        }
        if ipv6_gateway.is_some() {
            self.set_in_container(&[sysctl::of_forwarding(false, addressing.allow_ip_forwarding)])?;
        }

        if addressing.host_routes {
            for address in &addressing.addresses {
                routes::add_host(&mut self.host()?.socket, &pair.host_ifname, pair.host_index, *address)
                    .map_err(|error| Error::HostRoute { interface: pair.host_ifname.clone(), error })?;
            }
        }
        // This thread keeps the namespace, and so far the interface, alive: when it ends, both are gone.
        let netns = self.netns.clone();
        if !self.container()?.namespace.is_at(&netns) {
            return Err(Error::NoNetns { path: netns });
        }
        Ok(())
    }

    /// See [`super::Kernel::undo`].
    pub fn undo(&mut self) -> Result<(), Error> {
        let made = self.made.take();
        let index = self.prepared.take().map(|pair| pair.index);
        // The host end has its index as long as it lives, wherever the other end was moved and whatever the two are called
        // by now.
        if let Some(host_index) = self.made_host_end.take() {
            let deleted = links::delete_index(&mut self.host()?.socket, host_index);
            let attempt = || format!("failed to remove the host interface with index {host_index}");
            if deleted.map_err(|error| netlink(attempt(), error))? {
                return Ok(());
            }
        }
        // Or it is the host end that was moved.
        let Some(ifname) = made else { return Ok(()) };
        if self.container_is_gone()? {
            return Ok(());
        }
        let found = self.container_link(&ifname)?;
        // Another call may have replaced the pair with its own since.
        if found.is_some_and(|found| index.is_none_or(|index| index == found.index)) {
            self.delete(&ifname)?;
        }
        Ok(())
    }

    /// See [`super::Kernel::host_end`].
    pub fn host_end(&mut self, ifname: &str) -> Result<Option<FoundLink>, Error> {
        if self.container_is_gone()? {
            return Ok(None);
        }
        let Some(end) = self.container_link(ifname)? else { return Ok(None) };
        self.host()?;
        let (Some(host), Some(container)) = (&mut self.host, &mut self.container) else { return Ok(None) };
        veth::host_end(&mut container.socket, &mut host.socket, &host.namespace, &end).map_err(|error| {
            netlink(format!("failed to find the host end of {ifname} in netns {}", self.netns.display()), error)
        })
    }

    /// See [`super::Kernel::take_down`].
    pub fn take_down(&mut self, ifname: &str, own_host_end: &str) -> Result<HostEnd, Error> {
        let Some(found) = self.host_end(ifname)? else { return Ok(HostEnd::None) };
        if found.name != own_host_end && found.name.starts_with("cali") {
            return Ok(HostEnd::OfAnother(found.name));
        }
        match links::set_up(&mut self.host()?.socket, found.index, false) {
            Ok(()) => Ok(HostEnd::Down(found.name)),
            Err(error) if error.is(Errno::ENODEV) => Ok(HostEnd::None),
            Err(error) => Err(netlink(format!("failed to set host interface {} down", found.name), error)),
        }
    }

    /// See [`super::Kernel::delete_host_link`].
    pub fn delete_host_link(&mut self, name: &str) -> Result<bool, Error> {
        links::delete(&mut self.host()?.socket, name)
            .map_err(|error| netlink(format!("failed to delete old hostVeth {name}"), error))
    }

    /// See [`super::Kernel::delete`].
    pub fn delete(&mut self, ifname: &str) -> Result<bool, Error> {
        if self.container_is_gone()? {
            return Ok(false);
        }
        links::delete(&mut self.container()?.socket, ifname).map_err(|error| {
            netlink(
                format!(
                    "failed to clean up workload's pod interface inside netns: deleting {ifname} in {}",
                    self.netns.display()
                ),
                error,
            )
        })
    }

    /// Creates the pair. The kernel says only that one of two names is taken, so which one is looked up when that
    /// happens, not before.
    fn create(&mut self, link: &Link) -> Result<(), Error> {
        let Err(error) = self.try_create(link)? else { return Ok(()) };
        if !error.is(Errno::EEXIST) {
            return Err(self.creation_failed(link, error));
        }
        let in_the_way = self.host_link(&link.host_ifname)?;
        // The old host end goes first: when it is the peer of a container end of this name, from an earlier ADD, that
        // one goes with it.
        if in_the_way.is_some() && link.replace_host_link {
            self.delete_host_link(&link.host_ifname)?;
            match self.try_create(link)? {
                Ok(()) => return Ok(()),
                Err(error) if !error.is(Errno::EEXIST) => return Err(self.creation_failed(link, error)),
                Err(_) => {}
            }
        }
        if let Some(holder) = self.container_link(&link.ifname)? {
            return Err(Error::NameTaken {
                ifname: link.ifname.clone(),
                netns: self.netns.clone(),
                holder: holder_text(&holder),
            });
        }
        match in_the_way {
            Some(holder) => Err(Error::HostLinkExists { name: link.host_ifname.clone(), holder: holder_text(&holder) }),
            None => Err(self.creation_failed(link, error)),
        }
    }

    fn creation_failed(&self, link: &Link, error: NetlinkError) -> Error {
        let netns = self.netns.display();
        let mtu = link.mtu.map(|mtu| format!(", mtu {mtu}")).unwrap_or_default();
        let settings = format!("num_queues {}{mtu}", link.queues);
        let ends = format!("{} in netns {netns} with host end {}", link.ifname, link.host_ifname);
        netlink(format!("failed to create {ends} ({settings})"), error)
    }

    /// The inner result is the kernel's answer.
    fn try_create(&mut self, link: &Link) -> Result<Result<(), NetlinkError>, Error> {
        self.host()?;
        self.container()?;
        let (Some(host), Some(container)) = (&mut self.host, &mut self.container) else {
            return Err(Error::NoNetns { path: self.netns.clone() });
        };
        let created = match link.netkit {
            true => netkit::create(&mut host.socket, &container.namespace, link),
            false => veth::create(&mut container.socket, &host.namespace, link),
        };
        if created.is_ok() {
            self.made = Some(link.ifname.clone());
        }
        if let (Ok(()), true, Some(mac)) = (&created, link.netkit, link.mac) {
            self.set_container_mac(&link.ifname, mac)?;
        }
        Ok(created)
    }

    fn set_container_mac(&mut self, ifname: &str, mac: [u8; 6]) -> Result<(), Error> {
        let end = self.container_link(ifname)?.ok_or_else(|| Error::Vanished(ifname.to_owned()))?;
        links::set_mac(&mut self.container()?.socket, end.index, mac).map_err(|error| {
            netlink(format!("failed to set the MAC address of {ifname} in netns {}", self.netns.display()), error)
        })
    }

    /// Makes sure the host end kept the MAC address it was created with: some device managers give every new interface
    /// another one, after the fact.
    ///
    /// Returns the host end's index, and whether it has the address: a kernel that refuses to set it is worth a warning
    /// only.
    fn settle_host_mac(&mut self, name: &str, warnings: &mut Vec<String>) -> Result<(u32, bool), Error> {
        let deadline = Instant::now() + MAC_PATIENCE;
        loop {
            let found = self.host_link(name)?.ok_or_else(|| Error::Vanished(name.to_owned()))?;
            if found.mac == HOST_MAC {
                return Ok((found.index, true));
            }
            if Instant::now() >= deadline {
                return Err(Error::HostMac { interface: name.to_owned(), seen: links::mac_text(&found.mac) });
            }
            if let Err(error) = links::set_mac(&mut self.host()?.socket, found.index, HOST_MAC) {
                warnings.push(format!(
                    "failed to set the MAC address of {name} to {}, it keeps its own: {error}",
                    links::mac_text(&HOST_MAC)
                ));
                return Ok((found.index, false));
            }
            if self.host_link(name)?.is_some_and(|link| link.mac == HOST_MAC) {
                return Ok((found.index, true));
            }
            sleep(MAC_RETRY);
        }
    }

    /// Waits for the host end's link-local address, which the kernel adds a moment after both ends are up. When the
    /// address comes from another MAC address, the link is set down and up again with the right one.
    fn await_link_local(
        &mut self,
        name: &str,
        index: u32,
        has_host_mac: bool,
        is_left: IsLeft<'_>,
    ) -> Result<Ipv6Addr, Error> {
        let deadline = Instant::now() + LINK_LOCAL_PATIENCE;
        let [mut pause, longest] = LINK_LOCAL_POLL;
        loop {
            let seen = match addresses::ipv6(&mut self.host()?.socket, index) {
                Ok(seen) => seen,
                Err(NetlinkError::Interrupted) => Vec::new(),
                Err(error) => {
                    return Err(netlink(
                        format!("failed to get IPv6 addresses for host side of the pod interface {name}"),
                        error,
                    ));
                }
            };
            // Setting the link down and up again takes a pause, and as much again until it shows.
            let needed = if seen.is_empty() { pause } else { 2 * MAC_SETTLES };
            match seen.first() {
                Some(first) if !has_host_mac => return Ok(*first),
                Some(_) if seen.contains(&HOST_LINK_LOCAL) => return Ok(HOST_LINK_LOCAL),
                _ if is_left() || Instant::now() + needed >= deadline => {
                    return Err(Error::LinkLocal { interface: name.to_owned(), seen, expected: HOST_LINK_LOCAL });
                }
                Some(_) => {
                    self.set_host_up(name, index, false)?;
                    links::set_mac(&mut self.host()?.socket, index, HOST_MAC)
                        .map_err(|error| netlink(format!("failed to set the MAC address of {name}"), error))?;
                    sleep(MAC_SETTLES);
                    self.set_host_up(name, index, true)?;
                }
                None => {
                    sleep(pause);
                    pause = (pause * 2).min(longest);
                }
            }
        }
    }

    fn set_host_up(&mut self, name: &str, index: u32, up: bool) -> Result<(), Error> {
        links::set_up(&mut self.host()?.socket, index, up).map_err(|error| {
            netlink(format!("failed to set host interface {name} {}", if up { "up" } else { "down" }), error)
        })
    }

    pub(super) fn container_link(&mut self, ifname: &str) -> Result<Option<FoundLink>, Error> {
        links::find(&mut self.container()?.socket, ifname)
            .map_err(|error| netlink(format!("failed to look up {ifname} in netns {}", self.netns.display()), error))
    }

    fn set_in_container(&mut self, settings: &[Setting]) -> Result<(), Error> {
        self.enter_container()?;
        sysctl::write(settings).map(drop).map_err(|error| self.container_sysctl(error))
    }

    pub(super) fn container_sysctl(&self, error: SysctlError) -> Error {
        Error::Sysctl { scope: format!("the container netns {}", self.netns.display()), error }
    }

    fn container_is_gone(&mut self) -> Result<bool, Error> {
        match self.container() {
            Ok(_) => Ok(false),
            Err(Error::NoNetns { .. }) => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// The host's side. Opened before the container's: the thread starts in the host's namespace.
    pub(super) fn host(&mut self) -> Result<&mut Side, Error> {
        if self.host.is_none() {
            let namespace = Namespace::current().map_err(Error::HostNetns)?;
            let socket =
                Socket::open().map_err(|error| netlink("failed to open a socket in the host's netns".into(), error))?;
            self.host = Some(Side { namespace, socket });
        }
        Ok(self.host.as_mut().expect("just set"))
    }

    /// The container's side. A socket stays in the namespace it was opened in, so only settings need the thread itself
    /// to change sides.
    pub(super) fn container(&mut self) -> Result<&mut Side, Error> {
        self.host()?;
        if self.container.is_none() {
            let path = self.netns.clone();
            let namespace = match Namespace::open(&path) {
                Ok(namespace) => namespace.ok_or(Error::NoNetns { path })?,
                Err(error) => return Err(Error::EnterNetns { path, error }),
            };
            namespace.enter().map_err(|error| Error::EnterNetns { path: self.netns.clone(), error })?;
            self.in_container = true;
            let socket = Socket::open().map_err(|error| {
                netlink(format!("failed to open a socket in netns {}", self.netns.display()), error)
            })?;
            self.container = Some(Side { namespace, socket });
        }
        Ok(self.container.as_mut().expect("just set"))
    }

    pub(super) fn enter_host(&mut self) -> Result<(), Error> {
        if self.in_container {
            self.host()?.namespace.enter().map_err(Error::HostNetns)?;
            self.in_container = false;
        }
        Ok(())
    }

    pub(super) fn enter_container(&mut self) -> Result<(), Error> {
        self.container()?;
        if !self.in_container {
            let path = self.netns.clone();
            self.container()?.namespace.enter().map_err(|error| Error::EnterNetns { path, error })?;
            self.in_container = true;
        }
        Ok(())
    }
}

pub(super) fn netlink(attempt: String, error: NetlinkError) -> Error {
    Error::Netlink { attempt, error }
}

fn holder_text(link: &FoundLink) -> String {
    match &link.kind {
        Some(kind) => format!("a {kind}"),
        None => "a physical or loopback link".into(),
    }
}
