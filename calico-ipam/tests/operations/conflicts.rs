//! Releasing addresses while others write, answers get lost, requests land late and processes die.
//!
//! `OPERATIONS_SEED` gives the seed (printed at the start).

use std::cell::Cell;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::rc::Rc;

use calico_datastore::local::Local;
use calico_datastore::{Datastore, Want};
use calico_ipam::{Error, Ipam, ReleaseRequest};
use calico_model::{Handle, IpVersion, Key, Listing};

use crate::faulty::{Death, Faults, Faulty, Style};
use crate::{HOST, assign, at, blocks, cluster, run};

const ROUNDS: u64 = 50;

fn seed() -> u64 {
    let seed = std::env::var("OPERATIONS_SEED").map_or(20_261_123, |text| text.parse().expect("a number"));
    println!("OPERATIONS_SEED={seed}");
    seed
}

/// The holders of all addresses.
async fn holders(store: &Local) -> BTreeMap<IpAddr, String> {
    let mut holders = BTreeMap::new();
    for block in blocks(store).await {
        assert_eq!(block.inconsistency(), None);
        for ordinal in 0..block.allocations.len() {
            if let Some(attribute) = block.attribute_of(ordinal) {
                holders.insert(block.address(ordinal).unwrap(), attribute.handle().unwrap().to_owned());
            }
        }
    }
    holders
}

/// No handle counts less than it has; answers by how much all count too much, and how many count what they have not.
async fn over_counts(store: &Local, about: &str) -> (i64, usize) {
    let mut answers = store.read(&[Want::List(Listing::Handles)]).await.unwrap();
    let mut counted: BTreeMap<(String, String), i64> = BTreeMap::new();
    for stored in answers.list::<Handle>() {
        let Key::Handle(id) = stored.key else { continue };
        counted.extend(stored.value.block.into_iter().map(|(block, count)| ((id.clone(), block), count)));
    }
    let mut held: BTreeMap<(String, String), i64> = BTreeMap::new();
    for block in blocks(store).await {
        for attribute in (0..block.allocations.len()).filter_map(|ordinal| block.attribute_of(ordinal)) {
            let handle = attribute.handle().unwrap().to_owned();
            *held.entry((handle, block.cidr.to_string())).or_default() += 1;
        }
    }
    for (entry, held) in &held {
        let counted = counted.get(entry).copied().unwrap_or(0);
        assert!(counted >= *held, "{about}: {entry:?} counts {counted} and has {held}");
    }
    let idle = counted.keys().filter(|entry| !held.contains_key(entry)).count();
    (counted.values().sum::<i64>() - held.values().sum::<i64>(), idle)
}

