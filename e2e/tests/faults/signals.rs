//! An ADD that is told to end at a known point: it answers with an error, and leaves nothing that a DEL would have to
//! remove.

use std::path::Path;

use e2e::{Container, Faults, Host, Place, Running, Site, dual_stack, until};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::lock::Holder;
use crate::{plugins, proxy, site, with};

/// Ends a call, which says so.
#[track_caller]
fn terminate(running: Running) {
    running.signal(Signal::SIGTERM);
    let answer = running.finish();
    assert!(answer.error().text.contains("the call was ended by SIGTERM"), "{answer:?}");
    assert!(!answer.stderr.contains("could not"), "{answer:#?}");
}

/// The call is at the point that `reached` waits for.
#[track_caller]
fn terminated(site: &Site, container: &Container<'_>, running: Running, reached: impl FnOnce()) {
    reached();
    terminate(running);
    assert_eq!(container.links(), ["lo"]);
    site.assert_nothing_left();
    container.del(&site.netconf()).run().result();
    site.assert_nothing_left();
}

#[test]
fn while_stdin_is_read() {
    let host = Host::start();
    let container = host.container("c1");
    for executable in ["calico", "calico-ipam"] {
        for (verb, signal) in [("ADD", Signal::SIGTERM), ("DEL", Signal::SIGTERM), ("CHECK", Signal::SIGINT)] {
            let running = container.call(executable, verb, &Value::Null).stdin("{\"name\":").start_with_open_stdin();
            // From its first moments on it holds the signal back, to see it where it waits.
            until("the process waits", || holds_back(running.id(), signal) && waits(running.id()));
            running.signal(signal);
            let error = running.finish().error();
            let words = format!("error reading from stdin: the call was ended by {signal}");
            assert!(error.text.contains(&words), "{error:?}");
        }
    }
    host.assert_nothing_left();
}

fn holds_back(process: u32, signal: Signal) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigBlk:")).unwrap_or("0");
    u64::from_str_radix(mask.trim(), 16).unwrap() & 1 << (signal as u32 - 1) != 0
}

fn waits(process: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    stat.contains(") S ")
}

#[test]
fn in_a_readiness_gate() {
    let host = Host::start();
    let container = host.container("c1");
    let proxy = Path::new(env!("CARGO_BIN_EXE_proxy"));
    let gate = host.daemon(proxy, &["127.0.0.1:8081", "x", "y", "blackhole"]);
    until("the gate is there", || gate.log().contains("listening"));
    let netconf = with(json!({ "readiness_gates": ["http://127.0.0.1:8081/"] }));
    let running = container.add(&netconf).start();
    until("the gate is asked", || gate.log().contains("connection 0"));
    terminate(running);
    assert_eq!(container.links(), ["lo"]);
    host.assert_nothing_left();
    container.del(&netconf).run().result();
    host.assert_nothing_left();
}

#[test]
fn while_the_host_lock_is_waited_for() {
    let site = site();
    let container = site.host.container("c1");
    let holder = Holder::start(&site.host);
    let running = container.add(&site.netconf()).start();
    until("the lock is waited for", || running.waits_for_lock());
    terminate(running);
    drop(holder);
    assert_eq!(container.links(), ["lo"]);
    site.assert_nothing_left();
    container.del(&site.netconf()).run().result();
    site.assert_nothing_left();
}

#[test]
fn while_a_silent_etcd_is_connected_to() {
    let site = site();
    let container = site.host.container("c1");
    let proxy = proxy(&site, Faults { blackhole: true, ..Faults::default() });
    let running = container.add(&site.through(&proxy)).start();
    terminated(&site, &container, running, || proxy.wait_for_connections(1));
}

/// The request is on its way, and never gets to the server.
#[track_caller]
fn before(request: usize) {
    let site = site();
    let container = site.host.container("c1");
    let proxy = proxy(&site, Faults { hold: Some(request), ..Faults::default() });
    let running = container.add(&site.through(&proxy)).start();
    terminated(&site, &container, running, || {
        until("the request is sent", || proxy.requests().first() == Some(&request));
    });
}

#[test]
fn before_the_first_read() {
    before(1);
}

#[test]
fn before_the_blocks_are_read() {
    before(2);
}

#[test]
fn before_the_addresses_are_committed() {
    before(3);
}

#[test]
fn before_the_endpoint_is_committed() {
    before(4);
}

#[test]
fn after_the_addresses_are_committed() {
    let site = site();
    let container = site.host.container("c1");
    let proxy = proxy(&site, Faults { mute: Some(3), ..Faults::default() });
    let running = container.add(&site.through(&proxy)).start();
    terminated(&site, &container, running, || {
        until("the addresses are committed", || site.etcd.stored().handles() == ["net1.c1"]);
    });
}

#[test]
fn after_the_endpoint_is_committed() {
    let site = site();
    let container = site.host.container("c1");
    let proxy = proxy(&site, Faults { mute: Some(4), ..Faults::default() });
    let running = container.add(&site.through(&proxy)).start();
    terminated(&site, &container, running, || {
        until("the endpoint is committed", || site.etcd.stored().endpoints().len() == 1);
    });
}

/// An IPAM plugin that notes what it is asked, and keeps its ADD waiting where there is a file `slow`.
const NOTING: &str = r#"cat >/dev/null
echo $CNI_COMMAND >>"$here/calls"
[ $CNI_COMMAND = ADD ] || exit 0
if [ -e "$here/slow" ]; then echo $$ >"$here/new"; mv "$here/new" "$here/id"; exec sleep 600; fi
echo '{"ips":[{"address":"10.9.0.5/24"}]}'"#;

#[test]
fn while_another_plugin_works_and_after_it() {
    for slow in [true, false] {
        let site = site();
        let container = site.host.container("c1");
        let path = plugins(&site.host, "noting", NOTING);
        let folder = Path::new(&path);
        // Its addresses are recorded by the second request.
        let proxy = proxy(&site, Faults { hold: Some(2), ..Faults::default() });
        let mut netconf = site.through(&proxy);
        netconf["ipam"] = json!({ "type": "noting" });
        if slow {
            std::fs::write(folder.join("slow"), "").unwrap();
        }
        let running = container.add(&netconf).env("CNI_PATH", &path).start();
        match slow {
            true => until("the plugin is called", || folder.join("id").exists()),
            false => until("the endpoint is sent", || proxy.requests().first() == Some(&2)),
        }
        terminate(running);
        assert_eq!(std::fs::read_to_string(folder.join("calls")).unwrap(), "ADD\nDEL\n");
        if let Ok(id) = std::fs::read_to_string(folder.join("id")) {
            assert!(!Path::new("/proc").join(id.trim()).exists(), "the plugin is left");
        }
        assert_eq!(container.links(), ["lo"]);
        site.assert_nothing_left();
        netconf["etcd_endpoints"] = site.netconf()["etcd_endpoints"].clone();
        container.del(&netconf).env("CNI_PATH", &path).run().result();
        site.assert_nothing_left();
    }
}

/// What was asked to end must not end another call.
#[test]
fn the_next_call_works() {
    let host = Host::start();
    let container = host.container("c1");
    let running = container.add(&dual_stack()).start_with_open_stdin();
    until("the process waits", || holds_back(running.id(), Signal::SIGTERM));
    terminate(running);
    container.add(&dual_stack()).run().result();
    container.del(&dual_stack()).run().result();
    host.assert_nothing_left();
}
