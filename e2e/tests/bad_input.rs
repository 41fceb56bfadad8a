//! Every wrong input gets one CNI error that says what is wrong, and leaves nothing half done.

use e2e::{Answer, Call, CniError, Container, Host, Place, dual_stack};
use serde_json::{Value, json};

/// The answer is an error with this number and all these words in its text.
#[track_caller]
fn assert_error(answer: &Answer, code: i64, words: &[&str]) -> CniError {
    let error = answer.error();
    assert_eq!(error.code, code, "{answer:#?}");
    for word in words {
        assert!(error.text.contains(word), "{word:?} is missing: {answer:#?}");
    }
    error
}

/// One host, one container, and a call about it that is made wrong by `spoil`.
#[track_caller]
fn refused(executable: &str, netconf: &Value, spoil: impl FnOnce(Call) -> Call, code: i64, words: &[&str]) {
    let host = Host::start();
    let container = host.container("c1");
    let answer = spoil(container.call(executable, "ADD", netconf)).run();
    assert_error(&answer, code, words);
    assert_eq!(container.links(), ["lo"], "nothing is left in the container");
    host.assert_nothing_left();
}

/// A configuration with some keys changed; `null` removes one.
fn with(changes: Value) -> Value {
    let mut netconf = dual_stack();
    merge(&mut netconf, changes);
    netconf
}

fn merge(value: &mut Value, changes: Value) {
    match changes {
        Value::Object(changes) if value.is_object() => {
            for (key, change) in changes {
                merge(&mut value[key], change);
            }
        }
        change => *value = change,
    }
}

#[test]
fn malformed_json() {
    for (text, code) in
        [("", 6), ("{", 6), ("[]", 6), ("null", 6), ("{\"name\": 1}", 6), ("{\"name\":\"net1\"", 6), ("{}", 7)]
    {
        for executable in ["calico", "calico-ipam"] {
            let host = Host::start();
            let answer = host.container("c1").call(executable, "ADD", &Value::Null).stdin(text).run();
            let error = answer.error();
            assert_eq!(error.code, code, "{text:?}: {answer:#?}");
            host.assert_nothing_left();
        }
    }
}

#[test]
fn values_of_a_wrong_type() {
    for changes in [json!({"mtu": "1500"}), json!({"ipam": {"assign_ipv4": true}}), json!({"ipam": []})] {
        refused("calico", &with(changes), |call| call, 999, &["failed to load netconf"]);
    }
}

#[test]
fn network_names() {
    refused("calico", &with(json!({"name": ""})), |call| call, 7, &["missing network name"]);
    refused("calico", &with(json!({"name": "a b"})), |call| call, 7, &["invalid characters found in network name"]);
}

#[test]
fn missing_environment() {
    let netconf = dual_stack();
    for executable in ["calico", "calico-ipam"] {
        for name in ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH"] {
            let text = format!("required env variables [{name}] missing");
            refused(executable, &netconf, |call| call.without(name), 4, &[&text]);
        }
        let all = "required env variables [CNI_CONTAINERID,CNI_NETNS,CNI_IFNAME,CNI_PATH] missing";
        let strip =
            |call: Call| call.without("CNI_CONTAINERID").without("CNI_NETNS").without("CNI_IFNAME").without("CNI_PATH");
        refused(executable, &netconf, strip, 4, &[all]);
    }
}

#[test]
fn wrong_environment() {
    let netconf = dual_stack();
    let set = |name: &'static str, value: &'static str| move |call: Call| call.env(name, value);
    refused("calico", &netconf, set("CNI_COMMAND", "JUMP"), 4, &["unknown CNI_COMMAND: JUMP"]);
    refused("calico", &netconf, set("CNI_CONTAINERID", "../c1"), 4, &["invalid characters in containerID"]);
    for name in ["a/b", "a b", "a:b", ".", "..", "a-name-of-sixteen"] {
        refused("calico", &netconf, set("CNI_IFNAME", name), 4, &[]);
    }
    refused("calico", &netconf, set("CNI_ARGS", "nonsense"), 999, &["ARGS: invalid pair"]);
    refused("calico-ipam", &netconf, set("CNI_ARGS", "FOO=bar"), 999, &["ARGS: unknown args [\"FOO=bar\"]"]);
    refused("calico", &netconf, set("CNI_ARGS", "IP=10.65.0.x"), 999, &["10.65.0.x"]);
}

