//! Writing, and reading what was written.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::yaml::read;

fn values(text: &str) -> Vec<Value> {
    let documents = read(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    documents.into_iter().map(|document| document.value).collect()
}

const RECORDED: [&str; 3] = [
    r#"apiVersion: projectcalico.org/v3
kind: IPPool
metadata:
  creationTimestamp: "2026-11-23T06:08:49Z"
  name: pool1
  resourceVersion: "159"
  uid: 9754f727-8109-4ca4-89b9-56468c65afbc
spec:
  allowedUses:
  - Workload
  - Tunnel
  assignmentMode: Automatic
  blockSize: 26
  cidr: 10.10.0.0/16
  ipipMode: CrossSubnet
  natOutgoing: true
  nodeSelector: all()
  vxlanMode: Never
"#,
    r#"apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata:
  creationTimestamp: "2026-11-23T06:08:51Z"
  labels:
    projectcalico.org/tier: default
    team: a
  name: allow-web
  namespace: shop
  resourceVersion: "162"
  uid: 120b2caf-ea52-4b3e-aeda-4106a39168cd
spec:
  egress:
  - action: Allow
    destination:
      nets:
      - 10.0.0.10/32
      ports:
      - 53
    protocol: UDP
  ingress:
  - action: Allow
    destination:
      ports:
      - 80
      - 8080:8090
      - http-alt
    protocol: TCP
    source:
      namespaceSelector: kubernetes.io/metadata.name == 'infra'
      selector: app in {'lb','edge'}
  order: 100
  selector: app == 'web'
  tier: default
  types:
  - Ingress
  - Egress
"#,
    r#"apiVersion: projectcalico.org/v3
items:
- apiVersion: projectcalico.org/v3
  kind: WorkloadEndpoint
  metadata:
    creationTimestamp: "2026-11-23T06:09:17Z"
    labels:
      app: web
      projectcalico.org/namespace: shop
      projectcalico.org/orchestrator: k8s
    name: node--a-k8s-web--0-eth0
    namespace: shop
    resourceVersion: "184"
    uid: e9170ef4-78f3-4b4b-a370-c97d2b86f8d2
  spec:
    containerID: abc123
    endpoint: eth0
    interfaceName: cali0123456789a
    ipNetworks:
    - 10.10.44.64/32
    mac: ee:ee:ee:ee:ee:ee
    node: node-a
    orchestrator: k8s
    pod: web-0
    ports:
    - hostIP: ""
      hostPort: 0
      name: http
      port: 8080
      protocol: TCP
    profiles:
    - kns.shop
kind: WorkloadEndpointList
metadata:
  resourceVersion: "184"
"#,
];

#[test]
fn as_recorded() {
    for recorded in RECORDED {
        assert_eq!(values(recorded).iter().map(write).collect::<String>(), recorded);
    }
    // Several results are a list.
    let (lines, list) =
        (RECORDED[0].lines().enumerate(), Value::from([values(RECORDED[0]), values(RECORDED[0])].concat()));
    let item: String = lines.map(|(index, line)| format!("{}{line}\n", if index == 0 { "- " } else { "  " })).collect();
    assert_eq!(write(&list), item.repeat(2));
}

#[test]
fn layouts() {
    let long = "k".repeat(129);
    let cases = [
        (json!([]), "[]\n".to_owned()),
        (json!({}), "{}\n".to_owned()),
        (Value::Null, "null\n".to_owned()),
        (json!("y"), "\"y\"\n".to_owned()),
        (json!(" a\nb"), "|2-\n   a\n  b\n".to_owned()),
        (json!({"b": [], "a": {}, "B": null}), "B: null\na: {}\nb: []\n".to_owned()),
        (json!([[], {}, [1, 2], [[3]]]), "- []\n- {}\n- - 1\n  - 2\n- - - 3\n".to_owned()),
        (
            json!({"a": [[1, [2, 3]], {"b": [{"d": [{"e": 2}], "c": 1}]}]}),
            "a:\n- - 1\n  - - 2\n    - 3\n- b:\n  - c: 1\n    d:\n    - e: 2\n".to_owned(),
        ),
        (json!([{"a": "x\ny", "b": "z"}, "x\n"]), "- a: |-\n    x\n    y\n  b: z\n- |\n  x\n".to_owned()),
        (json!({"a": {"b": " y\nz"}, "c": ["x\n"]}), "a:\n  b: |2-\n     y\n    z\nc:\n- |\n  x\n".to_owned()),
        (json!({"y": 1, "1": 2, "a: b": 3, "": 4}), "\"\": 4\n\"1\": 2\n'a: b': 3\n\"y\": 1\n".to_owned()),
        (json!({"z": {"a\nb": {"c": 1, "d": 2}}}), "z:\n  ? |-\n    a\n    b\n  : c: 1\n    d: 2\n".to_owned()),
        (json!([{&long: [1, 2]}]), format!("- ? {long}\n  : - 1\n    - 2\n")),
        (
            json!([2000.5, 1e6, 1, u64::MAX, i64::MIN, 1e21, true]),
            "- 2000.5\n- 1000000\n- 1\n- 18446744073709551615\n- -9223372036854775808\n- 1e+21\n- true\n".to_owned(),
        ),
    ];
    for (value, expected) in cases {
        assert_eq!(write(&value), expected);
        assert_eq!(values(&expected).len(), 1);
    }
}

/// Texts made of what is special in YAML.
fn nasty_text() -> impl Strategy<Value = String> {
    let parts = [
        " ",
        "  ",
        "\n",
        "\r",
        "\t",
        ":",
        "#",
        "-",
        "---",
        "...",
        "?",
        "*",
        "&",
        "!",
        "%",
        "@",
        "`",
        "'",
        "\"",
        "\\",
        "{",
        "}",
        "[",
        "]",
        ",",
        "|",
        ">",
        "=",
        "<<",
        "~",
        "y",
        "no",
        "null",
        "true",
        ".",
        "0",
        "1",
        "0x",
        "0b",
        "e",
        "_",
        "+",
        "/",
        "a",
        "Z",
        "é",
        "\u{a0}",
        "\u{85}",
        "\u{2028}",
        "\u{feff}",
        "😀",
        "\0",
        "\u{7f}",
        "\u{fffe}",
        "2001-01-01",
        ".inf",
    ];
    prop_oneof![
        3 => proptest::collection::vec(proptest::sample::select(parts.to_vec()), 0..8).prop_map(|parts| parts.concat()),
        1 => any::<String>(),
        1 => "[a-z]{120,140}",
    ]
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        // Whole numbers have no fraction once they are written.
        any::<f64>().prop_map(|value| number::number(value).map_or(Value::Null, Value::Number)),
        nasty_text().prop_map(Value::from),
        nasty_text().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 5, |inner| {
        let fields = proptest::collection::vec((nasty_text(), inner.clone()), 0..5);
        prop_oneof![
            proptest::collection::vec(inner, 0..5).prop_map(Value::from),
            fields.prop_map(|fields| Value::Object(fields.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read(value in any_value()) {
        let text = write(&value);
        prop_assert_eq!(values(&text), vec![value.clone()], "{}", text);
        prop_assert_eq!(values(&value.to_string()), vec![value]);
    }

    #[test]
    fn any_text_is_read_or_refused(text in nasty_text()) {
        let _ = read(&text);
    }
}
