use serde_json::json;

use super::*;
use crate::schema::Unknowns;

mod endpoints;
mod manifests;
mod pools;
mod rules;

/// An object as it is read from a manifest.
fn object(kind: Kind, name: &str, spec: Value) -> Map<String, Value> {
    let Value::Object(spec) = spec else { panic!("{spec}") };
    let spec = kind.about().spec.read(&spec, "spec", Unknowns::Refused).unwrap();
    let Value::Object(object) = json!({"kind": kind.name(), "metadata": {"name": name}, "spec": spec}) else {
        unreachable!()
    };
    object
}

/// What is wrong with an object, a line for each broken rule.
fn lines(kind: Kind, spec: Value) -> Vec<String> {
    texts(&check(kind, &object(kind, "x", spec), true))
}

fn texts(broken: &[Broken]) -> Vec<String> {
    broken.iter().map(Broken::to_string).collect()
}

/// A rule for one field is broken.
fn tag(field: &str, value: &str, tag: &str) -> String {
    format!("{field} = '{value}' (Reason: failed to validate Field: {field} because of Tag: {tag} )")
}

#[test]
fn one_and_several_are_told_as_upstream_does() {
    let one = |field: &str, value: Option<&str>| Broken {
        field: field.to_owned(),
        value: value.map(str::to_owned),
        reason: "why".to_owned(),
        path: String::new(),
    };
    assert_eq!(describe(&[one("A", Some("b"))]), "error with field A = 'b' (why)");
    assert_eq!(describe(&[one("A", None)]), "error with field A (why)");
    assert_eq!(describe(&[one("", None)]), "why");
    let both = "error with the following fields:\n-  A = '' (why)\n-  B (why)\n";
    assert_eq!(describe(&[one("A", Some("")), one("B", None)]), both);
}

#[test]
fn names_labels_and_annotations() {
    let check = |metadata: Value| {
        let Value::Object(object) = json!({"metadata": metadata}) else { unreachable!() };
        texts(&check(Kind::ClusterInformation, &object, true))
    };
    let labels = json!({"app": "web", "example.org/a": ""});
    assert_eq!(check(json!({"name": "a-b.c", "labels": labels, "annotations": {"A/B": "any thing"}})), [""; 0]);
    let form = "name must consist of lower case alphanumeric characters, '-' or '.' (regex: [a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*)";
    assert_eq!(check(json!({"name": "Bad_Name"})), [format!("Metadata.Name = 'Bad_Name' ({form})")]);
    assert_eq!(check(json!({})), [format!("Metadata.Name = '' ({form})")]);
    let long = "a".repeat(255);
    assert_eq!(check(json!({"name": long})), [format!("Metadata.Name = '{long}' (name is too long by 2 bytes)")]);
    let found = check(json!({"name": "a", "labels": {"/a": "-"}, "annotations": {"b/": ""}}));
    let begin = [
        "Metadata.Annotations (key) = 'b/' (name part must be non-empty)",
        "Metadata.Annotations (key) = 'b/' (name part must consist of",
        "Metadata.Labels (label) = '/a' (prefix part must be non-empty)",
        "Metadata.Labels (value) = '-' (a valid label must be",
    ];
    assert_eq!(found.len(), begin.len(), "{found:?}");
    for (found, begin) in found.iter().zip(begin) {
        assert!(found.starts_with(begin), "{found}");
    }
    let huge = "a".repeat((256 << 10) + 1);
    let found = check(json!({"name": "a", "annotations": {"b": huge}}));
    assert!(found[0].ends_with("(total size of annotations is too large by 2 bytes)") && found.len() == 1);
}

#[test]
fn what_is_to_be_created_has_no_revision_and_a_namespace_where_there_are_any() {
    let check = |kind, metadata: Value| {
        let Value::Object(object) = json!({"metadata": metadata}) else { unreachable!() };
        describe(&check_create_metadata(kind, &object))
    };
    let version = "error with field Metadata.ResourceVersion = '3' (field must not be set for a Create request)";
    assert_eq!(check(Kind::IpPool, json!({"resourceVersion": "3"})), version);
    assert_eq!(check_create_metadata(Kind::IpPool, &Map::new()), []);
    let namespace = "error with field Metadata.Namespace (namespace is not specified on namespaced resource)";
    assert_eq!(check(Kind::WorkloadEndpoint, json!({})), namespace);
}

