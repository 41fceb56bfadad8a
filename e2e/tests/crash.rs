//! Calls that are cut short at any point: killed without warning, or told to end.

use std::time::Duration;

use e2e::{Answer, Container, Etcd, Host, Options, Place, Random, Running, Stored, dual_stack, median, note, until};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

/// How many ADDs are killed.
const KILLS: usize = 500;
/// How many ADDs are told to end.
const TERMINATIONS: usize = 60;

/// How long an ADD takes, entering the host included: up to a bit more than that, a random delay hits all of it.
fn duration_of_an_add(container: &Container<'_>, netconf: &Value) -> Duration {
    let sample = |n: usize| {
        let container = container.renamed(&format!("sample{n}"));
        let answer = container.add(netconf).run();
        answer.result();
        container.del(netconf).run().result();
        answer.wall
    };
    sample(0);
    median((1..10).map(sample).collect())
}

/// Starts an ADD and sends it a signal at a random time; the second value tells whether it was still running.
fn interrupted(container: &Container<'_>, netconf: &Value, signal: Signal, delay: Duration) -> Answer {
    let running: Running = container.add(netconf).start();
    std::thread::sleep(delay);
    running.signal(signal);
    running.finish()
}

/// A host, and where its calls keep their objects.
struct Site {
    // Before the etcd that it reaches.
    host: Host,
    etcd: Option<Etcd>,
    netconf: Value,
}

impl Site {
    fn local() -> Site {
        Site { host: Host::start(), etcd: None, netconf: dual_stack() }
    }

    fn etcd(exec: bool) -> Site {
        let etcd = Etcd::start(Options::default());
        etcd.seed(&["node-1"]);
        let mut netconf = etcd.configured(dual_stack());
        netconf["nodename_file_optional"] = json!(true);
        netconf["ipam"]["exec"] = json!(exec);
        Site { host: etcd.host(), etcd: Some(etcd), netconf }
    }

    fn stored(&self) -> Stored {
        self.etcd.as_ref().map_or_else(|| self.host.stored(), Etcd::stored)
    }

    /// What must hold after each round, looked at quickly: the full look is at the end.
    #[track_caller]
    fn assert_quickly_clean(&self, round: &str) {
        let stored = self.stored();
        let left =
            (stored.allocated(), stored.handles().len(), stored.endpoints().len(), self.host.added_links().len());
        assert_eq!(left, (0, 0, 0, 0), "{round}\naddresses, handles, endpoints and links in {:?}", stored.0.keys());
    }

    #[track_caller]
    fn assert_nothing_left(&self) {
        match &self.etcd {
            Some(etcd) => etcd.assert_nothing_left(&[&self.host]),
            None => self.host.assert_nothing_left(),
        }
    }
}

#[test]
fn a_killed_add_leaves_nothing_that_del_does_not_remove() {
    kill_adds(&Site::local(), KILLS, false);
}

/// As long as anybody has the store open, its log is not recovered from the file: a commit that was written there by
/// a process that was killed before it could tell the others is invisible to DEL, and must not come back later.
#[test]
fn a_killed_add_leaves_nothing_while_others_use_the_store() {
    kill_adds(&Site::local(), KILLS / 2, true);
}

/// What a process had sent when it was killed may be carried out after that.
#[test]
fn a_killed_add_leaves_nothing_in_etcd_that_del_does_not_remove() {
    kill_adds(&Site::etcd(false), KILLS, false);
}

/// The executed plugin outlives the one that was killed.
#[test]
fn a_killed_add_with_an_executed_ipam_plugin_leaves_nothing_in_etcd() {
    kill_adds(&Site::etcd(true), KILLS / 5, false);
}

fn kill_adds(site: &Site, kills: usize, in_use: bool) {
    let mut random = Random::for_test("kill -9 of ADD");
    let Site { host, netconf, .. } = site;
    let namespace = host.container("crash");
    let mut add = duration_of_an_add(&namespace, netconf);
    let mut hit = 0;
    for round in 0..kills {
        let container = namespace.renamed(&format!("crash{round}"));
        let user = in_use.then(|| user_of(host));
        let delay = random.below(add * 5 / 4);
        let answer = interrupted(&container, netconf, Signal::SIGKILL, delay);
        match answer.signal {
            Some(_) => hit += 1,
            // The machine's speed changes with what else runs on it.
            None => add = (add * 7 + answer.wall) / 8,
        }
        let what = format!("round {round}, killed after {delay:?}: {answer:?}");
        let answer = container.del(netconf).run();
        assert_eq!(answer.exit, Some(0), "{what}\n{answer:#?}");
        drop(user);
        site.assert_quickly_clean(&what);
        assert_eq!(container.links(), ["lo"], "{what}");
    }
    let place = if site.etcd.is_some() { "etcd" } else { "local" };
    note(&format!("kill -9, {place}, in use {in_use}: {hit} of {kills} ADDs were still running (ADD: {add:.1?})"));
    // Killing what has ended proves nothing.
    assert!(hit > kills / 10, "only {hit} of {kills} were hit");
    // An ADD of the same container still works.
    namespace.add(netconf).run().result();
    namespace.del(netconf).run().result();
    site.assert_nothing_left();
}

/// Another user of the store, as any call of the same host is.
fn user_of(host: &Host) -> rusqlite::Connection {
    let user = rusqlite::Connection::open(host.store_file()).unwrap();
    // A program that is not the last to leave does not tidy up.
    user.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).unwrap();
    user.query_row("SELECT count(*) FROM objects", [], |_| Ok(())).unwrap();
    user
}

