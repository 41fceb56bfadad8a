//! Containers of a containerd, with the list of plugins that the README shows.

use std::path::{Path, PathBuf};

use e2e::{Containerd, ContainerdRelease, Doomed, Kept, Place, cgroups_of, processes_of, readme_list, until};

fn start(release: ContainerdRelease) -> Containerd {
    Containerd::start(release, &readme_list("local"))
}

/// Asserts that nothing is left of any container, neither by the plugin nor by the runtime.
#[track_caller]
fn assert_nothing_left(containerd: &Containerd) {
    containerd.host().assert_nothing_left();
    assert_eq!(containerd.host().run("ls", &["/var/lib/cni/results"]), "");
    assert_eq!(containerd.cgroups(), [] as [PathBuf; 0]);
}

/// The addresses in a container's result, of which the container must have exactly these.
#[track_caller]
fn addresses(containerd: &Containerd, name: &str) -> Vec<String> {
    let result = containerd.result(name);
    let ips = result["ips"].as_array().unwrap_or_else(|| panic!("{result}"));
    let given: Vec<String> = ips.iter().filter_map(|ip| Some(ip["address"].as_str()?.to_owned())).collect();
    assert_eq!(containerd.addresses(name), given);
    given.iter().map(|address| address.split('/').next().unwrap().to_owned()).collect()
}

#[track_caller]
fn succeed(containerd: &Containerd, arguments: &[&str]) {
    let output = containerd.ctr(arguments);
    assert!(output.status.success(), "{arguments:?}: {output:#?}");
}

#[track_caller]
fn assert_reaches(containerd: &Containerd, name: &str, addresses: &[String]) {
    for address in addresses {
        let output = containerd.exec(name, &["ping", "-c", "1", "-W", "2", address]);
        assert!(output.status.success(), "{name} to {address}: {output:#?}");
    }
}

/// Ends a container's process, so that its `ctr run` ends, too.
fn kill(containerd: &Containerd, name: &str, kept: Kept) {
    let process = containerd.process(name).expect("it runs").to_string();
    assert!(containerd.beside("busybox").args(["kill", "-9", &process]).status().unwrap().success());
    assert_eq!(kept.wait(), Some(137));
}

fn two_containers(release: ContainerdRelease) {
    let containerd = start(release);
    let (one, two) = (containerd.keep("one"), containerd.keep("two"));
    let (first, second) = (addresses(&containerd, "one"), addresses(&containerd, "two"));
    assert!(first[0].starts_with("10.65.") && first[1].starts_with("fd65:") && first.len() == 2, "{first:?}");
    assert_reaches(&containerd, "one", &second);
    assert_reaches(&containerd, "two", &first);
    assert!(first.iter().chain(&second).all(|address| containerd.host().ping(address)));
    assert_eq!(containerd.host().added_links(), ["calidefault-one", "calidefault-two"]);
    containerd.host().assert_audit_clean();
    assert!(!containerd.cgroups().is_empty());
    kill(&containerd, "one", one);
    assert_eq!(containerd.host().added_links(), ["calidefault-two"]);
    assert_eq!(containerd.host().stored().allocated(), 2);
    assert_reaches(&containerd, "two", &["172.30.0.1".to_owned()]);
    kill(&containerd, "two", two);
    assert_nothing_left(&containerd);
}

#[test]
fn two_containers_of_the_newest() {
    two_containers(ContainerdRelease::V2_4);
}

#[test]
fn two_containers_of_debians() {
    two_containers(ContainerdRelease::Debian1_6);
}

#[test]
fn a_container_that_ends_by_itself() {
    for release in ContainerdRelease::ALL {
        let containerd = start(release);
        let output = containerd.run("one", &["--rm"], &["ip", "address"]).output().unwrap();
        assert!(output.status.success(), "{output:#?}");
        let printed = String::from_utf8(output.stdout).unwrap();
        assert!(printed.contains("inet 10.65.") && printed.contains("inet6 fd65:"), "{printed}");
        assert_nothing_left(&containerd);
    }
}

