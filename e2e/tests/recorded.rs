//! Recorded runs of the Go plugin, replayed on etcd: answer, stored objects and kernel state after each call.

use calico_model::{Key, Object};
use e2e::recording::{DIFFERENCES, Recording};

/// A test of every scenario, with allocation in the same process and with `calico-ipam` executed.
macro_rules! scenarios {
    ($($test:ident: $name:literal)*) => {
        const SCENARIOS: &[&str] = &[$($name),*];

        mod in_process {
            $(#[test]
            fn $test() {
                e2e::recording::on_etcd($name, false);
            })*
        }

        mod executed {
            $(#[test]
            fn $test() {
                e2e::recording::on_etcd($name, true);
            })*
        }
    };
}

scenarios! {
    result_0_1_0: "add-del-0.1.0"
    result_0_2_0: "add-del-0.2.0"
    result_0_3_0: "add-del-0.3.0"
    result_0_3_1: "add-del-0.3.1"
    result_0_4_0: "add-del-0.4.0"
    result_1_0_0: "add-del-1.0.0"
    version_1_1_0_is_refused: "version-1.1.0"
    both_families_and_repeated_calls: "dual-stack"
    mtu_queues_and_forwarding: "options"
    the_ipam_plugin_alone: "ipam-alone"
    no_pools: "no-pools"
    a_full_pool: "full-pool"
    a_pool_that_does_not_exist: "bad-pool"
    an_unknown_version: "errors"
    no_network_name: "no-name"
    unknown_arguments: "bad-args"
    no_cluster_information: "not-initialised"
    check_status_gc_and_version: "other-verbs"
}

#[test]
fn every_scenario_is_replayed() {
    let mut names = Recording::names(false);
    names.sort();
    let mut replayed = SCENARIOS.to_vec();
    replayed.sort_unstable();
    assert_eq!(names, replayed);
}

#[test]
fn every_difference_is_of_a_step() {
    for it in DIFFERENCES {
        assert!(it.step < Recording::load(it.scenario).steps.len(), "{it:?}");
    }
}

#[test]
fn every_recorded_object_is_written_as_go_wrote_it() {
    let names = Recording::names(false).into_iter().chain(Recording::names(true));
    for recording in names.map(|name| Recording::load(&name)) {
        let after = recording.steps.iter().flat_map(|step| &step.after);
        // The Kubernetes API's have other paths.
        for (path, text) in recording.before.iter().chain(after).filter(|(path, _)| path.starts_with('/')) {
            let Some(key) = Key::parse(path) else {
                assert!(path.contains("/tiers/"), "{path} is not known");
                continue;
            };
            let object = Object::parse(&key, text.as_bytes()).unwrap();
            assert_eq!(go_json::to_compact(&object), *text, "{path}");
        }
    }
}