#[test]
fn killed_adds_of_a_store_that_is_being_created() {
    let mut random = Random::for_test("kill -9 of the first ADD");
    let site = Site::local();
    let Site { host, netconf, .. } = &site;
    let namespace = host.container("first");
    for round in 0..40 {
        for suffix in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(host.folder().join(format!("calico.db{suffix}")));
        }
        let container = namespace.renamed(&format!("first{round}"));
        let delay = random.below(Duration::from_millis(40));
        interrupted(&container, netconf, Signal::SIGKILL, delay);
        let what = format!("round {round}, killed after {delay:?}");
        let answer = container.add(netconf).run();
        // The killed call may have come as far as its interface; then DEL is due first, as runtimes do it.
        if answer.exit != Some(0) {
            container.del(netconf).run().result();
            container.add(netconf).run().result();
        }
        container.del(netconf).run().result();
        site.assert_quickly_clean(&what);
    }
    site.assert_nothing_left();
}

#[test]
fn killed_dels_are_finished_by_the_next() {
    kill_dels(&Site::local());
}

#[test]
fn killed_dels_in_etcd_are_finished_by_the_next() {
    kill_dels(&Site::etcd(false));
}

fn kill_dels(site: &Site) {
    let mut random = Random::for_test("kill -9 of DEL");
    let Site { host, netconf, .. } = site;
    let namespace = host.container("crash");
    duration_of_an_add(&namespace, netconf);
    for round in 0..40 {
        let container = namespace.renamed(&format!("crash{round}"));
        container.add(netconf).run().result();
        let delay = random.below(Duration::from_millis(30));
        let running = container.del(netconf).start();
        std::thread::sleep(delay);
        running.signal(Signal::SIGKILL);
        running.finish();
        container.del(netconf).run().result();
        site.assert_quickly_clean(&format!("round {round}, killed after {delay:?}"));
    }
    site.assert_nothing_left();
}

#[test]
fn a_terminated_add_undoes_itself() {
    terminate(&Site::local());
}

#[test]
fn a_terminated_add_undoes_itself_in_etcd() {
    terminate(&Site::etcd(false));
}

#[test]
fn a_terminated_add_with_an_executed_ipam_plugin_undoes_itself() {
    let mut site = Site::local();
    site.netconf["ipam"]["exec"] = json!(true);
    terminate(&site);
}

fn terminate(site: &Site) {
    let mut random = Random::for_test("SIGTERM of ADD");
    let Site { host, netconf, .. } = site;
    let namespace = host.container("term");
    let add = duration_of_an_add(&namespace, netconf);
    let (mut undone, mut too_early, mut too_late, mut landed_late) = (0, 0, 0, 0);
    for round in 0..TERMINATIONS {
        let container = namespace.renamed(&format!("term{round}"));
        let delay = random.below(add * 5 / 4);
        let answer = interrupted(&container, netconf, Signal::SIGTERM, delay);
        let what = format!("round {round}, terminated after {delay:?}: {answer:?}");
        match (answer.exit, answer.signal) {
            // It had answered: the container is connected.
            (Some(0), _) => {
                too_late += 1;
                assert_eq!(answer.addresses().len(), 2, "{what}");
                container.del(netconf).run().result();
            }
            // It had not yet begun: a process that has not asked for the signal just ends.
            (None, Some(_)) => {
                too_early += 1;
                assert_eq!(answer.stdout, "", "{what}");
            }
            _ => {
                undone += 1;
                answer.error();
                // A record that was still on its way to etcd may land behind the undoing: the container's DEL, which a runtime
                // calls after every ADD that fails, removes it. (The datastore contract, on settling.)
                if site.etcd.is_some() && !site.stored().endpoints().is_empty() {
                    landed_late += 1;
                    container.del(netconf).run().result();
                }
            }
        }
        site.assert_quickly_clean(&what);
        assert_eq!(container.links(), ["lo"], "{what}");
    }
    note(&format!(
        "SIGTERM, exec {}: {undone} undone ({landed_late} with a record that landed late), {too_early} not begun, {too_late} already done (ADD: {add:.1?})",
        netconf["ipam"]["exec"]
    ));
    assert!(undone > 0, "no ADD was terminated at work");
    site.assert_nothing_left();
}

#[test]
fn an_add_that_waits_for_the_host_lock_can_be_terminated() {
    let host = Host::start();
    let netconf = dual_stack();
    let container = host.container("c1");
    container.add(&netconf).run().result();
    container.del(&netconf).run().result();
    // The lock's holder lets go when its stdin closes.
    let mut holder = host
        .command("flock")
        .args(["/run/calico/ipam.lock", "sh", "-c", "echo held; cat"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let stdout = holder.stdout.take().unwrap();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line).unwrap();
    assert_eq!(line, "held\n");

    let running = container.add(&netconf).start();
    until("the ADD waits for the lock", || running.waits_for_lock());
    running.signal(Signal::SIGTERM);
    let answer = running.finish();
    drop(holder.stdin.take());
    holder.wait().unwrap();
    answer.error();
    assert!(answer.wall < Duration::from_secs(20), "it did not wait for the lock: {answer:#?}");
    assert_eq!(container.links(), ["lo"]);
    host.assert_nothing_left();
}
