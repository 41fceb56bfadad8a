//! What calls log: their phases, in the form of all Calico components, and nothing secret.

use e2e::{Answer, Call, Host, Options, Place, Site, dual_stack};
use serde_json::json;

/// What a line says behind its place in the source; the rest must have the known form.
#[track_caller]
fn says(line: &str) -> &str {
    let form = "0000-00-00 00:00:00.000 [";
    let (time, rest) = line.split_at(form.len());
    let matches = time.chars().zip(form.chars()).all(|(c, form)| c == form || form == '0' && c.is_ascii_digit());
    assert!(matches, "{line:?}");
    let (level, rest) = rest.split_once("][").unwrap();
    assert!(["ERROR", "WARNING", "INFO", "DEBUG"].contains(&level), "{line:?}");
    let (process, rest) = rest.split_once("] ").unwrap();
    let (place, says) = rest.split_once(": ").unwrap();
    let (file, number) = place.split_once(' ').unwrap();
    assert!(process.parse::<u32>().is_ok() && number.parse::<u32>().is_ok(), "{line:?}");
    assert!(file.starts_with("cni-plugin/") || file.starts_with("ipam/"), "{line:?}");
    says
}

/// The phases that a call logs, in their order. Each names the container and has a duration.
#[track_caller]
fn phases(answer: &Answer) -> Vec<String> {
    answer.result();
    let phase = |line: &str| {
        let said = says(line);
        assert!(line.contains("[INFO]") && said.contains(" container=\"c1\""), "{line:?}");
        let ms = said.split(" ms=").nth(1).and_then(|rest| rest.split(' ').next());
        assert!(ms.is_some_and(|ms| ms.parse::<f64>().is_ok()), "{line:?}");
        let end = said.find('=').and_then(|at| said[..at].rfind(' ')).unwrap();
        said[..end].to_owned()
    };
    answer.stderr.lines().map(phase).collect()
}

#[test]
fn each_phase_is_one_line_with_its_duration() {
    let host = Host::start();
    let container = host.container("c1");
    let netconf = dual_stack();
    let mut add = phases(&container.add(&netconf).run());
    // These two happen at the same time.
    add[5..7].sort();
    assert_eq!(
        add,
        [
            "opened the datastore",
            "took the host lock",
            "read what there is",
            "created this node and its pools",
            "read what there is",
            "assigned the addresses",
            "made the interfaces",
            "set addresses and routes",
            "recorded the endpoint",
            "ADD done"
        ]
    );
    let mut del = phases(&container.del(&netconf).run());
    let removed = del.iter().position(|phase| phase == "removed the interfaces").unwrap();
    // At the same time as the next three.
    del.remove(removed);
    assert!((1..5).contains(&removed), "{removed}: {del:?}");
    assert_eq!(
        del,
        [
            "took the host end down",
            "opened the datastore",
            "took the host lock",
            "read what there is",
            "deleted the endpoint",
            "released the addresses",
            "DEL done"
        ]
    );
    host.assert_nothing_left();
}

#[test]
fn an_executed_plugin_logs_its_own_phases() {
    let host = Host::start();
    let container = host.container("c1");
    let mut netconf = dual_stack();
    netconf["ipam"]["exec"] = json!(true);
    let add = container.add(&netconf).run();
    let phases = phases(&add);
    assert!(phases.iter().any(|phase| phase == "the IPAM plugin assigned the addresses"), "{add:#?}");
    assert!(add.stderr.contains("] ipam/plugin.rs ") && add.stderr.contains("] cni-plugin/add.rs "), "{add:#?}");
    container.del(&netconf).run().result();
    host.assert_nothing_left();
}

