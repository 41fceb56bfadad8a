//! Judging reports, and releasing by them, on a store in memory.

use serde_json::json;

use super::*;
use crate::ipam::check::tests::{later, put, put_endpoint, recorded, run};
use crate::ipam::report::Allocation;

const INFORMATION: &str = "/calico/resources/v3/projectcalico.org/clusterinformations/default";

fn information(ready: Option<bool>) -> Stored<ClusterInformation> {
    let spec = json!({ "clusterGUID": "g", "datastoreReady": ready });
    let value = json!({
        "kind": "ClusterInformation", "apiVersion": "projectcalico.org/v3", "metadata": { "name": "default" }, "spec": spec
    });
    let key = Key::resource(Kind::ClusterInformation, "default");
    Stored { key, revision: Revision(7), value: serde_json::from_value(value).unwrap() }
}

fn report(guid: &str, version: &str, revision: &str) -> Report {
    Report {
        cluster_guid: guid.to_owned(),
        version: version.to_owned(),
        cluster_information_revision: revision.to_owned(),
        ..Report::default()
    }
}

#[track_caller]
fn judged(reports: &[Report], ready: Option<bool>, force: bool) -> Result<Vec<String>, String> {
    let named: Vec<(String, &Report)> =
        reports.iter().enumerate().map(|(index, it)| (format!("{index}.json"), it)).collect();
    judge(&named, &information(ready), force).map_err(|error| error.to_string())
}

#[test]
fn which_reports_are_acted_upon() {
    let good = report("g", VERSION, "7");
    let locked = Some(false);
    assert_eq!(judged(std::slice::from_ref(&good), locked, false), Ok(vec![]));
    let old = report("g", VERSION, "6");
    assert_eq!(judged(&[old.clone(), good.clone()], locked, false), Ok(vec![]), "one that is up-to-date suffices");
    let stale = "the provided reports are all stale - at least one should be up-to-date. Please generate a new report while the data store is locked and try again";
    assert_eq!(judged(std::slice::from_ref(&old), locked, true), Err(stale.to_owned()));
    let foreign = "cluster does not match the provided report (1.json): mismatched cluster GUID. Refusing to release";
    assert_eq!(judged(&[good.clone(), report("h", VERSION, "7")], locked, true), Err(foreign.to_owned()));
    let other = report("g", "v9", "7");
    let refused =
        "the provided report (0.json) was produced using a different version (v9) of calicoctl. Refusing to release";
    assert_eq!(judged(std::slice::from_ref(&other), locked, false), Err(refused.to_owned()));
    assert_eq!(judged(&[other], locked, true).map(|warnings| warnings.len()), Ok(1));
    let unlocked = "data store is not locked. Either lock the data store, or re-run with --force";
    for ready in [Some(true), None] {
        assert_eq!(judged(std::slice::from_ref(&good), ready, false), Err(unlocked.to_owned()));
        let warning = "WARNING: Data store is not locked. Ignoring due to --force option".to_owned();
        assert_eq!(judged(std::slice::from_ref(&good), ready, true), Ok(vec![warning]));
    }
}

#[test]
fn what_all_reports_list() {
    let allocation = |ip: &str, sequence_number, in_use| Allocation {
        ip: ip.to_owned(),
        handle: "h".to_owned(),
        sequence_number,
        in_use,
        ..Allocation::default()
    };
    let with = |allocations: &[Allocation], handles: &[(&str, &str)]| {
        let mut report = Report::default();
        for it in allocations {
            report.allocations.entry(it.ip.clone()).or_default().push(it.clone());
        }
        report.leaked_handles = handles
            .iter()
            .map(|(id, revision)| LeakedHandle {
                id: (*id).into(),
                uid: Some("u".into()),
                revision: (*revision).into(),
            })
            .collect();
        report
    };
    let cooling = Allocation { cooling_down: true, ..allocation("10.0.0.5", 1, false) };
    let first = with(
        &[
            allocation("10.0.0.1", 1, false),
            allocation("10.0.0.2", 1, false),
            allocation("10.0.0.3", 1, false),
            allocation("10.0.0.4", 1, true),
            cooling,
        ],
        &[("a", "1"), ("b", "1"), ("c", "1")],
    );
    let second = with(
        &[
            allocation("10.0.0.1", 1, false),
            allocation("10.0.0.2", 2, false),
            allocation("10.0.0.3", 1, true),
            allocation("10.0.0.4", 1, false),
        ],
        &[("a", "1"), ("b", "2")],
    );
    let leaks = common_leaks(&[first.clone(), second]);
    let request = |address: &str| ReleaseRequest {
        address: address.parse().unwrap(),
        handle: Some("h".to_owned()),
        sequence: Some(1),
    };
    assert_eq!(leaks.addresses, [request("10.0.0.1")]);
    assert_eq!(leaks.handles.iter().map(|handle| handle.id.as_str()).collect::<Vec<_>>(), ["a"]);
    assert_eq!(common_leaks(&[first]).addresses.len(), 3);
}

