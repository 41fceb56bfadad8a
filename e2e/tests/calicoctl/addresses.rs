//! The commands about addresses, on each datastore.

use calico_model::kubernetes::{Group, encode, place};
use calico_model::{Key, Object};
use e2e::{Answer, Ctl, Ground, executable};
use serde_json::{Value, json};

use crate::inputs;

pub const IPAM: &str = "/calico/ipam/v2";

/// Stores an object under its path as in etcd, behind everybody's back.
pub fn plant(ctl: &Ctl, path: &str, value: Value) {
    match &ctl.ground {
        Ground::Local => {
            let store = rusqlite::Connection::open(ctl.host.store_file()).unwrap();
            store.execute("UPDATE counter SET revision = revision + 1", ()).unwrap();
            let put = "INSERT OR REPLACE INTO objects SELECT ?1, ?2, revision FROM counter";
            store.execute(put, (path, value.to_string())).unwrap();
        }
        Ground::Etcd(etcd) => etcd.put(path, &value.to_string()),
        Ground::Kubernetes(plane) => {
            let key = Key::parse(path).unwrap();
            let object = Object::parse(&key, value.to_string().as_bytes()).unwrap();
            let place = place(Group::V1, &key).unwrap();
            let text = encode(Group::V1, &key, &object, None, None).unwrap();
            let whole: Value = serde_json::from_str(&text).unwrap();
            plane.put(place.plural, &place.name, whole["spec"].clone());
        }
    }
}

/// A block of a node's with these addresses in use, by ordinal, with handle and pod; assigned long ago.
pub fn block(cidr: &str, node: &str, used: &[(usize, &str, &str)]) -> Value {
    let size = 1 << (32 - cidr.split_once('/').unwrap().1.parse::<u32>().unwrap());
    let mut allocations = vec![Value::Null; size];
    let mut attributes = Vec::new();
    for (ordinal, handle, pod) in used {
        allocations[*ordinal] = json!(attributes.len());
        attributes.push(json!({"handle_id": handle, "secondary": {
            "namespace": "shop", "node": node, "pod": pod, "timestamp": "2026-01-02 03:04:05 +0000 UTC"
        }}));
    }
    let free: Vec<usize> = (0..size).filter(|ordinal| allocations[*ordinal].is_null()).collect();
    json!({
        "cidr": cidr, "affinity": format!("host:{node}"), "affinity_claim_time": "2026-01-02T03:04:05Z",
        "allocations": allocations, "unallocated": free, "attributes": attributes,
        "sequenceNumber": 7, "sequenceNumberForAllocation": {}, "deleted": false
    })
}

pub fn path_of_block(cidr: &str) -> String {
    format!("{IPAM}/assignment/ipv4/block/{}", cidr.replace('/', "-"))
}

/// A cluster with a pool, two nodes, and a block of each node's, in which nothing is in use.
pub fn furnish(ctl: &Ctl) {
    inputs::write(ctl);
    ctl.succeed("create -f pool.yaml");
    for (node, cidr) in [("node-a", "10.10.174.128/26"), ("node-b", "10.10.218.64/26")] {
        match &ctl.ground {
            Ground::Kubernetes(plane) => drop(plane.create_node(node)),
            _ => {
                let node = json!({"apiVersion": "projectcalico.org/v3", "kind": "Node", "metadata": {"name": node}});
                ctl.feed("create -f -", &node.to_string()).success();
            }
        }
        plant(ctl, &path_of_block(cidr), block(cidr, node, &[]));
        let affinity = format!("{IPAM}/host/{node}/ipv4/block/{}", cidr.replace('/', "-"));
        plant(ctl, &affinity, json!({"state": "confirmed", "deleted": false}));
    }
}

pub fn handle(id: &str) -> String {
    format!("{IPAM}/handle/{id}")
}

/// The endpoint of a pod on `node-a`, whose container has the pod's name.
pub fn endpoint(ctl: &Ctl, pod: &str, address: &str) {
    let name = format!("node--a-k8s-{pod}-eth0");
    plant(
        ctl,
        &format!("/calico/resources/v3/projectcalico.org/workloadendpoints/shop/{name}"),
        json!({
            "kind": "WorkloadEndpoint", "apiVersion": "projectcalico.org/v3",
            "metadata": {"name": name, "namespace": "shop"},
            "spec": {"orchestrator": "k8s", "node": "node-a", "pod": pod, "containerID": pod, "endpoint": "eth0",
                     "ipNetworks": [format!("{address}/32")], "interfaceName": "cali1"}
        }),
    );
}

