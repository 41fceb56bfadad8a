//! What is wrong with manifests, rights and datastores, and what is said of it.

use e2e::Ctl;
use serde_json::json;

use crate::inputs;

const HEAD: &str = "apiVersion: projectcalico.org/v3\n";

#[test]
fn mistakes_are_named_with_file_document_and_field() {
    let ctl = Ctl::on_local();
    let pool = format!("{HEAD}kind: IPPool\nmetadata:\n  name: good\nspec:\n  cidr: 10.1.0.0/16\n");
    for (text, expected) in [
        (
            format!("{HEAD}kind: IPPol\nmetadata: {{name: x}}\n"),
            vec!["unknown resource type (IPPol)", "in.yaml, document 2", "did you mean IPPool?"],
        ),
        (
            "apiVersion: projectcalico.org/v1\nkind: IPPool\n".to_owned(),
            vec!["version (projectcalico.org/v1)", "apiVersion must be projectcalico.org/v3"],
        ),
        (
            format!("{HEAD}kind: IPPool\nmetadata: {{name: x}}\nspec:\n  cidr: 10.2.0.0/16\n  natoutgoin: true\n"),
            vec![
                "wrong location: natoutgoin",
                "in.yaml, document 2, line 13: spec.natoutgoin: did you mean natOutgoing?",
            ],
        ),
        (
            format!("{HEAD}kind: IPPool\nmetadata: {{name: x}}\nspec: {{cidr: 10.2.0.0/16, blockSize: big}}\n"),
            vec!["expected a whole number from 0 to 128, found the text \"big\"", "spec.blockSize"],
        ),
        (
            format!("{HEAD}kind: IPPool\nmetadata: {{name: x}}\nspec: {{cidr: 10.2.0.0/16, cidr: 10.3.0.0/16}}\n"),
            vec!["cidr", "line"],
        ),
        (format!("{HEAD}kind: IPPool\nmetadata: [x]\n"), vec!["expected fields", "metadata"]),
        (
            format!("{HEAD}kind: IPPool\nmetadata: {{name: good}}\nspec: {{cidr: 10.2.0.0/16}}\n"),
            vec!["IPPool(good) is given twice", "in.yaml, document 1", "in.yaml, document 2", "nothing was changed"],
        ),
        ("a: [\n".to_owned(), vec!["yaml: line", "in.yaml"]),
        ("- - -\n".to_owned(), vec!["cannot unmarshal", "in.yaml, document 2"]),
    ] {
        ctl.write("in.yaml", &format!("{pool}---\n{text}"));
        let stderr = ctl.run("apply -f in.yaml").failure();
        for words in expected {
            assert!(stderr.contains(words), "{text}: no {words:?} in: {stderr}");
        }
    }
    // All of them were found before anything was stored: not even the store is there.
    assert!(!ctl.host.store_file().exists());
}

#[test]
fn of_a_half_applied_file_it_is_said_what_was_done() {
    Ctl::on_each(|ctl| {
        inputs::write(ctl);
        let said = ctl.run("create -f mixed.yaml");
        assert_eq!(said.code, 1, "{said:#?}");
        assert_eq!(said.stdout, "Partial success: created the first 1 out of 2 resources:\n  IPPool(pool9)\n");
        assert!(said.stderr.contains("mixed.yaml, document 2: IPReservation(set9)"), "{said:#?}");
        assert_eq!(ctl.succeed("get pools -o name"), "ippool/pool9\n");
    });
}

#[test]
fn what_is_wrong_is_refused_on_each_datastore() {
    Ctl::on_each(|ctl| {
        inputs::write(ctl);
        for (spec, words) in [
            (json!({"cidr": "10.0.0.1/24"}), "IPPool CIDR is not strictly masked"),
            (json!({"cidr": "x"}), "CIDR"),
            (
                json!({"cidr": "10.0.0.0/24", "ipipMode": "Always", "vxlanMode": "Always"}),
                "ipipMode and vxlanMode cannot both be enabled",
            ),
            (json!({"cidr": "10.0.0.0/24", "blockSize": 19}), "lock"),
            (json!({"cidr": "10.0.0.0/24", "nodeSelector": "a = 'b'"}), "elector"),
            (json!({"cidr": "169.254.0.0/24"}), "link local"),
            (json!({"cidr": "10.0.0.0/24", "allowedUses": ["Sleep"]}), "Sleep"),
        ] {
            let pool = json!({"apiVersion": "projectcalico.org/v3", "kind": "IPPool", "metadata": {"name": "p"}, "spec": spec});
            let stderr = ctl.feed("create -f -", &pool.to_string()).failure();
            assert!(
                stderr.starts_with("failed to create 'IPPool' resource: [") && stderr.contains(words),
                "{spec}: {stderr}"
            );
        }
        assert_eq!(ctl.json("get pools -o json")["items"], json!([]));
    });
}

#[test]
fn without_rights_it_says_so() {
    let ctl = Ctl::on_kubernetes();
    // The plugin's account may write pools, but no nodes.
    let kubeconfig = ctl.ground.plane().kubeconfig_of(e2e::PLUGIN_ACCOUNT);
    ctl.ground.plane().create_node("node-1");
    let ctl = ctl.with("KUBECONFIG", &kubeconfig.display().to_string());
    for line in ["label node node-1 a=b", "get nodes", "get profiles"] {
        let stderr = ctl.run(line).failure();
        assert!(stderr.contains("forbidden") || stderr.contains("may not"), "{line}: {stderr}");
    }
}

#[test]
fn a_store_that_is_kept_busy_ends_the_command_in_time() {
    let ctl = Ctl::on_local();
    inputs::write(&ctl);
    ctl.succeed("create -f pool.yaml");
    let other = rusqlite::Connection::open(ctl.host.store_file()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let stderr = ctl.run("--timeout=1 label pool pool1 a=b").failure();
    assert!(stderr.contains("timed out") || stderr.contains("label not changed"), "{stderr}");
    // Reading goes on.
    assert_eq!(ctl.succeed("get pool -o name"), "ippool/pool1\n");
    other.execute_batch("ROLLBACK").unwrap();
    ctl.succeed("label pool pool1 a=b");
}

#[test]
fn a_locked_datastore_does_not_hold_it_up() {
    Ctl::on_each(|ctl| {
        inputs::write(ctl);
        assert_eq!(ctl.succeed("datastore migrate lock"), "Datastore locked.\n");
        assert_eq!(ctl.json("get clusterinfo default -o json")["spec"]["datastoreReady"], false);
        ctl.succeed("create -f pool.yaml");
        // Creating did not unlock it.
        assert_eq!(ctl.json("get clusterinfo default -o json")["spec"]["datastoreReady"], false);
        assert_eq!(ctl.succeed("datastore migrate unlock"), "Datastore unlocked.\n");
        assert_eq!(ctl.json("get clusterinfo default -o json")["spec"]["datastoreReady"], true);
    });
}

#[test]
fn hostile_manifests_end_in_an_error() {
    let ctl = Ctl::on_local();
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let bomb = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e,*e,*e,*e]\n";
    let large = format!("a: {}\n", "x".repeat(11 << 20));
    for text in [deep.as_str(), bomb, &large, "\u{0}", "%TAG ! x\n", "? ? ?", "!!binary x", "{\"kind\":", "&a *a"] {
        let said = ctl.feed("apply -f -", text);
        assert_eq!(said.code, 1, "{said:?}");
        assert!(said.stderr.len() < 4096, "{} bytes", said.stderr.len());
    }
}
