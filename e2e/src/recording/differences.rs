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
    /// The error has this message and these details; the recorded one has another message, and no details.
    Message(&'static str, &'static str),
    /// These objects are not stored.
    Without(&'static [&'static str]),
    /// This object is written so often; the recorded one is written another number of times.
    Writes(&'static str, u64),
    /// The kernel's state is as before the call.
    NoInterface,
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
    Difference {
        scenario: "kubernetes/address-without-ipam-off",
        step: 0,
        ours: Ours::Details(
            "set feature_control.ip_addrs_no_ipam, or remove the annotation cni.projectcalico.org/ipAddrsNoIpam",
        ),
        reason: "the message does not say what to do",
    },
    Difference {
        scenario: "kubernetes/dual-stack",
        step: 0,
        ours: Ours::Writes("ipamhandles/k8s-pod-network.abcdef0123456789", 1),
        reason: "the handle counts the addresses of both families in one request",
    },
    Difference {
        scenario: "kubernetes/fixed-address-outside",
        step: 0,
        ours: Ours::Details("pools: other (10.50.0.0/24) is enabled; pool4 (192.168.0.0/16) is enabled"),
        reason: "the message does not say which addresses could be asked for",
    },
    Difference {
        scenario: "kubernetes/hwaddr-bad",
        step: 0,
        ours: Ours::Details("give six bytes, such as 02:00:5e:10:00:01"),
        reason: "the message does not say what is valid",
    },
    Difference {
        scenario: "kubernetes/hwaddr-bad",
        step: 0,
        ours: Ours::NoInterface,
        reason: "what cannot be done is refused before anything is done, and nothing is left for the DEL",
    },
    Difference {
        scenario: "kubernetes/hwaddr-bad",
        step: 0,
        ours: NO_BLOCK,
        reason: "what cannot be done is refused before a block is claimed",
    },
    Difference { scenario: "kubernetes/hwaddr-bad", step: 1, ours: NO_BLOCK, reason: "no block was claimed" },
    Difference {
        scenario: "kubernetes/missing-pod",
        step: 0,
        ours: Ours::Details("pod default/nosuch was deleted before it was networked, or it is another cluster's"),
        reason: "the message does not say what the reason may be",
    },
    Difference {
        scenario: "kubernetes/pool-malformed",
        step: 0,
        ours: Ours::Message(
            "the annotation cni.projectcalico.org/ipv4pools is not a JSON list of strings: invalid type: floating point `10.5`, expected a sequence at line 1 column 5; it is \"10.50.0.0/24\"",
            "correct the annotation, such as cni.projectcalico.org/ipv4pools: [\"10.0.0.0/16\"]",
        ),
        reason: "the message does not say which annotation is malformed",
    },
    Difference {
        scenario: "kubernetes/pool-unknown",
        step: 0,
        ours: Ours::Details("pools: other (10.50.0.0/24) was not asked for; pool4 (192.168.0.0/16) was not asked for"),
        reason: "the message does not say which pools could be asked for",
    },
];

const NO_BLOCK: Ours = Ours::Without(&["blockaffinities/node-1-10-50-0-240-29", "ipamblocks/10-50-0-240-29"]);

const NO_RESULT: Ours = Ours::Refusal(
    7,
    "CHECK needs prevResult: the configuration has none",
    "the runtime must pass the result of the ADD; by hand, put it into the configuration",
);
