//! The faults, by name.

use serde_json::json;

use crate::cluster::Objects;
use crate::site::*;

type Plant = Box<dyn Fn(&mut Objects)>;

/// A fault, and what is to be made of it.
pub struct Fault {
    pub name: &'static str,
    pub plant: Plant,
    /// What an audit finds, in this order.
    pub found: Vec<String>,
    /// What is planned.
    pub repairs: Vec<String>,
    /// Why what is left is left.
    pub left: Vec<&'static str>,
    /// Which objects are changed: parts of their paths.
    pub changed: Vec<String>,
}

fn fault(name: &'static str, plant: impl Fn(&mut Objects) + 'static) -> Fault {
    let plant = Box::new(plant);
    Fault { name, plant, found: Vec::new(), repairs: Vec::new(), left: Vec::new(), changed: Vec::new() }
}

impl Fault {
    fn found(mut self, text: impl Into<String>) -> Fault {
        self.found.push(text.into());
        self
    }

    fn repaired(mut self, text: impl Into<String>, changed: &[&str]) -> Fault {
        self.repairs.push(text.into());
        self.changed.extend(changed.iter().map(|part| (*part).to_owned()));
        self
    }

    fn left(mut self, why: &'static str) -> Fault {
        self.left.push(why);
        self
    }
}

const UNFINISHED: &str = "The owner's next allocation finishes it.";
const BLOCK_IN_USE: &str = "Addresses in the block are in use, may be, or rest for a while after their release.";
const RELEASE_NODE: &str = "Release what the node has with calicoctl, if it is gone for good.";