/// Lock, check, release: as recorded. What was allocated anew since the report stays.
#[test]
fn a_report_is_carried_out() {
    run(async {
        let session = recorded().await;
        let locked = json!({
            "kind": "ClusterInformation", "apiVersion": "projectcalico.org/v3", "metadata": { "name": "default" },
            "spec": { "clusterGUID": "g", "datastoreReady": false }
        });
        put(&session, INFORMATION, locked).await;
        let folder = std::env::temp_dir().join(format!("calicoctl-release-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("report.json");
        let arguments = crate::cli::CheckArgs {
            show_all_ips: false,
            show_problem_ips: false,
            output: Some(file.clone()),
            kubeconfig: None,
            fix: false,
            yes: false,
            exit_code: false,
        };
        let console = Console::default();
        let check = async || crate::ipam::check::run(&session, &console, &arguments).await.unwrap();
        assert_eq!(check().await, crate::ipam::check::CheckOutcome::Problems(6));

        let mut report = Report::read(&file).unwrap();
        report.allocations.get_mut("10.10.174.129").unwrap()[0].sequence_number += 1;
        let ipam = Ipam::of(session.store(), Owner::Virtual("x".to_owned()), SystemTime::now());
        let leaks = common_leaks(&[report]);
        let changed = vec!["10.10.174.129".parse().unwrap()];
        // Whether that is seen beforehand, or only when it is released.
        let snapshot = Snapshot::read(&session.store()).await.unwrap();
        let now = SystemTime::now();
        let mut count = Count::default();
        let still = still_leaked(&snapshot, leaks.addresses.clone(), now, &mut count);
        assert_eq!((still.len(), count), (3, Count { released: 0, free: 0, changed: changed.clone() }));
        let mut count = Count::default();
        release(&ipam, leaks.addresses.clone(), &mut count).await.unwrap();
        assert_eq!(count, Count { released: 3, free: 0, changed: changed.clone() });
        let snapshot = Snapshot::read(&session.store()).await.unwrap();
        let mut count = Count::default();
        let still = still_leaked(&snapshot, leaks.addresses, now, &mut count);
        assert_eq!((still, count), (vec![], Count { released: 0, free: 3, changed }));

        let files = [file];
        super::run(&session, &console, &files, false).await.unwrap();
        assert_eq!(check().await, crate::ipam::check::CheckOutcome::Problems(1));
        std::fs::remove_dir_all(&folder).unwrap();
    });
}

/// What a report lists may be in use by the time of the release, although it is the same allocation.
#[test]
fn what_may_be_in_use_by_now_is_not_released() {
    run(async {
        let leak: IpAddr = "10.10.174.129".parse().unwrap();
        let requests = vec![ReleaseRequest { address: leak, handle: Some("net1.cid2".to_owned()), sequence: Some(2) }];
        let still = async |session: &Session, now| {
            let snapshot = Snapshot::read(&session.store()).await.unwrap();
            let mut count = Count::default();
            let still = still_leaked(&snapshot, requests.clone(), now, &mut count);
            assert_eq!(count.changed.len() + still.len(), 1);
            !still.is_empty()
        };
        let session = recorded().await;
        assert!(still(&session, later()).await);
        let four_minutes = std::time::Duration::from_secs(240);
        let allocated = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_795_414_208);
        assert!(!still(&session, allocated + four_minutes).await, "its container may be starting");
        for (pod, id, addresses) in [
            ("other", "cid9", json!(["10.10.174.129/32"])),
            ("other", "cid2", json!(["192.0.2.1/32"])),
            ("web-2", "cid9", json!(["192.0.2.1/32"])),
            ("web-2", "", json!([])),
            ("other", "cid9", json!(["here"])),
        ] {
            let session = recorded().await;
            put_endpoint(&session, pod, id, addresses.clone()).await;
            assert!(!still(&session, later()).await, "{pod} {id} {addresses}");
        }
        put_endpoint(&session, "other", "cid9", json!(["192.0.2.1/32"])).await;
        assert!(still(&session, later()).await);
        // The command itself looks again, too.
        put_endpoint(&session, "other", "cid9", json!([format!("{leak}/32")])).await;
        release_addresses(&session, &Console::default(), requests.clone()).await.unwrap();
        let snapshot = Snapshot::read(&session.store()).await.unwrap();
        assert!(allocations(&snapshot).iter().any(|allocation| allocation.address == leak));
    });
}
