//! The executables are replaced while pods start and end.

use e2e::{ContainerdRelease, Installed, deployment, executables_folder};

use crate::release::{Release, is_installed};

#[test]
fn the_executables_are_upgraded_while_pods_start_and_end() {
    let cluster = Installed::alone(ContainerdRelease::V2_4);
    let newer = Release::build("newer");
    let deployments = "/apis/apps/v1/namespaces/default/deployments";
    cluster.plane.admin().create(deployments, &deployment("web", 8)).unwrap();
    cluster.wait_for_pods("app=web", 8);
    assert!(is_installed(&cluster, &executables_folder()));

    for (image, folder) in
        [(newer.image(), newer.folder()), (e2e::executable("calico-install-image.tar"), &executables_folder())]
    {
        // Of the same name: what the node has of that name is what its next pod is of.
        cluster.worker.import(&image);
        cluster.plane.kubectl(&["-n", "kube-system", "rollout", "restart", "daemonset/calico-install"]);
        let mut replaced = 0;
        // Pods start and end without a break until it has happened.
        while !is_installed(&cluster, folder) {
            cluster.plane.kubectl(&["rollout", "restart", "deployment/web"]);
            cluster.wait_for_rollout("deployment/web");
            replaced += 1;
        }
        assert!((1..20).contains(&replaced), "{replaced}");
        cluster.wait_for_rollout("kube-system:daemonset/calico-install");
        cluster.wait_for_pods("app=web", 8);
        cluster.assert_allocations_are_pods();
    }

    // Without the installer, what it has installed stays and works.
    cluster.plane.kubectl(&["-n", "kube-system", "delete", "daemonset/calico-install"]);
    cluster.plane.kubectl(&["scale", "deployment/web", "--replicas=12"]);
    cluster.wait_for_pods("app=web", 12);
    cluster.plane.kubectl(&["scale", "deployment/web", "--replicas=0"]);
    cluster.wait_until_gone("app");
    cluster.assert_no_pod_is_networked();
    cluster.assert_no_call_has_failed();
}
