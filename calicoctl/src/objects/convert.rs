//! Stored objects as people see them, and back.

use calico_datastore::{Entry, Revision};
use calico_model::kubernetes::{Group, place};
use calico_model::{Affinity, AffinityState, AnyResource, IpamConfig, Key, Metadata, Object, Owner, cidr};
use serde_json::{Map, Value, json};

use super::{ALLOW_ALL, Failure, Found};
use crate::kind::Kind;
use crate::kinds::metadata::METADATA;
use crate::manifest::{API_VERSION, text_of};

/// The kind that libraries know this kind of object as; `None` for what is no v3 resource there.
pub fn stored_kind(kind: Kind) -> Option<calico_model::Kind> {
    match kind {
        Kind::BlockAffinity => None,
        Kind::ClusterInformation => Some(calico_model::Kind::ClusterInformation),
        Kind::IpamConfiguration => Some(calico_model::Kind::IpamConfiguration),
        Kind::IpPool => Some(calico_model::Kind::IpPool),
        Kind::IpReservation => Some(calico_model::Kind::IpReservation),
        Kind::Node => Some(calico_model::Kind::Node),
        Kind::Profile => Some(calico_model::Kind::Profile),
        Kind::WorkloadEndpoint => Some(calico_model::Kind::WorkloadEndpoint),
    }
}

/// A stored object as people see it; `None` for what is none of this kind.
///
/// # Errors
/// It cannot be read.
pub fn found(kind: Kind, entry: Entry) -> Result<Option<Found>, Failure> {
    let Entry { key, revision, object } = entry;
    let object = object.map_err(calico_datastore::Error::from)?;
    let whole = match (&key, object) {
        (Key::Affinity { owner, block }, Object::Affinity(affinity)) => affinity_object(&key, owner, block, &affinity),
        (Key::IpamConfig, Object::IpamConfig(config)) => settings_object(&config),
        (Key::Resource { .. }, object) => match serde_json::to_value(&object) {
            Ok(Value::Object(whole)) => whole,
            _ => return Ok(None),
        },
        _ => return Ok(None),
    };
    Ok(Some(Found { kind, object: ordered(kind, whole, revision), key: Some(key), revision }))
}

/// The fields of an object in their order, with its version.
fn ordered(kind: Kind, mut whole: Map<String, Value>, revision: Revision) -> Map<String, Value> {
    let mut object = Map::new();
    object.insert("kind".to_owned(), kind.name().into());
    object.insert("apiVersion".to_owned(), API_VERSION.into());
    let empty = Map::new();
    let part =
        |whole: &Map<String, Value>, name: &str| whole.get(name).and_then(Value::as_object).unwrap_or(&empty).clone();
    let mut metadata = part(&whole, "metadata");
    metadata.insert("resourceVersion".to_owned(), revision.0.to_string().into());
    metadata.retain(|_, value| !value.is_null());
    object.insert("metadata".to_owned(), METADATA.ordered(&metadata).into());
    object.insert("spec".to_owned(), kind.about().spec.ordered(&part(&whole, "spec")).into());
    for name in ["kind", "apiVersion", "metadata", "spec"] {
        whole.shift_remove(name);
    }
    if kind.about().shows_status {
        object.insert("status".to_owned(), Value::Object(part(&whole, "status")));
    }
    for (name, value) in whole {
        object.entry(name).or_insert(value);
    }
    object
}

fn affinity_object(key: &Key, owner: &Owner, block: &ipnetwork::IpNetwork, affinity: &Affinity) -> Map<String, Value> {
    let name = place(Group::V1, key).map(|place| place.name).unwrap_or_default();
    let mut spec = json!({
        "state": String::from(affinity.state.clone()),
        "node": owner.name(),
        "type": owner.kind(),
        "cidr": cidr::masked(block).to_string(),
    });
    if let Value::Object(spec) = &mut spec {
        if affinity.deleted {
            spec.insert("deleted".to_owned(), true.into());
        }
        spec.extend(affinity.extra.clone());
    }
    Map::from_iter([("metadata".to_owned(), json!({"name": name})), ("spec".to_owned(), spec)])
}

fn settings_object(config: &IpamConfig) -> Map<String, Value> {
    let mut spec = json!({"strictAffinity": config.strict_affinity});
    if let Value::Object(spec) = &mut spec {
        let mut any = |name: &str, value: Value| drop(spec.insert(name.to_owned(), value));
        if config.max_blocks_per_host > 0 {
            any("maxBlocksPerHost", config.max_blocks_per_host.into());
        }
        any("autoAllocateBlocks", config.auto_allocate_blocks.into());
        if let Some(state) = &config.kube_virt_vm_address_persistence {
            any("kubeVirtVMAddressPersistence", state.as_str().into());
        }
        if config.ip_cooldown_seconds > 0 {
            any("ipCooldownSeconds", config.ip_cooldown_seconds.into());
        }
        spec.extend(config.extra.clone());
    }
    Map::from_iter([("metadata".to_owned(), json!({"name": "default"})), ("spec".to_owned(), spec)])
}

/// An object as it is stored.
///
/// # Errors
/// A part is not what it must be, which the checks before should have found.
pub fn stored(kind: Kind, key: &Key, object: &Map<String, Value>) -> Result<Object, Failure> {
    let part = |name: &str| object.get(name).cloned().unwrap_or_default();
    let spec = object.get("spec").and_then(Value::as_object).cloned().unwrap_or_default();
    match key {
        Key::Affinity { .. } => {
            let state = AffinityState::from(text_of(object, "spec", "state").to_owned());
            let extra = spec
                .into_iter()
                .filter(|(name, _)| !["state", "node", "type", "cidr", "deleted"].contains(&name.as_str()));
            Ok(Affinity { extra: extra.collect(), ..Affinity::new(state) }.into())
        }
        Key::IpamConfig => {
            let config: IpamConfig =
                serde_json::from_value(spec.into()).map_err(|error| Failure::text(format_args!("spec: {error}")))?;
            Ok(config.into())
        }
        _ => {
            let mut metadata: Metadata = serde_json::from_value(part("metadata"))
                .map_err(|error| Failure::text(format_args!("metadata: {error}")))?;
            metadata.extra.shift_remove("resourceVersion");
            metadata.extra.shift_remove("selfLink");
            let beside =
                object.iter().filter(|(name, _)| !["kind", "apiVersion", "metadata", "spec"].contains(&name.as_str()));
            Ok(Object::Any(AnyResource {
                kind: kind.name().to_owned(),
                api_version: API_VERSION.to_owned(),
                metadata,
                spec,
                extra: beside.map(|(name, value)| (name.clone(), value.clone())).collect(),
            }))
        }
    }
}

/// The profile that every datastore has without storing it: it allows everything.
pub fn allow_all() -> Found {
    let rules = json!([{"action": "Allow"}]);
    let metadata = json!({"name": ALLOW_ALL, "resourceVersion": "1"});
    let object = Map::from_iter([
        ("kind".to_owned(), Kind::Profile.name().into()),
        ("apiVersion".to_owned(), API_VERSION.into()),
        ("metadata".to_owned(), metadata),
        ("spec".to_owned(), json!({"ingress": rules, "egress": rules})),
    ]);
    Found { kind: Kind::Profile, object, key: None, revision: Revision(1) }
}
