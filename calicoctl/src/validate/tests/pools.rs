use super::*;

fn net(text: &str) -> ipnetwork::IpNetwork {
    text.parse().unwrap()
}

fn pool(spec: Value) -> Map<String, Value> {
    object(Kind::IpPool, "bad", spec)
}

#[test]
fn what_is_not_given_is_filled_in() {
    let filled = |spec: Value| {
        let mut pool = pool(spec);
        set_defaults(Kind::IpPool, &mut pool);
        serde_json::to_string(&pool["spec"]).unwrap()
    };
    let v4 = r#"{"cidr":"10.0.0.0/24","vxlanMode":"Never","ipipMode":"Never","blockSize":26,"nodeSelector":"all()","allowedUses":["Workload","Tunnel"],"assignmentMode":"Automatic"}"#;
    assert_eq!(filled(json!({"cidr": "10.0.0.1/24"})), v4);
    let given = r#"{"cidr":"fd00:77::/112","vxlanMode":"Always","ipipMode":"CrossSubnet","natOutgoing":true,"blockSize":120,"nodeSelector":"a == 'b'","allowedUses":["LoadBalancer"],"assignmentMode":"Manual"}"#;
    assert_eq!(
        filled(
            json!({"cidr": "FD00:77:0::/112", "ipipMode": "CrossSubnet", "vxlanMode": "Always", "natOutgoing": true, "blockSize": 120, "nodeSelector": "a == 'b'", "allowedUses": ["LoadBalancer"], "assignmentMode": "Manual"})
        ),
        given
    );
    assert!(filled(json!({"cidr": "fd00::/64"})).contains(r#""blockSize":122"#));
    // What is no CIDR has no size of blocks; check_pool refuses it.
    assert!(!filled(json!({"cidr": "junk"})).contains("blockSize"));
}

#[test]
fn what_the_client_refuses() {
    for (spec, text) in [
        (
            json!({"cidr": "10.0.0.1/24"}),
            "error with field IPPool.Spec.CIDR = '10.0.0.0/24' (IPPool CIDR is not strictly masked)",
        ),
        (json!({}), "error with field IPPool.Spec.CIDR (IPPool CIDR must be specified)"),
        (
            json!({"cidr": "10.0.0.0"}),
            "error with field IPPool.Spec.CIDR = '10.0.0.0' (IPPool CIDR must be a valid subnet)",
        ),
        (
            json!({"cidr": "10.0.0.0/24", "allowedUses": ["Tunnel", "Pods"]}),
            "error with field IPPool.Spec.AllowedUses = '[Tunnel Pods]' (unknown use: Pods)",
        ),
    ] {
        assert_eq!(describe(&check_pool(&pool(spec))), text);
    }
    assert_eq!(check_pool(&pool(json!({"cidr": "10.0.0.0/24", "allowedUses": ["LoadBalancer"]}))), []);
}

#[test]
fn pools_do_not_overlap() {
    let others =
        || [("pool1", "10.10.0.0/16"), ("pool6", "fd00::/64")].map(|(name, cidr)| (name.to_owned(), net(cidr)));
    let overlap = |name, cidr| pool_overlap((name, net(cidr)), others().into_iter());
    assert_eq!(
        describe(&[overlap("pool2", "10.10.4.0/24").unwrap()]),
        "error with field IPPool.Spec.CIDR = '10.10.4.0/24' (IPPool(pool2) CIDR overlaps with IPPool(pool1) CIDR 10.10.0.0/16)"
    );
    assert!(overlap("pool2", "10.0.0.0/8").is_some());
    assert_eq!(overlap("pool2", "10.11.0.0/16"), None);
    assert_eq!(overlap("pool1", "10.10.0.0/16"), None);
}

#[test]
fn blocks_in_a_pool_have_its_size() {
    let blocks = |pool: Value, block: &str| pool_blocks(&self::pool(pool), [net(block)].into_iter());
    let text = "error with field IPPool.Spec.BlockSize = '26' (IPPool blocksSize conflicts with existing allocations that use a different blockSize)";
    let broken = blocks(json!({"cidr": "10.0.0.0/16"}), "10.0.1.0/28").unwrap();
    assert_eq!(describe(&[broken]), text);
    assert_eq!(blocks(json!({"cidr": "10.0.0.0/16", "blockSize": 28}), "10.0.1.0/28"), None);
    assert_eq!(blocks(json!({"cidr": "10.0.0.0/16"}), "10.1.1.0/28"), None);
}

#[test]
fn what_must_not_change() {
    let old = json!({"cidr": "10.99.0.0/16"});
    let balances = json!({"cidr": "10.99.0.0/16", "allowedUses": ["LoadBalancer"]});
    for (old, new, text) in [
        (&old, json!({"cidr": "10.98.0.0/16"}), "IPPool.Spec.CIDR = '10.98.0.0/16' (IPPool CIDR cannot be modified)"),
        (
            &old,
            json!({"cidr": "10.99.0.0/16", "blockSize": 27}),
            "IPPool.Spec.BlockSize = '27' (IPPool BlockSize cannot be modified)",
        ),
        (
            &balances,
            old.clone(),
            "IPPool.Spec.AllowedUses = '[Workload Tunnel]' (IPPool allowed use cannot be changed from LoadBalacer to Workload or Tunnel)",
        ),
    ] {
        assert_eq!(texts(&pool_change(&pool(old.clone()), &pool(new))), [text]);
    }
    let same = json!({"cidr": "10.99.0.0/16", "blockSize": 26, "natOutgoing": true});
    assert_eq!(pool_change(&pool(old), &pool(same)), []);
    let [written, canonical] = [json!({"cidr": "fd00:0::/64"}), json!({"cidr": "fd00::/64"})];
    assert_eq!(pool_change(&pool(written), &pool(canonical)), []);
    assert_eq!(pool_change(&pool(balances.clone()), &pool(balances)), []);
}

#[test]
fn the_recorded_pool_that_breaks_three_rules() {
    let mut object =
        pool(json!({"cidr": "fd00:77::/112", "ipipMode": "Always", "vxlanMode": "Always", "nodeSelector": "global()"}));
    set_defaults(Kind::IpPool, &mut object);
    let text = "error with the following fields:\n\
                -  spec (ipipMode and vxlanMode cannot both be enabled)\n\
                -  spec (IPIP is not supported on IPv6 pools)\n\
                -  spec (global() selector is not valid for IPPool nodeSelector)\n";
    assert_eq!(describe(&check(Kind::IpPool, &object, true)), text);
    assert_eq!(check(Kind::IpPool, &object, false), []);
}

#[test]
fn fields_one_by_one() {
    let with = |field: &str, value: Value| lines(Kind::IpPool, json!({"cidr": "10.0.0.0/16", field: value}));
    for (field, value) in [
        ("ipipMode", json!("CrossSubnet")),
        ("vxlanMode", json!("Always")),
        ("nodeSelector", json!("zone == 'a'")),
        ("assignmentMode", json!("Manual")),
        ("allowedUses", json!(["LoadBalancer"])),
        ("blockSize", json!(20)),
        ("blockSize", json!(32)),
    ] {
        assert_eq!(with(field, value.clone()), [""; 0], "{field}: {value}");
    }
    for (field, title) in [("nodeSelector", "NodeSelector"), ("namespaceSelector", "NamespaceSelector")] {
        assert_eq!(with(field, json!("a = 'b'")), [tag(title, "a = 'b'", "selector")]);
        let long = format!("a == '{}'", "b".repeat(1024));
        assert_eq!(with(field, json!(long)), [format!("spec.{field} (may not be more than 1024 bytes)")]);
    }
    let uses = with("allowedUses", json!(["Tunnel", "Pods"]));
    assert_eq!(uses, [r#"spec.allowedUses[1] (supported values: "Workload", "Tunnel", "LoadBalancer")"#]);
    assert_eq!(with("allowedUses", json!(vec!["Tunnel"; 11])), ["spec.allowedUses (must have at most 10 items)"]);
    let of_type = |text: &str| format!("spec.cidr (spec.cidr in body must be of type cidr: \"{text}\")");
    assert_eq!(lines(Kind::IpPool, json!({"cidr": "x"})), [tag("CIDR", "x", "net"), of_type("x")]);
    assert_eq!(lines(Kind::IpPool, json!({})), [tag("CIDR", "", "net"), of_type("")]);
    let long = format!("{}::/64", "0".repeat(44));
    let found = lines(Kind::IpPool, json!({"cidr": long}));
    assert_eq!(
        found,
        [tag("CIDR", &long, "net"), of_type(&long), "spec.cidr (may not be more than 48 bytes)".to_owned()]
    );
}

#[test]
fn fields_together() {
    let masked = "IPPool CIDR must be strictly masked";
    let balances =
        |field: &str, value: Value| json!({"cidr": "10.0.0.0/16", "allowedUses": ["LoadBalancer"], field: value});
    let sizes = "blockSize must be between 20 and 32 for IPv4 pools, and between 116 and 128 for IPv6 pools";
    let small =
        "IP pool size is too small for use with Calico IPAM. It must be equal to or greater than the block size.";
    let encapsulated = "LoadBalancer IP pool cannot have IPIP or VXLAN enabled";
    for (spec, text) in [
        (
            json!({"cidr": "10.0.0.0/16", "ipipMode": "Always", "vxlanMode": "CrossSubnet"}),
            "ipipMode and vxlanMode cannot both be enabled",
        ),
        (balances("ipipMode", json!("Always")), encapsulated),
        (balances("vxlanMode", json!("Always")), encapsulated),
        (
            balances("allowedUses", json!(["Workload", "LoadBalancer"])),
            "LoadBalancer cannot be combined with Workload or Tunnel allowed uses",
        ),
        (json!({"cidr": "fd00::/64", "ipipMode": "Always"}), "IPIP is not supported on IPv6 pools"),
        (balances("disableBGPExport", json!(true)), "LoadBalancer IP pools cannot disable BGP export"),
        (
            balances("nodeSelector", json!("has(a)")),
            "IP Pool with AllowedUse LoadBalancer must have nodeSelector set to all()",
        ),
        (
            json!({"cidr": "10.0.0.0/16", "allowedUses": ["Workload", "Tunnel"], "namespaceSelector": "has(a)"}),
            "IP Pool with AllowedUse Tunnel cannot have namespaceSelector",
        ),
        (
            json!({"cidr": "10.0.0.0/16", "nodeSelector": "global()"}),
            "global() selector is not valid for IPPool nodeSelector",
        ),
        (
            json!({"cidr": "10.0.0.0/16", "namespaceSelector": "global()"}),
            "global() selector is not valid for IPPool namespaceSelector",
        ),
        (json!({"cidr": "169.254.0.0/17"}), "IPPool CIDR overlaps with IPv4 link local range 169.254.0.0/16"),
        (json!({"cidr": "169.0.0.0/8"}), "IPPool CIDR overlaps with IPv4 link local range 169.254.0.0/16"),
        (json!({"cidr": "fe80::/64"}), "IPPool CIDR overlaps with IPv6 link local range fe80::/10"),
        (json!({"cidr": "10.0.0.0/16", "blockSize": 19}), sizes),
        (json!({"cidr": "10.0.0.0/16", "blockSize": 33}), sizes),
        (json!({"cidr": "fd00::/64", "blockSize": 115}), sizes),
        (json!({"cidr": "10.0.0.0/27"}), small),
        (json!({"cidr": "fd00::/123"}), small),
        (json!({"cidr": "10.0.0.0/28", "blockSize": 27}), small),
    ] {
        assert_eq!(lines(Kind::IpPool, spec.clone()), [format!("spec ({text})")], "{spec}");
    }
    let unmasked = lines(Kind::IpPool, json!({"cidr": "10.0.0.1/24"}));
    assert_eq!(unmasked, [tag("CIDR", "10.0.0.1/24", "net"), format!("spec ({masked})")]);
    for right in [
        json!({"cidr": "10.0.0.0/27", "disabled": true}),
        json!({"cidr": "10.0.0.0/27", "blockSize": 27}),
        json!({"cidr": "fd00::/122"}),
        json!({"cidr": "10.0.0.0/16", "allowedUses": ["Workload"], "namespaceSelector": "has(a)"}),
    ] {
        assert_eq!(lines(Kind::IpPool, right.clone()), [""; 0], "{right}");
    }
}
