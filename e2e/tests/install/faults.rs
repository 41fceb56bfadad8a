//! What is wrong with the node or with the configuration: one clear line, an exit code, and nothing half-written.

use e2e::{ApiGroup, ControlPlane, Place};

use crate::node::{Node, PLUGINS, assert_nothing_unfinished};

#[test]
fn no_folder_for_the_plugins_is_writable() {
    let mut node = Node::start();
    node.put("host/opt/cni/bin/calico", b"old");
    node.make_read_only("host/opt/cni/bin");
    let words = [
        "/host/opt/cni/bin: Read-only file system",
        "/host/secondary-bin-dir: No such file",
        "UPDATE_CNI_BINARIES=false",
    ];
    node.install().assert_failed(1, &words);
    node.set("UPDATE_CNI_BINARIES", "false");
    // Not both are there.
    node.install().assert_failed(1, &words);
    assert!(node.names("host/etc/cni/net.d").is_empty());
    node.put("host/opt/cni/bin/calico-ipam", b"old");
    let said = node.install();
    said.assert_installed();
    assert_eq!(node.names("host/opt/cni/bin"), ["calico", "calico-ipam"]);
    assert_eq!(node.read("host/opt/cni/bin/calico"), "old");
    // With the other folder, the first is not forgotten silently.
    std::fs::create_dir(node.path("host/secondary-bin-dir")).unwrap();
    let said = node.install();
    said.assert_installed();
    let line = said.stderr.lines().find(|line| line.contains("[WARNING]") && line.contains("is not writable")).unwrap();
    assert!(line.contains("/host/opt/cni/bin") && line.contains("Read-only file system"), "{line}");
    assert_eq!(node.names("host/secondary-bin-dir"), PLUGINS);
    assert_eq!(node.read("host/opt/cni/bin/calico"), "old");
}

#[test]
fn the_folder_of_configurations_is_read_only_or_not_there() {
    let plane = ControlPlane::shared(ApiGroup::Crd);
    let mut node = Node::of(&plane);
    node.put("host/etc/cni/net.d/10-calico.conflist", b"old");
    node.make_read_only("host/etc/cni/net.d");
    node.install()
        .assert_failed(1, &["cannot write into /host/etc/cni/net.d", "Read-only file system", "mount it writable"]);
    assert_eq!(node.conflist(), "old");
    let mut node = Node::of(&plane);
    std::fs::remove_dir(node.path("host/etc/cni/net.d")).unwrap();
    node.install().assert_failed(1, &["/host/etc/cni/net.d", "No such file", "mount the host's folder there"]);
}

#[test]
fn a_disk_that_is_full_leaves_the_old_plugin() {
    let mut node = Node::start().with_real_plugins();
    node.mount(&["-t", "tmpfs", "-o", "size=4m", "tmpfs"], "host/opt/cni/bin");
    let folder = node.on_host("host/opt/cni/bin");
    node.host.run("sh", &["-c", &format!("echo old >{folder}/calico; echo old >{folder}/calico-ipam")]);
    for _ in 0..2 {
        let said = node.install();
        said.assert_failed(1, &["/host/opt/cni/bin/calico", "No space left on device", "free space", "is intact"]);
        assert_eq!(node.host.run("ls", &["-A", &folder]), "calico\ncalico-ipam\n");
        assert_eq!(node.host.run("cat", &[&format!("{folder}/calico")]), "old\n");
        assert!(node.names("host/etc/cni/net.d").is_empty());
    }
    // With space again, all is well.
    node.host.run("mount", &["-o", "remount,size=40m", &folder]);
    node.install().assert_installed();
    assert_eq!(node.host.run("ls", &["-A", &folder]), format!("{}\n", PLUGINS.join("\n")));
}

