//! Addresses that nobody has any more, and handles that count too much or too little.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::IpAddr;

use calico_datastore::Revision;
use calico_model::{Attribute, Block, Handle, Inconsistency, Key, cidr};
use ipnetwork::IpNetwork;

use super::plan::Planner;
use super::{Action, Release, Repair, list};
use crate::audit::{Finding, handle_of};
use crate::query::sequence_of;
use crate::release::is_of_vm;

/// What was found of one handle.
#[derive(Default)]
struct OfHandle<'a> {
    counts: Vec<&'a Finding>,
    /// Addresses that are held in vain, with the node that is gone where that is why.
    vain: Vec<(IpAddr, Option<&'a str>, &'a Finding)>,
}

/// One address that a handle has.
struct Holding<'a> {
    block: &'a Block,
    address: IpAddr,
    attribute: &'a Attribute,
}

impl Planner<'_> {
    pub fn plan_handles(&mut self, findings: &[Finding]) {
        let snapshot = self.snapshot;
        let mut holdings: HashMap<&str, Vec<Holding<'_>>> = HashMap::new();
        let mut holders: HashMap<IpAddr, &str> = HashMap::new();
        for (block, address, attribute) in snapshot.held() {
            if let Some(handle) = handle_of(attribute) {
                holdings.entry(handle).or_default().push(Holding { block, address, attribute });
                holders.insert(address, handle);
            }
        }
        let mut found: BTreeMap<&str, OfHandle<'_>> = BTreeMap::new();
        let mut elsewhere: HashMap<IpAddr, &Finding> = HashMap::new();
        for finding in findings {
            match finding {
                Finding::EmptyHandle { handle }
                | Finding::HandleEntry { handle, .. }
                | Finding::CountsTooMuch { handle, .. }
                | Finding::CountsTooLittle { handle, .. }
                | Finding::MissingHandle { handle, .. } => found.entry(handle).or_default().counts.push(finding),
                Finding::Leaked { address, handle } => {
                    found.entry(handle).or_default().vain.push((*address, None, finding));
                }
                Finding::TunnelOfUnknownNode { address, node, .. } => {
                    let handle = holders.get(address).copied().unwrap_or_default();
                    found.entry(handle).or_default().vain.push((*address, Some(node), finding));
                }
                Finding::AllocationOfUnknownNode { address, .. } => {
                    elsewhere.insert(*address, finding);
                }
                _ => {}
            }
        }
        for (handle, found) in found {
            let held = holdings.remove(handle).unwrap_or_default();
            self.plan_handle(handle, &held, found, &elsewhere);
        }
    }

    fn plan_handle(
        &mut self,
        id: &str,
        held: &[Holding<'_>],
        found: OfHandle<'_>,
        elsewhere: &HashMap<IpAddr, &Finding>,
    ) {
        let key = Key::Handle(id.to_owned());
        let objection = if is_of_vm(id) {
            Some("Several hosts write a virtual machine's handle: it is left to them.".to_owned())
        } else if self.snapshot.is_unreadable(&key) {
            Some("The handle cannot be read: correct it first.".to_owned())
        } else {
            None
        };
        if let Some(why) = objection {
            let all = found.counts.into_iter().chain(found.vain.into_iter().map(|(_, _, finding)| finding));
            all.for_each(|finding| self.leave(finding, why.clone()));
            return;
        }
        let mut by_address: HashMap<IpAddr, Vec<&Holding<'_>>> = HashMap::new();
        for holding in held {
            by_address.entry(holding.address).or_default().push(holding);
        }
        let is_used = by_address.keys().any(|&address| self.living.uses(address));
        let (mut findings, mut releases) = (Vec::new(), Vec::new());
        for (address, gone, finding) in found.vain {
            let of_address = by_address.get(&address).map(Vec::as_slice).unwrap_or_default();
            let objection = of_address.iter().find_map(|holding| self.objection(holding, gone));
            let others = is_used.then(|| "Another address of its handle is in use.".to_owned());
            if let Some(why) = objection.or(others) {
                self.leave(finding, why);
                continue;
            }
            releases.extend(of_address.iter().filter_map(|holding| {
                let ordinal = holding.block.ordinal(address)?;
                let sequence = sequence_of(holding.block, ordinal);
                Some(Release { address, block: holding.block.cidr, sequence, gone: gone.map(str::to_owned) })
            }));
            findings.push(finding.clone());
            findings.extend(elsewhere.get(&address).map(|finding| (*finding).clone()));
        }
        findings.extend(found.counts.into_iter().cloned());
        if findings.is_empty() {
            return;
        }
        let stored = self.snapshot.handles.get(id);
        let named = stored.map(|stored| named_blocks(&stored.value)).unwrap_or_default();
        let blocks: BTreeSet<IpNetwork> = named.into_iter().chain(held.iter().map(|it| it.block.cidr)).collect();
        let readable = blocks.iter().copied().filter(|&block| !self.is_unreadable(block));
        let mut seen: BTreeMap<Key, Option<Revision>> = readable.map(|block| self.seen(block)).collect();
        seen.insert(key, stored.map(|stored| stored.revision));
        let released: HashSet<IpAddr> = releases.iter().map(|release| release.address).collect();
        let mut left: HashMap<IpNetwork, i64> = HashMap::new();
        for holding in held.iter().filter(|holding| !released.contains(&holding.address)) {
            *left.entry(holding.block.cidr).or_default() += 1;
        }
        for release in &releases {
            self.released.entry(release.block).or_default().push(release.address);
        }
        let before = stored.map(|stored| &stored.value);
        let after = recounted(before, &blocks, |block| {
            (!self.is_unreadable(block)).then(|| left.get(&block).copied().unwrap_or(0))
        });
        let text = describe(id, &releases, before, &after);
        let action = Action::Settle { handle: id.to_owned(), releases, blocks: blocks.into_iter().collect() };
        self.repair(findings, text, action, seen);
    }

    /// Why an address may not be released.
    fn objection(&self, holding: &Holding<'_>, gone: Option<&str>) -> Option<String> {
        if let Some(objection) = gone.and_then(|node| self.living.node_objection(node)) {
            return Some(objection);
        }
        if !contradictions(holding.block).is_empty() {
            return Some("Its block contradicts itself: repair that first.".to_owned());
        }
        let unproven = || if gone.is_none() { self.proof.objection(holding.attribute) } else { None };
        self.living.objection(holding.address, holding.attribute).or_else(unproven)
    }
}

