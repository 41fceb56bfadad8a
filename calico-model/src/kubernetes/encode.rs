//! Objects as they are sent to the API server.

use std::collections::BTreeMap;

use ipnetwork::IpNetwork;
use serde::Serialize;
use serde_json::{Map, Value};

use super::annotation::{written, written_resource};
use super::decode::Kept;
use super::group::Group;
use super::place::{STRICT_AFFINITY, Type, affinity_labels, place};
use crate::affinity::{Affinity, AffinityState, Owner};
use crate::block::{Attribute, Block};
use crate::cidr;
use crate::handle::Handle;
use crate::ipam_config::IpamConfig;
use crate::key::Key;
use crate::object::{Malformed, Object};
use crate::resource::{Kind, Resource};

/// A whole custom resource.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Whole<'a, S> {
    kind: &'a str,
    api_version: &'a str,
    metadata: Map<String, Value>,
    spec: S,
    #[serde(flatten)]
    extra: Option<&'a Map<String, Value>>,
}

/// A block's content. Lists are never `null`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BlockSpec<'a> {
    cidr: &'a IpNetwork,
    #[serde(skip_serializing_if = "Option::is_none")]
    affinity: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    affinity_claim_time: Option<&'a str>,
    allocations: &'a [Option<i64>],
    unallocated: &'a [i64],
    attributes: &'a [Attribute],
    sequence_number: u64,
    sequence_number_for_allocation: &'a BTreeMap<String, u64>,
    deleted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    strict_affinity: Option<bool>,
    #[serde(flatten)]
    extra: &'a Map<String, Value>,
}

impl BlockSpec<'_> {
    fn of(block: &Block) -> BlockSpec<'_> {
        BlockSpec {
            cidr: &block.cidr,
            affinity: block.affinity.as_deref(),
            affinity_claim_time: block.affinity_claim_time.as_deref(),
            allocations: &block.allocations,
            unallocated: &block.unallocated,
            attributes: &block.attributes,
            sequence_number: block.sequence_number,
            sequence_number_for_allocation: &block.sequence_number_for_allocation,
            deleted: block.deleted,
            strict_affinity: (!block.extra.contains_key(STRICT_AFFINITY)).then_some(false),
            extra: &block.extra,
        }
    }
}

/// An affinity's content.
#[derive(Serialize)]
struct AffinitySpec<'a> {
    state: &'a AffinityState,
    node: &'a str,
    #[serde(rename = "type")]
    owner_type: &'a str,
    cidr: IpNetwork,
    deleted: Deleted,
    #[serde(flatten)]
    extra: &'a Map<String, Value>,
}

/// Whether an affinity is being deleted, in the type of its group.
#[derive(Serialize)]
#[serde(untagged)]
enum Deleted {
    V1(&'static str),
    V3(bool),
}

impl AffinitySpec<'_> {
    fn of<'a>(group: Group, owner: &'a Owner, block: &IpNetwork, affinity: &'a Affinity) -> AffinitySpec<'a> {
        let deleted = match group {
            Group::V1 if affinity.deleted => Deleted::V1("true"),
            Group::V1 => Deleted::V1("false"),
            Group::V3 => Deleted::V3(affinity.deleted),
        };
        AffinitySpec {
            state: &affinity.state,
            node: owner.name(),
            owner_type: owner.kind(),
            cidr: cidr::masked(block),
            deleted,
            extra: &affinity.extra,
        }
    }
}

/// A handle's content.
#[derive(Serialize)]
struct HandleSpec<'a> {
    #[serde(rename = "handleID")]
    id: &'a str,
    #[serde(flatten)]
    handle: &'a Handle,
}

