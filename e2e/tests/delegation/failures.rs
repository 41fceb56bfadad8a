//! Plugins that fail, each in its own way: the error says so, and what the plugin may have assigned is released.

use std::fs::OpenOptions;
use std::time::Duration;

use e2e::{Answer, Place, until};
use serde_json::json;

use crate::{ONE_ADDRESS, Scripted};

/// An ADD that fails for what the plugin does; its DEL is called, and nothing is left.
#[track_caller]
fn undone(add: &str, words: &[&str]) -> (Scripted, Answer) {
    let scripted = Scripted::new(add);
    let container = scripted.host.container("c1");
    let answer = scripted.add(&container).run();
    answer.error().assert_words(words);
    assert_eq!(scripted.calls(), ["ADD", "DEL"]);
    assert_eq!(scripted.noted("stdin.DEL"), scripted.noted("stdin.ADD"));
    assert_eq!(container.links(), ["lo"]);
    scripted.host.assert_nothing_left();
    (scripted, answer)
}

/// An ADD whose plugin never ran: it is not told to release anything.
#[track_caller]
fn never_ran(scripted: &Scripted, words: &[&str]) {
    let container = scripted.host.container("c1");
    scripted.add(&container).run().error().assert_words(words);
    assert!(scripted.calls().is_empty());
    assert_eq!(container.links(), ["lo"]);
    scripted.host.assert_nothing_left();
}