fn check(style: Style, faults: Faults, deaths: bool) {
    let first = seed();
    for round in 0..ROUNDS {
        let seed = first.wrapping_add(round.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let about = format!("{style:?}, {faults:?}, round {round}");
        run(one_round(style, faults, deaths.then_some((round % 6) as u8 + 1), seed, &about));
    }
}

/// Three handles with addresses all over the blocks; all of two are released, and some of the third.
async fn one_round(style: Style, faults: Faults, dies_after: Option<u8>, seed: u64, about: &str) {
    let store = Rc::new(cluster(&[("10.0.0.0/26", 29)]).await);
    let calm = Ipam::new(&*store, HOST, at(0));
    let mut addresses: BTreeMap<&str, Vec<IpAddr>> = BTreeMap::new();
    for turn in 0..3 {
        for handle in ["a", "b", "c"] {
            addresses.entry(handle).or_default().extend(assign(&calm, handle, IpVersion::V4, 1 + turn % 2).await);
        }
    }
    let kept = addresses["c"][0];
    let chosen: Vec<IpAddr> = addresses.values().flatten().copied().filter(|address| *address != kept).collect();
    let requests: Vec<ReleaseRequest> = chosen.iter().copied().map(ReleaseRequest::any).collect();

    let faulty = Faulty::new(store.clone(), style, faults, seed);
    let (others, clock) = (store.clone(), Cell::new(1));
    faulty.set_other_writer(move |random| {
        let store = others.clone();
        clock.set(clock.get() + 1);
        let now = at(clock.get());
        Box::pin(async move {
            let ipam = Ipam::new(&*store, HOST, now);
            let handle = format!("other-{}", random % 3);
            match ipam.read_handle(&handle).await.unwrap() {
                Some(known) => ipam.release_by_handle(Some(known)).await.unwrap(),
                None => {
                    assign(&ipam, &handle, IpVersion::V4, 1 + random as usize / 8 % 3).await;
                }
            }
        })
    });
    faulty.dies(dies_after.map(|requests| Death { requests, lands_late: seed.is_multiple_of(2) }));
    let result = Ipam::new(&faulty, HOST, at(1)).release_addresses(&requests).await;
    if faulty.is_dead() {
        faulty.dies(None);
        assert!(result.is_err(), "{about}");
        faulty.calm_down().await;
        over_counts(&store, about).await;
        // Whoever comes next releases the rest, if it is still theirs.
        let left: Vec<ReleaseRequest> = holders(&store)
            .await
            .into_iter()
            .filter(|(address, handle)| chosen.contains(address) && !handle.starts_with("other"))
            .map(|(address, _)| ReleaseRequest::any(address))
            .collect();
        Ipam::new(&faulty, HOST, at(500)).release_addresses(&left).await.unwrap();
    } else {
        let done = result.unwrap_or_else(|error| panic!("{about}: {error}"));
        assert_eq!((done.released, done.not_allocated), (sorted(&chosen), vec![]), "{about}");
    }
    faulty.calm_down().await;
    let held = holders(&store).await;
    let of_ours: Vec<IpAddr> = held.iter().filter(|(_, h)| !h.starts_with("other")).map(|(&a, _)| a).collect();
    assert_eq!(of_ours, [kept], "{about}");
    let (too_much, idle) = over_counts(&store, about).await;
    if faults.lost == 0 && faults.late == 0 && dies_after.is_none() {
        assert_eq!(too_much, 0, "{about}");
    }
    if dies_after.is_none() {
        assert_eq!(idle, 0, "{about}: a handle counts where it has nothing");
    }
    // Addresses that others got meanwhile are theirs still: what they have, their handles release.
    for other in ["other-0", "other-1", "other-2", "c"] {
        calm.release_by_handle(calm.read_handle(other).await.unwrap()).await.unwrap();
    }
    assert_eq!(holders(&store).await.len(), 0, "{about}");
}

fn sorted(addresses: &[IpAddr]) -> Vec<IpAddr> {
    let mut sorted = addresses.to_vec();
    sorted.sort();
    sorted
}

#[test]
fn undisturbed() {
    check(Style::Atomic, Faults::NONE, false);
}

#[test]
fn other_writers() {
    check(Style::Atomic, Faults { writers: 25, lost: 0, late: 0 }, false);
    check(Style::Ordered, Faults { writers: 25, lost: 0, late: 0 }, false);
}

#[test]
fn lost_answers() {
    check(Style::Atomic, Faults { writers: 10, lost: 40, late: 0 }, false);
    check(Style::Ordered, Faults { writers: 10, lost: 40, late: 0 }, false);
}

#[test]
fn late_requests() {
    check(Style::Atomic, Faults { writers: 10, lost: 10, late: 40 }, false);
    check(Style::Ordered, Faults { writers: 10, lost: 10, late: 40 }, false);
}

#[test]
fn deaths() {
    check(Style::Atomic, Faults { writers: 10, lost: 10, late: 10 }, true);
    check(Style::Ordered, Faults { writers: 10, lost: 10, late: 10 }, true);
}

#[test]
fn a_bad_handle_is_not_tried_again() {
    run(async {
        let store = Rc::new(cluster(&[("10.0.0.0/26", 29)]).await);
        let address = assign(&Ipam::new(&*store, HOST, at(0)), "a", IpVersion::V4, 1).await[0];
        let faulty = Faulty::new(store.clone(), Style::Atomic, Faults { writers: 0, lost: 100, late: 0 }, 1);
        let request = ReleaseRequest { handle: Some("b".to_owned()), ..ReleaseRequest::any(address) };
        let refused = Ipam::new(&faulty, HOST, at(1)).release_addresses(&[request]).await.unwrap_err();
        assert!(matches!(refused.error, Error::BadHandle { .. }));
        assert_eq!(holders(&store).await.len(), 1);
    });
}
