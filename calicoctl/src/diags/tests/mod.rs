//! A cluster that is a script: `bin/kubectl`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::UNIX_EPOCH;

use flate2::read::GzDecoder;

use super::commands::Task;
use super::pods::Pod;
use super::*;
use crate::scratch::Scratch;

const NAME: &str = "calico-diagnostics-20260102T030405Z";

fn scripts() -> OsString {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/diags/tests/bin").into()
}

fn place(scratch: &Scratch) -> Place {
    Place {
        path: scripts(),
        temporary: scratch.root().to_owned(),
        result: scratch.root().to_owned(),
        now: UNIX_EPOCH + Duration::from_secs(1_767_323_045),
        limit: LIMIT,
    }
}

fn arguments() -> DiagsArgs {
    DiagsArgs {
        since: "30m".to_owned(),
        max_logs: 2,
        max_parallelism: 4,
        focus_nodes: vec!["n3".to_owned()],
        skip_temp_dir_cleanup: false,
    }
}

/// The files of an archive, below its folder.
fn unpack(archive: &Path) -> BTreeMap<String, String> {
    let mut archive = tar::Archive::new(GzDecoder::new(File::open(archive).unwrap()));
    let mut files = BTreeMap::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().strip_prefix(NAME).unwrap().display().to_string();
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        if entry.header().entry_type().is_file() {
            files.insert(path, text);
        }
    }
    files
}

#[test]
fn an_archive_of_a_cluster() {
    let scratch = Scratch::new("diags");
    let archive = collect(&Console::default(), &arguments(), Some("sound"), &place(&scratch)).unwrap();
    assert_eq!(archive, scratch.root().join(format!("{NAME}.tar.gz")));
    assert_eq!(std::fs::metadata(&archive).unwrap().permissions().mode() & 0o777, 0o600);
    // The folder that it was made of is gone.
    assert_eq!(std::fs::read_dir(scratch.root()).unwrap().count(), 1);

    let files = unpack(&archive);
    let expect = |file: &str, text: &str| assert_eq!(files.get(file).map(String::as_str), Some(text), "{files:?}");
    expect("cluster/nodes.yaml", "kubectl get nodes -o yaml\n");
    expect("cluster/pods.txt", "kubectl get pods -A -o wide\n");
    expect("cluster/kube-system/configmaps.txt", "kubectl get configmaps -n kube-system -o wide\n");
    expect("cluster/calico-system/secrets.txt", "calico-system   typha-certs   kubernetes.io/tls\n");
    expect("calico/ippools.crd.projectcalico.org.yaml", "kubectl get ippools.crd.projectcalico.org -A -o yaml\n");
    expect(
        "operator/tigerastatuses.operator.tigera.io.txt",
        "kubectl get tigerastatuses.operator.tigera.io -A -o wide\n",
    );
    let logs = "logs -n calico-system calico-node-3 --all-containers --prefix --timestamps --since=30m";
    expect("pods/calico-node/n3/calico-node-3/log.txt", &format!("kubectl {logs}\n"));
    expect("pods/calico-node/n3/calico-node-3/log-previous.txt", "some lines\n");
    expect(
        "pods/calico-node/n1/calico-node-1/iptables.txt",
        "kubectl exec -n calico-system calico-node-1 -c calico-node -- iptables-save -c\n",
    );
    expect(
        "pods/calico-typha/unscheduled/calico-typha-1/describe.txt",
        "kubectl describe pod -n calico-system calico-typha-1\n",
    );
    // A failure is recorded, with what kubectl says.
    let failed = format!("kubectl {logs} --previous: exit status: 1: previous terminated container not found\n");
    assert!(files["failures.txt"].contains(&failed), "{}", files["failures.txt"]);
    assert_eq!(files["failures.txt"].lines().count(), 3);
    expect("pods/calico-node/n3/calico-node-3/log-previous.txt.stderr", "previous terminated container not found\n");

    let has = |text: &str| files.keys().any(|file| file.contains(text));
    assert!(!has("calico-node-2") && !has("others.example.com") && !has("--all") && !has("-x.operator"), "{files:?}");
    assert!(!has("calico-typha-1/ip"), "only the node agent has the host's network");
    assert!(!files.values().any(|text| text.contains("TOPSECRET")), "{files:?}");
}

