//! `calico` with other plugins behind it in the list, called by `cnitool`: the list that the README shows, in every
//! version that has lists, with old and new plugins.

use e2e::{
    Conflist, Container, Etcd, Host, Listener, Options, Place, Plugins, addresses_of, heard, readme_chain, readme_list,
};
use serde_json::{Value, json};

/// ADD, what is seen while the container is connected, given its address and the result, and CHECK.
#[track_caller]
fn connect(list: &Conflist<'_>, container: &Container<'_>, see: impl Fn(&str, &Value)) {
    let result = list.add(container);
    let address = addresses_of(&result).remove(0);
    assert!(list.host().ping(&address), "{result}");
    see(&address, &result);
    let mut capabilities = list.capabilities().clone();
    if list.plugins() == Plugins::Debian1_1 {
        // The CHECK of this portmap looks for the rules of IPv4 in the table of IPv6 and never finds them.
        capabilities["portMappings"] = json!([]);
    }
    let checked = list.call_asking("check", container, &capabilities);
    let said = String::from_utf8_lossy(&checked.stderr);
    if list.version() == "0.3.1" {
        assert!(said.contains("does not support the CHECK command"), "{said}");
    } else {
        assert!(checked.status.success(), "{:?}, {}: {said}", list.plugins(), list.version());
    }
}

/// DEL, twice, and that nothing is left of what any plugin made.
#[track_caller]
fn disconnect(list: &Conflist<'_>, container: &Container<'_>) {
    let host = list.host();
    for _ in 0..2 {
        list.succeed("del", container);
        assert_eq!(container.links(), ["lo"]);
        host.assert_nothing_left();
        assert_eq!(host.rules_with("18080"), [] as [&str; 0]);
    }
    // libcni's results, and what tuning keeps of the time before.
    let files = "find /var/lib/cni /run/cni -type f 2>/dev/null; true";
    assert_eq!(host.run("sh", &["-c", files]), "");
}

/// The kind of every queueing discipline at a link's root, and its rate in bytes per second, if it has one.
fn root_rate(host: &Host, link: &str) -> (String, Option<u64>) {
    let printed = host.run("tc", &["-json", "qdisc", "show", "dev", link]);
    let disciplines: Vec<Value> = serde_json::from_str(&printed).unwrap_or_else(|e| panic!("{e}: {printed}"));
    let root = disciplines.iter().find(|one| one["root"] == true).unwrap_or_else(|| panic!("{printed}"));
    (root["kind"].as_str().unwrap().to_owned(), root["options"]["rate"].as_u64())
}

/// Runs `test` for every version of CNI that has lists and every release of the plugins.
fn everywhere(conflist: &Value, capabilities: &Value, test: impl Fn(&Conflist<'_>, &Container<'_>)) {
    for release in Plugins::ALL {
        let host = Host::start();
        for version in ["0.3.1", "0.4.0", "1.0.0"] {
            let mut conflist = conflist.clone();
            conflist["cniVersion"] = json!(version);
            if release == Plugins::Debian1_1 {
                // The CHECK of this tuning takes the word as it is.
                conflist = serde_json::from_str(&conflist.to_string().replace("IFNAME", "eth0")).unwrap();
            }
            let container = host.container(&format!("one-{}", version.replace('.', "-")));
            test(&Conflist::new(&host, &conflist).with(release).asking(capabilities), &container);
        }
    }
}

#[test]
fn the_chain_of_the_readme() {
    let capabilities = json!({
        "portMappings": [{ "hostPort": 18080, "containerPort": 8080, "protocol": "tcp" }],
        "bandwidth": { "ingressRate": 8_000_000, "ingressBurst": 800_000, "egressRate": 16_000_000, "egressBurst": 800_000 },
    });
    everywhere(&readme_chain(), &capabilities, |list, container| {
        let host = list.host();
        connect(list, container, |address, result| {
            let _listener = Listener::start(container, 8080);
            assert_eq!(heard(host, address, 8080), "hello\n", "the listener itself");
            assert_eq!(heard(host, "172.30.0.1", 18080), "hello\n", "{:#?}", host.rules_with("18080"));

            let links = host.added_links();
            let host_end = links.iter().find(|link| link.starts_with("cali")).expect("a host end");
            let mirror = links.iter().find(|link| !link.starts_with("cali")).expect("an ifb");
            assert_eq!(links.len(), 2, "{links:?}");
            assert_eq!(root_rate(host, host_end), ("tbf".to_owned(), Some(1_000_000)));
            assert_eq!(root_rate(host, mirror), ("tbf".to_owned(), Some(2_000_000)));
            assert!(result["interfaces"].as_array().unwrap().iter().any(|link| link["name"] == mirror.as_str()));

            assert_eq!(container.ip_json("link show dev eth0")[0]["mtu"], 1400);
            assert_eq!(container.sysctl("core/somaxconn"), "500");
        });
        disconnect(list, container);
        assert_eq!(heard(host, "172.30.0.1", 18080), "");
    });
}

