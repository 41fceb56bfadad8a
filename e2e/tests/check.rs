//! CHECK: says yes to what an ADD made, names the first difference from it, and changes nothing.

use std::path::{Path, PathBuf};

use e2e::{Call, Container, Faults, Host, Place, Plugins, Site, dual_stack, executables_folder, reference_plugin};
use serde_json::{Value, json};

/// The configuration as a runtime passes it after an ADD: with the result.
fn with_result(netconf: &Value, result: &Value) -> Value {
    let mut netconf = netconf.clone();
    netconf["prevResult"] = result.clone();
    netconf
}

fn check(container: &Container<'_>, netconf: &Value, result: &Value) -> Call {
    container.call("calico", "CHECK", &with_result(netconf, result))
}

#[track_caller]
fn assert_ok(container: &Container<'_>, netconf: &Value, result: &Value) {
    let answer = check(container, netconf, result).run();
    assert_eq!((answer.exit, answer.stdout.as_str()), (Some(0), "OK\n"), "{answer:#?}");
}

/// What CHECK says is different.
#[track_caller]
fn difference(container: &Container<'_>, netconf: &Value, result: &Value) -> String {
    let error = check(container, netconf, result).run().error();
    assert_eq!(error.code, 999, "{error:?}");
    assert!(error.text.contains("add it again"), "no advice: {error:?}");
    error.text
}

#[test]
fn what_an_add_made_is_as_it_should_be() {
    let host = Host::start();
    for version in ["0.4.0", "1.0.0"] {
        for exec in [false, true] {
            for (ipv4, ipv6) in [("true", "false"), ("false", "true"), ("true", "true")] {
                let mut netconf = dual_stack();
                netconf["cniVersion"] = json!(version);
                netconf["mtu"] = json!(1430);
                netconf["container_settings"] = json!({ "allow_ip_forwarding": true });
                netconf["ipam"]["exec"] = json!(exec);
                netconf["ipam"]["assign_ipv4"] = json!(ipv4);
                netconf["ipam"]["assign_ipv6"] = json!(ipv6);
                let container = host.container(&format!("c{version}-{exec}-{ipv4}-{ipv6}"));
                let container = container.renamed("c1");
                let result = container.add(&netconf).run().result();
                let before = host.stored().0;
                assert_ok(&container, &netconf, &result);
                assert_ok(&container, &netconf, &result);
                let answer = container.call("calico-ipam", "CHECK", &with_result(&netconf, &result)).run();
                assert_eq!((answer.exit, answer.stdout.as_str()), (Some(0), ""), "{answer:#?}");
                assert_eq!(host.stored().0, before);
                container.del(&netconf).run().result();
            }
        }
    }
    host.assert_nothing_left();
}

#[test]
fn a_version_without_check_has_none() {
    let host = Host::start();
    let container = host.container("c1");
    for version in ["", "0.1.0", "0.2.0", "0.3.0", "0.3.1"] {
        let mut netconf = dual_stack();
        netconf["cniVersion"] = json!(version);
        for executable in ["calico", "calico-ipam"] {
            let error = container.call(executable, "CHECK", &netconf).run().error();
            assert_eq!((error.code, error.text.as_str()), (1, "config version does not allow CHECK"));
        }
    }
}

#[test]
fn two_waves_of_reads_and_no_write() {
    let site = Site::start();
    let (Site { etcd, host }, netconf) = (&site, &site.netconf());
    let container = host.container("c1");
    let result = container.add(netconf).run().result();
    let before = etcd.dump();
    for executable in ["calico", "calico-ipam"] {
        let proxy = site.proxy(Path::new(env!("CARGO_BIN_EXE_proxy")), Faults::default());
        let answer = container.call(executable, "CHECK", &with_result(&site.through(&proxy), &result)).run();
        assert_eq!(answer.exit, Some(0), "{answer:#?}");
        assert_eq!(proxy.requests(), [2], "{executable}: the record and the handle, then the blocks");
    }
    assert_eq!(etcd.dump(), before);
    container.del(netconf).run().result();
    site.assert_nothing_left();
}

#[test]
fn a_store_that_is_not_there_is_not_made() {
    let host = Host::start();
    let container = host.container("c1");
    let result = json!({ "cniVersion": "1.0.0", "interfaces": [{ "name": "eth0", "sandbox": container.netns() }] });
    for executable in ["calico", "calico-ipam"] {
        let netconf = with_result(&dual_stack(), &result);
        let error = container.call(executable, "CHECK", &netconf).run().error();
        assert!(error.text.contains("there is no store /var/lib/calico/calico.db"), "{error:?}");
    }
    assert!(!host.store_file().exists());
}

