//! The keys of stored objects, in the form etcd and the local store use.

use std::fmt;

use ipnetwork::IpNetwork;

use crate::affinity::Owner;
use crate::cidr::{self, IpVersion};
use crate::resource::Kind;

const BLOCKS: &str = "/calico/ipam/v2/assignment/";
const HANDLES: &str = "/calico/ipam/v2/handle/";
const HOSTS: &str = "/calico/ipam/v2/host/";
const VIRTUALS: &str = "/calico/ipam/v2/virtual/";
const IPAM: &str = "/calico/ipam/v2/";
const IPAM_CONFIG: &str = "/calico/ipam/v2/config";
const RESOURCES: &str = "/calico/resources/v3/projectcalico.org/";

/// Names one stored object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// A block, by its masked CIDR.
    Block(IpNetwork),
    /// An owner's claim to a block.
    Affinity {
        /// Who claims.
        owner: Owner,
        /// The block's masked CIDR.
        block: IpNetwork,
    },
    /// A handle, by its ID.
    Handle(String),
    /// The settings of address management.
    IpamConfig,
    /// A v3 resource.
    Resource {
        /// Its kind.
        kind: Kind,
        /// Its namespace; empty for kinds without.
        namespace: String,
        /// Its name.
        name: String,
    },
}

impl Key {
    /// A resource of a kind without namespaces.
    pub fn resource(kind: Kind, name: &str) -> Key {
        Key::Resource { kind, namespace: String::new(), name: name.to_owned() }
    }

    /// A workload endpoint.
    pub fn endpoint(namespace: &str, name: &str) -> Key {
        Key::Resource { kind: Kind::WorkloadEndpoint, namespace: namespace.to_owned(), name: name.to_owned() }
    }

    /// The block that contains an address, by block size; `None` where the size does not fit the family.
    pub fn block_of(address: std::net::IpAddr, block_size: u8) -> Option<Key> {
        cidr::containing(address, block_size).map(Key::Block)
    }

    /// The key as a path, such as `/calico/ipam/v2/assignment/ipv4/block/192.168.1.64-26`.
    pub fn path(&self) -> String {
        match self {
            Key::Block(block) => {
                format!("{BLOCKS}ipv{}/block/{}", cidr::version(block), cidr::key_segment(block))
            }
            Key::Affinity { owner, block } => format!(
                "{IPAM}{}/{}/ipv{}/block/{}",
                owner.kind(),
                owner.name(),
                cidr::version(block),
                cidr::key_segment(block)
            ),
            Key::Handle(id) => format!("{HANDLES}{id}"),
            Key::IpamConfig => IPAM_CONFIG.to_owned(),
            Key::Resource { kind, namespace, name } if kind.is_namespaced() => {
                format!("{RESOURCES}{}/{namespace}/{name}", kind.plural())
            }
            Key::Resource { kind, name, .. } => format!("{RESOURCES}{}/{name}", kind.plural()),
        }
    }

    /// The key of a path; `None` for a path that names no object this code knows.
    pub fn parse(path: &str) -> Option<Key> {
        if path == IPAM_CONFIG {
            return Some(Key::IpamConfig);
        }
        if let Some(rest) = path.strip_prefix(BLOCKS) {
            return parse_block(rest).map(Key::Block);
        }
        if let Some(id) = path.strip_prefix(HANDLES) {
            return (!id.is_empty() && !id.contains('/')).then(|| Key::Handle(id.to_owned()));
        }
        if let Some(rest) = path.strip_prefix(RESOURCES) {
            return parse_resource(rest);
        }
        let (kind, rest) = path.strip_prefix(IPAM)?.split_once('/')?;
        let (name, rest) = rest.split_once('/')?;
        let owner = match kind {
            "host" => Owner::Host(name.to_owned()),
            "virtual" => Owner::Virtual(name.to_owned()),
            _ => return None,
        };
        Some(Key::Affinity { owner, block: parse_block(rest)? })
    }
}

/// A block in a path's tail `ipv4/block/<segment>`.
fn parse_block(tail: &str) -> Option<IpNetwork> {
    let (version, segment) = tail.split_once("/block/")?;
    let block = cidr::from_key_segment(segment)?;
    (version == format!("ipv{}", cidr::version(&block))).then_some(block)
}

fn parse_resource(tail: &str) -> Option<Key> {
    let (plural, rest) = tail.split_once('/')?;
    let kind = Kind::ALL.into_iter().find(|kind| kind.plural() == plural)?;
    let (namespace, name) = if kind.is_namespaced() { rest.split_once('/')? } else { ("", rest) };
    let sound = !name.is_empty() && !name.contains('/') && namespace.is_empty() != kind.is_namespaced();
    sound.then(|| Key::Resource { kind, namespace: namespace.to_owned(), name: name.to_owned() })
}

impl fmt::Display for Key {
    /// As upstream names objects in its messages: `ClusterInformation(default)`; IPAM objects by their path.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Key::Resource { kind, namespace, name } if kind.is_namespaced() => {
                write!(f, "{}({namespace}/{name})", kind.name())
            }
            Key::Resource { kind, name, .. } => write!(f, "{}({name})", kind.name()),
            _ => f.write_str(&self.path()),
        }
    }
}

