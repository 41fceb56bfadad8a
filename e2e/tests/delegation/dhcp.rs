//! `dhcp` asks for an address through the container's interface, which must be there already: but `calico` makes it
//! after it knows the addresses, as the Go plugin does. So they cannot work together. The plugin's error is passed on
//! unchanged, and nothing is left.

use e2e::{Container, Daemon, Host, Place, Plugins, tool, until};
use serde_json::{Value, json};

use crate::{netconf, plugins, with_path};

/// What gives containers of a host addresses by DHCP.
struct Site<'h> {
    server: Daemon,
    plugin: Daemon,
    host: &'h Host,
}

const CONF: &str = "
start 10.77.0.20
end 10.77.0.20
interface dhcp
lease_file /run/udhcpd.leases
pidfile /run/udhcpd.pid
option subnet 255.255.255.0
option router 10.77.0.1
option lease 3600
";

impl<'h> Site<'h> {
    /// Starts the servers, for containers that are there already.
    fn start(host: &'h Host) -> Site<'h> {
        host.ip("link add dhcp type bridge");
        host.ip("address add 10.77.0.1/24 dev dhcp");
        host.ip("link set dhcp up");
        std::fs::write(host.folder().join("udhcpd.conf"), CONF).unwrap();
        host.run("sh", &["-c", ": >/run/udhcpd.leases"]);
        let mut server = host.daemon(&tool("busybox"), &["udhcpd", "-f", "/var/lib/calico/udhcpd.conf"]);
        server.wait_for("started");
        // It looks itself up in /proc, where its processes must have the numbers that it knows.
        let dhcp = plugins(Plugins::V1_9).join("dhcp");
        let script = format!("mount -t proc proc /proc && exec {} daemon", dhcp.display());
        let plugin = host.daemon(&tool("unshare"), &["--mount", "/bin/sh", "-c", &script]);
        until("the plugin's daemon answers", || host.succeeds("test", &["-S", "/run/cni/dhcp.sock"]));
        Site { server, plugin, host }
    }

    /// What the plugin itself answers to the same call.
    fn directly(&self, container: &Container<'_>, verb: &str) -> (bool, Value) {
        let mut command = self.host.program(&plugins(Plugins::V1_9).join("dhcp"));
        command.env("CNI_COMMAND", verb).env("CNI_CONTAINERID", container.id()).env("CNI_NETNS", container.netns());
        command.env("CNI_IFNAME", "eth0").env("CNI_PATH", "/").env("CNI_ARGS", "IgnoreUnknown=1");
        let file = self.host.folder().join("stdin");
        std::fs::write(&file, conf().to_string()).unwrap();
        let output = command.stdin(std::fs::File::open(&file).unwrap()).output().unwrap();
        (output.status.success(), serde_json::from_slice(&output.stdout).unwrap_or(Value::Null))
    }
}

fn conf() -> Value {
    netconf(json!({ "type": "dhcp" }))
}

#[test]
fn dhcp_finds_no_interface_yet() {
    let host = Host::start();
    let container = host.container("c1");
    let site = Site::start(&host);
    let (_, expected) = site.directly(&container, "ADD");
    let answer = with_path(container.add(&conf()), &plugins(Plugins::V1_9)).run();
    answer.error();
    let printed: Value = serde_json::from_str(&answer.stdout).unwrap();
    assert_eq!((&printed["code"], &printed["msg"]), (&expected["code"], &expected["msg"]), "{answer:#?}");
    assert!(expected["msg"].as_str().is_some_and(|text| text.contains("Link not found")), "{expected}");
    assert_eq!(container.links(), ["lo"]);
    with_path(container.del(&conf()), &plugins(Plugins::V1_9)).run().result();
    let left = host.added_links();
    assert_eq!(left, ["dhcp"]);
    assert!(host.stored().endpoints().is_empty());
}

/// With an interface that exists it answers, and then the name is taken: it is told to release the address.
#[test]
fn an_address_of_dhcp_is_released_when_the_interface_cannot_be_made() {
    let host = Host::start();
    let container = host.container("c1");
    let mut site = Site::start(&host);
    host.ip(&format!("link add wired type veth peer name eth0 netns {}", container.id()));
    host.ip("link set wired master dhcp up");
    container.ip("link set eth0 up");
    let error = with_path(container.add(&conf()), &plugins(Plugins::V1_9)).run().error();
    assert!(error.text.contains("the name is taken by a veth"), "{error:?}\n{}", site.server.log());
    assert_eq!(container.links().len(), 2, "what was there is untouched");
    assert!(site.server.log().contains("sending ACK to 10.77.0.20"), "{}", site.server.log());
    site.plugin.wait_for("c1/net1/eth0: releasing lease");
}

/// Without its daemon, the plugin cannot release either.
#[test]
fn a_del_without_the_daemon_of_dhcp_cleans_all_the_rest() {
    let host = Host::start();
    let container = host.container("c1");
    let error = with_path(container.del(&conf()), &plugins(Plugins::V1_9)).run().error();
    assert!(error.text.contains("/run/cni/dhcp.sock"), "{error:?}");
    host.assert_nothing_left();
}
