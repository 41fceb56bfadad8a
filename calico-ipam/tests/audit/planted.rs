//! What is planted is found, and nothing else but what follows from it.

use std::net::IpAddr;

use calico_ipam::audit::{Class, Finding, Tunnel, User};
use calico_model::{AffinityState, Inconsistency, Key, Owner};
use ipnetwork::IpNetwork;
use serde_json::{Value, json};

use crate::cluster::{Cluster, Objects};
use Class::*;
use Finding::*;

const RESOURCES: &str = "/calico/resources/v3/projectcalico.org";
const IPAM: &str = "/calico/ipam/v2";
const BLOCK: &str = "/assignment/ipv4/";

/// One container, `c1`, with an address of each family on `node-1`, which has an address for its tunnel in the same
/// block; and another node.
struct Planted {
    objects: Objects,
    block: IpNetwork,
    address: IpAddr,
    tunnel: IpAddr,
}

fn planted() -> Planted {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let objects = runtime.block_on(async {
        let cluster = Cluster::new(&["node-1", "node-2"]).await;
        cluster.connect("node-1", "c1", [1, 1]).await;
        cluster.tunnel("node-1").await;
        cluster.objects().await
    });
    objects.assert_finds(&[]);
    let mut read = objects.clone();
    let block: calico_model::Block = serde_json::from_value(read.at(BLOCK).clone()).unwrap();
    let [address, tunnel] = [0, 1].map(|ordinal| block.address(ordinal).unwrap());
    Planted { objects, block: block.cidr, address, tunnel }
}

impl Planted {
    /// Changes the only object whose path has this part, and asserts what is found.
    #[track_caller]
    fn change(mut self, part: &str, change: impl FnOnce(&mut Value), expected: &[(Finding, Class)]) {
        change(self.objects.at(part));
        self.objects.assert_finds(expected);
    }

    fn inconsistent(&self, inconsistency: Inconsistency) -> Finding {
        InconsistentBlock { block: self.block, inconsistency }
    }

    fn segment(&self) -> String {
        self.block.to_string().replace('/', "-")
    }

    fn affinity_of(&self, node: &str) -> String {
        format!("{IPAM}/host/{node}/ipv4/block/{}", self.segment())
    }

    fn counts(&self, counted: i64, held: i64) -> (String, IpNetwork, i64, i64) {
        ("net.c1".to_owned(), self.block, counted, held)
    }
}

fn node(name: &str) -> Owner {
    Owner::Host(name.to_owned())
}

fn resource(kind: &str, name: &str, spec: Value) -> Value {
    json!({ "kind": kind, "apiVersion": "projectcalico.org/v3", "metadata": { "name": name }, "spec": spec })
}

fn endpoint(id: &str, on: &str, networks: Value) -> (String, Value, Key) {
    let name = format!("node--1-cni-{id}-eth0");
    let spec = json!({ "orchestrator": "cni", "node": on, "containerID": id, "ipNetworks": networks });
    let mut object = resource("WorkloadEndpoint", &name, spec);
    object["metadata"]["namespace"] = json!("default");
    (format!("{RESOURCES}/workloadendpoints/default/{name}"), object, Key::endpoint("default", &name))
}

#[test]
fn a_cluster_that_is_not_ready() {
    let mut it = planted();
    it.objects.remove("/clusterinformations/");
    it.objects.assert_finds(&[(NoClusterInformation, Setting)]);
    let ready = "/clusterinformations/";
    planted().change(ready, |it| it["spec"] = json!({}), &[(NotReady { stated: None }, Setting)]);
    let locked = json!({ "datastoreReady": false });
    planted().change(ready, |it| it["spec"] = locked, &[(NotReady { stated: Some(false) }, Setting)]);
}

