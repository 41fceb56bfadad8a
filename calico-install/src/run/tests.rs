use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use calico_datastore::kubernetes::Granted;

use super::*;
use crate::clock::Moment;
use crate::kubeconfig;
use crate::scratch::Scratch;

const HOUR: u64 = 3600;
const BEGIN: u64 = 1_800_000_000;
const ACCOUNT: &str = "var/run/secrets/kubernetes.io/serviceaccount";

type Answer = fn() -> Result<Granted, Error>;
type Event = Box<dyn FnOnce()>;

/// What the clocks do: at some time of the monotonic one, the wall clock jumps by some seconds.
#[derive(Default)]
struct World {
    /// The monotonic clock and the wall clock, in seconds.
    monotonic: Cell<u64>,
    wall: Cell<u64>,
    jumps: RefCell<Vec<(u64, i64)>>,
    /// When a token was issued, by the monotonic clock.
    issued: RefCell<Vec<u64>>,
    /// When one was asked for in vain.
    refused: RefCell<Vec<u64>>,
    /// How the API answers.
    answer: RefCell<Option<Answer>>,
    /// How many seconds the server's clock is ahead of the node's.
    skew: Cell<u64>,
    /// A token that is not accepted any more.
    revoked: RefCell<String>,
    furnished: Cell<u32>,
    /// How often the objects of a node that stands alone are to be made in vain.
    unfurnished: Cell<u32>,
    /// How often the loop has slept.
    sleeps: Cell<u64>,
    end: Cell<u64>,
    /// What happens at some time of the monotonic clock.
    events: RefCell<Vec<(u64, Event)>>,
    stop: Stop,
}

impl World {
    fn new(hours: u64) -> Rc<World> {
        let world = World::default();
        world.wall.set(BEGIN);
        world.end.set(hours * HOUR);
        Rc::new(world)
    }

    fn at(&self, second: u64, event: impl FnOnce() + 'static) {
        self.events.borrow_mut().push((second, Box::new(event)));
    }
}

impl Clock for Rc<World> {
    fn now(&self) -> Moment {
        Moment {
            wall: UNIX_EPOCH + Duration::from_secs(self.wall.get()),
            monotonic: Duration::from_secs(self.monotonic.get()),
        }
    }

    async fn sleep(&self, time: Duration) {
        self.sleeps.set(self.sleeps.get() + 1);
        self.pass(u64::try_from(time.as_millis().div_ceil(1000)).unwrap());
        tokio::task::yield_now().await;
    }
}

impl World {
    /// Lets time pass.
    fn pass(&self, seconds: u64) {
        let now = self.monotonic.get() + seconds;
        self.monotonic.set(now);
        self.wall.set(self.wall.get() + seconds);
        self.jumps.borrow_mut().retain(|(when, by)| {
            let is_due = *when <= now;
            if is_due {
                self.wall.set(self.wall.get().saturating_add_signed(*by));
            }
            !is_due
        });
        let mut events = self.events.borrow_mut();
        while events.first().is_some_and(|(when, _)| *when <= now) {
            events.remove(0).1();
        }
        if now >= self.end.get() {
            self.stop.request();
        }
    }
}

impl Api for Rc<World> {
    async fn request_token(&self, namespace: &str, account: &str) -> Result<Granted, Error> {
        assert_eq!((namespace, account), ("kube-system", "calico-cni-plugin"));
        if let Some(answer) = *self.answer.borrow() {
            self.refused.borrow_mut().push(self.monotonic.get());
            return answer();
        }
        self.issued.borrow_mut().push(self.monotonic.get());
        Ok(Granted::Token(token(self.wall.get() + self.skew.get(), 24 * HOUR)))
    }

    async fn accepts(&self, token: &str) -> Result<bool, Error> {
        match *self.answer.borrow() {
            Some(_) => Err(Error::Waiting("no answer".to_owned())),
            None => Ok(*self.revoked.borrow() != token),
        }
    }

    async fn furnish(&self) -> Result<(), Error> {
        if self.unfurnished.get() > 0 {
            self.unfurnished.set(self.unfurnished.get() - 1);
            return Err(Error::Waiting("no route".to_owned()));
        }
        self.furnished.set(self.furnished.get() + 1);
        Ok(())
    }
}

