//! What operators apply: a real API server takes it, stores what the established implementation stores, refuses what
//! nobody can use, and gives the plugin exactly its rights.

use std::collections::BTreeSet;

use e2e::{ApiGroup, ControlPlane, ControlPlaneOptions, PLUGIN_ACCOUNT, Refusal, kubernetes_version};
use serde_json::{Value, json};

/// Custom resources that the established implementation stored in `crd.projectcalico.org/v1`, without what the server
/// sets.
const RECORDED: &str = include_str!("../fixtures/kubernetes-objects.json");
const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

fn path(group: ApiGroup, object: &Value) -> (String, String) {
    let kind = object["kind"].as_str().unwrap();
    let (plural, _) = group.resources().into_iter().find(|(_, other)| *other == kind).unwrap();
    let collection = group.path(plural);
    let object = format!("{collection}/{}", object["metadata"]["name"].as_str().unwrap());
    (collection, object)
}

/// The recorded object as it is in a group.
fn in_group(group: ApiGroup, recorded: &Value) -> Value {
    let mut object = recorded.clone();
    object["apiVersion"] = json!(group.version());
    if group == ApiGroup::V3 {
        match object["kind"].as_str() {
            Some("IPAMConfig") => object["kind"] = json!("IPAMConfiguration"),
            Some("BlockAffinity") => object["spec"]["deleted"] = json!(object["spec"]["deleted"] == "true"),
            _ => {}
        }
    }
    object
}

fn conditions(definition: &Value) -> Vec<(&str, &str)> {
    let list = definition["status"]["conditions"].as_array().into_iter().flatten();
    list.filter_map(|condition| Some((condition["type"].as_str()?, condition["status"].as_str()?))).collect()
}

#[test]
fn definitions_are_accepted_strictly_and_established() {
    let plane = ControlPlane::with(ControlPlaneOptions { resources: None, ..ControlPlaneOptions::default() });
    assert_eq!(plane.admin().get("/version").unwrap()["gitVersion"], format!("v{}", kubernetes_version()));
    let rights = concat!(env!("CARGO_MANIFEST_DIR"), "/../manifests/rbac");
    let folders = ApiGroup::ALL.map(|group| group.definitions().to_string_lossy().into_owned());
    let apply = ["apply", "--server-side", "--validate=strict", "-f", &folders[0], "-f", &folders[1], "-f", rights];
    let first = plane.kubectl(&apply);
    assert_eq!(first.lines().count(), 14 + 6, "{first}");
    plane.kubectl(&["wait", "--for=condition=Established", "--timeout=60s", "crd", "--all"]);

    let definitions = plane.admin().list(DEFINITIONS).unwrap();
    let mut found = BTreeSet::new();
    for definition in &definitions {
        let conditions = conditions(definition);
        for expected in ["Established", "NamesAccepted"] {
            assert!(conditions.contains(&(expected, "True")), "{definition:#}");
        }
        assert!(!conditions.iter().any(|(kind, _)| *kind == "NonStructuralSchema"), "{definition:#}");
        assert_eq!(definition["spec"]["scope"], "Cluster");
        let spec = &definition["spec"];
        let version = format!("{}/{}", spec["group"].as_str().unwrap(), spec["versions"][0]["name"].as_str().unwrap());
        let [plural, kind] = ["plural", "kind"].map(|name| spec["names"][name].as_str().unwrap().to_owned());
        found.insert((version, plural, kind));
    }
    let resources = |group: ApiGroup| {
        let names = group.resources().into_iter();
        names.map(move |(plural, kind)| (group.version().to_owned(), plural.to_owned(), kind.to_owned()))
    };
    let expected: BTreeSet<(String, String, String)> = ApiGroup::ALL.into_iter().flat_map(resources).collect();
    assert_eq!(found, expected);

    // Once more: nothing changes, and nothing is in conflict.
    let again = plane.kubectl(&[&apply[..], &["-o", "name"]].concat());
    assert_eq!(again.lines().count(), 14 + 6);
    let unchanged = plane.admin().list(DEFINITIONS).unwrap();
    let generations =
        |list: &[Value]| list.iter().map(|object| object["metadata"]["generation"].clone()).collect::<Vec<_>>();
    assert_eq!(generations(&unchanged), generations(&definitions));
}

