use super::*;

/// What is wrong with a rule, a line for each.
fn rule(rule: Value) -> Vec<String> {
    lines(Kind::Profile, json!({"ingress": [rule]}))
}

#[test]
fn the_recorded_rule_that_breaks_two() {
    let bad = json!({"action": "allow", "protocol": "ICMP", "destination": {"ports": [80]}, "source": {"nets": ["10.0.0.0/8", "fd00::/8"]}});
    let object = object(Kind::Profile, "x", json!({"ingress": [bad]}));
    let broken = check(Kind::Profile, &object, true);
    let text = "error with the following fields:\n\
                -  Destination.Ports = '[80]' (rules that specify ports must set protocol to TCP or UDP or SCTP)\n\
                -  Source.Nets = '[10.0.0.0/8 fd00::/8]' (rule contains both IPv4 and IPv6 CIDRs)\n";
    assert_eq!(describe(&broken), text);
    let paths: Vec<&str> = broken.iter().map(|broken| broken.path.as_str()).collect();
    assert_eq!(paths, ["spec.ingress[0].destination.ports", "spec.ingress[0].source.nets"]);
}

#[test]
fn rules_of_the_reference_pass() {
    let side =
        json!({"selector": "app in {'lb','edge'}", "namespaceSelector": "kubernetes.io/metadata.name == 'infra'"});
    let ports = json!({"ports": [80, "8080:8090", "http-alt"], "notPorts": [81]});
    for right in [
        json!({"action": "Allow", "protocol": "TCP", "source": side, "destination": ports}),
        json!({"action": "Allow", "protocol": "UDP", "destination": {"nets": ["10.0.0.10/32"], "ports": [53]}}),
        json!({"action": "Allow", "source": {"ports": ["http"], "namespaceSelector": "global( )"}}),
        json!({"action": "Deny", "ipVersion": 6, "source": {"nets": ["fd00::/8"]}, "destination": {"notNets": ["fe80::/10"]}}),
        json!({"action": "Allow", "protocol": 1, "icmp": {"type": 254, "code": 255}, "notProtocol": "UDPLite"}),
        json!({"action": "Allow", "http": {"methods": ["GET", "PUT"], "paths": [{"exact": "/a"}, {"prefix": "/b"}]}}),
        json!({"action": "Log", "metadata": {"annotations": {"a/b": "c d"}}}),
    ] {
        assert_eq!(rule(right.clone()), [""; 0], "{right}");
    }
}

#[test]
fn protocols_and_icmp() {
    assert_eq!(rule(json!({"protocol": "tcp"})), ["Protocol = 'tcp' (protocol name invalid)"]);
    assert_eq!(rule(json!({"notProtocol": 0})), ["Protocol = '0' (protocol number invalid)"]);
    assert_eq!(rule(json!({"icmp": {"type": 255}})), [tag("Type", "255", "lte")]);
    assert_eq!(rule(json!({"notICMP": {"type": 0, "code": -1}})), [tag("Code", "-1", "gte")]);
}

#[test]
fn fields_of_a_side() {
    for side in ["source", "destination"] {
        let of = |field: &str, value: Value| rule(json!({side: {field: value}}));
        for (field, title) in
            [("selector", "Selector"), ("notSelector", "NotSelector"), ("namespaceSelector", "NamespaceSelector")]
        {
            assert_eq!(of(field, json!("a = 'b'")), [tag(title, "a = 'b'", "selector")]);
        }
        assert_eq!(of("serviceAccounts", json!({"selector": "("})), [tag("Selector", "(", "selector")]);
        assert_eq!(of("services", json!({"name": "A"})), [tag("Name", "A", "name")]);
        assert_eq!(of("services", json!({"namespace": "a_b"})), [tag("Namespace", "a_b", "name")]);
        let mixed = "NamespaceSelector field = 'global() && has(a)' (global() cannot be combined with other selectors)";
        assert_eq!(of("namespaceSelector", json!("global() && has(a)")), [mixed]);
        assert_eq!(of("nets", json!(["10.0.0.1/8"])), [tag("Nets[0]", "10.0.0.1/8", "net")]);
        assert_eq!(of("notNets", json!(["10.0.0.0/8", "fd00::1/8"]))[0], tag("NotNets[1]", "fd00::1/8", "net"));
    }
}

