//! Workload endpoints.

use std::net::IpAddr;

use calico_model::cidr::version;
use calico_model::endpoint_name::{NameError, join};
use serde_json::{Map, Value};

use super::Broken;
use super::part::{Part, printed_list};
use super::rule::{check_protocol, printed_protocol, supports_ports};
use super::tag::{Tag, cidr_or_address, reason};
use crate::kind::Kind;
use crate::kinds::metadata::METADATA;

/// Gives an endpoint its name, unless it has one, and the labels that say whose it is.
pub fn set_defaults(object: &mut Map<String, Value>) {
    let spec = spec_of(object);
    let (name, orchestrator) = (expected_name(&spec), spec.text("orchestrator").to_owned());
    let metadata = object.entry("metadata").or_insert_with(|| Map::new().into());
    let Value::Object(metadata) = metadata else { return };
    let text = |metadata: &Map<String, Value>, field| {
        metadata.get(field).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    if let (true, Ok(name)) = (text(metadata, "name").is_empty(), name) {
        metadata.insert("name".to_owned(), name.into());
    }
    let namespace = text(metadata, "namespace");
    let labels = metadata.entry("labels").or_insert_with(|| Map::new().into());
    if let Value::Object(labels) = labels {
        labels.insert("projectcalico.org/namespace".to_owned(), namespace.into());
        labels.insert("projectcalico.org/orchestrator".to_owned(), orchestrator.into());
        labels.sort_keys();
    }
    *metadata = METADATA.ordered(metadata);
}

/// An endpoint's name says which node, workload and interface it is of, and must say what the content does.
pub fn check_name(object: &Map<String, Value>) -> Option<Broken> {
    let name = Part::new(&METADATA, object.get("metadata"), "metadata").text("name").to_owned();
    let (field, value, reason) = match expected_name(&spec_of(object)) {
        Ok(expected) if name.is_empty() || name == expected => return None,
        Ok(expected) => {
            let text = "the WorkloadEndpoint name does not match the primary identifiers assigned in the Spec";
            ("Name", name, format!("{text}: expected name {expected}"))
        }
        Err(NameError::Dash { field, value }) => (field, value, "field must not begin/end with a '-'".to_owned()),
        Err(error) => ("Name", name, error.to_string()),
    };
    Some(Broken { field: field.to_owned(), value: Some(value), reason, path: "metadata.name".to_owned() })
}

/// The rules for endpoints.
pub fn check(spec: &Part<'_>) -> Vec<Broken> {
    let mut broken: Vec<Broken> = Vec::new();
    for (field, tag) in [
        ("orchestrator", Tag::Name),
        ("workload", Tag::Name),
        ("node", Tag::Name),
        ("containerID", Tag::ContainerId),
        ("pod", Tag::Name),
        ("endpoint", Tag::Name),
        ("serviceAccountName", Tag::Name),
    ] {
        broken.extend(spec.tagged(field, tag));
    }
    broken.extend(spec.each_tagged("ipNetworks", Tag::Net));
    broken.extend(spec.parts("ipNATs").iter().flat_map(check_nat));
    broken.extend(spec.tagged("ipv4Gateway", Tag::Ipv4));
    broken.extend(spec.tagged("ipv6Gateway", Tag::Ipv6));
    broken.extend(spec.each_tagged("profiles", Tag::Name));
    broken.extend(spec.required("interfaceName", Tag::Interface));
    broken.extend(spec.tagged("mac", Tag::Mac));
    broken.extend(spec.parts("ports").iter().flat_map(check_port));
    broken.extend(spec.each_tagged("allowSpoofedSourcePrefixes", Tag::Cidr));
    broken.extend(check_networks(spec));
    broken
}

fn check_nat(nat: &Part<'_>) -> Vec<Broken> {
    let sides = ["internalIP", "externalIP"];
    let mut broken: Vec<Broken> = sides.iter().filter_map(|side| nat.tagged(side, Tag::Ip)).collect();
    if let [Ok(internal), Ok(external)] = sides.map(|side| nat.text(side).parse::<IpAddr>())
        && internal.is_ipv4() != external.is_ipv4()
    {
        broken.push(nat.broken("externalIP", external.to_string(), "mismatched IP versions"));
    }
    broken
}

fn check_port(port: &Part<'_>) -> Vec<Broken> {
    let mut broken: Vec<Broken> = port.tagged("name", Tag::PortName).into_iter().collect();
    let protocol = port.get("protocol");
    broken.extend(check_protocol(protocol, port.path("protocol")));
    if port.number("port") == 0 {
        broken.push(port.broken("port", "0", reason("Port", "gt")));
    }
    broken.extend(port.tagged("hostIP", Tag::Net));
    let named = |name: &str, field: &str, value: String, reason: &str| {
        let (field, reason) = (format!("WorkloadEndpointPort.{field}"), format!("WorkloadEndpointPort {reason}"));
        Broken { field, value: Some(value), reason, path: port.path(name) }
    };
    if !supports_ports(protocol) {
        let value = printed_protocol(protocol);
        broken.push(named("protocol", "Protocol", value, "protocol does not support ports."));
    }
    if port.text("name").is_empty() && port.number("hostPort") == 0 {
        let rule = "name must not be empty if no HostPort is specified";
        broken.push(named("name", "Name", String::new(), rule));
    }
    broken
}

/// Each network of an endpoint is one address, and each translated address is one of them.
fn check_networks(spec: &Part<'_>) -> Vec<Broken> {
    let networks: Vec<_> = spec.texts("ipNetworks").into_iter().filter_map(cidr_or_address).collect();
    let mut broken = Vec::new();
    if networks.iter().any(|network| network.prefix() != version(network).bits()) {
        let value = printed_list(spec.texts("ipNetworks").into_iter().map(str::to_owned));
        broken.push(spec.broken("ipNetworks", value, "IP network contains multiple addresses"));
    }
    let nats = spec.parts("ipNATs");
    let mut internal = nats.iter().filter_map(|nat| nat.text("internalIP").parse::<IpAddr>().ok());
    if internal.any(|address| !networks.iter().any(|network| network.contains(address))) {
        let value = printed_list(nats.iter().map(Part::printed));
        broken.push(spec.broken("ipNATs", value, "NAT is not in the endpoint networks"));
    }
    broken
}

fn expected_name(spec: &Part<'_>) -> Result<String, NameError> {
    let orchestrator = spec.text("orchestrator");
    let workload = match orchestrator {
        "cni" => ("ContainerID", spec.text("containerID")),
        "k8s" => ("Pod", spec.text("pod")),
        "libnetwork" => ("Workload", "libnetwork"),
        _ => ("Workload", spec.text("workload")),
    };
    join(&[("Node", spec.text("node")), ("Orchestrator", orchestrator), workload, ("Endpoint", spec.text("endpoint"))])
}

fn spec_of(object: &Map<String, Value>) -> Part<'_> {
    Part::new(Kind::WorkloadEndpoint.about().spec, object.get("spec"), "spec")
}