fn token(issued: u64, life: u64) -> String {
    let claims = format!(
        r#"{{"iat":{issued},"exp":{},"sub":"system:serviceaccount:kube-system:calico-cni-plugin"}}"#,
        issued + life
    );
    format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims))
}

/// Nothing tells that something has changed.
struct Quiet;

impl Changes for Quiet {
    async fn changed(&mut self) {
        std::future::pending().await
    }

    fn refresh(&self) {}
}

/// An image in a pod.
fn pod() -> Scratch {
    let scratch = Scratch::image();
    for (name, text) in [("token", "mounted\n"), ("ca.crt", "PEM"), ("namespace", "kube-system")] {
        scratch.write(&format!("{ACCOUNT}/{name}"), text);
    }
    scratch.write("var/lib/calico/other", "");
    scratch
}

struct Ran {
    result: Result<(), (Error, u8)>,
    status: Shared,
}

fn installer(
    scratch: &Scratch,
    world: &Rc<World>,
    options: Options,
    status: &Shared,
) -> Installer<Rc<World>, Rc<World>> {
    let (api, clock, stop) = (world.clone(), world.clone(), world.stop.clone());
    Installer::new(options, scratch.paths(), api, clock, Log::silent(), stop, status.clone())
}

async fn run(scratch: &Scratch, world: &Rc<World>, variables: &[(&str, &str)]) -> Ran {
    let base =
        [("KUBERNETES_SERVICE_HOST", "10.96.0.1"), ("KUBERNETES_SERVICE_PORT", "443"), ("KUBERNETES_NODE_NAME", "n")];
    let options = Options::of(&[variables, &base].concat());
    let (status, stays) = (Shared::default(), options.sleep);
    let installer = installer(scratch, world, options, &status);
    let result = keep_installed(installer, stays, &world.stop, &mut Quiet).await;
    // Whatever goes on: about once a minute, and a few more.
    assert!(world.sleeps.get() <= world.monotonic.get() / 45 + 30, "{} looks", world.sleeps.get());
    Ran { result, status }
}

fn kubeconfig_token(scratch: &Scratch) -> String {
    kubeconfig::token_in(&scratch.read("host/etc/cni/net.d/calico-kubeconfig")).unwrap().to_owned()
}

/// Asserts that tokens were issued about every eight hours.
fn assert_regular(issued: &[u64]) {
    assert_eq!(issued[0], 0);
    for pair in issued.windows(2) {
        let pause = pair[1] - pair[0];
        assert!((8 * HOUR * 9 / 10..=8 * HOUR + 60).contains(&pause), "{issued:?}");
    }
}

#[tokio::test]
async fn the_token_is_renewed_at_a_third_of_its_life() {
    let (scratch, world) = (pod(), World::new(34));
    let ran = run(&scratch, &world, &[]).await;
    ran.result.unwrap();
    let issued = world.issued.borrow();
    assert_eq!(issued.len(), 5, "{issued:?}");
    assert_regular(&issued);
    assert_eq!(kubeconfig_token(&scratch), token(BEGIN + issued.last().unwrap(), 24 * HOUR));
    let status = ran.status.lock();
    assert!(status.missing.is_empty(), "{:?}", status.missing);
    let known = status.token.unwrap();
    assert_eq!((known.renewals, known.failures), (issued.len() as u64, 0));
    assert_eq!(known.end, Some(BEGIN + issued.last().unwrap() + 24 * HOUR));
}