#[test]
fn recorded_objects_are_stored_as_they_are() {
    let recorded: Vec<Value> = serde_json::from_str(RECORDED).unwrap();
    let kinds: BTreeSet<&str> = recorded.iter().filter_map(|object| object["kind"].as_str()).collect();
    let stored = ["BlockAffinity", "ClusterInformation", "IPAMBlock", "IPAMConfig", "IPAMHandle", "IPPool"];
    assert_eq!(kinds, BTreeSet::from(stored));
    for group in ApiGroup::ALL {
        let plane = ControlPlane::shared(group);
        // They are of different moments.
        plane.end_unaudited();
        for object in &recorded {
            let object = in_group(group, object);
            let (collection, path) = path(group, &object);
            // The same object was recorded more than once, after several steps.
            match plane.admin().create(&collection, &object) {
                Ok(_) => {}
                Err(Refusal { code: 409, .. }) => {
                    let revision = plane.admin().get(&path).unwrap()["metadata"]["resourceVersion"].clone();
                    let mut changed = object.clone();
                    changed["metadata"]["resourceVersion"] = revision;
                    plane.admin().update(&path, &changed).unwrap_or_else(|e| panic!("{path}: {e}"));
                }
                Err(refusal) => panic!("{path}: {refusal}"),
            }
            let read = plane.admin().get(&path).unwrap();
            let mut spec = object["spec"].clone();
            if group == ApiGroup::V3 && object["kind"] == "IPAMConfiguration" {
                // What nobody has set has a default there.
                spec["maxBlocksPerHost"] = json!(0);
            }
            assert_eq!(read["spec"], spec, "{path}");
            for part in ["name", "labels", "annotations"] {
                assert_eq!(read["metadata"][part], object["metadata"][part], "{path}");
            }
        }
    }
}

#[test]
fn fields_and_numbers_beyond_the_schema_are_kept() {
    for group in ApiGroup::ALL {
        let plane = ControlPlane::shared(group);
        plane.end_unaudited();
        let block = json!({
            "cidr": "10.0.0.0/30", "affinity": "virtual:load-balancer", "affinityClaimTime": "2026-01-02T03:04:05Z",
            "allocations": [0, null, null, 1], "unallocated": [2, 1], "strictAffinity": false, "deleted": false,
            "attributes": [
                {"handle_id": "k8s-pod-network.vmi.ns.vm", "secondary": {"pod": "a"}, "alternateOwnerAttrs": {"pod": "b"}},
                {"releasedAt": "2026-01-02T03:04:05Z", "later": {"deep": [1]}}
            ],
            // The greatest there is.
            "sequenceNumber": i64::MAX, "sequenceNumberForAllocation": {"0": i64::MAX - 1, "3": 0},
            "laterField": {"x": [1.5, null]}
        });
        assert_eq!(plane.put("ipamblocks", "10-0-0-0-30", block.clone())["spec"], block, "{group:?}");
        for (plural, spec) in [
            ("ippools", json!({"cidr": "10.0.0.0/16", "nodeSelector": "all()", "later": {"x": 1}})),
            ("ipreservations", json!({"reservedCIDRs": ["10.0.0.1/32", "fd00::/64"], "later": true})),
            ("ipamhandles", json!({"handleID": "K.1", "block": {"10.0.0.0/30": 2}, "deleted": true, "later": "x"})),
            ("clusterinformations", json!({"datastoreReady": false, "clusterType": "k8s", "later": []})),
        ] {
            assert_eq!(plane.put(plural, "object", spec.clone())["spec"], spec, "{group:?} {plural}");
        }
        // What nobody has set is every node.
        assert_eq!(plane.put("ippools", "short", json!({"cidr": "10.1.0.0/16"}))["spec"]["nodeSelector"], "all()");
    }
}

