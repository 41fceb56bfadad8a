//! The log file: many processes that write and rotate it at once, and files that cannot be written.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use e2e::{Answer, Container, Host, Place, at_once, dual_stack};
use serde_json::{Value, json};

/// The smallest limit that can be configured.
const LIMIT: usize = 1 << 20;
const CONTAINERS: usize = 30;

/// A log file in a folder that is seen from outside, with the smallest limit.
fn netconf(exec: bool) -> Value {
    let mut netconf = dual_stack();
    netconf["ipam"]["exec"] = json!(exec);
    netconf["log_level"] = json!("debug");
    netconf["log_file_path"] = json!("/var/lib/calico/log/cni.log");
    netconf["log_file_max_size"] = json!(1);
    netconf
}

/// Fills the log file up to so many bytes from its limit.
fn prefill(host: &Host, room: usize) -> PathBuf {
    let folder = host.folder().join("log");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("cni.log"), "an old line, 32 characters long\n".repeat((LIMIT - room) / 32)).unwrap();
    folder
}

/// The files of a folder by name, which is their order in time, but for the one that is written still: that is the
/// first. The one that only serves as a lock is left out.
fn files(folder: &Path) -> BTreeMap<String, String> {
    let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    let read = |path: PathBuf| std::fs::read_to_string(path).unwrap();
    let files = entries.map(|entry| (entry.file_name().into_string().unwrap(), read(entry.path())));
    files.filter(|(name, _)| !name.starts_with('.')).collect()
}

/// The lines of all files, sorted, without the old ones.
fn logged(files: &BTreeMap<String, String>) -> Vec<&str> {
    let mut lines: Vec<&str> = files.values().flat_map(|text| text.split_inclusive('\n')).collect();
    lines.retain(|line| *line != "an old line, 32 characters long\n");
    lines.sort_unstable();
    lines
}

/// What the calls wrote to stderr, sorted: the same as to the file.
fn said(answers: &[Answer]) -> Vec<&str> {
    let mut lines: Vec<&str> = answers.iter().flat_map(|answer| answer.stderr.split_inclusive('\n')).collect();
    lines.sort_unstable();
    lines
}

fn many_processes(exec: bool) {
    let host = Host::start();
    let netconf = netconf(exec);
    // So that it is full when many have it open.
    let folder = prefill(&host, 10_000);
    let containers: Vec<Container<'_>> = (0..CONTAINERS).map(|n| host.container(&format!("c{n}"))).collect();
    let (early, late) = containers.split_at(CONTAINERS / 2);

    let mut answers = at_once(early.iter().map(|container| container.add(&netconf)));
    answers.extend(at_once(early.iter().zip(late).flat_map(|(old, new)| [old.del(&netconf), new.add(&netconf)])));
    answers.extend(at_once(late.iter().map(|container| container.del(&netconf))));
    for answer in &answers {
        answer.result();
    }

    let files = files(&folder);
    let names: Vec<&str> = files.keys().map(String::as_str).collect();
    assert!(matches!(names[..], [renamed, "cni.log"] if renamed.ends_with("-size.log")), "{names:?}");
    let (logged, said) = (logged(&files), said(&answers));
    assert_eq!(logged, said, "a line was lost, torn or doubled");
    for component in if exec { ["cni-plugin", "ipam"].as_slice() } else { &["cni-plugin"] } {
        assert!(said.iter().any(|line| line.contains(&format!("] {component}/"))), "{component}");
    }
    assert!(files[names[0]].len() > LIMIT - 10_000, "nothing of the old file is lost");
    host.assert_nothing_left();
}

#[test]
fn many_processes_rotate_a_full_file_once_and_lose_nothing() {
    many_processes(false);
}

#[test]
fn many_processes_of_both_plugins_rotate_a_full_file_once_and_lose_nothing() {
    many_processes(true);
}

