//! What an audit finds beyond what the established implementation looks for.

use std::collections::BTreeSet;
use std::net::IpAddr;

use calico_ipam::audit::{Class, Finding};

/// What has been reported already.
pub struct Reported<'a> {
    /// Addresses that are allocated in vain.
    pub leaked: &'a BTreeSet<IpAddr>,
    /// Addresses that are in use and not allocated.
    pub unallocated: &'a BTreeSet<IpAddr>,
    /// Handles of which nothing is allocated, in order.
    pub handles: &'a [String],
}

/// The findings that have not been reported, by their classes.
pub fn of<'a>(findings: &'a [Finding], reported: &Reported<'_>) -> Vec<(Class, &'a Finding)> {
    let mut beyond: Vec<(Class, &Finding)> = findings
        .iter()
        .filter(|finding| !is_reported(finding, reported))
        .map(|finding| (finding.class(), finding))
        .collect();
    beyond.sort();
    beyond
}

fn is_reported(finding: &Finding, reported: &Reported<'_>) -> bool {
    match finding {
        Finding::Leaked { address, .. }
        | Finding::AllocationOfUnknownNode { address, .. }
        | Finding::TunnelOfUnknownNode { address, .. }
        | Finding::TunnelElsewhere { address, .. } => reported.leaked.contains(address),
        Finding::EmptyHandle { handle }
        | Finding::HandleEntry { handle, .. }
        | Finding::CountsTooMuch { handle, .. } => reported.handles.binary_search(handle).is_ok(),
        // One of these makes a block an invalid one.
        Finding::InconsistentBlock { .. } | Finding::UnusedAttribute { .. } | Finding::ReleasedInFuture { .. } => true,
        Finding::NotAllocated { address, .. } => reported.unallocated.contains(address),
        // Locked on purpose: that is how addresses are released by a report.
        Finding::NotReady { stated: Some(false) } => true,
        _ => false,
    }
}

/// The findings as they are printed: each with what to do on a line of its own.
pub fn lines(beyond: &[(Class, &Finding)]) -> Vec<String> {
    let mut lines = Vec::new();
    if !beyond.is_empty() {
        lines.push("Comparing everything else that is stored...".to_owned());
    }
    for of_class in beyond.chunk_by(|a, b| a.0 == b.0) {
        lines.push(format!(" {}:", heading(of_class[0].0)));
        for (_, finding) in of_class {
            lines.push(format!("  {finding}"));
            lines.push(format!("    {}", finding.advice()));
        }
    }
    if !beyond.is_empty() {
        lines.push(format!("Found {} further contradictions.", beyond.len()));
    }
    lines
}

fn heading(class: Class) -> &'static str {
    match class {
        Class::Danger => "Dangerous: two may have one address, or what is in use cannot be found by who releases it",
        Class::Leak => "Held in vain: nobody gives it back unasked",
        Class::Setting => "Settings",
        Class::Passing => "Passing: the next operation of whom it concerns puts it right",
    }
}