/// Whatever cannot be read is one finding; what it would have said is not missed.
#[test]
fn malformed_values() {
    let it = planted();
    let kinds = ["/clusterinformations/", "/ippools/four", "/nodes/node-1", "/workloadendpoints/", "/handle/net.c1"];
    for part in kinds.into_iter().chain([BLOCK, "/host/node-1/ipv4/"]) {
        let mut objects = it.objects.clone();
        *objects.at(part) = json!([1]);
        let found = objects.audit();
        let key = objects.path(part);
        let only = |found: &Finding| matches!(found, Malformed { key: of, .. } if *of == key);
        assert!(found.len() == 1 && only(&found[0]) && found[0].class() == Danger, "{part}: {found:#?}");
    }
    let key = it.objects.path(BLOCK);
    let malformed = |reason: &str| (Malformed { key: key.clone(), reason: reason.to_owned() }, Danger);
    let claimed = malformed("the block was claimed at \"soon\", which is no time");
    planted().change(BLOCK, |block| block["affinity_claim_time"] = json!("soon"), &[claimed]);
    let released = malformed("attribute 2 was released at \"late\", which is no time");
    planted().change(BLOCK, |block| cool(block, "late"), &[released]);
    let key = it.objects.path("/nodes/node-1");
    let text = "it has \"far\" for its VXLAN tunnel, which is no address".to_owned();
    let far = |node: &mut Value| node["spec"]["ipv4VXLANTunnelAddr"] = json!("far");
    planted().change("/nodes/node-1", far, &[(Malformed { key, reason: text }, Danger)]);
    let mut it = planted();
    let (path, object, _) = endpoint("c2", "node-1", json!(["here"]));
    it.objects.put(&path, object);
    let reason = "it has \"here\", which is no address".to_owned();
    it.objects.assert_finds(&[(Malformed { key: path, reason }, Danger)]);
}

/// Lets the block's third address cool down since some time.
fn cool(block: &mut Value, since: &str) {
    block["allocations"][2] = json!(2);
    block["attributes"].as_array_mut().unwrap().push(json!({ "releasedAt": since }));
    block["unallocated"] = json!([3]);
}

#[test]
fn pools_and_reservations() {
    let pool = |cidr: &str, size: u8| resource("IPPool", "other", json!({ "cidr": cidr, "blockSize": size }));
    let with = |pool: Value, expected: &[(Finding, Class)]| {
        let mut it = planted();
        it.objects.put(&format!("{RESOURCES}/ippools/other"), pool);
        it.objects.assert_finds(expected);
    };
    let (name, first) = ("other".to_owned(), "four".to_owned());
    with(pool("10.0.0.0/16", 30), &[(OverlappingPools { first: name.clone(), second: first.clone() }, Setting)]);
    with(pool("10.0.0.0/27", 30), &[(OverlappingPools { first, second: name.clone() }, Setting)]);
    for (nodes, namespaces) in [("zone = 'x'", "all()"), ("", "zone = 'x'")] {
        let mut odd = pool("10.1.0.0/24", 26);
        (odd["spec"]["nodeSelector"], odd["spec"]["namespaceSelector"]) = (nodes.into(), namespaces.into());
        let reason = calico_model::Selector::parse("zone = 'x'").unwrap_err().to_string();
        with(odd, &[(PoolSelector { pool: name.clone(), selector: "zone = 'x'".into(), reason }, Setting)]);
    }
    let cidr: IpNetwork = "10.1.0.1/24".parse().unwrap();
    with(pool("10.1.0.1/24", 26), &[(UnmaskedPool { pool: name.clone(), cidr }, Setting)]);
    for (cidr, sizes) in [("10.1.0.0/16", [19, 33]), ("fd01::/64", [115, 129])] {
        for block_size in sizes {
            let cidr = cidr.parse().unwrap();
            let found = PoolBlockSize { pool: name.clone(), cidr, block_size };
            with(pool(&cidr.to_string(), block_size), &[(found, Setting)]);
        }
    }
    let cidr = "10.1.0.0/27".parse().unwrap();
    with(pool("10.1.0.0/27", 26), &[(PoolBelowBlockSize { pool: name, cidr, block_size: 26 }, Setting)]);
    let mut disabled = pool("10.1.0.0/27", 26);
    disabled["spec"]["disabled"] = json!(true);
    with(disabled, &[]);

    let mut it = planted();
    let spec = json!({ "reservedCIDRs": ["10.0.0.9", "ten", "10.0.0.0/40"] });
    it.objects.put(&format!("{RESOURCES}/ipreservations/r1"), resource("IPReservation", "r1", spec));
    let entry = |entry: &str| ReservationEntry { reservation: "r1".to_owned(), entry: entry.to_owned() };
    it.objects.assert_finds(&[(entry("10.0.0.0/40"), Setting), (entry("ten"), Setting)]);
}