/// Names a set of stored objects, whose keys share a beginning. They are answered in the order of their keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listing {
    /// All blocks.
    Blocks,
    /// All handles.
    Handles,
    /// All claims of hosts.
    HostAffinities,
    /// All claims of cluster-wide owners.
    VirtualAffinities,
    /// One owner's claims to blocks of one family.
    Affinities {
        /// Whose.
        owner: Owner,
        /// Of which family.
        version: IpVersion,
    },
    /// All resources of a kind.
    Resources(Kind),
    /// The workload endpoints of a namespace whose names begin alike.
    Endpoints {
        /// The namespace.
        namespace: String,
        /// What the names begin with.
        name_prefix: String,
    },
}

impl Listing {
    /// What the paths of the listed objects begin with.
    pub fn prefix(&self) -> String {
        match self {
            Listing::Blocks => BLOCKS.to_owned(),
            Listing::Handles => HANDLES.to_owned(),
            Listing::HostAffinities => HOSTS.to_owned(),
            Listing::VirtualAffinities => VIRTUALS.to_owned(),
            Listing::Affinities { owner, version } => {
                format!("{IPAM}{}/{}/ipv{version}/block/", owner.kind(), owner.name())
            }
            Listing::Resources(kind) => format!("{RESOURCES}{}/", kind.plural()),
            Listing::Endpoints { namespace, name_prefix } => {
                format!("{RESOURCES}{}/{namespace}/{name_prefix}", Kind::WorkloadEndpoint.plural())
            }
        }
    }
}

impl Listing {
    /// The first path after all that begin with [`Listing::prefix`], whose last character is ASCII below `~`.
    pub fn end(&self) -> String {
        let mut bytes = self.prefix().into_bytes();
        if let Some(last) = bytes.last_mut() {
            *last = last.saturating_add(1);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Listing {
    /// Whether the object of a key is listed.
    pub fn contains(&self, key: &Key) -> bool {
        match (self, key) {
            (Listing::Blocks, Key::Block(_)) | (Listing::Handles, Key::Handle(_)) => true,
            (Listing::HostAffinities, Key::Affinity { owner, .. }) => matches!(owner, Owner::Host(_)),
            (Listing::VirtualAffinities, Key::Affinity { owner, .. }) => matches!(owner, Owner::Virtual(_)),
            (Listing::Affinities { owner: wanted, version }, Key::Affinity { owner, block }) => {
                owner == wanted && cidr::version(block) == *version
            }
            (Listing::Resources(wanted), Key::Resource { kind, .. }) => kind == wanted,
            (Listing::Endpoints { namespace, name_prefix }, Key::Resource { kind, namespace: of, name }) => {
                *kind == Kind::WorkloadEndpoint && of == namespace && name.starts_with(name_prefix)
            }
            _ => false,
        }
    }
}

impl fmt::Display for Listing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}*", self.prefix())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_the_reference_round_trip() {
        let block = "192.168.84.128/26".parse().unwrap();
        let host = Owner::Host("node-1".into());
        for (key, path) in [
            (Key::Block(block), "/calico/ipam/v2/assignment/ipv4/block/192.168.84.128-26"),
            (
                Key::Block("fd80:24e2:f998:72d6::/122".parse().unwrap()),
                "/calico/ipam/v2/assignment/ipv6/block/fd80:24e2:f998:72d6::-122",
            ),
            (Key::Affinity { owner: host, block }, "/calico/ipam/v2/host/node-1/ipv4/block/192.168.84.128-26"),
            (
                Key::Affinity { owner: Owner::Virtual("load-balancer".into()), block },
                "/calico/ipam/v2/virtual/load-balancer/ipv4/block/192.168.84.128-26",
            ),
            (Key::Handle("net1.c1".into()), "/calico/ipam/v2/handle/net1.c1"),
            (Key::IpamConfig, "/calico/ipam/v2/config"),
            (
                Key::resource(Kind::ClusterInformation, "default"),
                "/calico/resources/v3/projectcalico.org/clusterinformations/default",
            ),
            (
                Key::endpoint("default", "node--1-cni-a-eth0"),
                "/calico/resources/v3/projectcalico.org/workloadendpoints/default/node--1-cni-a-eth0",
            ),
        ] {
            assert_eq!(key.path(), path);
            assert_eq!(Key::parse(path), Some(key));
        }
    }

    #[test]
    fn other_paths_name_nothing() {
        for path in [
            "",
            "/calico/ipam/v2/host/node-1",
            "/calico/ipam/v2/assignment/ipv6/block/10.0.0.0-26",
            "/calico/ipam/v2/handle/",
            "/calico/ipam/v2/handle/a/b",
            "/calico/resources/v3/projectcalico.org/tiers/default",
            "/calico/resources/v3/projectcalico.org/workloadendpoints/x",
            "/calico/resources/v3/projectcalico.org/nodes/a/b",
        ] {
            assert_eq!(Key::parse(path), None, "{path}");
        }
    }

    #[test]
    fn listings_do_not_reach_into_longer_names() {
        let owner = Owner::Host("n".into());
        let listing = Listing::Affinities { owner, version: IpVersion::V4 };
        assert_eq!(listing.prefix(), "/calico/ipam/v2/host/n/ipv4/block/");
        assert_eq!(Key::resource(Kind::ClusterInformation, "default").to_string(), "ClusterInformation(default)");
    }
}
