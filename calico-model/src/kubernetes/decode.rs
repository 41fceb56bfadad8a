//! Objects as the API server answers them.

use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::annotation::RealMetadata;
use super::group::Group;
use super::place::{CONFIG_NAME, HANDLE_ID, STRICT_AFFINITY, Type, block_named};
use crate::affinity::{Affinity, AffinityState, Owner};
use crate::block::Block;
use crate::cidr;
use crate::handle::Handle;
use crate::ipam_config::IpamConfig;
use crate::key::Key;
use crate::lenient::null_is_default;
use crate::object::{Malformed, Object};
use crate::outline::Outline;
use crate::pool::IpPoolSpec;
use crate::reservation::IpReservationSpec;
use crate::resource::{API_VERSION, ClusterInformationSpec, Kind, Resource};

/// One custom resource.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// Which object it is. Its content says so (`cidr`; `node`, `type` and `cidr`; `handleID`), not its name: who asked for
    /// another object's place finds this one in it.
    pub key: Key,
    /// The version of its place. What a write replaces.
    pub resource_version: String,
    /// The place's UID, which tells an object from one created in its place later.
    pub uid: String,
    /// Whether somebody began to delete it, and the place is still to be freed.
    pub is_deleted: bool,
    /// The object, or what is wrong with it.
    pub object: Result<Object, Malformed>,
    /// The rest of it, to be written back with it.
    pub kept: Kept,
}

/// What belongs to a custom resource and is no part of Calico's object: labels, annotations, finalizers and owners that
/// others gave it, and unknown fields beside `spec`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Kept {
    pub(super) uid: String,
    /// The real metadata, without name, versions and managed fields.
    pub(super) metadata: Map<String, Value>,
    /// Unknown fields beside `metadata` and `spec`. Those of v3 resources are in the object.
    pub(super) extra: Map<String, Value>,
}

