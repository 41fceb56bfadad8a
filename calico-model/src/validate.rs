//! The rules that an endpoint and a profile must keep to be stored: those of upstream's client, which refuses to write,
//! and in part to use, what breaks them.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use ipnetwork::IpNetwork;
use thiserror::Error;

use crate::cidr;
use crate::endpoint::{IpNat, WorkloadEndpoint, WorkloadEndpointSpec};
use crate::endpoint_name::{NameError, is_dns_subdomain, join};
use crate::resource::{Kind, Metadata, Profile};

/// What a label is.
const LABEL_RULE: &str = "a label's key is a name, perhaps after a DNS domain and a '/'; name and value have at most 63 letters, digits, '-', '_' and '.', and begin and end with a letter or digit";

/// What a name is.
const NAME_RULE: &str = "names (of nodes, endpoints, profiles, and of a network, which becomes its profile's) may have only lower-case letters, digits, '-' and '.', must begin and end with a letter or digit, and be at most 253 characters long";

/// An object must not be stored as it is. The text is upstream's; [`Invalid::advice`] says what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("error with field {field} = '{value}' ({reason})")]
pub struct Invalid {
    /// The object's kind.
    pub kind: Kind,
    /// The object's name, with its namespace where it has one.
    pub object: String,
    /// The field, as upstream names it.
    pub field: String,
    /// What is in it.
    pub value: String,
    /// The rule that it breaks, in upstream's words.
    pub reason: String,
    /// The same in words for people.
    pub rule: &'static str,
}

impl Invalid {
    /// Which object it is, and how to make it valid.
    pub fn advice(&self) -> String {
        format!("the {} {} was not stored: {}", self.kind.name(), self.object, self.rule)
    }
}

/// One broken rule, of an object yet to be named.
struct Broken {
    field: String,
    value: String,
    reason: String,
    rule: &'static str,
}

/// The rules for one field's value, by upstream's names.
#[derive(Clone, Copy)]
enum Tag {
    ContainerId,
    Interface,
    Labels,
    Mac,
    Name,
    Net,
}

impl Tag {
    fn name(self) -> &'static str {
        match self {
            Tag::ContainerId => "containerID",
            Tag::Interface => "interface",
            Tag::Labels => "labels",
            Tag::Mac => "mac",
            Tag::Name => "name",
            Tag::Net => "net",
        }
    }

    fn rule(self) -> &'static str {
        match self {
            Tag::ContainerId => {
                "a container ID may have letters, digits, '-' and '.', and begins and ends with a letter or digit"
            }
            Tag::Interface => "an interface's name has 1 to 15 letters, digits, '_', '.' and '-'",
            Tag::Labels => LABEL_RULE,
            Tag::Mac => "a MAC address is written like 02:00:5e:10:00:01",
            Tag::Name => NAME_RULE,
            Tag::Net => "a network is a CIDR without host bits, or an address",
        }
    }

    /// The rule is broken by a field's value.
    fn broken(self, field: impl Into<String>, value: &str) -> Broken {
        let field = field.into();
        let reason = format!("Reason: failed to validate Field: {field} because of Tag: {} ", self.name());
        Broken { field, value: value.to_owned(), reason, rule: self.rule() }
    }
}

impl WorkloadEndpoint {
    /// Checks what upstream's client checks before it writes an endpoint. Fields that this code does not know are not
    /// judged.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn validate(&self) -> Result<(), Invalid> {
        let object = format!("{}/{}", self.metadata.namespace, self.metadata.name);
        check_endpoint(self).map_err(|broken| broken.of(Kind::WorkloadEndpoint, object))
    }
}

impl Profile {
    /// Checks what upstream's client checks before it writes a profile. Its policy rules are not judged.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn validate(&self) -> Result<(), Invalid> {
        check_profile(self).map_err(|broken| broken.of(Kind::Profile, self.metadata.name.clone()))
    }
}

