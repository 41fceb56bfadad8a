//! `make cluster` shows a control plane that can be used as it says, and leaves nothing.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

#[test]
fn a_cluster_can_be_used_as_it_says_until_it_is_ended() {
    let mut cluster = Command::new(env!("CARGO_BIN_EXE_cluster")).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(cluster.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut said = Vec::new();
    for line in lines {
        let last = line.contains("Ctrl-C");
        said.push(line);
        if last {
            break;
        }
    }
    let commands: Vec<&str> = said.iter().filter_map(|line| line.strip_prefix("    ")).collect();
    let [enter, examples @ ..] = commands.as_slice() else { panic!("{said:#?}") };
    assert_eq!(examples.len(), 2, "{said:#?}");
    for (example, expected) in examples.iter().zip(["ippool.crd.projectcalico.org/pool4", "ipamblocks"]) {
        let example = if expected.contains('/') { format!("{example} -o name") } else { (*example).to_owned() };
        let output = Command::new("sh").args(["-c", &format!("{enter} -c '{example}'")]).output().unwrap();
        let stdout = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && stdout.contains(expected), "{enter}: {example}: {output:?}");
    }
    let kubeconfig = said.iter().find_map(|line| line.strip_prefix("The administrator has")).unwrap().trim();
    assert!(Path::new(kubeconfig).is_file());
    kill(Pid::from_raw(cluster.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
    assert!(cluster.wait().unwrap().success());
    assert!(!Path::new(kubeconfig).exists());
}
