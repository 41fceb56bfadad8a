//! Storing and showing objects, on each datastore.

use e2e::recording::Recording;
use e2e::{ApiGroup, Ctl, Ground};
use serde_json::{Value, json};

use crate::inputs;

/// The kinds, and whether `calicoctl` may write them on the Kubernetes API.
const KINDS: [&str; 8] = [
    "blockaffinities",
    "clusterinformations",
    "ipamconfigurations",
    "ippools",
    "ipreservations",
    "nodes",
    "profiles",
    "workloadendpoints",
];

/// Makes nodes: with kubectl's means where they are Kubernetes'.
fn make_nodes(ctl: &Ctl, names: &[&str]) {
    for name in names {
        match &ctl.ground {
            Ground::Kubernetes(plane) => drop(plane.create_node(name)),
            _ => {
                let node = json!({"apiVersion": "projectcalico.org/v3", "kind": "Node", "metadata": {"name": name}});
                ctl.feed("create -f -", &node.to_string()).success();
            }
        }
    }
}

/// Makes an object of each kind.
fn furnish(ctl: &Ctl) {
    inputs::write(ctl);
    ctl.succeed("create -f pool.yaml");
    ctl.succeed("create -f pool6.yaml");
    ctl.run("apply -f settings.yaml");
    ctl.succeed("apply -f claim.yaml");
    match &ctl.ground {
        Ground::Kubernetes(plane) => {
            make_nodes(ctl, &["node-a", "node-b"]);
            plane.create_pod("node-a", "default", "web-0", &json!({"labels": {"app": "web"}}));
        }
        _ => {
            ctl.succeed("apply -f nodes.yaml");
            ctl.succeed("apply -f profile.yaml");
        }
    }
}

/// An object without its version.
fn unversioned(mut object: Value) -> Value {
    object["metadata"].as_object_mut().map(|metadata| metadata.remove("resourceVersion"));
    object
}

#[test]
fn what_get_prints_is_applied_unchanged() {
    Ctl::on_each(|ctl| {
        ctl.end_unaudited();
        furnish(ctl);
        for kind in KINDS {
            let all = if kind == "workloadendpoints" { " -A" } else { "" };
            let before = ctl.json(&format!("get {kind}{all} -o json"));
            let items = before["items"].as_array().expect("a list has items");
            assert!(!items.is_empty(), "there are no {kind}");
            for form in ["yaml", "json"] {
                let text = ctl.succeed(&format!("get {kind}{all} -o {form}"));
                let said = ctl.feed("apply -f -", &text);
                match kind {
                    "clusterinformations" => assert!(said.stderr.contains("resource is readonly"), "{said:#?}"),
                    _ => {
                        assert_eq!((said.code, said.stdout.starts_with("Successfully applied")), (0, true), "{said:#?}")
                    }
                }
            }
            assert_eq!(ctl.json(&format!("get {kind}{all} -o json")), before, "applying {kind} changed something");
            // Each by its name, too.
            for item in items {
                let name = item["metadata"]["name"].as_str().expect("an object has a name");
                let namespace =
                    item["metadata"]["namespace"].as_str().map(|it| format!(" -n {it}")).unwrap_or_default();
                assert_eq!(&ctl.json(&format!("get {kind} {name}{namespace} -o json")), item);
            }
        }
    });
}