impl Broken {
    fn of(self, kind: Kind, object: String) -> Invalid {
        let Broken { field, value, reason, rule } = self;
        Invalid { kind, object, field, value, reason, rule }
    }
}

fn check_endpoint(endpoint: &WorkloadEndpoint) -> Result<(), Broken> {
    let WorkloadEndpoint { metadata, spec, .. } = endpoint;
    check_identity(&metadata.name, spec)?;
    check_metadata(metadata)?;
    for (field, value) in [
        ("Orchestrator", &spec.orchestrator),
        ("Workload", &spec.workload),
        ("Node", &spec.node),
        ("Pod", &spec.pod),
        ("Endpoint", &spec.endpoint),
        ("ServiceAccountName", &spec.service_account_name),
    ] {
        if !value.is_empty() && !is_dns_subdomain(value) {
            return Err(Tag::Name.broken(field, value));
        }
    }
    if !spec.container_id.is_empty() && !is_container_id(&spec.container_id) {
        return Err(Tag::ContainerId.broken("ContainerID", &spec.container_id));
    }
    for (index, profile) in spec.profiles.iter().enumerate() {
        if !is_dns_subdomain(profile) {
            return Err(Tag::Name.broken(format!("Profiles[{index}]"), profile));
        }
    }
    if !is_interface(&spec.interface_name) {
        return Err(Tag::Interface.broken("InterfaceName", &spec.interface_name));
    }
    if !spec.mac.is_empty() && !is_mac(&spec.mac) {
        return Err(Tag::Mac.broken("MAC", &spec.mac));
    }
    check_addresses(spec)?;
    check_ports(spec)
}

/// The name says which node, workload and interface the endpoint is of, and must say what the content does.
fn check_identity(name: &str, spec: &WorkloadEndpointSpec) -> Result<(), Broken> {
    let (workload_field, workload) = match spec.orchestrator.as_str() {
        "cni" => ("ContainerID", spec.container_id.as_str()),
        "k8s" => ("Pod", spec.pod.as_str()),
        "libnetwork" => ("Workload", "libnetwork"),
        _ => ("Workload", spec.workload.as_str()),
    };
    let segments = [
        ("Node", spec.node.as_str()),
        ("Orchestrator", &spec.orchestrator),
        (workload_field, workload),
        ("Endpoint", &spec.endpoint),
    ];
    let (field, value, reason) = match join(&segments) {
        Ok(expected) if name == expected => return Ok(()),
        Ok(expected) => {
            let text = "the WorkloadEndpoint name does not match the primary identifiers assigned in the Spec";
            ("Name", name.to_owned(), format!("{text}: expected name {expected}"))
        }
        Err(NameError::Dash { field, value }) => (field, value, "field must not begin/end with a '-'".to_owned()),
        Err(error) => ("Name", name.to_owned(), error.to_string()),
    };
    Err(Broken {
        field: field.to_owned(),
        value,
        reason,
        rule: "an endpoint is named after the fields that say whose it is",
    })
}

fn check_metadata(metadata: &Metadata) -> Result<(), Broken> {
    let name = &metadata.name;
    let reason = match name.len() {
        length @ 254.. => Some(format!("name is too long by {} bytes", length - 253)),
        _ if is_dns_subdomain(name) => None,
        _ => Some(
            "name must consist of lower case alphanumeric characters, '-' or '.' (regex: [a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*)"
                .to_owned(),
        ),
    };
    if let Some(reason) = reason {
        return Err(Broken { field: "Metadata.Name".to_owned(), value: name.clone(), reason, rule: NAME_RULE });
    }
    if are_labels(&metadata.labels) {
        return Ok(());
    }
    let (field, reason) = ("Metadata.Labels".to_owned(), "not all are valid labels".to_owned());
    Err(Broken { field, value: go_map(&metadata.labels), reason, rule: LABEL_RULE })
}

