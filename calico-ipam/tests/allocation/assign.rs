//! Which block, which address, and how many.

use std::collections::BTreeSet;

use calico_ipam::{AutoAssign, Demand, Error, HostReserve, Ipam};
use calico_model::pool::Use;
use calico_model::{Block, IpVersion, Key, Owner};

use crate::world::{World, four, four_of, net, pool};

fn texts(assigned: &calico_ipam::Assigned) -> Vec<String> {
    assigned.shortfalls.iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn both_families_and_many_blocks() {
    let pools = [pool("four", "10.0.0.0/24", 26), pool("six", "fd00::/120", 122)];
    let world = World::with(&pools).await;
    let both = |count| AutoAssign::workload(vec![Demand::any(IpVersion::V4, count), Demand::any(IpVersion::V6, count)]);
    let one = world.assign("a", "one", &both(1)).await;
    assert_eq!(one.allocations.len(), 2);
    assert_eq!((one.allocations[0].block.prefix(), one.allocations[1].block.prefix()), (26, 122));
    let most = world.assign("a", "most", &both(255)).await;
    assert_eq!((most.allocations.len(), texts(&most)), (510, vec![]));
    assert_eq!(world.owned("a").await.len(), 8);
    assert_eq!(world.handles().await["net.most"].block.values().sum::<i64>(), 510);
    let more = world.assign("a", "more", &four(1)).await;
    assert_eq!(
        texts(&more),
        [
            "failed to request IPv4 addresses: Assigned 0 out of 1 requested IPv4 addresses; No IPs available in pools: [10.0.0.0/24]"
        ]
    );
    let advice = &more.shortfalls[0].advice;
    let room = "pool four (10.0.0.0/24): 4 blocks looked at, none of others; addresses: 256 used, 0 cooling down, 0 reserved, 0 free";
    assert!(advice.contains(room), "{advice}");
    assert!(!world.handles().await.contains_key("net.more"));
    world.assert_sound().await;
}

#[tokio::test]
async fn blocks_of_every_size() {
    for (cidr, size) in
        [("10.0.0.0/28", 32), ("10.0.0.0/26", 30), ("10.0.0.0/18", 20), ("fd00::/124", 128), ("fd00::/110", 116)]
    {
        let world = World::with(&[pool("p", cidr, size)]).await;
        let version = if cidr.contains(':') { IpVersion::V6 } else { IpVersion::V4 };
        let request = AutoAssign { block_limit: Some(256), ..AutoAssign::workload(vec![Demand::any(version, 10)]) };
        let assigned = world.assign("a", "c", &request).await;
        let distinct: BTreeSet<_> = assigned.allocations.iter().map(|allocation| allocation.address).collect();
        assert_eq!(distinct.len(), 10, "{cidr} {size}");
        world.assert_sound().await;
        world.release("a", "c").await;
        assert!(world.handles().await.is_empty());
    }
}

#[tokio::test]
async fn more_than_there_is() {
    let world = World::with(&[pool("p", "192.168.1.0/24", 26)]).await;
    let assigned = world.assign("a", "c", &four(257)).await;
    assert_eq!(assigned.allocations.len(), 256);
    assert_eq!(
        texts(&assigned),
        [
            "failed to request IPv4 addresses: Assigned 256 out of 257 requested IPv4 addresses; No IPs available in pools: [192.168.1.0/24]"
        ]
    );
    world.assert_sound().await;
}

#[tokio::test]
async fn the_limit_of_blocks() {
    let world = World::with(&[pool("p", "10.0.0.0/22", 26)]).await;
    let limited = |count, limit| AutoAssign { block_limit: Some(limit), ..four(count) };
    for (host, limit) in [("a", 1), ("b", 2)] {
        let error = world.try_assign(host, host, &limited(200, limit)).await.unwrap_err();
        assert_eq!(error.to_string(), "cannot allocate new block due to per host block limit");
        let advice = error.advice();
        assert!(
            advice.contains(&format!(
                "blocks that {host} owns: {limit}, none with an address to assign; it may own {limit}"
            )),
            "{advice}"
        );
        assert_eq!(world.owned(host).await.len(), limit);
    }
    // The settings' limit stands where it is lower, and the request's where that is.
    world.settings(|config| (config.strict_affinity, config.max_blocks_per_host) = (true, 3)).await;
    assert!(world.try_assign("a", "x", &limited(200, 9)).await.is_err());
    assert_eq!(world.owned("a").await.len(), 3);
    assert!(world.try_assign("b", "y", &limited(200, 2)).await.is_err());
    assert_eq!(world.owned("b").await.len(), 2);
    world.assert_sound().await;
}

#[tokio::test]
async fn a_host_borrows_what_others_leave() {
    let world = World::with(&[pool("p", "10.0.0.0/25", 26)]).await;
    world.addresses("b", "b1", 1).await;
    let own = world.addresses("a", "a1", 64).await;
    assert_eq!(world.owned("a").await.len(), 1);
    let borrowed = world.assign("a", "a2", &four(2)).await;
    assert_eq!(world.owned("b").await, [borrowed.allocations[0].block.to_string()]);
    assert_eq!(borrowed.allocations[0].block, borrowed.allocations[1].block);
    // What becomes free in an own block comes first.
    world.release("a", "a1").await;
    let again = world.addresses("a", "a3", 64).await;
    assert_eq!(again.iter().collect::<BTreeSet<_>>(), own.iter().collect());
    world.release("a", "a2").await;
    world.release("b", "b1").await;
    world.assert_sound().await;
}

#[tokio::test]
async fn strict_affinity_borrows_nothing() {
    let world = World::with(&[pool("p", "10.0.0.0/25", 26)]).await;
    world.settings(|config| config.strict_affinity = true).await;
    world.addresses("b", "b1", 1).await;
    let assigned = world.assign("a", "a1", &four(65)).await;
    assert_eq!(
        texts(&assigned),
        [
            "failed to request IPv4 addresses: Assigned 64 out of 65 requested IPv4 addresses; No more free affine blocks and strict affinity enabled"
        ]
    );
    assert!(assigned.shortfalls[0].advice.contains("turn strict affinity off"));
    let foreign = world.blocks().await.into_keys().find(|block| *block != assigned.allocations[0].block.to_string());
    let address = net(&foreign.unwrap()).iter().nth(9).unwrap();
    let error = world.assign_address("a", "a2", &address.to_string()).await.unwrap_err();
    assert_eq!(error.to_string(), "Block host affinity does not match");
    world.settings(|_| {}).await;
    assert_eq!(world.assign("a", "a3", &four(1)).await.shortfalls, []);
}

#[tokio::test]
async fn no_new_blocks_without_leave() {
    let world = World::with(&[pool("p", "10.0.0.0/24", 26)]).await;
    world.addresses("a", "a1", 1).await;
    world.settings(|config| (config.auto_allocate_blocks, config.strict_affinity) = (false, true)).await;
    assert_eq!(world.addresses("a", "a2", 63).await.len(), 63);
    let error = world.try_assign("a", "a3", &four(1)).await.unwrap_err();
    assert_eq!(error.to_string(), "failed to find or claim a block");
}

#[tokio::test]
async fn an_unused_block_is_taken_over_after_a_minute() {
    let world = World::with(&[pool("p", "10.0.0.0/26", 26)]).await;
    world.settings(|config| config.strict_affinity = true).await;
    world.addresses("b", "b1", 1).await;
    world.release("b", "b1").await;
    world.pass(59);
    let error = world.assign("a", "a1", &four(1)).await;
    assert_eq!(error.allocations, [], "claimed less than a minute ago");
    world.pass(1);
    world.addresses("b", "b2", 1).await;
    assert_eq!(world.assign("a", "a1", &four(1)).await.allocations, [], "in use");
    world.release("b", "b2").await;
    world.addresses("a", "a1", 1).await;
    assert_eq!((world.owned("a").await, world.owned("b").await), (vec!["10.0.0.0/26".to_owned()], vec![]));
    world.assert_sound().await;
}

#[tokio::test]
async fn what_is_nobodys_and_empty_is_claimed() {
    let world = World::with(&[pool("p", "10.0.0.0/26", 26)]).await;
    world.settings(|config| config.strict_affinity = true).await;
    let mut block = Block::new(net("10.0.0.0/26"), &Owner::Host("b".into()), world.now());
    (block.affinity, block.affinity_claim_time) = (None, None);
    world.put(Key::Block(block.cidr), block).await;
    world.addresses("a", "c", 1).await;
    assert_eq!(world.owned("a").await, ["10.0.0.0/26"]);
}

#[tokio::test]
async fn a_released_address_rests() {
    let world = World::with(&[pool("p", "10.0.0.0/31", 31)]).await;
    world.settings(|config| config.ip_cooldown_seconds = 30).await;
    let first = world.addresses("a", "one", 1).await;
    world.release("a", "one").await;
    assert_eq!(world.handles().await.len(), 0);
    let second = world.addresses("a", "two", 1).await;
    assert_ne!(first, second);
    let none = world.assign("a", "three", &four(1)).await;
    assert!(none.shortfalls[0].advice.contains("addresses: 1 used, 1 cooling down"), "{:?}", none.shortfalls);
    let error = world.assign_address("a", "three", &first[0]).await.unwrap_err();
    assert!(error.advice().contains("released a moment ago"), "{}", error.advice());
    world.pass(31);
    assert_eq!(world.addresses("a", "three", 1).await, first);
    world.assert_sound().await;
}

#[tokio::test]
async fn reserved_addresses_are_passed_over() {
    let world = World::with(&[pool("p", "10.0.0.0/28", 30), pool("six", "fd00::/64", 122)]).await;
    world.reserve(&["10.0.0.0/29", "10.0.0.9", "fd00::/64", "junk"]).await;
    let assigned = world.assign("a", "c", &four(16)).await;
    let addresses: BTreeSet<String> = assigned.allocations.iter().map(|a| a.address.to_string()).collect();
    assert_eq!(
        addresses,
        ["10.0.0.8", "10.0.0.10", "10.0.0.11", "10.0.0.12", "10.0.0.13", "10.0.0.14", "10.0.0.15"]
            .map(str::to_owned)
            .into()
    );
    assert!(assigned.shortfalls[0].advice.contains("1 reserved, 0 free"), "{}", assigned.shortfalls[0].advice);
    assert_eq!(world.owned("a").await.len(), 2, "blocks that are reserved as a whole are not claimed");
    let six = world.assign("a", "d", &AutoAssign::workload(vec![Demand::any(IpVersion::V6, 1)])).await;
    assert_eq!(six.allocations, [], "a pool of more blocks than anyone can count is passed over at once");
    assert_eq!(world.assign_address("a", "e", "10.0.0.9").await.unwrap().address.to_string(), "10.0.0.9");
}

#[tokio::test]
async fn pools_in_the_order_in_which_they_are_requested() {
    let world = World::with(&[pool("p", "10.0.0.0/24", 26), pool("q", "10.0.1.0/24", 26)]).await;
    let (p, q) = ("10.0.0.0/24", "10.0.1.0/24");
    let assigned = world.assign("a", "c", &four_of(300, &[q, p])).await;
    let of = |pool: &str| assigned.allocations.iter().filter(|a| net(pool).contains(a.address)).count();
    assert_eq!((of(p), of(q), texts(&assigned)), (44, 256, vec![]));
    let rest = world.assign("b", "d", &four_of(300, &[p, q])).await;
    assert_eq!(rest.allocations.len(), 212);
    assert!(texts(&rest)[0].ends_with("No IPs available in pools: [10.0.0.0/24 10.0.1.0/24]"), "{:?}", texts(&rest));
    let error = world.try_assign("a", "e", &four_of(1, &["fd00::/64"])).await.unwrap_err().to_string();
    assert_eq!(error, "provided IPv4 IPPools list contains one or more IPv6 IPPools");
    let error = world.try_assign("a", "e", &four_of(1, &["10.9.0.0/24"])).await.unwrap_err().to_string();
    assert_eq!(error, "the given pool (10.9.0.0/24) does not exist, or is not enabled");
}

#[tokio::test]
async fn nothing_comes_from_a_pool_that_is_gone() {
    let world = World::with(&[pool("p", "10.0.0.0/24", 26), pool("q", "10.0.1.0/24", 26)]).await;
    world.addresses("a", "one", 1).await;
    for change in [
        |pool: &mut calico_model::IpPool| pool.spec.disabled = true,
        |pool: &mut calico_model::IpPool| {
            pool.metadata.extra.insert("deletionTimestamp".into(), "2026-11-23T05:33:42Z".into());
        },
    ] {
        world.change_pool("p", change).await;
        let addresses = world.addresses("a", "two", 1).await;
        assert!(addresses[0].starts_with("10.0.1."), "{addresses:?}");
        let error = world.assign_address("a", "three", "10.0.0.77").await.unwrap_err();
        assert_eq!(error.to_string(), "The provided IP address is not in a configured pool\n");
        world.release("a", "two").await;
        world.change_pool("p", |pool| (pool.spec.disabled, pool.metadata.extra) = (false, Default::default())).await;
    }
}

#[tokio::test]
async fn a_given_address() {
    let world = World::with(&[pool("p", "10.0.0.0/24", 26), pool("six", "fd00::/112", 122)]).await;
    for address in ["10.0.0.77", "fd00::77"] {
        assert_eq!(world.assign_address("a", "c", address).await.unwrap().address.to_string(), address);
        let error = world.assign_address("b", "d", address).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("resource already exists: {address} with error: Address already assigned in block")
        );
        assert!(error.advice().contains("it is held by net.c"), "{}", error.advice());
    }
    assert_eq!(world.owned("a").await, ["10.0.0.64/26", "fd00::40/122"]);
    world.change_pool("p", |pool| pool.spec.allowed_uses = vec![Use::Tunnel]).await;
    let error = world.assign_address("a", "e", "10.0.0.78").await.unwrap_err().to_string();
    assert_eq!(
        error,
        "IP address 10.0.0.78 is in IP pool \"p\", which is not allowed for use \"Workload\" (allowedUses: [Tunnel])"
    );
    world.assert_sound().await;
}

