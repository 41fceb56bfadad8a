//! What the configuration can ask for, as it shows in the kernel, in the result and in what is stored.

use std::path::Path;
use std::time::Duration;

use e2e::{Call, Container, Daemon, Host, Place, changed, dual_stack, tool, until};
use serde_json::{Value, json};

/// A configuration with some keys changed.
fn with(changes: Value) -> Value {
    changed(dual_stack(), changes)
}

/// An ADD that fails with these words and leaves nothing.
#[track_caller]
fn refused(host: &Host, call: Call, container: &Container<'_>, words: &[&str]) {
    let error = call.run().error();
    for word in words {
        assert!(error.text.contains(word), "{word:?} is missing: {error:?}");
    }
    assert_eq!(container.links(), ["lo"], "{error:?}");
    host.assert_nothing_left();
}

/// Both ends of a container's pair, as `ip` shows them: the container's first.
fn ends(host: &Host, container: &Container<'_>) -> [Value; 2] {
    let of = |place: &dyn Fn(&str) -> Vec<Value>, name: &str| place(&format!("link show {name}")).remove(0);
    [of(&|text| container.ip_json(text), "eth0"), of(&|text| host.ip_json(text), &container.host_end())]
}

#[test]
fn queues_of_both_ends() {
    let host = Host::start();
    for (number, queues) in [(json!(4), 4), (json!(1), 1), (json!(0), 1), (json!(-7), 1), (Value::Null, 1)] {
        let container = host.container(&format!("q{}", number.as_i64().unwrap_or(99).unsigned_abs()));
        let netconf = with(json!({ "num_queues": number }));
        container.add(&netconf).run().result();
        for end in ends(&host, &container) {
            assert_eq!((&end["num_tx_queues"], &end["num_rx_queues"]), (&json!(queues), &json!(queues)), "{number}");
        }
        container.del(&netconf).run().result();
    }
    host.assert_nothing_left();
}

#[test]
fn more_queues_than_the_kernel_makes() {
    let host = Host::start();
    let container = host.container("c1");
    for (queues, words) in [
        (json!(1_000_000), ["failed to create eth0", "num_queues 1000000"]),
        (json!(1_u64 << 40), ["num_queues: 1099511627776 is too large", ""]),
    ] {
        refused(&host, container.add(&with(json!({ "num_queues": queues }))), &container, &words);
    }
}

/// What becomes of `mtu` and the MTU file: the MTU of both ends, or the error.
fn assert_mtu(file: Option<&str>, mtu: i64, required: bool, expected: Result<u64, &[&str]>) {
    let host = Host::start();
    let container = host.container("c1");
    match file {
        Some("/") => std::fs::create_dir(host.folder().join("mtu")).unwrap(),
        Some(text) => std::fs::write(host.folder().join("mtu"), text).unwrap(),
        None => {}
    }
    let netconf = with(json!({ "mtu": mtu, "require_mtu_file": required }));
    let what = format!("file {file:?}, mtu {mtu}, required {required}");
    match expected {
        Ok(expected) => {
            let result = container.add(&netconf).run().result();
            for end in ends(&host, &container) {
                assert_eq!(end["mtu"], json!(expected), "{what}");
            }
            // Only an MTU that was asked for is part of the result.
            let told = if file.is_none() && mtu <= 0 { Value::Null } else { json!(expected) };
            assert_eq!(result["interfaces"][1]["mtu"], told, "{what}");
            container.del(&netconf).run().result();
            host.assert_nothing_left();
        }
        Err(words) => {
            refused(&host, container.add(&netconf), &container, words);
            container.del(&netconf).run().result();
        }
    }
}

#[test]
fn the_mtu_is_configured_or_the_files_or_the_kernels() {
    for required in [false, true] {
        assert_mtu(Some("1440\n"), 0, required, Ok(1440));
        assert_mtu(Some(" 1440 "), 1300, required, Ok(1300));
        for mtu in [0, 1300] {
            let malformed = ["failed to read MTU file: /var/lib/calico/mtu", "\"14x\""];
            assert_mtu(Some("14x"), mtu, required, Err(&malformed));
            assert_mtu(Some(""), mtu, required, Err(&["failed to read MTU file"]));
            assert_mtu(Some("/"), mtu, required, Err(&["failed to read MTU file", "directory"]));
        }
    }
    assert_mtu(None, 0, false, Ok(1500));
    assert_mtu(None, 1300, false, Ok(1300));
    assert_mtu(None, -1, false, Ok(1500));
    for mtu in [0, 1300] {
        assert_mtu(None, mtu, true, Err(&["failed to read MTU file: /var/lib/calico/mtu", "No such file"]));
    }
    assert_mtu(None, 1 << 31, false, Err(&["failed to create eth0"]));
}

