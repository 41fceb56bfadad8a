//! Claiming and giving up blocks other than in the course of an allocation.

use calico_ipam::{AutoAssign, Demand, Error, GivenUp, HostReserve, Ipam};
use calico_model::{Affinity, AffinityState, Block, IpVersion, Key, Owner};

use crate::world::{World, four, four_of, net, pool};

async fn claim(world: &World, host: &str, range: &str) -> (Vec<String>, usize) {
    let claims = world.ipam(host).claim_affinities(net(range), None).await.unwrap();
    (claims.claimed.iter().map(ToString::to_string).collect(), claims.others.len())
}

fn ends(releases: calico_ipam::Releases) -> Vec<GivenUp> {
    assert_eq!(releases.malformed, []);
    releases.ends.into_iter().map(|(_, _, end)| end).collect()
}

#[tokio::test]
async fn ranges_are_claimed_and_given_up() {
    let world = World::with(&[pool("p", "10.0.0.0/24", 26), pool("six", "fd00::/120", 122)]).await;
    assert_eq!(claim(&world, "a", "10.0.0.64/26").await, (vec!["10.0.0.64/26".to_owned()], 0));
    let (claimed, others) = claim(&world, "b", "10.0.0.0/24").await;
    assert_eq!((claimed.len(), others), (3, 1), "one is another's");
    assert_eq!(claim(&world, "a", "10.0.0.128/25").await, (vec![], 2));
    assert_eq!(claim(&world, "b", "10.0.0.0/24").await.0.len(), 3, "once more");
    assert_eq!(claim(&world, "a", "fd00::/120").await.0.len(), 4);
    world.assert_sound().await;

    let error = world.ipam("a").claim_affinities(net("10.0.0.0/27"), None).await.unwrap_err();
    assert_eq!(error.to_string(), "The requested CIDR (10.0.0.0/27) is smaller than the minimum.");
    let error = world.ipam("a").release_affinities(net("10.9.0.0/24"), true).await.unwrap_err();
    assert_eq!(error.to_string(), "The requested CIDR (10.9.0.0/24) is not within any configured pools.");

    let released = world.ipam("b").release_affinities(net("10.0.0.0/25"), true).await.unwrap();
    assert_eq!(ends(released), [GivenUp::Done], "the other block of the range is another's");
    assert_eq!((world.owned("b").await.len(), world.blocks().await.len()), (2, 7));
    world.assert_sound().await;
}

#[tokio::test]
async fn more_blocks_than_can_be_claimed_at_once() {
    let world = World::with(&[pool("six", "fd00::/64", 122)]).await;
    let error = world.ipam("a").claim_affinities(net("fd00::/64"), None).await.unwrap_err();
    assert!(matches!(error, Error::TooManyBlocks { most: 16_384, .. }), "{error}");
}

#[tokio::test]
async fn a_block_in_use_is_given_up_only_if_that_may_be() {
    let world = World::with(&[pool("p", "10.0.0.0/26", 26)]).await;
    world.addresses("a", "c", 1).await;
    let ipam = world.ipam("a");
    assert_eq!(ends(ipam.release_all_affinities(true).await.unwrap()), [GivenUp::InUse]);
    assert_eq!(world.owned("a").await.len(), 1);
    assert_eq!(ends(ipam.release_all_affinities(false).await.unwrap()), [GivenUp::Done]);
    let block = &world.blocks().await["10.0.0.0/26"];
    assert_eq!((&block.affinity, &block.affinity_claim_time), (&None, &None));
    assert_eq!(world.owned("a").await, [""; 0]);
    // It is borrowed from, and goes with its last address.
    world.addresses("b", "d", 1).await;
    world.release("a", "c").await;
    assert_eq!(world.blocks().await.len(), 1);
    world.release("b", "d").await;
    assert!(world.blocks().await.is_empty() && world.handles().await.is_empty());
}

#[tokio::test]
async fn all_of_a_pool_and_nothing_else() {
    let world = World::with(&[pool("p", "10.0.0.0/25", 26), pool("q", "10.0.1.0/25", 26)]).await;
    for (host, range) in [("a", "10.0.0.0/26"), ("b", "10.0.0.64/26"), ("b", "10.0.1.0/26")] {
        claim(&world, host, range).await;
    }
    let owner = Owner::Virtual("load-balancer".into());
    Ipam::of(&world.store, owner, world.now()).claim_affinities(net("10.0.1.64/26"), None).await.unwrap();
    let released = world.ipam("a").release_pool_affinities(net("10.0.0.0/25")).await.unwrap();
    assert_eq!(ends(released), [GivenUp::Done, GivenUp::Done]);
    assert_eq!(world.blocks().await.into_keys().collect::<Vec<_>>(), ["10.0.1.0/26", "10.0.1.64/26"]);
    let released = world.ipam("a").release_pool_affinities(net("10.0.1.0/25")).await.unwrap();
    assert_eq!(ends(released).len(), 2, "also of an owner that is no node");
    assert!(world.blocks().await.is_empty());
}