#[test]
fn levels_say_how_much_is_logged() {
    let host = Host::start();
    let container = host.container("c1");
    let add = |level: &str| {
        let mut netconf = dual_stack();
        netconf["log_level"] = json!(level);
        let answer = container.add(&netconf).run();
        answer.result();
        container.del(&netconf).run().result();
        answer.stderr
    };
    assert_eq!(add("Error"), "");
    assert!(!add("warning").contains("[DEBUG]"));
    let debug = add("debug");
    debug.lines().for_each(|line| assert!(!says(line).is_empty()));
    for words in ["[DEBUG]", "[INFO]", "chose an address address=10.65.84.1", "block=10.65.84.128/26"] {
        assert!(debug.contains(words), "{words:?} is not in:\n{debug}");
    }

    let mut impossible = dual_stack();
    impossible["log_level"] = json!("error");
    impossible["ipam"]["ipv4_pools"] = json!(["no-such-pool"]);
    let failed = container.add(&impossible).run();
    failed.error();
    assert_eq!(failed.stderr.lines().count(), 1, "{failed:#?}");
    assert!(says(&failed.stderr).starts_with("ADD failed container=\"c1\" error=error parsing pool"), "{failed:#?}");
    impossible["log_level"] = json!("info");
    let undone = container.add(&impossible).run();
    for words in ["took back the interfaces container=\"c1\" ms=", "undid the ADD container=\"c1\" ms="] {
        assert!(undone.stderr.contains(words), "{words:?}: {undone:#?}");
    }
    container.del(&dual_stack()).run().result();
    host.assert_nothing_left();
}

#[test]
fn lines_are_dated_in_the_hosts_time_zone() {
    let host = Host::start();
    // The smallest zone file: a header, one type, and the rule that counts.
    let header = [b"TZif2".as_slice(), &[0; 15], &[0; 12], &[0; 4], &[0, 0, 0, 1], &[0, 0, 0, 4]].concat();
    let data = [&[0; 6], b"UTC\0".as_slice()].concat();
    let zone = [&header, &data, &header, &data, b"\n<+13>-13\n".as_slice()].concat();
    std::fs::write(host.folder().join("zone"), zone).unwrap();
    let container = host.container("c1");
    let hours = |set: &dyn Fn(Call) -> Call| {
        let hour = || host.run("date", &["-u", "+%H"]).trim().parse::<u32>().unwrap();
        let before = hour();
        let line = set(container.del(&dual_stack())).run().stderr;
        let logged: u32 = line[11..13].parse().unwrap();
        // The hour may have ended meanwhile.
        [before, hour()].map(|utc| (24 + logged - utc) % 24)
    };
    assert!(hours(&|call| call.env("TZ", "/var/lib/calico/zone")).contains(&13));
    assert!(hours(&|call| call.env("TZ", "")).contains(&0));
    assert!(hours(&|call| call.env("TZ", "No/Such")).contains(&0));
    host.run("mount", &["--bind", "/var/lib/calico/zone", "/etc/localtime"]);
    assert!(hours(&|call| call).contains(&13));
}

#[test]
fn nothing_secret_is_logged() {
    let site = Site::with(Options { auth: true, ..Options::default() });
    let Site { host, etcd } = &site;
    let container = host.container("c1");
    let secrets = ["calico-secret", "token-in-the-configuration", "variable-of-the-runtime"];
    let mut netconf = site.netconf();
    netconf["log_level"] = json!("debug");
    netconf["log_file_path"] = json!("/var/lib/calico/cni.log");
    netconf["policy"] = json!({"k8s_auth_token": "token-in-the-configuration"});
    for exec in [false, true] {
        netconf["ipam"]["exec"] = json!(exec);
        let with_secrets = |call: Call| {
            let call = call.env("SOME_VARIABLE", "variable-of-the-runtime");
            etcd.env().iter().fold(call, |call, (name, value)| call.env(name, value))
        };
        let mut answers = vec![with_secrets(container.add(&netconf)).run()];
        answers.push(with_secrets(container.del(&netconf)).run());
        for answer in &answers {
            answer.result();
            assert!(answer.stderr.contains("[DEBUG]"));
        }
        // One that may not log in.
        answers.push(with_secrets(container.add(&netconf)).env("ETCD_USERNAME", "nobody").run());
        answers[2].error();
        for secret in secrets {
            assert!(answers.iter().all(|answer| !answer.stderr.contains(secret)), "{secret}: {answers:#?}");
        }
    }
    let file = std::fs::read_to_string(host.folder().join("cni.log")).unwrap();
    assert!(file.contains("[DEBUG]") && !secrets.iter().any(|secret| file.contains(secret)), "{file}");
    site.assert_nothing_left();
}
