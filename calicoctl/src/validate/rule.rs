//! The rules of policies and profiles: what upstream checks of each, whatever it is a rule of.

use calico_model::cidr::{IpVersion, version};
use serde_json::Value;

use super::Broken;
use super::metadata::check_annotations;
use super::part::{Part, printed, printed_list};
use super::tag::{Tag, network, reason};

/// The protocols that have a name.
const PROTOCOLS: [&str; 6] = ["TCP", "UDP", "ICMP", "ICMPv6", "SCTP", "UDPLite"];

/// What a rule breaks.
pub fn check(rule: &Part<'_>) -> Vec<Broken> {
    let mut broken = Vec::new();
    for (protocol, icmp) in [("protocol", "icmp"), ("notProtocol", "notICMP")] {
        if let Some(value) = rule.get(protocol) {
            broken.extend(check_protocol(Some(value), rule.path(protocol)));
        }
        broken.extend(check_icmp(&rule.part(icmp)));
    }
    for side in ["source", "destination"] {
        broken.extend(check_side(&rule.part(side)));
    }
    broken.extend(check_http(&rule.part("http")));
    broken.extend(check_annotations(&rule.part("metadata")));
    broken.extend(check_ports_need_protocol(rule));
    broken.extend(check_families(rule));
    broken
}

/// A protocol is a number from 1, or one of the names, in these letters.
pub fn check_protocol(protocol: Option<&Value>, path: String) -> Option<Broken> {
    let reason = match protocol {
        Some(Value::String(name)) if PROTOCOLS.contains(&name.as_str()) => return None,
        Some(Value::String(_)) => "protocol name invalid",
        Some(value) if value != 0 => return None,
        _ => "protocol number invalid",
    };
    let (field, value) = ("Protocol".to_owned(), Some(printed_protocol(protocol)));
    Some(Broken { field, value, reason: reason.to_owned(), path })
}

/// Whether there are ports in a protocol.
pub fn supports_ports(protocol: Option<&Value>) -> bool {
    match protocol {
        Some(Value::String(name)) => ["TCP", "UDP", "SCTP"].contains(&name.as_str()),
        Some(number) => [6, 17, 132].iter().any(|supports| number == supports),
        None => false,
    }
}

/// A protocol as Go prints it; none is the number 0.
pub fn printed_protocol(protocol: Option<&Value>) -> String {
    protocol.map_or_else(|| "0".to_owned(), printed)
}

fn check_icmp(icmp: &Part<'_>) -> Vec<Broken> {
    let mut broken = Vec::new();
    for (field, title, most) in [("type", "Type", 254), ("code", "Code", 255)] {
        let number = icmp.number(field);
        let tag = if number < 0 { "gte" } else { "lte" };
        if !(0..=most).contains(&number) {
            broken.push(icmp.broken(field, number.to_string(), reason(title, tag)));
        }
    }
    broken
}

/// The fields of a rule's source or destination.
fn check_side(side: &Part<'_>) -> Vec<Broken> {
    let (services, accounts) = (side.part("services"), side.part("serviceAccounts"));
    let mut broken = side.each_tagged("nets", Tag::Net);
    broken.extend(side.tagged("selector", Tag::Selector));
    broken.extend(side.tagged("namespaceSelector", Tag::Selector));
    broken.extend(services.tagged("name", Tag::Name));
    broken.extend(services.tagged("namespace", Tag::Name));
    broken.extend(check_ports(side, "ports"));
    broken.extend(side.each_tagged("notNets", Tag::Net));
    broken.extend(side.tagged("notSelector", Tag::Selector));
    broken.extend(check_ports(side, "notPorts"));
    broken.extend(accounts.tagged("selector", Tag::Selector));
    let selector = side.text("namespaceSelector");
    let is_mixed = selector.contains("global(") && selector.replace([' ', '\t'], "") != "global()";
    if is_mixed {
        let text = "global() cannot be combined with other selectors";
        let broken_selector = side.broken("namespaceSelector", selector, text);
        broken.push(Broken { field: "NamespaceSelector field".to_owned(), ..broken_selector });
    }
    broken
}

/// Ports begin at 1.
fn check_ports(side: &Part<'_>, name: &str) -> Vec<Broken> {
    let is_zero = |port: &Value| match port {
        Value::String(text) => text.starts_with("0:"),
        port => port == 0,
    };
    let wrong = side.list(name).iter().enumerate().filter(|(_, port)| is_zero(port));
    let broken = |(index, _): (usize, &Value)| Broken {
        field: "Port".to_owned(),
        value: Some("0".to_owned()),
        reason: "port range invalid, port number must be between 1 and 65535".to_owned(),
        path: format!("{}[{index}]", side.path(name)),
    };
    wrong.map(broken).collect()
}

