//! How many reads an operation may take.

use crate::gate::Gate;
use crate::world::{World, four, net, pool};

#[tokio::test]
async fn an_address_from_an_own_block_takes_two_reads() {
    let world = World::with(&[pool("p", "10.0.0.0/16", 26)]).await;
    world.addresses("a", "c", 1).await;
    let gate = Gate::quiet(&world);
    let ipam = gate.ipam("a");
    ipam.auto_assign(&ipam.read_inputs().await.unwrap(), &four(1), &world.lease("d")).await.unwrap();
    assert_eq!(gate.reads(), 2);
}

#[tokio::test]
async fn to_empty_a_borrowed_block_of_a_pool_for_all_nodes_takes_two_reads() {
    let world = World::with(&[pool("p", "10.0.0.0/26", 26)]).await;
    world.ipam("b").claim_affinities(net("10.0.0.0/26"), None).await.unwrap();
    world.addresses("a", "c", 1).await;
    let gate = Gate::quiet(&world);
    let ipam = gate.ipam("a");
    ipam.release_by_handle(ipam.read_handle("net.c").await.unwrap()).await.unwrap();
    assert_eq!(gate.reads(), 2);
}
