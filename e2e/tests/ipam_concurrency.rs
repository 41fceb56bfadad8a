//! Address management by many processes of many hosts at once, on one etcd.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

use calico_model::timestamp;
use e2e::{Answer, Claim, Cluster, Random, Running, at_once, block_of, note};
use ipnetwork::IpNetwork;
use serde_json::{Value, json};

/// The established implementation's text where every block is full.
const FULL: &str = "failed to request IPv4 addresses: Assigned 0 out of 1 requested IPv4 addresses; \
                    No IPs available in pools: [";
/// The same where free addresses are in others' blocks, and those may not be used.
const STRICT: &str = "failed to request IPv4 addresses: Assigned 0 out of 1 requested IPv4 addresses; \
                      No more free affine blocks and strict affinity enabled";

/// Asserts that all runs were given addresses, and each its own. Answers those.
#[track_caller]
fn distinct(answers: &[Answer]) -> Vec<IpAddr> {
    let addresses: Vec<IpAddr> = answers.iter().map(Answer::address).collect();
    assert_eq!(addresses.iter().collect::<BTreeSet<_>>().len(), addresses.len(), "an address was given twice");
    addresses
}

/// Containers of several hosts in turns: the host of each, and its ID.
fn containers(count: usize, nodes: usize) -> Vec<(usize, String)> {
    (0..count).map(|number| (number % nodes, format!("c{number}"))).collect()
}

fn named(containers: &[(usize, String)]) -> impl Iterator<Item = (usize, &str)> {
    containers.iter().map(|(node, container)| (*node, container.as_str()))
}

fn owners(blocks: &BTreeMap<IpNetwork, Value>) -> BTreeMap<&str, Vec<IpNetwork>> {
    let mut owners: BTreeMap<&str, Vec<IpNetwork>> = BTreeMap::new();
    for (block, value) in blocks {
        let owner = value["affinity"].as_str().unwrap_or_else(|| panic!("{block} is nobody's"));
        owners.entry(owner).or_default().push(*block);
    }
    owners
}

