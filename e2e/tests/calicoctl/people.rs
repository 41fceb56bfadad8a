//! What makes it a tool for people.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::process::{Child, Stdio};

use e2e::{Ctl, executable};

use crate::inputs;

/// A process that would go on for ever. It ends with the test.
struct Watcher(Child);

impl Drop for Watcher {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn watching_shows_what_changes() {
    let ctl = Ctl::on_local();
    inputs::write(&ctl);
    ctl.succeed("create -f pool.yaml");
    let mut command = ctl.command();
    command.args(["get", "pools", "--watch"]).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut watcher = Watcher(command.spawn().unwrap());
    let mut lines = BufReader::new(watcher.0.stdout.take().unwrap()).lines();
    let mut next = || lines.next().expect("it goes on").expect("it prints UTF-8");
    assert!(next().starts_with("EVENT"));
    assert!(next().starts_with("ADDED     pool1"));
    ctl.succeed(r#"patch pool pool1 -p {"spec":{"nodeSelector":"has(x)"}}"#);
    let changed = next();
    assert!(changed.starts_with("CHANGED   pool1") && changed.contains("has(x)"), "{changed}");
    ctl.succeed("create -f pool6.yaml");
    assert!(next().starts_with("ADDED     pool6"));
    ctl.succeed("delete pool pool1");
    // Perhaps seen while it was disabled to be deleted.
    let deleted = std::iter::repeat_with(next).find(|line| !line.starts_with("CHANGED")).unwrap();
    assert!(deleted.starts_with("DELETED   pool1"), "{deleted}");
}

#[test]
fn help_goes_to_stdout_and_names_itself() {
    let ctl = Ctl::on_local();
    for line in ["", "--help", "help", "ipam", "help ipam check", "get --help"] {
        let help = ctl.succeed(line);
        assert!(help.contains("Usage: calicoctl"), "{line}: {help}");
    }
    // As a plugin of kubectl.
    let link = ctl.host.folder().join("kubectl-calico");
    symlink(executable("calicoctl"), &link).unwrap();
    let output = ctl.host.program(&link).arg("--help").output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && help.contains("Usage: kubectl calico"), "{help}");
}

#[test]
fn shells_complete_and_man_reads() {
    let ctl = Ctl::on_local();
    for shell in ["bash", "zsh", "fish"] {
        let script = ctl.succeed(&format!("completion {shell}"));
        assert!(script.contains("ippools") && script.contains("show-borrowed"), "{shell}");
        ctl.write(&format!("script.{shell}"), &script);
    }
    // bash itself must take it, and find the commands with it.
    let complete = "source /var/lib/calico/script.bash; COMP_WORDS=(calicoctl ipam sh); COMP_CWORD=2; _calicoctl calicoctl sh ipam; echo \"${COMPREPLY[@]}\"";
    let output = ctl.host.program(&e2e::tool("bash")).args(["-c", complete]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "show\n", "{output:?}");
    let page = ctl.succeed("man");
    assert!(page.contains(".TH calicoctl 1") && page.contains("CALICOCTL IPAM EXPLAIN"), "{page}");
}

#[test]
fn nothing_but_a_terminal_gets_colours_or_progress() {
    let ctl = Ctl::on_local();
    inputs::write(&ctl);
    for line in ["create -f pool.yaml", "get pools", "ipam show", "ipam check", "apply -f pool.yaml", "version"] {
        let said = ctl.run(line);
        assert!(!said.stdout.contains('\x1b') && !said.stderr.contains('\x1b'), "{line}: {said:?}");
    }
}

#[test]
fn a_terminal_gets_them() {
    let ctl = Ctl::on_local();
    inputs::write(&ctl);
    ctl.succeed("create -f pool.yaml");
    let line = format!("{} get pools --local", executable("calicoctl").display());
    let on_terminal = |line: &str| {
        let mut script = ctl.host.program(&e2e::tool("script"));
        let output =
            script.env("TERM", "xterm").args(["-qec", line, "/dev/null"]).stdin(Stdio::null()).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let shown = on_terminal(&line);
    assert!(shown.starts_with("\x1b[1mNAME") && shown.contains("pool1"), "{shown:?}");
    assert!(on_terminal(&format!("NO_COLOR=1 {line}")).starts_with("NAME"));
}

#[test]
fn a_reader_that_goes_away_is_no_failure_to_talk_about() {
    let ctl = Ctl::on_local();
    inputs::write(&ctl);
    ctl.succeed("create -f pool.yaml");
    let line =
        format!("{} get pools -o yaml --local=/var/lib/calico/calico.db | true", executable("calicoctl").display());
    let output = ctl.host.program(&e2e::tool("sh")).args(["-c", &line]).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}

#[test]
fn this_host_as_a_node() {
    let ctl = Ctl::on_local();
    // No node agent runs on the host of a test; another machine's could.
    let stderr = ctl.run("node status").failure();
    assert!(stderr.starts_with("Calico process is not running."), "{stderr}");
    let said = ctl.run("node checksystem");
    assert!(
        said.stdout.starts_with("Checking kernel version...\n") && said.stdout.contains("Checking kernel modules...\n"),
        "{said:#?}"
    );
    let said = ctl.run("node timings --log-file /var/lib/calico/none.log");
    assert_eq!((said.code, said.stdout.as_str()), (0, ""), "{said:#?}");
    assert!(said.stderr.contains("log_file_path"), "{said:#?}");
}