#[test]
fn another_host_reaches_a_container_by_a_port() {
    let etcd = Etcd::start(Options::default());
    etcd.seed(&["node-1"]);
    let (host, other) = (etcd.host(), etcd.host());
    let mut conflist = readme_chain();
    conflist["plugins"][0] = readme_list("etcdv3")["plugins"][0].clone();
    let calico = conflist["plugins"][0].as_object_mut().unwrap();
    calico.extend(etcd.conf());
    calico.insert("nodename".to_owned(), json!("node-1"));
    calico.insert("nodename_file_optional".to_owned(), json!(true));
    let capabilities = json!({ "portMappings": [{ "hostPort": 18080, "containerPort": 8080, "protocol": "tcp" }] });
    let list = Conflist::new(&host, &conflist).asking(&capabilities);
    let container = host.container("one");
    list.add(&container);
    let _listener = Listener::start(&container, 8080);
    let lan = host.ip_json("-4 address show dev lan").remove(0);
    let address = lan["addr_info"][0]["local"].as_str().expect("an address");
    assert_eq!(heard(&other, address, 18080), "hello\n", "{:#?}", host.rules_with("18080"));
    list.succeed("del", &container);
    assert_eq!(heard(&other, address, 18080), "");
    assert_eq!(host.rules_with("18080"), [] as [&str; 0]);
    assert_eq!(container.links(), ["lo"]);
    etcd.assert_nothing_left(&[&host, &other]);
}

#[test]
fn what_a_later_plugin_changes_is_no_error() {
    let mut conflist = readme_chain();
    let plugins = conflist["plugins"].as_array_mut().unwrap();
    plugins.truncate(1);
    plugins.push(json!({
        "type": "tuning", "mac": "02:00:00:00:00:07", "mtu": 1280, "promisc": true,
        "sysctl": { "net.ipv4.conf.IFNAME.arp_filter": "1", "net.ipv4.ip_forward": "1" },
    }));
    everywhere(&conflist, &json!({}), |list, container| {
        connect(list, container, |address, result| {
            let link = container.ip_json("link show dev eth0").remove(0);
            assert_eq!((&link["mtu"], &link["address"]), (&json!(1280), &json!("02:00:00:00:00:07")));
            assert_eq!(link["promiscuity"], 1, "{link}");
            assert_eq!(result["interfaces"][1]["mac"], "02:00:00:00:00:07");
            assert_eq!(container.sysctl("ipv4/conf/eth0/arp_filter"), "1");
            assert_eq!(container.sysctl("ipv4/ip_forward"), "1");
            // Its neighbours have learned the new address.
            assert!(list.host().ping(address) && container.ping("172.30.0.1") && container.ping("fd30::1"));
        });
        disconnect(list, container);
    });
}

#[test]
fn a_later_plugin_that_fails_is_undone_by_a_del() {
    let mut conflist = readme_chain();
    let host = Host::start();
    let container = host.container("one");
    let tuning = conflist["plugins"].as_array_mut().unwrap().last_mut().unwrap();
    tuning["sysctl"] = json!({ "net.ipv4.conf.IFNAME.no_such": "1" });
    let list = Conflist::new(&host, &conflist);
    let output = list.call("add", &container);
    assert!(!output.status.success() && String::from_utf8_lossy(&output.stderr).contains("no_such"), "{output:?}");
    assert_eq!(container.links(), ["lo", "eth0"], "the runtime's next call is a DEL");
    disconnect(&list, &container);
}