#[tokio::test]
async fn clocks_that_jump_or_differ_neither_stop_nor_speed_up_renewal() {
    // Set back for years at 4 h: the other clock decides. The server's clock is a week ahead, or years behind.
    for (jump, skew) in [(-100_000_000, 0), (0, 7 * 24 * HOUR), (-100_000_000, 7 * 24 * HOUR)] {
        let (scratch, world) = (pod(), World::new(26));
        world.jumps.borrow_mut().push((4 * HOUR, jump));
        world.skew.set(skew);
        run(&scratch, &world, &[]).await.result.unwrap();
        assert_eq!(world.issued.borrow().len(), 4, "{:?}", world.issued);
        assert_regular(&world.issued.borrow());
    }
    // Set forward by three days at 4 h, as after the machine was suspended: at once, and then as before.
    let (scratch, world) = (pod(), World::new(26));
    world.jumps.borrow_mut().push((4 * HOUR, 3 * 24 * 3600));
    run(&scratch, &world, &[]).await.result.unwrap();
    let issued = world.issued.borrow();
    assert_eq!(issued[0], 0);
    assert!((4 * HOUR..4 * HOUR + 120).contains(&issued[1]), "{issued:?}");
    let later: Vec<u64> = issued[1..].iter().map(|time| time - issued[1]).collect();
    assert_regular(&later);
}

#[tokio::test]
async fn a_clock_that_is_set_forward_and_back_while_the_api_is_down_ends_the_retries() {
    let (scratch, world) = (pod(), World::new(26));
    let (down, up) = (world.clone(), world.clone());
    world.at(HOUR, move || *down.answer.borrow_mut() = Some(|| Err(Error::Waiting("no route".to_owned()))));
    world.at(6 * HOUR, move || *up.answer.borrow_mut() = None);
    world.jumps.borrow_mut().extend([(2 * HOUR, 9 * 3600), (3 * HOUR, -9 * 3600)]);
    run(&scratch, &world, &[]).await.result.unwrap();
    let refused = world.refused.borrow();
    assert!(refused.len() > 50 && refused.iter().all(|time| (2 * HOUR..=3 * HOUR).contains(time)), "{refused:?}");
    assert_regular(&world.issued.borrow());
}

#[tokio::test]
async fn an_account_that_is_gone_when_the_token_is_due_is_looked_for_once_a_minute() {
    for gone in ["token", "ca.crt"] {
        let (scratch, world) = (pod(), World::new(20));
        let down = world.clone();
        world.at(HOUR, move || *down.answer.borrow_mut() = Some(|| Err(Error::Waiting("no route".to_owned()))));
        let path = scratch.path(&format!("{ACCOUNT}/{gone}"));
        world.at(9 * HOUR, move || std::fs::remove_file(path).unwrap());
        run(&scratch, &world, &[]).await.result.unwrap();
        let last = *world.refused.borrow().last().unwrap();
        assert!((8 * HOUR..=9 * HOUR).contains(&last), "{last}");
    }
}

#[tokio::test]
async fn an_interval_of_ones_own() {
    let (scratch, world) = (pod(), World::new(1));
    run(&scratch, &world, &[("CNI_TOKEN_REFRESH_INTERVAL", "10m")]).await.result.unwrap();
    assert!((6..=7).contains(&world.issued.borrow().len()), "{:?}", world.issued);
}

#[tokio::test]
async fn an_api_that_is_down_at_the_start_is_waited_for_and_the_configuration_comes_last() {
    for (sleep, standalone) in [("true", "false"), ("false", "true")] {
        let (scratch, world) = (pod(), World::new(2));
        *world.answer.borrow_mut() = Some(|| Err(Error::Waiting("connection refused".to_owned())));
        let (there, other) = (world.clone(), scratch.path("host"));
        world.at(600, move || {
            assert!(other.join("opt/cni/bin/calico").exists());
            assert_eq!(std::fs::read_dir(other.join("etc/cni/net.d")).unwrap().count(), 0);
            *there.answer.borrow_mut() = None;
        });
        let ran = run(&scratch, &world, &[("SLEEP", sleep), ("STANDALONE", standalone)]).await;
        ran.result.unwrap();
        assert_eq!(scratch.names("host/etc/cni/net.d"), ["10-calico.conflist", "calico-kubeconfig"]);
        // Pauses of 1, 2, 4 … 60 s, and a bit less.
        let refused = world.refused.borrow();
        for (pair, pause) in refused.windows(2).zip([1, 2, 4, 8, 16, 32]) {
            assert!((pause * 3 / 4..=pause).contains(&(pair[1] - pair[0])), "{refused:?}");
        }
        assert!(refused.len() < 25, "{refused:?}");
        assert_eq!(ran.status.lock().token.unwrap().failures, refused.len() as u64);
    }
}

