//! How much is asked of an etcd by whom many others have left no room nearby. Counts are asserted; times are the benchmark's.

use std::path::Path;

use e2e::{Answer, Call, Cluster, Faults, note};
use serde_json::json;

/// One run, and how many requests it made.
fn counted(cluster: &Cluster, run: impl FnOnce(&serde_json::Value) -> Call) -> (Answer, usize) {
    let proxy = cluster.etcd.proxy(Path::new(env!("CARGO_BIN_EXE_proxy")), 0, Faults::default());
    let mut netconf = cluster.netconf(0);
    netconf["etcd_endpoints"] = json!(proxy.endpoint());
    let answer = run(&netconf).run();
    let count = proxy.requests().iter().sum();
    (answer, count)
}

/// Others' blocks are all that there is of others: what is stored is compared instead of audited.
fn cluster(pool: &str) -> Cluster {
    let cluster = Cluster::start(1, pool, 26);
    cluster.etcd.end_unaudited();
    cluster
}

#[test]
fn a_new_host_beside_ten_thousand_blocks_of_others_asks_little_more() {
    let requests = |others: usize| {
        let cluster = cluster("10.64.0.0/12");
        cluster.etcd.crowd(Path::new(env!("CARGO_BIN_EXE_crowd")), "10.64.0.0/12", 26, others, 1, false);
        let before = cluster.etcd.dump();
        let (answer, count) = counted(&cluster, |netconf| cluster.call("ADD", "c1", netconf));
        answer.address();
        cluster.del(0, "c1").run().result();
        let after = cluster.etcd.dump();
        assert!(before.iter().all(|(key, value)| after.get(key) == Some(value)), "something of others was changed");
        let added: Vec<&String> = after.keys().filter(|key| !before.contains_key(*key)).collect();
        assert!(
            matches!(added.as_slice(), [_, claim] if claim.contains("/host/node-0/")),
            "not a block and a claim: {added:?}"
        );
        count
    };
    let (alone, beside) = (requests(0), requests(10_000));
    note(&format!("first ADD on a host: {alone} requests alone, {beside} beside 10 000 blocks of others"));
    assert!(beside <= alone + 3, "{alone} requests alone, {beside} beside others");
}

#[test]
fn a_full_pool_says_so_in_few_requests() {
    const BLOCKS: usize = 1024;
    let cluster = cluster("10.64.0.0/16");
    cluster.etcd.crowd(Path::new(env!("CARGO_BIN_EXE_crowd")), "10.64.0.0/16", 26, BLOCKS, 64, false);
    let before = cluster.etcd.dump();
    let (answer, count) = counted(&cluster, |netconf| cluster.call("ADD", "c1", netconf));
    answer.error().assert_words(&[
        "No IPs available in pools: [10.64.0.0/16]",
        "1024 blocks looked at, 1024 of others; addresses: 65536 used, 0 cooling down, 0 reserved, 0 free",
    ]);
    note(&format!("a full pool of {BLOCKS} blocks: {count} requests"));
    assert!(count <= 12, "{count} requests");
    assert_eq!(cluster.etcd.dump(), before);
}
