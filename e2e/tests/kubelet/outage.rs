//! The datastore is out of reach for a while.

use std::time::Duration;

use e2e::{ContainerdRelease, Installed, deployment, until};

/// How long nobody answers: longer than a kubelet and the plugin wait for one answer.
const OUTAGE: Duration = Duration::from_secs(20);

#[test]
fn the_datastore_is_out_of_reach_while_pods_start_and_end() {
    let cluster = Installed::alone(ContainerdRelease::V2_4);
    let admin = cluster.plane.admin();
    let deployments = "/apis/apps/v1/namespaces/default/deployments";
    for name in ["old", "new"] {
        admin.create(deployments, &deployment(name, if name == "old" { 10 } else { 0 })).unwrap();
    }
    cluster.wait_for_pods("app=old", 10);
    // Some have begun to come, others to go.
    cluster.plane.kubectl(&["scale", "deployment/new", "--replicas=15"]);
    cluster.plane.kubectl(&["scale", "deployment/old", "--replicas=0"]);
    // The moment in which the first of them have: the others are on their way.
    until("some new pods run", || cluster.pods("app=new").iter().any(|pod| pod.running));
    assert!(cluster.pods("app=new").iter().any(|pod| !pod.running), "they were too fast");
    cluster.plane.pause();
    // The outage itself, not a wait for anything.
    std::thread::sleep(OUTAGE);
    cluster.plane.resume();
    cluster.wait_for_pods("app=new", 15);
    cluster.wait_until_gone("app=old");
    cluster.assert_allocations_are_pods();
    cluster.plane.kubectl(&["delete", "deployment", "old", "new"]);
    cluster.wait_until_gone("app");
    cluster.assert_no_pod_is_networked();
}
