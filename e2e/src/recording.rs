//! Recorded runs, and what a run of ours is compared with them by.
//!
//! What differs from run to run is masked by name on both sides before comparing: UUIDs, times, sequence numbers, MAC
//! addresses and what follows from them. That a MAC is the same wherever it appears is for the caller to check.

use std::path::Path;

use serde_json::{Map, Value, json};

use crate::container::Container;
use crate::host::Host;
use crate::place::Place;
use crate::store::Stored;

/// One recorded scenario.
pub struct Recording {
    /// The configuration on stdin, without the keys that name the datastore.
    pub netconf: Value,
    /// The calls.
    pub steps: Vec<Step>,
}

/// One recorded call and what was there after it.
pub struct Step {
    /// Which executable was run.
    pub executable: String,
    /// The CNI command.
    pub verb: String,
    /// The container.
    pub container: String,
    /// `CNI_ARGS`.
    pub arguments: String,
    /// The exit status.
    pub exit: i64,
    /// What it printed, verbatim.
    pub stdout: String,
    /// The objects of address management, profiles and endpoints.
    pub store: Value,
    /// The kernel's state, `null` if it was not recorded.
    pub kernel: Value,
}

impl Recording {
    /// Reads a scenario from the fixtures.
    pub fn load(name: &str) -> Recording {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(format!("{name}.json"));
        let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let value: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let steps = value["steps"].as_array().into_iter().flatten().map(Step::of).collect();
        Recording { netconf: value["netconf"].clone(), steps }
    }

    /// The recorded configuration on the embedded store, with the pools that were there when it was recorded.
    pub fn local_netconf(&self) -> Value {
        let mut netconf = self.netconf.clone();
        netconf["datastore_type"] = json!("local");
        netconf["ipam"]["ipv4_pools"] = json!(["192.168.0.0/16"]);
        netconf["ipam"]["ipv6_pools"] = json!(["fd80:24e2:f998:72d6::/64"]);
        netconf
    }
}

impl Step {
    fn of(value: &Value) -> Step {
        let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
        Step {
            executable: text("binary"),
            verb: text("CNI_COMMAND"),
            container: text("CNI_CONTAINERID"),
            arguments: text("CNI_ARGS"),
            exit: value["exit"].as_i64().unwrap_or_default(),
            stdout: text("stdout"),
            store: mask_store(&value["store"]),
            kernel: mask_kernel(&value["kernel"]),
        }
    }
}

/// A result with its MAC masked, byte for byte otherwise; and that MAC, if there is one.
pub fn mask_result(stdout: &str) -> (String, Option<String>) {
    let result: Value = serde_json::from_str(stdout).unwrap_or_default();
    match result["interfaces"][1]["mac"].as_str() {
        Some(mac) => (stdout.replace(mac, "<mac>"), Some(mac.to_owned())),
        None => (stdout.to_owned(), None),
    }
}

/// The stored objects that recordings have, masked.
pub fn stored_state(stored: &Stored) -> Value {
    let recorded =
        |path: &str| ["/ipam/v2/", "/profiles/", "/workloadendpoints/"].iter().any(|part| path.contains(part));
    let objects = stored.0.iter().filter(|(path, _)| recorded(path));
    mask_store(&objects.map(|(path, object)| (path.clone(), object.clone())).collect::<Map<_, _>>().into())
}

fn mask_store(value: &Value) -> Value {
    match value {
        Value::Object(map) => map.iter().map(|(key, value)| (key.clone(), mask_field(key, value))).collect(),
        Value::Array(list) if list.len() > 16 => {
            let first: Vec<String> = list.iter().take(4).map(Value::to_string).collect();
            json!(format!("[{} entries, first [{}]]", list.len(), first.join(", ")))
        }
        Value::Array(list) => list.iter().map(mask_store).collect(),
        other => other.clone(),
    }
}

fn mask_field(key: &str, value: &Value) -> Value {
    match (key, value) {
        ("uid" | "mac" | "creationTimestamp" | "timestamp" | "affinity_claim_time", Value::String(text)) => {
            json!(format!("<{key} of {} characters>", masked_length(key, text)))
        }
        ("sequenceNumber", Value::Number(_)) => json!("<number>"),
        ("sequenceNumberForAllocation", Value::Object(map)) => {
            map.iter().map(|(ordinal, number)| (ordinal.clone(), json!(number.is_number()))).collect()
        }
        _ => mask_store(value),
    }
}

