//! An allocation block: a range of addresses and who has each.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::SystemTime;

use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::affinity::Owner;
use crate::cidr::{self, IpVersion};
use crate::handle::sanitised;
use crate::lenient::{null_is_default, nulls_are_defaults};
use crate::timestamp;

/// Who has an address, and what for. Several ordinals of a block may share one attribute.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Attribute {
    /// The handle that releases the address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handle_id: Option<String>,
    /// Facts about the holder: `node`, `pod`, `namespace`, `timestamp`, `type`.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub secondary: BTreeMap<String, String>,
    /// The same of a second holder: the target of a virtual machine's migration.
    #[serde(
        rename = "alternateOwnerAttrs",
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub alternate_owner_attrs: BTreeMap<String, String>,
    /// When the address was released, RFC 3339: it cools down, held by nobody, and is free again some time later.
    #[serde(rename = "releasedAt", default, skip_serializing_if = "Option::is_none")]
    pub released_at: Option<String>,
    /// Fields this code does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// The handle of addresses that are set aside in each block of a Windows host, in lower case.
pub const WINDOWS_RESERVED_HANDLE: &str = "windows-reserved-ipam-handle";

impl Attribute {
    /// The handle, without what an old migration tool appended to it after a carriage return.
    pub fn handle(&self) -> Option<&str> {
        self.handle_id.as_deref().map(sanitised)
    }

    /// Whether the address was released and cools down.
    pub fn is_cooling(&self) -> bool {
        self.released_at.is_some()
    }

    /// Whether the address is set aside by a Windows host. Such addresses do not make a block used.
    pub fn is_windows_reserve(&self) -> bool {
        self.handle_id.as_deref().is_some_and(is_windows_reserved)
    }
}

pub(crate) fn is_windows_reserved(handle: &str) -> bool {
    handle.eq_ignore_ascii_case(WINDOWS_RESERVED_HANDLE)
}

/// A block as stored. The write that wins its compare-and-swap is the commit point of an allocation (invariant 1 of
/// the design).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Block {
    /// The addresses of the block.
    pub cidr: IpNetwork,
    /// The owner, `host:<node>` or `virtual:<name>`; `None` where nobody owns the block. This field, not the
    /// affinity object, decides who owns it (invariant 3).
    pub affinity: Option<String>,
    /// When the owner claimed the block, RFC 3339; absent in blocks of old releases. Custom resources name it otherwise.
    #[serde(alias = "affinityClaimTime", default, skip_serializing_if = "Option::is_none")]
    pub affinity_claim_time: Option<String>,
    /// For each ordinal the index of its attribute, or `None` where the address is free. As stored: an index may lie
    /// outside the attributes.
    #[serde(default, deserialize_with = "null_is_default")]
    pub allocations: Vec<Option<i64>>,
    /// The free ordinals in the order in which they will be handed out: taken from the front, returned to the back,
    /// so that an address rests as long as possible before it is used again. As stored: see
    /// [`Block::inconsistency`].
    #[serde(default, deserialize_with = "null_is_default")]
    pub unallocated: Vec<i64>,
    /// The attributes that allocations point to.
    #[serde(default, deserialize_with = "nulls_are_defaults")]
    pub attributes: Vec<Attribute>,
    /// Grows by one with every update of the block.
    #[serde(rename = "sequenceNumber", default, deserialize_with = "null_is_default")]
    pub sequence_number: u64,
    /// The block's sequence number when each allocated ordinal was handed out, by ordinal in decimal: tells one
    /// allocation of an address from a later one.
    #[serde(rename = "sequenceNumberForAllocation", default, deserialize_with = "null_is_default")]
    pub sequence_number_for_allocation: BTreeMap<String, u64>,
    /// Set on the way to deletion in datastores without compare-and-delete.
    #[serde(default, deserialize_with = "null_is_default")]
    pub deleted: bool,
    /// Fields this code does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Block {
    /// A new block of free addresses, owned by `owner` since `now`.
    pub fn new(cidr: IpNetwork, owner: &Owner, now: SystemTime) -> Block {
        let size = size_of(&cidr);
        Block {
            cidr: cidr::masked(&cidr),
            affinity: Some(owner.to_string()),
            affinity_claim_time: Some(timestamp::rfc3339(now)),
            allocations: vec![None; size],
            unallocated: (0..size as i64).collect(),
            attributes: Vec::new(),
            sequence_number: timestamp::unix_nanos(now),
            sequence_number_for_allocation: BTreeMap::new(),
            deleted: false,
            extra: Map::new(),
        }
    }

    /// How many addresses the block has; 0 where it is larger than any block may be.
    pub fn size(&self) -> usize {
        size_of(&self.cidr)
    }

    /// The family of the block's addresses.
    pub fn version(&self) -> IpVersion {
        cidr::version(&self.cidr)
    }

    /// The address with this ordinal, or `None` beyond the block's end.
    pub fn address(&self, ordinal: usize) -> Option<IpAddr> {
        if ordinal >= size_of(&self.cidr) {
            return None;
        }
        cidr::from_number(self.version(), cidr::to_number(self.cidr.network()) + ordinal as u128)
    }

    /// The ordinal of an address, or `None` where it lies outside the block.
    pub fn ordinal(&self, address: IpAddr) -> Option<usize> {
        if IpVersion::of(address) != self.version() || !self.cidr.contains(address) {
            return None;
        }
        usize::try_from(cidr::to_number(address) - cidr::to_number(self.cidr.network())).ok()
    }

    /// Whether `owner` owns the block.
    pub fn is_owned_by(&self, owner: &Owner) -> bool {
        self.affinity.as_deref() == Some(owner.to_string().as_str())
    }

    /// The attribute of an allocated ordinal; `None` where it is free or points to no attribute.
    pub fn attribute_of(&self, ordinal: usize) -> Option<&Attribute> {
        let index = (*self.allocations.get(ordinal)?)?;
        self.attributes.get(usize::try_from(index).ok()?)
    }

    /// The allocated ordinals whose attribute carries `handle`, ascending.
    pub fn ordinals_of<'a>(&'a self, handle: &'a str) -> impl Iterator<Item = usize> + 'a {
        (0..self.allocations.len()).filter(move |&o| self.attribute_of(o).is_some_and(|a| a.handle() == Some(handle)))
    }
}

