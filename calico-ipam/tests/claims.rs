//! Who has a block after its owner has gone, or a process has died.

use std::time::{Duration, SystemTime};

use calico_datastore::local::Local;
use calico_datastore::{Datastore, Outcome, Want, Write};
use calico_ipam::{Assigned, AutoAssign, Demand, Ipam, Lease};
use calico_model::{Affinity, AffinityState, IpPool, IpVersion, IpamConfig, Key, Kind, Listing, Owner};

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000 + seconds)
}

async fn create(store: &Local, write: Write) {
    assert!(matches!(store.commit(&[write]).await.unwrap(), Outcome::Applied(_)));
}

fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(test);
}

/// A store with two hosts and a pool of two blocks of two addresses.
async fn store(config: IpamConfig) -> Local {
    let store = Local::in_memory().await.unwrap();
    for node in ["node-1", "node-2"] {
        store.seed(node, &[]).await.unwrap();
    }
    let mut pool = IpPool::routed("pool", "10.0.0.0/30".parse().unwrap());
    pool.spec.block_size = 31;
    create(&store, Write::create(Key::resource(Kind::IpPool, "pool"), pool)).await;
    create(&store, Write::create(Key::IpamConfig, config)).await;
    store
}

async fn assign(store: &Local, node: &str, handle: &str, count: usize, now: u64) -> Assigned {
    let ipam = Ipam::new(store, node, at(now));
    let lease = Lease::new(handle, [("timestamp".to_owned(), now.to_string())]);
    let request = AutoAssign::workload(vec![Demand::any(IpVersion::V4, count)]);
    ipam.auto_assign(&ipam.read_inputs().await.unwrap(), &request, &lease).await.unwrap()
}

async fn release(store: &Local, node: &str, handle: &str, now: u64) {
    let ipam = Ipam::new(store, node, at(now));
    ipam.release_by_handle(ipam.read_handle(handle).await.unwrap()).await.unwrap();
}

/// Nobody but a host that borrows would ever write such a block.
#[test]
fn a_block_that_is_nobodys_is_claimed_when_its_addresses_have_rested() {
    run(nobodys_block());
}

#[test]
fn an_allocation_finishes_the_claims_of_its_host() {
    run(unfinished_claims());
}

async fn unfinished_claims() {
    for state in [AffinityState::Pending, AffinityState::PendingDeletion] {
        for is_used in [false, true] {
            let store = store(IpamConfig::default()).await;
            assert_eq!(assign(&store, "node-1", "net.a", 3, 0).await.shortfalls, []);
            if !is_used {
                release(&store, "node-1", "net.a", 10).await;
            }
            let owner = Owner::Host("node-1".to_owned());
            let listing = Listing::Affinities { owner: owner.clone(), version: IpVersion::V4 };
            let read = async || store.read(&[Want::List(listing.clone())]).await.unwrap().list::<Affinity>();
            for stored in read().await {
                create(&store, Write::update(stored.key, stored.revision, Affinity::new(state.clone()))).await;
            }
            assert_eq!(assign(&store, "node-1", "net.b", 1, 20).await.shortfalls, []);
            assert_eq!(read().await.len(), 2, "{state:?} {is_used}");
            assert!(read().await.iter().all(|stored| stored.value.state == AffinityState::Confirmed));
        }
    }
}

async fn nobodys_block() {
    let config = IpamConfig { strict_affinity: true, ip_cooldown_seconds: 30, ..IpamConfig::default() };
    let store = store(config).await;
    assert_eq!(assign(&store, "node-1", "net.a", 4, 0).await.shortfalls, []);
    release(&store, "node-1", "net.a", 10).await;
    Ipam::new(&store, "node-1", at(20)).release_all_affinities(false).await.unwrap();
    assert_eq!(assign(&store, "node-2", "net.b", 4, 40).await.allocations, [], "they still rest");
    assert_eq!(assign(&store, "node-2", "net.b", 4, 41).await.shortfalls, []);
    // Also by whoever claims a range.
    release(&store, "node-2", "net.b", 50).await;
    Ipam::new(&store, "node-2", at(60)).release_all_affinities(false).await.unwrap();
    for (now, blocks) in [(80, 0), (81, 2)] {
        let ipam = Ipam::new(&store, "node-1", at(now));
        let claims = ipam.claim_affinities("10.0.0.0/30".parse().unwrap(), None).await.unwrap();
        assert_eq!(claims.claimed.len(), blocks);
    }
}
