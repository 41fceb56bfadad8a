//! Profiles: labels and rules of the endpoints that name them.

use super::rule::RULE;
use crate::kind::About;
use crate::schema::{Field, Holds, Shape};

static SPEC: Shape = Shape {
    fields: &[
        Field::of("ingress", "Ingress", Holds::List(&Holds::Object(&RULE))),
        Field::of("egress", "Egress", Holds::List(&Holds::Object(&RULE))),
        Field::of("labelsToApply", "LabelsToApply", Holds::Map),
    ],
};

/// The kind.
pub static ABOUT: About = About {
    name: "Profile",
    aliases: &["profiles", "profile", "pro", "pros"],
    is_namespaced: false,
    spec: &SPEC,
    shows_status: false,
    columns: &["NAME"],
    wide: &["NAME", "LABELS"],
    more: &[],
};
