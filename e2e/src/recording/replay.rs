//! Runs a recorded scenario with the executables under test, and compares everything after each step.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::kernel::{is_random, kernel_state};
use super::objects::masked;
use super::store::Store;
use super::{DIFFERENCES, Difference, Objects, Ours, Recording, Step};
use crate::call::Answer;
use crate::container::Container;
use crate::control_plane::{ApiGroup, ControlPlane};
use crate::etcd::{Etcd, Options};
use crate::executables::folder;
use crate::host::Host;
use crate::place::Place;
use crate::servers::{Plugins, reference_plugin};
use crate::store::contradictions;

/// Replays a scenario with the objects in an etcd. With `exec`, `calico` executes `calico-ipam`.
pub fn on_etcd(scenario: &str, exec: bool) {
    Replay::new(scenario, exec, Store::Etcd(Box::new(Etcd::start(Options::default())))).run();
}

/// Replays a scenario on the embedded store, which has the recorded pools and is empty at the beginning. What
/// allocation and endpoints leave in it is compared. With `exec`, `calico` executes `calico-ipam`.
pub fn on_embedded_store(scenario: &str, exec: bool) {
    Replay::new(scenario, exec, Store::Embedded).run();
}

/// Replays a scenario of a pod with the objects in the Kubernetes API. With `exec`, `calico` executes `calico-ipam`.
pub fn on_kubernetes(scenario: &str, exec: bool) {
    Replay::new(scenario, exec, Store::Kubernetes(ControlPlane::shared(ApiGroup::Crd))).run();
}

/// Replays a scenario of a pod with the objects in an etcd. With `exec`, `calico` executes `calico-ipam`.
pub fn on_etcd_beside_kubernetes(scenario: &str, exec: bool) {
    Replay::new(scenario, exec, Store::EtcdBesideKubernetes(ControlPlane::shared(ApiGroup::Crd))).run();
}

struct Replay<'a> {
    scenario: &'a str,
    exec: bool,
    recording: Recording,
    // Before the network it is on.
    host: Host,
    store: Store,
}

impl Replay<'_> {
    fn new(scenario: &str, exec: bool, store: Store) -> Replay<'_> {
        let recording = Recording::load(scenario);
        store.fill(&recording);
        Replay { scenario, exec, recording, host: store.host(), store }
    }

    fn run(&self) {
        // Not all recordings end clean, as some are of `calico-ipam` alone: what the audit finds is compared instead.
        self.host.end_unaudited();
        self.store.end_unaudited();
        // Forwarding would show in the settings of every new interface, and was off where runs were recorded.
        for scope in ["ipv4/conf/default", "ipv6/conf/default", "ipv6/conf/all"] {
            self.host.set_sysctl(&format!("{scope}/forwarding"), "0");
        }
        for (path, text) in &self.recording.files {
            self.host.run("sh", &["-c", "mkdir -p \"${1%/*}\" && printf %s \"$2\" >\"$1\"", "sh", path, text]);
        }
        let mut netconf = self.store.configured(&self.recording);
        if self.exec {
            netconf["ipam"]["exec"] = json!(true);
        }
        let namespace = self.host.container("golden");
        let plugins = self.plugins(&netconf);
        let mut before = (self.comparable(&self.recording.before), self.objects());
        for (index, step) in self.recording.steps.iter().enumerate() {
            let what = format!("{}, exec {}, step {index}: {} {}", self.scenario, self.exec, step.verb, step.container);
            let container = namespace.renamed(&step.container);
            let has_interface = !self.differences(index).any(|it| matches!(it.ours, Ours::NoInterface));
            let kernel = if has_interface { step.kernel.clone() } else { self.kernel_state(&container) };
            let call = container.call(&step.executable, &step.verb, &netconf).env("CNI_ARGS", &step.arguments);
            let answer = call.env("CNI_PATH", &plugins).run();
            self.assert_answer(&answer, index, step, &what);
            let after = (self.expected(index, step), self.objects());
            let counts = self.differences(index).filter_map(|it| match it.ours {
                Ours::Writes(path, count) => Some((path.to_owned(), count)),
                _ => None,
            });
            assert_objects(&before, &after, counts.collect(), &what);
            if !kernel.is_null() {
                assert_settles_at(&kernel, || self.kernel_state(&container), &what);
            }
            if (step.executable.as_str(), step.verb.as_str(), step.exit) == ("calico", "ADD", 0) {
                assert_one_mac(&container, &answer, &after.1, &what);
            }
            before = after;
        }
        let (recorded, found) = before;
        // Those of the Kubernetes API have other paths. All of them were compared, here as well as there.
        if !matches!(self.store, Store::Kubernetes(_)) {
            assert_eq!(contradictions(found), contradictions(recorded), "{}", self.scenario);
        }
        let left = self.host.kernel_leftovers();
        assert!(left.is_empty(), "{}: left behind:\n{}", self.scenario, left.join("\n"));
    }

    fn kernel_state(&self, container: &Container<'_>) -> Value {
        kernel_state(&self.host, container, "eth0")
    }

    /// The objects that are to be stored after a step.
    fn expected(&self, index: usize, step: &Step) -> Objects {
        let mut objects = self.comparable(&step.after);
        for difference in self.differences(index) {
            if let Ours::Without(paths) = difference.ours {
                for path in paths {
                    assert!(objects.remove(*path).is_some(), "{difference:?}");
                }
            }
        }
        objects
    }

    /// Where plugins are looked for: the IPAM plugin may be one of the CNI project's.
    fn plugins(&self, netconf: &Value) -> String {
        let own = folder();
        if netconf["ipam"]["type"] != "host-local" {
            return own.display().to_string();
        }
        let ipam = reference_plugin(Plugins::V1_9, "host-local");
        format!("{}:{}", own.display(), ipam.parent().unwrap_or(&own).display())
    }

    /// The deliberate differences of a step.
    fn differences(&self, step: usize) -> impl Iterator<Item = &'static Difference> {
        DIFFERENCES.iter().filter(move |it| (it.scenario, it.step) == (self.scenario, step))
    }

    /// All stored objects that can be compared.
    fn objects(&self) -> Objects {
        self.comparable(&self.store.objects(&self.host))
    }

    /// The name of the pool there is: the embedded store gives its own one another than it was recorded with.
    fn pool(&self) -> String {
        let paths = self.store.objects(&self.host).into_keys();
        let name = |path: String| Some(path.split_once("/ippools/")?.1.to_owned());
        paths.filter_map(name).next().unwrap_or_default()
    }

    /// The embedded store makes its own pools, node and settings, and knows only what it has a use for.
    fn comparable(&self, objects: &Objects) -> Objects {
        let mut objects = objects.clone();
        let parts = ["/ipam/v2/", "/profiles/", "/workloadendpoints/"];
        let is_complete = !matches!(self.store, Store::Embedded);
        objects.retain(|path, _| is_complete || parts.iter().any(|part| path.contains(part)));
        objects
    }

    #[track_caller]
    fn assert_answer(&self, answer: &Answer, index: usize, step: &Step, what: &str) {
        let (mut exit, mut expected) = (step.exit, step.stdout.clone());
        for difference in self.differences(index) {
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
                Ours::Message(msg, details) => {
                    let mut error = parse(&expected);
                    assert_ne!(error["msg"], msg, "{what}: {difference:?}");
                    assert_eq!(error.get("details"), None, "{what}: {difference:?}");
                    (error["msg"], error["details"]) = (json!(msg), json!(details));
                    expected = go_json::to_pretty(&error);
                }
                // No matter of the answer.
                Ours::Without(_) | Ours::Writes(..) | Ours::NoInterface => {}
            }
        }
        assert_eq!(answer.exit.map(i64::from), Some(exit), "{what}: {answer:#?}");
        assert_eq!(mask_mac(&answer.stdout).0, mask_mac(&expected).0, "{what}");
    }
}