#[test]
fn a_detached_container_is_disconnected_while_it_runs() {
    // The older `ctr` never disconnects a detached one.
    let containerd = start(ContainerdRelease::V2_4);
    let output = containerd.run("one", &["--detach"], &["sleep", "1000"]).output().unwrap();
    assert!(output.status.success(), "{output:#?}");
    assert_reaches(&containerd, "one", &["172.30.0.1".to_owned()]);
    // It calls DEL without a network namespace, although there is one, and sends the signal afterwards.
    succeed(&containerd, &["task", "kill", "--signal", "URG", "one"]);
    assert!(containerd.process("one").is_some());
    assert!(!containerd.exec("one", &["ip", "link", "show", "dev", "eth0"]).status.success());
    containerd.host().assert_nothing_left();
    succeed(&containerd, &["task", "delete", "--force", "one"]);
    succeed(&containerd, &["container", "delete", "one"]);
    assert_nothing_left(&containerd);
}

#[test]
fn a_container_whose_del_never_came_is_started_again() {
    for release in ContainerdRelease::ALL {
        let containerd = start(release);
        let output = containerd.run("one", &["--detach"], &["sleep", "1000"]).output().unwrap();
        assert!(output.status.success(), "{output:#?}");
        addresses(&containerd, "one");
        // Neither of these makes it call DEL.
        succeed(&containerd, &["task", "delete", "--force", "one"]);
        succeed(&containerd, &["container", "delete", "one"]);
        until("the kernel has removed the interface", || containerd.host().added_links().is_empty());
        assert_eq!(containerd.host().stored().allocated(), 2);
        containerd.host().assert_audit_clean();

        let kept = containerd.keep("one");
        assert_reaches(&containerd, "one", &["172.30.0.1".to_owned(), "fd30::1".to_owned()]);
        assert_eq!(addresses(&containerd, "one").len(), 2);
        assert_eq!(containerd.host().stored().allocated(), 2, "it has given back the others");
        kill(&containerd, "one", kept);
        assert_nothing_left(&containerd);
    }
}

#[test]
fn names_that_begin_alike_are_refused() {
    let containerd = start(ContainerdRelease::V2_4);
    let kept = containerd.keep("web-1");
    let first = addresses(&containerd, "web-1");
    let output = containerd.run("web-2", &["--rm"], &["true"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("calidefault-web"), "{output:#?}");
    assert_eq!(containerd.host().stored().allocated(), 2);
    assert!(containerd.host().ping(&first[0]));
    kill(&containerd, "web-1", kept);
    assert_nothing_left(&containerd);
}

#[test]
fn nothing_outlives_a_killed_process() {
    let mut doomed = Doomed::start("nothing_outlives_a_killed_process", |stay| {
        let containerd = start(ContainerdRelease::V2_4);
        let output = containerd.run("one", &["--detach"], &["sleep", "1000"]).output().unwrap();
        assert!(output.status.success(), "{output:#?}");
        let _kept = containerd.keep("two");
        let pids = containerd.beside("readlink").arg("/proc/self/ns/pid").output().unwrap();
        let pids = String::from_utf8(pids.stdout).unwrap();
        stay(&format!("{} {}", pids.trim_end(), containerd.host().folder().display()))
    });
    let said = doomed.said.clone();
    let (pids, folder) = said.split_once(' ').unwrap_or_else(|| panic!("{said}"));
    let folder = Path::new(folder);
    let cgroup = format!("calico-e2e-{}", folder.file_name().unwrap().to_str().unwrap());
    let processes = processes_of(pids, &cgroup);
    // The shell, containerd, two shims, two containers, a `ctr run`.
    assert!(processes.len() >= 7 && folder.is_dir(), "{processes:?}");
    assert!(!cgroups_of(&cgroup).is_empty());
    doomed.kill();
    until("the processes are gone", || processes_of(pids, &cgroup).is_empty());
    until("the folder is gone", || !folder.exists());
    until("the cgroups are gone", || cgroups_of(&cgroup).is_empty());
}
