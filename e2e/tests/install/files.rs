//! Executables that run while they are replaced, and what the command line has.

use std::os::unix::process::CommandExt;
use std::process::Command;

use e2e::tool;

use crate::node::{Node, assert_nothing_unfinished};

#[test]
fn a_plugin_that_runs_is_replaced() {
    let mut node = Node::start().with_real_plugins();
    let target = node.path("host/opt/cni/bin/calico");
    std::fs::copy(tool("busybox"), &target).unwrap();
    let mut running = Command::new(&target).arg0("sleep").arg("1000").spawn().unwrap();
    let busy = std::fs::OpenOptions::new().write(true).open(&target).map(drop).map_err(|error| error.kind());
    assert_eq!(busy, Err(std::io::ErrorKind::ExecutableFileBusy));
    let said = node.install();
    let still = running.try_wait();
    running.kill().unwrap();
    running.wait().unwrap();
    said.assert_installed();
    assert!(matches!(still, Ok(None)), "{still:?}");
    assert_eq!(std::fs::read(target).unwrap(), std::fs::read(node.path("opt/cni/bin/calico")).unwrap());
    assert_nothing_unfinished(&node);
}

#[test]
fn both_folders_and_what_is_to_be_left() {
    let mut node = Node::start();
    std::fs::create_dir(node.path("host/secondary-bin-dir")).unwrap();
    node.put("host/secondary-bin-dir/portmap", b"the host's");
    node.put("host/opt/cni/bin/calico", b"old");
    node.set("SKIP_CNI_BINARIES", "loopback");
    node.set("UPDATE_CNI_BINARIES", "false");
    node.install().assert_installed();
    for folder in ["host/secondary-bin-dir", "host/opt/cni/bin"] {
        assert_eq!(node.names(folder), ["calico", "calico-ipam", "portmap"]);
        assert_eq!(node.read(&format!("{folder}/calico")), "#!/bin/sh\n# calico\n");
    }
    assert_eq!(node.read("host/secondary-bin-dir/portmap"), "the host's");
}

#[test]
fn the_command_line() {
    let mut node = Node::start();
    let said = node.with_arguments(&["--version"]);
    assert_eq!((said.code, said.stdout.as_str()), (Some(0), "calico-install 0.1.0\n"));
    let said = node.with_arguments(&["--help"]);
    assert!(said.code == Some(0) && said.stdout.contains("Exit codes:"), "{said:#?}");
    node.with_arguments(&["--instal"]).assert_failed(2, &["unknown arguments: --instal"]);
    assert!(node.names("host/opt/cni/bin").is_empty());
    node.set("SLEEP", "false");
    node.with_arguments(&["component", "cni", "install"]).assert_installed();
}
