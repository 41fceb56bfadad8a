//! Operations on affinities and settings, and what must come of them.

use calico_datastore::{Datastore, Want};
use calico_ipam::{Demand, Error, GivenUp, Releases};
use calico_model::reservation::IpReservationSpec;
use calico_model::{
    AffinityState, IpPool, IpReservation, IpVersion, IpamConfig, Key, Kind, Node, Object, Owner, Resource, cidr,
};
use ipnetwork::IpNetwork;
use serde_json::Map;

use super::World;
use super::ops::{HOSTS, POOLS, RANGES};
use super::perform::is_refusal;

impl World {
    pub(super) async fn ensure(&self, host: usize) {
        let (ipam, _) = self.process(host);
        let demands = IpVersion::BOTH.map(|version| Demand::any(version, 1));
        let answer = match ipam.read_inputs().await {
            Ok(inputs) => ipam.ensure_blocks(&inputs, &demands).await,
            Err(error) => Err(error),
        };
        match answer {
            Ok(blocks) => {
                assert_eq!(blocks.len(), demands.len());
                for block in blocks {
                    assert!(!self.calm || self.owns(host, block), "{} was promised {block}", HOSTS[host]);
                }
            }
            Err(error) => assert!(self.faulty.is_dead() || is_refusal(&error), "{error}"),
        }
    }

    pub async fn claim(&self, host: usize, range: usize) {
        let (ipam, _) = self.process(host);
        let range: IpNetwork = RANGES[range].parse().unwrap();
        match ipam.claim_affinities(range, None).await {
            Ok(claims) => {
                let claimed = claims.claimed.iter().map(|block| (block, true));
                for (block, is_own) in claimed.chain(claims.others.iter().map(|block| (block, false))) {
                    assert!(cidr::contains(&range, block));
                    assert!(!self.calm || self.owns(host, *block) == is_own, "{block}: {is_own}");
                }
            }
            Err(error) => self.judge_refused_range(range, &error),
        }
    }

    pub async fn give_up(&self, host: usize, range: usize, must_be_empty: bool) {
        let (ipam, _) = self.process(host);
        let range: IpNetwork = RANGES[range].parse().unwrap();
        match ipam.release_affinities(range, must_be_empty).await {
            Ok(releases) => self.judge_given_up(Some(host), range, must_be_empty, &releases),
            Err(error) => self.judge_refused_range(range, &error),
        }
    }

    fn judge_refused_range(&self, range: IpNetwork, error: &Error) {
        let rules = self.store.rules();
        let mut pools = rules.pools.iter().filter(|pool| pool.is_enabled());
        let is_fair = match pools.find(|pool| cidr::contains(&pool.cidr(), &range)) {
            None => matches!(error, Error::NotWithinPools { .. }),
            Some(pool) => matches!(error, Error::SmallerThanBlock { .. }) && range.prefix() > pool.block_size(),
        };
        assert!(is_fair || self.faulty.is_dead(), "{error}");
    }

    pub async fn give_up_all(&self, host: usize, must_be_empty: bool) {
        let (ipam, _) = self.process(host);
        match ipam.release_all_affinities(must_be_empty).await {
            Ok(releases) => {
                for range in ["0.0.0.0/0", "::/0"] {
                    self.judge_given_up(Some(host), range.parse().unwrap(), must_be_empty, &releases);
                }
            }
            Err(error) => assert!(self.faulty.is_dead(), "{error}"),
        }
    }

    pub(super) async fn give_up_pool(&self, pool: usize) {
        let (ipam, _) = self.process(0);
        let range: IpNetwork = POOLS[pool].1.parse().unwrap();
        match ipam.release_pool_affinities(range).await {
            Ok(releases) => self.judge_given_up(None, range, false, &releases),
            Err(error) => assert!(self.faulty.is_dead(), "{error}"),
        }
    }

    /// `host`: whose affinities were to be given up, or everybody's.
    fn judge_given_up(&self, host: Option<usize>, range: IpNetwork, must_be_empty: bool, releases: &Releases) {
        assert_eq!(releases.malformed, []);
        if !self.calm {
            return;
        }
        let is_meant = |owner: &Owner| host.is_none_or(|host| owner.name() == HOSTS[host]);
        let is_kept = |cidr: &IpNetwork| {
            let kept = releases.ends.iter().any(|(_, block, end)| block == cidr && *end == GivenUp::InUse);
            let block = self.store.blocks().into_iter().find(|block| block.cidr == *cidr);
            must_be_empty && kept && block.is_some_and(|block| !self.store.rules().room(&block, self.store.now()).1)
        };
        for block in self.store.blocks().iter().filter(|block| cidr::contains(&range, &block.cidr)) {
            let owner = block.affinity.as_deref().and_then(Owner::parse);
            assert!(!owner.is_some_and(|owner| is_meant(&owner)) || is_kept(&block.cidr), "{block:?}");
        }
        for (key, _) in self.store.stored().values() {
            if let Key::Affinity { owner, block } = key {
                let is_left = is_meant(owner) && cidr::contains(&range, block);
                assert!(!is_left || is_kept(block), "{key}");
            }
        }
    }

    /// Whether a host has a block, without any doubt.
    fn owns(&self, host: usize, block: IpNetwork) -> bool {
        let owner = Owner::Host(HOSTS[host].to_owned());
        let is_owned = self.store.blocks().iter().any(|b| b.cidr == block && b.is_owned_by(&owner));
        let is_confirmed = match self.store.stored().get(&Key::Affinity { owner, block }.path()) {
            Some((_, Object::Affinity(affinity))) => affinity.state == AffinityState::Confirmed,
            _ => false,
        };
        assert_eq!(is_owned, is_confirmed, "{block}");
        is_owned
    }

    pub async fn configure(&self, strict: bool, auto: bool, limit: u32, cooldown: u32) {
        let config = IpamConfig {
            // The limit is there for clusters with strict affinity: others borrow.
            max_blocks_per_host: if strict { limit } else { 0 },
            strict_affinity: strict,
            auto_allocate_blocks: auto,
            ip_cooldown_seconds: cooldown,
            ..IpamConfig::default()
        };
        self.put(Key::IpamConfig, config).await;
    }

    pub async fn label(&self, host: usize, zone: bool) {
        let mut node: Node = Resource::new(Kind::Node, HOSTS[host], Map::new());
        node.metadata.labels.extend(zone.then(|| ("zone".to_owned(), "a".to_owned())));
        self.put(Key::resource(Kind::Node, HOSTS[host]), node).await;
    }

    pub async fn change_pool(&self, pool: usize, disabled: bool, zone: bool) {
        let key = Key::resource(Kind::IpPool, POOLS[pool].0);
        let mut answers = self.store.read(&[Want::Get(key.clone())]).await.unwrap();
        let mut changed: IpPool = answers.get().unwrap().unwrap().value;
        changed.spec.disabled = disabled;
        changed.spec.node_selector = if zone { "zone == 'a'" } else { "all()" }.to_owned();
        self.put(key, changed).await;
    }

    pub(super) async fn reserve(&self, range: Option<usize>) {
        let key = Key::resource(Kind::IpReservation, "reserved");
        let reserved_cidrs = range.map(|range| RANGES[range].to_owned()).into_iter().collect();
        if range.is_none() {
            return self.delete(key).await;
        }
        let spec = IpReservationSpec { reserved_cidrs, ..IpReservationSpec::default() };
        let reservation: IpReservation = Resource::new(Kind::IpReservation, "reserved", spec);
        self.put(key, reservation).await;
    }
}