/// This kernel may have no netkit: then the container gets a veth, and the log says so.
#[test]
fn netkit_or_veth_where_the_kernel_has_none() {
    let host = Host::start();
    let container = host.container("c1");
    let netconf = with(json!({ "device_type": "netkit", "mtu": 1400 }));
    let has_netkit = host.succeeds("ip", &["link", "add", "try", "type", "netkit"]);
    if has_netkit {
        host.ip("link delete try");
    }
    let answer = container.add(&netconf).run();
    answer.result();
    let kind = if has_netkit { "netkit" } else { "veth" };
    for end in ends(&host, &container) {
        assert_eq!((&end["linkinfo"]["info_kind"], &end["mtu"]), (&json!(kind), &json!(1400)));
    }
    assert_eq!(answer.stderr.contains("this kernel has no netkit"), !has_netkit, "{answer:#?}");
    assert!(answer.addresses().iter().all(|address| host.ping(address)));
    assert_eq!(container.add(&netconf).run().addresses(), answer.addresses());
    container.del(&netconf).run().result();
    host.assert_nothing_left();
}

#[test]
fn a_container_may_forward_only_where_it_is_allowed() {
    for (allowed, value) in [(json!(true), "1"), (json!(false), "0"), (Value::Null, "0")] {
        let host = Host::start();
        let container = host.container("c1");
        // The opposite, so that it must be written.
        let before = if value == "1" { "0" } else { "1" };
        let settings = ["ipv4/ip_forward", "ipv6/conf/all/forwarding"];
        settings.iter().for_each(|setting| container.set_sysctl(setting, before));
        let netconf = with(json!({ "container_settings": { "allow_ip_forwarding": allowed } }));
        container.add(&netconf).run().result();
        for setting in settings {
            assert_eq!(container.sysctl(setting), value, "{setting}: {allowed}");
        }
    }
}

#[test]
fn both_default_routes_whatever_is_asked_for() {
    for include in [json!(true), json!(false), Value::Null] {
        let host = Host::start();
        let container = host.container("c1");
        container.add(&with(json!({ "include_default_routes": include }))).run().result();
        for family in ["-4", "-6"] {
            assert_eq!(container.ip(&format!("{family} route show default")).lines().count(), 1, "{include}");
        }
    }
    let host = Host::start();
    let container = host.container("c1");
    let text = "failed to load netconf: include_default_routes: expected a boolean, found a string";
    refused(&host, container.add(&with(json!({ "include_default_routes": "true" }))), &container, &[text]);
}

/// The node name of an ADD with every combination of its sources.
#[test]
fn the_node_name_is_the_first_that_is_set() {
    let host = Host::start();
    host.run("sh", &["-c", "echo \" from-file \" >/run/nodename; : >/run/empty"]);
    let own = host.run("uname", &["-n"]).trim().to_lowercase();
    let namespace = host.container("namespace");
    let mut number = 0;
    for nodename in ["", "from-nodename"] {
        for file in ["/run/nodename", "/run/empty", "/run/absent"] {
            for hostname in ["", "from-hostname"] {
                let expected = match (nodename, file, hostname) {
                    ("", "/run/nodename", _) => "from-file",
                    ("", _, "") => &own,
                    ("", _, _) => "from-hostname",
                    _ => "from-nodename",
                };
                for executable in ["calico", "calico-ipam"] {
                    number += 1;
                    let container = namespace.renamed(&format!("n{number}"));
                    let netconf = with(json!({
                        "nodename": nodename, "nodename_file": file, "hostname": hostname,
                        "local_store_file": format!("/var/lib/calico/{number}.db"),
                    }));
                    let what = format!("{executable}: {netconf}");
                    container.call(executable, "ADD", &netconf).run().result();
                    let store = rusqlite::Connection::open(host.folder().join(format!("{number}.db"))).unwrap();
                    let count = |pattern: &str| {
                        let query = "SELECT count(*) FROM objects WHERE key LIKE ?1";
                        store.query_row(query, [pattern], |row| row.get::<_, i64>(0)).unwrap()
                    };
                    assert_eq!(count(&format!("/calico/ipam/v2/host/{expected}/%")), 2, "{what}");
                    let name = expected.replace('-', "--");
                    let endpoints = count(&format!("%/workloadendpoints/default/{name}-cni-n{number}-eth0"));
                    assert_eq!(endpoints, i64::from(executable == "calico"), "{what}");
                    container.call(executable, "DEL", &netconf).run().result();
                    assert_eq!(count("/calico/ipam/v2/handle/%"), 0, "{what}");
                }
            }
        }
    }
}

