//! What a check prints, up to the number of problems: the established implementation's lines, each list in the order of its
//! addresses or names.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::time::SystemTime;

use calico_ipam::audit::Finding;
use calico_model::IpPool;

use super::beyond;
use super::picture::Picture;
use super::services::Services;
use super::validity::broken_rule;

/// How many nodes are listed.
const TOP: usize = 20;

/// What is listed.
#[derive(Debug, Clone, Copy, Default)]
pub struct Show {
    /// All addresses.
    pub all: bool,
    /// Those that something is wrong with.
    pub problems: bool,
}

/// What a check has found.
pub struct Checked {
    /// What is printed.
    pub text: String,
    /// How many problems there are.
    pub problems: usize,
    /// The handles of which nothing is allocated, in order.
    pub leaked_handles: Vec<String>,
}

/// The lines, and what was found so far.
struct Listing<'a> {
    picture: &'a Picture<'a>,
    show: Show,
    lines: Vec<String>,
    problems: usize,
}

/// Compares everything.
pub fn check(picture: &Picture<'_>, findings: &[Finding], now: SystemTime, show: Show) -> Checked {
    let mut listing = Listing { picture, show, lines: Vec::new(), problems: 0 };
    listing.say("Checking IPAM for inconsistencies...");
    listing.say("");
    listing.list_blocks();
    listing.list_pools();
    listing.list_users();
    listing.list_nodes();
    let leaked = listing.compare_allocations();
    let unallocated = listing.compare_users();
    let leaked_handles = listing.compare_handles();
    listing.validate_blocks(now);
    let reported = beyond::Reported { leaked: &leaked, unallocated: &unallocated, handles: &leaked_handles };
    let beyond = beyond::of(findings, &reported);
    listing.problems += beyond.len();
    listing.lines.extend(beyond::lines(&beyond));
    listing.say(format!("Check complete; found {} problems.", listing.problems));
    let Listing { lines, problems, .. } = listing;
    Checked { text: lines.into_iter().map(|line| line + "\n").collect(), problems, leaked_handles }
}