/// Each network of the endpoint is one address, and each translated address is one of them.
fn check_addresses(spec: &WorkloadEndpointSpec) -> Result<(), Broken> {
    let broken = |field: &str, value, reason: &str, rule| {
        Err(Broken { field: field.to_owned(), value, reason: reason.to_owned(), rule })
    };
    let mut networks = Vec::new();
    for (index, text) in spec.ip_networks.iter().enumerate() {
        match text.parse::<IpNetwork>() {
            Ok(network) if network == cidr::masked(&network) => networks.push(network),
            _ => return Err(Tag::Net.broken(format!("IPNetworks[{index}]"), text)),
        }
    }
    for (index, text) in spec.allow_spoofed_source_prefixes.iter().enumerate() {
        if text.parse::<IpNetwork>().is_err() {
            return Err(Tag::Net.broken(format!("AllowSpoofedSourcePrefixes[{index}]"), text));
        }
    }
    if networks.iter().any(|network| network.prefix() != cidr::version(network).bits()) {
        let rule = "every network of an endpoint is a single address, /32 or /128";
        return broken("IPNetworks", go_list(&spec.ip_networks), "IP network contains multiple addresses", rule);
    }
    for nat in &spec.ip_nats {
        let parsed = (nat.internal_ip.parse::<IpAddr>(), nat.external_ip.parse::<IpAddr>());
        let (Ok(internal), Ok(external)) = parsed else {
            let rule = "both sides of a NAT are addresses without a prefix length";
            return broken("IPNATs", go_list(&spec.ip_nats), "invalid IP", rule);
        };
        if internal.is_ipv4() != external.is_ipv4() {
            let rule = "a NAT is between two addresses of one family";
            return broken("IPNATs", go_list(&spec.ip_nats), "mismatched IP versions", rule);
        }
        if !networks.iter().any(|network| network.contains(internal)) {
            let rule = "a NAT's internal address is one of the endpoint's own";
            return broken("IPNATs", go_list(&spec.ip_nats), "NAT is not in the endpoint networks", rule);
        }
    }
    Ok(())
}

/// A port has a name or is reached through the host: for anything else there is no use.
fn check_ports(spec: &WorkloadEndpointSpec) -> Result<(), Broken> {
    let useless = spec.ports.iter().position(|port| port.name.is_empty() && port.host_port == 0);
    useless.map_or(Ok(()), |index| {
        Err(Broken {
            field: format!("Ports[{index}]"),
            value: spec.ports[index].port.to_string(),
            reason: "port has neither a name nor a host port".to_owned(),
            rule: "a port of an endpoint has a name or a number on the host",
        })
    })
}

fn check_profile(profile: &Profile) -> Result<(), Broken> {
    check_metadata(&profile.metadata)?;
    let labels = &profile.spec.labels_to_apply;
    if are_labels(labels) { Ok(()) } else { Err(Tag::Labels.broken("LabelsToApply", &go_map(labels))) }
}

/// Whether this may be a container's ID. Upstream refuses dots, too. This plugin has always networked containers with
/// such IDs, and nothing in Calico takes the ID apart.
pub fn is_container_id(text: &str) -> bool {
    text.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'.')) && has_sound_ends(text)
}

/// Whether an interface may have this name.
pub fn is_interface(text: &str) -> bool {
    (1..=15).contains(&text.len()) && text.bytes().all(is_word_byte)
}

fn are_labels(labels: &BTreeMap<String, String>) -> bool {
    labels.iter().all(|(key, value)| is_label(key, value))
}

/// Whether Kubernetes takes this as a label.
fn is_label(key: &str, value: &str) -> bool {
    let (domain, name) = key.split_once('/').map_or((None, key), |(domain, name)| (Some(domain), name));
    domain.is_none_or(is_dns_subdomain) && is_label_text(name) && (value.is_empty() || is_label_text(value))
}

fn is_label_text(text: &str) -> bool {
    text.len() <= 63 && text.bytes().all(is_word_byte) && has_sound_ends(text)
}

fn has_sound_ends(text: &str) -> bool {
    [text.bytes().next(), text.bytes().last()].iter().all(|end| end.is_some_and(|c| c.is_ascii_alphanumeric()))
}

