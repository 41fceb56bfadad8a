//! The recorded run, and what is found beyond it, on a store in memory.

use std::time::{Duration, UNIX_EPOCH};

use calico_datastore::{Datastore, Outcome, Write};
use calico_model::{Key, Object};
use serde_json::{Value, json};

use super::*;
use crate::ipam::check::services::Services;

mod users;

const RESOURCES: &str = "/calico/resources/v3/projectcalico.org";
const IPAM: &str = "/calico/ipam/v2";

pub fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(work)
}

pub async fn session() -> Session {
    Session::in_memory().await
}

/// Stores an object under its path, whatever is there.
pub async fn put(session: &Session, path: &str, value: Value) {
    let key = Key::parse(path).unwrap();
    let object = Object::parse(&key, value.to_string().as_bytes()).unwrap();
    let entries = session.store().read(&[calico_datastore::Want::Get(key.clone())]).await.unwrap().entries();
    let write = match entries.first() {
        Some(entry) => Write::update(key, entry.revision, object),
        None => Write::create(key, object),
    };
    assert!(matches!(session.store().commit(&[write]).await, Ok(Outcome::Applied(_))), "{path}");
}

fn resource(kind: &str, name: &str, spec: Value) -> Value {
    json!({ "kind": kind, "apiVersion": "projectcalico.org/v3", "metadata": { "name": name }, "spec": spec })
}

/// A block of 64 addresses; each allocation is of an ordinal, a container, a node, a pod, a time and a sequence number.
fn block(cidr: &str, owner: &str, allocations: &[(usize, &str, &str, &str, &str, u64)]) -> Value {
    let mut indexes = vec![Value::Null; 64];
    let (mut attributes, mut sequences) = (Vec::new(), serde_json::Map::new());
    for &(ordinal, id, node, pod, time, sequence) in allocations {
        indexes[ordinal] = attributes.len().into();
        let facts = json!({ "namespace": "shop", "node": node, "pod": pod, "timestamp": time });
        attributes.push(json!({ "handle_id": format!("net1.{id}"), "secondary": facts }));
        sequences.insert(ordinal.to_string(), sequence.into());
    }
    let free: Vec<usize> = (0..64).filter(|&ordinal| indexes[ordinal].is_null()).collect();
    json!({
        "cidr": cidr, "affinity": format!("host:{owner}"), "allocations": indexes, "unallocated": free,
        "attributes": attributes, "sequenceNumber": 1_795_414_208_790_749_415_u64,
        "sequenceNumberForAllocation": sequences, "deleted": false
    })
}

const TIMES: [&str; 5] = [
    "2026-11-23 06:10:08.780713636 +0000 UTC",
    "2026-11-23 06:10:08.827549963 +0000 UTC",
    "2026-11-23 06:10:08.940874981 +0000 UTC",
    "2026-11-23 06:10:32.703016592 +0000 UTC",
    "2026-11-23 06:10:09.002567244 +0000 UTC",
];

/// The data of the recorded run.
pub async fn recorded() -> Session {
    let session = session().await;
    let information = json!({ "clusterGUID": "e58e6046d13a4388a3c4376d7ebb4a16", "datastoreReady": true });
    let named = |kind: &str| format!("{RESOURCES}/{kind}");
    let objects = [
        (named("clusterinformations/default"), resource("ClusterInformation", "default", information)),
        (named("ippools/pool1"), resource("IPPool", "pool1", json!({ "cidr": "10.10.0.0/16", "blockSize": 26 }))),
        (named("ippools/pool6"), resource("IPPool", "pool6", json!({ "cidr": "fd00:10::/64", "blockSize": 122 }))),
        (named("nodes/node-a"), resource("Node", "node-a", json!({ "bgp": { "ipv4IPIPTunnelAddr": "10.10.1.1" } }))),
        (named("nodes/node-b"), resource("Node", "node-b", json!({}))),
        (
            format!("{IPAM}/assignment/ipv4/block/10.10.174.128-26"),
            block(
                "10.10.174.128/26",
                "node-a",
                &[
                    (0, "cid1", "node-a", "web-1", TIMES[0], 1),
                    (1, "cid2", "node-a", "web-2", TIMES[1], 2),
                    (2, "cid3", "node-a", "web-3", TIMES[2], 3),
                    (12, "cid6", "node-b", "borrow-0", TIMES[3], 1_795_414_208_790_749_414),
                ],
            ),
        ),
        (
            format!("{IPAM}/assignment/ipv4/block/10.10.218.64-26"),
            block("10.10.218.64/26", "node-b", &[(0, "cid4", "node-b", "db-0", TIMES[4], 5)]),
        ),
        (format!("{IPAM}/host/node-a/ipv4/block/10.10.174.128-26"), json!({ "state": "confirmed" })),
        (format!("{IPAM}/host/node-b/ipv4/block/10.10.218.64-26"), json!({ "state": "confirmed" })),
        (format!("{IPAM}/handle/stale-handle"), json!({ "block": { "10.10.174.128/26": 1 } })),
    ];
    for (path, value) in objects {
        put(&session, &path, value).await;
    }
    for (id, block) in [("1", "174.128"), ("2", "174.128"), ("3", "174.128"), ("6", "174.128"), ("4", "218.64")] {
        let counts = json!({ "block": { format!("10.10.{block}/26"): 1 } });
        put(&session, &format!("{IPAM}/handle/net1.cid{id}"), counts).await;
    }
    put_endpoint(&session, "web-1", "cid1", json!(["10.10.174.128/32"])).await;
    session
}