#[test]
fn each_inconsistency_of_a_block() {
    let cases: [(&str, Value, Inconsistency, Class); 5] = [
        ("unallocated", json!([2, 3, 99]), Inconsistency::FreeOutside { ordinal: 99 }, Danger),
        ("unallocated", json!([2, 3, 3]), Inconsistency::FreeTwice { ordinal: 3 }, Danger),
        ("unallocated", json!([0, 2, 3]), Inconsistency::AllocatedAndFree { ordinal: 0 }, Danger),
        ("unallocated", json!([2]), Inconsistency::Lost { ordinal: 3 }, Leak),
        (
            "allocations",
            json!([0, 1, null, null, null]),
            Inconsistency::WrongLength { allocations: 5, addresses: 4 },
            Danger,
        ),
    ];
    for (field, value, inconsistency, class) in cases {
        let it = planted();
        let found = it.inconsistent(inconsistency);
        it.change(BLOCK, |block| block[field] = value, &[(found, class)]);
    }
    let it = planted();
    let found = it.inconsistent(Inconsistency::NoAttribute { ordinal: 2 });
    let dangle = |block: &mut Value| {
        block["allocations"][2] = json!(7);
        block["unallocated"] = json!([3]);
    };
    it.change(BLOCK, dangle, &[(found, Leak)]);
}

#[test]
fn attributes_of_a_block() {
    let mut it = planted();
    let found = UnusedAttribute { block: it.block, attribute: 2 };
    it.objects.at(BLOCK)["attributes"].as_array_mut().unwrap().push(json!({}));
    it.objects.assert_finds(&[(found, Passing)]);

    planted().change(BLOCK, |block| cool(block, "2027-01-15T08:00:00Z"), &[]);
    let it = planted();
    let released_at = "2027-01-15T08:00:01Z".to_owned();
    let found = ReleasedInFuture { block: it.block, attribute: 2, released_at: released_at.clone() };
    it.change(BLOCK, |block| cool(block, &released_at), &[(found, Passing)]);
    // Who numbers an address that is free is wrong, and harms nobody.
    planted().change(BLOCK, |block| block["sequenceNumberForAllocation"]["3"] = json!(1), &[]);
}

/// An empty block that nobody owns.
fn empty_block(cidr: &str) -> (String, Value) {
    let block: IpNetwork = cidr.parse().unwrap();
    let path = Key::Block(block).path();
    let size = 1_usize << ((if block.is_ipv4() { 32 } else { 128 }) - block.prefix());
    let free: Vec<usize> = (0..size).collect();
    (path, json!({ "cidr": cidr, "affinity": null, "allocations": vec![None::<i64>; size], "unallocated": free }))
}

#[test]
fn places_of_blocks() {
    let with = |cidr: &str, expected: &[(Finding, Class)]| {
        let mut it = planted();
        let (path, block) = empty_block(cidr);
        it.objects.put(&path, block);
        it.objects.assert_finds(expected);
    };
    let outside: IpNetwork = "10.0.1.0/30".parse().unwrap();
    with("10.0.1.0/30", &[(BlockOutsidePools { block: outside }, Setting)]);
    let it = planted();
    let block = if it.block.ip() == "10.0.0.0".parse::<IpAddr>().unwrap() { "10.0.0.8/31" } else { "10.0.0.0/31" };
    let found = ForeignBlockSize { block: block.parse().unwrap(), pool: "four".to_owned(), block_size: 30 };
    with(block, &[(found, Setting)]);
    // What overlaps is of another size, too.
    let inner: IpNetwork = format!("{}/32", it.block.ip()).parse().unwrap();
    let size = ForeignBlockSize { block: inner, pool: "four".to_owned(), block_size: 30 };
    let overlap = OverlappingBlocks { first: it.block, second: inner };
    with(&inner.to_string(), &[(overlap, Danger), (size, Setting)]);
}

