//! What address management may do at a time: the settings, pools, reservations and labels as they are stored, and what
//! follows from them for one write of a block.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use calico_ipam::Lease;
use calico_model::reservation::Reservations;
use calico_model::selector::Selector;
use calico_model::{
    Attribute, Block, IpPool, IpReservation, IpVersion, IpamConfig, Key, Kind, Object, Owner, timestamp,
};
use ipnetwork::IpNetwork;

/// What is stored, by path.
pub type Stored = BTreeMap<String, (Key, Object)>;

/// The rules of a moment.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    pub config: IpamConfig,
    pub pools: Vec<IpPool>,
    pub reservations: Reservations,
    pub labels: BTreeMap<String, BTreeMap<String, String>>,
}

/// How an address was asked for. It is written into the attribute, for whoever judges the write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// Any of the family.
    Any,
    /// One of this pool.
    Pool(&'static str),
    /// This very one.
    Address,
}

/// A lease whose attributes tell who asked for what, and when.
pub fn lease(handle: &str, node: &str, asked: Asked, now: SystemTime) -> Lease {
    let asked = match asked {
        Asked::Any => "any",
        Asked::Pool(pool) => pool,
        Asked::Address => "address",
    };
    let pairs = [("asked", asked), ("node", node), ("timestamp", &timestamp::go_text(now))];
    Lease::new(handle, pairs.map(|(name, value)| (name.to_owned(), value.to_owned())))
}

impl Rules {
    /// The rules that are stored.
    pub fn read(stored: &Stored) -> Rules {
        let mut rules = Rules::default();
        let mut reserved: Vec<&IpReservation> = Vec::new();
        for (key, object) in stored.values() {
            match object {
                Object::IpamConfig(config) => rules.config = config.clone(),
                Object::IpPool(pool) => rules.pools.push(pool.clone()),
                Object::IpReservation(reservation) => reserved.push(reservation),
                Object::Node(node) => {
                    if let Key::Resource { kind: Kind::Node, name, .. } = key {
                        rules.labels.insert(name.clone(), node.metadata.labels.clone());
                    }
                }
                _ => {}
            }
        }
        rules.reservations = Reservations::new(reserved);
        rules
    }

    /// The enabled pools from which a host is given addresses of a family, in their order.
    pub fn chosen(&self, host: &str, version: IpVersion, asked: &[IpNetwork]) -> Vec<&IpPool> {
        let is_chosen = |pool: &&IpPool| match asked {
            [] => pool.is_automatic() && self.selects(pool, host),
            asked => asked.contains(&pool.cidr()),
        };
        self.pools.iter().filter(|p| p.version() == version && p.is_enabled()).filter(is_chosen).collect()
    }

    /// Whether a pool is meant for a host.
    pub fn selects(&self, pool: &IpPool, host: &str) -> bool {
        Selector::parse(&pool.spec.node_selector).unwrap().matches(&self.labels[host])
    }

    /// The enabled pool that a block lies in.
    pub fn pool_of(&self, block: &IpNetwork) -> Option<&IpPool> {
        self.pools.iter().find(|pool| pool.is_enabled() && pool.cidr().contains(block.ip()))
    }

    /// Whether a released address has rested for long enough at a time.
    pub fn has_rested(&self, attribute: &Attribute, now: SystemTime) -> bool {
        let released = timestamp::parse_rfc3339(attribute.released_at.as_deref().unwrap()).unwrap();
        self.config.ip_cooldown_seconds == 0 || released + self.config.cooldown() < now
    }

    /// The addresses of a block that could be given out automatically at a time, and whether none of it is used.
    pub fn room(&self, block: &Block, now: SystemTime) -> (usize, bool) {
        let (mut free, mut empty) = (0, true);
        for ordinal in 0..block.allocations.len() {
            let is_free = match block.attribute_of(ordinal) {
                None => true,
                Some(attribute) => attribute.is_cooling() && self.has_rested(attribute, now),
            };
            empty &= is_free;
            free += usize::from(is_free && !self.reservations.contains(block.address(ordinal).unwrap()));
        }
        (free, empty)
    }

