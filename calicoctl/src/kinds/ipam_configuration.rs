//! The settings of address management.

use crate::kind::About;
use crate::schema::{Field, Holds, Shape};

static SPEC: Shape = Shape {
    fields: &[
        Field::always("strictAffinity", "StrictAffinity", Holds::Truth),
        Field::of("maxBlocksPerHost", "MaxBlocksPerHost", Holds::Number(i32::MIN as i64, i32::MAX as i64)),
        Field::given("autoAllocateBlocks", "AutoAllocateBlocks", Holds::Truth),
        Field::given("kubeVirtVMAddressPersistence", "KubeVirtVMAddressPersistence", Holds::Text),
        Field::of("ipCooldownSeconds", "IPCooldownSeconds", Holds::Number(i32::MIN as i64, i32::MAX as i64)),
    ],
};

/// The kind.
pub static ABOUT: About = About {
    name: "IPAMConfiguration",
    aliases: &["ipamconfigurations", "ipamconfiguration", "ipamconfig", "ipamconfigs"],
    is_namespaced: false,
    spec: &SPEC,
    shows_status: false,
    columns: &["NAME", "STRICTAFFINITY", "AUTOALLOCATEBLOCKS"],
    wide: &["NAME", "STRICTAFFINITY", "AUTOALLOCATEBLOCKS", "MAXBLOCKSPERHOST"],
    more: &[],
};