#[tokio::test]
async fn what_crashes_left_is_completed() {
    let world = World::with(&[pool("p", "10.0.0.0/26", 26)]).await;
    let (owner, cidr) = (Owner::Host("a".into()), net("10.0.0.0/26"));
    let key = Key::Affinity { owner: owner.clone(), block: cidr };
    let block = |owner: &Owner| Block::new(cidr, owner, world.now());
    for state in [AffinityState::Pending, AffinityState::PendingDeletion, AffinityState::Confirmed] {
        // Without a block; with one; with another's; with nobody's.
        world.put(key.clone(), Affinity::new(state.clone())).await;
        world.addresses("a", "c", 1).await;
        assert_eq!(world.owned("a").await.len(), 1, "{state:?}");
        world.release("a", "c").await;

        world.put(key.clone(), Affinity::new(state.clone())).await;
        let before = world.blocks().await["10.0.0.0/26"].sequence_number;
        world.addresses("a", "c", 1).await;
        assert_eq!(world.owned("a").await.len(), 1, "{state:?}");
        let touched = u64::from(state != AffinityState::Confirmed);
        assert_eq!(world.blocks().await["10.0.0.0/26"].sequence_number, before + 1 + touched, "{state:?}");
        world.release("a", "c").await;
        world.ipam("a").release_all_affinities(true).await.unwrap();

        claim(&world, "b", "10.0.0.0/26").await;
        world.put(key.clone(), Affinity::new(state.clone())).await;
        world.addresses("a", "c", 1).await;
        assert_eq!((world.owned("a").await.len(), world.owned("b").await.len()), (0, 1), "{state:?}");
        world.release("a", "c").await;
        world.ipam("b").release_all_affinities(true).await.unwrap();

        let mut nobodys = block(&owner);
        nobodys.affinity = None;
        world.put(Key::Block(cidr), nobodys).await;
        world.put(key.clone(), Affinity::new(state.clone())).await;
        world.addresses("a", "c", 1).await;
        assert_eq!(world.owned("a").await.len(), 1, "{state:?}");
        world.release("a", "c").await;
        assert_eq!(ends(world.ipam("a").release_all_affinities(true).await.unwrap()), [GivenUp::Done]);
        assert!(world.blocks().await.is_empty());

        // Given up again after having been given up half-way.
        world.put(key.clone(), Affinity::new(state.clone())).await;
        world.ipam("a").release_all_affinities(true).await.unwrap();
        assert_eq!(world.owned("a").await, [""; 0], "{state:?}");
        world.assert_sound().await;
    }
}

#[tokio::test]
async fn blocks_that_are_no_longer_selected_are_given_up() {
    let mut zone = pool("p", "10.0.0.0/25", 26);
    zone.spec.node_selector = "zone == 'x'".into();
    let world = World::with(&[zone, pool("q", "10.0.1.0/25", 26)]).await;
    world.label("a", &[("zone", "x")]).await;
    let addresses = world.addresses("a", "one", 1).await;
    assert!(addresses[0].starts_with("10.0.0."), "{addresses:?}");
    world.addresses("a", "two", 1).await;

    world.label("a", &[("zone", "y")]).await;
    assert!(world.addresses("a", "three", 1).await[0].starts_with("10.0.1."));
    assert_eq!(world.owned("a").await.len(), 2, "the old block is in use");
    world.release("a", "one").await;
    assert_eq!(world.owned("a").await.len(), 2);
    // The last address takes the block with it, also if another host releases it.
    world.release("b", "two").await;
    assert_eq!(world.owned("a").await.len(), 1);

    // A block without addresses goes at the next allocation.
    world.label("a", &[("zone", "x")]).await;
    world.assign("a", "four", &four_of(1, &["10.0.0.0/25"])).await;
    world.release("a", "four").await;
    assert_eq!(world.owned("a").await.len(), 2, "its pool is for this node");
    world.label("a", &[]).await;
    world.addresses("a", "five", 1).await;
    assert_eq!(world.owned("a").await.len(), 1);

    // Not because of what a pool is used for, nor because others were asked for, nor because the pool is gone.
    world.label("a", &[("zone", "x")]).await;
    world.assign("a", "six", &four_of(1, &["10.0.0.0/25"])).await;
    world.release("a", "six").await;
    world.change_pool("p", |pool| pool.spec.allowed_uses = vec![calico_model::pool::Use::Tunnel]).await;
    world.addresses("a", "seven", 1).await;
    world.change_pool("p", |pool| pool.spec.disabled = true).await;
    world.label("a", &[]).await;
    world.addresses("a", "eight", 1).await;
    assert_eq!(world.owned("a").await.len(), 2);
    world.assert_sound().await;
}