#[test]
fn owners_of_blocks() {
    let it = planted();
    let mut expected = vec![(UnreadableOwner { block: it.block, affinity: "node-1".to_owned() }, Leak)];
    let named = Some("node-1".to_owned());
    expected.push((AffinityToForeignBlock { owner: node("node-1"), block: it.block, named }, Passing));
    it.change(BLOCK, |block| block["affinity"] = json!("node-1"), &expected);

    let mut it = planted();
    let missing = MissingAffinity { block: it.block, owner: node("node-1") };
    it.objects.remove("/host/node-1/ipv4/");
    it.objects.assert_finds(&[(missing, Passing)]);

    let mut it = planted();
    it.objects.remove("/host/node-1/ipv4/");
    it.objects.at(BLOCK)["affinity"] = json!("virtual:load-balancer");
    let missing = MissingAffinity { block: it.block, owner: Owner::Virtual("load-balancer".to_owned()) };
    it.objects.assert_finds(&[(missing, Passing)]);

    let mut it = planted();
    it.objects.remove("/host/node-1/ipv4/");
    it.objects.at(BLOCK)["affinity"] = json!("host:gone");
    it.objects.assert_finds(&[(BlockOfUnknownNode { block: it.block, node: "gone".to_owned() }, Leak)]);
}

#[test]
fn affinities() {
    let state = |state: &str| json!({ "state": state });
    let mut it = planted();
    let (path, absent) = (format!("{IPAM}/host/node-2/ipv4/block/10.0.0.28-30"), "10.0.0.28/30".parse().unwrap());
    it.objects.put(&path, state("confirmed"));
    it.objects.assert_finds(&[(AffinityWithoutBlock { owner: node("node-2"), block: absent }, Passing)]);

    let mut it = planted();
    it.objects.remove("/host/node-1/ipv4/");
    it.objects.at(BLOCK)["affinity"] = json!(null);
    it.objects.put(&it.affinity_of("node-2"), state(""));
    let foreign = AffinityToForeignBlock { owner: node("node-2"), block: it.block, named: None };
    it.objects.assert_finds(&[(foreign, Passing)]);

    for (text, state_of) in [
        ("pending", AffinityState::Pending),
        ("pendingDeletion", AffinityState::PendingDeletion),
        ("odd", AffinityState::Other("odd".to_owned())),
    ] {
        let mut it = planted();
        it.objects.put(&path, state(text));
        let found = UnfinishedAffinity { owner: node("node-2"), block: absent, state: state_of };
        it.objects.assert_finds(&[(found, Passing)]);
    }

    // Of two claims, the block names one at most.
    let mut it = planted();
    it.objects.put(&it.affinity_of("node-2"), state("confirmed"));
    let named = Some("host:node-1".to_owned());
    let foreign = AffinityToForeignBlock { owner: node("node-2"), block: it.block, named };
    let doubled = DoubledAffinity { block: it.block, owners: vec![node("node-1"), node("node-2")] };
    it.objects.assert_finds(&[(foreign, Passing), (doubled, Danger)]);

    let mut it = planted();
    it.objects.put(&format!("{IPAM}/host/gone/ipv4/block/10.0.0.28-30"), state("pending"));
    let unfinished = UnfinishedAffinity { owner: node("gone"), block: absent, state: AffinityState::Pending };
    let unknown = AffinityOfUnknownNode { node: "gone".to_owned(), block: absent };
    it.objects.assert_finds(&[(unfinished, Passing), (unknown, Leak)]);
    let mut it = planted();
    it.objects.put(&format!("{IPAM}/virtual/any/ipv4/block/10.0.0.28-30"), state("pending"));
    let unfinished =
        UnfinishedAffinity { owner: Owner::Virtual("any".to_owned()), block: absent, state: AffinityState::Pending };
    it.objects.assert_finds(&[(unfinished, Passing)]);
}