/// One operation on the affinity to a block.
fn operation(cluster: &Cluster, node: &str, operation: &str, block: &str) -> Command {
    let mut command = cluster.host.program(Path::new(env!("CARGO_BIN_EXE_ipam")));
    command.args([&cluster.etcd.endpoint(0), node, operation, block]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// What an operation printed, which must have succeeded.
#[track_caller]
fn printed(operation: Child) -> String {
    let output = operation.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn thirty_two_hosts_get_a_block_each() {
    const HOSTS: usize = 32;
    const BLOCKS: usize = 16;
    let cluster = Cluster::start(HOSTS, "10.65.0.0/22", 26);
    let containers = containers(HOSTS, HOSTS);
    let answers = at_once(named(&containers).map(|(node, container)| cluster.add(node, container)));
    let addresses = distinct(&answers);

    let blocks = cluster.blocks();
    let owners = owners(&blocks);
    assert_eq!((blocks.len(), owners.len()), (BLOCKS, BLOCKS), "more than one block for a host: {owners:?}");
    let expected: Vec<Claim> = blocks
        .iter()
        .map(|(&block, value)| {
            let node = value["affinity"].as_str().unwrap().strip_prefix("host:").unwrap().to_owned();
            Claim { block, node, state: "confirmed".to_owned() }
        })
        .collect();
    assert_eq!(cluster.claims(), expected);
    let mut borrowed = 0;
    for ((node, _), address) in containers.iter().zip(&addresses) {
        let (block, value) = block_of(&blocks, *address);
        match owners.get(format!("host:node-{node}").as_str()) {
            Some(own) => assert_eq!(own, &[*block], "node-{node} has a block, and allocated from {value}"),
            None => borrowed += 1,
        }
    }
    assert_eq!(borrowed, HOSTS - BLOCKS);
    cluster.assert_agreement();
    cluster.end(named(&containers));
}

/// Four calls at once on a host without a block, over and over. The host lock lets one after the other look for a block; without
/// it they meet at the same one, since the order in which a host tries them is its own.
fn four_requests_at_once(locked: bool) {
    const HOSTS: usize = 8;
    let cluster = Cluster::start(HOSTS, "10.65.0.0/16", 26);
    let containers: Vec<(usize, String)> = containers(4 * HOSTS, HOSTS);
    for node in 0..HOSTS {
        let own = || named(&containers).filter(|(of, _)| *of == node);
        let add = |(node, container): (usize, &str)| {
            let mut netconf = cluster.netconf(node);
            if !locked {
                netconf["ipam_lock_file"] = json!(format!("/run/calico/{container}.lock"));
            }
            cluster.call("ADD", container, &netconf)
        };
        let addresses = distinct(&at_once(own().map(add)));
        let blocks = cluster.blocks();
        let owners = owners(&blocks);
        let own = &owners[format!("host:node-{node}").as_str()];
        assert_eq!(own.len(), 1, "node-{node} has several blocks: {own:?}");
        assert!(addresses.iter().all(|address| own[0].contains(*address)), "{addresses:?} are not all in {own:?}");
        cluster.assert_agreement();
    }
    cluster.end(named(&containers));
}

#[test]
fn four_requests_on_a_fresh_host_use_one_block() {
    four_requests_at_once(true);
}

#[test]
fn four_requests_on_a_fresh_host_use_one_block_without_the_host_lock() {
    four_requests_at_once(false);
}

#[test]
fn claim_against_release_of_one_block() {
    const ROUNDS: usize = 40;
    let block = "10.65.0.0/26";
    let mut random = Random::for_test("claim_against_release_of_one_block");
    let cluster = Cluster::start(2, block, 26);
    let (mut claimed, mut missed) = (0, 0);
    for round in 0..ROUNDS {
        // In even rounds by one host, else by two.
        let nodes = 1 + round as u64 % 2;
        let operations: Vec<(String, &str)> = (0..4)
            .map(|_| {
                let node = format!("node-{}", random.number() % nodes);
                (node, if random.number().is_multiple_of(2) { "claim" } else { "release" })
            })
            .collect();
        let running: Vec<Child> =
            operations.iter().map(|(node, name)| operation(&cluster, node, name, block).spawn().unwrap()).collect();
        for child in running {
            match printed(child).trim_end() {
                "claimed 1" => claimed += 1,
                "claimed 0" => missed += 1,
                _ => {}
            }
        }
        let findings = cluster.etcd.audit();
        assert!(findings.is_empty(), "after {operations:?} in round {round}: {findings:?}");
        assert!(cluster.claims().len() <= 1);
    }
    note(&format!("{claimed} claims of a block, {missed} met another host's"));
    assert!(claimed > 0, "nothing was claimed");
    // Whoever has the block now: both hosts can use it.
    let answers = at_once((0..2).map(|node| cluster.add(node, &format!("c{node}"))));
    distinct(&answers);
    assert_eq!(cluster.claims().len(), 1);
    cluster.assert_agreement();
    cluster.end([(0, "c0"), (1, "c1")]);
}

#[test]
fn release_of_an_empty_block_against_an_allocation_in_it() {
    const ROUNDS: usize = 15;
    let block = "10.65.0.0/26";
    let mut random = Random::for_test("release_of_an_empty_block_against_an_allocation_in_it");
    let cluster = Cluster::start(1, block, 26);
    let containers = containers(3, 1);
    let mut ends: BTreeMap<String, usize> = BTreeMap::new();
    for _ in 0..ROUNDS {
        printed(operation(&cluster, "node-0", "claim", block).spawn().unwrap());
        let mut steps: Vec<Option<&str>> =
            named(&containers).map(|(_, id)| Some(id)).chain([None, None, None]).collect();
        steps.sort_by_cached_key(|_| random.number());
        let (mut adds, mut releases) = (Vec::new(), Vec::new());
        for step in steps {
            std::thread::sleep(random.below(Duration::from_millis(4)));
            match step {
                Some(container) => {
                    let mut netconf = cluster.netconf(0);
                    netconf["ipam_lock_file"] = json!(format!("/run/calico/{container}.lock"));
                    adds.push(cluster.call("ADD", container, &netconf).start());
                }
                None => releases.push(operation(&cluster, "node-0", "release", block).spawn().unwrap()),
            }
        }
        distinct(&adds.into_iter().map(Running::finish).collect::<Vec<_>>());
        for release in releases {
            let end = printed(release).split_whitespace().last().unwrap_or("nothing to release").to_owned();
            *ends.entry(end).or_default() += 1;
        }
        assert_eq!(cluster.etcd.stored().allocated(), containers.len(), "a block was deleted with an address in it");
        cluster.assert_agreement();
        cluster.end(named(&containers));
    }
    note(&format!("what became of releases: {ends:?}"));
}

#[test]
fn strict_affinity_under_pressure() {
    const HOSTS: usize = 6;
    const EACH: usize = 12;
    // Four blocks of eight addresses.
    let cluster = Cluster::start(HOSTS, "10.65.0.0/27", 29);
    cluster.configure(json!({"strict_affinity": true, "auto_allocate_blocks": true}));
    let containers = containers(HOSTS * EACH, HOSTS);
    let answers = at_once(named(&containers).map(|(node, container)| cluster.add(node, container)));

    let blocks = cluster.blocks();
    let owners = owners(&blocks);
    let owned = |node: usize| owners.get(format!("host:node-{node}").as_str()).map_or(0, Vec::len);
    let (given, refused): (Vec<_>, Vec<_>) =
        containers.iter().zip(answers).partition(|(_, answer)| answer.exit == Some(0));
    for ((node, container), answer) in &given {
        let (block, value) = block_of(&blocks, answer.address());
        assert_eq!(value["affinity"], json!(format!("host:node-{node}")), "{container} has an address of {block}");
    }
    for (_, answer) in &refused {
        answer.error().assert_words(&[
            STRICT,
            "turn strict affinity off",
            "pool pool4 (10.65.0.0/27): 4 blocks looked at",
        ]);
    }
    for node in 0..HOSTS {
        let count = given.iter().filter(|((of, _), _)| *of == node).count();
        assert_eq!(count, EACH.min(8 * owned(node)), "node-{node} has {} blocks", owned(node));
    }
    assert_eq!(owners.values().flatten().count(), 4);
    distinct(&given.into_iter().map(|(_, answer)| answer).collect::<Vec<_>>());
    cluster.assert_agreement();
    cluster.end(named(&containers));
}

#[test]
fn two_hundred_adds_in_a_pool_of_two_hundred_free_addresses() {
    const HOSTS: usize = 5;
    const FREE: usize = 200;
    let cluster = Cluster::start(HOSTS, "10.65.0.0/24", 26);
    let reserved = json!({
        "kind": "IPReservation", "apiVersion": "projectcalico.org/v3", "metadata": {"name": "some"},
        "spec": {"reservedCIDRs": ["10.65.0.0/27", "10.65.0.64/28", "10.65.0.128/29"]}
    });
    cluster.etcd.put("/calico/resources/v3/projectcalico.org/ipreservations/some", &reserved.to_string());
    let containers = containers(FREE, HOSTS);
    let answers = at_once(named(&containers).map(|(node, container)| cluster.add(node, container)));
    distinct(&answers);
    cluster.assert_agreement();

    // The last host looks at every block, whichever it owns.
    let refused = |container: &str| cluster.add(HOSTS - 1, container).run().error();
    let looked = "pool pool4 (10.65.0.0/24): 4 blocks looked at";
    refused("c200").assert_words(&[
        FULL,
        "10.65.0.0/24]",
        looked,
        "addresses: 200 used, 0 cooling down, 56 reserved, 0 free",
        "or delete containers that are no longer needed",
    ]);
    // What is released does not become free at once where the settings say so.
    cluster.configure(json!({"auto_allocate_blocks": true, "ipCooldownSeconds": 3600}));
    cluster.del(0, "c0").run().result();
    refused("c201").assert_words(&[FULL, looked, "addresses: 199 used, 1 cooling down, 56 reserved, 0 free"]);
    cluster.configure(json!({"auto_allocate_blocks": true}));
    let given = cluster.add(1, "c202").run().address();
    assert_eq!(given, answers[0].address(), "another address was free");
    cluster.end(named(&containers).chain([(1, "c202")]));
}

/// Lets a block's owner have claimed it so long ago.
fn age(cluster: &Cluster, age: Duration) {
    let mut blocks = cluster.etcd.dump().into_iter().filter(|(path, _)| path.contains("/assignment/"));
    let (Some((path, text)), None) = (blocks.next(), blocks.next()) else { panic!("not one block") };
    let mut block: Value = serde_json::from_str(&text).unwrap();
    block["affinity_claim_time"] = json!(timestamp::rfc3339(SystemTime::now() - age));
    cluster.etcd.put(&path, &block.to_string());
}

#[test]
fn an_emptied_pool_is_shared_again() {
    let cluster = Cluster::start(3, "10.65.0.0/26", 26);
    let owner = || cluster.blocks().into_values().next().unwrap()["affinity"].clone();
    cluster.add(0, "first").run().address();
    // In use: it is not taken over, however old.
    age(&cluster, Duration::from_secs(3600));
    cluster.add(1, "other").run().address();
    assert_eq!(owner(), "host:node-0");
    cluster.end([(0, "first"), (1, "other")]);

    // Empty, but claimed a moment ago: its owner may be about to use it.
    let strictly = |strict| cluster.configure(json!({"strict_affinity": strict, "auto_allocate_blocks": true}));
    age(&cluster, Duration::from_secs(20));
    strictly(true);
    cluster.add(1, "other").run().error().assert_words(&[STRICT]);
    strictly(false);
    cluster.add(1, "other").run().address();
    assert_eq!(owner(), "host:node-0");
    cluster.end([(1, "other")]);

    // Two hosts at once: one takes it over, and the other borrows from that.
    age(&cluster, Duration::from_secs(61));
    let containers = [(1, "other"), (2, "another")];
    distinct(&at_once(containers.into_iter().map(|(node, container)| cluster.add(node, container))));
    let taken = owner();
    assert!(taken == "host:node-1" || taken == "host:node-2", "{taken} has it");
    let claims = cluster.claims();
    assert_eq!(claims.len(), 1, "{claims:?}");
    assert_eq!((json!(format!("host:{}", claims[0].node)), claims[0].state.as_str()), (taken, "confirmed"));
    // Who had it before is one of the others now.
    cluster.add(0, "first").run().address();
    assert_eq!(cluster.claims(), claims);
    cluster.assert_agreement();
    cluster.end(containers.into_iter().chain([(0, "first")]));

    // Strictly, too.
    strictly(true);
    age(&cluster, Duration::from_secs(61));
    cluster.add(0, "first").run().address();
    assert_eq!(owner(), "host:node-0");
    cluster.assert_agreement();
    cluster.end([(0, "first")]);
}
