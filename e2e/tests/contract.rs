//! etcd keeps the datastore contract. (The tests of the embedded store are beside it.)

use std::path::Path;

use e2e::{Etcd, Options, Release};

fn keeps_the_contract(release: Release) {
    let etcd = Etcd::start(Options { release, ..Options::default() });
    let contract = Path::new(env!("CARGO_BIN_EXE_contract"));
    let output = etcd.servers().program(contract).arg(etcd.endpoint(0)).output().expect("nsenter can be started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // What it stores is not what an allocation stores.
    etcd.end_unaudited();
}

#[test]
fn etcd_3_6_keeps_the_contract() {
    keeps_the_contract(Release::V3_6);
}

#[test]
fn etcd_3_4_of_debian_keeps_the_contract() {
    keeps_the_contract(Release::Debian3_4);
}
