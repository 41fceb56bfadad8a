//! The fixtures that other tests build on do what they say.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use e2e::{Doomed, Etcd, Faults, Host, Options, Place, Plugins, Release, cnitool, note, reference_plugin, until};
use serde_json::json;

/// This crate's executable `proxy`.
const PROXY: &str = env!("CARGO_BIN_EXE_proxy");

fn outcome(command: &mut Command, arguments: &[&str]) -> Output {
    command.args(arguments).output().unwrap()
}

/// What `etcdctl` says on stderr when it must fail. It tries again and again until its time is over.
#[track_caller]
fn refusal(command: &mut Command, arguments: &[&str]) -> String {
    let output = outcome(command.arg("--command-timeout=1s"), arguments);
    assert!(!output.status.success(), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

fn dumped(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn every_release_starts_and_stores() {
    for release in [Release::V3_6, Release::Debian3_4] {
        let started = Instant::now();
        let etcd = Etcd::start(Options { release, ..Options::default() });
        note(&format!("{release:?} started in {:.0?}", started.elapsed()));
        assert_eq!(etcd.dump(), BTreeMap::new());
        etcd.put("/calico/a", "1\n");
        etcd.put("/calico/b", "-v=ü");
        assert_eq!(etcd.dump(), dumped(&[("/calico/a", "1\n"), ("/calico/b", "-v=ü")]));
        etcd.delete("/calico/b");
        etcd.restart(0);
        assert_eq!(etcd.dump(), dumped(&[("/calico/a", "1\n")]), "the data outlive the process");
        assert!(etcd.env().is_empty());
        let netconf = etcd.configured(json!({ "name": "net1", "datastore_type": "local" }));
        let told = json!({ "name": "net1", "datastore_type": "etcdv3", "etcd_endpoints": "http://172.31.0.1:2379" });
        assert_eq!(netconf, told);
    }
}

#[test]
fn three_members_survive_one() {
    let started = Instant::now();
    let etcd = Etcd::start(Options { members: 3, ..Options::default() });
    note(&format!("three members started in {:.0?}", started.elapsed()));
    for member in 0..3 {
        etcd.kill(member);
        etcd.wait_until_ready();
        etcd.put("/calico/a", &member.to_string());
        etcd.restart(member);
    }
    etcd.pause(1);
    etcd.wait_until_ready();
    etcd.put("/calico/a", "paused");
    etcd.resume(1);
    assert_eq!(etcd.dump(), dumped(&[("/calico/a", "paused")]));
}

#[test]
fn a_paused_member_says_nothing_until_it_is_resumed() {
    let etcd = Etcd::start(Options::default());
    let ask = |timeout: &str| {
        let mut client = etcd.client(etcd.servers());
        client.env("ETCDCTL_ENDPOINTS", etcd.endpoint(0));
        outcome(&mut client, &[&format!("--command-timeout={timeout}"), "get", "a"]).status.success()
    };
    etcd.pause(0);
    assert!(!ask("300ms"));
    etcd.resume(0);
    assert!(ask("10s"));
}

#[test]
fn certificates_are_wanted_and_checked() {
    let etcd = Etcd::start(Options { tls: true, ..Options::default() });
    let host = etcd.host();
    assert!(outcome(&mut etcd.client(&host), &["put", "a", "1"]).status.success());

    refusal(etcd.client(&host).env_remove("ETCDCTL_CERT").env_remove("ETCDCTL_KEY"), &["get", "a"]);
    let logs = |why: &str| until(why, || etcd.log(0).contains(why));
    logs("client didn't provide a certificate");
    for (identity, why) in [(etcd.expired_client(), "has expired"), (etcd.foreign_client(), "unknown authority")] {
        assert!(!etcd.log(0).contains(why));
        let mut client = etcd.client(&host);
        client.env("ETCDCTL_CERT", &identity.certificate).env("ETCDCTL_KEY", &identity.key);
        refusal(&mut client, &["get", "a"]);
        logs(why);
    }
    let distrusted = refusal(etcd.client(&host).env("ETCDCTL_CACERT", &etcd.foreign_client().authority), &["get", "a"]);
    assert!(distrusted.contains("unknown authority"), "{distrusted}");

    let conf = etcd.conf();
    assert_eq!(conf["etcd_endpoints"], "https://172.31.0.1:2379");
    for key in ["etcd_ca_cert_file", "etcd_cert_file", "etcd_key_file"] {
        host.run("cat", &[conf[key].as_str().unwrap()]);
    }
}

#[test]
fn a_server_may_have_expired() {
    let etcd = Etcd::start(Options { tls: true, expired: true, ..Options::default() });
    let expired = refusal(etcd.client(etcd.servers()).env_remove("ETCDCTL_INSECURE_SKIP_TLS_VERIFY"), &["get", "a"]);
    assert!(expired.contains("expired"), "{expired}");
    etcd.put("a", "1");
}

#[test]
fn users_log_in_and_may_not_do_everything() {
    for release in [Release::V3_6, Release::Debian3_4] {
        let etcd = Etcd::start(Options { release, auth: true, ..Options::default() });
        let env: BTreeMap<String, String> = etcd.env().into_iter().collect();
        let login = format!("{}:{}", env["ETCD_USERNAME"], env["ETCD_PASSWORD"]);
        let refused = |user: &str, key: &str| {
            let output = outcome(etcd.client(etcd.servers()).env("ETCDCTL_USER", user), &["put", key, "1"]);
            (!output.status.success()).then(|| String::from_utf8(output.stderr).unwrap())
        };
        assert_eq!(refused(&login, "/calico/a"), None);
        assert!(refused(&login, "/other").unwrap().contains("permission denied"));
        assert!(refused("calico:wrong", "/calico/a").unwrap().contains("authentication failed"));
        let nobody = refusal(etcd.client(etcd.servers()).env_remove("ETCDCTL_USER"), &["get", "/calico/a"]);
        assert!(nobody.contains("user name is empty"), "{nobody}");
        assert_eq!(etcd.dump(), dumped(&[("/calico/a", "1")]));
        etcd.restart(0);
        assert_eq!(etcd.dump(), dumped(&[("/calico/a", "1")]));
    }
}

#[test]
fn certificates_and_users_together() {
    let etcd = Etcd::start(Options { members: 3, tls: true, auth: true, ..Options::default() });
    etcd.put("/calico/a", "1");
    assert_eq!(etcd.dump(), dumped(&[("/calico/a", "1")]));
}

#[test]
fn several_hosts_reach_the_servers() {
    let etcd = Etcd::start(Options::default());
    let hosts = [etcd.host(), etcd.host()];
    for (number, host) in hosts.iter().enumerate() {
        let key = format!("/calico/{number}");
        assert!(outcome(&mut etcd.client(host), &["put", &key, "1"]).status.success());
        assert!(host.added_links().is_empty(), "{:?}", host.added_links());
    }
    assert_eq!(etcd.dump(), dumped(&[("/calico/0", "1"), ("/calico/1", "1")]));
    etcd.assert_nothing_left(&[&hosts[0], &hosts[1]]);
}

#[test]
fn stored_objects_are_read_and_audited() {
    let etcd = Etcd::start(Options::default());
    etcd.end_unaudited();
    let host = etcd.host();
    assert!(etcd.stored().0.is_empty());
    etcd.put("/calico/ipam/v2/handle/net1.c1", r#"{"handleID":"net1.c1","block":{"10.65.0.0/26":1},"deleted":false}"#);
    etcd.put("/elsewhere", "no object");
    assert_eq!(etcd.stored().handles(), ["net1.c1"]);
    assert_eq!(etcd.audit().len(), 1, "{:?}", etcd.audit());
    assert_eq!(etcd.leftovers(&[&host]).len(), 2, "{:?}", etcd.leftovers(&[&host]));
    host.ip("link add other type bridge");
    assert_eq!(etcd.leftovers(&[&host]).len(), 3);
}

/// `etcdctl` through a proxy.
fn through(etcd: &Etcd, endpoint: &str, arguments: &[&str]) -> Output {
    outcome(etcd.client(etcd.servers()).env("ETCDCTL_ENDPOINTS", endpoint), arguments)
}

#[test]
fn the_proxy_counts_requests() {
    let etcd = Etcd::start(Options::default());
    let proxy = etcd.proxy(Path::new(PROXY), 0, Faults::default());
    assert_eq!(proxy.requests(), [] as [usize; 0]);
    assert!(through(&etcd, proxy.endpoint(), &["put", "a", "1"]).status.success());
    assert_eq!(proxy.requests(), [1]);
    assert!(through(&etcd, proxy.endpoint(), &["lease", "list"]).status.success());
    assert!(through(&etcd, proxy.endpoint(), &["member", "list"]).status.success());
    assert_eq!(proxy.requests(), [1, 1, 1]);
    let other = etcd.proxy(Path::new(PROXY), 0, Faults::default());
    assert_eq!(other.requests(), [] as [usize; 0], "every proxy counts for itself");
}

#[test]
fn the_proxy_forwards_tls_unseen() {
    let etcd = Etcd::start(Options { tls: true, ..Options::default() });
    let proxy = etcd.proxy(Path::new(PROXY), 0, Faults::default());
    assert!(through(&etcd, proxy.endpoint(), &["put", "a", "1"]).status.success());
    assert_eq!(proxy.requests(), [0]);
}

#[test]
fn a_cut_request_is_carried_out_and_a_dropped_one_is_not() {
    let etcd = Etcd::start(Options { auth: true, ..Options::default() });
    // The first request is the login.
    for (faults, stored) in [
        (Faults { cut: Some(2), ..Faults::default() }, true),
        (Faults { cut: Some(1), ..Faults::default() }, false),
        (Faults { drop: Some(2), ..Faults::default() }, false),
        (Faults { drop: Some(1), ..Faults::default() }, false),
    ] {
        let proxy = etcd.proxy(Path::new(PROXY), 0, faults);
        let put = through(&etcd, proxy.endpoint(), &["--command-timeout=1s", "put", "a", "1"]);
        assert!(!put.status.success(), "{faults:?}: {put:?}");
        assert!(!proxy.requests().is_empty());
        assert_eq!(etcd.dump().contains_key("a"), stored, "{faults:?}: {:?}", proxy.requests());
        if stored {
            etcd.delete("a");
        }
    }
}

#[test]
fn a_fault_that_happens_once_leaves_the_next_connection_alone() {
    let etcd = Etcd::start(Options::default());
    let proxy = etcd.proxy(Path::new(PROXY), 0, Faults { cut: Some(1), once: true, ..Faults::default() });
    assert!(!through(&etcd, proxy.endpoint(), &["put", "a", "1"]).status.success());
    assert!(through(&etcd, proxy.endpoint(), &["put", "b", "1"]).status.success());
    assert_eq!(etcd.dump(), dumped(&[("a", "1"), ("b", "1")]));
}

#[test]
fn answers_can_be_late_or_never_come() {
    let etcd = Etcd::start(Options::default());
    let ask = |faults: Faults, timeout: &str| {
        let proxy = etcd.proxy(Path::new(PROXY), 0, faults);
        let started = Instant::now();
        let answer = through(&etcd, proxy.endpoint(), &[&format!("--command-timeout={timeout}"), "get", "a"]);
        (answer.status.success(), started.elapsed(), proxy.requests().len())
    };
    let delay = Duration::from_millis(150);
    let (answered, took, _) = ask(Faults { delay, ..Faults::default() }, "30s");
    assert!(answered && took >= delay, "{took:?}");
    let (answered, _, connections) = ask(Faults { blackhole: true, ..Faults::default() }, "300ms");
    assert!(!answered);
    assert_eq!(connections, 1);
}

#[test]
#[should_panic = "the server ended:\nusage: proxy"]
fn a_server_that_ends_is_not_waited_for() {
    let etcd = Etcd::start(Options::default());
    let script = etcd.servers().folder().join("script");
    std::fs::write(&script, "echo usage: proxy\n").unwrap();
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    etcd.proxy(&script, 0, Faults::default());
}

#[test]
fn the_tools_run() {
    let host = Host::start();
    let mut cnitool = Command::new(cnitool());
    assert!(String::from_utf8_lossy(&cnitool.output().unwrap().stderr).contains("cnitool"));
    for (release, newest) in [(Plugins::V1_9, "\"1.1.0\""), (Plugins::Debian1_1, "\"1.0.0\"")] {
        let plugin = reference_plugin(release, "host-local");
        let version = outcome(host.command("env").arg("CNI_COMMAND=VERSION").arg(plugin), &[]);
        assert!(String::from_utf8_lossy(&version.stdout).contains(newest), "{version:?}");
    }
}

/// The network namespace that a process or a place is in.
fn namespace_of(process: u32) -> Option<PathBuf> {
    std::fs::read_link(format!("/proc/{process}/ns/net")).ok()
}

/// The processes in a network namespace.
fn processes_in(namespace: &Path) -> Vec<u32> {
    let ids = std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    ids.filter(|&process| namespace_of(process).as_deref() == Some(namespace)).collect()
}

fn network_of(host: &Host) -> PathBuf {
    host.run("readlink", &["/proc/self/ns/net"]).trim_end().into()
}

#[test]
fn nothing_outlives_the_fixture() {
    let etcd = Etcd::start(Options { members: 3, ..Options::default() });
    let host = etcd.host();
    etcd.pause(2);
    let (network, folder) = (network_of(etcd.servers()), etcd.servers().folder().to_owned());
    let processes = processes_in(&network);
    assert!(processes.len() > 3, "{processes:?}");
    assert!(folder.join("etcd-0").is_dir());
    let started = Instant::now();
    drop(etcd);
    note(&format!("three members ended in {:.0?}", started.elapsed()));
    let alive = processes.iter().filter(|&&process| namespace_of(process).as_ref() == Some(&network));
    assert_eq!(alive.count(), 0);
    assert!(!folder.exists());
    // The kernel takes the link away with the servers' namespace, some time later.
    until("the link is gone", || !host.links().contains(&"lan".to_owned()));
}

#[test]
fn nothing_outlives_a_killed_process() {
    let mut doomed = Doomed::start("nothing_outlives_a_killed_process", |stay| {
        let etcd = Etcd::start(Options { members: 3, ..Options::default() });
        let _proxy = etcd.proxy(Path::new(PROXY), 0, Faults::default());
        stay(&format!("{} {}", network_of(etcd.servers()).display(), etcd.servers().folder().display()))
    });
    let said = doomed.said.clone();
    let (network, folder) = said.split_once(' ').unwrap_or_else(|| panic!("{said}"));
    let (network, folder) = (Path::new(network), Path::new(folder));
    let processes = processes_in(network);
    assert!(processes.len() > 3 && folder.is_dir(), "{processes:?}");
    doomed.kill();
    let alive = || processes.iter().any(|&process| namespace_of(process).as_deref() == Some(network));
    until("the processes are gone", || !alive());
    until("the folder is gone", || !folder.exists());
}
