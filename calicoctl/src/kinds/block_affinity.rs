//! An owner's claim to a block of addresses.

use crate::kind::About;
use crate::schema::{Field, Holds, Shape};

static SPEC: Shape = Shape {
    fields: &[
        Field::always("state", "State", Holds::Text),
        Field::always("node", "Node", Holds::Text),
        Field::of("type", "Type", Holds::Text),
        Field::always("cidr", "CIDR", Holds::Text),
        Field::of("deleted", "Deleted", Holds::Truth),
    ],
};

/// The kind.
pub static ABOUT: About = About {
    name: "BlockAffinity",
    aliases: &["blockaffinities", "blockaffinity", "affinity", "affinities"],
    is_namespaced: false,
    spec: &SPEC,
    shows_status: false,
    columns: &["NAME", "NODE", "CIDR", "STATE"],
    wide: &["NAME", "NODE", "TYPE", "CIDR", "STATE"],
    more: &[],
};
