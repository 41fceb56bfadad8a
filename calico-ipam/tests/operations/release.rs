//! Releasing given addresses.

use calico_ipam::audit::audit;
use calico_ipam::{Error, Ipam, ReleaseRequest, Released};
use calico_model::{Block, Handle, IpPool, IpVersion, Key, Kind};

use crate::{Counting, HOST, assign, assign_given, at, block_key, blocks, change, cluster, counts, delete, ip, run};

fn any(addresses: &[&str]) -> Vec<ReleaseRequest> {
    addresses.iter().map(|address| ReleaseRequest::any(ip(address))).collect()
}

fn of_handle(address: &str, handle: &str) -> ReleaseRequest {
    ReleaseRequest { handle: Some(handle.to_owned()), ..ReleaseRequest::any(ip(address)) }
}

fn of_sequence(address: &str, sequence: u64) -> ReleaseRequest {
    ReleaseRequest { sequence: Some(sequence), ..ReleaseRequest::any(ip(address)) }
}

#[track_caller]
fn expect(result: &Released, released: &[&str], not_allocated: &[&str]) {
    let of = |addresses: &[std::net::IpAddr]| addresses.iter().map(|a| a.to_string()).collect::<Vec<_>>();
    assert_eq!((of(&result.released), of(&result.not_allocated)), (strings(released), strings(not_allocated)));
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|&text| text.to_owned()).collect()
}

#[test]
fn what_is_not_assigned_is_reported_and_nothing_is_written() {
    run(async {
        let store = cluster(&[("10.0.0.0/24", 26)]).await;
        assign_given(&Ipam::new(&store, HOST, at(0)), "h", "10.0.0.1").await;
        let counting = Counting::new(&store);
        let ipam = Ipam::new(&counting, HOST, at(1));
        // In no pool, in a block that does not exist, and in one where it is free.
        let result = ipam.release_addresses(&any(&["172.16.0.1", "10.0.0.200", "10.0.0.2", "fd00::1"])).await.unwrap();
        expect(&result, &[], &["10.0.0.2", "10.0.0.200", "172.16.0.1", "fd00::1"]);
        assert_eq!(counting.commits.borrow().len(), 0);
        assert_eq!(counting.lists_of_blocks.get(), 1);
        expect(&ipam.release_addresses(&[]).await.unwrap(), &[], &[]);
        assert_eq!(counting.reads.borrow().len(), 3);
    });
}

#[test]
fn addresses_of_disabled_and_deleted_pools_are_found() {
    run(async {
        let store = cluster(&[("10.0.0.0/24", 26), ("10.1.0.0/24", 28)]).await;
        let ipam = Ipam::new(&store, HOST, at(0));
        assign_given(&ipam, "a", "10.0.0.1").await;
        assign_given(&ipam, "b", "10.1.0.77").await;
        change::<IpPool>(&store, Key::resource(Kind::IpPool, "pool-0"), |pool| pool.spec.disabled = true).await;
        delete(&store, Key::resource(Kind::IpPool, "pool-1")).await;
        let result = ipam.release_addresses(&any(&["10.1.0.77", "10.0.0.1", "10.1.0.80"])).await.unwrap();
        expect(&result, &["10.0.0.1", "10.1.0.77"], &["10.1.0.80"]);
        assert_eq!((counts(&store, "a").await, counts(&store, "b").await), (None, None));
    });
}

#[test]
fn a_handle_with_addresses_in_two_blocks_counts_down() {
    run(async {
        let store = cluster(&[("10.0.0.0/24", 26)]).await;
        let ipam = Ipam::new(&store, HOST, at(0));
        let addresses = assign(&ipam, "h", IpVersion::V4, 66).await;
        let requests: Vec<ReleaseRequest> = addresses.iter().copied().map(ReleaseRequest::any).collect();
        let result = ipam.release_addresses(&requests[..65]).await.unwrap();
        assert_eq!((result.released.len(), result.not_allocated.len()), (65, 0));
        let left = counts(&store, "h").await.unwrap();
        assert_eq!(left.iter().map(|(_, count)| count).sum::<i64>(), 1);
        assert_eq!(audit(&store, crate::at(100)).await.unwrap(), []);
        let result = ipam.release_addresses(&requests).await.unwrap();
        assert_eq!((result.released, result.not_allocated.len()), (vec![addresses[65]], 65));
        assert_eq!(counts(&store, "h").await, None);
        assert_eq!(audit(&store, crate::at(100)).await.unwrap(), []);
    });
}

