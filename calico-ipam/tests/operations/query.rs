//! Who has which address.

use calico_ipam::{Error, Ipam};
use calico_model::{Block, Handle, IpPool, IpVersion, Key, Kind};

use crate::{Counting, HOST, assign, assign_given, at, block_key, change, cluster, delete, ip, run};

#[test]
fn addresses_of_a_handle() {
    run(async {
        let store = cluster(&[("10.0.0.0/24", 26), ("fd00::/112", 122)]).await;
        let ipam = Ipam::new(&store, HOST, at(0));
        assert!(ipam.read_handle("h").await.unwrap().is_none());
        for address in ["10.0.0.1", "10.0.0.65", "10.0.0.66"] {
            assign_given(&ipam, "h", address).await;
        }
        assign_given(&ipam, "i", "10.0.0.67").await;
        assign(&ipam, "h", IpVersion::V6, 1).await;
        let handle = ipam.read_handle("h").await.unwrap().unwrap();
        let four = ["10.0.0.1", "10.0.0.65", "10.0.0.66"].map(ip);
        let all = ipam.addresses_of(&handle).await.unwrap();
        assert_eq!((&all[..3], all.len()), (&four[..], 4));
        let found = ipam.allocations_of(&handle, &[IpVersion::V4]).await.unwrap();
        assert_eq!(found.iter().map(|a| a.address).collect::<Vec<_>>(), four);
        assert_eq!(found[1].block, "10.0.0.64/26".parse().unwrap());
        let found = ipam.allocations_of(&handle, &[IpVersion::V6]).await.unwrap();
        assert_eq!((found.len(), found[0].address), (1, all[3]));
        delete(&store, block_key("10.0.0.0/26")).await;
        assert_eq!(ipam.addresses_of(&handle).await.unwrap(), all[1..]);
    });
}

#[test]
fn a_handle_of_many_blocks_is_read_in_batches() {
    run(async {
        let store = cluster(&[("10.0.0.0/16", 26)]).await;
        assign_given(&Ipam::new(&store, HOST, at(0)), "h", "10.0.0.1").await;
        change::<Handle>(&store, Key::Handle("h".to_owned()), |handle| {
            handle.block.extend((1..130).map(|n| (format!("10.0.{n}.0/26"), 1)));
        })
        .await;
        let counting = Counting::new(&store);
        let ipam = Ipam::new(&counting, HOST, at(0));
        let handle = ipam.read_handle("h").await.unwrap().unwrap();
        assert_eq!(ipam.addresses_of(&handle).await.unwrap(), [ip("10.0.0.1")]);
        assert_eq!(*counting.reads.borrow(), [1, 64, 64, 2]);
    });
}

#[test]
fn the_use_of_an_address() {
    run(async {
        let store = cluster(&[("10.0.0.0/24", 26)]).await;
        let ipam = Ipam::new(&store, HOST, at(0));
        assign_given(&ipam, "h", "10.0.0.1").await;
        let found = ipam.use_of(ip("10.0.0.1")).await.unwrap();
        assert_eq!((found.handle.as_deref(), found.block), (Some("h"), "10.0.0.0/26".parse().unwrap()));
        assert_eq!((found.attributes["pod"].as_str(), found.alternate.len()), ("active", 0));
        let block = crate::get::<Block>(&store, block_key("10.0.0.0/26")).await.unwrap().value;
        assert_eq!(found.sequence, block.sequence_number_for_allocation["1"]);
        // Its pool going away does not make it free.
        change::<IpPool>(&store, Key::resource(Kind::IpPool, "pool-0"), |pool| pool.spec.disabled = true).await;
        assert_eq!(ipam.use_of(ip("10.0.0.1")).await.unwrap(), found);
        delete(&store, Key::resource(Kind::IpPool, "pool-0")).await;
        assert_eq!(ipam.use_of(ip("10.0.0.1")).await.unwrap(), found);
    });
}

#[test]
fn addresses_that_nobody_has() {
    run(async {
        let store = cluster(&[("10.0.0.0/24", 26)]).await;
        let ipam = Ipam::new(&store, HOST, at(0));
        assign_given(&ipam, "h", "10.0.0.1").await;
        for address in ["10.0.0.2", "10.0.0.99", "192.0.2.1", "fd00::1"] {
            let error = ipam.use_of(ip(address)).await.unwrap_err();
            assert_eq!(error.to_string(), format!("resource does not exist: {address} with error: IP is unassigned"));
        }
        change::<Block>(&store, block_key("10.0.0.0/26"), |block| block.allocations[3] = Some(9)).await;
        assert!(matches!(ipam.use_of(ip("10.0.0.3")).await, Err(Error::Inconsistent { .. })));
    });
}
