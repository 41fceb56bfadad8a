//! The kinds of object that people name, and by which names.

use crate::kinds;
use crate::schema::Shape;
use crate::suggest;

/// A kind of object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "each is named after its objects")]
pub enum Kind {
    BlockAffinity,
    ClusterInformation,
    IpamConfiguration,
    IpPool,
    IpReservation,
    Node,
    Profile,
    WorkloadEndpoint,
}

/// What is known of a kind.
#[derive(Debug)]
pub struct About {
    /// As in a manifest's `kind`.
    pub name: &'static str,
    /// What people may call it on the command line, the plural first, in lower case.
    pub aliases: &'static [&'static str],
    /// Whether its objects are in namespaces.
    pub is_namespaced: bool,
    /// The fields of `spec`.
    pub spec: &'static Shape,
    /// Whether objects without a status are shown with an empty one.
    pub shows_status: bool,
    /// The headings of its table.
    pub columns: &'static [&'static str],
    /// The headings of its wide table.
    pub wide: &'static [&'static str],
    /// Further headings, for tables of a person's own making.
    pub more: &'static [&'static str],
}

impl Kind {
    /// All kinds, in the order of their names.
    pub const ALL: [Kind; 8] = [
        Kind::BlockAffinity,
        Kind::ClusterInformation,
        Kind::IpamConfiguration,
        Kind::IpPool,
        Kind::IpReservation,
        Kind::Node,
        Kind::Profile,
        Kind::WorkloadEndpoint,
    ];

    /// What is known of it.
    pub fn about(self) -> &'static About {
        match self {
            Kind::BlockAffinity => &kinds::block_affinity::ABOUT,
            Kind::ClusterInformation => &kinds::cluster_information::ABOUT,
            Kind::IpamConfiguration => &kinds::ipam_configuration::ABOUT,
            Kind::IpPool => &kinds::ip_pool::ABOUT,
            Kind::IpReservation => &kinds::ip_reservation::ABOUT,
            Kind::Node => &kinds::node::ABOUT,
            Kind::Profile => &kinds::profile::ABOUT,
            Kind::WorkloadEndpoint => &kinds::workload_endpoint::ABOUT,
        }
    }

    /// As in a manifest.
    pub fn name(self) -> &'static str {
        self.about().name
    }

    /// The kind that a manifest names: to the letter.
    pub fn of_manifest(name: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The kind that a person names on the command line, in letters of any case.
    pub fn of_argument(name: &str) -> Option<Kind> {
        let name = name.to_lowercase();
        Kind::ALL.into_iter().find(|kind| kind.about().aliases.contains(&name.as_str()))
    }

    /// The name that a mistyped one was probably meant to be.
    pub fn meant(name: &str) -> Option<&'static str> {
        suggest::closest(name, Kind::ALL.into_iter().flat_map(|kind| kind.about().aliases.iter().copied()))
    }
}
