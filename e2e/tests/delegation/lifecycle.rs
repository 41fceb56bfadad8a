//! DEL with other plugins: its order, its errors, and that it can be repeated.

use std::io::Write;
use std::process::Stdio;

use e2e::{Answer, Host, Place, Plugins, at_once, executable, executables_folder, until};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::failures::assert_ends;
use crate::{ONE_ADDRESS, Scripted, netconf, plugins, with_path};

#[test]
fn del_cleans_the_kernel_before_the_addresses_are_released() {
    let scripted = Scripted::new(ONE_ADDRESS);
    let container = scripted.host.container("c1");
    scripted.add(&container).run().result();
    scripted.del(&container).run().result();
    assert!(!scripted.noted("links.ADD").contains("calic1"), "{}", scripted.noted("links.ADD"));
    assert!(!scripted.noted("links.DEL").contains("calic1"), "{}", scripted.noted("links.DEL"));
    scripted.del(&container).run().result();
    container.remove_namespace();
    scripted.del(&container).run().result();
    scripted.del(&container).without("CNI_NETNS").run().result();
    assert_eq!(scripted.calls(), ["ADD", "DEL", "DEL", "DEL", "DEL"]);
    scripted.host.assert_nothing_left();
}

#[test]
fn a_del_whose_plugin_fails_has_cleaned_all_the_rest() {
    for (script, words) in [
        (r#"echo '{"code":77,"msg":"no","details":"not now"}'; exit 1"#, "no\nnot now"),
        ("exit 5", "netplugin failed with no error message: exit status 5"),
    ] {
        let scripted = Scripted::new(ONE_ADDRESS);
        let container = scripted.host.container("c1");
        scripted.add(&container).run().result();
        scripted.on("DEL", script);
        let error = scripted.del(&container).run().error();
        assert_eq!(error.text, words);
        assert!(error.code == 77 || error.code == 999, "{error:?}");
        assert_eq!(container.links(), ["lo"]);
        scripted.host.assert_nothing_left();
        // The runtime tries again, and the plugin is asked again.
        scripted.on("DEL", "");
        scripted.del(&container).run().result();
        assert_eq!(scripted.calls(), ["ADD", "DEL", "DEL"]);
    }
}

#[test]
fn an_add_whose_plugin_fails_to_release_tells_the_first_error() {
    let scripted = Scripted::new(r#"echo '{"code":41,"msg":"the first"}'; exit 1"#);
    scripted.on("DEL", r#"echo '{"code":42,"msg":"the second"}'; exit 1"#);
    let container = scripted.host.container("c1");
    let answer = scripted.add(&container).run();
    assert_eq!((answer.error().code, answer.error().text.as_str()), (41, "the first"));
    assert!(answer.stderr.contains("could not undo everything") && answer.stderr.contains("the second"), "{answer:#?}");
    scripted.host.assert_nothing_left();
}

#[test]
fn a_plugin_that_hangs_in_del_is_ended() {
    let scripted = Scripted::new(ONE_ADDRESS);
    scripted.on("DEL", "echo $$ >\"$here/id\"; exec sleep 600");
    let container = scripted.host.container("c1");
    scripted.add(&container).run().result();
    let mut netconf = scripted.netconf();
    netconf["timeout_seconds"] = json!(3);
    let error = scripted.del(&container).stdin(&netconf.to_string()).run().error();
    assert!(error.code == 11 && error.text.contains("waiting for DEL of the IPAM plugin"), "{error:?}");
    let id = scripted.noted("id");
    assert!(!std::fs::exists(format!("/proc/{}", id.trim())).unwrap(), "the plugin {id} is left");
    assert_eq!(container.links(), ["lo"]);
    scripted.host.assert_nothing_left();
}

/// The runtime ends the DEL, and with it the plugin.
#[test]
fn a_terminated_del_leaves_no_plugin_running() {
    let scripted = Scripted::new(ONE_ADDRESS);
    scripted.on("DEL", "echo $$ >\"$here/new\"; mv \"$here/new\" \"$here/id\"; exec sleep 600");
    let container = scripted.host.container("c1");
    scripted.add(&container).run().result();
    let running = scripted.del(&container).start();
    until("the plugin is called", || !scripted.noted("id").is_empty());
    running.signal(Signal::SIGTERM);
    assert!(running.finish().error().text.contains("SIGTERM"));
    let id = scripted.noted("id");
    assert!(!std::fs::exists(format!("/proc/{}", id.trim())).unwrap(), "the plugin {id} is left");
    scripted.on("DEL", "");
    scripted.del(&container).run().result();
    scripted.host.assert_nothing_left();
}

/// The files of host-local's addresses.
fn of_host_local(host: &Host) -> Vec<String> {
    let script = "cd /var/lib/cni/networks/net1 2>/dev/null && ls | grep -v -e lock -e last_reserved || true";
    host.run("sh", &["-c", script]).lines().map(str::to_owned).collect()
}

fn dual_stack_host_local() -> Value {
    netconf(json!({
        "type": "host-local",
        "ranges": [[{"subnet": "10.9.0.0/30"}], [{"subnet": "fd09::/120"}], [{"subnet": "10.19.0.0/24"}]],
        "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}],
    }))
}

#[test]
fn host_local_with_several_ranges() {
    let host = Host::start();
    let folder = plugins(Plugins::V1_9);
    let netconf = dual_stack_host_local();
    let call = |call| with_path(call, &folder);
    let (a, b) = (host.container("a"), host.container("b"));
    let to_a = call(a.add(&netconf)).run().addresses();
    assert_eq!((to_a.len(), of_host_local(&host).len()), (3, 3), "{to_a:?}");
    for address in &to_a {
        assert!(host.ping(address), "{address} does not answer");
    }
    // The first range has one address for containers: 10.9.0.1 is taken for a gateway.
    let error = call(b.add(&netconf)).run().error();
    assert!(error.text.contains("no IP addresses available in range set"), "{error:?}");
    assert_eq!((b.links().len(), of_host_local(&host).len()), (1, 3), "{error:?}");
    for _ in 0..2 {
        call(a.del(&netconf)).run().result();
    }
    assert!(of_host_local(&host).is_empty());
    assert_eq!(call(b.add(&netconf)).run().addresses()[0], to_a[0]);
    call(b.del(&netconf)).run().result();
    host.assert_nothing_left();
}

/// What was assigned is released when the kernel fails.
#[test]
fn host_local_after_a_kernel_failure() {
    let host = Host::start();
    let folder = plugins(Plugins::V1_9);
    let netconf = dual_stack_host_local();
    let container = host.container("c1");
    container.ip("link add eth0 type veth peer name other");
    let error = with_path(container.add(&netconf), &folder).run().error();
    assert!(error.text.contains("the name is taken by a veth"), "{error:?}");
    assert!(of_host_local(&host).is_empty());
    host.assert_nothing_left();
}

/// The IPAM plugin releases by container: what one of two calls takes back must not be the other's.
#[test]
fn two_adds_of_one_container_at_once_make_one_network() {
    for ipam in [
        json!({ "type": "host-local", "ranges": [[{ "subnet": "10.66.0.0/24" }]] }),
        json!({ "type": "calico-ipam", "exec": true, "ipv4_pools": ["10.65.0.0/16"] }),
    ] {
        let host = Host::start();
        let netconf = netconf(ipam);
        let path = std::env::join_paths([executables_folder(), plugins(Plugins::V1_9)]).unwrap();
        let path = std::path::PathBuf::from(path);
        for round in 0..5 {
            let container = host.container(&format!("c{round}"));
            let adds = || (0..2).map(|_| with_path(container.add(&netconf), &path));
            let answers = at_once(adds());
            let addresses: Vec<Vec<String>> = answers.iter().map(Answer::addresses).collect();
            assert_eq!(addresses[0], addresses[1]);
            assert!(host.ping(&addresses[0][0]), "{addresses:?}");
            let mut with_result = netconf.clone();
            with_result["prevResult"] = answers[0].result();
            let check = with_path(container.call("calico", "CHECK", &with_result), &path).run();
            assert_eq!(check.exit, Some(0), "{check:#?}");
            with_path(container.del(&netconf), &path).run().result();
            host.assert_nothing_left();
        }
    }
}

/// A DEL that comes after must find everything that there will ever be.
#[test]
fn a_plugin_ends_with_the_call_that_executes_it() {
    let scripted = Scripted::new("echo $$ >\"$here/id\"; exec sleep 600");
    let container = scripted.host.container("c1");
    let running = scripted.add(&container).start();
    until("the plugin is at work", || scripted.noted("id").ends_with('\n'));
    running.signal(Signal::SIGKILL);
    running.finish();
    assert_ends(&scripted.noted("id"));
    scripted.del(&container).run().result();
    scripted.host.assert_nothing_left();
}

#[test]
fn what_a_failed_plugin_left_behind_is_ended_before_its_del() {
    let scripted = Scripted::new("sleep 600 >/dev/null 2>&1 & echo $! >\"$here/id\"; exit 3");
    scripted.on("DEL", "read id <\"$here/id\"; grep -qs ') [^Z]' /proc/$id/stat && echo $id >\"$here/alive\"; :");
    let container = scripted.host.container("c1");
    scripted.add(&container).run().error();
    assert_eq!(scripted.calls(), ["ADD", "DEL"]);
    assert_eq!(scripted.noted("alive"), "");
    assert_ends(&scripted.noted("id"));
    scripted.host.assert_nothing_left();
}

/// Some callers ignore the ends of their children, and what they start inherits that.
#[test]
fn a_caller_that_ignores_its_children_is_no_trouble() {
    let scripted = Scripted::new(ONE_ADDRESS);
    let container = scripted.host.container("c1");
    for verb in ["ADD", "DEL"] {
        let mut command = scripted.host.command("env");
        command.arg("--ignore-signal=CHLD").arg(executable("calico"));
        command.env("CNI_COMMAND", verb).env("CNI_CONTAINERID", "c1").env("CNI_IFNAME", "eth0");
        command.env("CNI_NETNS", container.netns()).env("CNI_PATH", &scripted.folder);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(scripted.netconf().to_string().as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{verb}: {}", String::from_utf8_lossy(&output.stdout));
    }
    assert_eq!(scripted.calls(), ["ADD", "DEL"]);
    scripted.host.assert_nothing_left();
}