/// The length of a masked text, which tells one format from another; but fractions of seconds vary in length.
fn masked_length(key: &str, text: &str) -> usize {
    match (key, text.split_once('.')) {
        ("timestamp", Some((before, after))) => {
            before.len() + after.trim_start_matches(|c: char| c.is_ascii_digit()).len()
        }
        _ => text.len(),
    }
}

/// The kernel's state as recordings have it, masked: the container's, and that of its host end if there is one.
pub fn kernel_state(host: &Host, container: &Container<'_>, ifname: &str) -> Value {
    let mut state = Map::new();
    let mut put = |key: &str, value: Value| state.insert(key.to_owned(), value);
    put("container addr", container.ip_json("address show").into());
    put("container route", lines(&container.ip("route show table all")));
    let of_interface = |setting: &str| format!("ipv6/conf/{ifname}/{setting}");
    let settings = ["ipv4/ip_forward", "ipv6/conf/all/forwarding", "ipv6/conf/all/disable_ipv6"].map(str::to_owned);
    put(
        "container sysctl",
        settings_of(container, settings.into_iter().chain(["accept_dad", "disable_ipv6"].map(of_interface))),
    );

    let end = container.host_end();
    if host.links().contains(&end) {
        put("host link", host.ip_json(&format!("address show dev {end}")).into());
        let routes = host.ip(&format!("-4 route show dev {end}")) + &host.ip(&format!("-6 route show dev {end}"));
        put("host route", lines(&routes));
        let settings = ["conf/#/route_localnet", "neigh/#/proxy_delay", "conf/#/proxy_arp", "conf/#/forwarding"];
        let settings6 = ["accept_dad", "disable_ipv6", "proxy_ndp", "forwarding", "accept_ra"];
        let names = settings.iter().map(|name| format!("ipv4/{}", name.replace('#', &end)));
        let names6 = settings6.iter().map(|name| format!("ipv6/conf/{end}/{name}"));
        put("host sysctl", settings_of(host, names.chain(names6)));
    }
    mask_kernel(&state.into())
}

fn lines(text: &str) -> Value {
    text.lines().map(Value::from).collect()
}

fn settings_of(place: &impl Place, names: impl Iterator<Item = String>) -> Value {
    names.map(|name| (name.clone(), json!(place.sysctl(&name)))).collect::<Map<_, _>>().into()
}

fn mask_kernel(value: &Value) -> Value {
    let mut state = value.clone();
    for key in ["container addr", "host link"] {
        if let Some(links) = state.get_mut(key).and_then(Value::as_array_mut) {
            *links = links.iter().map(mask_link).collect();
        }
    }
    for key in ["container route", "host route"] {
        if let Some(routes) = state.get_mut(key).and_then(Value::as_array_mut) {
            let mut kept: Vec<String> =
                routes.iter().filter_map(|route| Some(route.as_str()?.trim().to_owned())).collect();
            // The kernel adds this one when it has made sure that nobody else has the address: a second later.
            kept.retain(|route| !route.starts_with("local fe80::"));
            kept.sort();
            *routes = kept.into_iter().map(Value::from).collect();
        }
    }
    state
}

/// A link with the fields recordings have. Link-local addresses that follow from a random MAC are masked, and whether
/// they were already checked for duplicates is left out.
fn mask_link(link: &Value) -> Value {
    let mut kept = Map::new();
    for key in ["ifname", "mtu", "address", "operstate", "txqlen", "num_tx_queues"] {
        if let Some(value) = link.get(key) {
            kept.insert(key.to_owned(), value.clone());
        }
    }
    if link["ifname"].as_str().is_some_and(|name| name.starts_with("cali")) {
        kept.remove("txqlen");
    } else if link["ifname"] != "lo" {
        kept.insert("address".to_owned(), json!("<mac>"));
    }
    let addresses = link["addr_info"].as_array().into_iter().flatten().map(|address| {
        let mut address = address.clone();
        if let Some(map) = address.as_object_mut() {
            map.retain(|key, _| key != "tentative");
        }
        if address["local"].as_str().is_some_and(|ip| ip.starts_with("fe80::") && ip != "fe80::ecee:eeff:feee:eeee") {
            address["local"] = json!("<link-local>");
        }
        address
    });
    kept.insert("addr_info".to_owned(), addresses.collect());
    kept.into()
}
