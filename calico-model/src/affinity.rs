//! A block affinity: one host's claim to allocate from one block.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::lenient::null_is_default;

/// Who a block is affine to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Owner {
    /// A node, by its Calico name.
    Host(String),
    /// A cluster-wide owner such as `load-balancer`.
    Virtual(String),
}

impl Owner {
    /// The type segment of the key and of the owner's text.
    pub fn kind(&self) -> &'static str {
        match self {
            Owner::Host(_) => "host",
            Owner::Virtual(_) => "virtual",
        }
    }

    /// The node's or virtual owner's name.
    pub fn name(&self) -> &str {
        match self {
            Owner::Host(name) | Owner::Virtual(name) => name,
        }
    }

    /// The owner in a block's `affinity` field, such as `host:node-1`.
    pub fn parse(text: &str) -> Option<Owner> {
        match text.split_once(':')? {
            ("host", name) => Some(Owner::Host(name.to_owned())),
            ("virtual", name) => Some(Owner::Virtual(name.to_owned())),
            _ => None,
        }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind(), self.name())
    }
}

/// How far a claim has come. Only [`Confirmed`](AffinityState::Confirmed) means that the host owns the block.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum AffinityState {
    /// Claimed; the block is not yet known to be ours.
    Pending,
    /// The block names this owner. Also the meaning of an empty state, which very old releases stored.
    #[default]
    Confirmed,
    /// Being given up.
    PendingDeletion,
    /// A state this code does not know: handled as a claim in progress and written back unchanged.
    Other(String),
}

impl From<String> for AffinityState {
    fn from(text: String) -> Self {
        match text.as_str() {
            "pending" => AffinityState::Pending,
            "confirmed" | "" => AffinityState::Confirmed,
            "pendingDeletion" => AffinityState::PendingDeletion,
            _ => AffinityState::Other(text),
        }
    }
}

impl From<AffinityState> for String {
    fn from(state: AffinityState) -> Self {
        match state {
            AffinityState::Pending => "pending".to_owned(),
            AffinityState::Confirmed => "confirmed".to_owned(),
            AffinityState::PendingDeletion => "pendingDeletion".to_owned(),
            AffinityState::Other(text) => text,
        }
    }
}

/// The stored claim. Owner and block are in its key.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Affinity {
    /// How far the claim has come.
    #[serde(default, deserialize_with = "null_is_default")]
    pub state: AffinityState,
    /// Set on the way to deletion in datastores without compare-and-delete.
    #[serde(default, deserialize_with = "null_is_default")]
    pub deleted: bool,
    /// Fields this code does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Affinity {
    /// A claim in the given state.
    pub fn new(state: AffinityState) -> Affinity {
        Affinity { state, ..Affinity::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_state_is_confirmed_and_an_unknown_one_survives() {
        let read = |text: &str| serde_json::from_str::<Affinity>(text).unwrap();
        assert_eq!(read("{}").state, AffinityState::Confirmed);
        assert_eq!(read(r#"{"state":""}"#).state, AffinityState::Confirmed);
        let odd = read(r#"{"state":"sleeping","deleted":false,"note":1}"#);
        assert_eq!(serde_json::to_string(&odd).unwrap(), r#"{"state":"sleeping","deleted":false,"note":1}"#);
    }

    #[test]
    fn owners_round_trip() {
        for owner in [Owner::Host("node-1".into()), Owner::Virtual("load-balancer".into())] {
            assert_eq!(Owner::parse(&owner.to_string()), Some(owner));
        }
        assert_eq!(Owner::parse("node-1"), None);
    }
}