impl Listing<'_> {
    fn say(&mut self, line: impl Into<String>) {
        self.lines.push(line.into());
    }

    fn say_if(&mut self, shown: bool, line: impl FnOnce() -> String) {
        if shown {
            self.lines.push(line());
        }
    }

    fn list_blocks(&mut self) {
        let picture = self.picture;
        self.say("Loading all IPAM blocks...");
        self.say(format!("Found {} IPAM blocks.", picture.snapshot.blocks.len()));
        for stored in &picture.snapshot.blocks {
            let block = &stored.value;
            self.say(format!(" IPAM block {} affinity={}:", block.cidr, block.affinity.as_deref().unwrap_or("<none>")));
            if self.show.all {
                let from = picture.allocations.partition_point(|it| it.address < block.cidr.network());
                let near = picture.allocations[from..].iter().take_while(|it| block.cidr.contains(it.address));
                for allocation in near.filter(|it| it.block == block.cidr) {
                    self.say(format!("  {} allocated; attrs {}", allocation.address, allocation.attributes()));
                }
            }
        }
        self.say(format!("IPAM blocks record {} allocations.", picture.allocations.len()));
        self.say("");
    }

    fn active_pools(&self) -> impl Iterator<Item = &IpPool> {
        self.picture.snapshot.pools.iter().filter(|pool| !pool.spec.disabled)
    }

    fn list_pools(&mut self) {
        self.say("Loading all IPAM pools...");
        let pools: Vec<String> = self.active_pools().map(|pool| format!("  {}", pool.cidr())).collect();
        let count = pools.len();
        self.lines.extend(pools);
        self.say(format!("Found {count} active IP pools."));
        self.say("");
    }

    fn list_users(&mut self) {
        let picture = self.picture;
        self.say("Loading all nodes.");
        self.list_uses(&picture.of_nodes);
        self.say(format!("Found {} node tunnel IPs.", picture.of_nodes.len()));
        self.say("");
        self.say("Loading all service load balancer IPs.");
        match &picture.services {
            Services::Known(_) => {
                for (name, addresses) in &picture.of_services {
                    let uses: Vec<_> = addresses.iter().map(|&it| (it, format!("Service({name})"))).collect();
                    self.list_uses(&uses);
                }
                self.say(format!("Found {} service load balancer(s).", picture.of_services.len()));
            }
            Services::Unknown(reason) => {
                self.say(format!("Skipped: {reason}. Addresses allocated to services count as in use."));
            }
        }
        self.say("");
        self.say("Loading all workload endpoints.");
        self.list_uses(&picture.of_endpoints);
        self.say(format!("Found {} workload IPs.", picture.of_endpoints.len()));
        self.say(format!("Workloads and nodes are using {} IPs.", picture.users.len()));
        self.say("");
    }

    fn list_uses(&mut self, uses: &[(IpAddr, String)]) {
        for (address, user) in uses {
            self.say_if(self.show.all, || format!("  {address} belongs to {user}"));
        }
    }

    fn list_nodes(&mut self) {
        self.say("Loading all handles");
        self.say(format!("Looking for top (up to {TOP}) nodes by allocations..."));
        let mut counts: HashMap<&str, usize> = HashMap::new();
        for allocation in self.picture.allocations.iter().filter(|allocation| !allocation.node.is_empty()) {
            *counts.entry(allocation.node).or_default() += 1;
        }
        let mut counts: Vec<(&str, usize)> = counts.into_iter().collect();
        counts.sort_by_key(|&(node, count)| (std::cmp::Reverse(count), node));
        for (node, count) in counts.iter().take(TOP) {
            self.say(format!("  {node} has {count} allocations"));
        }
        let count_at = |index: usize| counts.get(index).map_or(0, |(_, count)| *count);
        let (most, median) = (count_at(0), count_at(counts.len() / 2));
        self.say(format!("Node with most allocations has {most}; median is {median}"));
        self.say("");
    }

    fn compare_allocations(&mut self) -> BTreeSet<IpAddr> {
        let picture = self.picture;
        self.say("Scanning for IPs that are allocated but not actually in use...");
        let mut leaked = BTreeSet::new();
        for allocation in picture.allocations.iter().filter(|allocation| picture.is_leaked(allocation)) {
            let line = || format!("  {} leaked; attrs {}", allocation.address, allocation.attributes());
            self.say_if(self.show.problems, line);
            leaked.insert(allocation.address);
        }
        self.say(format!("Found {} IPs that are allocated in IPAM but not actually in use.", leaked.len()));
        self.problems += leaked.len();
        leaked
    }

    fn compare_users(&mut self) -> BTreeSet<IpAddr> {
        let picture = self.picture;
        self.say("Scanning for IPs that are in use by a workload or node but not allocated in IPAM...");
        let pools: Vec<_> = self.active_pools().map(IpPool::cidr).collect();
        let is_allocated =
            |address: &IpAddr| picture.allocations.binary_search_by_key(address, |it| it.address).is_ok();
        let (mut outside, mut inside) = (0, 0);
        let mut unallocated = BTreeSet::new();
        for (address, users) in &picture.users {
            self.say_if(self.show.problems && users.len() > 1, || format!("  {address} has multiple owners."));
            if is_allocated(address) {
                continue;
            }
            unallocated.insert(*address);
            let user = &users[0];
            if pools.iter().any(|pool| pool.contains(*address)) {
                let text = "and in active IPAM pool but has no IPAM allocation.";
                self.say_if(self.show.problems, || format!("  {address} in use by {user} {text}"));
                inside += 1;
            } else {
                let text = "is not in any active IP pool.";
                self.say_if(self.show.problems, || format!("  {address} in use by {user} {text}"));
                outside += 1;
            }
        }
        self.say(format!("Found {outside} in-use IPs that are not in active IP pools."));
        self.say(format!(
            "Found {inside} in-use IPs that are in active IP pools but have no corresponding IPAM allocation."
        ));
        self.say("");
        self.problems += outside + inside;
        unallocated
    }

    fn compare_handles(&mut self) -> Vec<String> {
        let picture = self.picture;
        let named = picture.allocations.iter().filter(|it| !it.attribute.is_some_and(|it| it.is_windows_reserve()));
        let named: BTreeSet<&str> = named.filter_map(|allocation| allocation.handle()).collect();
        let stored = &picture.snapshot.handles;
        self.say("Scanning for IPAM handles with no matching IPs...");
        let mut leaked: Vec<String> = stored.keys().filter(|id| !named.contains(id.as_str())).cloned().collect();
        leaked.sort();
        for id in &leaked {
            self.say_if(self.show.all, || format!("  {id} doesn't have any active IPs."));
        }
        let (without, with) = (leaked.len(), stored.len() - leaked.len());
        self.say(format!("Found {without} handles with no matching IPs (and {with} handles with matches)."));
        self.say("Scanning for IPs with missing handle...");
        let missing: Vec<&str> = named.into_iter().filter(|id| !stored.contains_key(*id)).collect();
        for id in &missing {
            self.say_if(self.show.problems, || format!("  {id} is in use in a block but doesn't exist."));
        }
        self.say(format!("Found {} handles mentioned in blocks with no matching handle resource.", missing.len()));
        self.problems += leaked.len();
        leaked
    }

    fn validate_blocks(&mut self, now: SystemTime) {
        self.say("Validating IPAMBlock structures...");
        let mut invalid = 0;
        for stored in &self.picture.snapshot.blocks {
            if let Some(rule) = broken_rule(&stored.value, now) {
                self.say(format!("  IPAMBlock BlockKey(cidr={}) is invalid: {rule}", stored.value.cidr));
                invalid += 1;
            }
        }
        self.say(format!("Found {invalid} invalid IPAMBlocks."));
        self.problems += invalid;
    }
}
