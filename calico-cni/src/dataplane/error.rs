//! What can go wrong between the plugin and the kernel.

use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::path::PathBuf;

use nix::errno::Errno;

use super::routes::RouteError;
use super::socket::NetlinkError;
use super::sysctl::SysctlError;

/// A job of the kernel thread that failed. The texts are complete: they name the interface, the namespace and the
/// kernel's answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The container's namespace exists and cannot be entered; most often the path is no network namespace at all.
    #[error("failed to enter netns {}: {error}", path.display())]
    EnterNetns {
        /// The path the container runtime gave.
        path: PathBuf,
        /// The refusal.
        error: io::Error,
    },
    /// There is no namespace at the path. DEL takes this for success.
    #[error("failed to enter netns {}: there is no such namespace; the container is gone or was never started", path.display())]
    NoNetns {
        /// The path the container runtime gave.
        path: PathBuf,
    },
    /// The host's own namespace could not be opened or entered again.
    #[error("failed to enter the host's own netns: {0}")]
    HostNetns(io::Error),
    /// The container has an interface of that name.
    #[error(
        "failed to create interface {ifname} in netns {}: EEXIST: the name is taken by {holder}; delete the container's network before adding it again, or choose another CNI_IFNAME",
        netns.display()
    )]
    NameTaken {
        /// The name.
        ifname: String,
        /// The container's namespace.
        netns: PathBuf,
        /// What has the name: "a veth", "a physical or loopback link".
        holder: String,
    },
    /// The host has an interface of that name, and the caller did not allow replacing it.
    #[error(
        "failed to create host interface {name}: EEXIST: the name is taken by {holder} that is not this interface's other end"
    )]
    HostLinkExists {
        /// The name.
        name: String,
        /// What has the name.
        holder: String,
    },
    /// A netlink request failed.
    #[error("{attempt}: {error}")]
    Netlink {
        /// What was tried, on what.
        attempt: String,
        /// The answer.
        error: NetlinkError,
    },
    /// An interface just made is not there: someone else removed or renamed it.
    #[error("interface {0} is gone just after it was created; something else on this host removes or renames it")]
    Vanished(String),
    /// The host end never took its MAC address.
    #[error(
        "timed out waiting for host-side interface {interface}: its MAC address is {seen} after 5 s of setting it to ee:ee:ee:ee:ee:ee"
    )]
    HostMac {
        /// The host end.
        interface: String,
        /// The address it has.
        seen: String,
    },
    /// The host end has no usable IPv6 link-local address, the gateway of the container.
    #[error(
        "failed to get IPv6 addresses for host side of the pod interface: {interface} has {seen:?} after 10 s, expected {expected}"
    )]
    LinkLocal {
        /// The host end.
        interface: String,
        /// The addresses it has.
        seen: Vec<Ipv6Addr>,
        /// The one its MAC address gives.
        expected: Ipv6Addr,
    },
    /// A kernel setting could not be written.
    #[error("error configuring sysctls for {scope}, error: {error}")]
    Sysctl {
        /// "interface: H", or the container's namespace.
        scope: String,
        /// The setting and the refusal.
        error: SysctlError,
    },
    /// CHECK: the container's network is not what an ADD made.
    #[error("{0}")]
    Differs(String),
    /// A route of the container could not be added.
    #[error("failed to set up the routes of {ifname} in netns {}: {error}", netns.display())]
    ContainerRoute {
        /// The container's interface.
        ifname: String,
        /// The container's namespace.
        netns: PathBuf,
        /// The route and the refusal.
        error: RouteError,
    },
    /// The host's route to the container could not be added.
    #[error("error adding host side routes for interface: {interface}, error: {error}")]
    HostRoute {
        /// The host end.
        interface: String,
        /// The route and the refusal.
        error: RouteError,
    },
    /// An address of a family the links were not prepared for.
    #[error("cannot give {0} to a container whose interface was prepared without its address family")]
    Unprepared(IpAddr),
    /// Addresses before links.
    #[error("cannot give addresses to a container whose interface was not prepared")]
    NotPrepared,
    /// The kernel thread could not be started, or ended in a panic.
    #[error("the kernel thread {0}")]
    Thread(String),
}

/// What helps where a CHECK finds a difference.
pub const REMAKE: &str = "to have the container's network made anew, delete it and add it again";

impl Error {
    /// What the operator can do beyond what the text says; empty where nothing is known.
    pub fn advice(&self) -> &'static str {
        match self {
            Error::EnterNetns { error, .. } if error.kind() == io::ErrorKind::PermissionDenied => {
                "run the plugin as root"
            }
            Error::EnterNetns { .. } => "that path is no network namespace: see what the runtime gives in CNI_NETNS",
            Error::HostLinkExists { .. } => {
                "another container has it, whose ID begins with the same 11 characters: use IDs that differ there; or it is left of one: see `ip -d link`, and DEL that container"
            }
            Error::HostRoute { .. } => {
                "the address is routed to another interface, perhaps one that is left of a container: DEL that container, or remove the interface"
            }
            Error::ContainerRoute { error: RouteError::Add { error, .. }, .. } if error.is(Errno::EEXIST) => {
                "the container has such a route already, perhaps of another network: add Calico's network before that one, or give that route a metric"
            }
            Error::Differs(_) => REMAKE,
            _ => "",
        }
    }
}

impl From<Error> for cni_spec::Error {
    fn from(error: Error) -> cni_spec::Error {
        cni_spec::Error::internal(error.to_string()).with_details(error.advice())
    }
}
