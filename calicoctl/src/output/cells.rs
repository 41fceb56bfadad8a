//! What is in the columns of each kind's table.

use serde_json::Value;

use crate::kind::Kind;
use crate::objects::Found;

/// The longest text of a list in a cell.
const LONGEST: usize = 80;

/// The autonomous system of nodes that name none, unless a BGPConfiguration says otherwise.
const DEFAULT_AS: &str = "(64512)";

/// All headings of a kind's tables.
pub fn headings(kind: Kind) -> impl Iterator<Item = &'static str> {
    let about = kind.about();
    about.wide.iter().chain(about.columns.iter().filter(|one| !about.wide.contains(one))).chain(about.more).copied()
}

/// The cell of an object below a heading of its kind.
pub fn cell(found: &Found, heading: &str) -> String {
    let spec = |field: &str| text(found.spec(field));
    let or = |field: &str, default: &str| match found.spec(field) {
        Value::Null => default.to_owned(),
        value => text(value),
    };
    match (found.kind, heading) {
        (_, "NAME") => found.name().to_owned(),
        (_, "NAMESPACE") => found.namespace().to_owned(),
        (Kind::BlockAffinity, "STATE") => spec("state"),
        (Kind::BlockAffinity, "TYPE") => spec("type"),
        (Kind::BlockAffinity | Kind::IpPool, "CIDR") => spec("cidr"),
        (Kind::BlockAffinity | Kind::WorkloadEndpoint, "NODE") => spec("node"),
        (Kind::ClusterInformation, "CLUSTERGUID") => spec("clusterGUID"),
        (Kind::ClusterInformation, "CLUSTERTYPE") => spec("clusterType"),
        (Kind::ClusterInformation, "CALICOVERSION") => spec("calicoVersion"),
        (Kind::ClusterInformation, "DATASTOREREADY") => or("datastoreReady", "<nil>"),
        (Kind::IpamConfiguration, "STRICTAFFINITY") => or("strictAffinity", "false"),
        (Kind::IpamConfiguration, "AUTOALLOCATEBLOCKS") => or("autoAllocateBlocks", "false"),
        (Kind::IpamConfiguration, "MAXBLOCKSPERHOST") => or("maxBlocksPerHost", "0"),
        (Kind::IpPool, "SELECTOR") => spec("nodeSelector"),
        (Kind::IpPool, "NAT") => or("natOutgoing", "false"),
        (Kind::IpPool, "IPIPMODE") => or("ipipMode", "Never"),
        (Kind::IpPool, "VXLANMODE") => or("vxlanMode", "Never"),
        (Kind::IpPool, "DISABLED") => or("disabled", "false"),
        (Kind::IpPool, "DISABLEBGPEXPORT") => or("disableBGPExport", "false"),
        (Kind::IpPool, "ASSIGNMENTMODE") => or("assignmentMode", "Automatic"),
        (Kind::IpReservation, "CIDRS") => cut(list(found.spec("reservedCIDRs"))),
        (Kind::Node, "ASN") => match found.spec("bgp") {
            Value::Null => String::new(),
            bgp => bgp.get("asNumber").map_or_else(|| DEFAULT_AS.to_owned(), text),
        },
        (Kind::Node, "IPV4") => text(&found.spec("bgp")["ipv4Address"]),
        (Kind::Node, "IPV6") => text(&found.spec("bgp")["ipv6Address"]),
        (Kind::Profile, "LABELS") => cut(map(found.spec("labelsToApply"))),
        (Kind::WorkloadEndpoint, "WORKLOAD") => match spec("workload") {
            workload if workload.is_empty() => spec("pod"),
            workload => workload,
        },
        (Kind::WorkloadEndpoint, "NETWORKS") => list(found.spec("ipNetworks")),
        (Kind::WorkloadEndpoint, "INTERFACE") => spec("interfaceName"),
        (Kind::WorkloadEndpoint, "PROFILES") => list(found.spec("profiles")),
        (Kind::WorkloadEndpoint, "ORCHESTRATOR") => spec("orchestrator"),
        (Kind::WorkloadEndpoint, "NATS") => {
            let nats = found.spec("ipNATs").as_array().into_iter().flatten();
            let nats = nats.map(|nat| format!("{}->{}", text(&nat["externalIP"]), text(&nat["internalIP"])));
            nats.collect::<Vec<_>>().join(",")
        }
        _ => String::new(),
    }
}

/// A value as text; nothing for what is absent.
fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn list(value: &Value) -> String {
    value.as_array().into_iter().flatten().map(text).collect::<Vec<_>>().join(",")
}

fn map(value: &Value) -> String {
    let mut pairs: Vec<String> =
        value.as_object().into_iter().flatten().map(|(key, value)| format!("{key}={}", text(value))).collect();
    pairs.sort();
    pairs.join(",")
}

fn cut(text: String) -> String {
    if text.chars().count() <= LONGEST {
        return text;
    }
    text.chars().take(LONGEST - 3).chain("...".chars()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_heading_has_a_cell() {
        // An absent value is shown as what it means, or as nothing; an unknown heading would always be nothing.
        for kind in Kind::ALL {
            let names: Vec<&str> = headings(kind).collect();
            assert!(
                names
                    .iter()
                    .all(|name| name.chars().all(|letter| letter.is_ascii_uppercase() || letter.is_ascii_digit()))
            );
            let mut unique = names.clone();
            unique.sort();
            unique.dedup();
            assert_eq!(unique.len(), names.len(), "{kind:?}");
        }
    }

    #[test]
    fn long_lists_are_cut() {
        assert_eq!(cut("x".repeat(80)), "x".repeat(80));
        assert_eq!(cut("x".repeat(81)), format!("{}...", "x".repeat(77)));
    }
}
