//! The cluster's state.

use crate::kind::About;
use crate::schema::{Field, Holds, Shape};

static SPEC: Shape = Shape {
    fields: &[
        Field::of("clusterGUID", "ClusterGUID", Holds::Text),
        Field::of("clusterType", "ClusterType", Holds::Text),
        Field::of("calicoVersion", "CalicoVersion", Holds::Text),
        Field::given("datastoreReady", "DatastoreReady", Holds::Truth),
        Field::of("variant", "Variant", Holds::Text),
    ],
};

/// The kind.
pub static ABOUT: About = About {
    name: "ClusterInformation",
    aliases: &["clusterinformations", "clusterinformation", "clusterinfo", "clusterinfos"],
    is_namespaced: false,
    spec: &SPEC,
    shows_status: false,
    columns: &["NAME", "CLUSTERGUID", "CLUSTERTYPE", "CALICOVERSION", "DATASTOREREADY"],
    wide: &["NAME", "CLUSTERGUID", "CLUSTERTYPE", "CALICOVERSION", "DATASTOREREADY"],
    more: &[],
};
