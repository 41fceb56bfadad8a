//! What Calico's own tool was recorded to print.

use e2e::Ctl;

use crate::inputs;

/// A recorded run.
struct Recorded {
    line: String,
    stdout: Vec<String>,
    stderr: Vec<String>,
}

fn recorded() -> Vec<Recorded> {
    let mut all: Vec<Recorded> = Vec::new();
    for line in include_str!("recorded.txt").lines().filter(|line| !line.starts_with('#')) {
        if let Some(line) = line.strip_prefix("$ calicoctl ") {
            all.push(Recorded { line: line.to_owned(), stdout: vec![], stderr: vec![] });
            continue;
        }
        let last = all.last_mut().expect("the first line is a command");
        match line.strip_prefix("stderr: ") {
            Some(line) => last.stderr.push(masked(line)),
            None => last.stdout.push(masked(line)),
        }
    }
    all
}

/// A line without what differs from run to run.
fn masked(line: &str) -> String {
    let differs = ["uid", "creationTimestamp", "resourceVersion"].into_iter().find(|field| {
        let line = line.trim_start().trim_start_matches("- ").trim_start_matches('"');
        line.strip_prefix(field).is_some_and(|rest| rest.starts_with(':') || rest.starts_with("\":"))
    });
    match differs {
        Some(field) => format!("{}{field}", &line[..line.find(field).unwrap_or(0)]),
        None => line.to_owned(),
    }
}

/// The lines of an output: without the empty one behind a table, and without what we say in addition, which is indented.
fn lines(text: &str, is_stderr: bool) -> Vec<String> {
    let mut lines: Vec<&str> = text.lines().collect();
    if is_stderr {
        lines.retain(|line| !line.starts_with("  "));
    } else if lines.last().is_some_and(|line| line.is_empty()) {
        lines.pop();
    }
    lines.into_iter().map(masked).collect()
}

#[test]
fn answers_and_exit_codes_are_the_recorded_ones() {
    let ctl = Ctl::on_etcd();
    // What was recorded leaves an endpoint whose address nobody assigned.
    ctl.end_unaudited();
    inputs::write(&ctl);
    let all = recorded();
    assert!(all.len() > 60, "{} runs", all.len());
    for Recorded { line, stdout, stderr } in all {
        let said = ctl.run(&line);
        assert_eq!(lines(&said.stdout, false), stdout, "{line}: {said:#?}");
        assert_eq!(lines(&said.stderr, true), stderr, "{line}: {said:#?}");
        assert_eq!(said.code, i32::from(!stderr.is_empty()), "{line}: {said:#?}");
    }
}
