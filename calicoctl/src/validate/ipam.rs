//! The settings of address management, and reservations.

use serde_json::{Map, Value};

use super::part::{Part, printed_list};
use super::{Broken, schema, tag};
use crate::kind::Kind;

/// There is one object with settings.
pub fn check_name(object: &Map<String, Value>) -> Option<Broken> {
    let name = object.get("metadata").and_then(|metadata| metadata.get("name")).and_then(Value::as_str);
    let reason = "Cannot create an IPAMConfiguration resource with a name other than \"default\"".to_owned();
    let broken = Broken { field: String::new(), value: None, reason, path: "metadata.name".to_owned() };
    (name != Some("default")).then_some(broken)
}

/// Blocks are claimed as they are needed, unless somebody says otherwise: who sets something else does not mean to end that.
pub fn set_defaults(object: &mut Map<String, Value>) {
    if let Some(Value::Object(spec)) = object.get_mut("spec") {
        spec.entry("autoAllocateBlocks").or_insert(true.into());
        *spec = Kind::IpamConfiguration.about().spec.ordered(spec);
    }
}

/// The rules for settings.
pub fn check_configuration(spec: &Part<'_>) -> Vec<Broken> {
    let most = spec.number("maxBlocksPerHost");
    let broken = || spec.broken("maxBlocksPerHost", most.to_string(), "must be greater than or equal to 0");
    (most < 0).then(broken).into_iter().collect()
}

/// The rules of the schema for settings.
pub fn check_configuration_schema(spec: &Part<'_>) -> Vec<Broken> {
    let rules = [
        schema::within(spec, "maxBlocksPerHost", 0, 1_000_000),
        schema::one_of(spec, "kubeVirtVMAddressPersistence", &["Enabled", "Disabled"]),
        schema::within(spec, "ipCooldownSeconds", 0, 1200),
    ];
    rules.into_iter().flatten().collect()
}

/// The rules for reservations: upstream judges the list as a whole.
pub fn check_reservation(spec: &Part<'_>) -> Vec<Broken> {
    let cidrs = spec.texts("reservedCIDRs");
    if cidrs.iter().all(|cidr| tag::cidr_or_address(cidr).is_some()) {
        return Vec::new();
    }
    let value = printed_list(cidrs.into_iter().map(str::to_owned));
    vec![spec.broken("reservedCIDRs", value, tag::reason("ReservedCIDRs", "cidrs"))]
}

/// The rules of the schema for reservations: a single address is written as a network, too.
pub fn check_reservation_schema(spec: &Part<'_>) -> Vec<Broken> {
    let path = spec.path("reservedCIDRs");
    let cidrs = spec.texts("reservedCIDRs").into_iter().enumerate();
    cidrs.filter_map(|(index, cidr)| schema::is_cidr(format!("{path}[{index}]"), cidr)).collect()
}