/// The settings' content.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ConfigSpec<'a> {
    strict_affinity: bool,
    auto_allocate_blocks: bool,
    #[serde(skip_serializing_if = "is_zero")]
    max_blocks_per_host: u32,
    #[serde(rename = "kubeVirtVMAddressPersistence", skip_serializing_if = "Option::is_none")]
    kube_virt_vm_address_persistence: Option<&'a str>,
    #[serde(skip_serializing_if = "is_zero")]
    ip_cooldown_seconds: u32,
    #[serde(flatten)]
    extra: &'a Map<String, Value>,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl ConfigSpec<'_> {
    fn of(config: &IpamConfig) -> ConfigSpec<'_> {
        ConfigSpec {
            strict_affinity: config.strict_affinity,
            auto_allocate_blocks: config.auto_allocate_blocks,
            max_blocks_per_host: config.max_blocks_per_host,
            kube_virt_vm_address_persistence: config.kube_virt_vm_address_persistence.as_deref(),
            ip_cooldown_seconds: config.ip_cooldown_seconds,
            extra: &config.extra,
        }
    }
}

/// How an object is written: into which group, in place of what.
struct Writing<'a> {
    group: Group,
    it: Type,
    name: String,
    kept: Option<&'a Kept>,
    resource_version: Option<&'a str>,
}

/// The text of an object, to be created (without a resource version) or to replace the version of its place with everything
/// in it; `kept` is what was read with it. Where both are given, the place must still be the one that was read: its UID is
/// sent as well.
///
/// # Errors
/// The key has no place, or the object is not of its key's type.
pub fn encode(
    group: Group,
    key: &Key,
    object: &Object,
    kept: Option<&Kept>,
    resource_version: Option<&str>,
) -> Result<String, Malformed> {
    let refused = |reason: String| Malformed { key: key.path(), reason };
    let (Some(it), Some(place)) = (Type::of_key(key), place(group, key)) else {
        return Err(refused("it is no custom resource".to_owned()));
    };
    let writing = Writing { group, it, name: place.name, kept, resource_version };
    let text = match (key, object) {
        (Key::Block(_), Object::Block(block)) => writing.of_ipam(Map::new(), BlockSpec::of(block)),
        (Key::Affinity { owner, block }, Object::Affinity(affinity)) => {
            let labels = affinity_labels(owner, cidr::version(block));
            let labels = labels.into_iter().map(|(label, value)| (label.to_owned(), value.into()));
            writing.of_ipam(labels.collect(), AffinitySpec::of(group, owner, block, affinity))
        }
        (Key::Handle(id), Object::Handle(handle)) => writing.of_ipam(Map::new(), HandleSpec { id, handle }),
        (Key::IpamConfig, Object::IpamConfig(config)) => writing.of_ipam(Map::new(), ConfigSpec::of(config)),
        (Key::Resource { kind, .. }, Object::Any(resource)) if resource.kind == kind.name() => {
            writing.of_resource(resource)
        }
        (Key::Resource { kind: Kind::IpPool, .. }, Object::IpPool(pool)) => writing.of_resource(pool),
        (Key::Resource { kind: Kind::IpReservation, .. }, Object::IpReservation(reservation)) => {
            writing.of_resource(reservation)
        }
        (Key::Resource { kind: Kind::ClusterInformation, .. }, Object::ClusterInformation(information)) => {
            writing.of_resource(information)
        }
        _ => return Err(refused("the object to be written is of another type than its key".to_owned())),
    };
    text.map_err(|error| refused(error.to_string()))
}

impl Writing<'_> {
    fn of_ipam(self, labels: Map<String, Value>, spec: impl Serialize) -> serde_json::Result<String> {
        let metadata = written(self.group, &self.name, self.kept, self.resource_version, labels);
        self.text(metadata, spec, self.kept.map(|kept| &kept.extra))
    }

    fn of_resource(self, resource: &Resource<impl Serialize>) -> serde_json::Result<String> {
        let metadata = written_resource(self.group, self.kept, self.resource_version, &resource.metadata);
        self.text(metadata, &resource.spec, Some(&resource.extra))
    }

    fn text(
        &self,
        metadata: Map<String, Value>,
        spec: impl Serialize,
        extra: Option<&Map<String, Value>>,
    ) -> serde_json::Result<String> {
        let (kind, api_version) = (self.it.kind(self.group), self.group.api_version());
        serde_json::to_string(&Whole { kind, api_version, metadata, spec, extra })
    }
}