pub fn all(site: &Site) -> Vec<Fault> {
    let (one, two, three) = (site.block("node-1", 6), site.block("node-2", 6), site.block("node-3", 6));
    let (one_path, two_path, three_path) = (block_path(one), block_path(two), block_path(three));
    let (two_v4, three_v4) = (site.block("node-2", 4), site.block("node-3", 4));
    let (two_v4_path, three_v4_path) = (block_path(two_v4), block_path(three_v4));
    let at = |handle: &str| site.address(handle);
    let leak = |number: u8| {
        format!("{} is allocated to net.c{number}, which has no endpoint with it", at(&format!("net.c{number}")))
    };
    let no_endpoint = |it: &mut Objects, number: u8| it.remove(&format!("cni-c{number}-"));
    let stamp = |it: &mut Objects, path: &str, handle: &str, time: &str| {
        let attributes = it.at(path)["attributes"].as_array_mut().unwrap();
        let of_handle = attributes.iter_mut().find(|it| it["handle_id"] == handle).unwrap();
        of_handle["secondary"]["timestamp"] = json!(time);
    };
    let counted = |number: u8, count: i64, block| {
        format!("handle net.c{number} counts {count} addresses in block {block}, and has")
    };
    let mut faults = Vec::new();

    let release = |number: u8| {
        let handle = format!("net.c{number}");
        let address = at(&handle);
        format!("release {address}, allocated to {handle}, and delete the handle {handle}, which then counts nothing")
    };
    let (path, one_block) = (one_path.clone(), one_path.as_str());
    faults.push(
        fault("a leaked address", move |it| no_endpoint(it, 1))
            .found(leak(1))
            .repaired(release(1), &[one_block, "/handle/net.c1"]),
    );
    let young = calico_model::timestamp::go_text(later() - std::time::Duration::from_secs(299));
    let at_path = path.clone();
    faults.push(
        fault("a leak that may be an ADD in progress", move |it| {
            no_endpoint(it, 2);
            stamp(it, &at_path, "net.c2", &young);
        })
        .found(leak(2))
        .left("minutes ago: its container may be starting."),
    );
    let at_path = path.clone();
    faults.push(
        fault("a leak of unknown age", move |it| {
            no_endpoint(it, 3);
            stamp(it, &at_path, "net.c3", "soon");
        })
        .found(leak(3))
        .left("which is no time: it may have been just now."),
    );
    let [first, second] = site.addresses("net.c4").try_into().unwrap();
    faults.push(
        fault("an address that its container's endpoint lacks", move |it| {
            it.at("cni-c4-")["spec"]["ipNetworks"] = json!([format!("{first}/128")]);
        })
        .found(format!("{second} is allocated to net.c4, which has no endpoint with it"))
        .left("Its container has an endpoint, with other addresses."),
    );
    faults.push(
        fault("a handle that counts nothing", |it| {
            it.put(&handle_path("net.e5"), json!({ "block": {}, "deleted": false }));
        })
        .found("handle net.e5 counts nothing")
        .repaired("delete the handle net.e5, which then counts nothing", &["/handle/net.e5"]),
    );
    faults.push(
        fault("an entry that is no block", |it| it.at("/handle/net.c6")["block"]["junk"] = json!(1))
            .found("handle net.c6 names the block \"junk\", which is no CIDR")
            .repaired(format!("make the handle net.c6 count 1 in {one}"), &["/handle/net.c6"]),
    );
    faults.push(
        fault("a handle that counts too much", move |it| {
            it.at("/handle/net.c7")["block"][one.to_string()] = json!(3);
        })
        .found(format!("{} 1 there", counted(7, 3, one)))
        .repaired(format!("make the handle net.c7 count 1 in {one}"), &[one_block, "/handle/net.c7"]),
    );
    faults.push(
        fault("a handle that counts in a block that does not exist", |it| {
            it.put(&handle_path("net.e8"), counts("fd01::f0/124", 1));
        })
        .found("handle net.e8 counts 1 addresses in block fd01::f0/124, and has 0 there")
        .repaired("delete the handle net.e8, which then counts nothing", &["/handle/net.e8"]),
    );
    faults.push(
        fault("a handle that counts too little", move |it| {
            it.at("/handle/net.c9")["block"][one.to_string()] = json!(1);
        })
        .found(format!("{} 2 there", counted(9, 1, one)))
        .repaired(format!("make the handle net.c9 count 2 in {one}"), &["/handle/net.c9"]),
    );
    faults.push(
        fault("a handle that is missing", |it| it.remove("/handle/net.c10"))
            .found(format!("block {two} has 1 addresses of handle net.c10, which does not exist"))
            .repaired(format!("create the handle net.c10, which counts 1 in {two}"), &["/handle/net.c10"]),
    );
    faults.push(
        fault("a virtual machine's handle that counts too much", move |it| {
            it.put(&handle_path("net.vmi.default.vm"), counts(&one.to_string(), 1));
        })
        .found(format!("handle net.vmi.default.vm counts 1 addresses in block {one}, and has 0 there"))
        .left("Several hosts write a virtual machine's handle: it is left to them."),
    );
    let confirmed = || json!({ "state": "confirmed", "deleted": false });
    let path = affinity_path("node-2", "fd01::e0/124".parse().unwrap());
    faults.push(
        fault("an affinity without a block", move |it| it.put(&path, confirmed()))
            .found("host:node-2 has an affinity to block fd01::e0/124, which does not exist")
            .repaired(
                "delete the affinity of host:node-2 to block fd01::e0/124",
                &["/host/node-2/ipv6/block/fd01::e0"],
            ),
    );
    let path = affinity_path("node-2", one);
    faults.push(
        fault("two affinities to one block", {
            let path = path.clone();
            move |it| it.put(&path, confirmed())
        })
        .found(format!("host:node-2 has an affinity to block {one}, which names host:node-1"))
        .found(format!("host:node-1 and host:node-2 have an affinity to block {one}"))
        .repaired(format!("delete the affinity of host:node-2 to block {one}"), &[&path]),
    );
    let path = affinity_path("gone", "fd01::f0/124".parse().unwrap());
    faults.push(
        fault("an unfinished affinity of a node that is gone", move |it| it.put(&path, json!({ "state": "pending" })))
            .found("the affinity of host:gone to block fd01::f0/124 is not confirmed but pending")
            .found("node gone, which does not exist, has an affinity to block fd01::f0/124")
            .repaired("delete the affinity of host:gone to block fd01::f0/124", &["/host/gone/ipv6/block/fd01::f0"]),
    );
    let of_gone = move |it: &mut Objects, cidr: &str, block| {
        let cidr = cidr.parse().unwrap();
        it.put(&block_path(cidr), block);
        it.put(&affinity_path("gone", cidr), confirmed());
    };
    let gone_has = |cidr: &str| {
        [
            format!("block {cidr} belongs to node gone, which does not exist"),
            format!("node gone, which does not exist, has an affinity to block {cidr}"),
        ]
    };
    let give_up = |cidr: &str| {
        format!("delete block {cidr}, in which nothing is in use then, and the affinity of host:gone to it")
    };
    let [block, affinity] = gone_has("fd01::d0/124");
    faults.push(
        fault("an empty block of a node that is gone", move |it| {
            of_gone(it, "fd01::d0/124", empty_block("fd01::d0/124", Some("gone")));
        })
        .found(block)
        .found(affinity)
        .repaired(give_up("fd01::d0/124"), &["fd01::d0-124"]),
    );
    let [block, affinity] = gone_has("fd01::c0/124");
    faults.push(
        fault("a block of a node that is gone, with a leaked address", move |it| {
            of_gone(it, "fd01::c0/124", used_block("fd01::c0/124", "gone", "net.g1", "gone"));
            it.put(&handle_path("net.g1"), counts("fd01::c0/124", 1));
        })
        .found(block)
        .found(affinity)
        .found("fd01::c0 is allocated to net.g1, which has no endpoint with it")
        .found("fd01::c0 is allocated on node gone, which does not exist")
        .repaired(
            "release fd01::c0, allocated to net.g1, and delete the handle net.g1, which then counts nothing",
            &["/handle/net.g1"],
        )
        .repaired(give_up("fd01::c0/124"), &["fd01::c0-124"]),
    );
    let [block, affinity] = gone_has("fd01::b0/124");
    faults.push(
        fault("a block of a node that is gone, with an endpoint", move |it| {
            of_gone(it, "fd01::b0/124", used_block("fd01::b0/124", "gone", "net.g2", "gone"));
            it.put(&handle_path("net.g2"), counts("fd01::b0/124", 1));
            let (path, object) = endpoint("g2", "gone", &["fd01::b0/128"]);
            it.put(&path, object);
        })
        .found(block)
        .found(affinity)
        .found("fd01::b0 is allocated on node gone, which does not exist")
        .found("WorkloadEndpoint(default/node--1-cni-g2-eth0) is on node gone, which does not exist")
        .left(BLOCK_IN_USE)
        .left(BLOCK_IN_USE)
        .left(RELEASE_NODE)
        .left("Delete the endpoint and release its addresses, if the node is gone for good."),
    );
    let path = affinity_path("node-2", "fd01::f0/124".parse().unwrap());
    faults.push(
        fault("an unfinished affinity", move |it| it.put(&path, json!({ "state": "pending" })))
            .found("the affinity of host:node-2 to block fd01::f0/124 is not confirmed but pending")
            .left(UNFINISHED),
    );
    faults.push(
        fault("a block without its owner's affinity", |it| {
            it.put(&block_path("fd01::a0/124".parse().unwrap()), empty_block("fd01::a0/124", Some("node-2")));
        })
        .found("block fd01::a0/124 names host:node-2, which has no affinity to it")
        .left("The owner takes the block up again when it looks for a new one."),
    );
    let path = two_v4_path.clone();
    faults.push(
        fault("an attribute that no address has", move |it| {
            it.at(&path)["attributes"].as_array_mut().unwrap().insert(0, json!({ "handle_id": "net.x" }));
            it.at(&path)["allocations"][0] = json!(1);
        })
        .found(format!("block {two_v4}: no address is allocated to attribute 0"))
        .repaired(format!("rewrite block {two_v4} without attributes that no address has"), &[&two_v4_path]),
    );
    let (path, lost) = (
        two_path.clone(),
        calico_model::cidr::from_number(calico_model::IpVersion::V6, calico_model::cidr::to_number(two.ip()) + 7)
            .unwrap(),
    );
    faults.push(
        fault("an address that is neither allocated nor free", move |it| {
            it.at(&path)["unallocated"].as_array_mut().unwrap().retain(|ordinal| *ordinal != 7);
        })
        .found(format!("block {two}: ordinal 7 is neither allocated nor unallocated"))
        .repaired(format!("free {lost}, and rewrite block {two} without attributes that no address has"), &[&two_path]),
    );
    let (path, dangling) = (
        three_path.clone(),
        calico_model::cidr::from_number(calico_model::IpVersion::V6, calico_model::cidr::to_number(three.ip()) + 5)
            .unwrap(),
    );
    faults.push(
        fault("an address that is allocated to nobody", move |it| {
            let block = it.at(&path);
            block["unallocated"].as_array_mut().unwrap().retain(|ordinal| *ordinal != 5);
            block["allocations"][5] = json!(9);
        })
        .found(format!("block {three}: ordinal 5 points to an attribute that does not exist"))
        .repaired(
            format!("free {dangling}, and rewrite block {three} without attributes that no address has"),
            &[&three_path],
        ),
    );
    faults.push(
        fault("an address that is in use, and neither allocated nor free", move |it| {
            let mut block = empty_block("fd01::90/124", Some("node-3"));
            block["unallocated"].as_array_mut().unwrap().remove(0);
            let cidr = "fd01::90/124".parse().unwrap();
            it.put(&block_path(cidr), block);
            it.put(&affinity_path("node-3", cidr), confirmed());
            let (path, object) = endpoint("u", "node-3", &["fd01::90/128"]);
            it.put(&path, object);
        })
        .found("block fd01::90/124: ordinal 0 is neither allocated nor unallocated")
        .found("fd01::90 is in use by WorkloadEndpoint(default/node--1-cni-u-eth0), and not allocated")
        .left("fd01::90 is in use.")
        .left("Restart its user before somebody else is given the address."),
    );
    let path = three_v4_path.clone();
    faults.push(
        fault("a block that contradicts itself", move |it| {
            let block = it.at(&path);
            block["unallocated"] = json!([1, 2, 3, 3]);
            block["attributes"].as_array_mut().unwrap().push(json!({}));
        })
        .found(format!("block {three_v4}: ordinal 3 is unallocated twice"))
        .found(format!("block {three_v4}: no address is allocated to attribute 1"))
        .left("Nothing is allocated from the block until it is repaired by hand, from the endpoints' addresses.")
        .left("The block contradicts itself in other ways, too: repair that first."),
    );
    let tunnel = "ipip-tunnel-addr-node-1";
    faults.push(
        fault("a tunnel's address of a node that is gone", move |it| {
            let cidr = "10.1.0.28/30".parse().unwrap();
            it.put(&block_path(cidr), used_block("10.1.0.28/30", "node-3", "ipip-tunnel-addr-gone", "gone"));
            it.put(&affinity_path("node-3", cidr), confirmed());
            it.put(&handle_path("ipip-tunnel-addr-gone"), counts("10.1.0.28/30", 1));
        })
        .found("10.1.0.28 is allocated for the IPIP tunnel of node gone, which does not exist")
        .repaired(
            "release 10.1.0.28, allocated to ipip-tunnel-addr-gone, and delete the handle ipip-tunnel-addr-gone, which then counts nothing",
            &["10.1.0.28-30", "/handle/ipip-tunnel-addr-gone"],
        ),
    );
    faults.push(
        fault("a tunnel's address that its node does not name", |it| it.at("/nodes/node-1")["spec"] = json!({}))
            .found(format!(
                "{} is allocated for the IPIP tunnel of node node-1, which names no address for it",
                at(tunnel)
            ))
            .left("Release the address with calicoctl, if the node's tunnel does not have it."),
    );
    faults
}
