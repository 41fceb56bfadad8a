//! The rules of the custom resource definition of pools, as manifests/crds has them.

use calico_model::cidr::{contains, masked, version};
use ipnetwork::IpNetwork;

use super::{USES, block_size};
use crate::validate::part::Part;
use crate::validate::tag::network;
use crate::validate::{Broken, schema};

/// How packets between nodes may be wrapped.
const MODES: [&str; 3] = ["Never", "Always", "CrossSubnet"];

/// The greatest length of a selector.
const LONGEST_SELECTOR: usize = 1024;

/// The rules of the schema, and those that compare fields.
pub fn check_schema(spec: &Part<'_>) -> Vec<Broken> {
    let mut broken: Vec<Broken> = [
        schema::is_cidr(spec.path("cidr"), spec.text("cidr")),
        schema::at_most(spec, "cidr", 48),
        schema::one_of(spec, "vxlanMode", &MODES),
        schema::one_of(spec, "ipipMode", &MODES),
        schema::at_most(spec, "nodeSelector", LONGEST_SELECTOR),
        schema::at_most(spec, "namespaceSelector", LONGEST_SELECTOR),
        schema::at_most_items(spec, "allowedUses", 10),
    ]
    .into_iter()
    .flatten()
    .collect();
    broken.extend(schema::each_one_of(spec, "allowedUses", &USES));
    broken.extend(schema::one_of(spec, "assignmentMode", &["Automatic", "Manual"]));
    let compared = compare(spec).into_iter().filter(|(is_broken, _)| *is_broken);
    broken.extend(compared.map(|(_, text)| schema::broken("spec", text)));
    broken
}

/// The rules that compare fields, in the definition's order: whether each is broken, and its text.
fn compare(spec: &Part<'_>) -> Vec<(bool, &'static str)> {
    let is_on = |mode: &str| !matches!(spec.text(mode), "" | "Never");
    let (ipip, vxlan) = (is_on("ipipMode"), is_on("vxlanMode"));
    let uses = spec.texts("allowedUses");
    let balances = uses.contains(&"LoadBalancer");
    let nodes = spec.text("nodeSelector");
    let namespaces = spec.text("namespaceSelector");
    let is_v6 = spec.text("cidr").contains(':');
    let network = network(spec.text("cidr"));
    let is_in = |range: &str| network.is_some_and(|network| overlaps(&network, range));
    let has_host_bits = network.is_some_and(|network| network != masked(&network));
    let is_small = network.is_some_and(|network| {
        !spec.truth("disabled") && i64::from(network.prefix()) > block_size(spec, version(&network))
    });
    let sizes = if is_v6 { 116..=128 } else { 20..=32 };
    let size = spec.number("blockSize");
    vec![
        (ipip && vxlan, "ipipMode and vxlanMode cannot both be enabled"),
        (balances && (ipip || vxlan), "LoadBalancer IP pool cannot have IPIP or VXLAN enabled"),
        (
            balances && uses.iter().any(|&wanted| wanted != "LoadBalancer"),
            "LoadBalancer cannot be combined with Workload or Tunnel allowed uses",
        ),
        (ipip && is_v6, "IPIP is not supported on IPv6 pools"),
        (balances && spec.truth("disableBGPExport"), "LoadBalancer IP pools cannot disable BGP export"),
        (
            balances && !matches!(nodes, "" | "all()"),
            "IP Pool with AllowedUse LoadBalancer must have nodeSelector set to all()",
        ),
        (
            uses.contains(&"Tunnel") && !namespaces.is_empty(),
            "IP Pool with AllowedUse Tunnel cannot have namespaceSelector",
        ),
        (nodes.contains("global()"), "global() selector is not valid for IPPool nodeSelector"),
        (namespaces.contains("global()"), "global() selector is not valid for IPPool namespaceSelector"),
        (has_host_bits, "IPPool CIDR must be strictly masked"),
        (is_in("169.254.0.0/16"), "IPPool CIDR overlaps with IPv4 link local range 169.254.0.0/16"),
        (is_in("fe80::/10"), "IPPool CIDR overlaps with IPv6 link local range fe80::/10"),
        (
            size != 0 && !sizes.contains(&size),
            "blockSize must be between 20 and 32 for IPv4 pools, and between 116 and 128 for IPv6 pools",
        ),
        (
            is_small,
            "IP pool size is too small for use with Calico IPAM. It must be equal to or greater than the block size.",
        ),
    ]
}

/// Whether a network has an address in a range.
fn overlaps(network: &IpNetwork, range: &str) -> bool {
    let range: Option<IpNetwork> = range.parse().ok();
    range.is_some_and(|range| contains(network, &range) || contains(&range, network))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::Kind;

    #[test]
    fn the_manifests_compare_the_same_fields_in_the_same_order() {
        let nothing = Part::new(Kind::IpPool.about().spec, None, "spec");
        let texts: Vec<&str> = compare(&nothing).into_iter().map(|(_, text)| text).collect();
        for manifest in [
            include_str!("../../../../manifests/crds/v1/ippools.yaml"),
            include_str!("../../../../manifests/crds/v3/ippools.yaml"),
        ] {
            let messages = manifest.lines().filter_map(|line| line.trim().strip_prefix("- message: "));
            assert_eq!(texts, messages.map(|text| text.trim_matches('"')).collect::<Vec<_>>());
        }
    }
}
