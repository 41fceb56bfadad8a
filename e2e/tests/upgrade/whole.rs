//! Upgrades that come to their end.

use e2e::{ApiGroup, ControlPlane, Event, Place, tool};
use serde_json::json;

use crate::node::{ACCOUNT, NODE, Networked, Node, pod_path};

/// What the container asked for, as RBAC calls it: verb and resource.
fn asked(events: &[Event]) -> Vec<(String, String)> {
    let own = events.iter().filter(|event| event.user.ends_with(&format!(":{ACCOUNT}")));
    let resource = |uri: &str| {
        let path = uri.split('?').next().unwrap_or_default();
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let at = if parts[0] == "api" { 2 } else { 3 };
        match (parts.get(at), parts.get(at + 2)) {
            (Some(resource), Some(sub)) => format!("{resource}/{sub}"),
            (Some(resource), None) => (*resource).to_owned(),
            (None, _) => path.to_owned(),
        }
    };
    let mut asked: Vec<_> = own.map(|event| (event.verb.clone(), resource(&event.uri))).collect();
    asked.sort();
    asked.dedup();
    asked
}

#[test]
fn addresses_of_host_local_become_calicos() {
    for group in ApiGroup::ALL {
        let plane = ControlPlane::shared(group);
        let node = Node::start(&plane);
        let pods: Vec<Networked> = ["web-0", "web-1", "db-0"].map(|name| node.pod(name)).to_vec();
        // Of a container that nobody has deleted, and of a pod that has ended and whose address another has by now.
        let gone = node.call_host_local("ADD", "gone-sandbox").addresses();
        node.plane.create_pod(NODE, "default", "a-job", &json!({}));
        node.report("a-job", &pods[0].addresses);
        let ended = json!({"status": {"phase": "Succeeded"}});
        node.plane.admin().patch(&format!("{}/status", pod_path("a-job")), &ended).unwrap();
        let files = node.files();
        for file in [&pods[2].addresses[0], &pods[2].addresses[1], &gone[0], "last_reserved_ip.0", "lock"] {
            assert!(files.iter().any(|name| name == file), "{file} is not in {files:?}");
        }

        let mark = plane.mark();
        let log = node.upgrade();
        for words in ["closed the datastore", "no pod has the address: it is free", "opened the datastore"] {
            assert!(log.contains(words), "{log}");
        }
        let asked_for = asked(&plane.audit(mark));
        plane.admin().delete(&pod_path("a-job")).unwrap();
        node.assert_upgraded(&pods);
        let settings = group.resources()[3].0;
        let expected = [
            ("create", "blockaffinities"),
            ("create", "ipamblocks"),
            ("create", "ipamhandles"),
            ("get", "clusterinformations"),
            ("get", "ipamblocks"),
            ("get", "ipamhandles"),
            ("get", settings),
            ("get", "nodes"),
            ("list", "blockaffinities"),
            ("list", "ippools"),
            ("list", "ipreservations"),
            ("list", "pods"),
            ("patch", "nodes/status"),
            ("update", "blockaffinities"),
            ("update", "clusterinformations"),
            ("update", "ipamblocks"),
            ("update", "ipamhandles"),
        ];
        let missing = expected
            .iter()
            .filter(|(verb, resource)| !asked_for.iter().any(|(asked, of)| asked == verb && of == resource));
        assert_eq!(missing.count(), 0, "{asked_for:?}");

        // Once more: there is nothing to do, and nothing is asked.
        let mark = plane.mark();
        assert_eq!(node.upgrade(), "");
        assert_eq!(asked(&plane.audit(mark)), []);

        // What the runtime does when the pods go.
        for (networked, executable) in pods.iter().zip(["calico-ipam", "calico", "calico"]) {
            node.del(executable, networked);
            plane.admin().delete(&pod_path(&networked.pod)).unwrap();
            let assigned = node.assigned();
            let left = networked.addresses.iter().filter(|address| assigned.contains_key(*address));
            assert_eq!(left.count(), 0, "{executable}: {assigned:?}");
            plane.assert_audit_clean();
        }
        assert_eq!(node.assigned().len(), 1, "the tunnel's");
    }
}

#[test]
fn an_empty_folder_is_removed_without_anybody_waiting() {
    let plane = ControlPlane::shared(ApiGroup::Crd);
    let node = Node::start(&plane);
    std::fs::create_dir(node.addresses_folder()).unwrap();
    let log = node.upgrade();
    assert!(!log.contains("closed the datastore"), "{log}");
    assert!(!node.addresses_folder().exists());
    assert_eq!((node.gate(), node.executables().len()), ((true, None), 4));
}

#[test]
fn the_node_must_be_named() {
    let plane = ControlPlane::shared(ApiGroup::Crd);
    let node = Node::start(&plane);
    let run = |arguments: &[&str]| {
        let mut command = node.host.command("chroot");
        command.arg(&node.root).arg("/calico-ipam").args(arguments).env_clear();
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert!(tool("chroot").is_file());
    for flag in ["-upgrade", "--upgrade"] {
        let (exit, stderr) = run(&[flag]);
        assert_eq!(exit, Some(1));
        assert!(stderr.contains("[ERROR]") && stderr.contains("KUBERNETES_NODE_NAME is not set"), "{stderr}");
    }
    let (exit, usage) = run(&["-h"]);
    assert_eq!((exit, usage.contains("\n  -upgrade\t")), (Some(0), true), "{usage}");
    let (exit, usage) = run(&["-t"]);
    assert_eq!((exit, usage.contains("flag provided but not defined: -t")), (Some(2), true), "{usage}");
}