#[test]
fn of_several_requests_for_an_address_the_last_counts() {
    run(async {
        let store = cluster(&[("10.0.0.0/24", 26)]).await;
        let ipam = Ipam::new(&store, HOST, at(0));
        assign_given(&ipam, "h", "10.0.0.1").await;
        let (good, bad) = (of_handle("10.0.0.1", "h"), of_handle("10.0.0.1", "i"));
        let refused = ipam.release_addresses(&[good.clone(), bad.clone()]).await.unwrap_err();
        assert!(matches!(refused.error, Error::BadHandle { .. }), "{refused}");
        expect(&ipam.release_addresses(&[bad, good.clone(), good]).await.unwrap(), &["10.0.0.1"], &[]);
        assert_eq!(counts(&store, "h").await, None);
    });
}

#[test]
fn another_allocation_of_the_address_is_not_released() {
    run(async {
        let store = cluster(&[("10.0.0.0/24", 26)]).await;
        let ipam = Ipam::new(&store, HOST, at(0));
        assign_given(&ipam, "h", "10.0.0.1").await;
        assign_given(&ipam, "i", "10.0.0.2").await;
        let first = ipam.use_of(ip("10.0.0.1")).await.unwrap().sequence;
        expect(&ipam.release_addresses(&[of_sequence("10.0.0.1", first)]).await.unwrap(), &["10.0.0.1"], &[]);
        assign_given(&ipam, "h", "10.0.0.1").await;
        let second = ipam.use_of(ip("10.0.0.1")).await.unwrap().sequence;
        let before = blocks(&store).await;
        let stale = [of_sequence("10.0.0.1", first), ReleaseRequest::any(ip("10.0.0.2"))];
        let refused = ipam.release_addresses(&stale).await.unwrap_err();
        let text =
            format!("the given sequence number ({first}) does not match ({second}) when attempting to release IP");
        assert_eq!(refused.error.to_string(), text);
        expect(&refused.done, &[], &[]);
        assert_eq!(blocks(&store).await, before);
        assert_eq!(counts(&store, "h").await.unwrap().len(), 1);
        // A release and an assignment: two writes of the block.
        for cycle in 1..4 {
            ipam.release_addresses(&any(&["10.0.0.1"])).await.unwrap();
            assign_given(&ipam, "h", "10.0.0.1").await;
            assert_eq!(ipam.use_of(ip("10.0.0.1")).await.unwrap().sequence, second + 2 * cycle);
        }
        ipam.release_addresses(&any(&["10.0.0.1"])).await.unwrap();
        let refused = ipam.release_addresses(&[of_sequence("10.0.0.1", second)]).await.unwrap_err();
        assert!(refused.to_string().contains("does not match (0)"), "{refused}");
    });
}

#[test]
fn a_wrong_handle_fails_its_block_and_no_other() {
    run(async {
        let store = cluster(&[("10.0.0.0/24", 26)]).await;
        let ipam = Ipam::new(&store, HOST, at(0));
        for address in ["10.0.0.1", "10.0.0.2", "10.0.0.65"] {
            assign_given(&ipam, "h", address).await;
        }
        let requests = [of_handle("10.0.0.1", "h"), of_handle("10.0.0.2", "i"), of_handle("10.0.0.65", "h")];
        let partly = ipam.release_addresses(&requests).await.unwrap_err();
        let text = "the given handle (i) does not match (h) when attempting to release IP";
        assert_eq!((partly.to_string().as_str(), partly.error.to_string().as_str()), (text, text));
        expect(&partly.done, &["10.0.0.65"], &[]);
        assert_eq!(counts(&store, "h").await.unwrap(), [("10.0.0.0/26".to_owned(), 2)]);
        // A free address has no handle that could be wrong.
        expect(&ipam.release_addresses(&[of_handle("10.0.0.3", "i")]).await.unwrap(), &[], &["10.0.0.3"]);
    });
}

#[test]
fn handles_end_at_a_carriage_return() {
    run(async {
        let store = cluster(&[("10.0.0.0/24", 26)]).await;
        let ipam = Ipam::new(&store, HOST, at(0));
        assign_given(&ipam, "h", "10.0.0.1").await;
        change::<Block>(&store, block_key("10.0.0.0/26"), |block| {
            block.attributes[0].handle_id = Some("h\r\nold".to_owned());
        })
        .await;
        expect(&ipam.release_addresses(&[of_handle("10.0.0.1", "h\rnew")]).await.unwrap(), &["10.0.0.1"], &[]);
        assert_eq!(counts(&store, "h").await, None);
    });
}

