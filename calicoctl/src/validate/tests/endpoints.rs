use super::*;

fn right() -> Value {
    json!({
        "orchestrator": "k8s", "node": "node-a", "pod": "web-0", "endpoint": "eth0", "containerID": "abc123",
        "ipNetworks": ["10.10.44.64/32", "fd80::1"], "profiles": ["kns.shop"], "interfaceName": "cali0123456789a",
        "ipNATs": [{"internalIP": "10.10.44.64", "externalIP": "1.2.3.4"}], "mac": "ee:ee:ee:ee:ee:ee",
        "ports": [{"name": "http", "protocol": "TCP", "port": 8080}, {"protocol": 17, "port": 53, "hostPort": 53}],
    })
}

fn with(field: &str, value: Value) -> Vec<String> {
    let mut spec = right();
    spec[field] = value;
    lines(Kind::WorkloadEndpoint, spec)
}

#[test]
fn an_endpoint_is_named_after_its_content() {
    let bad = json!({"orchestrator": "k8s", "node": false, "pod": "p", "endpoint": "eth0", "interfaceName": "c1"});
    let name = |name: &str, spec: &Value| {
        let broken = check_name(Kind::WorkloadEndpoint, &object(Kind::WorkloadEndpoint, name, spec.clone()));
        broken.map(|broken| describe(&[broken]))
    };
    assert_eq!(
        name("bad", &bad).as_deref(),
        Some(
            "error with field Name = 'bad' (the WorkloadEndpoint name does not match the primary identifiers assigned in the Spec: expected name false-k8s-p-eth0)"
        )
    );
    assert_eq!(name("node--a-k8s-web--0-eth0", &right()), None);
    assert_eq!(name("", &right()), None);
    let mut dash = right();
    dash["pod"] = "web-".into();
    let text = "error with field Pod = 'web-' (field must not begin/end with a '-')";
    assert_eq!(name("", &dash).as_deref(), Some(text));
    for (orchestrator, expected) in [
        ("cni", "node--a-cni-abc123-eth0"),
        ("libnetwork", "node--a-libnetwork-libnetwork-eth0"),
        ("openstack", "node--a-openstack-w1-eth0"),
    ] {
        let mut spec = right();
        spec["orchestrator"] = orchestrator.into();
        spec["workload"] = "w1".into();
        assert_eq!(name(expected, &spec), None);
        assert!(name("node--a-k8s-web--0-eth0", &spec).is_some());
    }
}

#[test]
fn a_name_and_labels_are_filled_in() {
    let mut endpoint = object(Kind::WorkloadEndpoint, "", right());
    endpoint["metadata"] = json!({"namespace": "shop", "labels": {"z": "1", "projectcalico.org/namespace": "other"}});
    set_defaults(Kind::WorkloadEndpoint, &mut endpoint);
    let filled = r#"{"name":"node--a-k8s-web--0-eth0","namespace":"shop","labels":{"projectcalico.org/namespace":"shop","projectcalico.org/orchestrator":"k8s","z":"1"}}"#;
    assert_eq!(serde_json::to_string(&endpoint["metadata"]).unwrap(), filled);
    let mut named = object(Kind::WorkloadEndpoint, "bad", right());
    set_defaults(Kind::WorkloadEndpoint, &mut named);
    assert_eq!(named["metadata"]["name"], "bad");
}

