//! An installer that is killed or ended at any point leaves whole files: old ones or new ones.

use std::time::Instant;

use e2e::{Random, note};
use nix::sys::signal::Signal;

use crate::node::{Node, assert_nothing_unfinished};

/// The bytes of a plugin: enough to be interrupted.
const SIZE: usize = 3 << 20;
const ROUNDS: u64 = 40;

#[test]
fn whole_files_whenever_it_ends() {
    let mut node = Node::start();
    node.set("SLEEP", "false");
    let plugin = |version: u8| vec![version; SIZE];
    let config = |version: u8| {
        format!("{{\"name\": \"version-{version}\", \"type\": \"calico\", \"pad\": \"{}\"}}", "x".repeat(60_000))
    };
    let install = |node: &mut Node, version: u8| {
        for name in ["calico", "calico-ipam"] {
            node.put(&format!("opt/cni/bin/{name}"), &plugin(version));
        }
        node.put("config", config(version).as_bytes());
    };
    node.set("CNI_NETWORK_CONFIG_FILE", "/config");
    install(&mut node, 0);
    let begun = Instant::now();
    node.install().assert_installed();
    let time = begun.elapsed();

    let mut random = Random::for_test("whole_files_whenever_it_ends");
    let (mut cut, mut complete) = (0, 0);
    for round in 1..=ROUNDS {
        let version = u8::try_from(round).unwrap();
        install(&mut node, version);
        let mut installer = node.start_installer();
        std::thread::sleep(random.below(time * 6 / 5));
        let signal = if round % 2 == 0 { Signal::SIGKILL } else { Signal::SIGTERM };
        installer.signal(signal);
        let code = installer.wait();
        if signal == Signal::SIGTERM {
            let log = installer.log();
            let expected = match log.contains("everything is installed") {
                true => Some(0),
                // Before it holds the signal back, it ends by it.
                false if log.is_empty() => None,
                false => Some(1),
            };
            assert_eq!(code, expected, "{log}");
        }
        let is_whole =
            |found: &[u8]| found.len() == SIZE && found[0] <= version && found.iter().all(|byte| *byte == found[0]);
        let mut newest = 0;
        for name in ["calico", "calico-ipam"] {
            let found = std::fs::read(node.path("host/opt/cni/bin").join(name)).unwrap();
            assert!(is_whole(&found), "{name} is of {} bytes in round {round}", found.len());
            newest += u32::from(found[0] == version);
        }
        let found = node.conflist();
        assert!((0..=version).any(|version| config(version) == found), "round {round}: {} bytes", found.len());
        match found == config(version) {
            true => complete += 1,
            false => cut += u32::from(newest > 0),
        }
    }
    note(&format!("of {ROUNDS} runs that were ended, {complete} had installed everything and {cut} a part"));
    // What killed ones have left is gone after the next run.
    install(&mut node, 200);
    node.put("host/opt/cni/bin/.calico-install-0123", b"half");
    node.install().assert_installed();
    assert_nothing_unfinished(&node);
}
