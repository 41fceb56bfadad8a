//! What one container has is not taken from it by calls for another, nor by stray calls for itself.

use e2e::{Host, Place, dual_stack};
use serde_json::json;

/// Waits until the kernel has taken away the interfaces of a namespace that was removed, which it does in its own time.
fn await_links(host: &Host, left: &[&str]) {
    for _ in 0..2_000 {
        if host.added_links() == left {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    panic!("instead of {left:?} the host still has {:?}", host.added_links());
}

#[test]
fn ids_that_begin_alike_do_not_cut_each_others_network() {
    let host = Host::start();
    let netconf = dual_stack();
    let (first, second) = (host.container("web-frontend1"), host.container("web-frontend2"));
    for namespace in ["default", "other"] {
        let in_namespace = format!("CNI_TEST_NAMESPACE={namespace}");
        first.add(&netconf).run().result();
        let error = second.add(&netconf).env("CNI_ARGS", &in_namespace).run().error();
        assert!(
            error.text.contains("the name is taken by a veth") && error.text.contains("use IDs that differ"),
            "{error:?}"
        );
        assert!(first.links().contains(&"eth0".to_owned()), "the first container keeps its network");
        assert_eq!(second.links(), ["lo"]);
        host.assert_audit_clean();
        second.del(&netconf).env("CNI_ARGS", &in_namespace).run().result();
        first.del(&netconf).run().result();
        host.assert_nothing_left();
    }
}

#[test]
fn an_id_that_looks_like_a_handle_releases_nothing_of_its_owner() {
    let host = Host::start();
    let netconf = dual_stack();
    let owner = host.container("b");
    let addresses = owner.add(&netconf).run().addresses();
    let mut other_network = dual_stack();
    other_network["name"] = json!("x");
    let other = host.container("net1.b");
    for executable in ["calico", "calico-ipam"] {
        other.call(executable, "DEL", &other_network).run().result();
    }
    assert_eq!(host.stored().allocated(), 2);
    assert!(addresses.iter().all(|address| host.ping(address)));
    host.assert_audit_clean();
    owner.del(&netconf).run().result();
    host.assert_nothing_left();
}

#[test]
fn a_del_whose_namespace_path_passed_to_another_container_leaves_it_alone() {
    let host = Host::start();
    let netconf = dual_stack();
    let (old, new) = (host.container("old"), host.container("new"));
    old.add(&netconf).run().result();
    let addresses = new.add(&netconf).run().addresses();
    old.remove_namespace();
    await_links(&host, &["calinew"]);
    let answer = old.del(&netconf).env("CNI_NETNS", new.netns()).run();
    answer.result();
    assert!(answer.stderr.contains("left another container's interface alone"), "{answer:#?}");
    assert!(addresses.iter().all(|address| host.ping(address)));
    assert_eq!(host.stored().allocated(), 2);
    new.del(&netconf).run().result();
    host.assert_nothing_left();
}

#[test]
fn a_del_of_an_interface_that_never_was_keeps_the_addresses_of_the_one_that_is() {
    for exec in [false, true] {
        let host = Host::start();
        let mut netconf = dual_stack();
        netconf["ipam"]["exec"] = json!(exec);
        let container = host.container("c1");
        let addresses = container.add(&netconf).run().addresses();
        for stray in ["eth1", "eth-"] {
            container.del(&netconf).env("CNI_IFNAME", stray).run().result();
        }
        assert!(addresses.iter().all(|address| host.ping(address)));
        assert_eq!(host.stored().allocated(), 2);
        host.assert_audit_clean();
        container.del(&netconf).run().result();
        host.assert_nothing_left();
    }
}

#[test]
fn a_repeated_add_after_the_network_is_gone_makes_it_anew() {
    for exec in [false, true] {
        let host = Host::start();
        let mut netconf = dual_stack();
        netconf["ipam"]["exec"] = json!(exec);
        let container = host.container("c1");
        container.add(&netconf).run().result();
        // As after a restart of the host: the record outlives the namespace.
        container.remove_namespace();
        await_links(&host, &[]);
        host.ip("netns add c1");
        let addresses = container.add(&netconf).run().addresses();
        assert!(addresses.iter().all(|address| host.ping(address)), "{addresses:?}");
        assert_eq!(host.stored().allocated(), 2);
        host.assert_audit_clean();
        container.del(&netconf).run().result();
        host.assert_nothing_left();
    }
}

#[test]
fn a_repeated_add_in_another_namespace_is_refused_and_cuts_nothing() {
    let host = Host::start();
    let netconf = dual_stack();
    let (container, elsewhere) = (host.container("c1"), host.container("elsewhere"));
    let addresses = container.add(&netconf).run().addresses();
    let error = container.add(&netconf).env("CNI_NETNS", elsewhere.netns()).run().error();
    assert!(error.text.contains("networked already, by calic1, which is not the other end of eth0"), "{error:?}");
    container.add(&netconf).env("CNI_NETNS", "/var/run/netns/gone").run().error();
    assert_eq!(elsewhere.links(), ["lo"]);
    assert!(addresses.iter().all(|address| host.ping(address)));
    host.assert_audit_clean();
    container.del(&netconf).run().result();
    host.assert_nothing_left();
}

#[test]
fn a_del_that_is_told_of_no_or_a_wrong_namespace_removes_the_interface_before_it_releases_the_addresses() {
    for exec in [false, true] {
        let host = Host::start();
        let mut netconf = dual_stack();
        netconf["ipam"]["exec"] = json!(exec);
        let other = host.container("other");
        let addresses = other.add(&netconf).run().addresses();
        for (id, netns) in [("c1", ""), ("c2", "/var/run/netns/gone"), ("c3", other.netns())] {
            let container = host.container(id);
            container.add(&netconf).run().result();
            container.del(&netconf).env("CNI_NETNS", netns).run().result();
            assert_eq!(container.links(), ["lo"]);
            assert_eq!(host.added_links(), ["caliother"]);
            assert_eq!(host.stored().allocated(), 2);
            host.assert_audit_clean();
        }
        assert!(addresses.iter().all(|address| host.ping(address)));
        other.del(&netconf).run().result();
        host.assert_nothing_left();
    }
}

#[test]
fn a_stale_record_is_not_taken_for_another_containers_network() {
    let host = Host::start();
    let netconf = dual_stack();
    let (stale, other) = (host.container("stale"), host.container("other"));
    stale.add(&netconf).run().result();
    let addresses = other.add(&netconf).run().addresses();
    stale.remove_namespace();
    await_links(&host, &["caliother"]);
    let error = stale.add(&netconf).env("CNI_NETNS", other.netns()).run().error();
    assert!(error.text.contains("networked already"), "{error:?}");
    assert!(addresses.iter().all(|address| host.ping(address)));
    host.assert_audit_clean();
    for container in [stale, other] {
        container.del(&netconf).run().result();
    }
    host.assert_nothing_left();
}