fn is_word_byte(c: u8) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.')
}

/// Whether Go takes this as a hardware address: of 6, 8 or 20 bytes, as `02:00:..`, `02-00-..` or `0200.5e10..`.
pub fn is_mac(text: &str) -> bool {
    let Some(separator) = text.chars().find(|c| matches!(c, ':' | '-' | '.')) else { return false };
    let digits = if separator == '.' { 4 } else { 2 };
    let groups: Vec<&str> = text.split(separator).collect();
    groups.iter().all(|group| group.len() == digits && group.bytes().all(|c| c.is_ascii_hexdigit()))
        && [6, 8, 20].contains(&(groups.len() * digits / 2))
}

/// A list as Go prints it: `[a b]`.
fn go_list(items: &[impl fmt::Display]) -> String {
    let items: Vec<String> = items.iter().map(|item| item.to_string()).collect();
    format!("[{}]", items.join(" "))
}

/// A map as Go prints it: `map[a:1 b:2]`.
fn go_map(labels: &BTreeMap<String, String>) -> String {
    let labels: Vec<String> = labels.iter().map(|(key, value)| format!("{key}:{value}")).collect();
    format!("map[{}]", labels.join(" "))
}

/// As Go prints it: `{internal external}`.
impl fmt::Display for IpNat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{} {}}}", self.internal_ip, self.external_ip)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::EndpointPort;
    use crate::resource::{ProfileSpec, Resource};

    fn endpoint() -> WorkloadEndpoint {
        serde_json::from_str(r#"{"kind":"WorkloadEndpoint","apiVersion":"projectcalico.org/v3","metadata":{"name":"node--1-cni-c1-eth0","namespace":"default","labels":{"projectcalico.org/namespace":"default","projectcalico.org/orchestrator":"cni"}},"spec":{"orchestrator":"cni","node":"node-1","containerID":"c1","endpoint":"eth0","ipNetworks":["192.168.84.128/32","fd80::1/128"],"ipNATs":[{"internalIP":"192.168.84.128","externalIP":"1.2.3.4"},{"internalIP":"fd80::1","externalIP":"fd99::1"}],"profiles":["net1"],"interfaceName":"calic1","mac":"66:f4:bb:7d:6e:cc"}}"#).unwrap()
    }

    fn profile(name: &str) -> Profile {
        let labels_to_apply = [(name.to_owned(), String::new())].into();
        Resource::new(Kind::Profile, name, ProfileSpec { labels_to_apply, ..ProfileSpec::default() })
    }

    #[test]
    fn what_is_right_passes() {
        endpoint().validate().unwrap();
        let mut minimal = endpoint();
        (minimal.spec.mac, minimal.spec.ip_nats) = (String::new(), vec![]);
        (minimal.spec.ip_networks, minimal.spec.profiles) = (vec![], vec![]);
        minimal.validate().unwrap();
        let mut dotted = endpoint();
        dotted.spec.container_id = "c.1".to_owned();
        dotted.metadata.name = "node--1-cni-c.1-eth0".to_owned();
        dotted.validate().unwrap();
        let mut pod = endpoint();
        (pod.spec.orchestrator, pod.spec.pod) = ("k8s".to_owned(), "web-0.x".to_owned());
        pod.metadata.name = "node--1-k8s-web--0.x-eth0".to_owned();
        pod.validate().unwrap();
        for name in ["net1", "k8s-pod-network", "a.b", "0"] {
            profile(name).validate().unwrap();
        }
    }

    #[test]
    fn each_rule_of_endpoints() {
        type Spoil = fn(&mut WorkloadEndpoint);
        let name_tag = |field: &str| format!("Reason: failed to validate Field: {field} because of Tag: name ");
        let cases: [(Spoil, &str, &str, &str); 24] = [
            (
                |e| e.metadata.name = "bad".into(),
                "Name",
                "bad",
                "the WorkloadEndpoint name does not match the primary identifiers assigned in the Spec: expected name node--1-cni-c1-eth0",
            ),
            (
                |e| e.spec.endpoint = "eth1".into(),
                "Name",
                "node--1-cni-c1-eth0",
                "the WorkloadEndpoint name does not match the primary identifiers assigned in the Spec: expected name node--1-cni-c1-eth1",
            ),
            (
                |e| e.spec.node = String::new(),
                "Name",
                "node--1-cni-c1-eth0",
                "cannot name the workload endpoint: the Node is empty",
            ),
            (|e| e.spec.container_id = "c1-".into(), "ContainerID", "c1-", "field must not begin/end with a '-'"),
            (
                |e| {
                    e.spec.container_id = "C1".into();
                    e.metadata.name = "node--1-cni-C1-eth0".into()
                },
                "Metadata.Name",
                "node--1-cni-C1-eth0",
                "name must consist of lower case alphanumeric characters, '-' or '.' (regex: [a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*)",
            ),
            (
                |e| {
                    (e.spec.orchestrator, e.spec.pod) = ("k8s".into(), "web".into());
                    e.spec.container_id = "c_1".into();
                    e.metadata.name = "node--1-k8s-web-eth0".into()
                },
                "ContainerID",
                "c_1",
                "Reason: failed to validate Field: ContainerID because of Tag: containerID ",
            ),
            (
                |e| e.metadata.labels = [("a b".into(), "c".into())].into(),
                "Metadata.Labels",
                "map[a b:c]",
                "not all are valid labels",
            ),
            (
                |e| e.metadata.labels = [("a".into(), "-".into())].into(),
                "Metadata.Labels",
                "map[a:-]",
                "not all are valid labels",
            ),
            (|e| e.spec.pod = "Pod".into(), "Pod", "Pod", &name_tag("Pod")),
            (|e| e.spec.profiles.push("Net_1".into()), "Profiles[1]", "Net_1", &name_tag("Profiles[1]")),
            (|e| e.spec.profiles.push(String::new()), "Profiles[1]", "", &name_tag("Profiles[1]")),
            (
                |e| e.spec.interface_name = String::new(),
                "InterfaceName",
                "",
                "Reason: failed to validate Field: InterfaceName because of Tag: interface ",
            ),
            (
                |e| e.spec.interface_name = "cali567890123456".into(),
                "InterfaceName",
                "cali567890123456",
                "Reason: failed to validate Field: InterfaceName because of Tag: interface ",
            ),
            (
                |e| e.spec.interface_name = "a/b".into(),
                "InterfaceName",
                "a/b",
                "Reason: failed to validate Field: InterfaceName because of Tag: interface ",
            ),
            (
                |e| e.spec.mac = "66:f4:bb:7d:6e".into(),
                "MAC",
                "66:f4:bb:7d:6e",
                "Reason: failed to validate Field: MAC because of Tag: mac ",
            ),
            (
                |e| e.spec.ip_networks[1] = "fd80::1/129".into(),
                "IPNetworks[1]",
                "fd80::1/129",
                "Reason: failed to validate Field: IPNetworks[1] because of Tag: net ",
            ),
            (
                |e| e.spec.ip_networks[0] = "10.0.0.1/24".into(),
                "IPNetworks[0]",
                "10.0.0.1/24",
                "Reason: failed to validate Field: IPNetworks[0] because of Tag: net ",
            ),
            (
                |e| e.spec.ip_networks[0] = "10.0.0.0/24".into(),
                "IPNetworks",
                "[10.0.0.0/24 fd80::1/128]",
                "IP network contains multiple addresses",
            ),
            (
                |e| e.spec.ip_networks.truncate(1),
                "IPNATs",
                "[{192.168.84.128 1.2.3.4} {fd80::1 fd99::1}]",
                "NAT is not in the endpoint networks",
            ),
            (
                |e| e.spec.ip_nats[1].external_ip = "1.2.3.4".into(),
                "IPNATs",
                "[{192.168.84.128 1.2.3.4} {fd80::1 1.2.3.4}]",
                "mismatched IP versions",
            ),
            (
                |e| {
                    e.spec.ip_nats.truncate(1);
                    e.spec.ip_nats[0].internal_ip = "10.0.0.1/32".into()
                },
                "IPNATs",
                "[{10.0.0.1/32 1.2.3.4}]",
                "invalid IP",
            ),
            (
                |e| e.spec.service_account_name = "a_b".into(),
                "ServiceAccountName",
                "a_b",
                &name_tag("ServiceAccountName"),
            ),
            (
                |e| e.spec.allow_spoofed_source_prefixes = vec!["10.0.0.0/8".into(), "junk".into()],
                "AllowSpoofedSourcePrefixes[1]",
                "junk",
                "Reason: failed to validate Field: AllowSpoofedSourcePrefixes[1] because of Tag: net ",
            ),
            (
                |e| {
                    let port = EndpointPort { port: 80, host_port: 80, ..EndpointPort::default() };
                    e.spec.ports = vec![port.clone(), EndpointPort { host_port: 0, ..port }]
                },
                "Ports[1]",
                "80",
                "port has neither a name nor a host port",
            ),
        ];
        for (spoil, field, value, reason) in cases {
            let mut endpoint = endpoint();
            spoil(&mut endpoint);
            let found = endpoint.validate().map_err(|invalid| (invalid.field, invalid.value, invalid.reason));
            assert_eq!(found, Err((field.to_owned(), value.to_owned(), reason.to_owned())));
        }
    }

    #[test]
    fn each_rule_of_profiles() {
        let long = ["a".repeat(64), "a".repeat(254)];
        for (name, field, reason) in [
            ("Net_1", "Metadata.Name", "name must consist of lower case"),
            ("", "Metadata.Name", "name must consist of lower case"),
            (&long[1], "Metadata.Name", "name is too long by 1 bytes"),
            (&long[0], "LabelsToApply", "Reason: failed to validate Field: LabelsToApply because of Tag: labels "),
        ] {
            let invalid = profile(name).validate().unwrap_err();
            assert_eq!((invalid.kind, invalid.field.as_str()), (Kind::Profile, field), "{name:?}");
            assert!(invalid.reason.starts_with(reason), "{name:?}: {invalid}");
        }
    }

    #[test]
    fn texts() {
        let mut wrong = endpoint();
        wrong.spec.profiles = vec!["Net_1".to_owned()];
        let invalid = wrong.validate().unwrap_err();
        assert_eq!(
            invalid.to_string(),
            "error with field Profiles[0] = 'Net_1' (Reason: failed to validate Field: Profiles[0] because of Tag: name )"
        );
        let advice = invalid.advice();
        assert!(
            advice.starts_with("the WorkloadEndpoint default/node--1-cni-c1-eth0 was not stored: names"),
            "{advice}"
        );
    }

    #[test]
    fn hardware_addresses() {
        for (text, right) in [
            ("66:f4:bb:7d:6e:cc", true),
            ("66-F4-BB-7D-6E-CC", true),
            ("66f4.bb7d.6ecc", true),
            ("02:00:5e:10:00:00:00:01", true),
            ("66:f4:bb:7d:6e:cg", false),
            ("66:f4-bb:7d:6e:cc", false),
            ("66f4bb7d6ecc", false),
            ("66:f4:bb:7d:6e:c", false),
        ] {
            assert_eq!(is_mac(text), right, "{text}");
        }
    }

    #[test]
    fn labels_are_kubernetes_labels() {
        let name = "a".repeat(63);
        let long = "a".repeat(64);
        for (key, value, right) in [
            ("app", "web", true),
            ("example.org/App_1.x", "", true),
            (&name, &name, true),
            (&long, "", false),
            ("app", &long, false),
            ("Example.org/app", "", false),
            ("a/b/c", "", false),
            ("/app", "", false),
            ("", "", false),
            ("app", "a b", false),
            ("app", "web.", false),
        ] {
            assert_eq!(is_label(key, value), right, "{key}={value}");
        }
    }
}
