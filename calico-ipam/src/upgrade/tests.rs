//! One node's addresses on the embedded store, which applies writes one by one here, as the Kubernetes API does; a run is cut
//! short at every point at which it waits for anything.

use std::net::IpAddr;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Poll;
use std::time::{Duration, SystemTime};

use calico_datastore::local::Local;
use calico_datastore::{Answers, Datastore, Outcome, Want, Write};
use calico_model::kubernetes::{ClusterNode, Pod};
use calico_model::{ClusterInformation, IpPool, Key, Kind, Node};
use calico_plugin::Log;
use serde_json::json;
use tokio::task::yield_now;

use super::error::Error;
use super::gate::{self, CLOSED_FOR};
use super::migration::{Migration, Places};
use super::orchestrator::Orchestrator;
use crate::{AssignAddress, Ipam, Lease, audit};

/// A store that lets others come before and after each of its writes, and each of its answers.
struct Interrupted(Local);

impl Datastore for Interrupted {
    async fn read(&self, wants: &[Want]) -> Result<Answers, calico_datastore::Error> {
        yield_now().await;
        let answers = self.0.read(wants).await;
        yield_now().await;
        answers
    }

    async fn commit(&self, writes: &[Write]) -> Result<Outcome, calico_datastore::Error> {
        let mut revisions = Vec::new();
        for (index, write) in writes.iter().enumerate() {
            yield_now().await;
            match self.0.commit(std::slice::from_ref(write)).await? {
                Outcome::Applied(new) => revisions.extend(new),
                Outcome::Conflict { .. } => return Ok(Outcome::Conflict { index, applied: revisions }),
                unknown @ Outcome::Unknown(_) => return Ok(unknown),
            }
            yield_now().await;
        }
        Ok(Outcome::Applied(revisions))
    }

    async fn settle(&self) -> Result<(), calico_datastore::Error> {
        self.0.settle().await
    }

    fn answers_singly(&self) -> bool {
        true
    }

    fn name(&self) -> String {
        self.0.name()
    }
}

/// Kubernetes: a node with two networks, and its pods.
struct Kubernetes {
    pods: Vec<Pod>,
}

impl Orchestrator for Kubernetes {
    async fn node(&self, _: &str) -> Result<Option<ClusterNode>, Error> {
        let node = json!({"metadata": {"name": "a"}, "spec": {"podCIDRs": ["10.65.3.0/24", "fd65:3::/120"]}});
        Ok(serde_json::from_str(&node.to_string()).unwrap())
    }

    async fn pods_on(&self, _: &str) -> Result<Vec<Pod>, Error> {
        yield_now().await;
        Ok(self.pods.clone())
    }
}

