//! Block affinities.

use super::part::Part;
use super::tag::Tag;
use super::{Broken, schema};

/// The rules for fields.
pub fn check(spec: &Part<'_>) -> Vec<Broken> {
    let mut broken: Vec<Broken> =
        [spec.required("node", Tag::Name), spec.required("cidr", Tag::Net)].into_iter().flatten().collect();
    if spec.truth("deleted") {
        let reason = "spec.Deleted cannot be set to \"true\"".to_owned();
        let (field, path) = ("Spec.Deleted".to_owned(), spec.path("deleted"));
        broken.push(Broken { field, value: Some(spec.printed()), reason, path });
    }
    broken
}

/// The rules of the schema.
pub fn check_schema(spec: &Part<'_>) -> Vec<Broken> {
    let rules = [
        schema::one_of(spec, "state", &["pending", "confirmed", "pendingDeletion"]),
        schema::one_of(spec, "type", &["host", "virtual"]),
        schema::is_cidr(spec.path("cidr"), spec.text("cidr")),
    ];
    rules.into_iter().flatten().collect()
}