/// As a process of the Go plugin has it open, and knows nothing of our lock.
#[test]
fn what_another_program_writes_meanwhile_is_kept() {
    let host = Host::start();
    let netconf = netconf(false);
    let folder = prefill(&host, 32);
    // It ends with the folder, and so with the host, in any case.
    let writer = "exec 3>>/var/lib/calico/log/cni.log; n=0
        while [ -d /var/lib/calico/log ] && [ ! -e /var/lib/calico/stop ]; do n=$((n+1)); echo foreign $n >&3; done
        echo $n";
    let mut command = host.command("busybox");
    let child = command.args(["sh", "-c", writer]).stdout(std::process::Stdio::piped()).spawn().unwrap();
    while !files(&folder).values().any(|text| text.contains("foreign")) {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }

    let containers: Vec<Container<'_>> = (0..10).map(|n| host.container(&format!("c{n}"))).collect();
    let mut answers = at_once(containers.iter().map(|container| container.add(&netconf)));
    answers.extend(at_once(containers.iter().map(|container| container.del(&netconf))));
    std::fs::write(host.folder().join("stop"), "").unwrap();
    let written: usize = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap().trim().parse().unwrap();

    let files = files(&folder);
    assert!(files.len() >= 2, "{:?}", files.keys());
    let (foreign, ours): (Vec<&str>, Vec<&str>) =
        logged(&files).into_iter().partition(|line| line.starts_with("foreign "));
    assert_eq!(ours, said(&answers));
    let mut numbers: Vec<usize> = foreign.iter().map(|line| line["foreign ".len()..].trim().parse().unwrap()).collect();
    numbers.sort_unstable();
    assert!(numbers.into_iter().eq(1..=written), "{written} lines were written, {} are there", foreign.len());
    host.assert_nothing_left();
}

#[test]
fn old_files_are_removed_by_the_call_that_rotates() {
    let host = Host::start();
    let mut netconf = netconf(false);
    netconf["log_file_max_count"] = json!(2);
    netconf["log_file_max_age"] = json!(-1);
    let folder = prefill(&host, 32);
    for year in 2020..2024 {
        std::fs::write(folder.join(format!("cni-{year}-01-01T00-00-00.000-size.log.zst")), "").unwrap();
    }
    let container = host.container("c1");
    container.add(&netconf).run().result();
    container.del(&netconf).run().result();
    let names: Vec<String> = files(&folder).into_keys().collect();
    assert_eq!(names.len(), 3, "{names:?}");
    assert_eq!(names[0], "cni-2023-01-01T00-00-00.000-size.log.zst");
}

/// The call succeeds, and one warning says what is wrong with the file.
#[track_caller]
fn assert_one_warning(host: &Host, path: &str, words: [&str; 2]) {
    let mut netconf = dual_stack();
    netconf["log_file_path"] = json!(path);
    let container = host.container(&format!("c{}", path.len()));
    for answer in [container.add(&netconf).run(), container.del(&netconf).run()] {
        answer.result();
        let warnings: Vec<&str> = answer.stderr.lines().filter(|line| line.contains("[WARNING]")).collect();
        assert_eq!(warnings.len(), 1, "{answer:#?}");
        assert!(words.iter().all(|word| warnings[0].contains(word)), "{answer:#?}");
        assert!(answer.stderr.contains(" done "), "{answer:#?}");
    }
    host.assert_nothing_left();
}

#[test]
fn a_file_that_cannot_be_written_is_one_warning() {
    let host = Host::start();
    host.run("mkdir", &["/run/full", "/run/fixed", "/run/folder"]);
    host.run("mount", &["-t", "tmpfs", "-o", "size=64k", "tmpfs", "/run/full"]);
    host.run("sh", &["-c", "cat /dev/zero >/run/full/zeros || true"]);
    host.run("mount", &["-t", "tmpfs", "-o", "ro", "tmpfs", "/run/fixed"]);
    assert_one_warning(&host, "/run/full/log", ["cannot write the log file", "No space left"]);
    assert_one_warning(&host, "/run/fixed/the/log", ["cannot log to the file", "Read-only file system"]);
    assert_one_warning(&host, "/run/folder", ["cannot log to the file", "directory"]);
}
