//! What a finding means, and what becomes of it.

use calico_model::Inconsistency;

use super::finding::Finding;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Two may have one address or one block, or what is in use cannot be found by those who release it.
    Danger,
    /// Something is held that nobody will give back unasked.
    Leak,
    /// What an operator has set is wrong, or contradicts what is there.
    Setting,
    /// The next operation of whom it concerns puts it right.
    Passing,
}

impl Finding {
    /// How bad it is.
    pub fn class(&self) -> Class {
        use Finding::*;
        match self {
            InconsistentBlock {
                inconsistency: Inconsistency::Lost { .. } | Inconsistency::NoAttribute { .. }, ..
            } => Class::Leak,
            Malformed { .. }
            | InconsistentBlock { .. }
            | OverlappingBlocks { .. }
            | DoubledAffinity { .. }
            | CountsTooLittle { .. }
            | MissingHandle { .. }
            | NotAllocated { .. }
            | AllocatedToAnother { .. }
            | DoubledAddress { .. } => Class::Danger,
            UnreadableOwner { .. }
            | BlockOfUnknownNode { .. }
            | AffinityOfUnknownNode { .. }
            | EmptyHandle { .. }
            | CountsTooMuch { .. }
            | Leaked { .. }
            | AllocationOfUnknownNode { .. }
            | EndpointOfUnknownNode { .. }
            | TunnelOfUnknownNode { .. }
            | TunnelElsewhere { .. } => Class::Leak,
            NoClusterInformation
            | NotReady { .. }
            | OverlappingPools { .. }
            | UnmaskedPool { .. }
            | PoolBlockSize { .. }
            | PoolBelowBlockSize { .. }
            | ReservationEntry { .. }
            | BlockOutsidePools { .. }
            | PoolSelector { .. }
            | ForeignBlockSize { .. } => Class::Setting,
            UnusedAttribute { .. }
            | ReleasedInFuture { .. }
            | AffinityWithoutBlock { .. }
            | AffinityToForeignBlock { .. }
            | UnfinishedAffinity { .. }
            | MissingAffinity { .. }
            | HandleEntry { .. } => Class::Passing,
        }
    }

    /// How it heals, or what an operator does about it: one sentence.
    pub fn advice(&self) -> &'static str {
        use Finding::*;
        match self {
            NoClusterInformation => "Let the node agent or calicoctl initialise the datastore: plugins wait for it.",
            NotReady { .. } => "Unlock the datastore when its migration or repair is over: plugins wait for it.",
            Malformed { .. } => "Correct the value by hand, or delete it if it is known to hold nothing in use.",
            OverlappingPools { .. } => "Disable one of them, move its containers to another pool, and delete it.",
            UnmaskedPool { .. } => "Replace the pool by one that names the first address of its CIDR.",
            PoolBlockSize { .. } => "Replace the pool by one with blocks of /20 to /32, or /116 to /128 for IPv6.",
            PoolSelector { .. } => "Correct the selector.",
            PoolBelowBlockSize { .. } => "Replace the pool by a larger one or by one with smaller blocks.",
            ReservationEntry { .. } => "Correct the entry: until then it reserves nothing.",
            InconsistentBlock { inconsistency, .. } => match inconsistency {
                Inconsistency::Lost { .. } | Inconsistency::NoAttribute { .. } => {
                    "Nothing is allocated from the block until the address is free again: `calicoctl ipam check --fix` frees it."
                }
                _ => "Nothing is allocated from the block until it is repaired by hand, from the endpoints' addresses.",
            },
            UnusedAttribute { .. } => "The next release in the block drops it.",
            ReleasedInFuture { .. } => "It is free again when its time has come; look at the nodes' clocks.",
            OverlappingBlocks { .. } => "Empty one of them by restarting its containers elsewhere, and delete it.",
            BlockOutsidePools { .. } => {
                "Create the pool again, or restart the block's containers to empty it, and release it with calicoctl."
            }
            ForeignBlockSize { .. } => {
                "Restart the block's containers, so that it is emptied and given up, or replace the pool by its like."
            }
            UnreadableOwner { .. } => "Correct the block's affinity by hand: until then nobody owns it or gives it up.",
            BlockOfUnknownNode { .. } | AffinityOfUnknownNode { .. } | AllocationOfUnknownNode { .. } => {
                "Release what the node has with calicoctl, if it is gone for good."
            }
            AffinityWithoutBlock { .. } => "The owner's next allocation creates the block.",
            AffinityToForeignBlock { .. } => "The owner's next allocation removes the affinity: the block decides.",
            UnfinishedAffinity { .. } => "The owner's next allocation finishes it.",
            DoubledAffinity { .. } => {
                "Delete all but the one that the block names: until then several nodes may announce its routes."
            }
            MissingAffinity { .. } => "The owner takes the block up again when it looks for a new one.",
            EmptyHandle { .. } => "Delete it: `calicoctl ipam check --fix` does.",
            HandleEntry { .. } => "The next release by the handle drops the entry.",
            CountsTooMuch { .. } => {
                "The container's next DEL corrects it; if there will be none, `calicoctl ipam check --fix` does."
            }
            CountsTooLittle { .. } | MissingHandle { .. } => {
                "A DEL will not find all addresses, until the handle is corrected, as by `calicoctl ipam check --fix`."
            }
            NotAllocated { .. } => "Restart its user before somebody else is given the address.",
            AllocatedToAnother { .. } => "Restart its user: the address belongs to another.",
            DoubledAddress { .. } => "Restart all but the one that the address is allocated to.",
            Leaked { .. } => {
                "Release it, if no container has it: `calicoctl ipam check --fix` where that is certain, or else `ipam release`."
            }
            EndpointOfUnknownNode { .. } => {
                "Delete the endpoint and release its addresses, if the node is gone for good."
            }
            TunnelOfUnknownNode { .. } => "Release the address with calicoctl, if the node is gone for good.",
            TunnelElsewhere { .. } => "Release the address with calicoctl, if the node's tunnel does not have it.",
        }
    }
}
