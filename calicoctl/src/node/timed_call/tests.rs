use super::*;

#[test]
fn a_phase() {
    let text = "2026-01-02 03:04:05.007 [INFO][42] cni-plugin/add.rs 253: recorded the endpoint container=\"c1\" endpoint=\"a b=\\\"\" ms=1.24";
    let line = Line::parse(text).unwrap();
    assert_eq!(
        (line.time.as_str(), line.process, line.program.as_str()),
        ("2026-01-02 03:04:05.007", 42, "cni-plugin")
    );
    assert_eq!(line.container, "c1");
    assert!(matches!(line.said, Said::Phase("ENDPOINT", ms) if ms == 1.24), "{line:?}");
}

#[test]
fn ends() {
    let end = |level: &str, said: &str| match Line::parse(&format!("d t [{level}][1] ipam/plugin.rs 1: {said}"))?.said {
        Said::End { verb, end } => Some((verb, end)),
        Said::Phase(..) => None,
    };
    let done = |verb: &str, millis| Some((verb.to_owned(), End::Done(millis)));
    assert_eq!(end("INFO", "DEL done container=\"c\" ms=7.00"), done("DEL", 7.0));
    assert_eq!(end("INFO", "ADD done addresses=\"10.0.0.1\" container=\"c\" ms=7.50 ms_kernel=2.00"), done("ADD", 7.5));
    assert_eq!(end("INFO", "undid the ADD container=\"c\" ms=1.00"), done("undo ADD", 1.0));
    let failed = end("ERROR", "ADD failed container=\"c\" error=no way: container=\"x\" ms=3");
    assert_eq!(failed, Some(("ADD".to_owned(), End::Failed)));
    assert_eq!(end("INFO", "ADD failed container=\"c\" ms=1"), None);
}

#[test]
fn other_lines_are_skipped() {
    let others = [
        "",
        ": ",
        "a b c d e: f",
        "2026-01-02 03:04:05.007 [INFO][42] cni-plugin/k8s.go 123: ADD done container=\"c\" ms=1.00",
        "2026-01-02 03:04:05.007 [INFO][x] ipam/plugin.rs 1: ADD done container=\"c\" ms=1.00",
        "2026-01-02 03:04:05.007 [INFO][42] ipam/plugin.rs 1: ADD done container=\"c\"",
        "2026-01-02 03:04:05.007 [INFO][42] ipam/plugin.rs 1: ADD done container=\"c\" ms=inf",
        "2026-01-02 03:04:05.007 [INFO][42] ipam/plugin.rs 1: ADD done ms=1.00",
        "2026-01-02 03:04:05.007 [INFO][42] ipam/plugin.rs 1: something else container=\"c\" ms=1.00",
        "2026-01-02 03:04:05.007 [DEBUG][42] ipam/plugin.rs 1: ADD done container=\"c\" ms=1.00",
        "2026-01-02 03:04:05.007 [INFO][42] ipam/plugin.rs 1: ADD done container=\"c",
        "2026-01-02 03:04:05.007 [INFO][42] ipam/plugin.rs 1: ADD done container=",
        "é = \"",
    ];
    for line in others {
        assert!(Line::parse(line).is_none(), "{line}");
    }
}

#[test]
fn phases_are_those_of_the_same_process_and_container() {
    let line = |process: u32, program: &str, said: &str| {
        Line::parse(&format!("2026-01-02 03:04:05.007 [INFO][{process}] {program}/x.rs 1: {said} ms=1.50")).unwrap()
    };
    let lines = [
        line(1, "cni-plugin", "opened the datastore container=\"a\""),
        line(2, "cni-plugin", "opened the datastore container=\"b\""),
        line(3, "ipam", "read what there is container=\"a\""),
        line(3, "ipam", "ADD done container=\"a\""),
        line(1, "cni-plugin", "took the host lock container=\"a\""),
        line(1, "cni-plugin", "opened the datastore container=\"a\""),
        line(1, "cni-plugin", "ADD done container=\"a\""),
        line(1, "cni-plugin", "DEL done container=\"a\""),
    ];
    let calls: Vec<_> = calls(&lines).into_iter().map(|call| (call.verb, call.program, call.phases)).collect();
    let call =
        |verb: &str, program: &str, phases: &[(&'static str, f64)]| (verb.into(), program.into(), phases.to_vec());
    let expected = [
        call("ADD", "ipam", &[("READ", 1.5)]),
        call("ADD", "cni-plugin", &[("OPEN", 3.0), ("LOCK", 1.5)]),
        call("DEL", "cni-plugin", &[]),
    ];
    assert_eq!(calls, expected);
}

/// The plugins and this program must agree on the messages.
#[test]
fn every_message_is_known() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut messages = Vec::new();
    for file in
        ["calico-cni/src/add.rs", "calico-cni/src/del.rs", "calico-cni/src/undo.rs", "calico-ipam/src/plugin.rs"]
    {
        let source = std::fs::read_to_string(root.join(file)).unwrap();
        let ends = source.split("phase.end(\"").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned());
        messages.extend(ends);
    }
    for message in &messages {
        assert!(column(message).is_some(), "{message}");
    }
    for message in COLUMNS.iter().flat_map(|(_, messages)| *messages) {
        assert!(messages.iter().any(|said| said == message), "{message}");
    }
}