fn pod(name: &str, ips: &[&str]) -> Pod {
    let ips: Vec<_> = ips.iter().map(|ip| json!({"ip": ip})).collect();
    let pod = json!({
        "metadata": {"namespace": "shop", "name": name}, "spec": {"nodeName": "a"},
        "status": {"phase": "Running", "podIP": ips[0]["ip"], "podIPs": ips}
    });
    serde_json::from_str(&pod.to_string()).unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// The node `a` with its files, which are removed with the value.
struct Site {
    store: Interrupted,
    kubernetes: Kubernetes,
    places: Places,
    root: PathBuf,
    log: Log,
}

/// The addresses that pods have, and their handles.
const USED: [(&str, &str); 3] =
    [("10.65.3.7", "k8s-pod-network.c1"), ("fd65:3::7", "k8s-pod-network.c1"), ("10.65.3.200", "k8s-pod-network.c2")];

impl Site {
    /// With two pods, one of them of both families, and the file of one that is gone.
    async fn start() -> Site {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let root = std::env::temp_dir().join(format!("calico-upgrade-{}-{number}", std::process::id()));
        let places = Places {
            addresses: root.join("network"),
            marker: root.join("marker"),
            executables: root.join("bin"),
            grace: Duration::ZERO,
        };
        for folder in [&places.addresses, &places.executables] {
            std::fs::create_dir_all(folder).unwrap();
        }
        let pods = vec![pod("web", &["10.65.3.7", "fd65:3::7"]), pod("db", &["10.65.3.200"])];
        let store = Local::in_memory().await.unwrap();
        store.seed("a", &[]).await.unwrap();
        for (name, cidr) in [("four", "10.65.0.0/16"), ("six", "fd65::/16")] {
            let pool = IpPool::routed(name, cidr.parse().unwrap());
            let outcome = store.commit(&[Write::create(Key::resource(Kind::IpPool, name), pool)]).await.unwrap();
            assert!(matches!(outcome, Outcome::Applied(_)));
        }
        let log = Log::silent();
        let site = Site { store: Interrupted(store), kubernetes: Kubernetes { pods }, places, root, log };
        for (name, content) in [
            ("10.65.3.7", "c1\r\neth0"),
            ("fd65:3::7", "c1\r\neth0"),
            ("10.65.3.200", "c2"),
            ("10.65.3.9", "gone\r\neth0"),
            ("last_reserved_ip.0", "10.65.3.200"),
            ("last_reserved_ip.1", "fd65:3::7"),
            ("lock", ""),
        ] {
            site.write(name, content);
        }
        for name in ["calico", "calico-ipam", "host-local"] {
            std::fs::write(site.places.executables.join(name), "").unwrap();
        }
        site
    }

    fn write(&self, name: &str, content: &str) {
        std::fs::write(self.places.addresses.join(name), content).unwrap();
    }

    fn files(&self) -> Vec<String> {
        let name = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
        let mut names: Vec<String> =
            std::fs::read_dir(&self.places.addresses).into_iter().flatten().map(name).collect();
        names.sort();
        names
    }

    fn executables(&self) -> usize {
        std::fs::read_dir(&self.places.executables).unwrap().count()
    }

    fn migration_of<'m>(&'m self, node: &'m str) -> Migration<'m, Interrupted, Kubernetes> {
        Migration { store: &self.store, orchestrator: &self.kubernetes, node, places: &self.places, log: &self.log }
    }

    async fn attempt(&self) -> Result<(), Error> {
        self.migration_of("a").attempt().await
    }

    /// An attempt that is cut short when it has waited so often; answers whether it came to its end before.
    async fn attempt_until(&self, waits: usize) -> bool {
        let mut work = pin!(self.attempt());
        let mut left = waits;
        std::future::poll_fn(|context| {
            if left == 0 {
                return Poll::Ready(false);
            }
            left -= 1;
            work.as_mut().poll(context).map(|ended| {
                ended.unwrap();
                true
            })
        })
        .await
    }

    async fn information(&self) -> ClusterInformation {
        let mut answers = self.store.0.read(&[Want::Get(gate::key())]).await.unwrap();
        answers.get::<ClusterInformation>().unwrap().unwrap().value
    }

    /// Whether the datastore may be used, and the nodes for which it may not.
    async fn gate(&self) -> (Option<bool>, Option<String>) {
        let information = self.information().await;
        (information.spec.datastore_ready, information.metadata.annotations.get(CLOSED_FOR).cloned())
    }

    async fn set_gate(&self, ready: bool, nodes: &str) {
        let mut answers = self.store.0.read(&[Want::Get(gate::key())]).await.unwrap();
        let mut stored = answers.get::<ClusterInformation>().unwrap().unwrap();
        stored.value.spec.datastore_ready = Some(ready);
        stored.value.metadata.annotations.clear();
        if !nodes.is_empty() {
            stored.value.metadata.annotations.insert(CLOSED_FOR.to_owned(), nodes.to_owned());
        }
        self.store.0.commit(&[Write::update(stored.key, stored.revision, stored.value)]).await.unwrap();
    }

    fn ipam(&self) -> Ipam<&Local> {
        Ipam::new(&self.store.0, "a", SystemTime::now())
    }

    async fn holder(&self, address: &str) -> Option<String> {
        self.ipam().use_of(ip(address)).await.ok().and_then(|found| found.handle)
    }

    /// At any point each address that is in use has its file still, or is recorded; and a closed datastore says for whom.
    async fn assert_nothing_lost(&self, when: usize) {
        let files = self.files();
        for (address, handle) in USED {
            let holder = self.holder(address).await;
            assert!(files.contains(&address.to_owned()) || holder.as_deref() == Some(handle), "{when}: {address}");
        }
        let (ready, nodes) = self.gate().await;
        assert_eq!(ready == Some(false), nodes.as_deref() == Some("a"), "{when}");
        assert!(ready == Some(true) || self.places.may_be_closed(), "{when}");
    }

    async fn assert_done(&self) {
        for (address, handle) in USED {
            let found = self.ipam().use_of(ip(address)).await.unwrap();
            assert_eq!(found.handle.as_deref(), Some(handle));
            let attribute = |name: &str| found.attributes.get(name).map(String::as_str);
            let name = if handle.ends_with("c1") { "web" } else { "db" };
            assert_eq!(["namespace", "pod", "node"].map(attribute), [Some("shop"), Some(name), Some("a")]);
            assert!(attribute("timestamp").is_some());
        }
        let tunnel = self.ipam().use_of(ip("10.65.3.1")).await.unwrap();
        assert_eq!(tunnel.handle.as_deref(), Some("ipip-tunnel-addr-a"));
        let expected = [("node", "a"), ("type", "ipipTunnelAddress")];
        assert_eq!(tunnel.attributes, expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
        let mut answers = self.store.0.read(&[Want::Get(Key::resource(Kind::Node, "a"))]).await.unwrap();
        let node = answers.get::<Node>().unwrap().unwrap().value;
        assert_eq!(node.spec["bgp"]["ipv4IPIPTunnelAddr"], "10.65.3.1");
        assert!(self.holder("10.65.3.9").await.is_none());
        assert_eq!(self.gate().await, (Some(true), None));
        assert!(self.places.are_done());
        assert_eq!(self.executables(), 1, "calico-ipam stays");
        self.assert_agreement().await;
    }

    /// That a container has no endpoint yet is no matter: none was connected by the plugin.
    async fn assert_agreement(&self) {
        let mut findings = audit::audit(&self.store.0, SystemTime::now()).await.unwrap();
        findings.retain(|finding| !matches!(finding, audit::Finding::Leaked { .. }));
        assert!(findings.is_empty(), "{findings:?}");
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.root);
    }
}

#[tokio::test]
async fn a_run_may_end_anywhere() {
    let (mut waits, mut ended) = (0, false);
    while !ended {
        let site = Site::start().await;
        ended = site.attempt_until(waits).await;
        site.assert_nothing_lost(waits).await;
        site.attempt().await.unwrap();
        site.assert_done().await;
        waits += 1;
    }
    assert!(waits > 50, "{waits}");
}

#[tokio::test]
async fn two_runs_may_end_anywhere() {
    // Each time one step further than before: what one left, the next leaves again.
    for stride in [1, 3, 7] {
        let site = Site::start().await;
        let mut waits = stride;
        while !site.attempt_until(waits).await {
            site.assert_nothing_lost(waits).await;
            waits += stride;
        }
        site.assert_done().await;
    }
}

#[tokio::test]
async fn what_a_killed_run_closed_is_opened_also_where_nothing_else_is_left() {
    let site = Site::start().await;
    site.attempt().await.unwrap();
    for folder in [false, true] {
        site.set_gate(false, "a").await;
        std::fs::write(&site.places.marker, "").unwrap();
        assert!(!site.places.are_done());
        if folder {
            std::fs::create_dir(&site.places.addresses).unwrap();
        }
        site.attempt().await.unwrap();
        site.assert_done().await;
    }
    // Once more: there is nothing to do.
    let before = site.information().await;
    site.attempt().await.unwrap();
    assert_eq!(site.information().await, before);
}

#[tokio::test]
async fn what_others_closed_stays_closed() {
    let site = Site::start().await;
    let files = site.files();
    site.set_gate(false, "").await;
    assert!(matches!(site.attempt().await, Err(Error::Locked)));
    assert_eq!((site.files(), site.executables(), site.gate().await), (files, 3, (Some(false), None)));

    // Another node is at it: this one need not wait, and the other opens.
    site.set_gate(false, "b").await;
    site.attempt().await.unwrap();
    assert_eq!(site.gate().await, (Some(false), Some("b".to_owned())));
    site.migration_of("b").open().await.unwrap();
    site.assert_done().await;
}

#[tokio::test]
async fn what_cannot_be_recorded_is_found_before_anybody_waits() {
    let mut site = Site::start().await;
    site.write("10.99.0.2", "c3");
    site.kubernetes.pods.push(pod("far", &["10.99.0.2"]));
    let files = site.files();
    let error = site.attempt().await.unwrap_err();
    assert!(error.to_string().starts_with("cannot assign 10.99.0.2 to pod shop/far: "), "{error}");
    assert!(error.advice().contains("four (10.65.0.0/16) is enabled"), "{}", error.advice());
    assert_eq!((site.files(), site.executables(), site.gate().await), (files, 3, (Some(true), None)));

    // Nor does anybody wait any more if a run was killed before.
    site.set_gate(false, "a").await;
    std::fs::write(&site.places.marker, "").unwrap();
    site.attempt().await.unwrap_err();
    assert_eq!(site.gate().await, (Some(true), None));

    std::fs::remove_file(site.places.addresses.join("10.99.0.2")).unwrap();
    site.write("10.65.3.4", "");
    site.kubernetes.pods.push(pod("nameless", &["10.65.3.4"]));
    let error = site.attempt().await.unwrap_err();
    assert!(error.to_string().ends_with("does not name the container of pod shop/nameless, which has this address"));
    assert_eq!((site.executables(), site.gate().await), (3, (Some(true), None)));

    site.kubernetes.pods.truncate(2);
    site.attempt().await.unwrap();
    site.assert_done().await;
}

#[tokio::test]
async fn a_pod_that_is_starting_keeps_its_address() {
    let mut site = Site::start().await;
    site.kubernetes.pods.push(pod("starting", &[""]));
    let error = site.attempt().await.unwrap_err();
    assert!(matches!(error, Error::Unreported { .. }), "{error}");
    assert!(site.files().contains(&"10.65.3.9".to_owned()));
    // Nor does anybody else wait for it.
    assert_eq!((site.executables(), site.gate().await), (3, (Some(true), None)));
    // Nobody has claimed it after some time.
    let file = std::fs::File::options().write(true).open(site.places.addresses.join("10.65.3.9")).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(60)).unwrap();
    site.attempt().await.unwrap();
    site.assert_done().await;
}

