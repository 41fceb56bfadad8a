//! Who may have an address that no endpoint and no node is seen to use.

use super::*;

/// An address of a service is not taken for leaked because nobody asked Kubernetes.
#[test]
fn what_rests_is_not_leaked() {
    run(async {
        let session = recorded().await;
        let path = format!("{IPAM}/assignment/ipv4/block/10.10.218.64-26");
        let mut services = block("10.10.218.64/26", "node-b", &[(0, "cid4", "node-b", "db-0", TIMES[4], 5)]);
        services["attributes"][0]["secondary"] =
            json!({ "type": "LoadBalancer", "service": "web", "namespace": "shop" });
        put(&session, &path, services.clone()).await;
        let snapshot = Snapshot::read(&session.store()).await.unwrap();
        let address = "10.10.218.64".parse().unwrap();
        let leaked = |services: Services| {
            let picture = Picture::new(&snapshot, services);
            let of_service = picture.allocations.iter().find(|it| it.address == address).unwrap();
            picture.is_leaked(of_service)
        };
        assert!(!leaked(Services::Unknown("no --kubeconfig is given".to_owned())));
        assert!(leaked(Services::Known(vec![])));
        assert!(!leaked(Services::Known(vec![("shop/web".to_owned(), vec![address])])));
        assert!(!leaked(Services::Known(vec![("shop/web".to_owned(), vec![])])), "it exists");
        // No matter what its pool allows by now, or which service it was allocated to.
        assert!(!leaked(Services::Known(vec![("shop/other".to_owned(), vec![address])])));
        services["attributes"][0] = json!({ "handle_id": "net1.vmi.shop.vm", "secondary": { "vmi-name": "vm" } });
        put(&session, &path, services).await;
        let (text, ..) = checked(&session, PROBLEMS).await;
        assert!(!text.contains("10.10.218.64 leaked"), "{text}");
    });
}

/// A service's address that was never Calico's to give is no problem.
#[test]
fn addresses_of_services() {
    run(async {
        let session = recorded().await;
        let pool = json!({ "cidr": "10.10.0.0/16", "blockSize": 26, "allowedUses": ["Workload"] });
        put(&session, &format!("{RESOURCES}/ippools/pool1"), resource("IPPool", "pool1", pool)).await;
        let snapshot = Snapshot::read(&session.store()).await.unwrap();
        let [free, leak] = ["10.10.174.150", "10.10.174.129"].map(|text| text.parse().unwrap());
        let services = vec![("shop/web".to_owned(), vec![free, leak]), ("shop/idle".to_owned(), vec![])];
        let picture = Picture::new(&snapshot, Services::Known(services));
        assert_eq!(picture.of_services, [("shop/web".to_owned(), vec![leak])]);
        assert_eq!(picture.users[&leak], ["Service(shop/web)"]);
        let text = listing::check(&picture, &[], later(), PROBLEMS).text;
        assert!(text.contains("Found 1 service load balancer(s).\n"), "{text}");
        assert!(!text.contains(&format!("{leak} leaked")) && !text.contains(&format!("{free} in use")), "{text}");
    });
}

/// What cannot be read may have any address: then nothing is known to be leaked.
#[test]
fn who_cannot_be_read_may_have_any_address() {
    run(async {
        let endpoint = "workloadendpoints/shop/node--a-k8s-odd-eth0";
        let node = "nodes/node-b";
        for (key, spec) in
            [(endpoint, json!({ "ipNetworks": ["here"] })), (node, json!({ "bgp": { "ipv4IPIPTunnelAddr": "x" } }))]
        {
            let session = recorded().await;
            match key == endpoint {
                true => put_endpoint(&session, "odd", "cid9", spec["ipNetworks"].clone()).await,
                false => put(&session, &format!("{RESOURCES}/{key}"), resource("Node", "node-b", spec)).await,
            }
            let (text, _, report) = checked(&session, PROBLEMS).await;
            assert!(!text.contains(" leaked; attrs"), "{text}");
            let leak = &report.allocations["10.10.174.129"][0];
            assert!(leak.in_use);
            assert_eq!(leak.owners, Some(vec![format!("unknown: {RESOURCES}/{key} cannot be read")]));
            let used = &report.allocations["10.10.174.128"][0];
            assert_eq!(used.owners, Some(vec!["Workload(shop/node--a-k8s-web--1-eth0)".to_owned()]));
        }
        // The same where nothing at all can be read of it.
        let session = recorded().await;
        let mut snapshot = Snapshot::read(&session.store()).await.unwrap();
        snapshot.unreadable.insert(Key::parse(&format!("{RESOURCES}/{endpoint}")).unwrap());
        let picture = Picture::new(&snapshot, Services::Known(Vec::new()));
        assert!(picture.allocations.iter().all(|allocation| !picture.is_leaked(allocation)));
    });
}