/// Compares the recorded and the found objects, before and after a step. `counts`: how often some are written instead.
#[track_caller]
fn assert_objects(before: &(Objects, Objects), after: &(Objects, Objects), counts: BTreeMap<String, u64>, what: &str) {
    let ((recorded_before, found_before), (recorded, found)) = (before, after);
    let (mut ours, mut theirs) = (all_masked(found), all_masked(recorded));
    // What is the same on both sides is left out.
    ours.retain(|path, object| {
        let is_same = theirs.get(path) == Some(object);
        if is_same {
            theirs.remove(path);
        }
        !is_same
    });
    assert_eq!(format!("{ours:#?}"), format!("{theirs:#?}"), "{what}");
    let (found_writes, mut recorded_writes) = (writes(found_before, found), writes(recorded_before, recorded));
    for (path, count) in counts {
        assert_ne!(recorded_writes.insert(path, count), Some(count), "{what}: no difference");
    }
    assert_eq!(found_writes, recorded_writes, "{what}: how often objects were written");
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

/// How often each object was written in a step, as the sequence number of a block tells, and the generation of a custom
/// resource, which begins with 1.
fn writes(before: &Objects, after: &Objects) -> BTreeMap<String, u64> {
    let number = |text: &String| {
        let object = parse(text);
        object["sequenceNumber"].as_u64().or_else(|| object["metadata"]["generation"].as_u64())
    };
    let count = |(path, text): (&String, &String)| {
        let is_resource = !parse(text)["metadata"]["generation"].is_null();
        let first = before.get(path).map_or_else(|| is_resource.then_some(0), number);
        Some((path.clone(), number(text)?.wrapping_sub(first?)))
    };
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

/// The MAC in the answer, if it has one, is the one in the kernel and in the endpoint. In the Kubernetes API an endpoint is a
/// pod, which does not have it.
#[track_caller]
fn assert_one_mac(container: &Container<'_>, answer: &Answer, objects: &Objects, what: &str) {
    let kernel = container.ip_json("link show dev eth0")[0]["address"].clone();
    if let (_, Some(mac)) = mask_mac(&answer.stdout) {
        assert_eq!(kernel, json!(mac), "{what}");
    }
    let endpoint = objects.iter().find(|(path, _)| path.contains("/workloadendpoints/"));
    match endpoint {
        Some((_, endpoint)) => assert_eq!(parse(endpoint)["spec"]["mac"], kernel, "{what}"),
        None => assert!(objects.keys().any(|path| path.starts_with("pods/")), "{what}: no endpoint is stored"),
    }
}

/// A result with its MAC masked if the kernel may have made it up, byte for byte otherwise; and that MAC, if there is one.
fn mask_mac(stdout: &str) -> (String, Option<String>) {
    let result: Value = serde_json::from_str(stdout).unwrap_or_default();
    match result["interfaces"][1]["mac"].as_str() {
        Some(mac) if is_random(mac) => (stdout.replace(mac, "<mac>"), Some(mac.to_owned())),
        Some(mac) => (stdout.to_owned(), Some(mac.to_owned())),
        None => (stdout.to_owned(), None),
    }
}

fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}