/// Objects that are refused: the resource, what is wrong, and a part of what the server says.
fn bad(group: ApiGroup) -> Vec<(&'static str, Value, &'static str)> {
    let affinity = |changes: Value| {
        let deleted = if group == ApiGroup::V3 { json!(false) } else { json!("false") };
        let base =
            json!({"state": "confirmed", "node": "n", "type": "host", "cidr": "10.0.0.0/26", "deleted": deleted});
        e2e::changed(base, changes)
    };
    let block = |changes: Value| {
        let base = json!({
            "cidr": "10.0.0.0/30", "allocations": [null], "unallocated": [0], "attributes": [], "strictAffinity": false
        });
        e2e::changed(base, changes)
    };
    let settings = |changes: Value| e2e::changed(json!({"strictAffinity": false, "autoAllocateBlocks": true}), changes);
    let settings_plural = group.resources()[3].0;
    let mut list = vec![
        ("blockaffinities", affinity(json!({"state": "claimed"})), "spec.state: Unsupported value"),
        ("blockaffinities", affinity(json!({"type": "rack"})), "spec.type: Unsupported value"),
        ("blockaffinities", affinity(json!({"cidr": "10.0.0.0"})), "spec.cidr in body must be of type cidr"),
        ("blockaffinities", affinity(json!({"deleted": 1})), "spec.deleted"),
        (
            "clusterinformations",
            json!({"datastoreReady": "yes"}),
            "spec.datastoreReady in body must be of type boolean",
        ),
        ("ipamblocks", block(json!({"cidr": "ten"})), "spec.cidr in body must be of type cidr"),
        ("ipamblocks", block(json!({"allocations": ["0"]})), "spec.allocations[0] in body must be of type integer"),
        ("ipamblocks", block(json!({"allocations": null})), "spec.allocations: Required value"),
        ("ipamblocks", block(json!({"strictAffinity": null})), "spec.strictAffinity: Required value"),
        ("ipamblocks", block(json!({"unallocated": [-1]})), "spec.unallocated[0] in body should be greater than"),
        ("ipamblocks", block(json!({"attributes": [{"secondary": {"pod": 1}}]})), "spec.attributes[0].secondary.pod"),
        ("ipamblocks", block(json!({"sequenceNumber": 1.5})), "spec.sequenceNumber in body must be of type integer"),
        (settings_plural, settings(json!({"maxBlocksPerHost": -1})), "spec.maxBlocksPerHost"),
        (settings_plural, settings(json!({"ipCooldownSeconds": 1201})), "less than or equal to 1200"),
        (settings_plural, settings(json!({"kubeVirtVMAddressPersistence": "On"})), "Unsupported value"),
        ("ipamhandles", json!({"handleID": "h"}), "spec.block: Required value"),
        ("ipamhandles", json!({"handleID": "h", "block": {"10.0.0.0/30": "1"}}), "must be of type integer"),
        ("ipreservations", json!({"reservedCIDRs": ["10.0.0.1"]}), "must be of type cidr"),
    ];
    if group == ApiGroup::V3 {
        list.push(("ipamblocks", block(json!({"affinity": "node1"})), "spec.affinity in body should match"));
        list.push((settings_plural, settings(json!({"maxBlocksPerHost": 1_000_001})), "less than or equal to 1000000"));
    } else {
        list.push((settings_plural, json!({}), "spec.autoAllocateBlocks: Required value"));
        list.push(("blockaffinities", affinity(json!({"deleted": "maybe"})), "spec.deleted: Unsupported value"));
        list.push(("blockaffinities", affinity(json!({"deleted": null})), "spec.deleted: Required value"));
    }
    list
}