/// Stores the endpoint of a pod on `node-a`.
pub async fn put_endpoint(session: &Session, pod: &str, container: &str, addresses: Value) {
    let name = format!("node--a-k8s-{}-eth0", pod.replace('-', "--"));
    let spec = json!({
        "orchestrator": "k8s", "node": "node-a", "pod": pod, "endpoint": "eth0", "containerID": container,
        "ipNetworks": addresses
    });
    let mut endpoint = resource("WorkloadEndpoint", &name, spec);
    endpoint["metadata"]["namespace"] = json!("shop");
    put(session, &format!("{RESOURCES}/workloadendpoints/shop/{name}"), endpoint).await;
}

/// A day after the allocations.
pub fn later() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_795_500_000)
}

async fn checked(session: &Session, show: Show) -> (String, usize, Report) {
    let snapshot = Snapshot::read(&session.store()).await.unwrap_or_else(|error| panic!("{error}"));
    let picture = Picture::new(&snapshot, Services::Known(Vec::new()));
    let checked = listing::check(&picture, &snapshot.findings(later()), later(), show);
    let report = report(&picture, &checked.leaked_handles);
    (checked.text, checked.problems, report)
}

const PROBLEMS: Show = Show { all: false, problems: true };
const ALL: Show = Show { all: true, problems: true };

