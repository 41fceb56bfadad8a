//! The kernel's state, as recordings have it.

use serde_json::{Map, Value, json};

use crate::container::Container;
use crate::host::Host;
use crate::place::Place;

/// The kernel's state as recordings have it, masked: the container's, and that of its host end if there is one. The host has
/// no other container.
pub fn kernel_state(host: &Host, container: &Container<'_>, ifname: &str) -> Value {
    let mut state = Map::new();
    let mut put = |key: &str, value: Value| state.insert(key.to_owned(), value);
    put("container addr", container.ip_json("address show").into());
    put("container route", lines(&container.ip("route show table all")));
    put("container neigh", container.ip_json("neighbour show").into());
    let of_interface = |setting: &str| format!("ipv6/conf/{ifname}/{setting}");
    let settings = ["ipv4/ip_forward", "ipv6/conf/all/forwarding", "ipv6/conf/all/disable_ipv6"].map(str::to_owned);
    put(
        "container sysctl",
        settings_of(container, settings.into_iter().chain(["accept_dad", "disable_ipv6"].map(of_interface))),
    );

    let ends = host.added_links();
    assert!(ends.len() <= 1, "more than one host end: {ends:?}");
    if let Some(end) = ends.first() {
        put("host link", host.ip_json(&format!("address show dev {end}")).into());
        let routes = host.ip(&format!("-4 route show dev {end}")) + &host.ip(&format!("-6 route show dev {end}"));
        put("host route", lines(&routes));
        let settings = ["conf/#/route_localnet", "neigh/#/proxy_delay", "conf/#/proxy_arp", "conf/#/forwarding"];
        let settings6 = ["accept_dad", "disable_ipv6", "proxy_ndp", "forwarding", "accept_ra"];
        let names = settings.iter().map(|name| format!("ipv4/{}", name.replace('#', end)));
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

pub(super) fn mask_kernel(value: &Value) -> Value {
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

/// Whether the kernel may have made up a MAC address: those that it makes up are locally administered.
pub(super) fn is_random(mac: &str) -> bool {
    mac.chars().nth(1).is_some_and(|digit| "26ae".contains(digit))
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
    } else if link["address"].as_str().is_some_and(is_random) {
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
