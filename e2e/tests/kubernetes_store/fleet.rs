//! Many hosts that only allocate addresses: no container needs a namespace for that.

use std::collections::BTreeMap;
use std::time::SystemTime;

use calico_ipam::audit::{Finding, audit};
use calico_model::{Key, Listing};
use e2e::{Answer, ApiGroup, Call, Host, Lease, at_once};
use ipnetwork::IpNetwork;
use serde_json::{Value, json};

use crate::opened::Opened;

/// Hosts `node-0`, `node-1` and so on, which differ by their names and lock files and share one network namespace.
pub struct Fleet {
    host: Host,
    conf: Value,
    pub store: Opened,
    pub plane: Lease,
}

impl Fleet {
    /// Hosts with one pool, of IPv4.
    pub fn start(nodes: usize, pool: &str, block_size: u8) -> Fleet {
        let plane = crate::unaudited(ApiGroup::Crd);
        plane.put("clusterinformations", "default", json!({"datastoreReady": true}));
        plane.put_pool("pool4", pool, block_size);
        for node in 0..nodes {
            plane.create_node(&name(node));
        }
        let mut conf = Value::Object(plane.conf());
        conf["cniVersion"] = json!("1.0.0");
        conf["name"] = json!("net1");
        conf["type"] = json!("calico");
        conf["nodename_file_optional"] = json!(true);
        conf["ipam"] = json!({"type": "calico-ipam"});
        Fleet { host: plane.host(), conf, store: Opened::by_admin(&plane), plane }
    }

    /// Stores the settings of address management.
    pub fn configure(&self, strict: bool) {
        self.plane.put("ipamconfigs", "default", json!({"strictAffinity": strict, "autoAllocateBlocks": true}));
    }

    fn call(&self, verb: &str, node: usize, container: &str) -> Call {
        let mut conf = self.conf.clone();
        conf["nodename"] = json!(name(node));
        conf["ipam_lock_file"] = json!(format!("/run/calico/{}.lock", name(node)));
        let call = self.host.call("calico-ipam", verb).env("CNI_CONTAINERID", container);
        let call = call.env("CNI_NETNS", "/var/run/netns/none").env("CNI_IFNAME", "eth0");
        call.stdin(&conf.to_string())
    }

    /// A run of `calico-ipam` that gives a container of a host an address.
    pub fn add(&self, node: usize, container: &str) -> Call {
        self.call("ADD", node, container)
    }

    /// A run of `calico-ipam` that undoes [`Fleet::add`].
    pub fn del(&self, node: usize, container: &str) -> Call {
        self.call("DEL", node, container)
    }

    /// How many requests a call makes.
    pub fn counted(&self, call: Call) -> (Answer, Vec<String>) {
        let mark = self.plane.mark();
        let answer = call.run();
        let events = self.plane.audit_of_plugin(mark).into_iter();
        (answer, events.map(|event| format!("{} {} {}", event.verb, event.uri, event.code)).collect())
    }

    /// The content of every block.
    pub fn blocks(&self) -> BTreeMap<IpNetwork, Value> {
        let blocks = self.plane.admin().list(&self.plane.collection("ipamblocks")).unwrap();
        let content = |mut block: Value| {
            let spec = block["spec"].take();
            (spec["cidr"].as_str().unwrap().parse().unwrap(), spec)
        };
        blocks.into_iter().map(content).collect()
    }

    /// Whose each block is.
    pub fn owners(&self) -> BTreeMap<IpNetwork, String> {
        let owner = |block: &Value| block["affinity"].as_str().unwrap_or_default().to_owned();
        self.blocks().iter().map(|(cidr, block)| (*cidr, owner(block))).collect()
    }

    /// Lets a block's owner have claimed it a while ago.
    pub fn age(&self, block: &str) {
        let path = format!("{}/{}", self.plane.collection("ipamblocks"), block.replace(['.', '/'], "-"));
        let fields = json!({"spec": {"affinityClaimTime": "2020-01-01T00:00:00Z"}});
        self.plane.admin().patch(&path, &fields).unwrap();
    }

    /// Asserts that the stored objects agree, but for endpoints, which address management alone does not make.
    #[track_caller]
    pub fn assert_agreement(&self) {
        let mut findings = self.store.run(async |store| audit(store, SystemTime::now()).await.unwrap());
        findings.retain(|finding| !matches!(finding, Finding::Leaked { .. }));
        assert_eq!(findings, []);
    }

    /// Deletes containers, given with their hosts, and asserts that nothing is left of any.
    #[track_caller]
    pub fn end<'c>(&self, containers: impl IntoIterator<Item = (usize, &'c str)>) {
        for answer in at_once(containers.into_iter().map(|(node, container)| self.del(node, container))) {
            answer.result();
        }
        assert_eq!(self.store.keys(Listing::Handles), Vec::<Key>::new());
        for (cidr, block) in self.blocks() {
            let is_empty = block["allocations"].as_array().unwrap().iter().all(Value::is_null);
            assert!(is_empty, "{cidr}: {block}");
        }
        self.assert_agreement();
    }
}

/// The name of a host.
pub fn name(node: usize) -> String {
    format!("node-{node}")
}
