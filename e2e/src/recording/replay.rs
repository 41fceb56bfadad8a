//! Runs a recorded scenario with the executables under test, and compares everything after each step.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::kernel::kernel_state;
use super::objects::masked;
use super::{DIFFERENCES, Objects, Ours, Recording, Step};
use crate::call::Answer;
use crate::container::Container;
use crate::etcd::Etcd;
use crate::host::Host;
use crate::place::Place;
use crate::store::contradictions;

/// Replays a scenario with the objects in an etcd. With `exec`, `calico` executes `calico-ipam`.
pub fn on_etcd(scenario: &str, exec: bool) {
    let recording = Recording::load(scenario);
    let etcd = recording.etcd();
    let netconf = etcd.configured(recording.netconf.clone());
    Replay { scenario, recording, host: etcd.host(), etcd: Some(etcd) }.run(netconf, exec);
}

/// Replays a scenario on the embedded store, which has the recorded pools and is empty at the beginning. What
/// allocation and endpoints leave in it is compared. With `exec`, `calico` executes `calico-ipam`.
pub fn on_embedded_store(scenario: &str, exec: bool) {
    let recording = Recording::load(scenario);
    let netconf = recording.embedded_netconf();
    Replay { scenario, recording, host: Host::start(), etcd: None }.run(netconf, exec);
}

struct Replay<'a> {
    scenario: &'a str,
    recording: Recording,
    host: Host,
    /// Where the objects are, if it is not the host's embedded store.
    etcd: Option<Etcd>,
}

impl Replay<'_> {
    fn run(&self, mut netconf: Value, exec: bool) {
        // Not all recordings end clean, as some are of `calico-ipam` alone: what the audit finds is compared instead.
        self.host.end_unaudited();
        self.etcd.iter().for_each(Etcd::end_unaudited);
        // Forwarding of IPv6 would show in the settings of every new interface, and was off where runs were recorded.
        for scope in ["all", "default"] {
            self.host.set_sysctl(&format!("ipv6/conf/{scope}/forwarding"), "0");
        }
        if exec {
            netconf["ipam"]["exec"] = json!(true);
        }
        let namespace = self.host.container("golden");
        let mut before = (self.comparable(&self.recording.before), self.objects());
        for (index, step) in self.recording.steps.iter().enumerate() {
            let what = format!("{}, exec {exec}, step {index}: {} {}", self.scenario, step.verb, step.container);
            let container = namespace.renamed(&step.container);
            let answer = container.call(&step.executable, &step.verb, &netconf).env("CNI_ARGS", &step.arguments).run();
            self.assert_answer(&answer, index, step, &what);
            let after = (self.comparable(&step.after), self.objects());
            assert_objects(&before, &after, &what);
            if !step.kernel.is_null() {
                assert_settles_at(&step.kernel, || kernel_state(&self.host, &container, "eth0"), &what);
            }
            if (step.executable.as_str(), step.verb.as_str(), step.exit) == ("calico", "ADD", 0) {
                assert_one_mac(&container, &answer, &after.1, &what);
            }
            before = after;
        }
        let (recorded, found) = before;
        assert_eq!(contradictions(found), contradictions(recorded), "{}", self.scenario);
        let left = self.host.kernel_leftovers();
        assert!(left.is_empty(), "{}: left behind:\n{}", self.scenario, left.join("\n"));
    }

    /// All stored objects that can be compared.
    fn objects(&self) -> Objects {
        match &self.etcd {
            Some(etcd) => etcd.dump(),
            None => {
                let text = |(path, object): (String, Value)| (path, go_json::to_compact(&object));
                self.comparable(&self.host.stored().0.into_iter().map(text).collect())
            }
        }
    }

    /// The name of the pool there is: the embedded store gives its own one another than it was recorded with.
    fn pool(&self) -> String {
        let paths: Vec<String> = match &self.etcd {
            Some(etcd) => etcd.dump().into_keys().collect(),
            None => self.host.stored().0.into_keys().collect(),
        };
        let name = |path: &String| Some(path.split_once("/ippools/")?.1.to_owned());
        paths.iter().find_map(name).unwrap_or_default()
    }

    /// The embedded store makes its own pools, node and settings, and knows only what it has a use for.
    fn comparable(&self, objects: &Objects) -> Objects {
        let mut objects = objects.clone();
        let parts = ["/ipam/v2/", "/profiles/", "/workloadendpoints/"];
        objects.retain(|path, _| self.etcd.is_some() || parts.iter().any(|part| path.contains(part)));
        objects
    }

    #[track_caller]
    fn assert_answer(&self, answer: &Answer, index: usize, step: &Step, what: &str) {
        let (mut exit, mut expected) = (step.exit, step.stdout.clone());
        for difference in DIFFERENCES.iter().filter(|it| (it.scenario, it.step) == (self.scenario, index)) {
            match difference.ours {
                Ours::Details(details) => {
                    let mut error = parse(&expected);
                    assert_eq!(error.get("details"), None, "{what}: {difference:?}");
                    error["details"] = json!(details.replace("{pool}", &self.pool()));
                    expected = go_json::to_pretty(&error);
                }
                Ours::Refusal(code, msg, details) => {
                    assert_eq!(exit, 0, "{what}: {difference:?}");
                    exit = 1;
                    expected = go_json::to_pretty(&json!({ "code": code, "msg": msg, "details": details }));
                }
            }
        }
        assert_eq!(answer.exit.map(i64::from), Some(exit), "{what}: {answer:#?}");
        assert_eq!(mask_mac(&answer.stdout).0, mask_mac(&expected).0, "{what}");
    }
}

