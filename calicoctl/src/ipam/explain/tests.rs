use super::super::world::{self, text_of};
use super::*;

const NONE: ExplainArgs =
    ExplainArgs { node: None, pod: None, pool: Vec::new(), namespace: None, family: None, count: 1 };

async fn explained(session: &Session, arguments: ExplainArgs) -> Result<String, Error> {
    let question = ask(session, &arguments).await?.expect("there is something to explain");
    answer(session, &Console::default(), &question).await
}

fn on(node: &str) -> ExplainArgs {
    ExplainArgs { node: Some(node.to_owned()), ..NONE }
}

fn from(node: &str, pools: &[&str]) -> ExplainArgs {
    ExplainArgs { pool: pools.iter().map(|&pool| pool.to_owned()).collect(), ..on(node) }
}

#[tokio::test]
async fn an_address_of_a_nodes_own_block() {
    let session = world::recorded().await;
    let expected = "\
Allocation for node node-a
Asked for: 1 address of IPv4, from 10.10.0.0/16

IPv4 pools
+-------+--------------+------------+
| POOL  | CIDR         | VERDICT    |
+-------+--------------+------------+
| pool1 | 10.10.0.0/16 | may be used |
+-------+--------------+------------+

IPv4 blocks, in the order in which they are looked at, as they would be then
";
    let text = explained(&session, from("node-a", &["pool1"])).await.unwrap();
    assert!(
        text.starts_with(
            &expected.replace("------------+\n", "-------------+\n").replace("VERDICT    |", "VERDICT     |")
        ),
        "{text}"
    );
    let block = "| 10.10.174.128/26 | host:node-a |    5 |            0 |        0 |   59 | addresses are taken from it: it is this owner's |";
    assert!(text.contains(block), "{text}");
    let end = "\n\nWould be given\n  10.10.174.131, of block 10.10.174.128/26\n\nWould be written, in this order\n  write  handle of the container\n  write  block 10.10.174.128/26\n";
    assert!(text.ends_with(end), "{text}");
    assert_eq!(explained(&session, from("node-a", &["10.10.0.0/16"])).await.unwrap(), text, "nothing was stored");
}

#[tokio::test]
async fn why_not_another_pool() {
    let session = world::recorded().await;
    let mut off = world::pool("pool2", "10.20.0.0/16");
    off.spec.disabled = true;
    world::put(&session, world::pool_key("pool2"), off).await;
    let four = ExplainArgs { family: Some(4), ..on("node-b") };
    let text = explained(&session, four).await.unwrap();
    assert!(text.contains("Asked for: 1 address of IPv4, from any pool that may be used without being asked for"));
    assert!(text.contains("| pool2 | 10.20.0.0/16 | is disabled |"), "{text}");
    // pool6 is for another zone.
    let six = ExplainArgs { family: Some(6), ..on("node-b") };
    let text = explained(&session, six).await.unwrap();
    assert!(text.contains("| pool6 | fd00:10::/64 | is not for this node: nodeSelector zone == 'a' |"), "{text}");
    assert!(text.contains("\nNo address would be given: no configured Calico pools for node node-b\n"), "{text}");
    assert!(text.ends_with("\nNothing would be written\n"), "{text}");
}

#[tokio::test]
async fn both_families_where_there_are_pools_of_both() {
    let session = world::recorded().await;
    let text = explained(&session, ExplainArgs { count: 2, ..on("node-a") }).await.unwrap();
    for line in
        ["Asked for: 2 addresses of IPv4", "Asked for: 2 addresses of IPv6", "IPv6 blocks, in", "it is claimed anew"]
    {
        assert!(text.contains(line), "{text}");
    }
    assert!(text.contains("  write  affinity of host:node-a to fd00:10::") && text.contains(": pending\n"), "{text}");
    let none = explained(&world::empty().await, on("node-a")).await.unwrap();
    assert!(none.contains("\nPools: none\n\nNo address would be given: cannot find a qualified ippool\n"), "{none}");
}

#[tokio::test]
async fn too_few_addresses() {
    let session = world::empty().await;
    world::put(&session, world::pool_key("small"), world::pool("small", "10.0.0.0/26")).await;
    world::take(&session, "node-b", "all", 60).await;
    let text = explained(&session, ExplainArgs { count: 9, ..on("node-a") }).await.unwrap();
    assert!(text.contains("and it stays its owner's |"), "{text}");
    assert!(text.contains("\nToo few: failed to request IPv4 addresses: Assigned 4 out of 9 requested"), "{text}");
}

#[tokio::test]
async fn addresses_that_are_asked_for() {
    let session = world::recorded().await;
    let question = |addresses: &[&str]| Question {
        pod: Some("shop/fixed".to_owned()),
        node: "node-a".to_owned(),
        addresses: addresses.iter().map(|text| text.parse().unwrap()).collect(),
        count: 1,
        ..Question::default()
    };
    let explained =
        async |addresses: &[&str]| answer(&session, &Console::default(), &question(addresses)).await.unwrap();
    let free = explained(&["10.10.174.150"]).await;
    assert!(free.starts_with("Allocation for pod shop/fixed on node node-a\nAsked for: 10.10.174.150;"), "{free}");
    assert!(free.contains("\nWould be given\n  10.10.174.150, of block 10.10.174.128/26\n"), "{free}");
    let taken = explained(&["10.10.174.128", "fd00:10::1"]).await;
    assert!(taken.contains("\n10.10.174.128 would not be given: resource already exists: 10.10.174.128"), "{taken}");
    assert!(taken.contains("  it is held by net1.web-1: delete that container"), "{taken}");
    assert!(!taken.contains("fd00:10::1,"), "an ADD ends at the first address that it cannot get: {taken}");
    let outside = explained(&["192.0.2.1"]).await;
    assert!(outside.contains("would not be given: The provided IP address is not in a configured pool\n"), "{outside}");
}

#[tokio::test]
async fn wrong_names_are_refused() {
    let session = world::recorded().await;
    for (arguments, expected) in [
        (NONE, "say with --node for which node\nthere are: node-a, node-b"),
        (on("node-c"), "resource does not exist: Node(node-c) with error: <nil>\ndid you mean node-"),
        (from("node-a", &["pool5"]), "there is no IP pool pool5\ndid you mean pool"),
        (
            ExplainArgs { family: Some(4), ..from("node-a", &["pool6"]) },
            "IP pool pool6 is of IPv6, which is not asked for",
        ),
        (
            ExplainArgs { pod: Some("shop/web-1".to_owned()), ..NONE },
            "pods are read from the Kubernetes API, and this datastore is another\nname the node with --node",
        ),
        (
            ExplainArgs { namespace: Some("shop".to_owned()), ..on("node-a") },
            "namespaces are read from the Kubernetes API, and this datastore is another",
        ),
        (ExplainArgs { family: Some(5), ..on("node-a") }, "--family 5: there are 4 and 6"),
    ] {
        let error = explained(&session, arguments).await.unwrap_err();
        assert!(text_of(&error).starts_with(expected), "{}", text_of(&error));
    }
}

#[tokio::test]
async fn the_only_node_need_not_be_named() {
    let session = Session::in_memory().await;
    let node: calico_model::Node = calico_model::Resource::new(Kind::Node, "alone", serde_json::Map::new());
    world::put(&session, Key::resource(Kind::Node, "alone"), node).await;
    world::put(&session, world::pool_key("p"), world::pool("p", "10.0.0.0/24")).await;
    assert!(explained(&session, NONE).await.unwrap().starts_with("Allocation for node alone\n"));
}
