//! DEL succeeds on whatever is already gone, and takes nothing from anybody else.

use e2e::{Host, Place, dual_stack};
use serde_json::json;

#[test]
fn twice_and_without_any_add() {
    let host = Host::start();
    let netconf = dual_stack();
    let container = host.container("c1");
    container.del(&netconf).run().result();
    container.add(&netconf).run().result();
    for _ in 0..3 {
        let answer = container.del(&netconf).run();
        assert_eq!((answer.exit, answer.stdout.as_str()), (Some(0), ""), "{answer:#?}");
        host.assert_nothing_left();
    }
    host.container("never").del(&netconf).run().result();
    host.assert_nothing_left();
}

#[test]
fn the_first_call_of_a_host() {
    for executable in ["calico", "calico-ipam"] {
        let host = Host::start();
        let container = host.container("c1");
        container.call(executable, "DEL", &dual_stack()).run().result();
        host.assert_nothing_left();
    }
}

#[test]
fn without_a_namespace() {
    for exec in [false, true] {
        let mut netconf = dual_stack();
        netconf["ipam"]["exec"] = json!(exec);
        for path in [None, Some(""), Some("/var/run/netns/gone")] {
            let host = Host::start();
            let container = host.container("c1");
            container.add(&netconf).run().result();
            container.remove_namespace();
            let call = container.del(&netconf);
            match path {
                Some(path) => call.env("CNI_NETNS", path),
                None => call.without("CNI_NETNS"),
            }
            .run()
            .result();
            let stored = host.stored();
            assert_eq!((stored.allocated(), stored.handles().len(), stored.endpoints().len()), (0, 0, 0), "{path:?}");
            // The kernel removes the interfaces of a deleted namespace by itself, a little later.
            for _ in 0..100 {
                if host.added_links().is_empty() {
                    break;
                }
                std::thread::sleep(std::time::Duration::from_millis(50));
            }
            host.assert_nothing_left();
        }
    }
}

#[test]
fn without_the_store() {
    let host = Host::start();
    let netconf = dual_stack();
    let container = host.container("c1");
    container.add(&netconf).run().result();
    for suffix in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(host.folder().join(format!("calico.db{suffix}")));
    }
    container.del(&netconf).run().result();
    assert_eq!(container.links(), ["lo"]);
    host.assert_nothing_left();
}

#[test]
fn of_one_container_leaves_another_alone() {
    let host = Host::start();
    let netconf = dual_stack();
    // Names that begin alike, also after the doubling of dashes in the names of endpoints.
    let ids = ["pod", "pod-1", "pod-1-eth0", "pod.1", "xpod"];
    let containers: Vec<_> = ids.iter().map(|id| host.container(id)).collect();
    for container in &containers {
        container.add(&netconf).run().result();
    }
    for (gone, container) in containers.iter().enumerate() {
        container.del(&netconf).run().result();
        container.del(&netconf).run().result();
        let stored = host.stored();
        let left = ids.len() - gone - 1;
        assert_eq!((stored.handles().len(), stored.allocated(), stored.endpoints().len()), (left, 2 * left, left));
        for other in &containers[gone + 1..] {
            assert!(stored.handles().contains(&other.handle().as_str()), "{}", other.id());
            assert!(other.links().contains(&"eth0".to_owned()), "{}", other.id());
        }
        host.assert_audit_clean();
    }
    host.assert_nothing_left();
}

#[test]
fn of_an_old_sandbox_leaves_the_address_to_its_next_owner() {
    let host = Host::start();
    let mut netconf = dual_stack();
    netconf["ipam"]["ipv4_pools"] = json!(["10.9.0.0/32"]);
    netconf["ipam"]["assign_ipv6"] = json!("false");
    let (old, new) = (host.container("old"), host.container("new"));
    old.add(&netconf).run().result();
    old.del(&netconf).run().result();
    assert_eq!(new.add(&netconf).run().addresses(), ["10.9.0.0"]);
    // The runtime repeats what it is not sure of.
    old.del(&netconf).run().result();
    assert_eq!((host.stored().handles(), host.stored().allocated()), (vec!["net1.new"], 1));
    assert!(host.ip("route show").contains("10.9.0.0 dev calinew"));
    new.del(&netconf).run().result();
    host.assert_nothing_left();
}

#[test]
fn finds_the_host_end_by_its_peer() {
    let host = Host::start();
    let netconf = dual_stack();
    let container = host.container("c1");
    container.add(&netconf).run().result();
    host.ip("link set calic1 down");
    host.ip("link set calic1 name renamed");
    host.ip("link set renamed up");
    // Its old name now belongs to somebody else.
    host.ip("link add calic1 type veth peer name calic1peer");
    container.del(&netconf).run().result();
    let mut links = host.added_links();
    links.sort();
    assert_eq!(links, ["calic1", "calic1peer"]);
    host.ip("link delete calic1");
    host.assert_nothing_left();
}

#[test]
fn without_the_interface() {
    let host = Host::start();
    let netconf = dual_stack();
    let container = host.container("c1");
    container.add(&netconf).run().result();
    container.ip("link delete eth0");
    container.del(&netconf).run().result();
    host.assert_nothing_left();
}