/// Waits until a process that was killed has ended. Whoever shall wait for it may not have.
#[track_caller]
pub fn assert_ends(process: &str) {
    assert!(!process.trim().is_empty(), "nobody said which process");
    let stat = format!("/proc/{}/stat", process.trim());
    until("the process ends", || !std::fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z ")));
}

#[test]
fn the_error_of_a_plugin_is_passed_on_unchanged() {
    let object = json!({"cniVersion": "1.0.0", "code": 4242, "msg": "no <address> left", "details": "in\nnet1"});
    let (_, answer) =
        undone(&format!("echo noise >&2; printf '%s' '{}'; exit 7", object.to_string().replace("\\n", "\\\\n")), &[]);
    assert_eq!(
        answer.stdout,
        "{\n    \"code\": 4242,\n    \"msg\": \"no \\u003caddress\\u003e left\",\n    \"details\": \"in\\\\nnet1\"\n}"
    );
    let (_, answer) = undone(r#"echo '{"code":11,"msg":"later"}'; exit 1"#, &[]);
    assert_eq!(answer.stdout, "{\n    \"code\": 11,\n    \"msg\": \"later\"\n}");
}

#[test]
fn a_plugin_that_fails_without_an_error_object() {
    undone("exit 3", &["netplugin failed with no error message: exit status 3"]);
    undone("kill -9 $$", &["netplugin failed with no error message: signal: 9"]);
    undone("echo the cause >&2; exit 1", &["netplugin failed: \"the cause\\n\""]);
    undone("echo garbage; exit 1", &["netplugin failed but error parsing its diagnostic message \"garbage\\n\""]);
}

#[test]
fn a_plugin_that_succeeds_without_a_usable_result() {
    undone("", &["cannot read the plugin's result: it printed nothing", "plugins/scripted"]);
    undone("echo garbage", &["cannot read the plugin's result: it is not valid JSON", "plugins/scripted"]);
    undone("printf '{\"ips\":\\377}'", &["cannot read the plugin's result: it is not valid JSON"]);
    undone("echo '[]'", &["expected an object, found a list"]);
    undone(r#"echo '{"cniVersion":"7.0.0"}'"#, &["its cniVersion \"7.0.0\" is not supported"]);
    undone(r#"echo '{"ips":[{"address":"10.9.0.5"}]}'"#, &["ips[0].address: invalid CIDR address: 10.9.0.5"]);
    let none = ["IPAM plugin returned no IP addresses in result", "plugins/scripted"];
    undone("echo '{}'", &none);
    undone(r#"echo '{"cniVersion":"0.2.0","dns":{}}'"#, &none);
}

#[test]
fn a_plugin_that_never_stops_talking() {
    undone("head -c 20971520 /dev/zero", &["the plugin printed more than 1 MiB on stdout"]);
    undone("exec yes >&2", &["the plugin printed more than 16 MiB on stderr"]);
}

#[test]
fn the_kernel_refuses_what_a_plugin_answers() {
    let twice = r#"echo '{"ips":[{"address":"10.9.0.5/24"},{"address":"10.9.0.5/24"}]}'"#;
    undone(twice, &["failed to add 10.9.0.5 to eth0", "EEXIST"]);
}

#[test]
fn an_endpoint_that_is_not_stored() {
    // No profile can be called so, which shows when it is written.
    let scripted = Scripted::new(ONE_ADDRESS);
    let container = scripted.host.container("c1");
    let mut netconf = scripted.netconf();
    netconf["name"] = json!("Net_1");
    let error = scripted.add(&container).stdin(&netconf.to_string()).run().error();
    error.assert_words(&["error with field Profiles[0] = 'Net_1'"]);
    assert_eq!(scripted.calls(), ["ADD", "DEL"]);
    assert_eq!(container.links(), ["lo"]);
    scripted.host.assert_nothing_left();
}

/// The plugin, what it started, and what keeps its output open are ended before its DEL is called.
#[test]
fn a_plugin_that_hangs_is_ended() {
    for add in [
        "echo $$ $$ >\"$here/ids\"; exec sleep 600",
        "sleep 600 & echo $$ $! >\"$here/ids\"; wait",
        "sleep 600 & echo $$ $! >\"$here/ids\"; exit 0",
    ] {
        let scripted = Scripted::new(add);
        let noting = "for id in $(cat \"$here/ids\"); do grep -qs ') [^Z]' /proc/$id/stat && echo $id >>\"$here/alive\"; done; :";
        scripted.on("DEL", noting);
        let container = scripted.host.container("c1");
        let mut netconf = scripted.netconf();
        netconf["timeout_seconds"] = json!(3);
        let error = scripted.add(&container).stdin(&netconf.to_string()).run().error();
        assert_eq!(error.code, 11, "{error:?}");
        error.assert_words(&["timed out after 3s while waiting for ADD of the IPAM plugin", "plugins/scripted"]);
        assert_eq!(scripted.calls(), ["ADD", "DEL"], "{add}");
        assert_eq!(scripted.noted("alive"), "", "{add}: it was still there when its DEL was called");
        scripted.noted("ids").split_whitespace().for_each(assert_ends);
        assert_eq!(container.links(), ["lo"]);
        scripted.host.assert_nothing_left();
    }
}

#[test]
fn a_plugin_that_cannot_be_started() {
    let scripted = Scripted::new(ONE_ADDRESS);
    let program = scripted.folder.join("scripted");

    scripted.install(include_str!("plugin.sh"), 0o644);
    never_ran(&scripted, &["plugins/scripted", "Permission denied", "chmod 755"]);
    let del = scripted.del(&scripted.host.container("c2")).run().error();
    del.assert_words(&["plugins/scripted", "Permission denied", "chmod 755"]);

    scripted.host.ip("netns delete c1");
    scripted.install("#!/no/such/interpreter\n", 0o755);
    never_ran(&scripted, &["plugins/scripted", "No such file", "interpreter"]);

    scripted.host.ip("netns delete c1");
    scripted.install("\x7fELF and no more", 0o755);
    never_ran(&scripted, &["plugins/scripted", "Exec format error", "executable for this machine"]);

    scripted.host.ip("netns delete c1");
    std::fs::remove_file(&program).unwrap();
    let not_found = format!("failed to find plugin \"scripted\" in path [{}]", scripted.folder.display());
    never_ran(&scripted, &[&not_found, "CNI_PATH"]);

    scripted.host.ip("netns delete c1");
    std::fs::create_dir(&program).unwrap();
    never_ran(&scripted, &[&not_found, "CNI_PATH"]);
}

#[test]
fn a_plugin_that_is_being_installed_is_waited_for() {
    let scripted = Scripted::new(ONE_ADDRESS);
    // Not a script: whether the kernel refuses those that are open for writing depends on its version.
    let program = scripted.folder.join("scripted");
    std::fs::rename(&program, scripted.folder.join("script")).unwrap();
    std::fs::copy("/bin/busybox", &program).unwrap();
    let container = scripted.host.container("c1");
    let installer = OpenOptions::new().append(true).open(&program).unwrap();
    let running = scripted.add(&container).start();
    std::thread::sleep(Duration::from_millis(700));
    drop(installer);
    // Busybox was started: it knows no program called `scripted`.
    running.finish().error().assert_words(&["applet not found"]);

    let installer = OpenOptions::new().append(true).open(&program).unwrap();
    never_ran_busy(&scripted);
    drop(installer);
}

fn never_ran_busy(scripted: &Scripted) {
    let container = scripted.host.container("c2");
    let error = scripted.add(&container).run().error();
    error.assert_words(&["plugins/scripted", "Text file busy", "try again"]);
    assert_eq!(container.links(), ["lo"]);
    scripted.host.assert_nothing_left();
}