fn check_http(http: &Part<'_>) -> Vec<Broken> {
    let mut broken = Vec::new();
    let methods = http.texts("methods");
    let is_repeated = methods.iter().enumerate().any(|(index, method)| methods[..index].contains(method));
    if is_repeated {
        let value = printed_list(methods.iter().map(|&method| method.to_owned()));
        let text = format!("Invalid methods (duplicates): {value}");
        broken.push(http.broken("methods", value, text));
    }
    let paths = http.parts("paths");
    let fault = paths.iter().find_map(|path| match (path.text("exact"), path.text("prefix")) {
        ("", "") => Some("Invalid path match. Either 'exact' or 'prefix' must be set".to_owned()),
        (path, "") | ("", path) if path.starts_with('/') && !path.contains(['?', ' ', '#']) => None,
        (path, "") | ("", path) => {
            Some(format!("Invalid path {path}. (must start with `/` and not contain `?` or `#`"))
        }
        _ => Some("Invalid path match. Both 'exact' and 'prefix' are set".to_owned()),
    });
    let value = || printed_list(paths.iter().map(Part::printed));
    broken.extend(fault.map(|fault| http.broken("paths", value(), fault)));
    broken
}

/// These lists on both sides, by upstream's names.
fn lists<'a>(rule: &Part<'a>, names: [&'static str; 2]) -> impl Iterator<Item = (Part<'a>, &'static str, String)> {
    let sides = [("Source", rule.part("source")), ("Destination", rule.part("destination"))];
    let of_side = move |(title, side): (&str, Part<'a>)| {
        names.map(|name| (side.clone(), name, format!("{title}.{}", side.title(name))))
    };
    sides.into_iter().flat_map(of_side)
}

/// Only some protocols have ports. The name of a port says which it is of.
fn check_ports_need_protocol(rule: &Part<'_>) -> Vec<Broken> {
    let protocol = rule.get("protocol");
    if supports_ports(protocol) {
        return Vec::new();
    }
    let text = match protocol {
        None => "rules with numeric port or port range must set protocol to TCP or UDP or SCTP",
        Some(_) => "rules that specify ports must set protocol to TCP or UDP or SCTP",
    };
    let is_number = |port: &Value| port.as_str().is_none_or(|text| text.contains(':'));
    let is_wrong = |port: &Value| protocol.is_some() || is_number(port);
    let wrong = lists(rule, ["ports", "notPorts"]).filter(|(side, name, _)| side.list(name).iter().any(is_wrong));
    wrong.map(|(side, name, field)| in_list(&side, name, field, text)).collect()
}

/// All networks of a rule are of one family, and of the rule's if that says one.
fn check_families(rule: &Part<'_>) -> Vec<Broken> {
    let mut broken = Vec::new();
    let mut seen: Vec<IpVersion> = Vec::new();
    for (side, name, field) in lists(rule, ["nets", "notNets"]) {
        let mut found = Vec::new();
        for (index, text) in side.texts(name).into_iter().enumerate() {
            let fault = match network(text) {
                None => "invalid CIDR",
                Some(network) => {
                    found.push(version(&network));
                    let is_all = network.prefix() == 0 && network.network().is_unspecified();
                    if name != "notNets" || !is_all {
                        continue;
                    }
                    "catch-all CIDR in negation creates logical contradiction (matches no traffic)"
                }
            };
            let (value, path) = (Some(text.to_owned()), format!("{}[{index}]", side.path(name)));
            broken.push(Broken { field: field.clone(), value, reason: fault.to_owned(), path });
        }
        let stated = rule.get("ipVersion").and_then(Value::as_i64);
        let is_other = |version: &IpVersion| stated.is_some_and(|stated| stated.to_string() != version.to_string());
        if found.iter().any(is_other) {
            broken.push(in_list(&side, name, field.clone(), "rule IP version doesn't match CIDR version"));
        }
        let is_mixed = found.iter().any(|version| seen.iter().chain(&found).any(|other| other != version));
        if is_mixed {
            broken.push(in_list(&side, name, field, "rule contains both IPv4 and IPv6 CIDRs"));
        }
        seen.extend(found);
    }
    broken
}

/// A whole list breaks a rule.
fn in_list(side: &Part<'_>, name: &str, field: String, reason: &str) -> Broken {
    let value = Some(printed_list(side.list(name).iter().map(printed)));
    Broken { field, value, reason: reason.to_owned(), path: side.path(name) }
}
