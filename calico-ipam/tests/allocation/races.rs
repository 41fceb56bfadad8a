//! Other processes act between two writes of one commit, or a process dies there.

use calico_ipam::{AssignAddress, AutoAssign, GivenUp};
use calico_model::{Affinity, AffinityState, Block, Key, Owner};
use ipnetwork::IpNetwork;

use crate::gate::Gate;
use crate::world::{World, four, ip, net, pool};

const BLOCK: &str = "10.0.0.0/26";

fn is_affinity(key: &Key) -> bool {
    matches!(key, Key::Affinity { .. })
}

fn is_block(key: &Key) -> bool {
    matches!(key, Key::Block(_))
}

fn is_handle(key: &Key) -> bool {
    matches!(key, Key::Handle(_))
}

#[tokio::test]
async fn an_owner_does_not_confirm_a_claim_that_is_given_up_once_more() {
    let world = &World::with(&[pool("p", BLOCK, 26)]).await;
    world.ipam("a").claim_affinities(net(BLOCK), None).await.unwrap();
    // Whoever began to give it up died.
    let key = Key::Affinity { owner: Owner::Host("a".into()), block: net(BLOCK) };
    world.put(key, Affinity::new(AffinityState::PendingDeletion)).await;
    let owner = Gate::doing(world, is_block, async {
        let releaser = Gate::quiet(world).dying(is_block);
        releaser.ipam("a").release_all_affinities(true).await.unwrap_err();
        releaser.assert_passed();
        assert_eq!(world.ipam("b").claim_affinities(net(BLOCK), None).await.unwrap().claimed, [net(BLOCK)]);
    });
    assert_eq!(owner.ipam("a").claim_affinities(net(BLOCK), None).await.unwrap().others, [net(BLOCK)]);
    owner.assert_passed();
    assert_eq!((world.owned("a").await, world.owned("b").await), (vec![], vec![BLOCK.to_owned()]));
}

#[tokio::test]
async fn a_block_that_comes_into_use_while_it_is_given_up_is_confirmed_again() {
    let world = &World::with(&[pool("p", BLOCK, 26)]).await;
    world.ipam("a").claim_affinities(net(BLOCK), None).await.unwrap();
    let releaser = Gate::doing(world, is_affinity, async {
        world.assign_address("a", "c", "10.0.0.5").await.unwrap();
    });
    let ends = releaser.ipam("a").release_all_affinities(true).await.unwrap().ends;
    releaser.assert_passed();
    assert!(matches!(ends[..], [(_, _, GivenUp::InUse)]), "{ends:?}");
    assert_eq!(world.owned("a").await, [BLOCK]);
}

#[tokio::test]
async fn a_machine_that_loses_its_block_once_gets_an_address_all_the_same() {
    for given in [None, Some(ip("10.0.0.9"))] {
        let world = &World::with(&[pool("p", BLOCK, 26)]).await;
        world.addresses("a", "c", 1).await;
        let gate = Gate::doing(world, is_handle, async { drop(world.addresses("a", "d", 1).await) });
        let (ipam, lease) = (gate.ipam("a"), world.lease("vmi.ns.vm"));
        let inputs = ipam.read_inputs().await.unwrap();
        match given {
            None => {
                let request = AutoAssign { most_for_handle: Some(1), ..four(1) };
                let assigned = ipam.auto_assign(&inputs, &request, &lease).await.unwrap();
                assert_eq!(assigned.shortfalls, []);
            }
            Some(address) => {
                let request = AssignAddress { most_for_handle: Some(1), ..AssignAddress::workload(address) };
                assert_eq!(ipam.assign_address(&inputs, &request, &lease).await.unwrap().address, address);
            }
        }
        gate.assert_passed();
        assert_eq!(world.handles().await["net.vmi.ns.vm"].count(&net(BLOCK)), 1);
        world.assert_sound().await;
    }
}

