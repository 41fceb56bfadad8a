//! An installer that stays: what others do to its files, and what it tells.

use std::time::{SystemTime, UNIX_EPOCH};

use e2e::{ApiGroup, ControlPlane, Place, until};

use crate::node::{Node, expected_conflist};

/// The value of a metric.
fn metric(node: &Node, name: &str) -> Option<f64> {
    let (status, text) = node.ask("/metrics")?;
    assert_eq!(status, 200, "{text}");
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

#[test]
fn what_is_removed_or_changed_is_put_back() {
    let plane = ControlPlane::shared(ApiGroup::Crd);
    let node = Node::of(&plane);
    let installer = node.start_installer();
    node.wait_until_ready();
    let kubeconfig = node.kubeconfig();
    let conflist = "host/etc/cni/net.d/10-calico.conflist";
    let calico = "#!/bin/sh\n# calico\n";
    for name in
        [conflist, "host/etc/cni/net.d/calico-kubeconfig", "host/opt/cni/bin/calico", "host/opt/cni/bin/portmap"]
    {
        std::fs::remove_file(node.path(name)).unwrap();
        until(name, || node.path(name).exists());
    }
    assert_eq!(node.conflist(), expected_conflist());
    assert_eq!(node.kubeconfig(), kubeconfig);
    // Changed in place, and replaced by another installer.
    node.put(conflist, b"{}");
    until("the configuration is put back", || node.conflist() == expected_conflist());
    node.put("host/opt/cni/bin/.other", b"another calico");
    std::fs::rename(node.path("host/opt/cni/bin/.other"), node.path("host/opt/cni/bin/calico")).unwrap();
    until("the plugin is put back", || node.read("host/opt/cni/bin/calico") == calico);
    assert_eq!(node.mode("host/opt/cni/bin/calico"), 0o755);
    // Not everything is: what is somebody else's stays.
    node.put("host/etc/cni/net.d/99-other.conflist", b"{}");
    node.wait_until_ready();
    assert_eq!(node.names("host/etc/cni/net.d").len(), 3);
    installer.end();
}

#[test]
fn health_and_measurements() {
    let plane = ControlPlane::shared(ApiGroup::Crd);
    let mut node = Node::of(&plane);
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    let begin = now();
    let installer = node.start_installer();
    node.wait_until_ready();
    assert_eq!(node.ask("/readyz"), Some((200, "everything is installed\n".to_owned())));
    assert_eq!(node.ask("/healthz"), Some((200, "ok\n".to_owned())));
    assert_eq!(node.ask("/").unwrap().0, 404);
    let expiry = metric(&node, "calico_install_token_expiry_timestamp_seconds").unwrap();
    assert!((begin + 86_000.0..=now() + 86_401.0).contains(&expiry), "{expiry}");
    assert_eq!(metric(&node, "calico_install_token_renewals_total"), Some(1.0));
    assert_eq!(metric(&node, "calico_install_token_renewal_errors_total"), Some(0.0));
    assert_eq!(metric(&node, "calico_install_build_info{version=\"0.1.0\"}"), Some(1.0));
    let success = metric(&node, "calico_install_last_success_timestamp_seconds").unwrap();
    assert!((begin.floor()..=now()).contains(&success), "{success}");

    // What cannot be put back is told: a folder is in its place.
    let calico = node.path("host/opt/cni/bin/calico");
    std::fs::remove_file(&calico).unwrap();
    until("a folder is in its place", || {
        let _ = std::fs::remove_file(&calico);
        std::fs::create_dir(&calico).is_ok()
    });
    until("that is told", || {
        node.ask("/readyz").is_some_and(|(status, text)| status == 503 && text.contains("/host/opt/cni/bin/calico"))
    });
    assert_eq!(node.ask("/healthz").unwrap().0, 200);
    assert!(metric(&node, "calico_install_errors_total").unwrap() >= 1.0);
    std::fs::remove_dir(&calico).unwrap();
    node.wait_until_ready();

    // Many that say nothing do not keep it from answering.
    let silent = (0..40).map(|_| {
        let mut command = node.host.command("busybox");
        command.args(["nc", "127.0.0.1", "9197"]).stdin(std::process::Stdio::piped()).spawn().unwrap()
    });
    let mut silent: Vec<_> = silent.collect();
    until("there is an answer", || node.ask("/healthz").is_some_and(|(status, _)| status == 200));
    for child in &mut silent {
        let _ = child.kill();
        let _ = child.wait();
    }
    installer.end();

    // Nothing is told of a token that others manage.
    node.set("MANAGE_KUBECONFIG", "false");
    let installer = node.start_installer();
    node.wait_until_ready();
    assert!(!node.ask("/metrics").unwrap().1.contains("_token_"));
    installer.end();
    node.set("HEALTH_ADDRESS", "");
    let mut installer = node.start_installer();
    installer.wait_for("everything is installed");
    assert_eq!(node.ask("/healthz"), None);
    installer.end();
}

#[test]
fn an_address_that_is_taken_holds_nothing_up() {
    let node = Node::start();
    let mut command = node.host.command("busybox");
    command.args(["nc", "-l", "-p", "9197"]).stdin(std::process::Stdio::piped());
    let mut other = command.spawn().unwrap();
    until("it listens", || node.host.run("sh", &["-c", "cat /proc/net/tcp*"]).contains(":23ED "));
    let mut installer = node.start_installer();
    installer.wait_for("HEALTH_ADDRESS cannot be used");
    installer.wait_for("everything is installed");
    other.kill().unwrap();
    other.wait().unwrap();
    node.wait_until_ready();
    installer.end();
}
