//! How much of each pool and each block is used.

use calico_datastore::Write;
use calico_ipam::{Counts, Ipam};
use calico_model::reservation::IpReservationSpec;
use calico_model::{Key, Kind, Resource};

use crate::{Counting, HOST, assign_given, at, cluster, delete, ip, run, write};

fn counts(capacity: u64, in_use: u64, reserved: u64, available: u64) -> Counts {
    Counts { capacity, in_use, reserved, available }
}

#[test]
fn pools_blocks_and_orphans() {
    run(async {
        let store = cluster(&[("10.0.0.0/24", 26), ("10.1.0.0/24", 26), ("fd00::/64", 122), ("fd01::/120", 122)]).await;
        let ipam = Ipam::new(&store, HOST, at(0));
        for address in ["10.0.0.1", "10.0.0.2", "10.0.0.65", "10.1.0.1", "fd00::1", "fd01::1"] {
            assign_given(&ipam, "h", address).await;
        }
        let reserved_cidrs = vec!["10.0.0.0/30".to_owned(), "10.0.0.128/25".to_owned(), "junk".to_owned()];
        let spec = IpReservationSpec { reserved_cidrs, ..IpReservationSpec::default() };
        let reservation = Resource::new(Kind::IpReservation, "r", spec);
        write(&store, Write::create(Key::resource(Kind::IpReservation, "r"), reservation)).await;
        delete(&store, Key::resource(Kind::IpPool, "pool-1")).await;
        delete(&store, Key::resource(Kind::IpPool, "pool-3")).await;

        let counting = Counting::new(&store);
        let ipam = Ipam::new(&counting, HOST, at(1));
        let all = ipam.utilisation(&[]).await.unwrap();
        assert_eq!(*counting.reads.borrow(), [3]);
        let pools: Vec<&str> = all.pools.iter().map(|pool| pool.name.as_str()).collect();
        assert_eq!(pools, ["pool-0", "pool-2"]);
        assert_eq!(all.pools[0].counts, counts(256, 3, 130, 123));
        let of_blocks: Vec<Counts> = all.pools[0].blocks.iter().map(|block| block.counts).collect();
        assert_eq!(of_blocks, [counts(64, 2, 2, 60), counts(64, 1, 0, 63)]);
        assert_eq!(all.pools[1].counts, counts(i64::MAX as u64, 1, 0, i64::MAX as u64));
        let orphans: Vec<String> = all.orphans.iter().map(|block| block.cidr.to_string()).collect();
        assert_eq!(orphans, ["10.1.0.0/26", "fd01::/122"]);

        for wanted in ["pool-0", "10.0.0.0/24"] {
            let one = ipam.utilisation(&[wanted.to_owned()]).await.unwrap();
            assert_eq!((&one.pools[..], one.orphans.len()), (&all.pools[..1], 0));
        }
        assert!(ipam.utilisation(&["other".to_owned()]).await.unwrap().pools.is_empty());
    });
}

#[test]
fn resting_addresses_are_in_use() {
    run(async {
        let store = cluster(&[("10.0.0.0/24", 26)]).await;
        let ipam = Ipam::new(&store, HOST, at(0));
        ipam.change_settings(|config| config.ip_cooldown_seconds = 30).await.unwrap();
        assign_given(&ipam, "h", "10.0.0.1").await;
        ipam.release_addresses(&[calico_ipam::ReleaseRequest::any(ip("10.0.0.1"))]).await.unwrap();
        let later = Ipam::new(&store, HOST, at(100));
        assert_eq!(later.utilisation(&[]).await.unwrap().pools[0].counts, counts(256, 1, 0, 255));
    });
}