#[test]
fn a_cluster_that_does_not_answer() {
    let scratch = Scratch::new("broken");
    let arguments = DiagsArgs { skip_temp_dir_cleanup: true, ..arguments() };
    let archive = collect(&Console::default(), &arguments, Some("broken"), &place(&scratch)).unwrap();
    let files = unpack(&archive);
    assert_eq!(files["cluster/nodes.yaml"], "");
    assert_eq!(files["cluster/nodes.yaml.stderr"], "a warning\nThe connection was refused\n");
    let line = "kubectl get nodes -o yaml: exit status: 1: The connection was refused\n";
    assert!(files["failures.txt"].contains(line), "{}", files["failures.txt"]);
    let folder = scratch.root().join(format!("{NAME}-{}", std::process::id()));
    assert!(folder.join(NAME).join("failures.txt").is_file());
    assert_eq!(std::fs::metadata(folder).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn a_command_that_hangs_is_killed() {
    let scratch = Scratch::new("hanging");
    let place = Place { limit: Duration::from_secs(2), ..place(&scratch) };
    let archive = collect(&Console::default(), &arguments(), Some("hanging"), &place).unwrap();
    let failures = &unpack(&archive)["failures.txt"];
    assert!(failures.contains("kubectl get nodes -o yaml: killed: it did not end within 2s\n"), "{failures}");
}

#[test]
fn no_more_commands_at_once_than_allowed() {
    let scratch = Scratch::new("parallel");
    let context = format!("one-at-a-time:{}", scratch.root().display());
    let failures = |parallelism| {
        let kubectl = Kubectl::find(&scripts(), Some(&context), LIMIT).unwrap();
        let (folder, console) = (scratch.root().to_owned(), &Console::default());
        let mut collection = Collection { kubectl: &kubectl, folder, parallelism, console, failures: Vec::new() };
        collection.run("", (0..6).map(|number| Task::new(format!("{number}.txt"), "version")).collect());
        collection.failures
    };
    assert_eq!(failures(1), [""; 0]);
}

#[test]
fn arguments_are_checked_first() {
    let scratch = Scratch::new("arguments");
    let error = |arguments: DiagsArgs, place: Place| {
        collect(&Console::default(), &arguments, None, &place).unwrap_err().to_string()
    };
    let since = DiagsArgs { since: "30".to_owned(), ..arguments() };
    let expected = "invalid argument \"30\" for \"--since\" flag: time: missing unit in duration \"30\"";
    assert_eq!(error(since, place(&scratch)), expected);
    let none = DiagsArgs { max_parallelism: 0, ..arguments() };
    assert!(error(none, place(&scratch)).starts_with("invalid argument \"0\" for \"--max-parallelism\" flag"));
    // A file that is no program, and a folder that is relative.
    scratch.write("kubectl", "");
    let path = format!("{}:src/diags/tests/bin:", scratch.root().display());
    let place = Place { path: path.into(), ..place(&scratch) };
    assert_eq!(error(arguments(), place), "missing dependency: unable to locate kubectl in PATH");
}

#[test]
fn what_is_there_already_is_not_touched() {
    let scratch = Scratch::new("trap");
    let file = scratch.write(&format!("{NAME}.tar.gz"), "mine");
    let error = collect(&Console::default(), &arguments(), Some("broken"), &place(&scratch)).unwrap_err();
    assert!(error.to_string().starts_with("cannot write the archive: "), "{error}");
    assert_eq!(std::fs::read_to_string(file).unwrap(), "mine");
    let folder = format!("{NAME}-{}/mine", std::process::id());
    scratch.write(&folder, "mine");
    let error = collect(&Console::default(), &arguments(), Some("broken"), &place(&scratch)).unwrap_err();
    assert!(error.to_string().starts_with("cannot make the folder "), "{error}");
    assert!(scratch.root().join(folder).exists());
}

#[test]
fn names_are_no_options_and_no_paths() {
    let pods = "ns a n1 calico-node\nns -x n1 calico-node\nns ../a n1 calico-node\nns a/b n1 calico-node\n\
                ns .. n1 calico-node\nns a n1\nns a n1 calico-node more\n -- -- -- --\n";
    let pod = Pod { namespace: "ns".into(), name: "a".into(), node: "n1".into(), app: "calico-node".into() };
    assert_eq!(pods::choose(pods, &[], 20), [pod]);
    assert!(commands::of_kinds("x/-A.operator.tigera.io\nx/..operator.tigera.io\nx/A.operator.tigera.io\n").is_empty());
}
