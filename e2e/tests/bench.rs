//! The benchmark runs, and what it counts is right. (What it times is not asserted.)

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use e2e::{Host, Run, Runner, executables_folder, kubernetes_version};

/// A folder that vanishes with the value.
struct Folder(PathBuf);

impl Folder {
    fn create(name: &str) -> Folder {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    /// A folder with a plugin that answers every call with an error.
    fn failing(name: &str, message: &str) -> Folder {
        let folder = Folder::create(name);
        let script = format!("#!/bin/sh\necho '{{\"code\": 999, \"msg\": \"{message}\"}}'\nexit 1\n");
        std::fs::write(folder.0.join("calico"), script).unwrap();
        std::fs::set_permissions(folder.0.join("calico"), PermissionsExt::from_mode(0o755)).unwrap();
        folder
    }

    fn name(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn bench(folders: &[&str], datastores: &str) -> Output {
    let mut bench = Command::new(env!("CARGO_BIN_EXE_bench"));
    bench.env("PLUGINS", folders.join(" ")).env("DATASTORES", datastores).env("N", "3").output().unwrap()
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

/// The calls that are in the first column, and how their rows go on.
fn rows<'t>(table: &'t str, folder: &str) -> Vec<(&'t str, Vec<&'t str>)> {
    let row = |line: &'t str| {
        let (call, figures) = line.split_once(folder)?;
        Some((call.trim(), figures.split_whitespace().collect()))
    };
    table.lines().filter_map(row).collect()
}

#[test]
fn folders_are_compared_on_all_datastores() {
    let own = executables_folder();
    let own = own.to_str().unwrap();
    let copy = Folder::create("copy");
    for name in ["calico", "calico-ipam"] {
        std::fs::copy(executables_folder().join(name), copy.0.join(name)).unwrap();
    }
    let stranger = Folder::failing("stranger", "unknown datastore type: any");
    let output = bench(&[own, copy.name(), stranger.name()], "etcd kubernetes local");
    assert!(output.status.success(), "{output:?}");
    let report = text(output.stdout);
    assert!(report.contains(&format!("{own}: calico ")), "no sizes: {report}");
    let progress = text(output.stderr);
    assert!(!progress.contains("left behind"), "{progress}");

    let calls = ["ADD", "DEL", "ADD, 30 at once", "DEL, 30 at once"];
    let tables: Vec<&str> = report.split("\n\n").collect();
    let [machine, etcd, etcd_ratios, crowded, crowded_ratios, kubernetes, kubernetes_ratios, local, local_ratios] =
        tables[..]
    else {
        panic!("not eight tables: {report}");
    };
    assert!(machine.contains(&format!("Kubernetes {}", kubernetes_version())), "{machine}");
    for (table, folders) in [
        (etcd, &[own, copy.name()][..]),
        (kubernetes, &[own, copy.name()]),
        (local, &[own, copy.name()]),
        (etcd_ratios, &[copy.name()]),
        (kubernetes_ratios, &[copy.name()]),
        (local_ratios, &[copy.name()]),
    ] {
        for folder in folders {
            let rows = rows(table, &format!("{folder} "));
            assert_eq!(rows.iter().map(|row| row.0).filter(|call| !call.is_empty()).collect::<Vec<_>>(), calls);
        }
    }
    let crowds = ["first ADD on a host", "beside 10000 blocks", "ADD refused, 1 full block", "1024 full blocks"];
    for folder in [own, copy.name()] {
        let of = |table| rows(table, &format!("{folder} ")).into_iter().map(|row| row.0).collect::<Vec<_>>();
        assert_eq!(of(crowded), crowds);
        assert_eq!(of(crowded_ratios), [crowds[1], crowds[3]]);
    }
    for folder in [own, copy.name()] {
        let requests = |table| -> Vec<&str> {
            rows(table, &format!("{folder} ")).into_iter().map(|(_, figures)| figures[5]).collect()
        };
        assert_eq!(requests(etcd), ["4", "4", "-", "-"]);
        // The DEL empties its block: two more say whether the node may keep it.
        assert_eq!(requests(kubernetes), ["12", "11", "-", "-"]);
        assert_eq!(requests(local), ["-"; 4]);
    }
    let refused = format!("{}: not supported: unknown datastore type: any", stranger.name());
    assert!([etcd, kubernetes, local].iter().all(|table| table.contains(&refused)), "{report}");
}

#[test]
fn the_tool_is_measured_on_a_whole_cluster() {
    let own = executables_folder();
    let output = bench(&[own.to_str().unwrap()], "calicoctl");
    assert!(output.status.success(), "{output:?}");
    let report = text(output.stdout);
    let rows = rows(&report, &format!("{} ", own.display()));
    let calls: Vec<&str> = rows.iter().map(|row| row.0).filter(|call| !call.is_empty()).collect();
    assert_eq!(calls, ["ipam show", "ipam show --show-blocks", "ipam check"], "{report}");
}

#[test]
fn a_call_that_fails_ends_it_with_the_answer() {
    let failing = Folder::failing("failing", "no such luck");
    let output = bench(&[failing.name()], "local");
    assert_eq!((output.status.code(), text(output.stdout)), (Some(1), String::new()));
    let reason = text(output.stderr);
    assert!(reason.contains("/calico: ADD ended with status 1:") && reason.contains("no such luck"), "{reason}");
}

#[test]
fn what_is_chosen_wrongly_is_named() {
    let bin = executables_folder();
    let bin = bin.to_str().unwrap();
    for (folder, datastores, words) in
        [("/nowhere", "local", "/nowhere/calico is absent"), (bin, "local etcdv3", "DATASTORES=etcdv3 is unknown")]
    {
        let output = bench(&[folder], datastores);
        assert_eq!((output.status.code(), text(output.stdout)), (Some(1), String::new()));
        assert!(text(output.stderr).contains(words));
    }
}

#[test]
fn every_run_is_measured_by_itself() {
    let host = Host::start();
    let mut runner = Runner::start(&host, Path::new(env!("CARGO_BIN_EXE_runner")));
    let shell = |stdin: &str| Run {
        program: "/bin/sh".into(),
        arguments: Vec::new(),
        environment: BTreeMap::from([("NUMBER".to_owned(), "7".to_owned())]),
        stdin: stdin.to_owned(),
    };
    let idle = "read line";
    let busy = "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done; echo done; echo $NUMBER >&2; exit $NUMBER";
    let [idle, busy, killed] = &runner.run(&[shell(idle), shell(busy), shell("kill -9 $$")])[..] else {
        panic!("not three answers");
    };
    assert_eq!((idle.exit, busy.exit, killed.exit), (Some(1), Some(7), None));
    assert_eq!((busy.stdout.as_str(), busy.stderr.as_str()), ("done\n", "7\n"));
    assert!(idle.processor < busy.processor, "{idle:?} {busy:?}");
    assert!(idle.started <= busy.started && busy.started <= killed.started);
    // What a program leaves behind is no obstacle.
    runner.run(&[shell("(exec <&- >&- 2>&-; true) &")]);
    assert_eq!(runner.run(&[shell("exit 0")])[0].exit, Some(0));
}

#[test]
fn pods_on_a_kubelet_take_turns_with_pods_on_the_hosts_network() {
    let own = executables_folder();
    let own = own.to_str().unwrap();
    let output = bench(&[own], "kubelet");
    assert!(output.status.success(), "{output:?}");
    let report = text(output.stdout);
    let found = rows(&report, own);
    let found: Vec<(&str, usize)> = found.iter().map(|(label, figures)| (*label, figures.len())).collect();
    // The first is the line of sizes.
    let expected = [("all run, hostNetwork", 4), ("all run", 4), ("all run, less hostNetwork", 4)];
    assert!(found.ends_with(&expected), "{report}");
}