/// Compares the recorded and the found objects, before and after a step.
#[track_caller]
fn assert_objects(before: &(Objects, Objects), after: &(Objects, Objects), what: &str) {
    let ((recorded_before, found_before), (recorded, found)) = (before, after);
    assert_eq!(format!("{:#?}", all_masked(found)), format!("{:#?}", all_masked(recorded)), "{what}");
    let writes = (writes(found_before, found), writes(recorded_before, recorded));
    assert_eq!(writes.0, writes.1, "{what}: how often blocks were written");
    for (path, text) in found {
        assert_eq!(go_json::to_compact(&parse(text)), *text, "{what}: {path} is not as Go writes it");
        if recorded_before.get(path) == recorded.get(path) {
            assert_eq!(found_before.get(path), Some(text), "{what}: {path} was to be left alone");
        }
    }
}

fn all_masked(objects: &Objects) -> Objects {
    objects.iter().map(|(path, text)| (path.clone(), masked(&parse(text)).to_string())).collect()
}

/// How often each block was written in a step, as its sequence number tells.
fn writes(before: &Objects, after: &Objects) -> BTreeMap<String, u64> {
    let number = |text: &String| parse(text)["sequenceNumber"].as_u64();
    let count =
        |(path, text): (&String, &String)| Some((path.clone(), number(text)?.wrapping_sub(number(before.get(path)?)?)));
    after.iter().filter_map(count).collect()
}

/// Compares for as long as the kernel may need to settle: an interface is not up the moment it is set up.
#[track_caller]
fn assert_settles_at(expected: &Value, state: impl Fn() -> Value, what: &str) {
    let start = Instant::now();
    loop {
        let found = state();
        if found == *expected {
            return;
        }
        if start.elapsed() > Duration::from_secs(3) {
            assert_eq!(format!("{found:#}"), format!("{expected:#}"), "{what}");
            panic!("{what}: {found:#} is not {expected:#}");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The MAC in the answer, if it has one, is the one in the kernel and in the endpoint.
#[track_caller]
fn assert_one_mac(container: &Container<'_>, answer: &Answer, objects: &Objects, what: &str) {
    let kernel = container.ip_json("link show dev eth0")[0]["address"].clone();
    if let (_, Some(mac)) = mask_mac(&answer.stdout) {
        assert_eq!(kernel, json!(mac), "{what}");
    }
    let endpoint = objects.iter().find(|(path, _)| path.contains("/workloadendpoints/"));
    let (_, endpoint) = endpoint.unwrap_or_else(|| panic!("{what}: no endpoint is stored"));
    assert_eq!(parse(endpoint)["spec"]["mac"], kernel, "{what}");
}

/// A result with its MAC masked, byte for byte otherwise; and that MAC, if there is one.
fn mask_mac(stdout: &str) -> (String, Option<String>) {
    let result: Value = serde_json::from_str(stdout).unwrap_or_default();
    match result["interfaces"][1]["mac"].as_str() {
        Some(mac) => (stdout.replace(mac, "<mac>"), Some(mac.to_owned())),
        None => (stdout.to_owned(), None),
    }
}

fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}
