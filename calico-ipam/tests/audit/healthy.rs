//! Real operations leave nothing to be found.

use calico_datastore::{Datastore, Want, Write};
use calico_ipam::{AutoAssign, Demand, Ipam, Lease};
use calico_model::pool::Use;
use calico_model::{IpPool, IpVersion, IpamConfig, Key, Kind, Owner};

use crate::cluster::{Cluster, now};

fn run(work: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(work);
}

#[test]
fn an_empty_cluster() {
    run(async { assert_eq!(Cluster::new(&["node-1"]).await.audit().await, []) });
}

#[test]
fn several_hosts_with_both_families_borrowed_and_released_addresses() {
    run(async {
        let nodes = ["node-1", "node-2", "node-3.dc.example"];
        let cluster = Cluster::new(&nodes).await;
        for node in nodes {
            cluster.tunnel(node).await;
        }
        // All 32 addresses of the pool, so that some are of others' blocks.
        for number in 0..29 {
            cluster.connect(nodes[[0, 0, 0, 1, 2][number % 5]], &format!("c{number}"), [1, number % 2]).await;
        }
        let objects = cluster.objects().await;
        let borrowed = objects.0.values().filter(|block| {
            let nodes = block["attributes"].as_array().into_iter().flatten().map(|it| &it["secondary"]["node"]);
            nodes.filter_map(|node| node.as_str()).any(|node| block["affinity"] != format!("host:{node}"))
        });
        assert_ne!(borrowed.count(), 0);
        assert_eq!(cluster.audit().await, []);
        for number in (0..29).step_by(3) {
            cluster.disconnect(nodes[number % 3], &format!("c{number}")).await;
        }
        assert_eq!(cluster.audit().await, []);
    });
}

#[test]
fn addresses_that_cool_down() {
    run(async {
        let cluster = Cluster::new(&["node-1"]).await;
        let config = IpamConfig { ip_cooldown_seconds: 30, ..IpamConfig::default() };
        cluster.commit(Write::create(Key::IpamConfig, config)).await;
        cluster.connect("node-1", "c1", [2, 1]).await;
        cluster.disconnect("node-1", "c1").await;
        let block = cluster.objects().await.at("/assignment/ipv4/").clone();
        assert!(block.to_string().contains("releasedAt"), "{block}");
        // In the block, beside them.
        cluster.connect("node-1", "c2", [1, 0]).await;
        assert_eq!(cluster.audit().await, []);
    });
}

#[test]
fn a_services_address_of_the_load_balancer() {
    run(async {
        let cluster = Cluster::new(&["node-1"]).await;
        let mut pool = IpPool::routed("services", "10.9.0.0/24".parse().unwrap());
        pool.spec.allowed_uses = vec![Use::LoadBalancer, Use::Workload];
        cluster.commit(Write::create(Key::resource(Kind::IpPool, "services"), pool)).await;
        let ipam = Ipam::of(&cluster.0, Owner::Virtual("load-balancer".to_owned()), now());
        let facts = [("service", "web"), ("namespace", "default"), ("type", "LoadBalancer")];
        let lease = Lease::new("lb-web", facts.map(|(fact, value)| (fact.to_owned(), value.to_owned())));
        let pools = vec!["10.9.0.0/24".parse().unwrap()];
        let request = AutoAssign::workload(vec![Demand { pools, ..Demand::any(IpVersion::V4, 2) }]);
        let inputs = ipam.read_inputs().await.unwrap();
        assert_eq!(ipam.auto_assign(&inputs, &request, &lease).await.unwrap().allocations.len(), 2);
        assert!(cluster.objects().await.path("/virtual/load-balancer/").contains("10.9.0."));
        assert_eq!(cluster.audit().await, []);
    });
}

/// A reservation does not undo an allocation.
#[test]
fn a_reserved_address_that_is_allocated() {
    run(async {
        let cluster = Cluster::new(&["node-1"]).await;
        cluster.connect("node-1", "c1", [1, 1]).await;
        let reservation: calico_model::IpReservation = serde_json::from_value(serde_json::json!({
            "kind": "IPReservation", "apiVersion": "projectcalico.org/v3", "metadata": {"name": "all"},
            "spec": {"reservedCIDRs": ["10.0.0.0/8", " fd00::1 "]}
        }))
        .unwrap();
        cluster.commit(Write::create(Key::resource(Kind::IpReservation, "all"), reservation)).await;
        assert!(
            !cluster
                .0
                .read(&[Want::Get(Key::resource(Kind::IpReservation, "all"))])
                .await
                .unwrap()
                .entries()
                .is_empty()
        );
        assert_eq!(cluster.audit().await, []);
    });
}