#[test]
fn no_command_tells_a_person_what_it_is() {
    let host = Host::start();
    for executable in ["calico", "calico-ipam"] {
        let answer = host.call(executable, "").without("CNI_COMMAND").run();
        assert_eq!((answer.exit, answer.stdout.as_str()), (Some(0), ""), "{answer:#?}");
        assert!(answer.stderr.contains("CNI") && answer.stderr.contains("1.0.0"), "{answer:#?}");
        let answer = host.call(executable, "").without("CNI_COMMAND").argument("-nonsense").run();
        assert_eq!((answer.exit, answer.stdout.as_str()), (Some(2), ""), "{answer:#?}");
    }
}

#[test]
fn versions() {
    let list = r#"["0.1.0" "0.2.0" "0.3.0" "0.3.1" "0.4.0" "1.0.0"]"#;
    for version in ["1.1.0", "9.9.9", "1.0", "v1.0.0"] {
        for executable in ["calico", "calico-ipam"] {
            let host = Host::start();
            let netconf = with(json!({"cniVersion": version}));
            let answer = host.container("c1").call(executable, "ADD", &netconf).run();
            let details = format!("config is \\\"{version}\\\", plugin supports {}", list.replace('"', "\\\""));
            let recorded = format!(
                "{{\n    \"code\": 1,\n    \"msg\": \"incompatible CNI versions\",\n    \"details\": \"{details}\"\n}}"
            );
            assert_eq!((answer.exit, answer.stdout.as_str()), (Some(1), recorded.as_str()), "{answer:#?}");
            host.assert_nothing_left();
        }
    }
}

#[test]
fn unknown_datastore() {
    for executable in ["calico", "calico-ipam"] {
        refused(executable, &with(json!({"datastore_type": "mongodb"})), |call| call, 999, &["mongodb"]);
    }
}

#[test]
fn unknown_device_type() {
    let text = "unknown device_type \"tap\" in CNI config (supported: \"veth\"";
    refused("calico", &with(json!({"device_type": "tap"})), |call| call, 999, &[text]);
}

#[test]
fn no_pool() {
    let netconf = with(json!({"ipam": {"ipv4_pools": [], "ipv6_pools": [], "assign_ipv6": "false"}}));
    for exec in [false, true] {
        let mut netconf = netconf.clone();
        netconf["ipam"]["exec"] = json!(exec);
        refused("calico", &netconf, |call| call, 999, &["cannot find a qualified ippool"]);
    }
    refused("calico-ipam", &netconf, |call| call, 999, &["cannot find a qualified ippool"]);
}

#[test]
fn a_pool_of_one_family_only() {
    for exec in [false, true] {
        let netconf = with(json!({"ipam": {"ipv6_pools": [], "exec": exec}}));
        refused("calico", &netconf, |call| call, 999, &[]);
        let netconf = with(json!({"ipam": {"ipv4_pools": [], "exec": exec}}));
        refused("calico", &netconf, |call| call, 999, &[]);
    }
}

#[test]
fn pools_that_cannot_be_used() {
    let pools = |list: Value| with(json!({"ipam": {"ipv4_pools": list}}));
    refused("calico", &pools(json!(["no-such-pool"])), |call| call, 999, &["no-such-pool"]);
    refused("calico", &pools(json!(["fd66::/64"])), |call| call, 999, &["fd66::"]);
    refused("calico", &pools(json!(["10.65.0.0/16", "10.65.1.0/24"])), |call| call, 999, &["overlap"]);
}

/// Fills a pool of four addresses, and asks for a fifth.
fn full_pool(changes: Value) {
    let host = Host::start();
    let netconf = with(changes);
    let containers: Vec<Container<'_>> = (0..5).map(|n| host.container(&format!("c{n}"))).collect();
    for container in &containers[..4] {
        container.add(&netconf).run().result();
    }
    let before = host.stored().allocated();
    let text = "failed to request IPv4 addresses: Assigned 0 out of 1 requested IPv4 addresses; \
        No IPs available in pools: [10.9.0.0/30]";
    assert_error(&containers[4].add(&netconf).run(), 999, &[text]);
    let stored = host.stored();
    assert_eq!(stored.allocated(), before, "no address of the other family is left");
    assert!(!stored.handles().contains(&"net1.c4") && stored.endpoints().len() == 4, "{stored:#?}");
    assert_eq!((containers[4].links().len(), host.added_links().len()), (1, 4));
    host.assert_audit_clean();
    for container in &containers {
        container.del(&netconf).run().result();
    }
    host.assert_nothing_left();
}