#[test]
fn fields_one_by_one() {
    assert_eq!(lines(Kind::WorkloadEndpoint, right()), [""; 0]);
    for (field, title, wrong, rule) in [
        ("orchestrator", "Orchestrator", "K8S", "name"),
        ("workload", "Workload", "a b", "name"),
        ("node", "Node", "a_b", "name"),
        ("containerID", "ContainerID", "-a", "containerID"),
        ("pod", "Pod", "Web", "name"),
        ("endpoint", "Endpoint", "eth_0", "name"),
        ("serviceAccountName", "ServiceAccountName", "a b", "name"),
        ("ipv4Gateway", "IPv4Gateway", "fe80::1", "ipv4"),
        ("ipv6Gateway", "IPv6Gateway", "10.0.0.1", "ipv6"),
        ("interfaceName", "InterfaceName", "", "interface"),
        ("interfaceName", "InterfaceName", "cali0123456789ab", "interface"),
        ("mac", "MAC", "ee:ee", "mac"),
    ] {
        assert_eq!(with(field, wrong.into()), [tag(title, wrong, rule)]);
    }
    for (field, title, rule) in
        [("profiles", "Profiles", "name"), ("allowSpoofedSourcePrefixes", "AllowSpoofedSourcePrefixes", "cidr")]
    {
        assert_eq!(with(field, json!(["10.0.0.0", "a b"])), [tag(&format!("{title}[1]"), "a b", rule)]);
    }
}

#[test]
fn addresses() {
    let networks = |networks: Value| {
        let mut spec = right();
        spec["ipNetworks"] = networks;
        spec["ipNATs"] = json!([]);
        lines(Kind::WorkloadEndpoint, spec)
    };
    assert_eq!(networks(json!(["10.0.0.1/32", "10.0.0.2", "fd00::1/128"])), [""; 0]);
    assert_eq!(networks(json!(["10.0.0.300"])), [tag("IPNetworks[0]", "10.0.0.300", "net")]);
    let several = "IPNetworks = '[10.0.0.0/24 fd00::1]' (IP network contains multiple addresses)";
    assert_eq!(networks(json!(["10.0.0.0/24", "fd00::1"])), [several]);

    let nat =
        |internal: &str, external: &str| with("ipNATs", json!([{"internalIP": internal, "externalIP": external}]));
    assert_eq!(nat("fd80::1", "fd99::1"), [""; 0]);
    assert_eq!(nat("10.10.44.64", "fd99::1"), ["ExternalIP = 'fd99::1' (mismatched IP versions)"]);
    assert_eq!(nat("10.10.44.64/32", "1.2.3.4"), [tag("InternalIP", "10.10.44.64/32", "ip")]);
    assert_eq!(nat("10.10.44.64", "x"), [tag("ExternalIP", "x", "ip")]);
    let elsewhere = "IPNATs = '[{10.10.44.65 1.2.3.4}]' (NAT is not in the endpoint networks)";
    assert_eq!(nat("10.10.44.65", "1.2.3.4"), [elsewhere]);
}

#[test]
fn ports() {
    let port = |name: &str, protocol: Value, port: u16, host_port: u16| {
        with("ports", json!([{"name": name, "protocol": protocol, "port": port, "hostPort": host_port}]))
    };
    assert_eq!(port("dns", json!(132), 53, 0), [""; 0]);
    assert_eq!(port("HTTP", json!("TCP"), 80, 0), [tag("Name", "HTTP", "portName")]);
    assert_eq!(port("http", json!("TCP"), 0, 0), [tag("Port", "0", "gt")]);
    let unsupported = "WorkloadEndpointPort.Protocol = 'ICMP' (WorkloadEndpointPort protocol does not support ports.)";
    assert_eq!(port("http", json!("ICMP"), 80, 0), [unsupported]);
    let wrong = port("http", json!("tcp"), 80, 0);
    assert_eq!(wrong[0], "Protocol = 'tcp' (protocol name invalid)");
    let useless =
        "WorkloadEndpointPort.Name = '' (WorkloadEndpointPort name must not be empty if no HostPort is specified)";
    assert_eq!(port("", json!("TCP"), 80, 0), [useless]);
    let host =
        with("ports", json!([{"name": "a", "protocol": "TCP", "port": 80, "hostPort": 80, "hostIP": "10.0.0.1/8"}]));
    assert_eq!(host, [tag("HostIP", "10.0.0.1/8", "net")]);
    // None is the number 0.
    let none = with("ports", json!([{"name": "a", "port": 80}]));
    assert_eq!(none[0], "Protocol = '0' (protocol number invalid)");
}
