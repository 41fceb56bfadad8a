//! Pools of addresses.

use crate::kind::About;
use crate::schema::{Field, Holds, Shape};

static SPEC: Shape = Shape {
    fields: &[
        Field::always("cidr", "CIDR", Holds::Text),
        Field::of("vxlanMode", "VXLANMode", Holds::Text),
        Field::of("ipipMode", "IPIPMode", Holds::Text),
        Field::of("natOutgoing", "NATOutgoing", Holds::Truth),
        Field::of("disabled", "Disabled", Holds::Truth),
        Field::of("disableBGPExport", "DisableBGPExport", Holds::Truth),
        Field::of("blockSize", "BlockSize", Holds::Number(0, 128)),
        Field::of("nodeSelector", "NodeSelector", Holds::Text),
        Field::of("namespaceSelector", "NamespaceSelector", Holds::Text),
        Field::of("allowedUses", "AllowedUses", Holds::List(&Holds::Text)),
        Field::given("assignmentMode", "AssignmentMode", Holds::Text),
    ],
};

/// The kind.
pub static ABOUT: About = About {
    name: "IPPool",
    aliases: &["ippools", "ippool", "ipp", "ipps", "pool", "pools"],
    is_namespaced: false,
    spec: &SPEC,
    shows_status: false,
    columns: &["NAME", "CIDR", "SELECTOR"],
    wide: &[
        "NAME",
        "CIDR",
        "NAT",
        "IPIPMODE",
        "VXLANMODE",
        "DISABLED",
        "DISABLEBGPEXPORT",
        "SELECTOR",
        "ASSIGNMENTMODE",
    ],
    more: &[],
};
