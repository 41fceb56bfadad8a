//! A network that several hosts are on, with a host for servers.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::host::Host;
use crate::place::Place;

/// The addresses of the servers' host.
pub(crate) const SERVERS: [&str; 3] = ["172.31.0.1", "172.31.0.2", "172.31.0.3"];

/// A bridge `lan` in the servers' host, which further hosts join by a link `lan` of theirs.
///
/// The links vanish with either of the two hosts they connect.
pub(crate) struct Lan {
    servers: Host,
    joined: AtomicU32,
}

impl Lan {
    /// Starts the servers' host.
    pub(crate) fn start() -> Lan {
        let servers = Host::start();
        servers.ip("link add lan type bridge");
        for address in SERVERS {
            servers.ip(&format!("address add {address}/16 dev lan"));
        }
        servers.ip("link set lan up");
        Lan { servers, joined: AtomicU32::new(0) }
    }

    /// The host that servers run on.
    pub(crate) fn servers(&self) -> &Host {
        &self.servers
    }

    /// Starts a host that reaches the servers.
    pub(crate) fn host(&self) -> Host {
        let host = Host::start();
        let number = self.joined.fetch_add(1, Ordering::Relaxed) + 1;
        let [high, low] = u16::try_from(number).expect("few hosts join").to_be_bytes();
        let port = format!("port-{number}");
        host.ip(&format!("link add lan type veth peer name {port} netns {}", self.servers.process()));
        self.servers.ip(&format!("link set {port} master lan up"));
        host.ip(&format!("address add 172.31.{}.{low}/16 dev lan", u16::from(high) + 1));
        host.ip("link set lan up");
        host
    }
}

impl Host {
    /// The address that it has on the network of several hosts.
    pub(crate) fn lan_address(&self) -> String {
        let links = self.ip_json("-4 address show dev lan");
        links[0]["addr_info"][0]["local"].as_str().expect("a host that has joined has an address").to_owned()
    }
}