#[test]
fn a_released_address_rests_as_the_settings_say() {
    run(async {
        let store = cluster(&[("10.0.0.0/24", 26)]).await;
        let ipam = Ipam::new(&store, HOST, at(0));
        ipam.change_settings(|config| config.ip_cooldown_seconds = 30).await.unwrap();
        assign_given(&ipam, "h", "10.0.0.1").await;
        expect(&ipam.release_addresses(&any(&["10.0.0.1"])).await.unwrap(), &["10.0.0.1"], &[]);
        assert_eq!(counts(&store, "h").await, None);
        let error = ipam.use_of(ip("10.0.0.1")).await.unwrap_err();
        assert_eq!(error.to_string(), "address 10.0.0.1 is in cooldown");
        expect(&ipam.release_addresses(&any(&["10.0.0.1"])).await.unwrap(), &[], &["10.0.0.1"]);
        let later = Ipam::new(&store, HOST, at(31));
        assert!(matches!(later.use_of(ip("10.0.0.1")).await, Err(Error::Unassigned { .. })));
    });
}

#[test]
fn an_empty_block_of_nobody_is_deleted() {
    run(async {
        let store = cluster(&[("10.0.0.0/24", 26)]).await;
        let ipam = Ipam::new(&store, HOST, at(0));
        for address in ["10.0.0.1", "10.0.0.2", "10.0.0.65"] {
            assign_given(&ipam, "h", address).await;
        }
        change::<Block>(&store, block_key("10.0.0.0/26"), |block| block.affinity = None).await;
        ipam.release_addresses(&any(&["10.0.0.1"])).await.unwrap();
        assert_eq!(blocks(&store).await.len(), 2);
        ipam.release_addresses(&any(&["10.0.0.2", "10.0.0.65"])).await.unwrap();
        assert_eq!(blocks(&store).await.len(), 1, "the other has an owner");
        assert_eq!(counts(&store, "h").await, None);
    });
}

#[test]
fn handles_that_are_missing_or_count_too_much() {
    run(async {
        let store = cluster(&[("10.0.0.0/24", 26)]).await;
        let ipam = Ipam::new(&store, HOST, at(0));
        for (handle, address) in [("lost", "10.0.0.1"), ("fat", "10.0.0.2"), ("thin", "10.0.0.3"), ("thin", "10.0.0.4")]
        {
            assign_given(&ipam, handle, address).await;
        }
        delete(&store, Key::Handle("lost".to_owned())).await;
        for (handle, count) in [("fat", 3), ("thin", 1)] {
            change::<Handle>(&store, Key::Handle(handle.to_owned()), |handle| {
                handle.block.insert("10.0.0.0/26".to_owned(), count);
            })
            .await;
        }
        let addresses = ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"];
        expect(&ipam.release_addresses(&any(&addresses)).await.unwrap(), &addresses, &[]);
        assert_eq!(counts(&store, "fat").await.unwrap(), [("10.0.0.0/26".to_owned(), 2)]);
        assert_eq!((counts(&store, "lost").await, counts(&store, "thin").await), (None, None));
    });
}

#[test]
fn many_addresses_take_few_and_bounded_requests() {
    run(async {
        let store = cluster(&[("10.0.0.0/22", 26), ("10.4.0.0/24", 24)]).await;
        let ipam = Ipam::new(&store, HOST, at(0));
        let mut requests = Vec::new();
        for index in 0..150 {
            requests.extend(assign(&ipam, &format!("h{index}"), IpVersion::V4, 1).await);
        }
        for index in 0..100 {
            let address = format!("10.4.0.{index}");
            assign_given(&ipam, &format!("g{index}"), &address).await;
            requests.push(ip(&address));
        }
        let requests: Vec<ReleaseRequest> = requests.into_iter().map(ReleaseRequest::any).collect();
        let counting = Counting::new(&store);
        let result = Ipam::new(&counting, HOST, at(1)).release_addresses(&requests).await.unwrap();
        assert_eq!(result.released.len(), 250);
        let (reads, commits) = (counting.reads.take(), counting.commits.take());
        assert!(reads.iter().all(|&keys| keys <= 64), "{reads:?}");
        assert!(commits.iter().all(|&writes| writes <= 100), "{commits:?}");
        // Settings and pools, blocks, and for each block or rest of handles a read and a write.
        assert!(reads.len() <= 2 + 5 && commits.len() <= 5, "{reads:?} {commits:?}");
        assert_eq!(audit(&store, crate::at(100)).await.unwrap(), []);
    });
}
