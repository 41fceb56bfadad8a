//! Debian's release of etcd.

use e2e::{Options, Release};

use crate::Cluster;

fn works(options: Options) {
    let cluster = Cluster::start(Options { release: Release::Debian3_4, ..options });
    cluster.assert_works_with(&cluster.good());
}

#[test]
fn etcd_3_4_open_to_everybody() {
    works(Options::default());
}

#[test]
fn etcd_3_4_with_users() {
    works(Options { auth: true, ..Options::default() });
}

#[test]
fn etcd_3_4_with_certificates() {
    works(Options { tls: true, ..Options::default() });
}

#[test]
fn etcd_3_4_with_users_and_certificates() {
    works(Options { tls: true, auth: true, ..Options::default() });
}
