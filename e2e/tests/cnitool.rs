//! The plugins called by `cnitool`, as container runtimes call them, with the configurations that the documents show.

use e2e::{Conflist, Container, Etcd, Host, Options, Place, addresses_of, readme_list, reference_list};
use serde_json::Value;

/// ADD, and the addresses it gives.
#[track_caller]
fn add(list: &Conflist<'_>, container: &Container<'_>) -> Vec<String> {
    addresses_of(&list.add(container))
}

#[test]
fn the_list_of_the_readme() {
    let host = Host::start();
    let list = Conflist::new(&host, &readme_list("local"));
    let (one, two) = (host.container("one"), host.container("two"));
    let addresses = add(&list, &one);
    assert!(addresses[0].starts_with("10.65.") && addresses[1].starts_with("fd65:"), "{addresses:?}");
    let others = add(&list, &two);
    assert!(one.ping(&others[0]) && two.ping(&addresses[1]), "{addresses:?} and {others:?}");
    list.succeed("check", &one);
    for container in [&one, &one, &two] {
        list.succeed("del", container);
        assert_eq!(container.links(), ["lo"]);
    }
    host.assert_nothing_left();
}

#[test]
fn the_list_of_the_readme_for_etcd() {
    with_etcd(&Etcd::start(Options::default()), readme_list("etcdv3"));
}

#[test]
fn the_list_of_the_configuration_reference() {
    let options = Options { members: 3, tls: true, ..Options::default() };
    with_etcd(&Etcd::start(options), reference_list("etcdv3"));
}

fn with_etcd(etcd: &Etcd, mut conflist: Value) {
    etcd.seed(&["node-1"]);
    let host = etcd.host();
    let calico = conflist["plugins"][0].as_object_mut().unwrap();
    // Only where this etcd and its files are is not as in the document.
    for (key, value) in etcd.conf() {
        let shown = calico.insert(key.clone(), value);
        assert!(shown.is_some(), "the document does not show {key}");
    }
    let list = Conflist::new(&host, &conflist);
    let container = host.container("one");
    let output = list.call("add", &container);
    let refusal = String::from_utf8_lossy(&output.stderr);
    assert!(refusal.contains("/var/lib/calico/nodename does not exist"), "no node agent, no network: {refusal}");
    // The node agent writes that.
    std::fs::write(host.folder().join("nodename"), "node-1").unwrap();
    let addresses = add(&list, &container);
    assert!(addresses.len() == 1 && addresses[0].starts_with("10.65."), "{addresses:?}");
    assert!(host.ping(&addresses[0]));
    list.succeed("check", &container);
    list.succeed("del", &container);
    list.succeed("del", &container);
    assert_eq!(container.links(), ["lo"]);
    etcd.assert_nothing_left(&[&host]);
}