#[tokio::test]
async fn while_the_api_is_down_the_token_stays_until_its_end_and_files_are_put_back() {
    let (scratch, world) = (pod(), World::new(23));
    let down = world.clone();
    world.at(HOUR, move || *down.answer.borrow_mut() = Some(|| Err(Error::Waiting("no route".to_owned()))));
    let files = ["etc/cni/net.d/10-calico.conflist", "etc/cni/net.d/calico-kubeconfig", "opt/cni/bin/portmap"];
    let host = scratch.path("host");
    world.at(22 * HOUR, move || files.iter().for_each(|name| std::fs::remove_file(host.join(name)).unwrap()));
    let ran = run(&scratch, &world, &[]).await;
    ran.result.unwrap();
    for name in files {
        assert!(scratch.path("host").join(name).exists(), "{name}");
    }
    assert_eq!(kubeconfig_token(&scratch), token(BEGIN, 24 * HOUR));
    {
        let status = ran.status.lock();
        assert!(status.missing.is_empty() && status.token.unwrap().failures > 100, "{status:?}");
    }
    // Beyond its end: that is what is missing. The file is left.
    let world = World::new(26);
    let down = world.clone();
    world.at(HOUR, move || *down.answer.borrow_mut() = Some(|| Err(Error::Waiting("no route".to_owned()))));
    let ran = run(&scratch, &world, &[]).await;
    let missing = ran.status.lock().missing.join("\n");
    assert!(missing.contains("no route") && missing.contains("the plugins' token has expired"), "{missing}");
    // Retried about once a minute at last.
    let refused = world.refused.borrow();
    assert!(refused.len() < 23 * 80 + 10, "{}", refused.len());
}

#[tokio::test]
async fn a_renewed_account_renews_the_plugins_token() {
    let (scratch, world) = (pod(), World::new(3));
    let (token, ca) = (scratch.path(&format!("{ACCOUNT}/token")), scratch.path(&format!("{ACCOUNT}/ca.crt")));
    world.at(HOUR, move || std::fs::write(token, "mounted anew").unwrap());
    world.at(2 * HOUR, move || std::fs::write(ca, "PEM of two").unwrap());
    run(&scratch, &world, &[]).await.result.unwrap();
    assert_eq!(world.issued.borrow().len(), 3, "{:?}", world.issued);
    let text = scratch.read("host/etc/cni/net.d/calico-kubeconfig");
    assert!(text.contains("certificate-authority-data: UEVNIG9mIHR3bw==\n"), "{text}");
}

#[tokio::test]
async fn a_token_that_is_not_accepted_any_more_is_replaced_within_minutes() {
    let (scratch, world) = (pod(), World::new(8));
    let revoking = world.clone();
    world.at(HOUR, move || *revoking.revoked.borrow_mut() = token(BEGIN, 24 * HOUR));
    let ran = run(&scratch, &world, &[]).await;
    ran.result.unwrap();
    let issued = world.issued.borrow();
    assert!(issued.len() == 2 && (HOUR..=HOUR + 360).contains(&issued[1]), "{issued:?}");
    assert_eq!(kubeconfig_token(&scratch), token(BEGIN + issued[1], 24 * HOUR));
    assert!(ran.status.lock().missing.is_empty());
}

#[tokio::test]
async fn an_api_that_issues_none_gives_the_mounted_token() {
    let (scratch, world) = (pod(), World::new(9));
    *world.answer.borrow_mut() = Some(|| Ok(Granted::Unsupported));
    let path = scratch.path(&format!("{ACCOUNT}/token"));
    std::fs::write(&path, token(BEGIN, HOUR)).unwrap();
    let fresh = token(BEGIN + HOUR / 2, 40 * HOUR);
    let written = fresh.clone();
    world.at(HOUR / 2, move || std::fs::write(path, written).unwrap());
    let ran = run(&scratch, &world, &[]).await;
    ran.result.unwrap();
    assert_eq!(kubeconfig_token(&scratch), fresh);
    assert_eq!(world.refused.borrow().len(), 2, "{:?}", world.refused);
    assert!(ran.status.lock().missing.is_empty());
}