#[test]
fn affinities() {
    let right =
        json!({"state": "confirmed", "node": "node-2", "type": "host", "cidr": "10.1.0.0/24", "deleted": false});
    assert_eq!(lines(Kind::BlockAffinity, right.clone()), [""; 0]);
    let with = |field: &str, value: Value| {
        let mut spec = right.clone();
        spec[field] = value;
        lines(Kind::BlockAffinity, spec)
    };
    for (field, value) in
        [("state", "pending"), ("state", "pendingDeletion"), ("type", "virtual"), ("cidr", "fd00::/122")]
    {
        assert_eq!(with(field, value.into()), [""; 0], "{value}");
    }
    let states = r#"spec.state (supported values: "pending", "confirmed", "pendingDeletion")"#;
    assert_eq!(with("state", "done".into()), [states]);
    assert_eq!(with("type", "pod".into()), [r#"spec.type (supported values: "host", "virtual")"#]);
    assert_eq!(with("node", "".into()), [tag("Node", "", "name")]);
    assert_eq!(with("node", "Node_2".into()), [tag("Node", "Node_2", "name")]);
    assert_eq!(with("cidr", "10.1.0.1/24".into()), [tag("CIDR", "10.1.0.1/24", "net")]);
    let address = r#"spec.cidr (spec.cidr in body must be of type cidr: "10.1.0.1")"#;
    assert_eq!(with("cidr", "10.1.0.1".into()), [address]);
    let deleted = r#"Spec.Deleted = '{confirmed node-2 host 10.1.0.0/24 true}' (spec.Deleted cannot be set to "true")"#;
    assert_eq!(with("deleted", true.into()), [deleted]);
}

#[test]
fn settings_and_reservations() {
    let named = |name| check_name(Kind::IpamConfiguration, &object(Kind::IpamConfiguration, name, json!({})));
    let text = "Cannot create an IPAMConfiguration resource with a name other than \"default\"";
    assert_eq!(describe(&[named("foo").unwrap()]), text);
    assert_eq!(named("default"), None);
    let of = |field: &str, value: Value| lines(Kind::IpamConfiguration, json!({field: value}));
    assert_eq!(of("maxBlocksPerHost", 1_000_000.into()), [""; 0]);
    let most = "spec.maxBlocksPerHost (spec.maxBlocksPerHost in body should be less than or equal to 1000000)";
    assert_eq!(of("maxBlocksPerHost", 1_000_001.into()), [most]);
    let least = "spec.maxBlocksPerHost (spec.maxBlocksPerHost in body should be greater than or equal to 0)";
    let negative = "MaxBlocksPerHost = '-1' (must be greater than or equal to 0)";
    assert_eq!(of("maxBlocksPerHost", (-1).into()), [negative, least]);

    let reserved = |cidrs: Value| lines(Kind::IpReservation, json!({"reservedCIDRs": cidrs}));
    assert_eq!(reserved(json!(["10.10.0.0/30", "10.0.0.1/8", "fd00::/64"])), [""; 0]);
    assert_eq!(lines(Kind::IpReservation, json!({})), [""; 0]);
    let of_type = |index: usize, text: &str| {
        let path = format!("spec.reservedCIDRs[{index}]");
        format!("{path} ({path} in body must be of type cidr: \"{text}\")")
    };
    assert_eq!(reserved(json!(["10.0.0.0/8", "10.0.0.1"])), [of_type(1, "10.0.0.1")]);
    assert_eq!(reserved(json!(["x", "::/0"])), [tag("ReservedCIDRs", "[x ::/0]", "cidrs"), of_type(0, "x")]);
}

#[test]
fn nodes() {
    let empty = object(Kind::Node, "n9", json!({"bgp": {}}));
    assert_eq!(
        describe(&check(Kind::Node, &empty, true)),
        "error with field BGP = '&{<nil>    }' (Spec.BGP should not be empty)"
    );
    let right = json!({
        "bgp": {"asNumber": 0, "ipv4Address": "172.16.0.2/24", "ipv6Address": "2001:db8::2", "ipv4IPIPTunnelAddr": "10.10.1.1"},
        "addresses": [{"address": "anything"}], "wireguard": {}, "vxlanTunnelMACAddr": "66:f4:bb:7d:6e:cc",
    });
    assert_eq!(lines(Kind::Node, right), [""; 0]);
    for (part, field, title, wrong, rule) in [
        ("bgp", "ipv4Address", "IPv4Address", "fd00::1/64", "cidrv4"),
        ("bgp", "ipv6Address", "IPv6Address", "10.0.0.1/8", "cidrv6"),
        ("bgp", "ipv4IPIPTunnelAddr", "IPv4IPIPTunnelAddr", "10.0.0.1/32", "ipv4"),
        ("bgp", "routeReflectorClusterID", "RouteReflectorClusterID", "1", "ipv4"),
        ("wireguard", "interfaceIPv4Address", "InterfaceIPv4Address", "::1", "ipv4"),
        ("wireguard", "interfaceIPv6Address", "InterfaceIPv6Address", "10.0.0.1", "ipv6"),
    ] {
        assert_eq!(lines(Kind::Node, json!({part: {field: wrong}})), [tag(title, wrong, rule)]);
        let broken = check(Kind::Node, &object(Kind::Node, "n", json!({part: {field: wrong}})), false);
        assert_eq!(broken[0].path, format!("spec.{part}.{field}"));
    }
    for (field, title, wrong, rule) in [
        ("ipv4VXLANTunnelAddr", "IPv4VXLANTunnelAddr", "x", "ipv4"),
        ("vxlanTunnelMACAddr", "VXLANTunnelMACAddr", "x", "mac"),
        ("ipv6VXLANTunnelAddr", "IPv6VXLANTunnelAddr", "10.0.0.1", "ipv6"),
        ("vxlanTunnelMACAddrV6", "VXLANTunnelMACAddrV6", "66:f4", "mac"),
    ] {
        assert_eq!(lines(Kind::Node, json!({field: wrong})), [tag(title, wrong, rule)]);
    }
    let mut with_status = object(Kind::Node, "n", json!({}));
    with_status.insert("status".to_owned(), json!({"wireguardPublicKey": "short=", "podCIDRs": ["x"]}));
    let key = tag("WireguardPublicKey", "short=", "wireguardPublicKey");
    assert_eq!(texts(&check(Kind::Node, &with_status, false)), [key]);
}

#[test]
fn profiles() {
    let right =
        json!({"labelsToApply": {"b": "2", "a": "1"}, "ingress": [{"action": "Allow"}, {"action": "whatever"}]});
    assert_eq!(lines(Kind::Profile, right), [""; 0]);
    let wrong = json!({"labelsToApply": {"b": "2", "a": "-"}, "egress": [{"action": "Deny", "protocol": 0}]});
    let labels = tag("LabelsToApply", "map[a:- b:2]", "labels");
    assert_eq!(lines(Kind::Profile, wrong), ["Protocol = '0' (protocol number invalid)".to_owned(), labels]);
}
