//! Users of etcd who are not who they say, or may not do what a call needs.

use std::io::Write;
use std::process::Stdio;

use e2e::{Call, Options, Place};

use crate::{Cluster, unchanged};

const AUTH: Options = Options { release: e2e::Release::V3_6, members: 1, tls: false, expired: false, auth: true };

const RESOURCES: &str = "/calico/resources/v3/projectcalico.org";
const IPAM: &str = "/calico/ipam/v2";

impl Cluster {
    /// `etcdctl` as root.
    #[track_caller]
    fn administer(&self, arguments: &str, stdin: &str) {
        let mut client = self.etcd.client(self.etcd.servers());
        client.args(arguments.split_whitespace()).stdin(Stdio::piped()).stdout(Stdio::null());
        let mut child = client.spawn().unwrap();
        child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success(), "etcdctl {arguments}");
    }

    /// Gives the plugin's user these permissions, such as `readwrite /calico/`, in place of those it has.
    #[track_caller]
    fn grant(&self, before: &[(&str, String)], after: &[(&str, String)]) {
        for (_, prefix) in before {
            self.administer(&format!("role revoke-permission calico --prefix=true {prefix}"), "");
        }
        for (kind, prefix) in after {
            self.administer(&format!("role grant-permission calico --prefix=true {kind} {prefix}"), "");
        }
    }
}