#[test]
fn full_pool_one_family() {
    full_pool(json!({"ipam": {"ipv4_pools": ["10.9.0.0/30"], "assign_ipv6": "false"}}));
}

#[test]
fn full_pool_both_families() {
    full_pool(json!({"ipam": {"ipv4_pools": ["10.9.0.0/30"]}}));
    full_pool(json!({"ipam": {"ipv4_pools": ["10.9.0.0/30"], "exec": true}}));
}

#[test]
fn fixed_address_outside_every_pool() {
    let text = "The provided IP address is not in a configured pool";
    for exec in [false, true] {
        let netconf = with(json!({"ipam": {"exec": exec}}));
        refused("calico", &netconf, |call| call.env("CNI_ARGS", "IP=10.9.9.9"), 999, &[text]);
        refused("calico", &netconf, |call| call.env("CNI_ARGS", "IP=fd99::1"), 999, &[text]);
    }
}

#[test]
fn fixed_address_taken() {
    for exec in [false, true] {
        let host = Host::start();
        let netconf = with(json!({"ipam": {"exec": exec}}));
        let (first, second) = (host.container("first"), host.container("second"));
        assert_eq!(first.add(&netconf).env("CNI_ARGS", "IP=10.65.7.9").run().addresses(), ["10.65.7.9"]);
        let text = "resource already exists: 10.65.7.9 with error: Address already assigned in block";
        assert_error(&second.add(&netconf).env("CNI_ARGS", "IP=10.65.7.9").run(), 999, &[text]);
        let stored = host.stored();
        assert_eq!((stored.handles(), stored.allocated()), (vec!["net1.first"], 1));
        assert_eq!((second.links().len(), host.added_links()), (1, vec!["califirst".to_owned()]));
        host.assert_audit_clean();
        second.del(&netconf).run().result();
        assert_eq!(host.stored().allocated(), 1, "the other container keeps its address");
        first.del(&netconf).run().result();
        host.assert_nothing_left();
    }
}

#[test]
fn interface_name_taken() {
    for exec in [false, true] {
        let host = Host::start();
        let container = host.container("c1");
        container.ip("link add eth0 type veth peer name other");
        let answer = container.add(&with(json!({"ipam": {"exec": exec}}))).run();
        assert_error(&answer, 999, &["eth0"]);
        let mut links = container.links();
        links.sort();
        assert_eq!(links, ["eth0", "lo", "other"], "what was there is untouched");
        host.assert_nothing_left();
    }
}

#[test]
fn namespace_gone_or_none() {
    let netconf = dual_stack();
    let gone = |path: &'static str| move |call: Call| call.env("CNI_NETNS", path);
    for path in ["/var/run/netns/gone", "/etc/passwd", "/run", "relative"] {
        for exec in [false, true] {
            let netconf = with(json!({"ipam": {"exec": exec}}));
            let answer = |call: Call| gone(path)(call);
            refused("calico", &netconf, answer, 999, &[path]);
        }
    }
    // The host's own namespace, by any name.
    refused("calico", &netconf, gone("/proc/self/ns/net"), 8, &["should not be the same"]);
}

/// A store that cannot be used: ADD fails and leaves no link; DEL cleans the kernel and fails.
fn unusable_store(spoil: impl Fn(&Host), words: &[&str]) {
    for exec in [false, true] {
        let host = Host::start();
        host.end_unaudited();
        let netconf = with(json!({"ipam": {"exec": exec}}));
        let (connected, late) = (host.container("connected"), host.container("late"));
        connected.add(&netconf).run().result();
        spoil(&host);
        let error = late.add(&netconf).run().error();
        assert!(words.iter().all(|word| error.text.contains(word)), "{error:#?}");
        assert_eq!((late.links().len(), host.added_links()), (1, vec!["caliconnected".to_owned()]), "{error:#?}");
        let error = connected.del(&netconf).run().error();
        assert!(words.iter().all(|word| error.text.contains(word)), "{error:#?}");
        assert_eq!((connected.links().len(), host.added_links().len()), (1, 0), "DEL cleans the kernel: {error:#?}");
    }
}

fn remove_store(host: &Host) {
    for suffix in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(host.folder().join(format!("calico.db{suffix}")));
    }
}

#[test]
fn store_is_garbage() {
    let spoil = |host: &Host| {
        remove_store(host);
        std::fs::write(host.store_file(), "this is not a database, whatever its name says").unwrap();
    };
    unusable_store(spoil, &["/var/lib/calico/calico.db"]);
}

