//! What would be chosen, and why, without a trace in the store.

use calico_ipam::{Answer, AssignAddress, Decision};
use calico_model::IpVersion;

use crate::world::{World, four, four_of, ip, pool};

#[tokio::test]
async fn says_what_the_next_allocation_does() {
    let world = World::with(&[pool("p", "10.0.0.0/25", 26), pool("q", "10.0.1.0/25", 26)]).await;
    world.change_pool("q", |pool| pool.spec.disabled = true).await;
    for (count, decision) in [(3, Decision::Claimed), (2, Decision::Own), (70, Decision::Claimed)] {
        let before = world.dump().await;
        let explained = world.explain("a", "c", &four(count)).await;
        assert_eq!(world.dump().await, before, "nothing is written");
        let (version, trace) = &explained.traces[0];
        assert_eq!((*version, &trace.blocks.last().unwrap().decision), (IpVersion::V4, &decision));
        let pools: Vec<String> = explained.pools().iter().map(ToString::to_string).collect();
        assert_eq!(pools, ["p (10.0.0.0/25) may be used", "q (10.0.1.0/25) is disabled"]);
        assert!(explained.writes.iter().any(|(key, _)| key.path().ends_with("/handle/net.c")));
        let assigned = world.assign("a", &format!("c{count}"), &four(count)).await;
        assert_eq!(explained.answer.unwrap().allocations, assigned.allocations);
    }
}

#[tokio::test]
async fn says_what_is_borrowed_and_what_is_taken_over() {
    let world = World::with(&[pool("p", "10.0.0.0/26", 26)]).await;
    world.addresses("b", "b1", 1).await;
    let explained = world.explain("a", "c", &four(1)).await;
    let considered = explained.traces[0].1.blocks[0].to_string();
    assert_eq!(
        considered,
        "10.0.0.0/26 (host:b; addresses: 2 used, 0 cooling down, 0 reserved, 62 free): addresses are taken from it, and it stays its owner's"
    );
    world.release("b", "b1").await;
    assert_eq!(world.explain("a", "c", &four(1)).await.traces[0].1.blocks[0].decision, Decision::Borrowed, "too young");
    world.pass(61);
    assert_eq!(world.explain("a", "c", &four(1)).await.traces[0].1.blocks[0].decision, Decision::TakenOver);
    assert_eq!(world.owned("b").await.len(), 1, "it still is b's");
}

#[tokio::test]
async fn says_why_there_is_nothing() {
    let world = World::with(&[pool("p", "10.0.0.0/26", 26)]).await;
    world.addresses("b", "b1", 64).await;
    let explained = world.explain("a", "c", &four(1)).await;
    assert_eq!(explained.traces[0].1.blocks[0].decision, Decision::Full);
    assert!(explained.answer.unwrap().shortfalls[0].to_string().contains("No IPs available in pools: [10.0.0.0/26]"));
    assert!(explained.writes.is_empty());
    world.change_pool("p", |pool| pool.spec.node_selector = "has(x)".into()).await;
    let explained = world.explain("a", "c", &four(1)).await;
    assert!(explained.answer.is_err());
    assert_eq!(explained.pools()[0].answer, Answer::NodeSelector("has(x)".into()));
    let explained = world.explain("a", "c", &four_of(1, &["10.9.0.0/26"])).await;
    assert_eq!(explained.pools()[0].answer, Answer::NotRequested);
}

#[tokio::test]
async fn says_what_becomes_of_given_addresses() {
    let world = World::with(&[pool("p", "10.0.0.0/26", 26)]).await;
    let explained = async |addresses: &[&str]| {
        let requests: Vec<AssignAddress> = addresses.iter().map(|text| AssignAddress::workload(ip(text))).collect();
        let (ipam, before) = (world.ipam("a"), world.dump().await);
        let inputs = ipam.read_inputs().await.unwrap();
        let explained = ipam.explain_addresses(&inputs, &requests, &world.lease("c")).await;
        assert_eq!(world.dump().await, before, "nothing is written");
        explained
    };
    let both = explained(&["10.0.0.7", "10.0.0.8"]).await;
    let blocks: Vec<String> = both.answers.iter().map(|answer| answer.as_ref().unwrap().block.to_string()).collect();
    assert_eq!(blocks, ["10.0.0.0/26", "10.0.0.0/26"]);
    assert!(both.writes.iter().any(|(key, _)| key.path().ends_with("/block/10.0.0.0-26")));
    world.assign_address("b", "other", "10.0.0.7").await.unwrap();
    let taken = explained(&["10.0.0.7", "10.0.0.8"]).await;
    assert_eq!(taken.answers.len(), 1, "nothing is tried after a failure");
    assert!(taken.answers[0].as_ref().unwrap_err().to_string().contains("Address already assigned"));
}