/// The number of addresses in a block. Blocks have at most 4096 (`/20`, `/116`); a larger CIDR counts as 0, so that
/// such an object is inconsistent instead of a reason to reserve memory.
pub(crate) fn size_of(cidr: &IpNetwork) -> usize {
    let host_bits = cidr::version(cidr).bits() - cidr.prefix();
    if host_bits <= 12 { 1 << host_bits } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORDED: &str = r#"{"cidr":"192.168.1.64/30","affinity":"host:node1","affinity_claim_time":"2026-01-02T03:04:05Z","allocations":[0,null,null,0],"unallocated":[1,2],"attributes":[{"handle_id":"k8s-pod-network.3f1c","secondary":{"node":"node1","pod":"web-0"},"alternateOwnerAttrs":{"pod":"b"}}],"sequenceNumber":1767323045123456791,"sequenceNumberForAllocation":{"0":1767323045123456789,"3":1767323045123456790},"deleted":false,"hostAffinity":"x"}"#;

    #[test]
    fn stored_text_round_trips_with_unknown_fields_and_large_numbers() {
        let block: Block = serde_json::from_str(RECORDED).unwrap();
        assert_eq!(serde_json::to_string(&block).unwrap(), RECORDED);
        assert_eq!(block.inconsistency(), None);
        assert_eq!(block.ordinals_of("k8s-pod-network.3f1c").collect::<Vec<_>>(), [0, 3]);
        assert_eq!(block.ordinal("192.168.1.67".parse().unwrap()), Some(3));
        assert_eq!(block.ordinal("192.168.1.68".parse().unwrap()), None);
        assert_eq!(block.address(3), Some("192.168.1.67".parse().unwrap()));
        assert_eq!(block.address(4), None);
    }

    #[test]
    fn null_lists_of_old_releases_are_empty() {
        let text = r#"{"cidr":"10.0.0.0/32","affinity":null,"allocations":[null],"unallocated":[0],"attributes":null,"sequenceNumberForAllocation":null}"#;
        let block: Block = serde_json::from_str(text).unwrap();
        assert!(block.attributes.is_empty() && block.affinity.is_none() && block.sequence_number == 0);
        assert_eq!(block.inconsistency(), None);
    }

    #[test]
    fn nulls_and_missing_fields_read_as_empty() {
        let text = r#"{"cidr":"10.0.0.0/31","allocations":[0,null],"unallocated":[1],"attributes":[null],"sequenceNumber":null,"deleted":null}"#;
        let block: Block = serde_json::from_str(text).unwrap();
        assert_eq!((block.attributes.as_slice(), block.deleted), ([Attribute::default()].as_slice(), false));
        assert_eq!(block.inconsistency(), None);
        let bare: Block = serde_json::from_str(r#"{"cidr":"10.0.0.0"}"#).unwrap();
        assert!(bare.inconsistency().is_some_and(|it| it.to_string().contains("0 allocations for 1")));
    }

    #[test]
    fn a_handle_ends_at_a_carriage_return() {
        let attribute = Attribute { handle_id: Some("net.c1\r\nx".into()), ..Attribute::default() };
        assert_eq!(attribute.handle(), Some("net.c1"));
    }

    #[test]
    fn a_new_block_is_free_and_consistent() {
        let owner = Owner::Host("n".into());
        let block = Block::new("fd00::1:0/122".parse().unwrap(), &owner, SystemTime::UNIX_EPOCH);
        assert_eq!(block.inconsistency(), None);
        assert_eq!((block.unallocated.len(), block.unallocated[0]), (64, 0));
        assert!(block.is_owned_by(&owner) && !block.is_owned_by(&Owner::Host("m".into())));
    }
}