/// Has `calico-ipam` give a container of `node-a` an address.
fn assign(ctl: &Ctl) -> Answer {
    let mut netconf = e2e::dual_stack();
    match &ctl.ground {
        Ground::Local => {}
        Ground::Etcd(etcd) => netconf = etcd.configured(netconf),
        Ground::Kubernetes(plane) => netconf.as_object_mut().unwrap().extend(plane.conf()),
    }
    netconf["nodename"] = json!("node-a");
    netconf["nodename_file_optional"] = json!(true);
    netconf["ipam"] = json!({"type": "calico-ipam"});
    let call = ctl.host.call("calico-ipam", "ADD").env("CNI_CONTAINERID", "c1").env("CNI_IFNAME", "eth0");
    call.env("CNI_NETNS", "/x").stdin(&netconf.to_string()).run()
}

#[test]
fn a_healthy_cluster_has_no_problems_and_nothing_to_repair() {
    Ctl::on_each(|ctl| {
        furnish(ctl);
        let check = ctl.succeed("ipam check");
        assert!(
            check.starts_with(
                "Checking IPAM for inconsistencies...\n\nLoading all IPAM blocks...\nFound 2 IPAM blocks.\n"
            ),
            "{check}"
        );
        assert!(check.ends_with("Check complete; found 0 problems.\n"), "{check}");
        let before = ctl.stored();
        assert!(
            ctl.succeed("ipam check --fix --yes --exit-code").contains("Nothing can be repaired; 0 findings are left.")
        );
        assert_eq!(ctl.stored().0, before.0);
    });
}

#[test]
fn planted_faults_are_found_and_what_is_provably_dead_is_repaired() {
    Ctl::on_each(|ctl| {
        furnish(ctl);
        let cidr = "10.10.174.128/26";
        // A living container shows that those of its network have endpoints. In the Kubernetes API that goes without saying.
        let living: &[(usize, &str, &str)] = match &ctl.ground {
            Ground::Kubernetes(_) => &[],
            _ => {
                plant(ctl, &handle("net1.live"), json!({"block": {cidr: 1}, "deleted": false}));
                endpoint(ctl, "live", "10.10.174.128");
                &[(0, "net1.live", "live")]
            }
        };
        plant(ctl, &path_of_block(cidr), block(cidr, "node-a", living));
        let healthy = ctl.stored();
        // An address that nobody has any more, with its handle; one without a handle of that name; a handle without addresses; and
        // a claim to a block that there is not.
        plant(
            ctl,
            &path_of_block(cidr),
            block(cidr, "node-a", &[living, &[(1, "net1.gone", "web-1"), (2, "net1.lost", "web-2")]].concat()),
        );
        plant(ctl, &handle("net1.gone"), json!({"block": {cidr: 1}, "deleted": false}));
        plant(ctl, &handle("stale-handle"), json!({"block": {cidr: 1}, "deleted": false}));
        plant(
            ctl,
            &format!("{IPAM}/host/node-b/ipv4/block/10.10.9.0-26"),
            json!({"state": "confirmed", "deleted": false}),
        );
        let planted = ctl.stored();

        let said = ctl.run("ipam check --show-problem-ips --exit-code -o report.json");
        assert_eq!((said.code, said.stderr.as_str()), (3, ""), "{said:#?}");
        for words in
            ["10.10.174.129 leaked; attrs Main:net1.gone", "10.10.174.130 leaked; attrs Main:net1.lost", "10.10.9.0/26"]
        {
            assert!(said.stdout.contains(words), "no {words:?}: {}", said.stdout);
        }
        assert_eq!(ctl.run("ipam check").code, 0);
        let report: Value =
            serde_json::from_str(&std::fs::read_to_string(ctl.host.folder().join("report.json")).unwrap()).unwrap();
        assert_eq!(report["allocations"]["10.10.174.129"][0]["inUse"], false, "{report}");
        assert_eq!(report["leakedHandles"][0]["ID"], "stale-handle", "{report}");

        // Saying what could be done does nothing.
        let plan = ctl.succeed("ipam check --fix");
        assert!(plan.contains("repairs are possible") && plan.contains("Add --yes"), "{plan}");
        assert_eq!(ctl.stored().0, planted.0);
        let fixed = ctl.succeed("ipam check --fix --yes");
        assert!(fixed.contains("and are 0 now.") && !fixed.contains("skipped:"), "{fixed}");
        assert_eq!(ctl.audit(), Vec::<String>::new());
        // Nothing else was touched: the same objects as before, and all but the repaired block as they were.
        let repaired = ctl.stored();
        assert_eq!(repaired.0.keys().collect::<Vec<_>>(), healthy.0.keys().collect::<Vec<_>>());
        for (path, object) in &healthy.0 {
            assert!(&repaired.0[path] == object || *path == path_of_block(cidr), "{path}");
        }
    });
}

