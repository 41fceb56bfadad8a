//! One container on two networks, as runtimes do that give containers more than one: by libcni, one list of plugins
//! after the other.

use std::process::Output;

use e2e::{Container, Host, Place, Plugins, addresses_of, calling_plugins, networks, readme_list};
use serde_json::{Value, json};

/// Two networks on a host: one for `eth0`, one for `eth1`.
struct Networks<'h> {
    host: &'h Host,
}

impl Networks<'_> {
    fn new<'h>(host: &'h Host, lists: &[Value; 2]) -> Networks<'h> {
        for (number, list) in lists.iter().enumerate() {
            std::fs::write(host.folder().join(format!("eth{number}.conflist")), list.to_string()).unwrap();
        }
        Networks { host }
    }

    fn run(&self, verb: &str, container: &Container<'_>, interfaces: &[&str]) -> Output {
        let mut command = calling_plugins(self.host, &networks(), Plugins::V1_9);
        command.args([verb, container.id(), container.netns()]);
        let folder = self.host.folder().display();
        command.args(interfaces.iter().map(|interface| format!("{interface}={folder}/{interface}.conflist")));
        command.output().unwrap()
    }

    #[track_caller]
    fn succeed(&self, verb: &str, container: &Container<'_>, interfaces: &[&str]) -> Value {
        let output = self.run(verb, container, interfaces);
        assert!(output.status.success(), "{verb} {interfaces:?}: {output:#?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

/// The README's list with another name and in a version.
fn calico(name: &str, version: &str) -> Value {
    let mut list = readme_list("local");
    (list["name"], list["cniVersion"]) = (json!(name), json!(version));
    list
}

/// A network of the CNI project's plugins.
fn ptp(version: &str) -> Value {
    let ipam = json!({ "type": "host-local", "subnet": "10.99.0.0/24", "routes": [{ "dst": "10.98.0.0/24" }] });
    json!({ "cniVersion": version, "name": "net2", "plugins": [{ "type": "ptp", "ipam": ipam }] })
}

/// Both versions that have CHECK, and both orders of DEL.
fn everywhere(test: impl Fn(&str, [&str; 2])) {
    for version in ["0.4.0", "1.0.0"] {
        for order in [["eth0", "eth1"], ["eth1", "eth0"]] {
            test(version, order);
        }
    }
}

#[test]
fn a_second_network_of_calico_adds_nothing() {
    everywhere(|version, order| {
        let host = Host::start();
        let networks = Networks::new(&host, &[calico("net1", version), calico("net2", version)]);
        let container = host.container("one");
        let results = networks.succeed("add", &container, &["eth0", "eth1"]);
        let given = addresses_of(&results["eth0"]);
        assert!(given.len() == 2 && given.iter().all(|address| host.ping(address)), "{results}");
        assert_eq!(results["eth1"]["ips"], results["eth0"]["ips"]);
        assert_eq!(results["eth1"]["routes"], Value::Null);
        assert_eq!(container.links(), ["lo", "eth0"]);
        assert_eq!(host.added_links(), [container.host_end()]);
        assert_eq!(host.stored().allocated(), 2);
        assert_eq!(networks.succeed("cached", &container, &["eth0", "eth1"]), results);
        networks.succeed("check", &container, &["eth0", "eth1"]);
        host.assert_audit_clean();

        // The interface that there is takes the addresses with it; the other name's DEL finds nothing to do.
        let [first, second] = order;
        networks.succeed("del", &container, &[first]);
        let connected = first == "eth1";
        assert_eq!(given.iter().all(|address| host.ping(address)), connected);
        assert_eq!(host.stored().allocated(), if connected { 2 } else { 0 });
        if connected {
            networks.succeed("check", &container, &["eth0"]);
        }
        networks.succeed("del", &container, &[second]);
        assert_eq!(container.links(), ["lo"]);
        host.assert_nothing_left();
        networks.succeed("del", &container, &order);
    });
}

#[test]
fn a_network_of_another_plugin_beside_calico() {
    everywhere(|version, order| {
        // Either is the container's first.
        for lists in [[calico("net1", version), ptp(version)], [ptp(version), calico("net1", version)]] {
            let host = Host::start();
            let [of_calico, of_ptp] = if lists[0]["name"] == "net1" { ["eth0", "eth1"] } else { ["eth1", "eth0"] };
            let networks = Networks::new(&host, &lists);
            let container = host.container("one");
            let results = networks.succeed("add", &container, &["eth0", "eth1"]);
            let (mut links, wanted) = (container.links(), ["eth0", "eth1", "lo"]);
            links.sort();
            assert_eq!(links, wanted);
            let (ours, theirs) = (addresses_of(&results[of_calico]), addresses_of(&results[of_ptp]));
            assert!(ours[0].starts_with("10.65.") && ours[1].starts_with("fd65:"), "{results}");
            assert!(theirs[0].starts_with("10.99."), "{results}");
            assert!(ours.iter().chain(&theirs).all(|address| host.ping(address)), "{results}");
            // Each network by its own interface.
            assert!(container.ip("route get 172.30.0.1").contains(&format!("dev {of_calico}")));
            assert!(container.ip("route get 10.98.0.1").contains(&format!("dev {of_ptp}")));
            assert_eq!(networks.succeed("cached", &container, &["eth0", "eth1"]), results);
            networks.succeed("check", &container, &["eth0", "eth1"]);
            host.assert_audit_clean();

            let [first, second] = order;
            networks.succeed("del", &container, &[first]);
            networks.succeed("check", &container, &[second]);
            let rest = if second == of_calico { &ours } else { &theirs };
            assert!(rest.iter().all(|address| host.ping(address)), "{results}");
            networks.succeed("del", &container, &[second]);
            assert_eq!(container.links(), ["lo"]);
            host.assert_nothing_left();
            networks.succeed("del", &container, &order);
        }
    });
}