/// The ways in which a block contradicts itself that are not repaired here.
pub(super) fn contradictions(block: &Block) -> Vec<Inconsistency> {
    let mut found = block.inconsistencies();
    found.retain(|it| !matches!(it, Inconsistency::Lost { .. } | Inconsistency::NoAttribute { .. }));
    found
}

/// The blocks that a handle names, also with a count of none.
pub(super) fn named_blocks(handle: &Handle) -> BTreeSet<IpNetwork> {
    handle.block.keys().filter_map(|text| text.parse().ok()).map(|named| cidr::masked(&named)).collect()
}

/// How many addresses of a handle there are in a block.
pub(super) fn held_in(block: &Block, handle: &str) -> i64 {
    block.ordinals_of(handle).filter(|&ordinal| block.address(ordinal).is_some()).count() as i64
}

/// The handle with the counts that `left` has for `blocks`: none of a block that cannot be read, whose entries stay as they
/// are. Entries that name no block go.
pub(super) fn recounted(
    before: Option<&Handle>,
    blocks: &BTreeSet<IpNetwork>,
    left: impl Fn(IpNetwork) -> Option<i64>,
) -> Handle {
    let mut after = before.cloned().unwrap_or_default();
    let of = |text: &str| text.parse().ok().map(|named| cidr::masked(&named));
    after.block.retain(|text, _| of(text).is_some_and(|block| !blocks.contains(&block) || left(block).is_none()));
    for &block in blocks {
        if let Some(left) = left(block) {
            after.set(&block, left);
        }
    }
    after
}

fn describe(id: &str, releases: &[Release], before: Option<&Handle>, after: &Handle) -> String {
    let counts = list(after.block.iter().map(|(block, count)| format!("{count} in {block}")));
    let handle = match before {
        None if after.block.is_empty() => None,
        None => Some(format!("create the handle {id}, which counts {counts}")),
        Some(_) if after.block.is_empty() => Some(format!("delete the handle {id}, which then counts nothing")),
        Some(before) if after == before => None,
        Some(_) => Some(format!("make the handle {id} count {counts}")),
    };
    let release = (!releases.is_empty()).then(|| {
        let addresses = list(releases.iter().map(|release| release.address));
        format!("release {addresses}, allocated to {id}")
    });
    release.into_iter().chain(handle).collect::<Vec<_>>().join(", and ")
}

/// Deletes a handle of which nothing is allocated, if it is still of this version.
pub fn of_unused_handle(id: &str, revision: Revision) -> Repair {
    Repair {
        findings: Vec::new(),
        text: format!("delete the handle {id}"),
        action: Action::Settle { handle: id.to_owned(), releases: Vec::new(), blocks: Vec::new() },
        seen: [(Key::Handle(id.to_owned()), Some(revision))].into(),
    }
}
