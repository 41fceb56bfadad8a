//! Tests of the executables against real kernels, servers and runtimes; the demo and the benchmark.
//!
//! Every test has a [`Host`] of its own: a network and a mount namespace in which the machine's own network,
//! `/var/lib/calico`, `/etc/cni`, `/opt/cni` and `/run` are out of reach. In it, a [`Container`] is one more network
//! namespace, and a [`Call`] is one run of `calico` or `calico-ipam` with an environment of nothing but `CNI_`
//! variables. An [`Etcd`] or a [`ControlPlane`] runs on a host of its own, too, and starts the hosts that reach it. A
//! [`Containerd`] or a [`Podman`] has a host and makes the containers itself. Everything vanishes with the process that
//! started the host, however that process ends.
//!
//! The helpers panic where something is wrong with the machine: they are called by tests.

mod base64;
mod call;
mod cluster;
mod conflist;
mod container;
mod containerd;
mod control_plane;
mod ctl;
mod daemon;
mod dns;
mod documents;
mod etcd;
mod executables;
mod gateway;
mod host;
pub mod http2;
mod installed;
mod killed;
mod lan;
mod leftovers;
mod listener;
mod place;
mod podman;
mod proxy;
mod random;
pub mod recording;
mod report;
mod runner;
mod runtime;
mod screen;
mod seed;
mod servers;
mod site;
mod store;
mod tls;
mod wait;
mod worker;

pub use call::{Answer, Call, CniError, Running, at_once};
pub use cluster::{Claim, Cluster, block_of};
pub use conflist::{Conflist, addresses_of, calling_plugins};
pub use container::Container;
pub use containerd::{Containerd, Kept};
pub use control_plane::{
    ApiGroup, Client, ControlPlane, ControlPlaneOptions, Event, Lease, Mark, PLUGIN_ACCOUNT, Refusal, manifests, rights,
};
pub use ctl::{Ctl, Ground, Said};
pub use daemon::Daemon;
pub use dns::{Behaviour, NameServer};
pub use documents::{readme_chain, readme_list, reference_list};
pub use etcd::{Etcd, Options};
pub use executables::{executable, folder as executables_folder, tool};
pub use gateway::{Act, Asked, Gateway, Rule};
pub use host::Host;
pub use installed::{Installed, NODE, Pod, deployment, pod, stateful_set};
pub use killed::{Doomed, cgroups_of, processes_of};
pub use listener::{Listener, heard};
pub use place::Place;
pub use podman::Podman;
pub use proxy::{Faults, Proxy};
pub use random::Random;
pub use report::{median, note};
pub use runner::{Ran, Run, Runner};
pub use screen::Screen;
pub use servers::{
    ContainerdRelease, Plugins, Release, cnitool, etcdctl, kubectl_folder, kubernetes_version, networks,
    reference_plugin,
};
pub use site::Site;
pub use store::Stored;
pub use tls::Identity;
pub use wait::until;
pub use worker::{BUSYBOX, Service, Worker};

use serde_json::{Value, json};

/// A configuration with some keys changed.
pub fn changed(mut netconf: Value, changes: Value) -> Value {
    for (key, value) in changes.as_object().expect("keys and values") {
        netconf[key] = value.clone();
    }
    netconf
}

/// The configuration most tests use: the embedded store, both families.
pub fn dual_stack() -> Value {
    json!({
        "cniVersion": "1.0.0",
        "name": "net1",
        "type": "calico",
        "datastore_type": "local",
        "nodename": "node-1",
        "ipam": {
            "type": "calico-ipam",
            "assign_ipv4": "true",
            "assign_ipv6": "true",
            "ipv4_pools": ["10.65.0.0/16"],
            "ipv6_pools": ["fd65::/64"]
        }
    })
}