#[test]
fn the_recorded_lines() {
    // The order of the leaked addresses is that of the addresses; it was random.
    let expected = "\
Checking IPAM for inconsistencies...

Loading all IPAM blocks...
Found 2 IPAM blocks.
 IPAM block 10.10.174.128/26 affinity=host:node-a:
 IPAM block 10.10.218.64/26 affinity=host:node-b:
IPAM blocks record 5 allocations.

Loading all IPAM pools...
  10.10.0.0/16
  fd00:10::/64
Found 2 active IP pools.

Loading all nodes.
Found 1 node tunnel IPs.

Loading all service load balancer IPs.
Found 0 service load balancer(s).

Loading all workload endpoints.
Found 1 workload IPs.
Workloads and nodes are using 2 IPs.

Loading all handles
Looking for top (up to 20) nodes by allocations...
  node-a has 3 allocations
  node-b has 2 allocations
Node with most allocations has 3; median is 2

Scanning for IPs that are allocated but not actually in use...
  10.10.174.129 leaked; attrs Main:net1.cid2 Extra:namespace=shop,node=node-a,pod=web-2,timestamp=2026-11-23 06:10:08.827549963 +0000 UTC
  10.10.174.130 leaked; attrs Main:net1.cid3 Extra:namespace=shop,node=node-a,pod=web-3,timestamp=2026-11-23 06:10:08.940874981 +0000 UTC
  10.10.174.140 leaked; attrs Main:net1.cid6 Extra:namespace=shop,node=node-b,pod=borrow-0,timestamp=2026-11-23 06:10:32.703016592 +0000 UTC
  10.10.218.64 leaked; attrs Main:net1.cid4 Extra:namespace=shop,node=node-b,pod=db-0,timestamp=2026-11-23 06:10:09.002567244 +0000 UTC
Found 4 IPs that are allocated in IPAM but not actually in use.
Scanning for IPs that are in use by a workload or node but not allocated in IPAM...
  10.10.1.1 in use by Node(node-a) and in active IPAM pool but has no IPAM allocation.
Found 0 in-use IPs that are not in active IP pools.
Found 1 in-use IPs that are in active IP pools but have no corresponding IPAM allocation.

Scanning for IPAM handles with no matching IPs...
Found 1 handles with no matching IPs (and 5 handles with matches).
Scanning for IPs with missing handle...
Found 0 handles mentioned in blocks with no matching handle resource.
Validating IPAMBlock structures...
Found 0 invalid IPAMBlocks.
Check complete; found 6 problems.
";
    let (text, problems, _) = run(async { checked(&recorded().await, PROBLEMS).await });
    assert_eq!((text.as_str(), problems), (expected, 6));
    let short = run(async { checked(&recorded().await, Show::default()).await.0 });
    assert!(!short.contains("leaked;") && !short.contains("in use by Node"), "{short}");
    let all = run(async { checked(&recorded().await, ALL).await.0 });
    for line in [
        "  10.10.174.128 allocated; attrs Main:net1.cid1 Extra:namespace=shop,node=node-a,pod=web-1,timestamp=2026-11-23 06:10:08.780713636 +0000 UTC",
        "  10.10.1.1 belongs to Node(node-a)",
        "  10.10.174.128 belongs to Workload(shop/node--a-k8s-web--1-eth0)",
        "  stale-handle doesn't have any active IPs.",
        "Check complete; found 6 problems.",
    ] {
        assert!(all.lines().any(|it| it == line), "{line}\n{all}");
    }
    assert_eq!(all.lines().filter(|line| line.contains(" allocated; ")).count(), 5);
}

#[test]
fn the_recorded_report() {
    let (.., report) = run(async { checked(&recorded().await, Show::default()).await });
    let mut value = serde_json::to_value(&report).unwrap();
    let revision = value["clusterInformationRevision"].as_str().unwrap().parse::<i64>().unwrap();
    assert!(revision > 0);
    assert!(value["leakedHandles"][0]["Revision"].as_str().unwrap().parse::<i64>().unwrap() > revision);
    for (field, fixed) in [("clusterInformationRevision", "155"), ("version", "")] {
        value[field] = fixed.into();
    }
    value["leakedHandles"][0]["Revision"] = "203".into();
    value["allocations"].as_object_mut().unwrap().retain(|address, _| address == "10.10.174.140");
    let expected = r#"{
  "version": "",
  "clusterGUID": "e58e6046d13a4388a3c4376d7ebb4a16",
  "datastoreLocked": false,
  "clusterInformationRevision": "155",
  "clusterType": "",
  "allocations": {
    "10.10.174.140": [
      {
        "ip": "10.10.174.140",
        "handle": "net1.cid6",
        "sequenceNumber": 1795414208790749414,
        "pod": "borrow-0",
        "namespace": "shop",
        "node": "node-b",
        "creationTimestamp": "2026-11-23 06:10:32.703016592 +0000 UTC",
        "inUse": false,
        "borrowed": true,
        "owners": null
      }
    ]
  },
  "leakedHandles": [
    {
      "ID": "stale-handle",
      "UID": null,
      "Revision": "203"
    }
  ]
}"#;
    assert_eq!(serde_json::to_string_pretty(&value).unwrap(), expected);
    let in_use = &report.allocations["10.10.174.128"][0];
    assert!(in_use.in_use && !in_use.borrowed);
    assert_eq!(in_use.owners, Some(vec!["Workload(shop/node--a-k8s-web--1-eth0)".to_owned()]));
    let folder = std::env::temp_dir().join(format!("calicoctl-report-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("report.json");
    report.write(&path).unwrap();
    assert_eq!(Report::read(&path).unwrap(), report);
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1, "nothing unfinished is left");
    assert!(report.write(&folder.join("no/such.json")).is_err());
    std::fs::remove_dir_all(&folder).unwrap();
}