#[test]
fn the_result_of_the_add_is_needed() {
    let host = Host::start();
    let container = host.container("c1");
    let netconf = dual_stack();
    let result = container.add(&netconf).run().result();
    for executable in ["calico", "calico-ipam"] {
        let error = container.call(executable, "CHECK", &netconf).run().error();
        assert_eq!(error.code, 7);
        assert!(error.text.starts_with("CHECK needs prevResult: the configuration has none\n"), "{error:?}");
        for (nonsense, why) in [
            (json!([]), "expected an object, found a list"),
            (json!({ "cniVersion": "9.9.9" }), "its cniVersion \"9.9.9\" is not supported"),
            (json!({ "ips": [{ "address": "10.65.0.1" }] }), "ips[0].address: "),
        ] {
            let error = container.call(executable, "CHECK", &with_result(&netconf, &nonsense)).run().error();
            assert!(error.code == 7 && error.text.contains(why), "{error:?}");
        }
    }
    let error = check(&container, &netconf, &json!({})).run().error();
    assert!(error.code == 7 && error.text.contains("prevResult has no interface eth0"), "{error:?}");
    // Another plugin's address is none of ours, nor another way of writing the MAC address.
    let mut changed = result.clone();
    changed["interfaces"][1]["mac"] =
        json!(result["interfaces"][1]["mac"].as_str().unwrap().replace(':', "-").to_uppercase());
    container.ip("address add 10.9.0.1/32 dev eth0");
    changed["ips"].as_array_mut().unwrap().push(json!({ "address": "10.9.0.1/32", "interface": 1 }));
    assert_ok(&container, &netconf, &changed);
    // As an older format has it.
    let mut older = result.clone();
    older["cniVersion"] = json!("0.4.0");
    older["ips"][0]["version"] = json!("4");
    older["ips"][1]["version"] = json!("6");
    assert_ok(&container, &netconf, &older);
    container.del(&netconf).run().result();
    host.assert_nothing_left();
}

#[test]
fn a_configuration_that_was_changed_since_is_no_difference() {
    let host = Host::start();
    let container = host.container("c1");
    let mut netconf = dual_stack();
    netconf["mtu"] = json!(1400);
    netconf["ipam"]["assign_ipv6"] = json!("false");
    let result = container.add(&netconf).run().result();
    for exec in [false, true] {
        let mut changed = dual_stack();
        changed["mtu"] = json!(1300);
        changed["ipam"]["exec"] = json!(exec);
        assert_ok(&container, &changed, &result);
        // Its answer is what there is.
        let again = container.add(&changed).run().result();
        assert_eq!(again["interfaces"], result["interfaces"]);
        assert_ok(&container, &changed, &again);
    }
    container.del(&netconf).run().result();
    host.assert_nothing_left();
}

#[test]
fn a_pod_without_kubernetes_policy_is_checked_like_any_container() {
    let host = Host::start();
    let container = host.container("c1");
    let args = "K8S_POD_NAMESPACE=default;K8S_POD_NAME=web-0";
    let result = container.add(&dual_stack()).env("CNI_ARGS", args).run().result();
    for executable in ["calico", "calico-ipam"] {
        let call = container.call(executable, "CHECK", &with_result(&dual_stack(), &result));
        let answer = call.env("CNI_ARGS", args).run();
        assert_eq!(answer.exit, Some(0), "{answer:#?}");
    }
    let other = container.renamed("c2").call("calico", "CHECK", &with_result(&dual_stack(), &result));
    let error = other.env("CNI_ARGS", args).run().error();
    assert!(error.text.contains("recorded with another sandbox"), "{error:?}");
    container.del(&dual_stack()).env("CNI_ARGS", args).run().result();
    host.assert_nothing_left();
}

#[test]
fn what_is_wrong_is_in_the_log() {
    let host = Host::start();
    let container = host.container("c1");
    let mut netconf = dual_stack();
    netconf["log_file_path"] = json!("/var/lib/calico/cni.log");
    netconf["log_level"] = json!("error");
    container.call("calico", "CHECK", &netconf).run().error();
    let log = std::fs::read_to_string(host.folder().join("cni.log")).unwrap();
    assert!(log.contains("CHECK failed container=\"c1\" error=CHECK needs prevResult"), "{log}");
}