#[tokio::test]
async fn a_refusal_that_waiting_does_not_end_ends_the_process_unless_it_stays() {
    for (answer, words) in [
        (
            (|| Ok(Granted::NoAccount)) as fn() -> _,
            "no service account calico-cni-plugin in the namespace kube-system: apply",
        ),
        (
            || Ok(Granted::Forbidden("may not create: add this rule".to_owned())),
            "add this rule; manifests/rbac/calico-install.yaml",
        ),
    ] {
        let (scratch, world) = (pod(), World::new(1));
        *world.answer.borrow_mut() = Some(answer);
        let (error, code) = run(&scratch, &world, &[("SLEEP", "false")]).await.result.unwrap_err();
        assert_eq!(code, 3);
        assert!(error.to_string().contains(words), "{error}");
        let ran = run(&scratch, &world, &[]).await;
        ran.result.unwrap();
        assert!(ran.status.lock().missing[0].contains(words));
        assert!(scratch.names("host/etc/cni/net.d").is_empty());
    }
    // The kubelet may renew a token that is not accepted: that is waited for, and told with its age.
    let (scratch, world) = (pod(), World::new(1));
    scratch.write(&format!("{ACCOUNT}/token"), &token(BEGIN - 2 * HOUR, HOUR));
    *world.answer.borrow_mut() = Some(|| Ok(Granted::Unknown("401".to_owned())));
    let ran = run(&scratch, &world, &[("SLEEP", "false")]).await;
    // Until a signal comes: it has not installed what it was to install.
    let (error, code) = ran.result.unwrap_err();
    assert!(code == 1 && error.to_string().contains("a signal ended it before everything was installed"), "{error}");
    let missing = ran.status.lock().missing.join("\n");
    assert!(missing.contains("it expired 1h59m ago") || missing.contains("it expired 2h0m ago"), "{missing}");
    assert!(missing.contains("The kubelet renews it"), "{missing}");
}

#[tokio::test]
async fn who_manages_what() {
    // Beside a node agent that renews it: what is there stays, what is not is written.
    let (scratch, world) = (pod(), World::new(9));
    let agents = "users:\n- name: calico\n  user:\n    token: opaque\ncurrent-context: calico-context\n";
    scratch.write("host/etc/cni/net.d/calico-kubeconfig", agents);
    run(&scratch, &world, &[("MANAGE_KUBECONFIG", "missing")]).await.result.unwrap();
    assert_eq!(scratch.read("host/etc/cni/net.d/calico-kubeconfig"), agents);
    assert!(world.issued.borrow().is_empty());
    // One that is of no use counts as none: empty, or with a token that expires while the agent does not renew it.
    for (text, issued) in [(String::new(), 0), (agents.replace("opaque", &token(BEGIN - 22 * HOUR, 24 * HOUR)), 2)] {
        let (scratch, world) = (pod(), World::new(9));
        scratch.write("host/etc/cni/net.d/calico-kubeconfig", &text);
        run(&scratch, &world, &[("MANAGE_KUBECONFIG", "missing")]).await.result.unwrap();
        let found = world.issued.borrow();
        assert!(found.len() == 1 && (issued * HOUR..=issued * HOUR + 61).contains(&found[0]), "{found:?}");
        assert_eq!(kubeconfig_token(&scratch), token(BEGIN + found[0], 24 * HOUR));
    }
    let (scratch, world) = (pod(), World::new(9));
    run(&scratch, &world, &[("MANAGE_KUBECONFIG", "missing")]).await.result.unwrap();
    assert_eq!(*world.issued.borrow(), [0]);

    let (scratch, world) = (pod(), World::new(1));
    let variables = [("MANAGE_KUBECONFIG", "false"), ("STANDALONE", "true")];
    let ran = run(&scratch, &world, &variables).await;
    ran.result.unwrap();
    assert_eq!(scratch.names("host/etc/cni/net.d"), ["10-calico.conflist"]);
    assert!(ran.status.lock().token.is_none());
    assert_eq!((world.furnished.get(), scratch.read("var/lib/calico/nodename")), (1, "n".to_owned()));

    let (scratch, world) = (pod(), World::new(1));
    scratch.write("host/etc/cni/net.d/10-calico.conflist", "the operator's");
    scratch.write("host/etc/cni/net.d/old.conflist", "older");
    let variables =
        [("MANAGE_CNI_CONFIG", "false"), ("CNI_NETWORK_CONFIG", "{"), ("CNI_OLD_CONF_NAME", "old.conflist")];
    run(&scratch, &world, &variables).await.result.unwrap();
    let names = ["10-calico.conflist", "calico-kubeconfig", "old.conflist"];
    assert_eq!(scratch.names("host/etc/cni/net.d"), names);
    assert_eq!(scratch.read("host/etc/cni/net.d/10-calico.conflist"), "the operator's");

    // Outside of a cluster there is no kubeconfig.
    let (scratch, world) = (Scratch::image(), World::new(1));
    scratch.write("host/etc/cni/net.d/old.conflist", "older");
    let variables = [("SLEEP", "false"), ("CNI_OLD_CONF_NAME", "old.conflist"), ("KUBERNETES_SERVICE_HOST", "")];
    run(&scratch, &world, &variables).await.result.unwrap();
    assert_eq!(scratch.names("host/etc/cni/net.d"), ["10-calico.conflist"]);
}