#[test]
fn objects_are_created_changed_and_deleted() {
    Ctl::on_each(|ctl| {
        inputs::write(ctl);
        ctl.succeed("create -f pool.yaml");
        let pool = |ctl: &Ctl| ctl.json("get pool pool1 -o json");
        assert_eq!(pool(ctl)["spec"]["ipipMode"], "CrossSubnet");
        // What is like its manifest already is not written.
        let version = pool(ctl)["metadata"]["resourceVersion"].clone();
        ctl.succeed("apply -f pool.yaml");
        assert_eq!(pool(ctl)["metadata"]["resourceVersion"], version);
        ctl.succeed(r#"patch ippools pool1 -p {"spec":{"ipipMode":"Never","vxlanMode":"Always"}} -t merge"#);
        ctl.succeed(
            r#"patch ippools pool1 --type json -p [{"op":"replace","path":"/spec/natOutgoing","value":false}]"#,
        );
        assert_eq!(
            (&pool(ctl)["spec"]["vxlanMode"], &pool(ctl)["spec"]["natOutgoing"]),
            (&json!("Always"), &Value::Null)
        );
        ctl.succeed("label ippool pool1 zone=a");
        assert_eq!(pool(ctl)["metadata"]["labels"], json!({"zone": "a"}));
        ctl.succeed("replace -f pool.yaml");
        assert_eq!(
            (&pool(ctl)["spec"]["vxlanMode"], &pool(ctl)["metadata"]["labels"]),
            (&json!("Never"), &Value::Null)
        );
        // A version that is not the stored one.
        let mut stale = pool(ctl);
        stale["metadata"]["resourceVersion"] = json!("1");
        stale["spec"]["disabled"] = json!(true);
        for verb in ["apply", "replace", "delete"] {
            let stderr = ctl.feed(&format!("{verb} -f -"), &stale.to_string()).failure();
            assert!(stderr.contains("update conflict: IPPool(pool1)"), "{verb}: {stderr}");
        }
        stale["metadata"]["resourceVersion"] = pool(ctl)["metadata"]["resourceVersion"].clone();
        ctl.feed("replace -f -", &stale.to_string()).success();
        assert_eq!(pool(ctl)["spec"]["disabled"], true);
        assert_eq!(ctl.succeed("delete -f pool.yaml"), "Successfully deleted 1 'IPPool' resource(s)\n");
        assert_eq!(ctl.json("get pools -o json")["items"], json!([]));
        assert_eq!(ctl.succeed("get pools"), "NAME   CIDR   SELECTOR   \n\n");
    });
}

#[test]
fn the_newer_custom_resources_are_written_as_well() {
    let ctl = Ctl::on_kubernetes_of(ApiGroup::V3);
    inputs::write(&ctl);
    ctl.ground.plane().create_node("node-b");
    ctl.succeed("create -f pool.yaml -f pool6.yaml");
    ctl.succeed("apply -f claim.yaml");
    ctl.succeed("ipam configure --strictaffinity=true");
    ctl.succeed("label pool pool1 a=b");
    // What a controller holds it by stays.
    let path = format!("{}/pool1", ctl.ground.plane().collection("ippools"));
    let held = json!({"metadata": {"finalizers": ["projectcalico.org/ippool-finalizer"]}});
    ctl.ground.plane().admin().patch(&path, &held).unwrap();
    ctl.succeed(r#"patch pool pool1 -p {"spec":{"natOutgoing":false}}"#);
    ctl.succeed("apply -f pool.yaml");
    let pool = ctl.json("get pool pool1 -o json");
    assert_eq!(pool["metadata"]["finalizers"], held["metadata"]["finalizers"], "{pool}");
    for kind in ["blockaffinities", "ipamconfigurations", "ippools", "ipreservations", "nodes"] {
        let before = ctl.json(&format!("get {kind} -o json"));
        assert!(!before["items"].as_array().unwrap().is_empty(), "{kind}");
        ctl.feed("apply -f -", &ctl.succeed(&format!("get {kind} -o yaml"))).success();
        assert_eq!(ctl.json(&format!("get {kind} -o json")), before);
    }
    ctl.succeed("delete ipreservation resv1");
    ctl.succeed("delete blockaffinity node-b-10-10-3-0-26");
}

#[test]
fn the_forms_and_choices_of_get() {
    Ctl::on_each(|ctl| {
        inputs::write(ctl);
        ctl.succeed("create -f pool.yaml -f pool6.yaml");
        ctl.succeed("label pool pool6 rack=r1");
        assert_eq!(ctl.succeed("get pool -o name"), "ippool/pool1\nippool/pool6\n");
        assert_eq!(ctl.succeed("get pool -o name --selector rack=r1"), "ippool/pool6\n");
        assert_eq!(ctl.succeed("get pool -o name --selector !has(rack)"), "ippool/pool1\n");
        assert_eq!(
            ctl.succeed("get pool -o custom-columns=CIDR,NAME"),
            "CIDR           NAME    \n10.10.0.0/16   pool1   \nfd00:10::/64   pool6   \n\n"
        );
        assert_eq!(ctl.succeed("get -f pool6.yaml -o name"), "ippool/pool6\nipreservation/resv1\n");
        assert!(ctl.succeed("get pools pool1 pool6").matches("NAME").count() == 1, "one table");
        let exported = ctl.json("get pools -o json --export");
        for item in exported["items"].as_array().unwrap() {
            let metadata: Vec<&String> = item["metadata"].as_object().unwrap().keys().collect();
            assert!(metadata.iter().all(|field| ["name", "labels"].contains(&field.as_str())), "{metadata:?}");
        }
        // Restored elsewhere, or here after a loss.
        ctl.succeed("delete pools pool1 pool6");
        ctl.feed("create -f -", &exported.to_string()).success();
        assert_eq!(ctl.json("get pools -o json --export")["items"], exported["items"]);
    });
}

#[test]
fn folders_lists_and_streams_are_manifests() {
    let ctl = Ctl::on_local();
    let pool = |number: u8| {
        format!(
            "apiVersion: projectcalico.org/v3\nkind: IPPool\nmetadata:\n  name: p{number}\nspec:\n  cidr: 10.{number}.0.0/16\n"
        )
    };
    ctl.write("all/1.yaml", &format!("# Whose it is.\n---\n{}---\n{}---\n", pool(1), pool(2)));
    ctl.write("all/2.JSON", &json!([{"apiVersion": "projectcalico.org/v3", "kind": "IPPool", "metadata": {"name": "p3"}, "spec": {"cidr": "10.3.0.0/16"}}]).to_string());
    ctl.write("all/readme.txt", "no manifest");
    ctl.write("all/below/4.yml", &pool(4));
    assert_eq!(ctl.succeed("create -f all"), "Successfully created 3 'IPPool' resource(s)\n");
    assert_eq!(ctl.succeed("create -f all -R --skip-exists"), "Successfully created 4 'IPPool' resource(s)\n");
    assert_eq!(ctl.succeed("get pools -o name"), "ippool/p1\nippool/p2\nippool/p3\nippool/p4\n");
    ctl.write("none/readme.txt", "no manifest");
    assert_eq!(ctl.run("create -f none").failure(), "no resources specified in directory none\n");
    assert_eq!(ctl.succeed("create -f none --skip-empty"), "No resources specified\n");
    let list = ctl.succeed("get pools -o yaml");
    assert_eq!(ctl.feed("validate -f -", &list).success(), "Successfully validated 4 'IPPool' resource(s)\n");
    assert_eq!(ctl.feed("delete -f -", &list).success(), "Successfully deleted 4 'IPPool' resource(s)\n");
}

#[test]
fn fields_of_other_releases_are_shown_and_stay() {
    let ctl = Ctl::on_etcd();
    inputs::write(&ctl);
    ctl.succeed("create -f pool.yaml");
    let path = "/calico/resources/v3/projectcalico.org/ippools/pool1";
    let mut stored: Value = serde_json::from_str(&ctl.ground.etcd().dump()[path]).unwrap();
    stored["spec"]["future"] = json!({"number": 9_007_199_254_740_993_u64});
    ctl.ground.etcd().put(path, &stored.to_string());
    let future = |ctl: &Ctl| ctl.json("get pool pool1 -o json")["spec"]["future"]["number"].clone();
    for change in [
        "apply -f pool.yaml",
        "replace -f pool.yaml",
        "label pool pool1 a=b",
        r#"patch pool pool1 -p {"spec":{"natOutgoing":false}}"#,
    ] {
        ctl.succeed(change);
        assert_eq!(future(&ctl), json!(9_007_199_254_740_993_u64), "after {change}");
    }
    // In a manifest it may as well be a mistake.
    let text = ctl.succeed("get pool pool1 -o yaml");
    assert!(ctl.feed("apply -f -", &text).failure().contains("not recognized or is in the wrong location: future"));
    ctl.feed("apply --keep-unknown-fields -f -", &text).success();
    assert_eq!(future(&ctl), json!(9_007_199_254_740_993_u64));
}

#[test]
fn the_objects_of_recorded_runs_are_shown_and_applied_without_a_difference() {
    for scenario in ["add-del-1.0.0", "dual-stack", "options", "kubernetes/etcd-policy"] {
        let recording = Recording::load(scenario);
        let ctl = Ctl::on_etcd();
        ctl.end_unaudited();
        let of_etcd = |path: &str| path.starts_with("/calico/");
        for (path, text) in recording.steps[0].after.iter().filter(|(path, _)| of_etcd(path)) {
            ctl.ground.etcd().put(path, text);
        }
        let before = ctl.ground.etcd().dump();
        let mut objects = 0;
        for kind in KINDS.into_iter().filter(|kind| *kind != "clusterinformations") {
            let all = if kind == "workloadendpoints" { " -A" } else { "" };
            let shown = ctl.json(&format!("get {kind}{all} -o json"));
            objects += shown["items"].as_array().map_or(0, Vec::len);
            for form in ["json", "yaml"] {
                let text = ctl.succeed(&format!("get {kind}{all} -o {form}"));
                if !shown["items"].as_array().is_none_or(Vec::is_empty) {
                    ctl.feed("apply -f -", &text).success();
                }
            }
        }
        assert!(objects >= 5, "{scenario}: {objects} objects");
        let mut after = ctl.ground.etcd().dump();
        // The first write gives the cluster an identity.
        let path = "/calico/resources/v3/projectcalico.org/clusterinformations/default";
        after.insert(path.to_owned(), before[path].clone());
        assert_eq!(after, before, "{scenario}");
    }
}

#[test]
fn a_deleted_node_and_a_deleted_pool_leave_nothing() {
    let ctl = Ctl::on_etcd();
    ctl.ground.etcd().seed(&["node-1", "node-2"]);
    let netconf = {
        let mut netconf = ctl.ground.etcd().configured(e2e::dual_stack());
        netconf["nodename_file_optional"] = json!(true);
        netconf
    };
    let container = ctl.host.container("abcdef0123456789");
    container.add(&netconf).run().result();
    assert_eq!(ctl.stored().allocated(), 2);
    ctl.succeed("delete node node-1");
    assert_eq!((ctl.stored().allocated(), ctl.stored().endpoints().len()), (0, 0));
    assert_eq!(ctl.json("get blockaffinities -o json")["items"], json!([]));
    assert_eq!(ctl.audit(), Vec::<String>::new());
    container.del(&netconf).run();

    ctl.succeed("delete pools pool4 pool6");
    assert!(ctl.stored().blocks().is_empty(), "{:?}", ctl.stored().blocks());
}

#[test]
fn an_absent_store_is_made_by_who_writes_only() {
    let ctl = Ctl::on_local();
    inputs::write(&ctl);
    let stderr = ctl.run("get pools").failure();
    assert!(stderr.contains("there is no store") && stderr.contains("/var/lib/calico/calico.db"), "{stderr}");
    assert!(!ctl.host.store_file().exists());
    ctl.succeed("create -f pool.yaml");
    assert!(ctl.host.store_file().exists());
    let information = ctl.json("get clusterinfo default -o json");
    assert_eq!(information["spec"]["clusterGUID"].as_str().map(str::len), Some(32), "{information}");
    assert_eq!(unversioned(information)["spec"]["datastoreReady"], true);
    // The same by option, whatever is configured.
    let other = Ctl::on_local().without("DATASTORE_TYPE").with("ETCD_ENDPOINTS", "http://127.0.0.1:1");
    inputs::write(&other);
    other.succeed("create --local -f pool.yaml");
    assert_eq!(other.succeed("get pools -o name --local=/var/lib/calico/calico.db"), "ippool/pool1\n");
}
