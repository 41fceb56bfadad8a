//! What a plugin is given, and what becomes of its answer.

use e2e::Place;
use serde_json::{Value, json};

use crate::{ONE_ADDRESS, Scripted};

/// White space, an unknown key, the same key twice, and numbers that no type of ours holds.
const STDIN: &str =
    "{ \"cniVersion\":\"1.0.0\", \"name\":\"net1\",\n\t\"type\":\"calico\",\"datastore_type\":\"local\",
    \"nodename\":\"node-1\",\"ipam\":{\"type\":\"scripted\",\"future\":[18446744073709551616,1.50,-0],\"x\":1,\"x\":2},
    \"big\":123456789012345678901234567890, \"text\":\"\\u00e9<&>\" }\n\n";

fn assert_stdin_is_handed_on(verb: &str) {
    let scripted = Scripted::new(ONE_ADDRESS);
    let container = scripted.host.container("c1");
    scripted.add(&container).stdin(STDIN).run().result();
    scripted.del(&container).stdin(STDIN).run().result();
    assert_eq!(scripted.noted(&format!("stdin.{verb}")), STDIN);
    scripted.host.assert_nothing_left();
}

#[test]
fn stdin_is_handed_on_byte_for_byte() {
    assert_stdin_is_handed_on("ADD");
    assert_stdin_is_handed_on("DEL");
}

#[test]
fn the_environment_is_kept_but_for_the_command_and_the_arguments() {
    for (given, seen) in [("", "IgnoreUnknown=1"), ("IgnoreUnknown=0;A=b", "IgnoreUnknown=1;IgnoreUnknown=0;A=b")] {
        let scripted = Scripted::new(ONE_ADDRESS);
        let container = scripted.host.container("c1");
        // The last IgnoreUnknown counts, so that the rest must be known.
        let given = if given.is_empty() { "" } else { &given.replace("A=b", "IgnoreUnknown=1;A=b") };
        let seen = seen.replace("A=b", "IgnoreUnknown=1;A=b");
        for (verb, call) in [("ADD", scripted.add(&container)), ("DEL", scripted.del(&container))] {
            let call = call.env("CNI_ARGS", given).env("OF_THE_RUNTIME", "a b=c").env("CNI_NETNS_OVERRIDE", "0");
            call.run().result();
            let noted = scripted.noted(&format!("environment.{verb}"));
            let mut variables: Vec<&str> = noted.lines().collect();
            variables.sort_unstable();
            let expected = [
                format!("CNI_ARGS={seen}"),
                format!("CNI_COMMAND={verb}"),
                "CNI_CONTAINERID=c1".to_owned(),
                "CNI_IFNAME=eth0".to_owned(),
                "CNI_NETNS=/var/run/netns/c1".to_owned(),
                "CNI_NETNS_OVERRIDE=0".to_owned(),
                format!("CNI_PATH={}", scripted.folder.display()),
                "OF_THE_RUNTIME=a b=c".to_owned(),
            ];
            assert_eq!(variables, expected);
        }
    }
}

#[test]
fn routes_and_dns_are_passed_on_and_gateways_are_not() {
    let answer = json!({
        "cniVersion": "1.0.0",
        "interfaces": [{"name": "of-the-plugin"}],
        "ips": [
            {"address": "10.9.0.5/24", "gateway": "10.9.0.1", "interface": 0},
            {"address": "10.9.0.6/16"},
            {"address": "fd09::5/64", "gateway": "fd09::1"},
        ],
        "routes": [{"dst": "0.0.0.0/0"}, {"dst": "10.0.0.0/8", "gw": "10.9.0.1"}, {"dst": "fd00::/8"}],
        "dns": {"nameservers": ["10.0.0.53"], "domain": "a.b", "search": ["c.d"], "options": ["ndots:5"]},
    });
    let scripted = Scripted::new(&format!("echo '{answer}'"));
    let container = scripted.host.container("c1");
    let mut result = scripted.add(&container).run().result();
    let interfaces = result["interfaces"].take();
    assert_eq!((&interfaces[0]["name"], &interfaces[1]["name"]), (&json!("calic1"), &json!("eth0")));
    let ip = |address: &str| json!({"address": address, "interface": 1});
    assert_eq!(
        result,
        json!({
            "cniVersion": "1.0.0",
            "interfaces": null,
            "ips": [ip("10.9.0.5/32"), ip("10.9.0.6/32"), ip("fd09::5/128")],
            "routes": answer["routes"],
            "dns": answer["dns"],
        })
    );
    let addresses = container.ip("-brief address show dev eth0");
    for address in ["10.9.0.5/32", "10.9.0.6/32", "fd09::5/128"] {
        assert!(addresses.contains(address), "{address}: {addresses}");
    }
    assert_eq!(container.ip("-4 route show default").trim(), "default via 169.254.1.1 dev eth0");
    assert!(scripted.host.ping("10.9.0.6") && scripted.host.ping("fd09::5"));
    let stored = scripted.host.stored();
    let endpoint: &Value = stored.with("/workloadendpoints/").into_values().next().unwrap();
    assert_eq!(endpoint["spec"]["ipNetworks"], json!(["10.9.0.5/32", "10.9.0.6/32", "fd09::5/128"]));
    scripted.del(&container).run().result();
    scripted.host.assert_nothing_left();
}

#[test]
fn an_answer_may_be_of_another_version_than_the_one_asked_for() {
    let families = r#"{"cniVersion":"0.2.0","ip4":{"ip":"10.9.0.5/24","routes":[{"dst":"10.0.0.0/8"}]},"dns":{}}"#;
    let lists = r#"{"cniVersion":"0.4.0","ips":[{"version":"4","address":"10.9.0.5/24"}],"routes":[{"dst":"10.0.0.0/8"}],"dns":{}}"#;
    let newest = r#"{"cniVersion":"1.1.0","ips":[{"address":"10.9.0.5/24"}],"routes":[{"dst":"10.0.0.0/8","mtu":1300,"priority":4}]}"#;
    // Without one, it is of the version that was asked for, which is 1.0.0 here.
    let unversioned = r#"{"ips":[{"address":"10.9.0.5/24"}],"routes":[{"dst":"10.0.0.0/8"}]}"#;
    for answer in [families, lists, newest, unversioned] {
        let scripted = Scripted::new(&format!("echo '{answer}'"));
        let container = scripted.host.container("c1");
        let result = scripted.add(&container).run().result();
        assert_eq!(
            (&result["cniVersion"], &result["ips"], &result["routes"]),
            (&json!("1.0.0"), &json!([{"address": "10.9.0.5/32", "interface": 1}]), &json!([{"dst": "10.0.0.0/8"}])),
            "{answer}"
        );
        scripted.del(&container).run().result();
        scripted.host.assert_nothing_left();
    }
}

#[test]
fn what_a_successful_plugin_says_on_stderr_is_repeated() {
    let scripted = Scripted::new(&format!("echo 'a word from the plugin' >&2; {ONE_ADDRESS}"));
    let container = scripted.host.container("c1");
    let answer = scripted.add(&container).run();
    answer.result();
    assert!(answer.stderr.contains("a word from the plugin\n"), "{answer:#?}");
}

#[test]
fn a_container_that_is_networked_is_not_given_addresses_again() {
    let scripted = Scripted::new(ONE_ADDRESS);
    let container = scripted.host.container("c1");
    scripted.add(&container).run().result();
    assert_eq!(scripted.add(&container).run().addresses(), ["10.9.0.5"]);
    assert_eq!(scripted.calls(), ["ADD"]);
    scripted.del(&container).run().result();
    scripted.host.assert_nothing_left();
}
