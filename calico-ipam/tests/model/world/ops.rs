//! What happens in the model: operations of hosts, and of those who look after the cluster.

use proptest::prelude::*;

use super::faulty::Death;

pub const HOSTS: [&str; 3] = ["node-1", "node-2", "node-3"];
/// Holders of addresses: containers, and at the end virtual machines.
const CONTAINERS: u8 = 5;
const MACHINES: u8 = 2;
/// Four blocks of four addresses, so that hosts run out, borrow and meet each other all the time.
pub const POOL4: (&str, &str, u8) = ("four", "10.0.0.0/28", 30);
pub const POOL6: (&str, &str, u8) = ("six", "fd00::/126", 127);
/// Two blocks that are used only by those who ask for them.
pub const MANUAL: (&str, &str, u8) = ("manual", "10.0.1.0/29", 30);
pub const POOLS: [(&str, &str, u8); 3] = [POOL4, POOL6, MANUAL];
/// What may be claimed, given up or reserved; the last ones are no range of blocks, or in no pool.
pub const RANGES: [&str; 8] = [
    "10.0.0.0/28",
    "10.0.0.0/29",
    "10.0.0.8/30",
    "fd00::/126",
    "fd00::2/127",
    "10.0.1.0/29",
    "10.0.0.4/31",
    "10.9.0.0/24",
];

/// What a holder wishes for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wish {
    pub ipv4: usize,
    pub ipv6: usize,
    /// The IPv4 addresses are to be of the pool that must be asked for.
    pub manual: bool,
}

#[derive(Debug, Clone)]
pub enum Op {
    Assign {
        host: usize,
        holder: u8,
        wish: Wish,
    },
    /// First asks what would be assigned.
    ExplainAndAssign {
        host: usize,
        holder: u8,
        wish: Wish,
    },
    Fixed {
        host: usize,
        holder: u8,
        offset: u8,
    },
    Release {
        host: usize,
        holder: u8,
    },
    Ensure {
        host: usize,
    },
    Claim {
        host: usize,
        range: usize,
    },
    GiveUp {
        host: usize,
        range: usize,
        must_be_empty: bool,
    },
    GiveUpAll {
        host: usize,
        must_be_empty: bool,
    },
    GiveUpPool {
        pool: usize,
    },
    /// The time goes on.
    Wait(u64),
    Configure {
        strict: bool,
        auto: bool,
        limit: u32,
        cooldown: u32,
    },
    Label {
        host: usize,
        zone: bool,
    },
    Pool {
        pool: usize,
        disabled: bool,
        zone: bool,
    },
    Reserve {
        range: Option<usize>,
    },
}

#[derive(Debug, Clone)]
pub struct Step {
    pub op: Op,
    pub death: Option<Death>,
}

/// The handle of a holder.
pub fn handle(holder: u8) -> String {
    match holder.checked_sub(CONTAINERS) {
        None => format!("net.c{holder}"),
        Some(machine) => format!("net.vmi.ns.vm{machine}"),
    }
}

pub fn steps() -> impl Strategy<Value = Vec<Step>> {
    let host = || 0..HOSTS.len();
    let holder = || 0..CONTAINERS + MACHINES;
    let wish = || {
        let ipv4 = prop_oneof![5 => 0..4_usize, 1 => 4..12_usize];
        let manual = prop::bool::weighted(0.15);
        (ipv4, 0..3_usize, manual).prop_map(|(ipv4, ipv6, manual)| Wish { ipv4, ipv6, manual })
    };
    let hosts = prop_oneof![
        10 => (host(), holder(), wish()).prop_map(|(host, holder, wish)| Op::Assign { host, holder, wish }),
        3 => (host(), holder(), wish()).prop_map(|(host, holder, wish)| Op::ExplainAndAssign { host, holder, wish }),
        2 => (host(), holder(), 0..20_u8).prop_map(|(host, holder, offset)| Op::Fixed { host, holder, offset }),
        8 => (host(), holder()).prop_map(|(host, holder)| Op::Release { host, holder }),
        1 => host().prop_map(|host| Op::Ensure { host }),
    ];
    let affinities = prop_oneof![
        2 => (host(), 0..RANGES.len()).prop_map(|(host, range)| Op::Claim { host, range }),
        2 => (host(), 0..RANGES.len(), any::<bool>())
            .prop_map(|(host, range, must_be_empty)| Op::GiveUp { host, range, must_be_empty }),
        2 => (host(), any::<bool>()).prop_map(|(host, must_be_empty)| Op::GiveUpAll { host, must_be_empty }),
        1 => (0..POOLS.len()).prop_map(|pool| Op::GiveUpPool { pool }),
    ];
    let rarely = || prop::bool::weighted(0.2);
    let cooldown = prop_oneof![2 => Just(0_u32), 1 => Just(30)];
    let limit = prop_oneof![3 => Just(0_u32), 1 => 1..3_u32];
    let settings = prop_oneof![
        3 => (any::<bool>(), prop::bool::weighted(0.9), limit, cooldown)
            .prop_map(|(strict, auto, limit, cooldown)| Op::Configure { strict, auto, limit, cooldown }),
        2 => (host(), any::<bool>()).prop_map(|(host, zone)| Op::Label { host, zone }),
        2 => (0..POOLS.len(), rarely(), rarely())
            .prop_map(|(pool, disabled, zone)| Op::Pool { pool, disabled, zone }),
        2 => prop::option::of(0..RANGES.len()).prop_map(|range| Op::Reserve { range }),
    ];
    let op = prop_oneof![
        24 => hosts,
        4 => affinities,
        4 => settings,
        4 => prop_oneof![1..5_u64, 20..121_u64].prop_map(Op::Wait),
    ];
    let death = (0..6_u8, any::<bool>()).prop_map(|(requests, lands_late)| Death { requests, lands_late });
    let step = (op, prop::option::weighted(0.1, death)).prop_map(|(op, death)| Step { op, death });
    prop::collection::vec(step, 1..35)
}