/// A cluster without ClusterInformation is a finding like any other.
#[test]
fn findings_beyond_the_established_ones() {
    run(async {
        let session = recorded().await;
        let path = format!("{IPAM}/assignment/ipv4/block/10.10.218.64-26");
        let mut lost = block("10.10.218.64/26", "node-b", &[(0, "cid4", "node-b", "db-0", TIMES[4], 5)]);
        lost["unallocated"].as_array_mut().unwrap().pop();
        put(&session, &path, lost).await;
        put(&session, &format!("{IPAM}/host/node-b/ipv4/block/10.10.0.0-26"), json!({ "state": "pending" })).await;
        put(&session, &format!("{IPAM}/handle/net1.cid1"), json!({ "block": {} })).await;
        let key = Key::parse(&format!("{RESOURCES}/clusterinformations/default")).unwrap();
        let entry =
            session.store().read(&[calico_datastore::Want::Get(key.clone())]).await.unwrap().entries().remove(0);
        session.store().commit(&[Write::delete(key, entry.revision)]).await.unwrap();
        let (text, problems, report) = checked(&session, PROBLEMS).await;
        let expected = "\
Validating IPAMBlock structures...
  IPAMBlock BlockKey(cidr=10.10.218.64/26) is invalid: expected 64 addresses in this block, but Unallocated (62) + Allocated (1) = 63
Found 1 invalid IPAMBlocks.
Comparing everything else that is stored...
 Dangerous: two may have one address, or what is in use cannot be found by who releases it:
  handle net1.cid1 counts 0 addresses in block 10.10.174.128/26, and has 1 there
    A DEL will not find all addresses, until the handle is corrected, as by `calicoctl ipam check --fix`.
 Held in vain: nobody gives it back unasked:
  handle net1.cid1 counts nothing
    Delete it: `calicoctl ipam check --fix` does.
 Settings:
  there is no ClusterInformation(default)
    Let the node agent or calicoctl initialise the datastore: plugins wait for it.
 Passing: the next operation of whom it concerns puts it right:
  the affinity of host:node-b to block 10.10.0.0/26 is not confirmed but pending
    The owner's next allocation finishes it.
Found 4 further contradictions.
Check complete; found 11 problems.
";
        assert!(text.ends_with(expected), "{text}");
        assert_eq!((problems, report.cluster_guid.as_str()), (11, ""));
    });
}

#[test]
fn what_is_planned_and_what_is_left() {
    run(async {
        let session = recorded().await;
        let snapshot = Snapshot::read(&session.store()).await.unwrap();
        let plan = calico_ipam::repair::plan(&snapshot, &snapshot.findings(later()), later());
        let text = fix::announcement(&plan, false);
        let expected = "
Not to be repaired without knowing more:
  10.10.1.1 is in use by the IPIP tunnel of node node-a, and not allocated
    Restart its user before somebody else is given the address.
To be repaired, as it is provably dead:
  release 10.10.174.129, allocated to net1.cid2, and delete the handle net1.cid2, which then counts nothing
  release 10.10.174.130, allocated to net1.cid3, and delete the handle net1.cid3, which then counts nothing
  release 10.10.218.64, allocated to net1.cid4, and delete the handle net1.cid4, which then counts nothing
  release 10.10.174.140, allocated to net1.cid6, and delete the handle net1.cid6, which then counts nothing
  delete the handle stale-handle, which then counts nothing
5 repairs are possible; 1 findings are left. Add --yes to repair.
";
        assert_eq!(text, expected);
        fix::carry_out(&session, &Console::default(), &plan, later()).await.unwrap();
        assert_eq!(checked(&session, PROBLEMS).await.1, 1);
    });
}

#[test]
fn a_run_with_repairs() {
    run(async {
        let session = recorded().await;
        let mut arguments = CheckArgs {
            show_all_ips: false,
            show_problem_ips: false,
            output: None,
            kubeconfig: None,
            fix: true,
            yes: false,
            exit_code: true,
        };
        let run = async |arguments: &CheckArgs| super::run(&session, &Console::default(), arguments).await.unwrap();
        assert_eq!(run(&arguments).await, CheckOutcome::Problems(6));
        assert_eq!(run(&arguments).await, CheckOutcome::Problems(6), "nothing is repaired unasked");
        arguments.yes = true;
        assert_eq!(run(&arguments).await, CheckOutcome::Problems(1));
    });
}
