//! Calico's stored objects, their keys and their names, as the established implementation stores them.
//!
//! Pure data: nothing here does I/O or knows which datastore is in use. Every object keeps the fields this code
//! does not know, so that reading, changing and writing an object written by a newer release loses nothing.

pub mod affinity;
pub mod block;
pub mod cidr;
pub mod endpoint;
pub mod endpoint_name;
pub mod handle;
pub mod inconsistency;
pub mod ipam_config;
pub mod key;
pub mod kubernetes;
mod lenient;
pub mod object;
pub mod outline;
pub mod pool;
pub mod reservation;
pub mod resource;
pub mod selector;
pub mod timestamp;
pub mod validate;

pub use affinity::{Affinity, AffinityState, Owner};
pub use block::{Attribute, Block};
pub use cidr::IpVersion;
pub use endpoint::WorkloadEndpoint;
pub use handle::Handle;
pub use inconsistency::Inconsistency;
pub use ipam_config::IpamConfig;
pub use key::{Key, Listing};
pub use object::Object;
pub use outline::Outline;
pub use pool::IpPool;
pub use reservation::IpReservation;
pub use resource::{AnyResource, ClusterInformation, Kind, Metadata, Node, Profile, Resource};
pub use selector::Selector;
pub use validate::Invalid;