#[test]
fn a_young_address_without_endpoint_is_left_alone() {
    let ctl = Ctl::on_etcd();
    ctl.end_unaudited();
    furnish(&ctl);
    // What an ADD that is under way has done so far.
    assign(&ctl).result();
    let before = ctl.stored();
    assert_eq!(before.allocated(), 1);
    let fixed = ctl.succeed("ipam check --fix --yes");
    assert!(fixed.contains("Nothing can be repaired"), "{fixed}");
    assert_eq!(ctl.stored().0, before.0);
}

#[test]
fn a_report_releases_what_it_lists() {
    Ctl::on_each(|ctl| {
        furnish(ctl);
        let cidr = "10.10.174.128/26";
        plant(ctl, &path_of_block(cidr), block(cidr, "node-a", &[(1, "net1.gone", "web-1")]));
        plant(ctl, &handle("net1.gone"), json!({"block": {cidr: 1}, "deleted": false}));
        plant(ctl, &handle("stale-handle"), json!({"block": {cidr: 1}, "deleted": false}));
        ctl.succeed("ipam check -o early.json");
        let stderr = ctl.run("ipam release --from-report early.json").failure();
        assert!(
            stderr.contains("data store is not locked. Either lock the data store, or re-run with --force"),
            "{stderr}"
        );
        ctl.succeed("datastore migrate lock");
        let stderr = ctl.run("ipam release --from-report early.json").failure();
        assert!(stderr.contains("the provided reports are all stale"), "{stderr}");
        ctl.run("ipam check -o late.json");
        let released = ctl.run("ipam release --from-report early.json --from-report late.json");
        assert_eq!(
            released.stdout,
            "Releasing 1 old IPs...\nReleased 1 IPs successfully\nDeleting 1 handles...\nKey: '.' = Deleted OK; 'x' = skip, handle missing/changed.\n.\nReleased 1 handles; 0 skipped; 0 errors.\nYou may now unlock the data store.\n",
            "{released:#?}"
        );
        ctl.succeed("datastore migrate unlock");
        assert!(ctl.succeed("ipam check").ends_with("found 0 problems.\n"));
    });
}

#[test]
fn what_is_used_borrowed_and_set_is_shown() {
    Ctl::on_each(|ctl| {
        ctl.end_unaudited();
        furnish(ctl);
        let cidr = "10.10.174.128/26";
        let mut with_borrowed = block(cidr, "node-a", &[(0, "net1.cid1", "web-1"), (12, "net1.cid6", "borrow-0")]);
        with_borrowed["attributes"][1]["secondary"]["node"] = json!("node-b");
        plant(ctl, &path_of_block(cidr), with_borrowed);
        for id in ["net1.cid1", "net1.cid6"] {
            plant(ctl, &handle(id), json!({"block": {cidr: 1}, "deleted": false}));
        }
        let shown = ctl.succeed("ipam show --show-blocks");
        assert!(
            shown.contains("| IP Pool  | 10.10.0.0/16     |     65536 |     2 (0%) |       0 (0%) | 65534 (100%) |"),
            "{shown}"
        );
        assert!(
            shown.contains("| Block    | 10.10.174.128/26 |        64 |     2 (3%) |       0 (0%) |     62 (97%) |"),
            "{shown}"
        );
        assert!(!ctl.succeed("ipam show").contains("Block"));
        let shown = ctl.succeed("ipam show --show-borrowed");
        assert!(
            shown
                .contains("| 10.10.174.140 | node-b         | 10.10.174.128/26 | node-a      | pod  | shop/borrow-0 |"),
            "{shown}"
        );
        let shown = ctl.succeed("ipam show --ip 10.10.174.128");
        assert!(shown.contains("Handle ID: net1.cid1\n") && shown.contains("  pod: web-1\n"), "{shown}");

        ctl.succeed("ipam configure --strictaffinity=true --max-blocks-per-host=4 --ip-cooldown-seconds=30");
        let shown = ctl.succeed("ipam show --show-configuration");
        for row in [
            "| StrictAffinity               | true    |",
            "| MaxBlocksPerHost             | 4       |",
            "| IPCooldownSeconds            | 30      |",
        ] {
            assert!(shown.contains(row), "{shown}");
        }
        let stderr = ctl.run("ipam configure --strictaffinity=false").failure();
        assert!(stderr.starts_with("error: MaxBlocksPerHost requires StrictAffinity to be enabled"), "{stderr}");
        // On the Kubernetes API the two are one object.
        if matches!(ctl.ground, Ground::Kubernetes(_)) {
            assert_eq!(ctl.json("get ipamconfig default -o json")["spec"]["maxBlocksPerHost"], 4);
        }
        ctl.succeed("ipam configure --strictaffinity=true --max-blocks-per-host=0 --ip-cooldown-seconds=0");
        assert_eq!(ctl.succeed("ipam release --ip 10.10.174.128"), "Successfully released IP address 10.10.174.128\n");
        assert_eq!(ctl.succeed("ipam show --ip 10.10.174.128"), "10.10.174.128 is not assigned\n");
    });
}