#[test]
fn handles() {
    let mut it = planted();
    it.objects.put(&format!("{IPAM}/handle/net.c9"), json!({ "block": {} }));
    it.objects.assert_finds(&[(EmptyHandle { handle: "net.c9".to_owned() }, Leak)]);

    let entry = HandleEntry { handle: "net.c1".to_owned(), entry: "junk".to_owned() };
    planted().change("/handle/net.c1", |it| it["block"]["junk"] = json!(1), &[(entry, Passing)]);

    for counted in [2, i64::MAX] {
        let it = planted();
        let (handle, block, counted, held) = it.counts(counted, 1);
        let found = CountsTooMuch { handle, block, counted, held };
        it.change("/handle/net.c1", |it| it["block"][block.to_string()] = json!(counted), &[(found, Leak)]);
    }
    let it = planted();
    let block: IpNetwork = "10.0.0.28/30".parse().unwrap();
    let found = CountsTooMuch { handle: "net.c1".to_owned(), block, counted: 1, held: 0 };
    it.change("/handle/net.c1", |it| it["block"]["10.0.0.29/30"] = json!(1), &[(found, Leak)]);

    let it = planted();
    let (handle, block, counted, held) = it.counts(0, 1);
    let found = CountsTooLittle { handle, block, counted, held };
    let forget = |it: &mut Value| it["block"].as_object_mut().unwrap().retain(|entry, _| *entry != block.to_string());
    it.change("/handle/net.c1", forget, &[(found, Danger)]);

    // In a block of each family.
    let mut it = planted();
    it.objects.remove("/handle/net.c1");
    let six = it.objects.at("/assignment/ipv6/")["cidr"].as_str().unwrap().parse().unwrap();
    let missing = |block| (MissingHandle { handle: "net.c1".to_owned(), block, held: 1 }, Danger);
    it.objects.assert_finds(&[missing(it.block), missing(six)]);
}

#[test]
fn a_handle_ends_at_a_carriage_return() {
    planted().change(BLOCK, |block| block["attributes"][0]["handle_id"] = json!("net.c1\r\nx"), &[]);
}

/// Windows' mark and no handle at all name no object.
#[test]
fn allocations_without_a_handle() {
    for attribute in [json!({}), json!({ "handle_id": "windows-reserved-ipam-handle" })] {
        let reserve = |block: &mut Value| {
            block["allocations"][2] = json!(2);
            block["attributes"].as_array_mut().unwrap().push(attribute);
            block["unallocated"] = json!([3]);
        };
        planted().change(BLOCK, reserve, &[]);
    }
}

#[test]
fn uses_of_addresses() {
    let other = |networks: Value| {
        let mut it = planted();
        let (path, object, key) = endpoint("c2", "node-1", networks);
        it.objects.put(&path, object);
        (it, User::Endpoint(key))
    };
    let (it, _) = other(json!(["192.0.2.1/32"]));
    it.objects.assert_finds(&[]);
    let (it, user) = other(json!(["10.0.0.31/32"]));
    let address: IpAddr = "10.0.0.31".parse().unwrap();
    it.objects.assert_finds(&[(NotAllocated { address, user }, Danger)]);

    // As another has the tunnel's address, both follow: it is doubled, and not the container's.
    let tunnel = planted().tunnel;
    let (it, user) = other(json!([format!("{tunnel}/32")]));
    let handle = "ipip-tunnel-addr-node-1".to_owned();
    let of_node = User::Tunnel { node: "node-1".to_owned(), tunnel: Tunnel::Ipip };
    let another = AllocatedToAnother { address: tunnel, user: user.clone(), handle };
    let doubled = DoubledAddress { address: tunnel, users: vec![user, of_node.clone()] };
    it.objects.assert_finds(&[(another, Danger), (doubled, Danger)]);

    // One container with two endpoints on its address.
    let address = planted().address;
    let (mut it, user) = other(json!([format!("{address}/32")]));
    it.objects.at("cni-c2")["spec"]["containerID"] = json!("c1");
    let (_, _, first) = endpoint("c1", "node-1", json!([]));
    let users = vec![User::Endpoint(first), user];
    it.objects.assert_finds(&[(DoubledAddress { address, users }, Danger)]);

    // Another sandbox than the one it is allocated to.
    let it = planted();
    let (_, _, key) = endpoint("c1", "node-1", json!([]));
    let users = [
        it.address,
        it.objects.clone().at("/assignment/ipv6/")["cidr"].as_str().unwrap().parse::<IpNetwork>().unwrap().ip(),
    ];
    let another = users.map(|address| {
        let user = User::Endpoint(key.clone());
        (AllocatedToAnother { address, user, handle: "net.c1".to_owned() }, Danger)
    });
    it.change("/workloadendpoints/", |it| it["spec"]["containerID"] = json!("c9"), &another);

    // In use by a node's tunnel and free.
    let it = planted();
    let (address, user) =
        ("10.0.0.31".parse().unwrap(), User::Tunnel { node: "node-1".to_owned(), tunnel: Tunnel::Vxlan });
    let vxlan = |it: &mut Value| it["spec"]["ipv4VXLANTunnelAddr"] = json!("10.0.0.31");
    it.change("/nodes/node-1", vxlan, &[(NotAllocated { address, user }, Danger)]);
}

