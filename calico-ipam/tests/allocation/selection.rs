//! Which pool.

use calico_ipam::AutoAssign;
use calico_model::pool::Use;

use crate::world::{World, four, four_of, pool};

#[tokio::test]
async fn nodes_get_addresses_of_the_pools_that_choose_them() {
    let mut of_x = pool("x", "10.0.0.0/25", 26);
    of_x.spec.node_selector = "zone == 'x' && !has(retired)".into();
    let world = World::with(&[of_x, pool("y", "10.0.1.0/25", 26)]).await;
    world.change_pool("y", |pool| pool.spec.node_selector = "zone in {'y', 'z'}".into()).await;
    for (labels, begins) in [([("zone", "x")], "10.0.0."), ([("zone", "z")], "10.0.1.")] {
        world.label("a", &labels).await;
        assert!(world.addresses("a", "c", 1).await[0].starts_with(begins));
        world.release("a", "c").await;
    }
    world.label("a", &[("zone", "x"), ("retired", "")]).await;
    let error = world.try_assign("a", "c", &four(1)).await.unwrap_err();
    assert_eq!(error.to_string(), "no configured Calico pools for node a");
    assert!(error.advice().contains("nodeSelector zone == 'x' && !has(retired)"), "{}", error.advice());
    // Who asks for a pool gets it.
    assert_eq!(world.assign("a", "c", &four_of(1, &["10.0.0.0/25"])).await.shortfalls, []);
}

#[tokio::test]
async fn namespaces_choose_among_pools() {
    let mut of_team = pool("a-team", "10.0.0.0/25", 26);
    of_team.spec.namespace_selector = "team == 'red' || team starts with 'bl'".into();
    let world = World::with(&[of_team, pool("rest", "10.0.1.0/25", 26)]).await;
    for (team, begins) in [("red", "10.0.0."), ("blue", "10.0.0."), ("green", "10.0.1.")] {
        let namespace = [("team".to_owned(), team.to_owned())].into();
        let assigned = world.assign("a", team, &AutoAssign { namespace, ..four(1) }).await;
        assert!(assigned.allocations[0].address.to_string().starts_with(begins), "{team}");
    }
    world.change_pool("rest", |pool| pool.spec.namespace_selector = "has(team".into()).await;
    let error = world.try_assign("a", "c", &four(1)).await.unwrap_err();
    assert!(
        error.to_string().starts_with("the namespace selector \"has(team\" of pool rest cannot be read"),
        "{error}"
    );
}

#[tokio::test]
async fn pools_by_use_and_mode() {
    let mut tunnels = pool("t", "10.0.0.0/25", 26);
    tunnels.spec.allowed_uses = vec![Use::Tunnel];
    let mut manual = pool("m", "10.0.1.0/25", 26);
    manual.spec.assignment_mode = "Manual".into();
    let world = World::with(&[tunnels, manual]).await;
    let error = world.try_assign("a", "c", &four(1)).await.unwrap_err();
    assert_eq!(error.to_string(), "cannot find a qualified ippool, no pools match the required use (Workload)");
    let tunnel = world.assign("a", "tunnel", &AutoAssign { intended_use: Use::Tunnel, ..four(1) }).await;
    assert!(tunnel.allocations[0].address.to_string().starts_with("10.0.0."));
    let asked_for = world.assign("a", "c", &four_of(1, &["10.0.1.0/25"])).await;
    assert!(asked_for.allocations[0].address.to_string().starts_with("10.0.1."));
}

#[tokio::test]
async fn an_unknown_node_is_named() {
    let world = World::with(&[pool("p", "10.0.0.0/25", 26)]).await;
    let error = world.try_assign("stranger", "c", &four(1)).await.unwrap_err();
    assert!(error.advice().contains("this host calls itself \"stranger\""), "{}", error.advice());
}
