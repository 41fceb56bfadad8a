//! Many hosts that only allocate addresses: no container needs a namespace for that.

use std::collections::BTreeMap;
use std::net::IpAddr;

use calico_model::Key;
use ipnetwork::IpNetwork;
use serde_json::{Value, json};

use crate::call::{Answer, Call, at_once};
use crate::etcd::{Etcd, Options};
use crate::host::Host;
use crate::site::Site;

/// Hosts `node-0`, `node-1` and so on, which differ by their names and lock files and share one network namespace, and an
/// etcd of their own. Containers are IDs.
pub struct Cluster {
    // Before the network it is on.
    /// Where all calls run.
    pub host: Host,
    /// Where the objects are.
    pub etcd: Etcd,
}

/// Who has a block, as an affinity says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Claim {
    /// The block.
    pub block: IpNetwork,
    /// The host.
    pub node: String,
    /// How far the claim has come.
    pub state: String,
}

impl Cluster {
    /// Starts a cluster with one pool, of IPv4.
    pub fn start(nodes: usize, pool: &str, block_size: u8) -> Cluster {
        let etcd = Etcd::start(Options::default());
        let names: Vec<String> = (0..nodes).map(name).collect();
        etcd.seed(&names.iter().map(String::as_str).collect::<Vec<_>>());
        etcd.put_pool("pool4", pool, block_size);
        Cluster { host: etcd.host(), etcd }
    }

    /// Stores the settings of address management.
    pub fn configure(&self, settings: Value) {
        self.etcd.put("/calico/ipam/v2/config", &settings.to_string());
    }

    /// The configuration of a host.
    pub fn netconf(&self, node: usize) -> Value {
        let mut netconf = Site::configure(&self.etcd, &name(node));
        netconf["ipam_lock_file"] = json!(format!("/run/calico/{}.lock", name(node)));
        netconf["ipam"] = json!({"type": "calico-ipam"});
        netconf
    }

    /// A run of `calico-ipam` for a container.
    pub fn call(&self, verb: &str, container: &str, netconf: &Value) -> Call {
        let call = self.host.call("calico-ipam", verb).env("CNI_CONTAINERID", container);
        let call = call.env("CNI_NETNS", "/var/run/netns/none").env("CNI_IFNAME", "eth0");
        call.stdin(&netconf.to_string())
    }

    /// A run of `calico-ipam` that gives a container of a host an address.
    pub fn add(&self, node: usize, container: &str) -> Call {
        self.call("ADD", container, &self.netconf(node))
    }

    /// A run of `calico-ipam` that undoes [`Cluster::add`].
    pub fn del(&self, node: usize, container: &str) -> Call {
        self.call("DEL", container, &self.netconf(node))
    }

    /// All blocks, with what is stored.
    pub fn blocks(&self) -> BTreeMap<IpNetwork, Value> {
        let of_block = |block: &Value| (block["cidr"].as_str().and_then(|text| text.parse().ok()), block.clone());
        let stored = self.etcd.stored();
        let blocks = stored.blocks().into_values().map(of_block);
        blocks.map(|(cidr, block)| (cidr.expect("a block has a CIDR"), block)).collect()
    }

    /// All claims to blocks.
    pub fn claims(&self) -> Vec<Claim> {
        let stored = self.etcd.stored();
        let claim = |(path, object): (&str, &Value)| match Key::parse(path) {
            Some(Key::Affinity { owner, block }) => {
                let state = object["state"].as_str().unwrap_or_default().to_owned();
                Claim { block, node: owner.name().to_owned(), state }
            }
            _ => panic!("{path} is no claim"),
        };
        let mut claims: Vec<Claim> = stored.with("/ipam/v2/host/").into_iter().map(claim).collect();
        claims.sort();
        claims
    }

    /// Asserts that the stored objects agree, but for endpoints, which address management alone does not make: every block
    /// with an owner has one confirmed claim, its owner's, and there are no others.
    #[track_caller]
    pub fn assert_agreement(&self) {
        let findings: Vec<String> =
            self.etcd.audit().into_iter().filter(|finding| !finding.contains("which has no endpoint")).collect();
        assert!(findings.is_empty(), "audit:\n{}", findings.join("\n"));
    }

    /// Deletes containers, given with their hosts, and asserts that nothing is left of any.
    #[track_caller]
    pub fn end<'c>(&self, containers: impl IntoIterator<Item = (usize, &'c str)>) {
        for answer in at_once(containers.into_iter().map(|(node, container)| self.del(node, container))) {
            answer.result();
        }
        self.etcd.assert_nothing_left(&[&self.host]);
    }
}

/// The name of a host.
fn name(node: usize) -> String {
    format!("node-{node}")
}

impl Answer {
    /// The address of a run that must have succeeded with one, in a result of version 0.3.0 or later.
    #[track_caller]
    pub fn address(&self) -> IpAddr {
        match self.addresses().as_slice() {
            [address] => address.parse().unwrap_or_else(|e| panic!("{e}: {self:#?}")),
            _ => panic!("not one address: {self:#?}"),
        }
    }
}

/// The block among `blocks` that an address lies in.
#[track_caller]
pub fn block_of<T>(blocks: &BTreeMap<IpNetwork, T>, address: IpAddr) -> (&IpNetwork, &T) {
    let found = blocks.iter().find(|(block, _)| block.contains(address));
    found.unwrap_or_else(|| panic!("{address} is in no block"))
}