#[tokio::test]
async fn what_a_windows_host_sets_aside_is_never_assigned() {
    let world = World::with(&[pool("p", "10.0.0.0/24", 26)]).await;
    world.settings(|config| config.strict_affinity = true).await;
    let reserve = HostReserve {
        start: 3,
        end: 1,
        handle: "windows-reserved-ipam-handle".into(),
        note: "windows host rsvd".into(),
    };
    let demand = Demand { reserve: Some(reserve), ..Demand::any(IpVersion::V4, 256) };
    let assigned = world.assign("a", "c", &AutoAssign::workload(vec![demand])).await;
    assert_eq!(assigned.allocations.len(), 240);
    assert!(
        texts(&assigned)[0].ends_with("; HostReservedAttr: windows-reserved-ipam-handle"),
        "{:?}",
        texts(&assigned)
    );
    assert!(
        assigned.allocations.iter().all(|a| !matches!(
            a.address.to_string().rsplit('.').next().unwrap().parse::<u8>().unwrap() % 64,
            0..3 | 63
        ))
    );
    world.release("a", "c").await;
    world.pass(61);
    // Nothing is in use in them: another host may take them over.
    assert_eq!(world.addresses("b", "d", 256).await.len(), 256);
}

#[tokio::test]
async fn services_have_an_owner_that_is_no_node() {
    let mut balancers = pool("lb", "10.0.0.0/26", 28);
    balancers.spec.allowed_uses = vec![Use::LoadBalancer];
    let world = World::with(&[balancers]).await;
    let owner = Owner::Virtual("load-balancer".into());
    let ipam = Ipam::of(&world.store, owner.clone(), world.now());
    let request = AutoAssign { intended_use: Use::LoadBalancer, ..four(1) };
    let assigned = ipam.auto_assign(&ipam.read_inputs().await.unwrap(), &request, &world.lease("lb")).await.unwrap();
    let block = assigned.allocations[0].block;
    assert!(world.blocks().await[&block.to_string()].is_owned_by(&owner));
    let affinity = world.get::<calico_model::Affinity>(Key::Affinity { owner, block }).await.unwrap();
    assert_eq!(affinity.key.path().split('/').nth(4), Some("virtual"));
    assert!(matches!(world.try_assign("a", "c", &four(1)).await, Err(Error::NoPoolForUse { .. })));
}