/// Of a pod, the sandbox may change; a virtual machine moves.
#[test]
fn allocations_to_pods_and_virtual_machines() {
    let with = |attribute: Value, spec: Option<Value>, expected: &dyn Fn(&Planted) -> Vec<(Finding, Class)>| {
        let mut it = planted();
        let handle = attribute["handle_id"].as_str().unwrap().to_owned();
        let path = it.objects.path("/handle/net.c1");
        let counted = it.objects.0.remove(&path).unwrap();
        it.objects.put(&format!("{IPAM}/handle/{handle}"), counted);
        it.objects.at(BLOCK)["attributes"][0] = attribute.clone();
        it.objects.at("/assignment/ipv6/")["attributes"][0] = attribute;
        match spec {
            None => it.objects.remove("/workloadendpoints/"),
            Some(spec) => {
                let endpoint = it.objects.at("/workloadendpoints/");
                endpoint["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
            }
        }
        let mut expected = expected(&it);
        expected.sort();
        it.objects.assert_finds(&expected);
    };
    let both = |it: &Planted| {
        let six: IpNetwork = it.objects.clone().at("/assignment/ipv6/")["cidr"].as_str().unwrap().parse().unwrap();
        [it.address, six.ip()]
    };
    let nothing = |_: &Planted| vec![];
    let pod =
        json!({ "handle_id": "net.old", "secondary": { "pod": "web", "namespace": "default", "node": "node-1" } });
    with(pod.clone(), Some(json!({ "pod": "web", "containerID": "new" })), &nothing);
    with(pod.clone(), None, &|it: &Planted| {
        both(it).map(|address| (Leaked { address, handle: "net.old".to_owned() }, Leak)).into()
    });
    let legacy = json!({ "handle_id": "default.web" });
    with(legacy, Some(json!({ "pod": "web", "containerID": "new" })), &nothing);
    let machine = json!({
        "handle_id": "net.vmi.default.vm1", "secondary": { "pod": "virt-launcher-a" },
        "alternateOwnerAttrs": { "pod": "virt-launcher-b" }
    });
    with(machine.clone(), Some(json!({ "pod": "virt-launcher-b", "containerID": "new" })), &nothing);
    with(machine, None, &nothing);
    let service = json!({ "handle_id": "lb-x.y", "secondary": { "type": "LoadBalancer", "service": "web" } });
    with(service, None, &nothing);
    with(json!({ "handle_id": "by-hand" }), None, &nothing);
}

#[test]
fn a_container_without_an_endpoint() {
    let mut it = planted();
    let (path, object, _) = endpoint("c2", "node-1", json!([]));
    let address = it.address;
    let leaked = |address| (Leaked { address, handle: "net.c1".to_owned() }, Leak);
    let six = it.objects.at("/assignment/ipv6/")["cidr"].as_str().unwrap().parse::<IpNetwork>().unwrap().ip();
    it.objects.remove("/workloadendpoints/");
    it.objects.assert_finds(&[leaked(address), leaked(six)]);
    // One that cannot be read may be its.
    it.objects.put(&path, object);
    it.objects.assert_finds(&[leaked(address), leaked(six)]);
    *it.objects.at("/workloadendpoints/") = json!(1);
    assert!(matches!(it.objects.audit().as_slice(), [Malformed { .. }]));
}

#[test]
fn nodes_that_do_not_exist() {
    let mut it = planted();
    it.objects.at(BLOCK)["attributes"][0]["secondary"]["node"] = json!("gone");
    let unknown = AllocationOfUnknownNode { address: it.address, node: "gone".to_owned() };
    it.objects.assert_finds(&[(unknown, Leak)]);

    let mut it = planted();
    let (path, object, key) = endpoint("c2", "gone", json!([]));
    it.objects.put(&path, object);
    it.objects.assert_finds(&[(EndpointOfUnknownNode { endpoint: key, node: "gone".to_owned() }, Leak)]);
}

#[test]
fn tunnels() {
    let mut it = planted();
    let path = it.objects.path("/handle/ipip-tunnel-addr-node-1");
    let counted = it.objects.0.remove(&path).unwrap();
    it.objects.put(&format!("{IPAM}/handle/ipip-tunnel-addr-gone.example"), counted);
    it.objects.at(BLOCK)["attributes"][1] = json!({
        "handle_id": "ipip-tunnel-addr-gone.example", "secondary": { "node": "gone.example", "type": "ipipTunnelAddress" }
    });
    it.objects.at("/nodes/node-1")["spec"] = json!({});
    let unknown = TunnelOfUnknownNode { address: it.tunnel, tunnel: Tunnel::Ipip, node: "gone.example".to_owned() };
    it.objects.assert_finds(&[(unknown, Leak)]);

    for named in [None, Some("192.0.2.1".to_owned())] {
        let it = planted();
        let elsewhere = TunnelElsewhere {
            address: it.tunnel,
            tunnel: Tunnel::Ipip,
            node: "node-1".to_owned(),
            named: named.clone(),
        };
        let name = |it: &mut Value| it["spec"]["bgp"]["ipv4IPIPTunnelAddr"] = json!(named);
        it.change("/nodes/node-1", name, &[(elsewhere, Leak)]);
    }

    let fields = [
        (Tunnel::Vxlan, "vxlan-tunnel-addr-", json!({ "ipv4VXLANTunnelAddr": "ADDRESS" })),
        (Tunnel::VxlanV6, "vxlan-v6-tunnel-addr-", json!({ "ipv6VXLANTunnelAddr": "ADDRESS" })),
        (Tunnel::Wireguard, "wireguard-tunnel-addr-", json!({ "wireguard": { "interfaceIPv4Address": "ADDRESS" } })),
        (
            Tunnel::WireguardV6,
            "wireguard-v6-tunnel-addr-",
            json!({ "wireguard": { "interfaceIPv6Address": "ADDRESS" } }),
        ),
    ];
    for (tunnel, prefix, spec) in fields {
        let mut it = planted();
        let handle = format!("{prefix}node-1");
        let path = it.objects.path("/handle/ipip-tunnel-addr-node-1");
        let counted = it.objects.0.remove(&path).unwrap();
        it.objects.put(&format!("{IPAM}/handle/{handle}"), counted);
        it.objects.at(BLOCK)["attributes"][1] = json!({ "handle_id": handle });
        it.objects.at("/nodes/node-1")["spec"] = json!({});
        let node = "node-1".to_owned();
        let elsewhere = TunnelElsewhere { address: it.tunnel, tunnel, node, named: None };
        it.objects.assert_finds(&[(elsewhere, Leak)]);
        let spec = spec.to_string().replace("ADDRESS", &it.tunnel.to_string());
        it.objects.at("/nodes/node-1")["spec"] = serde_json::from_str(&spec).unwrap();
        it.objects.assert_finds(&[]);
    }
}
