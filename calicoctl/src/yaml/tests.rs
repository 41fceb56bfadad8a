//! Reading.

use serde_json::json;

use super::*;

fn values(text: &str) -> Vec<Value> {
    read(text).unwrap_or_else(|error| panic!("{error}: {text}")).into_iter().map(|document| document.value).collect()
}

fn value(text: &str) -> Value {
    let mut values = values(text);
    assert_eq!(values.len(), 1, "{text}");
    values.remove(0)
}

fn reason(text: &str) -> String {
    read(text).map_or_else(|error| error.to_string(), |documents| panic!("{documents:?}: {text}"))
}

const POLICIES: &str = r#"# Two policies
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata:
  name: allow-web   # the shop
  labels: {team: a, projectcalico.org/tier: "default"}
spec:
  order: 100
  selector: app == 'web'
  ingress:
    - action: Allow
      source:
        selector: app in {'lb','edge'}
      destination:
        ports: [80, "8080:8090",
          http-alt]
    -
      action: Deny
---
kind: Node
spec:
  bgp:
    asNumber: 64512
"#;

#[test]
fn fields_have_lines() {
    let documents = read(POLICIES).expect("YAML");
    let [policy, node] = &documents[..] else { panic!("{documents:?}") };
    assert_eq!(policy.value["spec"]["ingress"][0]["destination"]["ports"], json!([80, "8080:8090", "http-alt"]));
    assert_eq!(node.value, json!({"kind": "Node", "spec": {"bgp": {"asNumber": 64512}}}));
    assert_eq!((policy.line, node.line), (2, 20));
    let cases = [
        ("apiVersion", 2),
        ("metadata", 4),
        ("metadata.labels.projectcalico.org/tier", 6),
        ("spec.selector", 9),
        ("spec.ingress", 10),
        ("spec.ingress[0]", 11),
        ("spec.ingress[0].action", 11),
        ("spec.ingress[0].source.selector", 13),
        ("spec.ingress[0].destination.ports[1]", 15),
        ("spec.ingress[0].destination.ports[2]", 16),
        ("spec.ingress[1].action", 18),
    ];
    for (path, line) in cases {
        assert_eq!(policy.line_of(path), Some(line), "{path}");
    }
    assert_eq!(policy.line_of("spec.egress"), None);
    assert_eq!(node.line_of("spec.bgp.asNumber"), Some(23));
    assert_eq!(node.line_of("spec.order"), None);
}

#[test]
fn lists_and_json_have_lines_too() {
    let list = read("- a: 1\n- b:\n  - 2\n").expect("YAML");
    assert_eq!((list[0].line_of("[0].a"), list[0].line_of("[1].b[0]")), (Some(1), Some(3)));
    let json = read("---\n\n{\n  \"a\": [1,\n  {\"b\": 2}]\n}").expect("JSON");
    assert_eq!((json[0].line, json[0].line_of("a"), json[0].line_of("a[1].b")), (3, Some(4), Some(5)));
    let merged = read("spec:\n  <<: {b: 1}\n  c: 2\n").expect("YAML");
    assert_eq!(
        (merged[0].line_of("b"), merged[0].line_of("spec.b"), merged[0].line_of("spec.c")),
        (None, None, Some(3))
    );
    // Where YAML does not allow a tab, there are no lines.
    let tabs = read("{\n\t\"a\":\t1,\n\t\"s\": \"\\ud83d\\ude00\"\n}\n").expect("JSON");
    assert_eq!(tabs[0].value, json!({"a": 1, "s": "😀"}));
}

