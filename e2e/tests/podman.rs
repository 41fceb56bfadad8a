//! Containers of podman, with the lists of plugins that the README shows.

use e2e::{Place, Podman, heard, readme_chain, readme_list, until};
use serde_json::Value;

/// Asserts that nothing is left of any container, neither by the plugin nor by podman.
#[track_caller]
fn assert_nothing_left(podman: &Podman) {
    podman.host().assert_nothing_left();
    assert_eq!(podman.host().run("ls", &["/var/lib/cni/results"]), "");
    assert_eq!(podman.host().ip("netns list"), "");
    assert_eq!(podman.succeed(&["ps", "--all", "--quiet"]), "");
}

/// What `podman inspect` says of a container's network.
fn inspected(podman: &Podman, name: &str) -> Value {
    let printed = podman.succeed(&["inspect", name]);
    let containers: Value = serde_json::from_str(&printed).unwrap_or_else(|e| panic!("{e}: {printed}"));
    containers[0]["NetworkSettings"]["Networks"]["net1"].clone()
}

#[track_caller]
fn assert_reaches(podman: &Podman, name: &str, addresses: &[&str]) {
    for address in addresses {
        let output = podman.exec(name, &["ping", "-c", "1", "-W", "2", address]);
        assert!(output.status.success(), "{name} to {address}: {output:#?}");
    }
}

#[test]
fn two_containers() {
    let podman = Podman::start(&readme_list("local"));
    let ids = ["one", "two"].map(|name| podman.run(name, &[], &["sleep", "1000"]));
    let [first, second] = ["one", "two"].map(|name| inspected(&podman, name));
    let address = |network: &Value, key: &str| network[key].as_str().unwrap_or_default().to_owned();
    for (name, id, network) in [("one", &ids[0], &first), ("two", &ids[1], &second)] {
        let told = [address(network, "IPAddress"), address(network, "GlobalIPv6Address")];
        assert!(told[0].starts_with("10.65.") && told[1].starts_with("fd65:"), "{network}");
        assert_eq!(podman.addresses(name), [format!("{}/32", told[0]), format!("{}/128", told[1])]);
        assert_eq!(podman.result(id)["interfaces"][1]["mac"], network["MacAddress"]);
        assert!(told.iter().all(|address| podman.host().ping(address)), "{told:?}");
    }
    assert_reaches(&podman, "one", &[&address(&second, "IPAddress"), &address(&second, "GlobalIPv6Address")]);
    assert_reaches(&podman, "two", &[&address(&first, "IPAddress"), &address(&first, "GlobalIPv6Address")]);
    let mut host_ends = ids.map(|id| format!("cali{}", &id[..11]));
    let mut links = podman.host().added_links();
    host_ends.sort();
    links.sort();
    assert_eq!(links, host_ends);
    podman.host().assert_audit_clean();

    // One is removed while it runs; the other ends, is disconnected by its monitor, and starts again.
    podman.succeed(&["rm", "--force", "--time", "0", "one"]);
    assert_eq!(podman.host().stored().allocated(), 2);
    podman.succeed(&["kill", "two"]);
    // libcni forgets the result when every DEL is done.
    until("the monitor has disconnected it", || podman.host().run("ls", &["/var/lib/cni/results"]).is_empty());
    podman.host().assert_nothing_left();
    podman.succeed(&["start", "two"]);
    assert_reaches(&podman, "two", &["172.30.0.1", "fd30::1"]);
    podman.succeed(&["rm", "--force", "--time", "0", "two"]);
    assert_nothing_left(&podman);
}

#[test]
fn a_port_and_an_address_that_are_asked_for() {
    let podman = Podman::start(&readme_chain());
    let flags = ["--publish", "18080:8080", "--ip", "10.65.7.7"];
    podman.run("one", &flags, &["nc", "-ll", "-p", "8080", "-e", "/bin/busybox", "echo", "hello"]);
    assert_eq!(podman.addresses("one"), ["10.65.7.7/32"]);
    until("the container listens", || heard(podman.host(), "10.65.7.7", 8080) == "hello\n");
    assert_eq!(heard(podman.host(), "172.30.0.1", 18080), "hello\n");
    podman.succeed(&["rm", "--force", "--time", "0", "one"]);
    assert_eq!(heard(podman.host(), "172.30.0.1", 18080), "");
    assert_nothing_left(&podman);
}
