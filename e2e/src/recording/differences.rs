//! Where a replayed run is meant to differ from the recorded one.

/// One deliberate difference.
#[derive(Debug)]
pub struct Difference {
    /// The scenario.
    pub scenario: &'static str,
    /// The step, counted from 0.
    pub step: usize,
    /// What is there instead.
    pub ours: Ours,
    /// Why it is better that way.
    pub reason: &'static str,
}

/// What is there instead of what was recorded.
#[derive(Debug)]
pub enum Ours {
    /// The error has these details; the recorded one has none. `{pool}` is the name of the pool there is.
    Details(&'static str),
    /// An error, where the recorded call succeeded: its code, message and details.
    Refusal(u32, &'static str, &'static str),
}

/// All deliberate differences. Each says exactly what is there instead of what was recorded, so that one which does not
/// occur any more fails its scenario.
pub const DIFFERENCES: &[Difference] = &[
    Difference {
        scenario: "ipam-alone",
        step: 2,
        ours: Ours::Details("it is held by net1.c2: delete that container, or choose another address"),
        reason: "the message names the address, and not who has it",
    },
    Difference {
        scenario: "ipam-alone",
        step: 3,
        ours: Ours::Details("pools: {pool} (192.168.0.0/16) is enabled"),
        reason: "the message does not say which addresses could be asked for",
    },
    Difference {
        scenario: "no-pools",
        step: 0,
        ours: Ours::Details(
            "IPv4 pools: there are none. Create or enable one with a usable block size, 20 to 32 or 116 to 128 (with \
                  datastore_type local: name its CIDR in ipam.ipv4_pools)",
        ),
        reason: "the message does not say what makes a pool qualified",
    },
    Difference {
        scenario: "full-pool",
        step: 0,
        ours: Ours::Details(
            "pool {pool} (10.77.0.0/26): 1 block looked at, none of others; addresses: 64 used, 0 cooling down, 0 reserved, \
                  0 free; add a pool, shorten a reservation, or delete containers that are no longer needed",
        ),
        reason: "the message does not say what to do",
    },
    Difference {
        scenario: "bad-pool",
        step: 0,
        ours: Ours::Details("pools: {pool} (192.168.0.0/16) was not asked for"),
        reason: "the message does not say which pools could be asked for",
    },
    Difference {
        scenario: "not-initialised",
        step: 0,
        ours: Ours::Details(
            "start the node agent, or initialise the cluster; or is this another datastore than the cluster's?",
        ),
        reason: "the message does not say what to do",
    },
    Difference {
        scenario: "not-initialised",
        step: 1,
        ours: Ours::Details(
            "start the node agent, or initialise the cluster; or is this another datastore than the cluster's?",
        ),
        reason: "the message does not say what to do",
    },
    Difference {
        scenario: "other-verbs",
        step: 0,
        ours: NO_RESULT,
        reason: "CHECK verified nothing; the specification demands the result of the ADD",
    },
    Difference {
        scenario: "other-verbs",
        step: 1,
        ours: NO_RESULT,
        reason: "CHECK verified nothing; the specification demands the result of the ADD",
    },
];

const NO_RESULT: Ours = Ours::Refusal(
    7,
    "CHECK needs prevResult: the configuration has none",
    "the runtime must pass the result of the ADD; by hand, put it into the configuration",
);
