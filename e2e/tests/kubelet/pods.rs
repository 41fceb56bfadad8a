//! What people run: pods reach each other, are replaced, come back, and go.

use e2e::{ContainerdRelease, Installed, NODE, Place, Pod, deployment, stateful_set, until};

const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";
const STATEFUL_SETS: &str = "/apis/apps/v1/namespaces/default/statefulsets";

/// The name without the namespace.
fn short(pod: &Pod) -> &str {
    pod.name.strip_prefix("default/").expect("the tests' pods are there")
}

/// Asserts that a pod reaches others, and that they answer HTTP.
#[track_caller]
fn assert_reaches(cluster: &Installed, from: &Pod, others: &[Pod]) {
    for other in others {
        let ping = cluster.exec(short(from), &["busybox", "ping", "-c", "1", "-W", "5", &other.address]);
        assert!(ping.status.success(), "{} to {}: {ping:?}", from.name, other.name);
        let answer = cluster.get(short(from), &other.address);
        assert!(answer.ends_with("\r\n\r\nhello\n"), "{} to {}: {answer:?}", from.name, other.name);
    }
}

#[track_caller]
fn create(cluster: &Installed, collection: &str, object: &serde_json::Value) {
    cluster.plane.admin().create(collection, object).unwrap_or_else(|refusal| panic!("{refusal}"));
}

#[test]
fn a_deployment_and_a_stateful_set_run_are_replaced_and_drained() {
    let cluster = Installed::alone(ContainerdRelease::V2_4);
    create(&cluster, DEPLOYMENTS, &deployment("web", 20));
    let first = cluster.wait_for_pods("app=web", 20);
    cluster.assert_allocations_are_pods();
    assert_reaches(&cluster, &first[0], &first[1..]);
    assert_reaches(&cluster, &first[19], &first[..1]);
    assert!(first.iter().all(|pod| cluster.worker.host().ping(&pod.address)));

    cluster.plane.kubectl(&["rollout", "restart", "deployment/web"]);
    cluster.wait_for_rollout("deployment/web");
    let second = cluster.wait_for_pods("app=web", 20);
    assert!(second.iter().all(|pod| first.iter().all(|old| old.name != pod.name)));
    cluster.assert_allocations_are_pods();
    assert_reaches(&cluster, &second[0], &second[1..3]);

    let set = stateful_set("store", 3);
    create(&cluster, STATEFUL_SETS, &set);
    cluster.wait_for_pods("app=store", 3);
    cluster.plane.kubectl(&["delete", "statefulset", "store", "--cascade=foreground"]);
    // The same names again, at once.
    create(&cluster, STATEFUL_SETS, &set);
    let store = cluster.wait_for_pods("app=store", 3);
    assert_reaches(&cluster, &store[0], &store[1..]);
    cluster.assert_allocations_are_pods();

    cluster.plane.kubectl(&["drain", NODE, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=120s"]);
    until("the node has no pods", || cluster.pods("").iter().all(|pod| pod.host_network || pod.address.is_empty()));
    cluster.assert_no_pod_is_networked();
    cluster.plane.kubectl(&["uncordon", NODE]);
    cluster.wait_for_pods("app=web", 20);
    cluster.wait_for_pods("app=store", 3);
    cluster.assert_allocations_are_pods();

    cluster.plane.kubectl(&["delete", "deployment/web", "statefulset/store", "--wait=false"]);
    cluster.wait_until_gone("app");
    cluster.assert_no_pod_is_networked();
    cluster.assert_no_call_has_failed();
}

/// A few pods come, reach each other, and go; nothing had to be tried twice.
fn pods_come_and_go(cluster: &Installed) {
    create(cluster, DEPLOYMENTS, &deployment("web", 5));
    let pods = cluster.wait_for_pods("app=web", 5);
    assert_reaches(cluster, &pods[0], &pods[1..]);
    cluster.assert_allocations_are_pods();
    cluster.plane.kubectl(&["delete", "deployment/web"]);
    cluster.wait_until_gone("app");
    cluster.assert_no_pod_is_networked();
    cluster.assert_no_call_has_failed();
}

#[test]
fn pods_of_debians_containerd() {
    pods_come_and_go(&Installed::alone(ContainerdRelease::Debian1_6));
}

#[test]
fn pods_whose_addresses_are_in_etcd() {
    pods_come_and_go(&Installed::alone_with_etcd(ContainerdRelease::V2_4));
}