#[test]
fn documents() {
    let cases = [
        ("", vec![]),
        ("---\n", vec![]),
        ("---\n---\n", vec![]),
        ("# a\n", vec![Value::Null]),
        ("\n", vec![Value::Null]),
        ("# a\n---\na: 1\n", vec![Value::Null, json!({"a": 1})]),
        ("---\na: 1\n---\n", vec![json!({"a": 1})]),
        ("a: 1\n---\n# nothing\n---\n\n---\nb: 2", vec![json!({"a": 1}), json!({"b": 2})]),
        ("a: 1\n--- # next\nb: 2\n", vec![json!({"a": 1}), json!({"b": 2})]),
        ("--- {a: 1}\n--- 2\n--- |\n x\n", vec![json!({"a": 1}), json!(2), json!("x\n")]),
        ("a: 1\n...\n", vec![json!({"a": 1})]),
        ("a: 1\n...\nb: 2\n", vec![json!({"a": 1}), json!({"b": 2})]),
        ("a: 1\n...\n---\nb: 2\n", vec![json!({"a": 1}), json!({"b": 2})]),
        ("%YAML 1.1\n---\na: 1\n", vec![json!({"a": 1})]),
        ("--- null\n--- ~\n", vec![Value::Null, Value::Null]),
        ("{\"a\":\t1}\n---\n{\"b\":\t2}\n", vec![json!({"a": 1}), json!({"b": 2})]),
        ("foo", vec![json!("foo")]),
        ("- 1\n- [2]\n", vec![json!([1, [2]])]),
        ("a: |\n  x\n  ---\n  y\nb: 1\n", vec![json!({"a": "x\n---\ny\n", "b": 1})]),
    ];
    for (text, expected) in cases {
        assert_eq!(values(text), expected, "{text}");
    }
}

#[test]
fn what_editors_leave() {
    assert_eq!(value("\u{feff}a: 1\r\nb:\r\n- |\r\n  x\r\n  y\r\n- z\r\n"), json!({"a": 1, "b": ["x\ny\n", "z"]}));
    assert_eq!(values("---\r\na: 1\r\n---\r\nb: 2\r\n"), [json!({"a": 1}), json!({"b": 2})]);
    assert_eq!(value("\u{feff}{\"a\":\t1}"), json!({"a": 1}));
    assert_eq!(value("a: 1"), json!({"a": 1}));
}

#[test]
fn scalars_as_the_established_tool_reads_them() {
    let text = "node: n\nname: 0010\non: off\nquoted: ['n', \"0010\", !!str 12, ! 12]\nempty:\ntagged: [!!int \"5\", !!bool 'yes']\n\
        text: [2001-01-01, 1:20, 10.0.0.0/8, =, 'it''s', a#b, c:d, \"\\x41\\u00e9\\/\"]\nfolded: >-\n  a\n  b\n\n  c\nbig: 18446744073709551616\n";
    let expected = json!({
        "node": false, "name": 8, "true": false, "quoted": ["n", "0010", "12", "12"], "empty": null, "tagged": [5, true],
        "text": ["2001-01-01", "1:20", "10.0.0.0/8", "=", "it's", "a#b", "c:d", "Aé/"], "folded": "a b\nc",
        "big": 18_446_744_073_709_551_616.0,
    });
    assert_eq!(value(text).to_string(), expected.to_string());
}

#[test]
fn keys_become_text() {
    let text = "1: a\n0x10: b\n1.5: c\n1e21: d\ny: e\n2001-01-01: f\n\"~\": g\n!!str 2: h\n? i\n: j\n";
    let expected = json!({"1": "a", "16": "b", "1.5": "c", "1e+21": "d", "true": "e", "2001-01-01": "f", "~": "g", "2": "h", "i": "j"});
    assert_eq!(value(text), expected);
    assert_eq!(reason("a: 1\n~: b"), "line 2: a key is missing");
    assert_eq!(reason("a: {[1]: a}"), "line 1: a key must be text; put it in quotes if it begins with { or [");
}

#[test]
fn keys_are_set_once() {
    assert_eq!(reason("a: 1\nb:\n  c: 1\n  d: 2\n  c: 3\n"), "line 5: key \"c\" already set in map, in line 3");
    assert_eq!(reason("x: 1\n---\n{a: 1,\n a: 2}"), "line 4: key \"a\" already set in map, in line 3");
    assert_eq!(reason("1: a\n'1': b"), "line 2: key \"1\" already set in map, in line 1");
    assert_eq!(reason("x: 1\n---\n{\"a\": 1,\n \"a\": 2}"), "line 4: key \"a\" already set in map");
    assert_eq!(value("a: {c: 1}\nb: {c: 2}\n"), json!({"a": {"c": 1}, "b": {"c": 2}}));
    assert_eq!(value("[{c: 1}, {c: 2}]"), json!([{"c": 1}, {"c": 2}]));
}

