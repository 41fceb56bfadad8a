//! Blocks that other writers left contradictory: ADD passes over them and says why, DEL releases what is sound, nothing panics.

use calico_ipam::ReleaseRequest;
use calico_model::{Attribute, Block, Key};

use crate::world::{World, ip, net, pool};

type Damage = fn(&mut Block);

/// The ways in which a block of four addresses can be damaged whose first address is `c`'s, and what ADD says of each.
fn damages() -> Vec<(&'static str, Damage)> {
    vec![
        ("3 allocations for 4 addresses", |block| block.allocations.truncate(3)),
        ("0 allocations for 4 addresses", |block| block.allocations.clear()),
        ("5 allocations for 4 addresses", |block| block.allocations.push(None)),
        ("ordinal 2 points to an attribute that does not exist", |block| block.allocations[2] = Some(7)),
        ("ordinal 3 points to an attribute that does not exist", |block| block.allocations[3] = Some(i64::MIN)),
        ("unallocated ordinal 4 lies outside it", |block| block.unallocated.push(4)),
        ("unallocated ordinal -1 lies outside it", |block| block.unallocated.insert(0, -1)),
        ("unallocated ordinal 9223372036854775807 lies outside it", |block| block.unallocated.insert(1, i64::MAX)),
        ("ordinal 1 is unallocated twice", |block| block.unallocated.push(1)),
        ("ordinal 0 is both allocated and unallocated", |block| block.unallocated.push(0)),
        ("ordinal 2 is neither allocated nor unallocated", |block| block.unallocated.retain(|&o| o != 2)),
    ]
}

async fn damaged(damage: Damage) -> (World, Key) {
    let world = World::with(&[pool("p", "10.0.0.0/29", 30)]).await;
    world.addresses("a", "c", 1).await;
    let key = Key::Block(net(&world.owned("a").await[0]));
    let mut block = world.get::<Block>(key.clone()).await.unwrap().value;
    // Left by a migration tool: the handle goes on after a carriage return.
    block.attributes[0].handle_id = Some("net.c\r\nleft over".to_owned());
    damage(&mut block);
    world.put(key.clone(), block).await;
    (world, key)
}

#[tokio::test]
async fn add_passes_over_them_and_says_what_is_wrong() {
    for (words, damage) in damages() {
        let (world, key) = damaged(damage).await;
        let assigned = world.assign("a", "d", &crate::world::four(1)).await;
        assert_eq!(assigned.shortfalls, [], "{words}");
        assert_ne!(Key::Block(assigned.allocations[0].block), key, "{words}");
        assert!(assigned.unsound[0].contains(words), "{words}: {:?}", assigned.unsound);
        let explained = world.explain("b", "e", &crate::world::four(8)).await;
        let (Key::Block(cidr), Ok(answer)) = (&key, explained.answer) else { panic!("{words}") };
        assert!(answer.allocations.iter().all(|allocation| allocation.block != *cidr), "{words}");
        let first = cidr.network().to_string();
        let error = world.assign_address("a", "f", &first).await.unwrap_err().to_string();
        assert_eq!(error, format!("cannot use block {cidr}: {}", why(&assigned.unsound[0])), "{words}");
    }
}

fn why(unsound: &str) -> &str {
    unsound.rsplit_once("contradicts itself: ").map_or(unsound, |(_, why)| why)
}

#[tokio::test]
async fn del_releases_what_is_sound() {
    for (words, damage) in damages() {
        let (world, key) = damaged(damage).await;
        world.release("a", "c").await;
        assert!(world.handles().await.is_empty(), "{words}");
        let block = world.get::<Block>(key).await.unwrap().value;
        assert_eq!(block.ordinals_of("net.c").count(), 0, "{words}");
        assert!(block.attributes.iter().all(|attribute| attribute != &Attribute::default()), "{words}");
    }
}

#[tokio::test]
async fn nothing_that_reads_them_panics() {
    for (words, damage) in damages() {
        let (world, key) = damaged(damage).await;
        let Key::Block(cidr) = key else { panic!("{words}") };
        let ipam = world.ipam("b");
        for address in cidr.iter() {
            let _ = ipam.use_of(address).await;
        }
        ipam.utilisation(&[]).await.unwrap();
        calico_ipam::audit::audit(&world.store, world.now()).await.unwrap();
        let requests: Vec<ReleaseRequest> = cidr.iter().chain([ip("10.0.9.9")]).map(ReleaseRequest::any).collect();
        let _ = ipam.release_addresses(&requests).await;
        let _ = world.ipam("a").release_all_affinities(true).await.unwrap();
        let _ = world.ipam("a").release_pool_affinities(net("10.0.0.0/29")).await.unwrap();
        let _ = ipam.claim_affinities(net("10.0.0.0/29"), None).await.unwrap();
    }
}

#[tokio::test]
async fn a_block_whose_list_of_addresses_is_lost_is_not_deleted_as_empty() {
    let (world, key) = damaged(|block| block.allocations.clear()).await;
    world.ipam("a").release_all_affinities(true).await.unwrap();
    assert!(world.get::<Block>(key).await.is_some());
}
