//! The tests' nodes: a kubelet joins a cluster and runs pods; services come back; nothing outlives the test.

use std::path::Path;

use e2e::{ContainerdRelease, ControlPlane, ControlPlaneOptions, Doomed, Service, Worker, tool, until};
use serde_json::json;

/// A pod on the host's network, which needs no plugin.
fn create_pod(plane: &ControlPlane, worker: &Worker, name: &str) {
    let spec = json!({
        "nodeName": worker.name(), "hostNetwork": true, "automountServiceAccountToken": false,
        "terminationGracePeriodSeconds": 0,
        "containers": [{"name": "main", "image": e2e::BUSYBOX, "imagePullPolicy": "Never"}]
    });
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec});
    plane.admin().create("/api/v1/namespaces/default/pods", &pod).unwrap();
    until(&format!("{name} runs"), || is_running(plane, name));
}

fn is_running(plane: &ControlPlane, name: &str) -> bool {
    let pod = plane.admin().get(&format!("/api/v1/namespaces/default/pods/{name}")).unwrap();
    pod["status"]["containerStatuses"][0]["ready"] == true
}

#[test]
fn a_node_runs_pods_also_after_its_services_were_restarted() {
    let plane = ControlPlane::with(ControlPlaneOptions::CLUSTER);
    for (name, release) in [("node-1", ContainerdRelease::V2_4), ("node-2", ContainerdRelease::Debian1_6)] {
        let worker = Worker::join(&plane, name, release);
        create_pod(&plane, &worker, &format!("on-{name}"));
        let said = plane.kubectl(&["exec", &format!("on-{name}"), "--", "busybox", "echo", "hello"]);
        assert_eq!(said, "hello\n");
        for service in [Service::Containerd, Service::Kubelet] {
            worker.restart(service, "KILL");
        }
        create_pod(&plane, &worker, &format!("later-on-{name}"));
        assert!(is_running(&plane, &format!("on-{name}")));
        let mut burst = vec![];
        for host_network in [true, true] {
            burst.push(worker.burst(&plane, 3, host_network));
        }
        assert!(burst.iter().all(|taken| !taken.is_zero()));
    }
}

#[test]
fn nothing_of_a_node_outlives_a_killed_process() {
    let mut doomed = Doomed::start("nothing_of_a_node_outlives_a_killed_process", |stay| {
        let plane = ControlPlane::with(ControlPlaneOptions::CLUSTER);
        let worker = Worker::join(&plane, "node-1", ContainerdRelease::V2_4);
        create_pod(&plane, &worker, "one");
        let pids = worker.program(&tool("readlink")).arg("/proc/self/ns/pid").output().unwrap();
        let pids = String::from_utf8(pids.stdout).unwrap();
        stay(&format!("{} {}", pids.trim_end(), worker.host().folder().display()))
    });
    let said = doomed.said.clone();
    let (pids, folder) = said.split_once(' ').unwrap_or_else(|| panic!("{said}"));
    let folder = Path::new(folder);
    let cgroup = format!("calico-e2e-{}", folder.file_name().unwrap().to_str().unwrap());
    // The shell and its loops, containerd, the kubelet, a shim, and the pod's two containers.
    let processes = e2e::processes_of(pids, &cgroup);
    assert!(processes.len() >= 7 && folder.is_dir(), "{processes:?}");
    assert!(!e2e::cgroups_of(&cgroup).is_empty());
    doomed.kill();
    until("the processes are gone", || e2e::processes_of(pids, &cgroup).is_empty());
    until("the folder is gone", || !folder.exists());
    until("the cgroups are gone", || e2e::cgroups_of(&cgroup).is_empty());
}