#[tokio::test]
async fn a_pod_without_its_account_is_told_and_no_node_becomes_ready() {
    let (scratch, world) = (Scratch::image(), World::new(1));
    let (error, code) = run(&scratch, &world, &[("SLEEP", "false")]).await.result.unwrap_err();
    assert!(code == 2 && error.to_string().contains("no service account is mounted at "), "{code}: {error}");
    let ran = run(&scratch, &world, &[]).await;
    ran.result.unwrap();
    assert!(ran.status.lock().missing[0].contains("no service account is mounted at "));
    assert!(scratch.names("host/etc/cni/net.d").is_empty());
    // It is there later.
    let world = World::new(1);
    let folder = scratch.path(ACCOUNT);
    world.at(HOUR / 2, move || {
        std::fs::create_dir_all(&folder).unwrap();
        for (name, text) in [("namespace", "kube-system"), ("ca.crt", "PEM"), ("token", "mounted")] {
            std::fs::write(folder.join(name), text).unwrap();
        }
    });
    let ran = run(&scratch, &world, &[]).await;
    ran.result.unwrap();
    assert!(ran.status.lock().missing.is_empty());
    // Without need: the host has a kubeconfig, or the configuration names none.
    std::fs::remove_dir_all(scratch.path(ACCOUNT)).unwrap();
    run(&scratch, &World::new(1), &[("SLEEP", "false")]).await.result.unwrap();
    let variables = [("SLEEP", "false"), ("CNI_NETWORK_CONFIG", r#"{"name": "n", "type": "calico"}"#)];
    run(&Scratch::image(), &World::new(1), &variables).await.result.unwrap();
}

#[tokio::test]
async fn a_secret_that_is_made_anew_leaves_the_node_its_certificates_meanwhile() {
    let (scratch, world) = (pod(), World::new(3));
    for name in ["etcd-ca", "etcd-cert", "etcd-key"] {
        scratch.write(&format!("calico-secrets/{name}"), "old");
    }
    let (secret, host) = (scratch.path("calico-secrets"), scratch.path("host/etc/cni/net.d"));
    let emptied = secret.clone();
    world.at(HOUR, move || {
        ["etcd-ca", "etcd-cert", "etcd-key"].iter().for_each(|name| std::fs::remove_file(emptied.join(name)).unwrap());
    });
    let config = r#"{"name": "n", "type": "calico", "etcd_key_file": "__ETCD_KEY_FILE__"}"#;
    let expected = config.replace("__ETCD_KEY_FILE__", "/etc/cni/net.d/calico-tls/etcd-key");
    let written = expected.clone();
    world.at(2 * HOUR, move || {
        assert_eq!(std::fs::read_to_string(host.join("calico-tls/etcd-key")).unwrap(), "old");
        assert_eq!(std::fs::read_to_string(host.join("10-calico.conflist")).unwrap(), written);
        for name in ["etcd-ca", "etcd-key"] {
            std::fs::write(secret.join(name), "new").unwrap();
        }
    });
    let ran = run(&scratch, &world, &[("CNI_NETWORK_CONFIG", config)]).await;
    ran.result.unwrap();
    assert_eq!(scratch.names("host/etc/cni/net.d/calico-tls"), ["etcd-ca", "etcd-key"]);
    assert_eq!(scratch.read("host/etc/cni/net.d/calico-tls/etcd-key"), "new");
    assert_eq!(scratch.read("host/etc/cni/net.d/10-calico.conflist"), expected);
    let status = ran.status.lock();
    assert!(status.missing.is_empty() && status.errors > 50, "{status:?}");
}

#[tokio::test]
async fn a_configuration_that_is_wrong_is_seen_before_anything_is_done_and_later_leaves_what_is_there() {
    let (scratch, world) = (pod(), World::new(1));
    let (error, code) = run(&scratch, &world, &[("CNI_NETWORK_CONFIG", "{")]).await.result.unwrap_err();
    assert_eq!(code, 2, "{error}");
    assert!(scratch.names("host/etc/cni/net.d").is_empty() && scratch.names("host/opt/cni/bin").is_empty());
    scratch.write("config", r#"{"name": "n", "type": "calico"}"#);
    let path = scratch.path("config");
    let variables = [("CNI_NETWORK_CONFIG_FILE", path.to_str().unwrap())];
    let changed = path.clone();
    world.at(HOUR / 2, move || std::fs::write(changed, r#"{"name": "n""#).unwrap());
    let ran = run(&scratch, &world, &variables).await;
    ran.result.unwrap();
    assert_eq!(scratch.read("host/etc/cni/net.d/10-calico.conflist"), r#"{"name": "n", "type": "calico"}"#);
    assert!(ran.status.lock().missing[0].contains("it ends too early"));
}

#[tokio::test]
async fn objects_that_are_made_at_the_third_attempt_are_made_once() {
    let (scratch, world) = (pod(), World::new(2));
    world.unfurnished.set(2);
    let ran = run(&scratch, &world, &[("STANDALONE", "true")]).await;
    ran.result.unwrap();
    assert_eq!((world.furnished.get(), world.unfurnished.get()), (1, 0));
    assert!(ran.status.lock().missing.is_empty());
}

/// Another writer, which a second later has put its own in the place of ours.
struct Other {
    file: std::path::PathBuf,
    world: Rc<World>,
    /// How often ours was there.
    found: Cell<u32>,
}

impl Changes for &Other {
    async fn changed(&mut self) {
        if std::fs::read(&self.file).is_ok_and(|text| text != b"theirs") {
            self.found.set(self.found.get() + 1);
            std::fs::write(&self.file, "theirs").unwrap();
        }
        self.world.pass(1);
    }

    fn refresh(&self) {}
}

#[tokio::test]
async fn two_writers_do_not_fight_without_end() {
    let (scratch, world) = (pod(), World::new(1));
    world.end.set(HOUR - 10);
    let file = scratch.path("host/etc/cni/net.d/10-calico.conflist");
    let other = Other { file, world: world.clone(), found: Cell::new(0) };
    let options = Options::of(&[("MANAGE_KUBECONFIG", "false")]);
    let status = Shared::default();
    let installer = installer(&scratch, &world, options, &status);
    keep_installed(installer, true, &world.stop, &mut &other).await.unwrap();
    // 20 a minute, though there was a look every second.
    assert_eq!(other.found.get(), 60 * 20);
    assert!(
        status.lock().missing[0].contains("changed by somebody else again and again"),
        "{:?}",
        status.lock().missing
    );
}

#[test]
fn the_machines_clock_is_both() {
    let clock = SystemClock::start();
    let (before, after) = (clock.now(), clock.now());
    assert!(after.monotonic >= before.monotonic && before.wall > SystemTime::UNIX_EPOCH);
}