#[tokio::test]
async fn a_block_is_ensured_once() {
    let world = World::with(&[pool("p", "10.0.0.0/25", 26), pool("six", "fd00::/120", 122)]).await;
    let ensure = async |host: &str, demands: &[Demand]| {
        let ipam = world.ipam(host);
        ipam.ensure_blocks(&ipam.read_inputs().await.unwrap(), demands).await
    };
    let both = IpVersion::BOTH.map(|version| Demand::any(version, 1));
    let blocks = ensure("a", &both).await.unwrap();
    assert_eq!(blocks.len(), 2);
    assert_eq!(ensure("a", &both).await.unwrap(), blocks);
    world.addresses("a", "c", 64).await;
    assert_eq!(ensure("a", &both).await.unwrap(), blocks, "a full block is a block");
    ensure("b", &both[..1]).await.unwrap();
    world.put(Key::resource(calico_model::Kind::Node, "c"), node("c")).await;
    let error = ensure("c", &both[..1]).await.unwrap_err();
    assert_eq!(error.to_string(), "No Free Blocks");
    let too_large = HostReserve { start: 60, end: 10, handle: "h".into(), note: String::new() };
    let error = ensure("a", &[Demand { reserve: Some(too_large), ..both[0].clone() }]).await.unwrap_err();
    assert_eq!(error.to_string(), "cannot find a qualified ippool");
    world.assert_sound().await;
}

fn node(name: &str) -> calico_model::Node {
    calico_model::Resource::new(calico_model::Kind::Node, name, serde_json::Map::new())
}

#[tokio::test]
async fn a_claim_that_cannot_be_read_does_not_stop_others() {
    let world = World::with(&[pool("p", "10.0.0.0/25", 26)]).await;
    claim(&world, "a", "10.0.0.0/25").await;
    world.addresses("b", "c", 1).await;
    let assigned = world.assign("a", "d", &AutoAssign { block_limit: Some(2), ..four(64) }).await;
    assert_eq!(assigned.shortfalls, []);
}

#[tokio::test]
async fn an_empty_block_is_kept_when_its_pool_is_requested_though_it_chooses_other_nodes() {
    let mut elsewhere = pool("p", "10.0.0.0/24", 26);
    elsewhere.spec.node_selector = "zone == 'z'".into();
    let world = World::with(&[elsewhere]).await;
    claim(&world, "a", "10.0.0.0/26").await;
    let claimed = world.blocks().await["10.0.0.0/26"].affinity_claim_time.clone();
    world.pass(10);
    assert_eq!(world.assign("a", "c", &four_of(1, &["10.0.0.0/24"])).await.shortfalls, []);
    assert_eq!(world.blocks().await["10.0.0.0/26"].affinity_claim_time, claimed);
}

#[tokio::test]
async fn blocks_of_a_size_that_blocks_cannot_have_are_not_claimed() {
    let world = World::with(&[pool("p", "10.0.0.0/16", 16)]).await;
    let error = world.ipam("a").claim_affinities(net("10.0.0.0/16"), None).await.unwrap_err();
    assert!(matches!(error, Error::NoPool { .. }), "{error}");
    assert!(world.blocks().await.is_empty());
}

#[tokio::test]
async fn several_stale_claims_to_one_block_are_given_up() {
    let world = World::with(&[pool("p", "10.0.0.0/26", 26)]).await;
    let (cidr, owners) = (net("10.0.0.0/26"), ["a", "b"].map(|host| Owner::Host(host.into())));
    let mut nobodys = Block::new(cidr, &owners[0], world.now());
    nobodys.affinity = None;
    world.put(Key::Block(cidr), nobodys).await;
    for owner in owners {
        world.put(Key::Affinity { owner, block: cidr }, Affinity::new(AffinityState::PendingDeletion)).await;
    }
    let released = world.ipam("a").release_pool_affinities(cidr).await.unwrap();
    assert_eq!(ends(released).len(), 2);
    assert_eq!((world.owned("a").await, world.owned("b").await), (vec![], vec![]));
    assert!(world.blocks().await.is_empty());
}
