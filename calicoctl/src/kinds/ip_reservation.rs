//! Addresses that are not to be assigned.

use crate::kind::About;
use crate::schema::{Field, Holds, Shape};

static SPEC: Shape = Shape { fields: &[Field::of("reservedCIDRs", "ReservedCIDRs", Holds::List(&Holds::Text))] };

/// The kind.
pub static ABOUT: About = About {
    name: "IPReservation",
    aliases: &["ipreservations", "ipreservation", "reservation", "reservations"],
    is_namespaced: false,
    spec: &SPEC,
    shows_status: false,
    columns: &["NAME"],
    wide: &["NAME", "CIDRS"],
    more: &[],
};