/// Only `calico` looks whether the file is there, also where another name is configured.
#[test]
fn the_node_name_file_must_be_there_unless_it_is_optional() {
    let host = Host::start();
    let container = host.container("c1");
    host.run("sh", &["-c", "echo from-file >/run/nodename"]);
    let missing = "check that the calico/node container is running and has mounted /var/lib/calico/";
    for (file, optional, exists) in [
        ("/run/nodename", json!(false), true),
        ("/run/nodename", json!(true), true),
        ("/run/absent", Value::Null, false),
        ("/run/absent", json!(false), false),
        ("/run/absent", json!(true), false),
    ] {
        let netconf = with(json!({
            "datastore_type": "etcdv3", "etcd_endpoints": "http://127.0.0.1:1", "timeout_seconds": 1,
            "nodename": "node-1", "hostname": "other", "nodename_file": file, "nodename_file_optional": optional,
        }));
        for executable in ["calico", "calico-ipam"] {
            for verb in ["ADD", "DEL"] {
                let error = container.call(executable, verb, &netconf).run().error();
                let is_missing = executable == "calico" && !exists && optional != json!(true);
                assert_eq!(error.text.contains(missing), is_missing, "{executable} {verb} {netconf}: {error:?}");
                assert_eq!(error.text.contains("127.0.0.1:1"), !is_missing, "{executable} {verb} {netconf}: {error:?}");
            }
        }
    }
}

#[test]
fn labels_and_namespace_of_a_mesos_task() {
    let host = Host::start();
    let container = host.container("c1");
    let label = |key: &str, value: &str| json!({ "key": key, "value": value });
    let labels = json!([
        label("some_val-with.lots*of^weird#characters", "//my/val/"),
        label("projectcalico.org/namespace", "team-1"),
        label("projectcalico.org.orchestrator", "mesos"),
    ]);
    let netconf =
        with(json!({ "args": { "org.apache.mesos": { "network_info": { "labels": { "labels": labels } } } } }));
    let answer = container.add(&netconf).run();
    answer.result();
    let stored = host.stored();
    let path = "/calico/resources/v3/projectcalico.org/workloadendpoints/team-1/node--1-cni-c1-eth0";
    assert_eq!(
        stored.0[path]["metadata"]["labels"],
        json!({
            "projectcalico.org/namespace": "team-1",
            "projectcalico.org/orchestrator": "cni",
            "projectcalico.org.orchestrator": "mesos",
            "some_val-with.lots-of-weird-characters": "my.val",
        })
    );
    assert_eq!(stored.0[path]["metadata"]["namespace"], json!("team-1"));
    assert_eq!(stored.endpoints().len(), 1);
    // The same configuration comes with a repeated ADD and with the DEL.
    assert_eq!(container.add(&netconf).run().addresses(), answer.addresses());
    container.del(&netconf).run().result();
    host.assert_nothing_left();
}

#[test]
fn a_label_that_cannot_be_one() {
    let host = Host::start();
    let container = host.container("c1");
    let labels = json!([{ "key": "k".repeat(64), "value": "v" }]);
    let netconf =
        with(json!({ "args": { "org.apache.mesos": { "network_info": { "labels": { "labels": labels } } } } }));
    refused(&host, container.add(&netconf), &container, &["error with field Metadata.Labels"]);
}

#[test]
fn what_is_for_pods_or_for_later() {
    let host = Host::start();
    let container = host.container("c1");
    for (changes, words) in [
        (
            json!({ "feature_control": { "ip_addrs_no_ipam": true } }),
            "requested feature is not supported for this runtime: ip_addrs_no_ipam",
        ),
        (json!({ "dataplane_options": { "type": "ebpf" } }), "invalid dataplane type: ebpf"),
        (json!({ "dataplane_options": { "type": "grpc" } }), "not supported by this release"),
        (json!({ "policy_setup_timeout_seconds": -3 }), "invalid pod startup delay of -3"),
        (json!({ "readiness_gates": ["nowhere"] }), "invalid URL set for ReadinessGates"),
    ] {
        refused(&host, container.add(&with(changes.clone())), &container, &[words]);
        container.del(&with(changes)).run().result();
    }
    let accepted = with(json!({
        "feature_control": { "ip_addrs_no_ipam": false, "floating_ips": true }, "dataplane_options": { "socket": "unused" },
        "policy_setup_timeout_seconds": 5, "endpoint_status_dir": "/run/x", "readiness_gates": [], "mode": "vxlan",
        "vxlan_mac_prefix": "0E-2A", "vxlan_vni": 4096, "windows_use_single_network": false, "qps": 5, "burst": 10,
        "windows_loopback_DSR": {}, "runtimeConfig": { "dns": { "servers": ["10.0.0.1"] } }, "capabilities": { "dns": true },
        "calico_api_group": "", "kubernetes": { "kubeconfig": "", "node_name": "x" },
    }));
    container.add(&accepted).run().result();
    container.del(&accepted).run().result();
    host.assert_nothing_left();
}