#[test]
fn anchors_aliases_and_merges() {
    let text = "base: &base {a: 1, b: [x]}\nmore: &more\n  b: 2\n  c: 3\nalias: *base\none:\n  a: 0\n  <<: *base\nboth: {<<: [*base, *more], d: 4}\n\
        inline: {<<: {e: 5}}\nquoted: {'<<': 1}\nitem: &item text\nlist: [*item, *item]\n*item : key\n";
    let expected = json!({
        "base": {"a": 1, "b": ["x"]}, "more": {"b": 2, "c": 3}, "alias": {"a": 1, "b": ["x"]}, "one": {"a": 0, "b": ["x"]},
        "both": {"a": 1, "b": ["x"], "c": 3, "d": 4}, "inline": {"e": 5}, "quoted": {"<<": 1}, "item": "text",
        "list": ["text", "text"], "text": "key",
    });
    assert_eq!(value(text), expected);
    assert_eq!(reason("a: 1\nb: {<<: 1}"), "line 2: map merge requires map or sequence of maps as the value");
    assert_eq!(reason("a: &x [*x]"), "line 1: the anchor's value contains itself");
    assert!(read("a: *x").is_err());
    assert!(read("a: &x 1\n---\nb: *x").is_err());
}

#[test]
fn small_texts_stay_small() {
    let laughs: String = (1..10)
        .map(|level| format!("l{level}: &l{level} [{}]\n", vec![format!("*l{}", level - 1); 10].join(",")))
        .collect();
    assert!(reason(&format!("l0: &l0 x\n{laughs}")).ends_with("anchors and aliases stand for more than 100000 values"));
    let nested: String = (1..100).map(|level| format!("l{level}: &l{level} [*l{}]\n", level - 1)).collect();
    assert!(reason(&format!("l0: &l0 x\n{nested}")).ends_with("more than 64 collections in each other"));
    for text in [
        "[".repeat(100_000),
        "- ".repeat(100_000),
        "{a: ".repeat(100_000),
        format!("{}1{}", "[".repeat(65), "]".repeat(65)),
    ] {
        assert!(read(&text).is_err());
    }
    let deepest = format!("{}1{}", "[".repeat(64), "]".repeat(64));
    assert!(read(&deepest).is_ok());
    assert!(read(&format!("# YAML\n{deepest}")).is_ok());
    assert_eq!(reason(&format!("a: 1\n---\n# {}\n", "x".repeat(LARGEST))), "line 2: a document of more than 10 MB");
    let nets = 200_000;
    assert_eq!(value(&"- 10.0.0.0/8\n".repeat(nets)).as_array().map(Vec::len), Some(nets));
}

#[test]
fn errors_name_the_line() {
    for (text, begin) in [
        ("a: 1\nb: c: d\n", "line 2: "),
        ("a: 1\n---\n\nb: [1\n", "line "),
        ("a: @x", "line 1: "),
        ("a: 'x", "line "),
        ("a: 1\n\tb: 2\n", "line 1: while scanning a plain scalar, found a tab"),
        ("a: 1\n---\nb: .inf\n", "line 3: .inf is a number that JSON does not have"),
        ("a: !!int x", "line 1: cannot decode `x` as a !!int"),
        ("a:\n  - 1\n b: 2\n", "line 3: "),
        (
            "a: 1\nselector: !has(x)\n",
            "line 2: !has(x) is a tag, and not supported; text that begins with ! must be in quotes",
        ),
        ("a: !foo 12", "line 1: !foo is a tag"),
        ("selector: !has(x) && !y", "line 1: "),
    ] {
        assert!(reason(text).starts_with(begin), "{}: {text}", reason(text));
    }
    let place = read("a: 1\n---\nab: .nan").map_err(|error| (error.line, error.column));
    assert_eq!(place, Err((3, 5)));
}