#[test]
fn a_disk_that_is_full_leaves_the_old_configuration() {
    let mut node = Node::start();
    node.mount(&["-t", "tmpfs", "-o", "size=16k", "tmpfs"], "host/etc/cni/net.d");
    let folder = node.on_host("host/etc/cni/net.d");
    // All of it is in use.
    let fill = format!("echo old >{folder}/10-calico.conflist; cat /dev/zero >{folder}/filler 2>/dev/null; true");
    node.host.run("sh", &["-c", &fill]);
    node.install()
        .assert_failed(1, &["cannot write /host/etc/cni/net.d/10-calico.conflist", "No space left on device"]);
    assert_eq!(node.host.run("ls", &["-A", &folder]), "10-calico.conflist\nfiller\n");
    assert_eq!(node.host.run("cat", &[&format!("{folder}/10-calico.conflist")]), "old\n");
}

#[test]
fn a_configuration_that_is_wrong_changes_nothing() {
    let mut node = Node::start();
    node.put("host/etc/cni/net.d/10-calico.conflist", b"old");
    let before = node.stamps();
    for (name, value, words) in [
        (
            "CNI_NETWORK_CONFIG",
            "{\n  \"name\": \"swordfish\",\n}",
            "CNI_NETWORK_CONFIG is no CNI configuration (after substitution): it is no JSON, at line 3",
        ),
        ("CNI_NETWORK_CONFIG", r#"{"name": "n", "plugins": [{}]}"#, "plugins[0]: it has no \"type\""),
        (
            "CNI_NETWORK_CONFIG",
            r#"{"name": "n", "type": "calico", "cniVersion": "9.0.0"}"#,
            "\"cniVersion\" is none of",
        ),
        ("CNI_NETWORK_CONFIG_FILE", "/none", "cannot read CNI_NETWORK_CONFIG_FILE (/none): No such file"),
        ("SLEEP", "perhaps", "SLEEP=\"perhaps\" is wrong: set it to true or false"),
        ("TEST_FILE_PERMISSION", "rw", "permissions in octal"),
        ("MANAGE_KUBECONFIG", "perhaps", "true, missing or false"),
        ("HEALTH_ADDRESS", "nowhere", "an address and a port"),
    ] {
        node.set("SLEEP", "false");
        node.set(name, value);
        let said = node.with_arguments(&[]);
        // The log quotes what is quoted.
        assert_eq!(said.code, Some(2), "{said:#?}");
        assert!(said.stderr.contains(words), "{words}: {said:#?}");
        assert!(!said.stderr.contains("swordfish"), "{said:#?}");
        assert_eq!(node.stamps(), before);
        node.set(name, "");
    }
    assert_nothing_unfinished(&node);
}

#[test]
fn a_pod_without_the_way_to_the_api() {
    let plane = ControlPlane::shared(ApiGroup::Crd);
    let mut node = Node::of(&plane);
    node.set("KUBERNETES_SERVICE_HOST", "");
    node.install().assert_failed(2, &["KUBERNETES_SERVICE_HOST or KUBERNETES_SERVICE_PORT is not set"]);
    assert!(node.names("host/etc/cni/net.d").is_empty());
    // A pod without its service account.
    let mut node = Node::start();
    node.set("KUBERNETES_SERVICE_HOST", "172.31.0.1");
    node.set("KUBERNETES_SERVICE_PORT", "6443");
    node.install()
        .assert_failed(2, &["no service account is mounted at /var/run/secrets", "automountServiceAccountToken"]);
    assert!(node.names("host/etc/cni/net.d").is_empty());
    node.set("SLEEP", "true");
    let mut installer = node.start_installer();
    installer.wait_for("no service account is mounted at /var/run/secrets");
    e2e::until("that is told", || {
        node.ask("/readyz").is_some_and(|(status, text)| status == 503 && text.contains("no service account"))
    });
    installer.end();
}

#[test]
fn a_kernel_without_watches_is_told() {
    let mut node = Node::start();
    node.set("SLEEP", "false");
    for (limit, words) in [("max_inotify_watches", "os error 28"), ("max_inotify_instances", "os error 24")] {
        let said = node.run_by(&format!("echo 0 >/proc/sys/user/{limit} && exec \"$@\""));
        said.assert_installed();
        let line = said.stderr.lines().find(|line| line.contains("changes are seen within a minute only"));
        assert!(line.is_some_and(|line| line.contains(words)), "{said:#?}");
    }
}
