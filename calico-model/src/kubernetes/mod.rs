//! How Calico's objects are custom resources and pods in the Kubernetes API.
//!
//! Blocks, affinities, handles, the settings, pools, reservations and the cluster's state are custom resources of one of
//! two API groups, with other field names than in etcd here and there: [`place()`] says where one is, [`decode()`] reads and
//! [`encode()`] writes it. A workload endpoint is not stored at all: it is a view of its [`Pod`], and storing it means to
//! patch the pod's annotations. So is a node of Kubernetes' node. Profiles are namespaces and service accounts.

mod annotation;
mod decode;
mod encode;
mod group;
mod hash;
mod node;
mod patch;
mod place;
mod pod;
mod pod_endpoint;
mod profile;

pub use decode::{Item, Kept, decode, decode_outline};
pub use encode::encode;
pub use group::Group;
pub use node::{ClusterNode, NodeSpec, NodeStatus, node_patch};
pub use patch::{clearing_patch, endpoint_patch};
pub use place::{Collection, Place, collection, place};
pub use pod::{Container, ContainerPort, CoreMetadata, Pod, PodIp, PodSpec, PodStatus};
pub use pod_endpoint::{PodError, pod_of, pod_of_listing};
pub use profile::{Named, Namespace, ProfileSource, account_profile, namespace_profile};