/// An object with its content read.
#[derive(Deserialize)]
struct Whole<S> {
    #[serde(default, deserialize_with = "null_is_default")]
    metadata: RealMetadata,
    spec: S,
    #[serde(rename = "kind", default)]
    _kind: IgnoredAny,
    #[serde(rename = "apiVersion", default)]
    _api_version: IgnoredAny,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

/// An affinity's content.
#[derive(Deserialize)]
struct AffinitySpec {
    #[serde(default, deserialize_with = "null_is_default")]
    state: AffinityState,
    node: String,
    /// Absent in old rows: a host.
    #[serde(rename = "type", default, deserialize_with = "null_is_default")]
    owner_type: String,
    cidr: ipnetwork::IpNetwork,
    #[serde(default, deserialize_with = "truth")]
    deleted: bool,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

/// A boolean, also as text: in the group V1 an affinity's `deleted` is a string.
fn truth<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Truth {
        Is(bool),
        Says(String),
    }
    match Option::<Truth>::deserialize(deserializer)? {
        None => Ok(false),
        Some(Truth::Is(value)) => Ok(value),
        Some(Truth::Says(text)) => match text.as_str() {
            "" | "0" | "f" | "F" | "false" | "False" | "FALSE" => Ok(false),
            "1" | "t" | "T" | "true" | "True" | "TRUE" => Ok(true),
            _ => Err(serde::de::Error::custom(format_args!("{text:?} is neither true nor false"))),
        },
    }
}

/// Reads one object of a collection (or of a `kind`) from its JSON text. `None` for a collection that is not known, and for
/// an object that does not say which one it is.
pub fn decode(group: Group, collection: &str, json: &[u8]) -> Option<Item> {
    let it = Type::parse(group, collection)?;
    let item = match it {
        Type::Block => read::<Block>(group, json),
        Type::Affinity => read::<AffinitySpec>(group, json),
        Type::Handle => read::<Handle>(group, json),
        Type::Config => read::<IpamConfig>(group, json),
        Type::Resource(Kind::IpPool) => read::<IpPoolSpec>(group, json),
        Type::Resource(Kind::IpReservation) => read::<IpReservationSpec>(group, json),
        Type::Resource(Kind::ClusterInformation) => read::<ClusterInformationSpec>(group, json),
        Type::Resource(_) => return None,
    };
    item.map_or_else(|reason| malformed(it, json, reason), Some)
}

/// Reads a block, and no more of it than its outline, which must not be written. Else as [`decode`].
pub fn decode_outline(group: Group, json: &[u8]) -> Option<Item> {
    read::<Outline>(group, json).map_or_else(|reason| malformed(Type::Block, json, reason), Some)
}

fn read<S: Spec>(group: Group, json: &[u8]) -> Result<Item, String> {
    let whole: Whole<S> = serde_json::from_slice(json).map_err(|error| error.to_string())?;
    let Whole { metadata, spec, mut extra, .. } = whole;
    let (key, is_deleted, object) = spec.read(group, &metadata, &mut extra)?;
    Ok(Item::new(key, is_deleted, Ok(object), metadata, extra))
}

/// An object that cannot be read, as far as it says which one it is.
fn malformed(it: Type, json: &[u8], reason: String) -> Option<Item> {
    let whole: Value = serde_json::from_slice(json).ok()?;
    let metadata = RealMetadata::deserialize(whole.get("metadata")?).unwrap_or_default();
    let spec = whole.get("spec").unwrap_or(&Value::Null);
    let key = it.key(&metadata.name, spec)?;
    let is_deleted = spec.get("deleted").is_some_and(|deleted| *deleted == true || *deleted == "true");
    let object = Err(Malformed { key: key.path(), reason });
    Some(Item::new(key, is_deleted, object, metadata, Map::new()))
}

impl Type {
    /// Which object this is, where its content cannot be read as a whole; some names say it, too.
    fn key(self, name: &str, spec: &Value) -> Option<Key> {
        let text = |field: &str| spec.get(field).and_then(Value::as_str);
        let block = || text("cidr").and_then(|text| text.parse().ok()).map(|block| cidr::masked(&block));
        match self {
            Type::Block => block().or_else(|| block_named(name)).map(Key::Block),
            Type::Affinity => {
                Some(Key::Affinity { owner: owner(text("type").unwrap_or_default(), text("node")?)?, block: block()? })
            }
            Type::Handle => {
                text("handleID").or(Some(name)).filter(|id| !id.is_empty()).map(|id| Key::Handle(id.to_owned()))
            }
            Type::Config => (name == CONFIG_NAME).then_some(Key::IpamConfig),
            Type::Resource(kind) => (!name.is_empty()).then(|| Key::resource(kind, name)),
        }
    }
}

/// An affinity's owner; rows of old releases have no type.
fn owner(owner_type: &str, name: &str) -> Option<Owner> {
    match owner_type {
        "" | "host" => Some(Owner::Host(name.to_owned())),
        "virtual" => Some(Owner::Virtual(name.to_owned())),
        _ => None,
    }
}

impl Item {
    fn new(
        key: Key,
        is_deleted: bool,
        object: Result<Object, Malformed>,
        metadata: RealMetadata,
        extra: Map<String, Value>,
    ) -> Item {
        let RealMetadata { resource_version, uid, rest, .. } = metadata;
        let kept = Kept { uid: uid.clone(), metadata: rest, extra };
        Item { key, resource_version, uid, is_deleted, object, kept }
    }
}

/// The content of a type of custom resource.
trait Spec: DeserializeOwned {
    /// Which object it is, whether it is being deleted, and the object: with what else it needs of the custom resource.
    fn read(
        self,
        group: Group,
        metadata: &RealMetadata,
        extra: &mut Map<String, Value>,
    ) -> Result<(Key, bool, Object), String>;
}

impl Spec for Block {
    fn read(mut self, _: Group, _: &RealMetadata, _: &mut Map<String, Value>) -> Result<(Key, bool, Object), String> {
        // Required in custom resources, without meaning, and unknown in etcd.
        if self.extra.get(STRICT_AFFINITY) != Some(&Value::Bool(true)) {
            self.extra.shift_remove(STRICT_AFFINITY);
        }
        Ok((Key::Block(cidr::masked(&self.cidr)), self.deleted, self.into()))
    }
}

impl Spec for Outline {
    fn read(self, _: Group, _: &RealMetadata, _: &mut Map<String, Value>) -> Result<(Key, bool, Object), String> {
        let block = self.block();
        Ok((Key::Block(cidr::masked(&block.cidr)), block.deleted, self.into()))
    }
}

impl Spec for AffinitySpec {
    fn read(self, _: Group, _: &RealMetadata, _: &mut Map<String, Value>) -> Result<(Key, bool, Object), String> {
        let AffinitySpec { state, node, owner_type, cidr, deleted, extra } = self;
        let owner = owner(&owner_type, &node).ok_or_else(|| format!("type {owner_type:?} is not known"))?;
        let key = Key::Affinity { owner, block: cidr::masked(&cidr) };
        Ok((key, deleted, Affinity { state, deleted, extra }.into()))
    }
}

impl Spec for Handle {
    fn read(mut self, _: Group, _: &RealMetadata, _: &mut Map<String, Value>) -> Result<(Key, bool, Object), String> {
        match self.extra.shift_remove(HANDLE_ID) {
            Some(Value::String(id)) if !id.is_empty() => Ok((Key::Handle(id), self.deleted, self.into())),
            _ => Err(format!("{HANDLE_ID} is not a text")),
        }
    }
}

impl Spec for IpamConfig {
    fn read(
        self,
        _: Group,
        metadata: &RealMetadata,
        _: &mut Map<String, Value>,
    ) -> Result<(Key, bool, Object), String> {
        match metadata.name.as_str() {
            CONFIG_NAME => Ok((Key::IpamConfig, false, self.into())),
            other => Err(format!("settings named {other:?} mean nothing")),
        }
    }
}

macro_rules! resources {
    ($($spec:ident = $kind:ident)*) => {$(
        impl Spec for $spec {
            fn read(
                self,
                group: Group,
                metadata: &RealMetadata,
                extra: &mut Map<String, Value>,
            ) -> Result<(Key, bool, Object), String> {
                let resource = Resource {
                    kind: Kind::$kind.name().to_owned(),
                    api_version: API_VERSION.to_owned(),
                    metadata: metadata.calico(group)?,
                    spec: self,
                    extra: std::mem::take(extra),
                };
                Ok((Key::resource(Kind::$kind, &metadata.name), false, resource.into()))
            }
        }
    )*};
}

resources!(IpPoolSpec = IpPool IpReservationSpec = IpReservation ClusterInformationSpec = ClusterInformation);
