//! Real plugins, asked for results of every version.

use std::path::Path;

use e2e::{Host, Place, Plugins};
use serde_json::{Value, json};

use crate::{netconf, plugins, with_path};

const VERSIONS: [&str; 7] = ["", "0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0"];

/// The addresses, in order; the routes; the name servers, whatever the format.
fn facts(result: &Value) -> (Vec<String>, Vec<Value>, Value) {
    let families: Vec<&Value> = ["ip4", "ip6"].iter().map(|family| &result[family]).filter(|f| !f.is_null()).collect();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let (addresses, routes) = match families.is_empty() {
        true => (list(&result["ips"]).iter().map(|ip| text(&ip["address"])).collect(), list(&result["routes"])),
        false => (
            families.iter().map(|family| text(&family["ip"])).collect(),
            families.iter().flat_map(|family| list(&family["routes"])).collect(),
        ),
    };
    let has_gateway = |ip: &Value| ip.get("gateway").is_some();
    assert!(!families.into_iter().any(has_gateway) && !list(&result["ips"]).iter().any(has_gateway), "{result}");
    (addresses, routes, result["dns"]["nameservers"].clone())
}

#[track_caller]
fn in_every_version(folder: &Path, ipam: &Value, addresses: &[&str], routes: &Value, name_servers: &Value) {
    for version in VERSIONS {
        let host = Host::start();
        let container = host.container("c1");
        let mut netconf = netconf(ipam.clone());
        netconf["cniVersion"] = json!(version);
        let result = with_path(container.add(&netconf), folder).run().result();
        assert_eq!(result["cniVersion"], if version.is_empty() { "0.2.0" } else { version });
        let found = facts(&result);
        assert_eq!(found.0, addresses, "{version}: {result}");
        assert_eq!((&json!(found.1), &found.2), (routes, name_servers), "{version}: {result}");
        for address in addresses {
            assert!(host.ping(address.split('/').next().unwrap()), "{version}: {address} does not answer");
        }
        with_path(container.del(&netconf), folder).run().result();
        assert_eq!(container.links(), ["lo"]);
        host.assert_nothing_left();
    }
}

fn host_local(folder: &Path) {
    let ipam = json!({
        "type": "host-local",
        "ranges": [[{"subnet": "10.9.0.0/24", "gateway": "10.9.0.9"}], [{"subnet": "fd09::/64"}]],
        "routes": [{"dst": "0.0.0.0/0"}, {"dst": "10.1.0.0/16", "gw": "10.9.0.7"}, {"dst": "::/0"}],
    });
    let routes = json!([{"dst": "0.0.0.0/0"}, {"dst": "10.1.0.0/16", "gw": "10.9.0.7"}, {"dst": "::/0"}]);
    in_every_version(folder, &ipam, &["10.9.0.1/32", "fd09::2/128"], &routes, &Value::Null);
}

fn fixed(folder: &Path) {
    let ipam = json!({
        "type": "static",
        "addresses": [
            {"address": "10.9.0.5/24", "gateway": "10.9.0.1"},
            {"address": "fd09::5/64", "gateway": "fd09::1"},
        ],
        "routes": [{"dst": "0.0.0.0/0"}, {"dst": "fd00::/8", "gw": "fd09::7"}],
        "dns": {"nameservers": ["10.0.0.53"]},
    });
    let routes = json!([{"dst": "0.0.0.0/0"}, {"dst": "fd00::/8", "gw": "fd09::7"}]);
    in_every_version(folder, &ipam, &["10.9.0.5/32", "fd09::5/128"], &routes, &json!(["10.0.0.53"]));
}

#[test]
fn host_local_old_and_new() {
    for release in [Plugins::Debian1_1, Plugins::V1_9] {
        host_local(&plugins(release));
    }
}

#[test]
fn static_old_and_new() {
    for release in [Plugins::Debian1_1, Plugins::V1_9] {
        fixed(&plugins(release));
    }
}