#[test]
fn an_explanation_is_what_then_happens() {
    Ctl::on_each(|ctl| {
        ctl.end_unaudited();
        furnish(ctl);
        ctl.feed(
            "create -f -",
            &json!({
                "apiVersion": "projectcalico.org/v3", "kind": "IPPool", "metadata": {"name": "elsewhere"},
                "spec": {"cidr": "10.20.0.0/16", "nodeSelector": "has(nothing)"}
            })
            .to_string(),
        )
        .success();
        let before = ctl.stored();
        let said = ctl.run("ipam explain --node node-a");
        assert_eq!(said.code, 0, "{said:#?}");
        assert!(said.stdout.contains("10.10.174.128") && said.stdout.contains("elsewhere"), "{}", said.stdout);
        assert_eq!(ctl.stored().0, before.0, "nothing was written");
        let stderr = ctl.run("ipam explain").failure();
        assert!(stderr.contains("node-a") && stderr.contains("node-b"), "which of the nodes? {stderr}");
        let stderr = ctl.run("ipam explain --node node-a --pool elsewher").failure();
        assert!(stderr.contains("did you mean elsewhere?"), "{stderr}");
        // calico-ipam then gives just that address.
        assert_eq!(assign(ctl).address().to_string(), "10.10.174.128");
    });
}

#[test]
fn what_a_pod_asks_for_is_explained() {
    let ctl = Ctl::on_kubernetes();
    furnish(&ctl);
    let annotations = json!({"annotations": {"cni.projectcalico.org/ipv4pools": "[\"nowhere\"]"}});
    ctl.ground.plane().create_pod("node-a", "default", "picky", &annotations);
    ctl.ground.plane().create_pod("node-b", "default", "plain", &json!({}));
    let said = ctl.run("ipam explain --pod plain");
    assert!(said.code == 0 && said.stdout.contains("10.10.218.64"), "{said:#?}");
    let said = ctl.run("ipam explain --pod default/picky");
    assert!(format!("{}{}", said.stdout, said.stderr).contains("nowhere"), "{said:#?}");
    assert!(ctl.run("ipam explain --pod nobody").failure().contains("nobody"));
}

#[test]
fn a_pool_is_split_while_the_datastore_is_locked() {
    Ctl::on_each(|ctl| {
        furnish(ctl);
        let stderr = ctl.run("ipam split 4 --name pool1").failure();
        assert!(stderr.contains("datastore is not locked"), "{stderr}");
        ctl.succeed("datastore migrate lock");
        let stderr = ctl.run("ipam split 3 --name pool1").failure();
        assert!(stderr.contains("not a valid power of 2: 3"), "{stderr}");
        assert_eq!(
            ctl.json("get pool pool1 -o json")["spec"]["disabled"],
            Value::Null,
            "a mistake leaves the pool as it is"
        );
        ctl.succeed("ipam split 4 --cidr 10.10.0.0/16");
        let names = ctl.succeed("get pools -o custom-columns=NAME,CIDR,NAT,DISABLED");
        assert_eq!(names.matches("split-pool1-").count(), 4, "{names}");
        assert!(names.contains("split-pool1-3   10.10.192.0/18   true   false"), "{names}");
        ctl.succeed("datastore migrate unlock");
        assert!(ctl.succeed("ipam check").ends_with("found 0 problems.\n"));
    });
}

#[test]
fn the_executable_is_static_and_small_enough_to_copy() {
    let bytes = std::fs::read(executable("calicoctl")).unwrap();
    // No interpreter: it runs on any host.
    assert!(!bytes.windows(8).any(|window| window == b"ld-linux") && bytes.len() < 16 << 20, "{} bytes", bytes.len());
}