#[tokio::test]
async fn what_another_process_no_longer_counts_in_a_handle_is_counted_again() {
    let world = &World::with(&[pool("p", BLOCK, 26)]).await;
    world.addresses("a", "other", 1).await;
    // It dies as soon as it has the address: nothing is corrected afterwards.
    let gate = Gate::doing(world, is_handle, async { world.release("a", "c").await }).dying(is_block);
    let ipam = gate.ipam("a");
    ipam.auto_assign(&ipam.read_inputs().await.unwrap(), &four(1), &world.lease("c")).await.unwrap_err();
    gate.assert_passed();
    assert_eq!(world.handles().await["net.c"].count(&net(BLOCK)), 1);
    world.assert_sound().await;
}

/// A cluster with one block of four addresses, of which the container `c` holds one; its handle counts two, since a release
/// of the other has changed the block and not yet the handle.
async fn released_halfway() -> (World, IpNetwork) {
    let block = net("10.0.0.0/30");
    let world = World::with(&[pool("p", "10.0.0.0/30", 30)]).await;
    assert_eq!(world.addresses("a", "c", 2).await, ["10.0.0.0", "10.0.0.1"]);
    let mut halfway = world.get::<Block>(Key::Block(block)).await.unwrap().value;
    halfway.allocations[0] = None;
    halfway.unallocated.push(0);
    halfway.sequence_number_for_allocation.remove("0");
    world.put(Key::Block(block), halfway).await;
    (world, block)
}

#[tokio::test]
async fn an_allocation_leaves_in_a_handle_what_another_is_about_to_take_out() {
    let (world, block) = &released_halfway().await;
    let gate = Gate::doing(world, is_handle, async { drop(world.addresses("a", "other", 1).await) });
    let (ipam, lease) = (gate.ipam("a"), world.lease("c"));
    let assigned = ipam.auto_assign(&ipam.read_inputs().await.unwrap(), &four(4), &lease).await.unwrap();
    gate.assert_passed();
    assert_eq!(assigned.shortfalls[0].got, 2);
    assert_eq!(world.handles().await["net.c"].count(block), 4, "three that it holds and one that is released");
    // Nor does undoing it take back twice what was too much.
    world.ipam("a").undo(&lease).await.unwrap();
    assert_eq!(world.handles().await["net.c"].count(block), 2);
}

#[tokio::test]
async fn an_undone_allocation_leaves_in_a_handle_what_another_is_about_to_take_out() {
    let (world, block) = released_halfway().await;
    let (ipam, lease) = (world.ipam("a"), world.lease("c"));
    ipam.auto_assign(&ipam.read_inputs().await.unwrap(), &four(1), &lease).await.unwrap();
    ipam.undo(&lease).await.unwrap();
    assert_eq!(world.handles().await["net.c"].count(&block), 2);
}

/// A host that owns three blocks of four addresses and may own no more: one is full, one has one free address, one has four.
async fn at_its_limit() -> World {
    let world = World::with(&[pool("p", "10.0.0.0/28", 30)]).await;
    for range in ["10.0.0.0/29", "10.0.0.8/30"] {
        world.ipam("a").claim_affinities(net(range), None).await.unwrap();
    }
    for last in 0..7 {
        world.assign_address("a", "filler", &format!("10.0.0.{last}")).await.unwrap();
    }
    world.settings(|config| (config.strict_affinity, config.max_blocks_per_host) = (true, 3)).await;
    world
}

#[tokio::test]
async fn own_blocks_that_were_read_with_the_one_chosen_are_used_next() {
    let world = at_its_limit().await;
    assert_eq!(world.addresses("a", "c", 2).await, ["10.0.0.7", "10.0.0.8"]);
}

#[tokio::test]
async fn own_blocks_that_were_read_are_used_when_the_one_chosen_is_filled_meanwhile() {
    let world = &at_its_limit().await;
    let gate = Gate::doing(world, is_handle, async {
        world.assign_address("a", "other", "10.0.0.7").await.unwrap();
    });
    let ipam = gate.ipam("a");
    let assigned = ipam.auto_assign(&ipam.read_inputs().await.unwrap(), &four(1), &world.lease("c")).await.unwrap();
    gate.assert_passed();
    assert_eq!(assigned.allocations[0].address, ip("10.0.0.8"));
}
