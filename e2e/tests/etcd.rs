//! Many hosts on one etcd, and what a call costs it.

use std::collections::BTreeSet;
use std::path::Path;

use e2e::{Answer, Call, Container, Etcd, Faults, Host, Options, Site, at_once, dual_stack, note};
use serde_json::{Value, json};

const HOSTS: usize = 8;
const CONTAINERS: usize = 25;

fn many_hosts_at_once(exec: bool) {
    let etcd = Etcd::start(Options::default());
    let names: Vec<String> = (0..HOSTS).map(|n| format!("node-{n}")).collect();
    etcd.seed(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let hosts: Vec<Host> = names.iter().map(|_| etcd.host()).collect();
    let netconfs: Vec<Value> = names
        .iter()
        .map(|name| {
            let mut netconf = etcd.configured(dual_stack());
            netconf["nodename"] = json!(name);
            netconf["nodename_file_optional"] = json!(true);
            netconf["ipam"]["exec"] = json!(exec);
            netconf
        })
        .collect();
    let containers: Vec<(usize, Container<'_>)> =
        (0..HOSTS * CONTAINERS).map(|n| (n % HOSTS, hosts[n % HOSTS].container(&format!("c{n}")))).collect();

    let answers = at_once(containers.iter().map(|(host, container)| container.add(&netconfs[*host])));
    let longest = answers.iter().map(|answer| answer.wall).max().unwrap_or_default();
    let addresses: Vec<String> = answers.iter().flat_map(Answer::addresses).collect();
    assert_eq!(addresses.len(), 2 * HOSTS * CONTAINERS, "an ADD got no address");
    assert_eq!(addresses.iter().collect::<BTreeSet<_>>().len(), addresses.len(), "an address was given twice");
    let stored = etcd.stored();
    assert_eq!(stored.allocated(), addresses.len());
    assert_eq!((stored.handles().len(), stored.endpoints().len()), (HOSTS * CONTAINERS, HOSTS * CONTAINERS));
    etcd.assert_audit_clean();

    let answers = at_once(containers.iter().map(|(host, container)| container.del(&netconfs[*host])));
    for answer in &answers {
        answer.result();
    }
    let longest_del = answers.iter().map(|answer| answer.wall).max().unwrap_or_default();
    note(&format!("{HOSTS} hosts, {CONTAINERS} each at once, exec {exec}: ADD {longest:.1?}, DEL {longest_del:.1?}"));
    etcd.assert_nothing_left(&hosts.iter().collect::<Vec<_>>());
}

#[test]
fn many_hosts_allocate_at_once() {
    many_hosts_at_once(false);
}

#[test]
fn many_hosts_allocate_at_once_with_an_executed_ipam_plugin() {
    many_hosts_at_once(true);
}

/// The budget of the design: 4 for an ADD into a block the host has, 4 for its DEL, one more to log in.
fn requests(options: Options) -> [Vec<usize>; 3] {
    let site = Site::with(options);
    let mut netconf = site.netconf();
    netconf["ipam"]["assign_ipv6"] = json!("false");
    let run = |call: Call| {
        let proxy = site.proxy(Path::new(env!("CARGO_BIN_EXE_proxy")), Faults::default());
        let mut netconf = netconf.clone();
        netconf["etcd_endpoints"] = json!(proxy.endpoint());
        let call = site.etcd.env().iter().fold(call, |call, (name, value)| call.env(name, value));
        call.stdin(&netconf.to_string()).run().result();
        proxy.requests()
    };
    let [first, second] = [site.host.container("c1"), site.host.container("c2")];
    run(first.add(&netconf));
    let counts = [run(second.add(&netconf)), run(second.del(&netconf)), run(second.del(&netconf))];
    run(first.del(&netconf));
    site.assert_nothing_left();
    counts
}

#[test]
fn round_trips_are_within_their_budget() {
    let [add, del, nothing] = requests(Options::default());
    assert_eq!((add, del), (vec![4], vec![4]));
    // Look, let what is under way pass, look again.
    assert_eq!(nothing, [3]);
}

#[test]
fn logging_in_is_one_round_trip() {
    let [add, del, nothing] = requests(Options { auth: true, ..Options::default() });
    assert_eq!((add, del, nothing), (vec![5], vec![5], vec![4]));
}
