//! Interfaces and namespaces that others rename, move or remove.

use e2e::{Container, Faults, Host, Place, Running, Site, dual_stack, until};
use nix::sys::signal::Signal;
use serde_json::json;

use crate::{plugins, proxy, site, with};

/// An IPAM plugin whose ADD waits for the file `go`.
const SLOW: &str = r#"cat >/dev/null
[ $CNI_COMMAND = ADD ] || exit 0
: >"$here/called"
until [ -e "$here/go" ]; do sleep 0.01; done
echo '{"ips":[{"address":"10.9.0.5/24"}]}'"#;

#[test]
fn a_container_end_that_was_renamed_before_del() {
    let host = Host::start();
    let container = host.container("c1");
    container.add(&dual_stack()).run().result();
    container.ip("link set eth0 down");
    container.ip("link set eth0 name other");
    container.del(&dual_stack()).run().result();
    assert_eq!(container.links(), ["lo"]);
    host.assert_nothing_left();
}

#[test]
fn a_container_end_that_was_moved_away_before_del() {
    let host = Host::start();
    let (container, elsewhere) = (host.container("c1"), host.container("elsewhere"));
    container.add(&dual_stack()).run().result();
    container.ip("link set eth0 netns elsewhere");
    container.del(&dual_stack()).run().result();
    assert_eq!((container.links(), elsewhere.links()), (vec!["lo".to_owned()], vec!["lo".to_owned()]));
    host.assert_nothing_left();
}

#[test]
fn a_host_end_that_was_renamed_before_del() {
    let host = Host::start();
    let container = host.container("c1");
    container.add(&dual_stack()).run().result();
    host.ip("link set calic1 down");
    host.ip("link set calic1 name other");
    container.del(&dual_stack()).run().result();
    assert_eq!(container.links(), ["lo"]);
    host.assert_nothing_left();
}

/// The pair is there, and the commit of its addresses is held.
fn held<'s>(site: &'s Site, id: &str, change: impl FnOnce(&Container<'s>), terminate: bool) -> e2e::Answer {
    let container = site.host.container(id);
    let proxy = proxy(site, Faults { late: Some(3), ..Faults::default() });
    let running = container.add(&site.through(&proxy)).start();
    until("the commit is sent", || proxy.requests().first() == Some(&3));
    until("the pair is there", || container.ip("-brief link show up").contains("eth0"));
    change(&container);
    match terminate {
        true => running.signal(Signal::SIGTERM),
        false => proxy.release(),
    }
    running.finish()
}

fn rename(container: &Container<'_>) {
    container.ip("link set eth0 down");
    container.ip("link set eth0 name other");
    container.ip("link set other up");
}

#[test]
fn a_container_end_that_is_renamed_during_an_add() {
    let site = site();
    for (id, terminate) in [("renamed", false), ("terminated", true)] {
        let answer = held(&site, id, rename, terminate);
        assert_eq!(answer.exit == Some(0), !terminate, "{answer:#?}");
        if terminate {
            site.assert_nothing_left();
        }
        // It is found by its host end.
        let container = site.host.container(&format!("{id}-again")).renamed(id);
        container.del(&site.netconf()).run().result();
        site.assert_nothing_left();
    }
}

#[test]
fn a_container_end_that_is_moved_away_during_an_add_that_fails() {
    let site = site();
    let elsewhere = site.host.container("elsewhere");
    let answer = held(&site, "moved", |container| drop(container.ip("link set eth0 netns elsewhere")), true);
    answer.error();
    assert_eq!(elsewhere.links(), ["lo"]);
    site.assert_nothing_left();
}

#[test]
fn a_host_end_that_is_moved_away_during_an_add_that_fails() {
    let site = site();
    let elsewhere = site.host.container("elsewhere");
    let answer = held(&site, "away", |_| drop(site.host.ip("link set caliaway netns elsewhere")), true);
    answer.error();
    assert_eq!(elsewhere.links(), ["lo"]);
    site.assert_nothing_left();
}

#[test]
fn a_namespace_that_is_removed_during_an_add() {
    let site = site();
    let answer = held(&site, "removed", |container| container.remove_namespace(), false);
    let error = answer.error();
    assert!(error.text.contains("there is no such namespace; the container is gone"), "{error:?}");
    until("the interface goes with the namespace", || site.host.added_links().is_empty());
    site.assert_nothing_left();
}

/// An ADD whose IPAM plugin is at work, and what lets that go on.
fn slow<'h>(host: &'h Host, container: &Container<'h>) -> (Running, impl FnOnce() + use<>) {
    let path = plugins(host, "slow", SLOW);
    let running = container.add(&with(json!({ "ipam": { "type": "slow" } }))).env("CNI_PATH", &path).start();
    let folder = host.folder().join("plugins");
    until("the plugin is called", || folder.join("called").exists());
    (running, move || std::fs::write(folder.join("go"), "").unwrap())
}

#[test]
fn a_namespace_that_is_removed_while_another_plugin_works() {
    let host = Host::start();
    let container = host.container("c1");
    let (running, go) = slow(&host, &container);
    container.remove_namespace();
    go();
    let error = running.finish().error();
    assert!(error.text.contains("there is no such namespace; the container is gone"), "{error:?}");
    host.assert_nothing_left();
    let path = plugins(&host, "slow", SLOW);
    container.del(&with(json!({ "ipam": { "type": "slow" } }))).env("CNI_PATH", &path).run().result();
    host.assert_nothing_left();
}

#[test]
fn a_name_that_is_taken_while_another_plugin_works() {
    let host = Host::start();
    let container = host.container("c1");
    let (running, go) = slow(&host, &container);
    container.ip("link add eth0 type veth peer name other");
    go();
    let error = running.finish().error();
    assert!(error.text.contains("the name is taken by a veth"), "{error:?}");
    assert_eq!(container.links().len(), 3, "what was there is untouched");
    host.assert_nothing_left();
}
