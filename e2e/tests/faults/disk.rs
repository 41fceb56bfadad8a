//! Folders that are full, cannot be written, or are not there.

use e2e::{Host, Place, dual_stack};
use serde_json::json;

use crate::with;

/// A small file system of its own for the store.
fn small(host: &Host) -> serde_json::Value {
    host.run("mkdir", &["/var/lib/small"]);
    host.run("mount", &["-t", "tmpfs", "-o", "size=512k", "tmpfs", "/var/lib/small"]);
    with(json!({ "local_store_file": "/var/lib/small/calico.db" }))
}

/// Fills it to the last byte.
fn fill(host: &Host) {
    host.run("sh", &["-c", "cat /dev/zero >/var/lib/small/fill 2>/dev/null; test -s /var/lib/small/fill"]);
}

/// Puts the store where it can be looked at.
fn show(host: &Host) {
    host.run("sh", &["-c", "cp /var/lib/small/calico.db* /var/lib/calico/"]);
}

#[test]
fn a_full_disk() {
    let host = Host::start();
    let netconf = small(&host);
    let (connected, late) = (host.container("connected"), host.container("late"));
    connected.add(&netconf).run().result();
    fill(&host);
    // There is room in the store's own files for a few more.
    let mut refused = None;
    let mut more = vec![];
    for n in 0..200 {
        let container = late.renamed(&format!("late{n}"));
        let answer = container.add(&netconf).env("CNI_IFNAME", &format!("eth{n}")).run();
        if answer.exit != Some(0) {
            refused = Some((answer.error(), container));
            break;
        }
        more.push((container, format!("eth{n}")));
    }
    let (error, container) = refused.expect("a full disk is noticed at last");
    error.assert_words(&["/var/lib/small/calico.db", "full"]);
    assert_eq!(late.links().len(), 1 + more.len(), "nothing is left in the container: {error:?}");
    assert_eq!(host.added_links().len(), 1 + more.len(), "nothing is left on the host: {error:?}");
    // Whether a DEL finds room or not: it cleans the kernel, and can be repeated.
    connected.del(&netconf).run();
    assert_eq!(connected.links(), ["lo"]);

    host.run("rm", &["/var/lib/small/fill"]);
    connected.del(&netconf).run().result();
    container.del(&netconf).run().result();
    for (container, ifname) in &more {
        container.del(&netconf).env("CNI_IFNAME", ifname).run().result();
    }
    late.add(&netconf).run().result();
    late.del(&netconf).run().result();
    show(&host);
    host.assert_nothing_left();
}

#[test]
fn a_disk_that_was_full_before() {
    let host = Host::start();
    let netconf = small(&host);
    let container = host.container("c1");
    fill(&host);
    let error = container.add(&netconf).run().error();
    error.assert_words(&["/var/lib/small/calico.db", "full"]);
    assert_eq!(container.links(), ["lo"]);
    host.run("rm", &["/var/lib/small/fill"]);
    container.add(&netconf).run().result();
    container.del(&netconf).run().result();
    show(&host);
    host.assert_nothing_left();
}

#[test]
fn a_folder_that_cannot_be_written() {
    let host = Host::start();
    let container = host.container("c1");
    host.run("mount", &["-o", "remount,bind,ro", "/var/lib/calico"]);
    let error = container.add(&dual_stack()).run().error();
    error.assert_words(&["/var/lib/calico/calico.db", "a local, writable file system"]);
    assert_eq!(container.links(), ["lo"]);
    host.run("mount", &["-o", "remount,bind,rw", "/var/lib/calico"]);
    container.del(&dual_stack()).run().result();
    host.assert_nothing_left();
}

/// The lock spares calls conflicts, and no more: without it, they work all the same.
#[test]
fn a_lock_that_cannot_be_had() {
    let host = Host::start();
    let container = host.container("c1");
    host.run("sh", &["-c", "mkdir /run/folder; : >/run/closed; chmod 0 /run/closed; : >/run/file"]);
    for (file, warned) in [
        ("/proc/no/such/ipam.lock", true),
        ("/run/file/ipam.lock", true),
        ("/run/folder", false),
        ("/run/closed", false),
    ] {
        let netconf = with(json!({ "ipam_lock_file": file }));
        for call in [container.add(&netconf), container.del(&netconf)] {
            let answer = call.run();
            answer.result();
            let says = answer.stderr.contains("going on without the host lock") && answer.stderr.contains(file);
            assert_eq!(says, warned, "{answer:#?}");
        }
    }
    // The folder of the lock cannot be made.
    host.run("mount", &["-o", "remount,ro", "/run"]);
    for call in [container.add(&dual_stack()), container.del(&dual_stack())] {
        let answer = call.run();
        answer.result();
        assert!(answer.stderr.contains("going on without the host lock"), "{answer:#?}");
    }
    host.assert_nothing_left();
}