/// Pools that are refused.
fn bad_pools() -> Vec<(Value, &'static str)> {
    vec![
        (json!({"blockSize": 26}), "spec.cidr: Required value"),
        (json!({"cidr": "10.0.0.0"}), "must be of type cidr"),
        (json!({"cidr": "10.0.0.1/16"}), "IPPool CIDR must be strictly masked"),
        (json!({"cidr": "fd00::1/64"}), "IPPool CIDR must be strictly masked"),
        (json!({"cidr": "169.254.1.0/24"}), "overlaps with IPv4 link local range 169.254.0.0/16"),
        (json!({"cidr": "169.0.0.0/8"}), "overlaps with IPv4 link local range 169.254.0.0/16"),
        (json!({"cidr": "fe80:1::/64"}), "overlaps with IPv6 link local range fe80::/10"),
        (json!({"cidr": "10.0.0.0/16", "blockSize": 19}), "blockSize must be between 20 and 32"),
        (json!({"cidr": "10.0.0.0/16", "blockSize": 33}), "blockSize must be between 20 and 32"),
        (json!({"cidr": "fd00::/64", "blockSize": 115}), "blockSize must be between 20 and 32"),
        (json!({"cidr": "fd00::/64", "blockSize": 129}), "less than or equal to 128"),
        (json!({"cidr": "10.0.0.0/27"}), "IP pool size is too small"),
        (json!({"cidr": "fd00::/123"}), "IP pool size is too small"),
        (json!({"cidr": "10.0.0.0/24", "blockSize": 23}), "IP pool size is too small"),
        (json!({"cidr": "10.0.0.0/16", "ipipMode": "always"}), "spec.ipipMode: Unsupported value"),
        (json!({"cidr": "10.0.0.0/16", "ipipMode": "Always", "vxlanMode": "CrossSubnet"}), "cannot both be enabled"),
        (json!({"cidr": "fd00::/64", "ipipMode": "Always"}), "IPIP is not supported on IPv6 pools"),
        (json!({"cidr": "10.0.0.0/16", "nodeSelector": "global()"}), "not valid for IPPool nodeSelector"),
        (json!({"cidr": "10.0.0.0/16", "namespaceSelector": "global()"}), "not valid for IPPool namespaceSelector"),
        (json!({"cidr": "10.0.0.0/16", "allowedUses": ["Nothing"]}), "Unsupported value"),
        (json!({"cidr": "10.0.0.0/16", "allowedUses": ["Tunnel"], "namespaceSelector": "all()"}), "AllowedUse Tunnel"),
        (json!({"cidr": "10.0.0.0/16", "allowedUses": ["LoadBalancer", "Workload"]}), "cannot be combined"),
        (json!({"cidr": "10.0.0.0/16", "allowedUses": ["LoadBalancer"], "vxlanMode": "Always"}), "IPIP or VXLAN"),
        (json!({"cidr": "10.0.0.0/16", "allowedUses": ["LoadBalancer"], "disableBGPExport": true}), "BGP export"),
        (json!({"cidr": "10.0.0.0/16", "allowedUses": ["LoadBalancer"], "nodeSelector": "a == 'b'"}), "set to all()"),
        (json!({"cidr": "10.0.0.0/16", "assignmentMode": "Never"}), "spec.assignmentMode: Unsupported value"),
    ]
}

#[test]
fn what_nobody_can_use_is_refused() {
    for group in ApiGroup::ALL {
        let plane = ControlPlane::shared(group);
        let pools = bad_pools().into_iter().map(|(spec, reason)| ("ippools", spec, reason));
        for (plural, spec, reason) in bad(group).into_iter().chain(pools) {
            let (_, kind) = group.resources().into_iter().find(|(other, _)| *other == plural).unwrap();
            let object = json!({
                "apiVersion": group.version(), "kind": kind, "metadata": {"name": "bad"}, "spec": spec
            });
            match plane.admin().create(&group.path(plural), &object) {
                Err(refusal) => {
                    assert_eq!(refusal.code, 422, "{object}: {refusal}");
                    assert!(refusal.message.contains(reason), "{reason:?} is not what is said of {object}: {refusal}");
                }
                Ok(stored) => panic!("{reason:?} was not seen: {stored}"),
            }
        }
        // Beside them, pools that only look odd.
        for (name, spec) in [
            ("small-but-disabled", json!({"cidr": "10.2.0.0/27", "disabled": true})),
            ("one-address", json!({"cidr": "10.3.0.1/32", "blockSize": 32})),
            ("size-not-chosen", json!({"cidr": "fd01::/122", "blockSize": 0})),
            ("balancer", json!({"cidr": "10.4.0.0/24", "allowedUses": ["LoadBalancer"], "assignmentMode": "Manual"})),
        ] {
            plane.put("ippools", name, spec);
        }
    }
}

#[test]
fn a_pool_has_a_status() {
    let status = json!({"conditions": [{
        "type": "Allocatable", "status": "False", "reason": "CIDROverlap", "message": "", "later": 1,
        "lastTransitionTime": "2026-01-02T03:04:05Z"
    }]});
    for group in ApiGroup::ALL {
        let plane = ControlPlane::shared(group);
        let mut pool = plane.put("ippools", "pool", json!({"cidr": "10.0.0.0/16"}));
        pool["status"] = status.clone();
        // In v3 it is for controllers, in v1 it is a field like any other.
        let suffix = if group == ApiGroup::V3 { "/status" } else { "" };
        let path = format!("{}/pool", plane.collection("ippools"));
        plane.admin().update(&format!("{path}{suffix}"), &pool).unwrap();
        assert_eq!(plane.admin().get(&path).unwrap()["status"], status);
    }
}

/// One right: verb, group, resource.
type Right = (String, String, String);

