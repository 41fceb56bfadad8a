//! etcd's members found by SRV records: ADD and DEL over what name servers of all kinds say.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use e2e::Behaviour::{Garbled, Lying, NxDomain, Refusing, Right, ServFail, Silent, Truncating};
use e2e::{Behaviour, Call, CniError, Container, NameServer, Options, Site};
use serde_json::{Value, json};

/// Where name servers are.
const FIRST: &str = "127.0.0.1";
const SECOND: &str = "127.0.0.2";

const PLAIN: &str = "SRV _etcd-client._tcp.example.org 0 0 2379 etcd.example.org";
const ADDRESS: &str = "A etcd.example.org 172.31.0.1";
/// The member by both names that its certificate has and has not.
const ENCRYPTED: &str = "SRV _etcd-client-ssl._tcp.example.org 0 0 2379 etcd.example.org";
const MISNAMED: &str = "SRV _etcd-client-ssl._tcp.example.org 0 0 2379 other.example.org";

fn start(resolver: &str) -> Site {
    let site = Site::start();
    site.host.set_resolver(resolver);
    site
}

/// A site whose resolver is at [`FIRST`].
fn usual() -> Site {
    start(&format!("nameserver {FIRST}\n"))
}

fn server<'s>(site: &'s Site, address: &str, behaviour: Behaviour, records: &[&str]) -> NameServer<'s> {
    NameServer::start(&site.host, Path::new(env!("CARGO_BIN_EXE_dns")), address, behaviour, records)
}

/// The configuration of a plugin that has to find the members.
fn netconf(site: &Site, domain: &str) -> Value {
    let mut netconf = site.netconf();
    netconf.as_object_mut().unwrap().remove("etcd_endpoints");
    netconf["etcd_discovery_srv"] = json!(domain);
    netconf
}

fn container(site: &Site) -> Container<'_> {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    site.host.container(&format!("c{}", NUMBER.fetch_add(1, Ordering::Relaxed)))
}

/// ADD, CHECK and DEL of a container.
#[track_caller]
fn assert_works(site: &Site, netconf: &Value) {
    let container = container(site);
    let add = container.add(netconf).run();
    assert_eq!(add.addresses().len(), 2, "{add:?}");
    let mut again = netconf.clone();
    again["prevResult"] = add.result();
    let check = container.call("calico", "CHECK", &again).run();
    assert_eq!(check.exit, Some(0), "{check:?}");
    container.del(netconf).run().result();
    site.assert_nothing_left();
}

/// The error of an ADD, which has left nothing.
#[track_caller]
fn refused(site: &Site, netconf: &Value) -> CniError {
    let container = container(site);
    let error = container.add(netconf).run().error();
    assert!(error.text.starts_with("error creating calico client: "), "{error:?}");
    site.assert_nothing_left();
    error
}

#[test]
fn a_member_without_encryption() {
    let site = usual();
    let server = server(&site, FIRST, Right, &[PLAIN, ADDRESS]);
    let netconf = netconf(&site, "example.org");
    assert_works(&site, &netconf);
    // Both services of each call, in the order that the kernel makes of them.
    let mut questions = server.questions();
    questions.retain(|question| question.contains(" SRV "));
    questions.sort();
    let once = ["udp SRV _etcd-client-ssl._tcp.example.org", "udp SRV _etcd-client._tcp.example.org"];
    assert_eq!(questions, once.map(|question| vec![question; 3]).concat());
}

#[test]
fn the_environment_and_an_executed_ipam_plugin() {
    let site = usual();
    let _server = server(&site, FIRST, Right, &[PLAIN, ADDRESS]);
    let mut netconf = netconf(&site, "example.org");
    netconf["ipam"]["exec"] = json!(true);
    assert_works(&site, &netconf);
    netconf.as_object_mut().unwrap().remove("etcd_discovery_srv");
    let container = container(&site);
    let with = |call: Call| call.env("ETCD_DISCOVERY_SRV", "example.org").run();
    assert_eq!(with(container.add(&netconf)).addresses().len(), 2);
    with(container.del(&netconf)).result();
    site.assert_nothing_left();
}

