//! What must hold of an object before it is stored, and what is filled in first: the rules of the established implementation, in
//! its order and its words.
//!
//! It has three layers. Its client looks first, at names and at pools: [`check_name`], [`check_pool`], [`pool_overlap`],
//! [`pool_blocks`] and [`pool_change`], and stops at what it finds. Then come the rules of single fields and of parts of an object,
//! those of a part behind those of what is in it. Last come the rules of the custom resource definition: the schema's, then those
//! that compare fields. [`check`] is the second layer and, if asked, the third; `calicoctl validate` has these two only.

mod affinity;
mod endpoint;
mod ipam;
mod metadata;
mod node;
mod part;
mod pool;
mod profile;
mod qualified;
mod rule;
mod schema;
mod tag;
#[cfg(test)]
mod tests;

use std::fmt;

use serde_json::{Map, Value};

use crate::kind::Kind;
use part::Part;

pub use metadata::check_create_metadata;
pub use pool::{check_pool, pool_blocks, pool_change, pool_overlap};

/// One broken rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// The field, as upstream names it; none where its text says it all.
    pub field: String,
    /// What is in it, as Go prints it.
    pub value: Option<String>,
    /// The rule, in upstream's words.
    pub reason: String,
    /// Where the field is, such as `spec.cidr`.
    pub path: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            _ if self.field.is_empty() => f.write_str(&self.reason),
            Some(value) => write!(f, "{} = '{value}' ({})", self.field, self.reason),
            None => write!(f, "{} ({})", self.field, self.reason),
        }
    }
}

/// Upstream's text for broken rules.
pub fn describe(broken: &[Broken]) -> String {
    match broken {
        [one] if one.field.is_empty() => one.to_string(),
        [one] => format!("error with field {one}"),
        several => {
            let lines: String = several.iter().map(|one| format!("-  {one}\n")).collect();
            format!("error with the following fields:\n{lines}")
        }
    }
}

/// Fills in what upstream's client fills in before it creates and updates. [`check_pool`] must have seen a pool as it was given:
/// its CIDR loses its host bits here.
pub fn set_defaults(kind: Kind, object: &mut Map<String, Value>) {
    match kind {
        Kind::IpamConfiguration => ipam::set_defaults(object),
        Kind::IpPool => pool::set_defaults(object),
        Kind::WorkloadEndpoint => endpoint::set_defaults(object),
        _ => {}
    }
}

/// What upstream's client has against the object's name, apart from its letters. It stops there, and `calicoctl validate` does not
/// ask.
pub fn check_name(kind: Kind, object: &Map<String, Value>) -> Option<Broken> {
    match kind {
        Kind::IpamConfiguration => ipam::check_name(object),
        Kind::WorkloadEndpoint => endpoint::check_name(object),
        _ => None,
    }
}

/// The rules that an object breaks. `in_schema`: also those of the custom resource definition, which the API server checks itself
/// where it keeps the objects.
pub fn check(kind: Kind, object: &Map<String, Value>, in_schema: bool) -> Vec<Broken> {
    let spec = Part::new(kind.about().spec, object.get("spec"), "spec");
    let mut broken = metadata::check(object);
    broken.extend(match kind {
        Kind::BlockAffinity => affinity::check(&spec),
        Kind::ClusterInformation => Vec::new(),
        Kind::IpamConfiguration => ipam::check_configuration(&spec),
        Kind::IpPool => pool::check(&spec),
        Kind::IpReservation => ipam::check_reservation(&spec),
        Kind::Node => node::check(&spec, object.get("status")),
        Kind::Profile => profile::check(&spec),
        Kind::WorkloadEndpoint => endpoint::check(&spec),
    });
    if in_schema {
        broken.extend(match kind {
            Kind::BlockAffinity => affinity::check_schema(&spec),
            Kind::IpamConfiguration => ipam::check_configuration_schema(&spec),
            Kind::IpPool => pool::check_schema(&spec),
            Kind::IpReservation => ipam::check_reservation_schema(&spec),
            // Upstream has no definition of them: nobody checks the actions of a profile's rules.
            Kind::ClusterInformation | Kind::Node | Kind::Profile | Kind::WorkloadEndpoint => Vec::new(),
        });
    }
    broken
}
