//! Recorded runs of the Go plugin for pods, replayed on the Kubernetes API and on etcd beside it: answer, stored objects, the
//! pod's annotations and kernel state after each call.

use e2e::recording::{Recording, on_etcd_beside_kubernetes, on_kubernetes};

/// A test of every scenario, with allocation in the same process and with `calico-ipam` executed.
macro_rules! scenarios {
    ($($test:ident: $replay:ident $name:literal)*) => {
        const SCENARIOS: &[&str] = &[$(concat!("kubernetes/", $name)),*];

        mod in_process {
            $(#[test]
            fn $test() {
                super::$replay(concat!("kubernetes/", $name), false);
            })*
        }

        mod executed {
            $(#[test]
            fn $test() {
                super::$replay(concat!("kubernetes/", $name), true);
            })*
        }
    };
}

scenarios! {
    repeated_calls: on_kubernetes "add-del"
    a_second_sandbox_before_the_first_is_deleted: on_kubernetes "sandbox-race"
    both_families: on_kubernetes "dual-stack"
    the_family_that_the_pod_asks_for: on_kubernetes "ip-families"
    the_pool_that_the_pod_asks_for: on_kubernetes "pool-annotation"
    a_pool_by_its_name: on_kubernetes "pool-by-name"
    a_pool_that_does_not_exist: on_kubernetes "pool-unknown"
    a_malformed_annotation: on_kubernetes "pool-malformed"
    the_address_that_the_pod_asks_for: on_kubernetes "fixed-address"
    an_address_in_no_pool: on_kubernetes "fixed-address-outside"
    an_address_without_ipam: on_kubernetes "address-without-ipam"
    an_address_without_ipam_where_that_is_off: on_kubernetes "address-without-ipam-off"
    the_mac_that_the_pod_asks_for: on_kubernetes "hwaddr"
    a_malformed_mac: on_kubernetes "hwaddr-bad"
    a_pod_that_is_gone: on_kubernetes "missing-pod"
    an_endpoint_in_etcd: on_etcd_beside_kubernetes "etcd-policy"
    a_floating_address_in_etcd: on_etcd_beside_kubernetes "etcd-floating"
}

/// Those whose IPAM plugin is another one, which is always executed.
const HOST_LOCAL: [&str; 2] = ["kubernetes/host-local-podcidr", "kubernetes/forwarding-routes"];

#[test]
fn the_pod_cidr_of_the_node_with_host_local() {
    on_kubernetes(HOST_LOCAL[0], false);
}

#[test]
fn routes_and_forwarding_with_host_local() {
    on_kubernetes(HOST_LOCAL[1], false);
}

#[test]
fn every_scenario_is_replayed() {
    let mut names = Recording::names(true);
    names.sort();
    let mut replayed = [SCENARIOS, &HOST_LOCAL].concat();
    replayed.sort_unstable();
    assert_eq!(names, replayed);
}