#[test]
fn a_member_with_a_certificate_for_the_name_in_the_record() {
    let site = Site::with(Options { tls: true, ..Options::default() });
    site.host.set_resolver(&format!("nameserver {FIRST}\n"));
    let netconf = netconf(&site, "example.org");
    {
        let _server = server(&site, FIRST, Right, &[ENCRYPTED, ADDRESS]);
        assert_works(&site, &netconf);
    }
    // The same member by another name, which the certificate has not.
    let _server = server(&site, FIRST, Right, &[MISNAMED, "A other.example.org 172.31.0.1"]);
    let error = refused(&site, &netconf);
    error.assert_words(&["https://other.example.org:2379 (by the SRV records of example.org)", "certificate"]);
}

/// Which member a call begins with must not follow from its process's ID here: several calls are made.
#[test]
fn services_and_priorities_decide_who_is_asked_first() {
    let site = usual();
    let mut netconf = netconf(&site, "example.org");
    netconf["timeout_seconds"] = json!(1);
    let record = |service: &str, priority: u16, port: u16| {
        format!("SRV {service}._tcp.example.org {priority} 0 {port} etcd.example.org")
    };
    let closed = [
        record("_etcd-client", 1, 4),
        record("_etcd-client-ssl", 30, 2),
        record("_etcd-client-ssl", 200, 3),
        record("_etcd-client-ssl", 4, 1),
        ADDRESS.to_owned(),
    ];
    {
        let _server = server(&site, FIRST, Right, &closed.each_ref().map(String::as_str));
        let urls =
            ["https://etcd.example.org:1", "https://etcd.example.org:2", "https://etcd.example.org:3"].join(", ");
        let all = format!("etcd at {urls}, http://etcd.example.org:4 (by the SRV records of example.org)");
        for _ in 0..3 {
            refused(&site, &netconf).assert_words(&[&all, "Connection refused"]);
        }
    }
    // The first is dead: the second takes its place.
    let [dead, alive] = [record("_etcd-client", 1, 1), record("_etcd-client", 2, 2379)];
    let _server = server(&site, FIRST, Right, &[&dead, &alive, ADDRESS]);
    netconf["timeout_seconds"] = json!(30);
    assert_works(&site, &netconf);
}

#[test]
fn an_answer_that_is_too_long_is_fetched_by_tcp() {
    let site = usual();
    let server = server(&site, FIRST, Truncating, &[PLAIN, ADDRESS]);
    assert_works(&site, &netconf(&site, "example.org"));
    let questions = server.questions();
    for service in ["_etcd-client", "_etcd-client-ssl"] {
        for way in ["udp", "tcp"] {
            let question = format!("{way} SRV {service}._tcp.example.org");
            assert_eq!(questions.iter().filter(|asked| **asked == question).count(), 3, "{questions:?}");
        }
    }
}

#[test]
fn the_next_server_is_asked_where_one_does_not_help() {
    let site = start(&format!("nameserver {FIRST}\nnameserver {SECOND}\noptions timeout:1\n"));
    let second = server(&site, SECOND, Right, &[PLAIN, ADDRESS]);
    let netconf = netconf(&site, "example.org");
    for behaviour in [Silent, ServFail, Refusing, Garbled] {
        let first = server(&site, FIRST, behaviour, &[PLAIN, ADDRESS]);
        assert_works(&site, &netconf);
        assert!(first.questions().contains(&"udp SRV _etcd-client._tcp.example.org".to_owned()));
    }
    // Nobody is there.
    assert_works(&site, &netconf);
    let before = second.questions().len();
    // What the first knows, the second is not asked for.
    let _first = server(&site, FIRST, NxDomain, &[]);
    refused(&site, &netconf).assert_words(&[&format!("{FIRST} says NXDOMAIN")]);
    assert_eq!(second.questions().len(), before);
}

#[test]
fn what_is_no_answer_is_not_believed() {
    let site = usual();
    let _server = server(&site, FIRST, Lying, &[PLAIN, ADDRESS]);
    assert_works(&site, &netconf(&site, "example.org"));
}

