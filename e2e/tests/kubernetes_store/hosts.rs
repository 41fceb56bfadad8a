//! Address management by the executables, of several hosts at once.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use calico_datastore::Write;
use calico_ipam::start_block;
use calico_model::{Affinity, AffinityState, Attribute, Block, Key, Owner};
use e2e::{Answer, Random, at_once, note};
use ipnetwork::IpNetwork;
use nix::sys::signal::Signal;
use serde_json::json;

use crate::fleet::{Fleet, name};

/// The established implementation's text where free addresses are in others' blocks, and those may not be used.
const STRICT: &str = "No more free affine blocks and strict affinity enabled";

/// Asserts that all runs were given addresses, and each its own. Answers those.
#[track_caller]
fn distinct(answers: &[Answer]) -> Vec<IpAddr> {
    let addresses: Vec<IpAddr> = answers.iter().map(Answer::address).collect();
    assert_eq!(addresses.iter().collect::<BTreeSet<_>>().len(), addresses.len(), "an address was given twice");
    addresses
}

/// Stores blocks of so many other hosts, each the first that is free in its host's order, with so many addresses in use.
fn crowd(fleet: &Fleet, pool: &str, block_size: u8, hosts: usize, addresses: usize) {
    let pool: IpNetwork = pool.parse().unwrap();
    let mut taken = BTreeSet::new();
    let mut writes = Vec::new();
    for number in 0..hosts {
        let host = format!("crowd-{number}");
        let block = start_block::blocks(pool, block_size, &host, 0).find(|block| taken.insert(*block)).unwrap();
        let owner = Owner::Host(host);
        let claimed = SystemTime::now() - Duration::from_secs(3600);
        let mut stored = Block::new(block, &owner, claimed);
        stored.attributes = vec![Attribute { handle_id: Some("net1.crowd".to_owned()), ..Attribute::default() }];
        stored.allocations[..addresses].fill(Some(0));
        stored.unallocated.retain(|&free| free >= addresses as i64);
        writes.push(Write::create(Key::Affinity { owner, block }, Affinity::new(AffinityState::Confirmed)));
        writes.push(Write::create(Key::Block(block), stored));
    }
    fleet.store.revision(&Key::IpamConfig);
    fleet.store.applied(&writes);
}

#[test]
fn eight_hosts_at_once_get_addresses_of_a_block_each() {
    const HOSTS: usize = 8;
    const EACH: usize = 4;
    let fleet = Fleet::start(HOSTS, "10.65.0.0/16", 26);
    let containers: Vec<(usize, String)> = (0..HOSTS * EACH).map(|n| (n % HOSTS, format!("c{n}"))).collect();
    let named = || containers.iter().map(|(node, container)| (*node, container.as_str()));
    let addresses = distinct(&at_once(named().map(|(node, container)| fleet.add(node, container))));
    let owners = fleet.owners();
    assert_eq!(owners.len(), HOSTS, "{owners:?}");
    for ((node, _), address) in containers.iter().zip(addresses) {
        let (_, owner) = owners.iter().find(|(block, _)| block.contains(address)).unwrap();
        assert_eq!(*owner, format!("host:{}", name(*node)));
    }
    fleet.assert_agreement();
    fleet.end(named());
}

/// More hosts than blocks: those without one borrow, and nobody gets another's address.
#[test]
fn hosts_without_a_block_borrow() {
    const HOSTS: usize = 6;
    let fleet = Fleet::start(HOSTS, "10.65.0.0/28", 30);
    let containers: Vec<(usize, String)> = (0..16).map(|n| (n % HOSTS, format!("c{n}"))).collect();
    let named = || containers.iter().map(|(node, container)| (*node, container.as_str()));
    distinct(&at_once(named().map(|(node, container)| fleet.add(node, container))));
    assert_eq!(fleet.owners().len(), 4);
    let refused = fleet.add(0, "c16").run().error();
    refused.assert_words(&["No IPs available in pools: [10.65.0.0/28]", "addresses: 16 used"]);
    fleet.assert_agreement();
    fleet.end(named());
}

#[test]
fn a_block_is_kept_lent_and_taken_over() {
    let fleet = Fleet::start(3, "10.65.0.0/29", 29);
    let owner = || fleet.owners().into_values().next().unwrap();
    fleet.add(0, "first").run().address();
    fleet.configure(true);
    fleet.add(1, "other").run().error().assert_words(&[STRICT, "turn strict affinity off"]);
    fleet.configure(false);
    fleet.age("10.65.0.0/29");
    fleet.add(1, "other").run().address();
    assert_eq!(owner(), "host:node-0", "it is in use");
    fleet.end([(0, "first"), (1, "other")]);
    assert_eq!(owner(), "host:node-0", "its owner keeps it");
    // Two hosts at once: one takes it over, and the other borrows from that.
    let containers = [(1, "other"), (2, "another")];
    distinct(&at_once(containers.into_iter().map(|(node, container)| fleet.add(node, container))));
    assert!(["host:node-1", "host:node-2"].contains(&owner().as_str()), "{}", owner());
    fleet.assert_agreement();
    fleet.end(containers);
}