#[test]
fn store_is_a_folder() {
    let spoil = |host: &Host| {
        remove_store(host);
        std::fs::create_dir(host.store_file()).unwrap();
    };
    unusable_store(spoil, &["/var/lib/calico/calico.db"]);
}

#[test]
fn store_is_truncated() {
    let spoil = |host: &Host| {
        // What is only in the log would come back from there.
        let store = rusqlite::Connection::open(host.store_file()).unwrap();
        store.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
        drop(store);
        let file = std::fs::File::options().write(true).open(host.store_file()).unwrap();
        file.set_len(file.metadata().unwrap().len() / 2 - 100).unwrap();
    };
    unusable_store(spoil, &["/var/lib/calico/calico.db"]);
}

#[test]
fn store_is_another_programs() {
    let spoil = |host: &Host| {
        remove_store(host);
        rusqlite::Connection::open(host.store_file()).unwrap().execute_batch("CREATE TABLE mine (x)").unwrap();
    };
    unusable_store(spoil, &["/var/lib/calico/calico.db", "local_store_file"]);
}

#[test]
fn store_cannot_be_written() {
    let host = Host::start();
    let netconf = dual_stack();
    let (connected, late) = (host.container("connected"), host.container("late"));
    connected.add(&netconf).run().result();
    host.run("mount", &["-o", "remount,bind,ro", "/var/lib/calico"]);
    let error = late.add(&netconf).run().error();
    assert!(error.text.contains("/var/lib/calico/calico.db"), "{error:#?}");
    assert_eq!((late.links().len(), host.added_links().len()), (1, 1));
    assert!(connected.del(&netconf).run().exit == Some(1), "the address is not released, so DEL must be tried again");
    host.run("mount", &["-o", "remount,bind,rw", "/var/lib/calico"]);
    connected.del(&netconf).run().result();
    host.assert_nothing_left();
}

#[test]
fn store_in_a_place_that_cannot_be() {
    let netconf = with(json!({"local_store_file": "/etc/passwd/calico.db"}));
    refused("calico", &netconf, |call| call, 999, &["/etc/passwd/calico.db"]);
}

#[test]
fn a_refused_pool_is_not_created() {
    for (pools, word) in [(json!(["10.65.0.0"]), "prefix length"), (json!(["fd00::/64"]), "isn't a IPv4 address")] {
        let host = Host::start();
        let container = host.container("c1");
        let error = container.add(&with(json!({"ipam": {"ipv4_pools": pools}}))).run().error();
        assert!(error.text.contains("error parsing pool") && error.text.contains(word), "{error:?}");
        // The corrected configuration works: nothing of the wrong one stays.
        let netconf = with(json!({"ipam": {"ipv4_pools": ["10.65.0.0/16"], "ipv6_pools": ["fd00::/64"]}}));
        container.add(&netconf).run().result();
        container.del(&netconf).run().result();
        host.assert_nothing_left();
    }
}

#[test]
fn del_does_not_fail_on_what_only_an_add_needs() {
    let host = Host::start();
    let container = host.container("c1");
    for (changes, args) in [
        (json!({"device_type": "netkit"}), ""),
        (json!({"mtu": 1_u64 << 40, "num_queues": 1_u64 << 40}), ""),
        (json!({"timeout_seconds": i64::MAX}), ""),
        (json!({"timeout_seconds": -1}), ""),
        (json!({"ipam": {"ipv4_pools": ["10.65.0.0"]}}), ""),
        (json!({}), "IP=foo"),
    ] {
        container.add(&dual_stack()).run().result();
        container.del(&with(changes)).env("CNI_ARGS", args).run().result();
        host.assert_nothing_left();
    }
}

#[test]
fn a_container_that_cannot_be_named_is_refused_by_add_and_no_trouble_to_del() {
    for (id, ifname, words) in [("UPPER", "eth0", "change the container ID"), ("c1", "eth-", "must not begin or end")] {
        for executable in ["calico", "calico-ipam"] {
            let host = Host::start();
            let container = host.container("c1").renamed(id);
            let call = |verb| container.call(executable, verb, &dual_stack()).env("CNI_IFNAME", ifname);
            assert_error(&call("ADD").run(), 999, &[words]);
            host.assert_nothing_left();
            call("DEL").run().result();
            host.assert_nothing_left();
        }
    }
}