    /// Whether another owner may take a block over, at a time.
    pub fn is_unused(&self, block: &Block, now: SystemTime) -> bool {
        let claimed = block.affinity_claim_time.as_deref().and_then(timestamp::parse_rfc3339);
        let is_old = claimed.is_none_or(|claimed| now.duration_since(claimed).unwrap_or_default().as_secs() >= 60);
        is_old && self.room(block, now).1
    }

    /// Judges the change of one block. `clock` is the time now; whoever made the change may have looked at the clock a while
    /// before.
    pub fn judge(&self, before: Option<&Block>, after: Option<&Block>, clock: SystemTime) {
        let Some(after) = after else {
            let before = before.expect("what is deleted was there");
            let is_unused = self.room(before, clock).1;
            assert!(is_unused || self.is_last_of(before, clock), "a block in use was deleted: {before:?}");
            return;
        };
        assert_eq!(after.inconsistency(), None, "{after:?}");
        let Some(before) = before else {
            assert!(after.allocations.iter().all(Option::is_none), "a new block is free: {after:?}");
            assert!(after.affinity.is_some(), "a new block is somebody's: {after:?}");
            return;
        };
        assert!(after.sequence_number > before.sequence_number, "{before:?} became {after:?}");
        assert!(
            after.affinity == before.affinity || after.affinity.is_none(),
            "a block changed hands without having been nobody's: {before:?} became {after:?}"
        );
        for ordinal in 0..after.allocations.len() {
            let address = after.address(ordinal).unwrap();
            let (was, is) = (before.attribute_of(ordinal), after.attribute_of(ordinal));
            if was == is {
                continue;
            }
            if let Some(was) = was.filter(|was| was.is_cooling()) {
                assert!(self.has_rested(was, clock), "{address} was released at {:?}", was.released_at);
            }
            match (was.filter(|was| !was.is_cooling()), is) {
                (None, Some(is)) if is.is_cooling() => panic!("{address} rests though nobody had it: {after:?}"),
                (None, Some(is)) => self.judge_taken(after, address, is),
                (Some(_), None) => assert_eq!(self.config.ip_cooldown_seconds, 0, "{address} did not rest"),
                (Some(was), Some(is)) => {
                    assert!(is.is_cooling(), "{address} was taken from {was:?} and given to {is:?}");
                    let released = timestamp::parse_rfc3339(is.released_at.as_deref().unwrap()).unwrap();
                    assert!(self.config.ip_cooldown_seconds > 0 && released <= clock, "{address}: {is:?}");
                }
                (None, None) => {}
            }
        }
    }

    /// Whether releasing one handle leaves nothing in a block that is nobody's.
    fn is_last_of(&self, block: &Block, clock: SystemTime) -> bool {
        let attributes = (0..block.allocations.len()).filter_map(|ordinal| block.attribute_of(ordinal));
        let used = attributes.filter(|attribute| !attribute.is_cooling() || !self.has_rested(attribute, clock));
        let handles: BTreeSet<Option<&str>> = used.map(Attribute::handle).collect();
        block.affinity.is_none() && self.config.ip_cooldown_seconds == 0 && handles.len() == 1
    }

    fn judge_taken(&self, block: &Block, address: IpAddr, taker: &Attribute) {
        let (node, asked) = (&taker.secondary["node"], taker.secondary["asked"].as_str());
        let pool = self.pools.iter().find(|pool| pool.spec.cidr.contains(address)).unwrap();
        assert!(pool.is_enabled(), "{address} is of the disabled pool {}", pool.metadata.name);
        if self.config.strict_affinity {
            let owner = Owner::Host(node.clone());
            assert!(block.is_owned_by(&owner), "{node} got {address} in spite of strict affinity: {block:?}");
        }
        if asked == "address" {
            return;
        }
        assert!(!self.reservations.contains(address), "{address} is reserved");
        let is_asked = asked.parse().is_ok_and(|asked: IpNetwork| asked == pool.cidr());
        let is_for_all = pool.is_automatic() && self.selects(pool, node);
        assert!(is_asked || is_for_all, "{node} got {address} of pool {}", pool.metadata.name);
    }
}

/// A moment of the model's clock.
pub fn moment(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}