fn everything() -> [(&'static str, String); 1] {
    [("readwrite", "/calico/".to_owned())]
}

fn as_user(name: &str, password: &str) -> impl Fn(Call) -> Call {
    move |call| call.env("ETCD_USERNAME", name).env("ETCD_PASSWORD", password)
}

#[test]
fn users_who_are_not_who_they_say() {
    let cluster = Cluster::start(AUTH);
    let words =
        ["may not connect to", "authentication failed", "(attempts: 1)", "check ETCD_USERNAME and ETCD_PASSWORD"];
    for (name, password) in [("calico", "wrong"), ("nobody", "calico-secret")] {
        let error = cluster.assert_refused(&cluster.good(), as_user(name, password), &words);
        assert!(!error.text.contains(password), "a password is a secret: {error:?}");
    }
}

#[test]
fn no_user_where_one_is_wanted() {
    let cluster = Cluster::start(AUTH);
    let nobody = |call: Call| call.without("ETCD_USERNAME").without("ETCD_PASSWORD");
    let words = ["user name is empty", "etcd requires authentication: set both ETCD_USERNAME and ETCD_PASSWORD"];
    cluster.assert_refused(&cluster.good(), nobody, &words);
    // A name without a password is none.
    cluster.assert_refused(&cluster.good(), |call| call.without("ETCD_PASSWORD"), &words);
}

#[test]
fn a_user_where_none_is_wanted() {
    let cluster = Cluster::plain();
    let container = cluster.container();
    for verb in ["ADD", "DEL"] {
        as_user("calico", "secret")(container.call("calico", verb, &cluster.good())).run().result();
    }
    cluster.etcd.assert_nothing_left(&[&cluster.host]);
}

#[test]
fn a_password_that_has_been_changed() {
    let cluster = Cluster::start(AUTH);
    let container = cluster.container();
    cluster.add(&container, &cluster.good()).run().result();
    cluster.administer("user passwd calico --interactive=false", "new-secret");
    let error = cluster.del(&container, &cluster.good()).run().error();
    error.assert_words(&["authentication failed", "check ETCD_USERNAME and ETCD_PASSWORD"]);
    assert_eq!(container.links(), ["lo"]);
    as_user("calico", "new-secret")(cluster.del(&container, &cluster.good())).run().result();
    cluster.etcd.assert_nothing_left(&[&cluster.host]);
}

#[test]
fn what_may_not_be_read_is_named() {
    let cluster = Cluster::start(AUTH);
    let connected = cluster.container();
    cluster.add(&connected, &cluster.good()).run().result();
    let stored = cluster.etcd.dump();
    let most = [
        ("readwrite", format!("{RESOURCES}/clusterinformations/")),
        ("readwrite", format!("{RESOURCES}/workloadendpoints/")),
        ("readwrite", format!("{RESOURCES}/profiles/")),
        ("readwrite", format!("{RESOURCES}/nodes/")),
        ("readwrite", format!("{IPAM}/")),
    ];
    cluster.grant(&everything(), &most);
    let words = [
        "may not read the datastore",
        "ippools/",
        "permission denied",
        "grant the user's role readwrite on the prefix /calico/",
    ];
    cluster.assert_add_refused(&cluster.good(), unchanged, &words);
    assert_eq!(cluster.etcd.dump(), stored);
    // DEL reads pools, but does without.
    cluster.del(&connected, &cluster.good()).run().result();

    cluster.grant(&most[..1], &[]);
    let words = [&words[..1], &["/clusterinformations/default"], &words[2..]].concat();
    let error = cluster.del(&connected, &cluster.good()).run().error();
    error.assert_words(&words);
    cluster.test(&cluster.good()).run().error().assert_words(&words);
    cluster.grant(&most[1..], &everything());
    cluster.assert_works_with(&cluster.good());
}

#[test]
fn what_may_not_be_written_is_named() {
    let cluster = Cluster::start(AUTH);
    let (connected, refused) = (cluster.container(), cluster.container());
    cluster.add(&connected, &cluster.good()).run().result();
    let stored = cluster.etcd.dump();
    let reading = [("read", "/calico/".to_owned())];
    cluster.grant(&everything(), &reading);
    let words =
        ["may not write the datastore", "permission denied", "grant the user's role readwrite on the prefix /calico/"];
    let keys = [&format!("{IPAM}/assignment/ipv4/block/10.65."), &format!("{IPAM}/handle/net1.{}", refused.id())];
    let error = cluster.add(&refused, &cluster.good()).run().error();
    error.assert_words(&words);
    error.assert_words(&keys.map(String::as_str));
    assert_eq!((refused.links().len(), cluster.host.added_links().len()), (1, 1));
    let error = cluster.del(&connected, &cluster.good()).run().error();
    error.assert_words(&words);
    error.assert_words(&[&format!("{RESOURCES}/workloadendpoints/default/node--1-cni-{}-eth0", connected.id())]);
    assert!(cluster.host.added_links().is_empty(), "DEL cleans the kernel: {error:?}");
    assert_eq!(cluster.etcd.dump(), stored);
    cluster.grant(&reading, &everything());
    cluster.del(&connected, &cluster.good()).run().result();
    cluster.assert_works_with(&cluster.good());
}

/// An ADD fails at the last thing it writes, and takes back the rest.
#[test]
fn an_endpoint_that_may_not_be_written_is_the_end_of_its_add() {
    let cluster = Cluster::start(AUTH);
    let all_but_endpoints = [("read", "/calico/".to_owned()), ("readwrite", format!("{IPAM}/"))];
    cluster.grant(&everything(), &all_but_endpoints);
    cluster.assert_add_refused(
        &cluster.good(),
        unchanged,
        &["may not write", "/workloadendpoints/default/node--1-cni-c"],
    );
    cluster.etcd.assert_nothing_left(&[&cluster.host]);
    cluster.grant(&all_but_endpoints, &everything());
    cluster.assert_works_with(&cluster.good());
}

/// The table in docs/configuration.md.
#[test]
fn the_least_role_is_enough() {
    let cluster = Cluster::start(AUTH);
    let resources = |kind: &'static str, name: &str| (kind, format!("{RESOURCES}/{name}/"));
    let ipam = |kind: &'static str, name: &str| (kind, format!("{IPAM}/{name}"));
    let least = [
        resources("read", "clusterinformations"),
        resources("read", "nodes"),
        resources("read", "ippools"),
        resources("read", "ipreservations"),
        ipam("read", "config"),
        resources("readwrite", "profiles"),
        resources("readwrite", "workloadendpoints"),
        ipam("readwrite", "handle/"),
        ipam("readwrite", "assignment/"),
        ipam("readwrite", "host/"),
    ];
    cluster.grant(&everything(), &least);
    cluster.assert_works_with(&cluster.good());
}

/// With certificates, the common name is the user's.
#[test]
fn a_certificate_names_the_user() {
    let cluster = Cluster::start(Options { tls: true, ..AUTH });
    cluster.assert_works_with(&cluster.good());
    let container = cluster.container();
    for verb in ["ADD", "DEL"] {
        container.call("calico", verb, &cluster.good()).run().result();
    }
    cluster.etcd.assert_nothing_left(&[&cluster.host]);
}
