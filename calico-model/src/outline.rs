//! A block without the facts about who has its addresses: what a search needs that looks at thousands.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

use crate::block::{Attribute, Block};
use crate::lenient::{null_is_default, nulls_are_defaults};

/// How the addresses of a block are used, and by whom the block is owned. Of attributes there is only whether they cool down
/// or are a Windows host's reserve.
#[derive(Debug, Clone, PartialEq)]
pub struct Outline(Block);

impl Outline {
    /// The block as far as it is known.
    pub fn block(&self) -> &Block {
        &self.0
    }

    /// The block as far as it is known. It must not be stored.
    pub fn into_block(self) -> Block {
        self.0
    }
}

/// The fields that are read; the others are passed over.
#[derive(Deserialize)]
struct Fields<'a> {
    cidr: ipnetwork::IpNetwork,
    affinity: Option<String>,
    #[serde(alias = "affinityClaimTime", default)]
    affinity_claim_time: Option<String>,
    #[serde(default, deserialize_with = "null_is_default")]
    allocations: Vec<Option<i64>>,
    #[serde(default, deserialize_with = "null_is_default")]
    unallocated: Vec<i64>,
    #[serde(default, borrow, deserialize_with = "nulls_are_defaults")]
    attributes: Vec<AttributeFields<'a>>,
    #[serde(rename = "sequenceNumber", default, deserialize_with = "null_is_default")]
    sequence_number: u64,
    #[serde(default, deserialize_with = "null_is_default")]
    deleted: bool,
}

#[derive(Default, Deserialize)]
struct AttributeFields<'a> {
    #[serde(default, borrow)]
    handle_id: Option<Cow<'a, str>>,
    #[serde(rename = "releasedAt", default)]
    released_at: Option<String>,
}

impl From<AttributeFields<'_>> for Attribute {
    fn from(fields: AttributeFields<'_>) -> Attribute {
        let mut attribute = Attribute { released_at: fields.released_at, ..Attribute::default() };
        if fields.handle_id.as_deref().is_some_and(crate::block::is_windows_reserved) {
            attribute.handle_id = fields.handle_id.map(Cow::into_owned);
        }
        attribute
    }
}

impl<'de> Deserialize<'de> for Outline {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Outline, D::Error> {
        let fields = Fields::deserialize(deserializer)?;
        Ok(Outline(Block {
            cidr: fields.cidr,
            affinity: fields.affinity,
            affinity_claim_time: fields.affinity_claim_time,
            allocations: fields.allocations,
            unallocated: fields.unallocated,
            attributes: fields.attributes.into_iter().map(Attribute::from).collect(),
            sequence_number: fields.sequence_number,
            sequence_number_for_allocation: BTreeMap::new(),
            deleted: fields.deleted,
            extra: serde_json::Map::new(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_how_addresses_are_used_and_not_by_whom() {
        let text = r#"{"cidr":"10.0.0.0/30","affinity":"host:n","affinity_claim_time":"2026-01-02T03:04:05Z","allocations":[0,1,2,null],"unallocated":[3],"attributes":[{"handle_id":"a\u0041","secondary":{"node":"n"},"x":1},{"releasedAt":"2026-01-02T03:04:05Z"},{"handle_id":"windows-reserved-ipam-handle"}],"sequenceNumber":7,"sequenceNumberForAllocation":{"0":5},"later":{}}"#;
        let whole: Block = serde_json::from_str(text).unwrap();
        let outline: Outline = serde_json::from_str(text).unwrap();
        let block = outline.block();
        assert_eq!(
            (block.cidr, &block.affinity, &block.affinity_claim_time),
            (whole.cidr, &whole.affinity, &whole.affinity_claim_time)
        );
        assert_eq!(
            (&block.allocations, &block.unallocated, block.sequence_number),
            (&whole.allocations, &whole.unallocated, 7)
        );
        assert_eq!(block.attributes[0], Attribute::default());
        assert_eq!(block.attributes[1..], whole.attributes[1..]);
        for odd in [
            r#"{"cidr":"10.0.0.0/32","affinity":null,"attributes":null}"#,
            r#"{"cidr":"10.0.0.0/32","attributes":[null]}"#,
        ] {
            let whole: Block = serde_json::from_str(odd).unwrap();
            assert_eq!(serde_json::from_str::<Outline>(odd).unwrap().into_block(), whole);
        }
    }
}