#[test]
fn the_kernel_is_looked_at() {
    let host = Host::start();
    let container = host.container("c1");
    let mut netconf = dual_stack();
    netconf["mtu"] = json!(1430);
    let result = container.add(&netconf).run().result();
    let mac = result["interfaces"][1]["mac"].as_str().unwrap();
    let told = |change: &dyn Fn(&mut Value)| {
        let mut result = result.clone();
        change(&mut result);
        difference(&container, &netconf, &result)
    };
    let text = told(&|result| result["interfaces"][1]["mac"] = json!("02:00:5e:10:00:01"));
    assert!(
        text.starts_with(&format!("interface eth0 in netns /var/run/netns/c1 has the MAC address {mac}")),
        "{text}"
    );
    let text = told(&|result| result["interfaces"][1]["mtu"] = json!(1500));
    assert!(text.starts_with("host interface calic1 has the MTU 1430, the result has 1500"), "{text}");
    let text = told(&|result| {
        let ips = result["ips"].as_array_mut().unwrap();
        ips.push(json!({ "address": "10.9.9.9/24", "interface": 1 }));
    });
    assert!(text.starts_with("interface eth0 in netns /var/run/netns/c1 lacks address 10.9.9.9/24"), "{text}");

    assert_ok(&container, &netconf, &result);
    container.ip("route delete default");
    let text = difference(&container, &netconf, &result);
    assert!(text.starts_with("netns /var/run/netns/c1 has no way from 10.65."), "{text}");
    container.ip("link delete eth0");
    let text = difference(&container, &netconf, &result);
    assert!(text.starts_with("netns /var/run/netns/c1 has no interface eth0"), "{text}");
    container.remove_namespace();
    let error = check(&container, &netconf, &result).run().error();
    assert!(error.text.contains("there is no such namespace"), "{error:?}");
    container.del(&netconf).run().result();
    host.assert_nothing_left();
}

/// Each object is made wrong in turn, and right again.
#[test]
fn the_record_and_the_allocation_are_looked_at() {
    let site = Site::start();
    let (Site { etcd, host }, netconf) = (&site, &site.netconf());
    let (container, other) = (host.container("c1"), host.container("c2"));
    let result = container.add(netconf).run().result();
    other.add(netconf).run().result();
    let address = result["ips"][0]["address"].as_str().unwrap().trim_end_matches("/32").to_owned();
    let before = etcd.dump();
    let key = |part: &str| before.keys().find(|key| key.contains(part)).unwrap().clone();
    let (endpoint, handle) = (key("workloadendpoints/default/node--1-cni-c1-eth0"), key("handle/net1.c1"));
    let block = key("ipv4/block/");
    let block = if block.contains("assignment") { block } else { key("assignment/ipv4/block/") };
    let changed = |key: &str, change: &dyn Fn(&mut Value)| {
        let mut object: Value = serde_json::from_str(&before[key]).unwrap();
        change(&mut object);
        object.to_string()
    };
    let ordinal = address.rsplit('.').next().unwrap().parse::<usize>().unwrap() % 64;
    let others = changed(&block, &|block| {
        let index = block["allocations"].as_array().unwrap().iter().rposition(|entry| !entry.is_null()).unwrap();
        let entry = block["allocations"][index].clone();
        block["allocations"][ordinal] = entry;
    });
    let of_ipam = format!("address {address} is not assigned to handle net1.c1, which has fd65:");
    let breakages: [(&str, Option<String>, &str); 9] = [
        (&endpoint, None, "nothing is recorded of the container: there is no endpoint node--1-cni-c1-eth0"),
        (&endpoint, Some("{".to_owned()), "node--1-cni-c1-eth0"),
        (
            &endpoint,
            Some(changed(&endpoint, &|it| it["spec"]["interfaceName"] = json!("calic2"))),
            "is connected to calic1 and not to calic2",
        ),
        (
            &endpoint,
            Some(changed(&endpoint, &|it| it["spec"]["ipNetworks"][0] = json!("10.65.9.9/32"))),
            "has the address 10.65.9.9, which the result does not have",
        ),
        (
            &endpoint,
            Some(changed(&endpoint, &|it| it["spec"]["ipNetworks"] = json!([it["spec"]["ipNetworks"][1]]))),
            "lacks the address 10.65.",
        ),
        (&handle, None, "no address is assigned to the container: there is no handle net1.c1"),
        (
            &handle,
            Some(changed(&handle, &|it| {
                it["block"].as_object_mut().unwrap().retain(|cidr, _| cidr.contains(':'));
            })),
            &of_ipam,
        ),
        (&block, None, &of_ipam),
        (&block, Some(others), &of_ipam),
    ];
    for (key, value, words) in &breakages {
        match value {
            Some(value) => etcd.put(key, value),
            None => etcd.delete(key),
        }
        let error = check(&container, netconf, &result).run().error();
        assert!(error.code == 999 && error.text.contains(words), "{key} {value:?}: {error:?}");
        etcd.put(key, &before[*key]);
        assert_ok(&container, netconf, &result);
    }
    let alone = || container.call("calico-ipam", "CHECK", &with_result(netconf, &result)).run().error().text;
    etcd.delete(&handle);
    let text = alone();
    assert!(text.starts_with("no address is assigned to the container: there is no handle net1.c1"), "{text}");
    etcd.put(&handle, &before[&handle]);
    etcd.put(&block, breakages[8].1.as_ref().unwrap());
    let text = alone();
    assert!(text.starts_with("no IPv4 address of the result (10.65."), "{text}");
    etcd.put(&block, &before[&block]);
    for container in [&container, &other] {
        container.del(netconf).run().result();
    }
    site.assert_nothing_left();
}