#[tokio::test]
async fn an_unsound_block_is_passed_over_and_named() {
    let world = World::with(&[pool("p", "10.0.0.0/25", 26)]).await;
    world.addresses("a", "c", 1).await;
    let key = Key::Block(net(&world.owned("a").await[0]));
    let mut block = world.get::<Block>(key.clone()).await.unwrap().value;
    block.unallocated.push(7);
    world.put(key.clone(), block).await;
    let assigned = world.assign("a", "d", &four(1)).await;
    assert_eq!(assigned.shortfalls, []);
    let Key::Block(unsound) = key else { panic!() };
    assert_ne!(assigned.allocations[0].block, unsound);
    assert_eq!(assigned.unsound.len(), 1);
    assert!(
        assigned.unsound[0].contains(&unsound.to_string()) && assigned.unsound[0].contains("unallocated twice"),
        "{:?}",
        assigned.unsound
    );
    // What is sound in it is released all the same.
    world.release("a", "c").await;
    assert!(!world.handles().await.contains_key("net.c"));
}

#[tokio::test]
async fn no_rest_ends_while_the_settings_cannot_be_read() {
    let world = World::with(&[pool("p", "10.0.0.0/26", 26)]).await;
    world.settings(|config| config.ip_cooldown_seconds = 300).await;
    for container in ["c", "d"] {
        world.addresses("a", container, 1).await;
    }
    world.release("a", "c").await;
    world.settings(|config| drop(config.extra.insert("ipCooldownSeconds".into(), "soon".into()))).await;
    world.release("a", "d").await;
    assert_eq!(world.blocks().await["10.0.0.0/26"].unallocated.len(), 62);
}

