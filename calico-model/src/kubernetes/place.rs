//! Which custom resource an object is: its type, its collection and its name.

use ipnetwork::IpNetwork;

use super::group::Group;
use super::hash;
use crate::affinity::Owner;
use crate::cidr::{self, IpVersion};
use crate::key::{Key, Listing};
use crate::resource::Kind;

/// The name of the settings' object.
pub(super) const CONFIG_NAME: &str = "default";

/// The field of a handle's content with its ID.
pub(super) const HANDLE_ID: &str = "handleID";

/// A field of a block's content.
pub(super) const STRICT_AFFINITY: &str = "strictAffinity";

/// The label with the type of an affinity's owner.
pub(super) const OWNER_TYPE_LABEL: &str = "projectcalico.org/affinity-type";
/// The label with the hashed name of an affinity's owner.
pub(super) const OWNER_HASH_LABEL: &str = "projectcalico.org/hostname-hash";
/// The label with the family of an affinity's block.
pub(super) const VERSION_LABEL: &str = "projectcalico.org/ip-version";

/// A type of custom resource. All are without namespaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    Block,
    Affinity,
    Handle,
    Config,
    Resource(Kind),
}

impl Type {
    const ALL: [Type; 7] = [
        Type::Block,
        Type::Affinity,
        Type::Handle,
        Type::Config,
        Type::Resource(Kind::IpPool),
        Type::Resource(Kind::IpReservation),
        Type::Resource(Kind::ClusterInformation),
    ];

    /// The type of a collection or of a `kind`.
    pub(super) fn parse(group: Group, text: &str) -> Option<Type> {
        Type::ALL.into_iter().find(|it| it.plural(group) == text || it.kind(group) == text)
    }

    fn of_kind(kind: Kind) -> Option<Type> {
        Some(Type::Resource(kind)).filter(|it| Type::ALL.contains(it))
    }

    pub(super) fn plural(self, group: Group) -> &'static str {
        match self {
            Type::Block => "ipamblocks",
            Type::Affinity => "blockaffinities",
            Type::Handle => "ipamhandles",
            Type::Config if group == Group::V1 => "ipamconfigs",
            Type::Config => "ipamconfigurations",
            Type::Resource(kind) => kind.plural(),
        }
    }

    pub(super) fn kind(self, group: Group) -> &'static str {
        match self {
            Type::Block => "IPAMBlock",
            Type::Affinity => "BlockAffinity",
            Type::Handle => "IPAMHandle",
            Type::Config if group == Group::V1 => "IPAMConfig",
            Type::Config => "IPAMConfiguration",
            Type::Resource(kind) => kind.name(),
        }
    }

    pub(super) fn of_key(key: &Key) -> Option<Type> {
        match key {
            Key::Block(_) => Some(Type::Block),
            Key::Affinity { .. } => Some(Type::Affinity),
            Key::Handle(_) => Some(Type::Handle),
            Key::IpamConfig => Some(Type::Config),
            Key::Resource { kind, .. } => Type::of_kind(*kind),
        }
    }
}

/// Where a custom resource is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Its collection, such as `ipamblocks`.
    pub plural: &'static str,
    /// Its `metadata.name`.
    pub name: String,
}

/// Where the object of a key is; `None` for what is no custom resource: workload endpoints, nodes and profiles.
///
/// Two keys may have one place: handle IDs that differ only in the case of letters, and the claims of a host and of a
/// virtual owner with one name to one block. The object then says itself whose it is ([`Item::key`](super::Item::key));
/// to whoever wants the other it is in the way: neither its object nor absent, so that a write conflicts.
pub fn place(group: Group, key: &Key) -> Option<Place> {
    let name = match key {
        Key::Block(block) => block_name(block),
        Key::Affinity { owner, block } => affinity_name(owner.name(), block),
        Key::Handle(id) => id.to_lowercase(),
        Key::IpamConfig => CONFIG_NAME.to_owned(),
        Key::Resource { name, .. } => name.clone(),
    };
    Some(Place { plural: Type::of_key(key)?.plural(group), name })
}

/// A block's CIDR as a name: `192-168-1-64-26`, `fd80-24e2-f998-72d6---122`.
fn block_name(block: &IpNetwork) -> String {
    cidr::masked(block).to_string().replace(['.', ':', '/'], "-")
}

/// The block of a name; the inverse of [`block_name`].
pub(super) fn block_named(name: &str) -> Option<IpNetwork> {
    let (address, prefix) = name.rsplit_once('-')?;
    let parse = |separator: &str| format!("{}/{prefix}", address.replace('-', separator)).parse().ok();
    parse(".").or_else(|| parse(":"))
}

/// The owner and the block, as `node-1-192-168-1-64-26`. What would be 253 characters or more is cut to 252, with a part of
/// its digest at the end.
fn affinity_name(owner: &str, block: &IpNetwork) -> String {
    const LONGEST: usize = 252;
    const DIGEST: usize = 11;
    let block = block_name(block);
    let name = format!("{owner}-{block}");
    if name.len() <= LONGEST {
        return name;
    }
    let digest = hash::sha256_hex(&format!("{owner}+{block}"));
    let kept = owner.floor_char_boundary(LONGEST.saturating_sub(block.len() + DIGEST + 2));
    format!("{}-{block}-{}", &owner[..kept], &digest[..DIGEST])
}

/// Where the objects of a listing are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collection {
    /// Their collection. It has others, too: filter by [`Listing::contains`].
    pub plural: &'static str,
    /// The label selector that finds them, and few others, where there is one. It does not find affinities that releases
    /// without such labels wrote, until somebody writes them anew.
    pub selector: Option<String>,
}

/// The collection of a listing; `None` for what is no custom resource.
pub fn collection(group: Group, listing: &Listing) -> Option<Collection> {
    let (it, selector) = match listing {
        Listing::Blocks => (Type::Block, None),
        Listing::Handles => (Type::Handle, None),
        Listing::HostAffinities | Listing::VirtualAffinities => (Type::Affinity, None),
        // Not by the owner's type: upstream labels some old rows of hosts with an empty one. Nor by the family: who wants both
        // families asks once.
        Listing::Affinities { owner, .. } => {
            (Type::Affinity, Some(format!("{OWNER_HASH_LABEL}={}", hash::owner_label(owner.name()))))
        }
        Listing::Resources(kind) => (Type::of_kind(*kind)?, None),
        Listing::Endpoints { .. } => return None,
    };
    Some(Collection { plural: it.plural(group), selector })
}

/// The labels of an affinity.
pub(super) fn affinity_labels(owner: &Owner, version: IpVersion) -> [(&'static str, String); 3] {
    [
        (OWNER_TYPE_LABEL, owner.kind().to_owned()),
        (OWNER_HASH_LABEL, hash::owner_label(owner.name())),
        (VERSION_LABEL, version.to_string()),
    ]
}
