//! Kubelet and containerd end while pods come and go.

use e2e::{ContainerdRelease, Installed, Random, Service, deployment, until};

#[test]
fn kubelet_and_containerd_are_restarted_while_pods_start_and_end() {
    let cluster = Installed::alone(ContainerdRelease::V2_4);
    let mut random = Random::for_test("restarts");
    let admin = cluster.plane.admin();
    let deployments = "/apis/apps/v1/namespaces/default/deployments";
    admin.create(deployments, &deployment("web", 0)).unwrap();
    let scale = |count: usize| {
        cluster.plane.kubectl(&["scale", "deployment/web", &format!("--replicas={count}")]);
    };
    // With the signal that a service manager sends, and as they are killed when memory is short.
    for (service, signal) in [
        (Service::Kubelet, "TERM"),
        (Service::Containerd, "TERM"),
        (Service::Kubelet, "KILL"),
        (Service::Containerd, "KILL"),
    ] {
        scale(12);
        let some = 1 + random.number() % 8;
        until("some pods run", || cluster.pods("app=web").iter().filter(|pod| pod.running).count() as u64 >= some);
        cluster.worker.restart(service, signal);
        cluster.wait_for_pods("app=web", 12);
        cluster.assert_allocations_are_pods();

        scale(1);
        until("some pods are gone", || cluster.pods("app=web").len() as u64 <= 12 - some);
        cluster.worker.restart(service, signal);
        cluster.wait_for_pods("app=web", 1);
        cluster.assert_allocations_are_pods();
    }
    scale(0);
    cluster.wait_until_gone("app");
    cluster.assert_no_pod_is_networked();
}