/// The IPAM plugin's own CHECK is part of it, and its error is the answer.
#[test]
fn another_ipam_plugin_checks_its_own() {
    for release in Plugins::ALL {
        let host = Host::start();
        let container = host.container("c1");
        let mut netconf = dual_stack();
        netconf["ipam"] = json!({
            "type": "host-local",
            "ranges": [[{ "subnet": "10.66.0.0/24" }], [{ "subnet": "fd66::/64" }]],
        });
        let path = format!("{}:{}", executables_folder().display(), folder_of(release).display());
        let call = |verb: &str, netconf: &Value| container.call("calico", verb, netconf).env("CNI_PATH", &path);
        let result = call("ADD", &netconf).run().result();
        let answer = call("CHECK", &with_result(&netconf, &result)).run();
        assert_eq!((answer.exit, answer.stdout.as_str()), (Some(0), "OK\n"), "{answer:#?}");
        host.run("sh", &["-c", "rm /var/lib/cni/networks/net1/10.66.* /var/lib/cni/networks/net1/fd66*"]);
        let error = call("CHECK", &with_result(&netconf, &result)).run().error();
        assert!(error.text.starts_with("host-local: Failed to find address added by container c1"), "{error:?}");
        call("DEL", &netconf).run().result();
        host.assert_nothing_left();
    }
}

fn folder_of(release: Plugins) -> PathBuf {
    reference_plugin(release, "host-local").parent().expect("it is in a folder").to_owned()
}

#[test]
fn a_second_network_of_the_container_is_checked_by_the_interface_it_has() {
    let host = Host::start();
    let container = host.container("c1");
    let first = dual_stack();
    for exec in [false, true] {
        let mut second = dual_stack();
        second["name"] = json!("net2");
        second["ipam"]["exec"] = json!(exec);
        let of_first = container.add(&first).run().result();
        let as_eth1 = |verb: &str, netconf: &Value| container.call("calico", verb, netconf).env("CNI_IFNAME", "eth1");
        let of_second = as_eth1("ADD", &second).run().result();
        assert_ok(&container, &first, &of_first);
        let answer = as_eth1("CHECK", &with_result(&second, &of_second)).run();
        assert_eq!((answer.exit, answer.stdout.as_str()), (Some(0), "OK\n"), "{answer:#?}");
        container.ip("link set eth0 down");
        let error = as_eth1("CHECK", &with_result(&second, &of_second)).run().error();
        assert!(error.text.starts_with("interface eth0 in netns /var/run/netns/c1 is down"), "{error:?}");
        as_eth1("DEL", &second).run().result();
        container.del(&first).run().result();
        host.assert_nothing_left();
    }
}

#[test]
fn a_datastore_that_does_not_answer_is_told_from_a_difference() {
    let site = Site::start();
    let (Site { etcd, host }, netconf) = (&site, &site.netconf());
    let container = host.container("c1");
    let result = container.add(netconf).run().result();
    let mut short = netconf.clone();
    short["timeout_seconds"] = json!(1);
    etcd.pause(0);
    let error = check(&container, &short, &result).run().error();
    etcd.resume(0);
    assert!(error.code == 11 && error.text.contains("172.31.0.1:2379"), "{error:?}");
    assert_ok(&container, netconf, &result);
    container.del(netconf).run().result();
    site.assert_nothing_left();
}