#[test]
fn aliases_lead_to_the_records() {
    let site = usual();
    let records = [
        "CNAME _etcd-client._tcp.example.org members.example.net",
        "SRV members.example.net 0 0 2379 etcd.example.org",
        "CNAME etcd.example.org host.example.net",
        "A host.example.net 172.31.0.1",
    ];
    let _server = server(&site, FIRST, Right, &records);
    assert_works(&site, &netconf(&site, "example.org"));
}

#[test]
fn a_relative_domain_is_searched_for() {
    let site = start(&format!("search example.com example.org\nnameserver {FIRST}\n"));
    let record = PLAIN.replacen("example.org", "dc1.example.org", 1);
    let server = server(&site, FIRST, Right, &[&record, ADDRESS]);
    assert_works(&site, &netconf(&site, "dc1"));
    let before = server.questions().len();
    let error = refused(&site, &netconf(&site, "dc1."));
    error.assert_words(&["_etcd-client._tcp.dc1.: ", "NXDOMAIN"]);
    assert!(!error.text.contains("example"), "{error:?}");
    let asked = &server.questions()[before..];
    assert!(asked.iter().all(|question| question.ends_with("._tcp.dc1")), "{asked:?}");
}

#[test]
fn errors_say_what_each_server_said() {
    let site = usual();
    let mut netconf = netconf(&site, "example.org");
    netconf["timeout_seconds"] = json!(2);
    let services = ["_etcd-client-ssl._tcp.example.org.: ", "_etcd-client._tcp.example.org.: "];
    let found = "cannot find the datastore etcd by the SRV records of example.org: ";
    let absent = "; add SRV records of etcd's members to the domain";
    let unanswered = "; check the name servers in /etc/resolv.conf";
    for (behaviour, words, next) in [
        (NxDomain, "127.0.0.1 says NXDOMAIN: there is no such name", absent),
        (ServFail, "127.0.0.1 says SERVFAIL", unanswered),
        (Refusing, "127.0.0.1 says REFUSED", unanswered),
        (Silent, "127.0.0.1 has not answered in ", unanswered),
        (Garbled, "(messages from there that are no answer to it: 1)", unanswered),
    ] {
        let _server = server(&site, FIRST, behaviour, &[PLAIN, ADDRESS]);
        let error = refused(&site, &netconf);
        error.assert_words(&[found, services[0], services[1], words, next]);
    }
    for (record, words) in [
        ("A _etcd-client._tcp.example.org 172.31.0.1", "127.0.0.1 says that it has no SRV records"),
        ("SRV _etcd-client._tcp.example.org 0 0 0 .", "this service is not offered there"),
        ("SRV _etcd-client._tcp.example.org 0 0 2379 a/b.example.org", "no host names: \"a/b.example.org\""),
    ] {
        let _server = server(&site, FIRST, Right, &[record]);
        refused(&site, &netconf).assert_words(&[found, services[0], "NXDOMAIN", services[1], words, absent]);
    }
    // Nobody is there.
    let error = refused(&site, &netconf);
    error.assert_words(&[found, services[0], services[1], "127.0.0.1 is not reached: Connection refused", unanswered]);
    // It works once a server does.
    let _server = server(&site, FIRST, Right, &[PLAIN, ADDRESS]);
    assert_works(&site, &netconf);
}

#[test]
fn a_name_server_that_says_nothing_does_not_outlast_the_call() {
    let site = start(&format!("nameserver {FIRST}\noptions timeout:30 attempts:5\n"));
    let _server = server(&site, FIRST, Silent, &[]);
    let mut netconf = netconf(&site, "example.org");
    netconf["timeout_seconds"] = json!(1);
    let container = container(&site);
    for call in [container.add(&netconf), container.del(&netconf)] {
        let answer = call.run();
        answer.error().assert_words(&["127.0.0.1 has not answered in "]);
        assert!(answer.wall < std::time::Duration::from_secs(20), "it waited for the name server: {answer:?}");
    }
    site.assert_nothing_left();
}