#[test]
fn a_block_of_a_pool_that_is_for_others_now_is_given_up() {
    let fleet = Fleet::start(1, "10.70.0.0/24", 26);
    let (plane, label) = (&fleet.plane, |zone: &str| {
        let labels = json!({"metadata": {"labels": {"zone": zone}}});
        fleet.plane.admin().patch("/api/v1/nodes/node-0", &labels).unwrap();
    });
    let pool = |cidr: &str, zone: &str| {
        let selector = format!("zone == '{zone}'");
        json!({"cidr": cidr, "nodeSelector": selector, "allowedUses": ["Workload"], "assignmentMode": "Automatic"})
    };
    plane.put("ippools", "pool4", pool("10.70.0.0/24", "x"));
    plane.put("ippools", "pool-y", pool("10.71.0.0/24", "y"));
    for (zone, begin) in [("x", "10.70.0."), ("y", "10.71.0.")] {
        label(zone);
        let container = format!("c-{zone}");
        let address = fleet.add(0, &container).run().address().to_string();
        assert!(address.starts_with(begin), "{address}");
        fleet.end([(0, container.as_str())]);
        let owners = fleet.owners();
        assert!(owners.len() == 1 && owners.keys().all(|block| block.to_string().starts_with(begin)), "{owners:?}");
    }
    label("z");
    fleet.add(0, "none").run().error().assert_words(&["no configured Calico pools for node node-0", "zone == 'y'"]);
}

#[test]
fn a_new_host_beside_many_blocks_of_others_asks_little_more() {
    let requests = |others: usize| {
        let fleet = Fleet::start(1, "10.64.0.0/12", 26);
        crowd(&fleet, "10.64.0.0/12", 26, others, 1);
        let (answer, requests) = fleet.counted(fleet.add(0, "c1"));
        answer.address();
        assert_eq!(fleet.owners().len(), others + 1);
        fleet.del(0, "c1").run().result();
        requests
    };
    let (alone, beside) = (requests(0), requests(300));
    note(&format!("first ADD on a host: {} requests alone, {} beside 300 blocks of others", alone.len(), beside.len()));
    assert!(beside.len() <= alone.len() + 3, "alone: {alone:#?}\nbeside others: {beside:#?}");
}

/// Each block is a request of its own, many at a time.
#[test]
fn a_full_pool_says_so_when_it_has_looked_at_each_block_once() {
    const BLOCKS: usize = 128;
    let fleet = Fleet::start(1, "10.64.0.0/21", 28);
    crowd(&fleet, "10.64.0.0/21", 28, BLOCKS, 16);
    let (answer, requests) = fleet.counted(fleet.add(0, "c1"));
    answer.error().assert_words(&[
        "No IPs available in pools: [10.64.0.0/21]",
        "128 blocks looked at, 128 of others; addresses: 2048 used, 0 cooling down, 0 reserved, 0 free",
    ]);
    note(&format!("a full pool of {BLOCKS} blocks: {} requests", requests.len()));
    assert!(requests.len() <= BLOCKS + 6, "{requests:#?}");
}

/// What a killed process had sent may be carried out after its death, and after the DEL that follows.
#[test]
fn a_killed_add_leaves_nothing_that_del_does_not_remove() {
    const KILLS: usize = 40;
    let fleet = Fleet::start(1, "10.65.0.0/16", 26);
    let mut random = Random::for_test("kill -9 of ADD on Kubernetes");
    let mut whole = fleet.add(0, "sample").run().wall;
    fleet.end([(0, "sample")]);
    let mut hit = 0;
    for round in 0..KILLS {
        let container = format!("c{round}");
        let running = fleet.add(0, &container).start();
        std::thread::sleep(random.below(whole * 5 / 4));
        running.signal(Signal::SIGKILL);
        let answer = running.finish();
        match answer.signal {
            Some(_) => hit += 1,
            None => whole = (whole * 7 + answer.wall) / 8,
        }
        fleet.del(0, &container).run().result();
    }
    note(&format!("kill -9, Kubernetes: {hit} of {KILLS} ADDs were still running (ADD: {whole:.1?})"));
    assert!(hit > KILLS / 10, "only {hit} of {KILLS} were hit");
    fleet.end([(0, "sample")]);
}