#[test]
fn arguments_of_the_runtime() {
    let host = Host::start();
    let container = host.container("c1");
    let netconf = dual_stack();
    let add = |args: &str| container.add(&netconf).env("CNI_ARGS", args);
    // An unknown key is no error; of a repeated one, the last counts.
    let answer = add("FOO=bar;IP=10.65.0.9;IP=10.65.0.7;K8S_POD_INFRA_CONTAINER_ID=x;CNI_TEST_NAMESPACE=team-2").run();
    assert_eq!(answer.addresses(), ["10.65.0.7"]);
    assert_eq!(host.stored().with("/workloadendpoints/team-2/").len(), 1);
    container.del(&netconf).env("CNI_ARGS", "CNI_TEST_NAMESPACE=team-2").run().result();
    host.assert_nothing_left();
    for (args, words) in [
        ("A=b;", "ARGS: invalid pair"),
        ("A", "ARGS: invalid pair"),
        ("A=b=c", "ARGS: invalid pair"),
        ("IP=10.65.0.0/24", "is not an address"),
        ("IgnoreUnknown=maybe", "IgnoreUnknown"),
        ("FOO=bar;IgnoreUnknown=0", "ARGS: unknown args"),
    ] {
        refused(&host, add(args), &container, &[words]);
    }
}

/// A web server on a host; what is in its folder is there.
fn web_server(host: &Host) -> Daemon {
    host.run("mkdir", &["-p", "/run/web"]);
    let daemon = host.daemon(&tool("busybox"), &["httpd", "-f", "-p", "127.0.0.1:8080", "-h", "/run/web"]);
    until("the web server answers", || host.succeeds("busybox", &["nc", "-w", "1", "127.0.0.1", "8080", "-e", "true"]));
    daemon
}

#[test]
fn an_add_waits_for_its_readiness_gates() {
    let host = Host::start();
    let container = host.container("c1");
    let _server = web_server(&host);
    let netconf = with(json!({ "readiness_gates": ["http://127.0.0.1:8080/first", "http://127.0.0.1:8080/second?x"] }));
    host.run("touch", &["/run/web/first"]);
    let running = container.add(&netconf).start();
    // It cannot be seen to wait: but nothing is made as long as the second gate is closed.
    std::thread::sleep(Duration::from_millis(500));
    assert!(!host.store_file().exists() && container.links() == ["lo"]);
    host.run("touch", &["/run/web/second"]);
    assert_eq!(running.finish().addresses().len(), 2);
    // A DEL does not ask.
    host.run("rm", &["-r", "/run/web/first", "/run/web/second"]);
    container.del(&netconf).run().result();
    host.assert_nothing_left();
}

/// Each gate has 30 s; one that accepts connections and says nothing has 5 s each time.
#[test]
fn a_readiness_gate_that_stays_closed() {
    let host = Host::start();
    let _server = web_server(&host);
    let mut silent = host.daemon(Path::new(env!("CARGO_BIN_EXE_proxy")), &["127.0.0.1:8081", "x", "y", "blackhole"]);
    silent.wait_for("listening");
    let gates = [
        ("http://127.0.0.1:8080/absent", "it answered 404 Not Found"),
        ("http://127.0.0.1:8081/silent", "no answer within 5s"),
        ("http://127.0.0.1:8082/", "cannot connect to it: Connection refused"),
        ("https://127.0.0.1:8080/", "cannot encrypt the connection"),
    ];
    let namespace = host.container("gates");
    let containers: Vec<Container<'_>> = (0..gates.len()).map(|n| namespace.renamed(&format!("g{n}"))).collect();
    let calls = gates
        .iter()
        .zip(&containers)
        .map(|((url, _), container)| container.add(&with(json!({ "readiness_gates": [url] }))));
    for ((url, words), answer) in gates.iter().zip(e2e::at_once(calls)) {
        let error = answer.error();
        let text = format!("timed out after 30s waiting for the readiness gate {url}");
        assert!(error.code == 11 && error.text.contains(&text) && error.text.contains(words), "{error:?}");
    }
    assert_eq!(namespace.links(), ["lo"]);
    host.assert_nothing_left();
}
