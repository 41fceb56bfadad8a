//! Profiles.

use serde_json::Value;

use super::part::{Part, printed};
use super::{Broken, metadata, rule, tag};

/// The rules for profiles.
pub fn check(spec: &Part<'_>) -> Vec<Broken> {
    let rules = ["ingress", "egress"].into_iter().flat_map(|direction| spec.parts(direction));
    let mut broken: Vec<Broken> = rules.flat_map(|each| rule::check(&each)).collect();
    if let Some(labels @ Value::Object(map)) = spec.get("labelsToApply")
        && !metadata::are_labels(map)
    {
        broken.push(spec.broken("labelsToApply", printed(labels), tag::reason("LabelsToApply", "labels")));
    }
    broken
}