#[tokio::test]
async fn an_address_that_is_anothers_stays_anothers() {
    let site = Site::start().await;
    let inputs = site.ipam().read_inputs().await.unwrap();
    for (address, handle) in [("10.65.3.200", "k8s-pod-network.other"), ("10.65.3.1", "by-hand")] {
        let lease = Lease::new(handle, [("node".to_owned(), "a".to_owned())]);
        site.ipam().assign_address(&inputs, &AssignAddress::workload(ip(address)), &lease).await.unwrap();
    }
    site.attempt().await.unwrap();
    assert_eq!(site.holder("10.65.3.200").await.as_deref(), Some("k8s-pod-network.other"));
    assert_eq!(site.holder("10.65.3.1").await.as_deref(), Some("by-hand"));
    assert_eq!(site.holder("10.65.3.7").await.as_deref(), Some("k8s-pod-network.c1"));
    let mut answers = site.store.0.read(&[Want::Get(Key::resource(Kind::Node, "a"))]).await.unwrap();
    assert!(!answers.get::<Node>().unwrap().unwrap().value.spec.contains_key("bgp"), "the node agent finds another");
    assert!(!site.places.addresses.exists());
    assert_eq!(site.gate().await, (Some(true), None));
    site.assert_agreement().await;
}

#[tokio::test]
async fn what_host_local_would_not_write_goes_too() {
    let site = Site::start().await;
    site.write("notes.txt", "x");
    std::fs::create_dir(site.places.addresses.join("old")).unwrap();
    std::fs::write(site.places.addresses.join("old/file"), "x").unwrap();
    site.attempt().await.unwrap();
    site.assert_done().await;
}

#[tokio::test]
async fn host_local_is_waited_for_before_anybody_else_waits() {
    let site = Site::start().await;
    let held = super::host_local::Folder(&site.places.addresses).lock().await.unwrap();
    let mut work = pin!(site.attempt());
    // Far beyond the point at which it waits for the lock.
    for _ in 0..200 {
        let is_pending = std::future::poll_fn(|context| Poll::Ready(work.as_mut().poll(context).is_pending())).await;
        assert!(is_pending, "it did not wait");
        yield_now().await;
    }
    assert_eq!((site.files().len(), site.executables(), site.gate().await), (7, 3, (Some(true), None)));
    drop(held);
    work.await.unwrap();
    site.assert_done().await;
}

#[tokio::test]
async fn what_goes_wrong_later_leaves_nobody_waiting() {
    let mut site = Site::start().await;
    let folder = std::mem::replace(&mut site.places.executables, site.places.addresses.join("lock"));
    let error = site.attempt().await.unwrap_err();
    assert!(matches!(error, Error::File { doing: "remove", .. }), "{error}");
    assert_eq!((site.gate().await, site.places.may_be_closed()), ((Some(true), None), false));
    site.places.executables = folder;
    site.attempt().await.unwrap();
    site.assert_done().await;
}