fn rights(verbs: &[&str], groups: &[&str], resources: &[&str]) -> Vec<Right> {
    let mut rights = Vec::new();
    for verb in verbs {
        for group in groups {
            rights.extend(resources.iter().map(|&r| ((*verb).to_owned(), (*group).to_owned(), r.to_owned())));
        }
    }
    rights
}

#[test]
fn the_plugin_has_its_rights_and_no_others() {
    let plane = ControlPlane::shared(ApiGroup::Crd);
    let client = plane.client_of("kube-system", PLUGIN_ACCOUNT);
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview", "spec": {"namespace": "default"}
    });
    let answer = client.create("/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", &review).unwrap();
    assert_eq!(answer["status"]["incomplete"], false, "{answer}");
    let mut found = BTreeSet::new();
    for rule in answer["status"]["resourceRules"].as_array().unwrap() {
        assert!(rule["resourceNames"].is_null(), "{rule}");
        let texts = |field: &str| -> Vec<&str> {
            rule[field].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
        };
        found.extend(rights(&texts("verbs"), &texts("apiGroups"), &texts("resources")));
    }
    let groups = ["projectcalico.org", "crd.projectcalico.org"];
    let addresses = [
        "blockaffinities",
        "ipamblocks",
        "ipamhandles",
        "clusterinformations",
        "ippools",
        "ipreservations",
        "ipamconfigurations",
        "ipamconfigs",
    ];
    let mut expected = rights(&["get"], &[""], &["pods", "nodes", "namespaces"]);
    expected.extend(rights(&["patch"], &[""], &["pods/status"]));
    expected.extend(rights(&["get", "list", "create", "update", "delete"], &groups, &addresses));
    expected.extend(rights(&["get"], &["kubevirt.io"], &["virtualmachineinstances", "virtualmachines"]));
    // Everybody may ask what they may do.
    let reviews = ["selfsubjectaccessreviews", "selfsubjectrulesreviews"];
    expected.extend(rights(&["create"], &["authorization.k8s.io"], &reviews));
    expected.extend(rights(&["create"], &["authentication.k8s.io"], &["selfsubjectreviews"]));
    assert_eq!(found, expected.into_iter().collect::<BTreeSet<_>>());
}

#[test]
fn the_plugin_can_do_its_requests() {
    let plane = ControlPlane::shared(ApiGroup::Crd);
    // The pod's address is written down without being allocated.
    plane.end_unaudited();
    plane.seed(&["node-1"]);
    plane.create_namespace("shop");
    plane.create_pod("node-1", "shop", "web", &json!({"labels": {"app": "web"}}));
    let mark = plane.mark();
    let client = plane.client_of("kube-system", PLUGIN_ACCOUNT);
    let pod = "/api/v1/namespaces/shop/pods/web";
    for path in [pod, "/api/v1/nodes/node-1", "/api/v1/namespaces/shop"] {
        client.get(path).unwrap();
    }
    let annotated = json!({"metadata": {"annotations": {"cni.projectcalico.org/podIP": "10.65.0.1/32"}}});
    client.patch(&format!("{pod}/status"), &annotated).unwrap();
    assert_eq!(client.list(&plane.collection("ippools")).unwrap().len(), 2);
    assert_eq!(client.patch(pod, &annotated).unwrap_err().code, 403);
    assert_eq!(client.list("/api/v1/nodes").unwrap_err().code, 403);
    assert_eq!(client.list("/api/v1/namespaces/shop/pods").unwrap_err().code, 403);
    assert_eq!(client.get("/api/v1/namespaces/kube-system/secrets/any").unwrap_err().reason, "Forbidden");
    assert_eq!(client.delete(&plane.collection("ippools")).unwrap_err().code, 403);
    assert_eq!(client.get(&format!("{}?watch=true", plane.collection("ippools"))).unwrap_err().code, 403);

    let events = plane.audit_of_plugin(mark);
    let codes: Vec<(&str, u16)> = events.iter().map(|event| (event.verb.as_str(), event.code)).collect();
    let expected = [
        ("get", 200),
        ("get", 200),
        ("get", 200),
        ("patch", 200),
        ("list", 200),
        ("patch", 403),
        ("list", 403),
        ("list", 403),
        ("get", 403),
        ("deletecollection", 403),
    ];
    assert_eq!(codes, expected, "{events:#?}");
    assert_eq!((events[0].uri.as_str(), events[0].agent.as_str()), (pod, "e2e"));
    assert!(events.iter().all(|event| event.received < event.answered), "{events:#?}");
}
