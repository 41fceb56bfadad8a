//! Certificates, of either side, that do not do: said at once and with the file to look at.
//!
//! In TLS 1.3 a member refuses a client's certificate only after the client has taken the connection for made, so that
//! the refusal can come at any moment or be lost; many runs have to say the same.

use e2e::{Etcd, Identity, Options, Place};
use serde_json::{Value, json};

use crate::{Cluster, unchanged};

const TLS: Options = Options { release: e2e::Release::V3_6, members: 1, tls: true, expired: false, auth: false };

/// How often a refusal is looked at: its way is a matter of microseconds.
const RUNS: usize = 20;

fn text(path: &std::path::Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// The keys that say who we are.
fn as_client(identity: &Identity) -> Value {
    json!({ "etcd_cert_file": identity.certificate, "etcd_key_file": identity.key })
}

/// All commands are refused with these words, at once: nothing is tried twice, although there would be time.
#[track_caller]
fn assert_refused_at_once(cluster: &Cluster, changes: Value, words: &[&str]) {
    let netconf = cluster.with(changes);
    let once = [words, &["may not connect to the datastore etcd", "(attempts: "]].concat();
    let error = cluster.assert_refused(&netconf, unchanged, &once);
    for _ in 0..RUNS {
        let found = cluster.add(&cluster.container(), &netconf).run().error();
        found.assert_words(&once);
        assert!(!found.text.contains("(attempts: 3)"), "{found:?}");
    }
    assert_eq!(error.code, 999);
}

#[test]
fn certificates_work_with_one_member_and_with_three() {
    for members in [1, 3] {
        let cluster = Cluster::start(Options { members, ..TLS });
        cluster.assert_works_with(&cluster.good());
    }
}

#[test]
fn servers_of_an_unknown_authority() {
    let cluster = Cluster::start(TLS);
    let foreign = text(&cluster.etcd.foreign_client().authority).to_owned();
    let advice = "set etcd_ca_cert_file to the CA that signed the certificates of etcd's members";
    let used = format!("used: etcd_ca_cert_file {foreign}");
    assert_refused_at_once(&cluster, json!({ "etcd_ca_cert_file": foreign }), &["UnknownIssuer", &used, advice]);
    // Without a file it is the authorities that the host trusts.
    let used = "used: the CAs that this host trusts (no etcd_ca_cert_file)";
    assert_refused_at_once(&cluster, json!({ "etcd_ca_cert_file": "" }), &["UnknownIssuer", used, advice]);
}

#[test]
fn clients_whose_certificate_is_refused() {
    let cluster = Cluster::start(TLS);
    let (expired, foreign) = (cluster.etcd.expired_client().clone(), cluster.etcd.foreign_client().clone());
    let refused = "etcd does not accept the client certificate: check etcd_cert_file and etcd_key_file";
    let file = format!("etcd_cert_file {}", text(&expired.certificate));
    assert_refused_at_once(&cluster, as_client(&expired), &["CertificateExpired", &file, refused]);
    let file = format!("etcd_cert_file {}", text(&foreign.certificate));
    assert_refused_at_once(&cluster, as_client(&foreign), &["UnknownCA", &file, refused]);
    let none = json!({ "etcd_cert_file": "", "etcd_key_file": "" });
    let wanted = "etcd wants a client certificate: set etcd_cert_file and etcd_key_file";
    assert_refused_at_once(&cluster, none, &["CertificateRequired", "no etcd_cert_file", wanted]);
}

#[test]
fn a_refusal_by_every_one_of_three_members() {
    let cluster = Cluster::start(Options { members: 3, ..TLS });
    let expired = cluster.etcd.expired_client().clone();
    let each =
        [0, 1, 2].map(|member| format!("{}: received fatal alert: CertificateExpired", cluster.etcd.endpoint(member)));
    let [a, b, c] = &each;
    assert_refused_at_once(&cluster, as_client(&expired), &[a, b, c, "etcd does not accept the client certificate"]);
}

#[test]
fn servers_whose_certificate_has_expired() {
    let etcd = Etcd::start(Options { expired: true, ..TLS });
    etcd.seed(&["node-1"]);
    let cluster = Cluster { host: etcd.host(), etcd, containers: Default::default() };
    let netconf = cluster.good();
    let words = ["certificate expired", "(attempts: 1)", "renew the certificates of etcd's members"];
    let stored = cluster.etcd.dump();
    cluster.assert_add_refused(&netconf, unchanged, &words);
    cluster.test(&netconf).run().error().assert_words(&words);
    cluster.del(&cluster.container(), &netconf).run().error().assert_words(&words);
    assert_eq!(cluster.etcd.dump(), stored);
}

#[test]
fn servers_with_a_certificate_for_other_names() {
    let cluster = Cluster::start(TLS);
    let hosts = cluster.host.folder().join("hosts");
    std::fs::write(&hosts, "172.31.0.1 etcd.example\n").unwrap();
    cluster.host.run("mount", &["--bind", text(&hosts), "/etc/hosts"]);
    let words = ["not valid for name", "for the names and addresses in etcd_endpoints", "https://etcd.example:2379"];
    let changes = json!({ "etcd_endpoints": "https://etcd.example:2379" });
    cluster.assert_refused(&cluster.with(changes), unchanged, &words);
}

#[test]
fn files_that_cannot_be_used() {
    let cluster = Cluster::start(TLS);
    let written = |name: &str, content: &str| {
        let path = cluster.host.folder().join(name);
        std::fs::write(&path, content).unwrap();
        text(&path).to_owned()
    };
    let empty = written("empty", "");
    let garbage = written("garbage", "-----BEGIN CERTIFICATE-----\nbm9uZQ==\n-----END CERTIFICATE-----\n");
    let no_key = written("no-key", "-----BEGIN PRIVATE KEY-----\nbm9uZQ==\n-----END PRIVATE KEY-----\n");
    let foreign = text(&cluster.etcd.foreign_client().key).to_owned();
    let pem = "give the path of a PEM file that this process can read";
    for (changes, words) in [
        (json!({ "etcd_ca_cert_file": "/absent" }), ["etcd_ca_cert_file /absent: No such file", pem]),
        (
            json!({ "etcd_ca_cert_file": empty }),
            [&format!("etcd_ca_cert_file {empty}: there is no CERTIFICATE in it"), pem],
        ),
        (json!({ "etcd_ca_cert_file": foreign }), [&format!("{foreign}: there is no CERTIFICATE in it"), pem]),
        (json!({ "etcd_ca_cert_file": garbage }), ["UnknownIssuer", &garbage]),
        (json!({ "etcd_cert_file": "/absent" }), ["etcd_cert_file /absent: No such file", pem]),
        (json!({ "etcd_cert_file": empty }), [&format!("etcd_cert_file {empty}: there is no CERTIFICATE in it"), pem]),
        (json!({ "etcd_cert_file": garbage }), ["unusable", &garbage]),
        (json!({ "etcd_key_file": "/absent" }), ["etcd_key_file /absent: No such file", pem]),
        (json!({ "etcd_key_file": empty }), [&format!("etcd_key_file {empty}: there is no PRIVATE KEY in it"), pem]),
        (json!({ "etcd_key_file": no_key }), ["unusable", &no_key]),
        (
            json!({ "etcd_key_file": foreign }),
            ["the key must be that of the certificate", &format!("etcd_key_file {foreign}")],
        ),
    ] {
        cluster.assert_refused(&cluster.with(changes), unchanged, &words);
    }
}

/// That is a configuration that cannot be read, so that DEL does nothing either.
#[test]
fn a_certificate_without_its_key() {
    let cluster = Cluster::start(TLS);
    let connected = cluster.container();
    cluster.add(&connected, &cluster.good()).run().result();
    let netconf = cluster.with(json!({ "etcd_key_file": "" }));
    let words = ["KeyFile and CertFile must both be present", "set both etcd_cert_file and etcd_key_file, or neither"];
    cluster.assert_add_refused(&netconf, unchanged, &words);
    cluster.test(&netconf).run().error().assert_words(&words);
    cluster.del(&connected, &netconf).run().error().assert_words(&words);
    cluster.del(&connected, &cluster.good()).run().result();
    cluster.etcd.assert_nothing_left(&[&cluster.host]);
}

#[test]
fn the_wrong_scheme() {
    let cluster = Cluster::start(TLS);
    let plain = "http://172.31.0.1:2379";
    let netconf = cluster.with(json!({ "etcd_endpoints": plain, "timeout_seconds": 1 }));
    cluster.assert_refused(&netconf, unchanged, &[plain, "does it expect https:// in etcd_endpoints?"]);

    let cluster = Cluster::plain();
    let encrypted = "https://172.31.0.1:2379";
    let netconf = cluster.with(json!({ "etcd_endpoints": encrypted, "timeout_seconds": 1 }));
    cluster.assert_refused(&netconf, unchanged, &[encrypted, "does it expect http:// in etcd_endpoints?"]);
}