#[test]
fn ports_need_a_protocol_that_has_some() {
    let numbers = "rules with numeric port or port range must set protocol to TCP or UDP or SCTP";
    let any = "rules that specify ports must set protocol to TCP or UDP or SCTP";
    for (side, field, title) in [
        ("source", "ports", "Source.Ports"),
        ("source", "notPorts", "Source.NotPorts"),
        ("destination", "ports", "Destination.Ports"),
        ("destination", "notPorts", "Destination.NotPorts"),
    ] {
        for (protocol, ports, value, text) in [
            (None, json!(["http", 80]), "[http 80]", Some(numbers)),
            (None, json!(["80:90"]), "[80:90]", Some(numbers)),
            (None, json!(["http"]), "[http]", None),
            (Some(json!("ICMP")), json!(["http"]), "[http]", Some(any)),
            (Some(json!(1)), json!([80]), "[80]", Some(any)),
            (Some(json!(6)), json!([80]), "[80]", None),
            (Some(json!("SCTP")), json!(["http", 80]), "[http 80]", None),
        ] {
            let mut given = json!({side: {field: ports}});
            if let Some(protocol) = protocol {
                given["protocol"] = protocol;
            }
            let expected: Vec<String> = text.iter().map(|text| format!("{title} = '{value}' ({text})")).collect();
            assert_eq!(rule(given.clone()), expected, "{given}");
        }
    }
    let zero = "Port = '0' (port range invalid, port number must be between 1 and 65535)";
    assert_eq!(rule(json!({"protocol": "TCP", "source": {"ports": [0, 1, "0:80"]}})), [zero, zero]);
}

#[test]
fn networks_are_of_one_family() {
    let address = "Source.Nets = '10.0.0.1' (invalid CIDR)";
    assert_eq!(rule(json!({"source": {"nets": ["10.0.0.1"]}})), [address]);
    let other = "Destination.NotNets = '[10.0.0.0/8]' (rule IP version doesn't match CIDR version)";
    assert_eq!(rule(json!({"ipVersion": 6, "destination": {"notNets": ["10.0.0.0/8"]}})), [other]);
    let mixed = "Destination.Nets = '[fd00::/8]' (rule contains both IPv4 and IPv6 CIDRs)";
    assert_eq!(rule(json!({"source": {"notNets": ["10.0.0.0/8"]}, "destination": {"nets": ["fd00::/8"]}})), [mixed]);
    for all in ["0.0.0.0/0", "::/0"] {
        let text = "catch-all CIDR in negation creates logical contradiction (matches no traffic)";
        assert_eq!(rule(json!({"source": {"notNets": [all]}})), [format!("Source.NotNets = '{all}' ({text})")]);
        assert_eq!(rule(json!({"source": {"nets": [all]}})), [""; 0]);
    }
}

#[test]
fn http_and_annotations() {
    let repeated = "Methods = '[GET GET]' (Invalid methods (duplicates): [GET GET])";
    assert_eq!(rule(json!({"http": {"methods": ["GET", "GET"]}})), [repeated]);
    for (path, text) in [
        (
            json!({"exact": "/a", "prefix": "/b"}),
            "Paths = '[{/a /b}]' (Invalid path match. Both 'exact' and 'prefix' are set)",
        ),
        (json!({}), "Paths = '[{ }]' (Invalid path match. Either 'exact' or 'prefix' must be set)"),
        (json!({"exact": "a"}), "Paths = '[{a }]' (Invalid path a. (must start with `/` and not contain `?` or `#`)"),
        (
            json!({"prefix": "/a?b"}),
            "Paths = '[{ /a?b}]' (Invalid path /a?b. (must start with `/` and not contain `?` or `#`)",
        ),
    ] {
        assert_eq!(rule(json!({"http": {"paths": [path]}})), [text]);
    }
    let annotation = rule(json!({"metadata": {"annotations": {"a b": "c"}}}));
    assert!(
        annotation[0].starts_with("Metadata.Annotations (key) = 'a b' (name part must consist of"),
        "{annotation:?}"
    );
}