#[tokio::test]
async fn an_allocation_may_take_any_number_of_blocks() {
    let world = World::with(&[pool("p", "10.0.0.0/24", 31)]).await;
    let request = AutoAssign { block_limit: Some(128), ..four(256) };
    let assigned = world.assign("a", "c", &request).await;
    assert_eq!((assigned.allocations.len(), assigned.shortfalls), (256, vec![]));
}

#[tokio::test]
async fn a_host_at_its_limit_is_not_told_that_reserved_blocks_are_full() {
    let world = World::with(&[pool("p", "10.0.0.0/24", 26)]).await;
    world.ipam("a").claim_affinities(net("10.0.0.0/26"), None).await.unwrap();
    world.reserve(&["10.0.0.0/26"]).await;
    world.settings(|config| (config.strict_affinity, config.max_blocks_per_host) = (true, 1)).await;
    let error = world.try_assign("a", "c", &four(1)).await.unwrap_err();
    assert!(matches!(error, Error::BlockLimit { owned: 1, limit: 1, .. }), "{error}");
    assert!(error.advice().contains("blocks that a owns: 1, none with an address to assign"), "{}", error.advice());
}

#[tokio::test]
async fn who_read_before_others_claimed_uses_their_blocks_and_keeps_the_limit() {
    let world = World::with(&[pool("p", "10.0.0.0/24", 30)]).await;
    world.settings(|config| (config.strict_affinity, config.max_blocks_per_host) = (true, 2)).await;
    let ipam = world.ipam("a");
    // Read together, by three calls that then wait for one another.
    let [one, two, three] = [ipam.read_inputs().await, ipam.read_inputs().await, ipam.read_inputs().await];
    let mut given = BTreeSet::new();
    for (inputs, container, count) in [(one, "one", 4), (two, "two", 3), (three, "three", 1)] {
        let inputs = inputs.unwrap().early();
        let assigned = ipam.auto_assign(&inputs, &four(count), &world.lease(container)).await.unwrap();
        assert_eq!((assigned.allocations.len(), texts(&assigned)), (count, vec![]), "{container}");
        given.extend(assigned.allocations.into_iter().map(|allocation| allocation.address));
    }
    assert_eq!((given.len(), world.owned("a").await.len()), (8, 2));
    let late = world.ipam("b").read_inputs().await.unwrap().early();
    assert_eq!(world.ipam("b").auto_assign(&late, &four(1), &world.lease("x")).await.unwrap().allocations.len(), 1);
    let full = ipam.read_inputs().await.unwrap().early();
    let error = ipam.auto_assign(&full, &four(1), &world.lease("four")).await.unwrap_err();
    assert!(matches!(error, Error::BlockLimit { owned: 2, limit: 2, .. }), "{error}");
    world.assert_sound().await;
}
