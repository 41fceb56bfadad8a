//! Operations on affinities: claiming and giving up blocks other than in the course of an allocation.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use calico_datastore::{Answers, Datastore, Stored, Want};
use calico_model::object::Malformed;
use calico_model::pool::Use;
use calico_model::{Affinity, AffinityState, IpPool, IpVersion, IpamConfig, Key, Kind, Listing, Node, Owner, cidr};
use ipnetwork::IpNetwork;

use crate::assign::{Demand, Search, Terms};
use crate::block::{Cooldown, HostReserve};
use crate::claim::{Claim, Condition, GivenUp};
use crate::error::Error;
use crate::inputs::{self, Inputs};
use crate::{Ipam, Lease, pools};

/// The most blocks that are claimed in one operation: those of a /12 of blocks of 64 addresses.
const MOST_BLOCKS: usize = 16_384;

/// What a release needs to know: how long addresses rest, and whether a block that it empties is still to be kept.
#[derive(Debug, Default)]
pub(crate) struct Setting {
    /// `None` where it cannot be read.
    config: Option<IpamConfig>,
    /// `None` where it was not read.
    surroundings: Option<Surroundings>,
}

/// What decides whether an owner keeps an empty block.
#[derive(Debug, Default)]
pub(crate) struct Surroundings {
    pub pools: Vec<IpPool>,
    /// The labels of this node; `None` where it has no record, or where the owner is no node.
    labels: Option<BTreeMap<String, String>>,
}

impl Surroundings {
    /// What to read.
    pub fn wants(owner: &Owner) -> Vec<Want> {
        let node = match owner {
            Owner::Host(node) => Some(Want::Get(Key::resource(Kind::Node, node))),
            Owner::Virtual(_) => None,
        };
        [Want::List(Listing::Resources(Kind::IpPool))].into_iter().chain(node).collect()
    }

    /// Takes the answers to [`Surroundings::wants`].
    pub fn take(owner: &Owner, answers: &mut Answers) -> Surroundings {
        let pools = answers.list().into_iter().map(|stored| stored.value).collect();
        let node: Option<Stored<Node>> = match owner {
            Owner::Host(_) => answers.get().ok().flatten(),
            Owner::Virtual(_) => None,
        };
        Surroundings { pools, labels: node.map(|stored| stored.value.metadata.labels) }
    }
}

impl Setting {
    /// What was read elsewhere.
    pub fn of(config: Option<IpamConfig>, surroundings: Option<Surroundings>) -> Setting {
        Setting { config, surroundings }
    }

    /// What to read; where only the settings may be read, blocks are kept.
    pub fn wants(owner: &Owner, all: bool) -> Vec<Want> {
        let surroundings = if all { Surroundings::wants(owner) } else { Vec::new() };
        [Want::Get(Key::IpamConfig)].into_iter().chain(surroundings).collect()
    }

    /// Takes the answers to [`Setting::wants`]. What cannot be read there does not keep an address from being released.
    pub fn take(owner: &Owner, all: bool, answers: &mut Answers) -> Setting {
        let config = inputs::config(answers).ok();
        Setting { config, surroundings: all.then(|| Surroundings::take(owner, answers)) }
    }

    /// The pools, as far as they were read.
    pub fn pools(&self) -> &[IpPool] {
        self.surroundings.as_ref().map_or(&[], |surroundings| &surroundings.pools)
    }

    /// How long released addresses rest. Where that cannot be read, nobody's rest ends.
    pub fn cooldown(&self, now: SystemTime) -> Cooldown {
        Cooldown { rest: self.config.as_ref().map_or(Duration::MAX, IpamConfig::cooldown), now }
    }
}

/// What became of claims.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Claims {
    /// The blocks that are this owner's now.
    pub claimed: Vec<IpNetwork>,
    /// The blocks that are others'.
    pub others: Vec<IpNetwork>,
}

/// What became of affinities that were to be given up.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Releases {
    /// What became of each, but for those that cannot be read.
    pub ends: Vec<(Owner, IpNetwork, GivenUp)>,
    /// What is wrong with those that cannot be read.
    pub malformed: Vec<Malformed>,
}

impl<D: Datastore> Ipam<D> {
    /// Claims every block in `cidr` for this owner, all in all or as far as they are free.
    ///
    /// # Errors
    /// `cidr` lies in no enabled pool, is smaller than a block there, or has more blocks than can be claimed at once.
    pub async fn claim_affinities(&self, range: IpNetwork, reserve: Option<&HostReserve>) -> Result<Claims, Error> {
        let range = cidr::masked(&range);
        let wants = [Want::List(Listing::Resources(Kind::IpPool)), Want::Get(Key::IpamConfig)];
        let mut answers = self.store.read(&wants).await?;
        let pools: Vec<IpPool> = answers.list().into_iter().map(|stored| stored.value).collect();
        let pool = pool_of(&pools, range)?;
        if !pools::has_usable_blocks(pool) {
            let verdicts = vec![pools::unusable_blocks(pool)];
            return Err(Error::NoPool { version: pool.version(), verdicts });
        }
        let config = inputs::config(&mut answers)?;
        let blocks: Vec<IpNetwork> =
            crate::start_block::in_order(range, pool.block_size()).take(MOST_BLOCKS + 1).collect();
        if blocks.len() > MOST_BLOCKS {
            return Err(Error::TooManyBlocks { cidr: range, most: MOST_BLOCKS });
        }
        let read = self.read_claims(blocks.iter().map(|&block| (self.owner.clone(), block))).await?;
        let claims: Vec<Claim> = read.into_iter().filter_map(Result::ok).collect();
        let mut done = Claims::default();
        let cidrs: Vec<IpNetwork> = claims.iter().map(|claim| claim.cidr).collect();
        let ends = self.make_claims(claims, reserve, self.cooldown(&config)).await?;
        for (block, end) in cidrs.into_iter().zip(ends) {
            if matches!(end, Ok(Some(_))) {
                done.claimed.push(block);
            }
        }
        let claimed: BTreeSet<&IpNetwork> = done.claimed.iter().collect();
        done.others = blocks.into_iter().filter(|block| !claimed.contains(block)).collect();
        Ok(done)
    }

    /// Gives up this owner's affinities to blocks in `range`.
    ///
    /// # Errors
    /// `range` lies in no enabled pool, or is smaller than a block there.
    pub async fn release_affinities(&self, range: IpNetwork, must_be_empty: bool) -> Result<Releases, Error> {
        let range = cidr::masked(&range);
        let owner = self.owner.clone();
        let wants = [
            Want::List(Listing::Resources(Kind::IpPool)),
            Want::Get(Key::IpamConfig),
            Want::List(Listing::Affinities { owner, version: cidr::version(&range) }),
        ];
        let mut answers = self.store.read(&wants).await?;
        let pools: Vec<IpPool> = answers.list().into_iter().map(|stored| stored.value).collect();
        pool_of(&pools, range)?;
        let config = inputs::config(&mut answers)?;
        let claims = named(answers.list()).filter(|(_, block)| cidr::contains(&range, block)).collect();
        self.release_claims(claims, must_be_empty, self.cooldown(&config)).await
    }

    /// Gives up all of this owner's affinities: those of a node that is no more, for example.
    pub async fn release_all_affinities(&self, must_be_empty: bool) -> Result<Releases, Error> {
        let listings = IpVersion::BOTH.map(|version| Listing::Affinities { owner: self.owner.clone(), version });
        self.release_listed(&listings, must_be_empty, |_| true).await
    }

    /// Gives up all owners' affinities to blocks of a pool, also those with addresses in use: these stay, in blocks that are
    /// nobody's, until they are released.
    pub async fn release_pool_affinities(&self, pool: IpNetwork) -> Result<Releases, Error> {
        let listings = [Listing::HostAffinities, Listing::VirtualAffinities];
        self.release_listed(&listings, false, |block| pool.contains(block.ip())).await
    }

    async fn release_listed(
        &self,
        listings: &[Listing],
        must_be_empty: bool,
        chosen: impl Fn(&IpNetwork) -> bool,
    ) -> Result<Releases, Error> {
        let lists = listings.iter().cloned().map(Want::List);
        let wants: Vec<Want> = [Want::Get(Key::IpamConfig)].into_iter().chain(lists).collect();
        let mut answers = self.store.read(&wants).await?;
        let config = inputs::config(&mut answers)?;
        let listed: Vec<Stored<Affinity>> = listings.iter().flat_map(|_| answers.list()).collect();
        self.release_claims(
            named(listed).filter(|(_, block)| chosen(block)).collect(),
            must_be_empty,
            self.cooldown(&config),
        )
        .await
    }

    async fn release_claims(
        &self,
        claims: Vec<(Owner, IpNetwork)>,
        must_be_empty: bool,
        cooldown: Cooldown,
    ) -> Result<Releases, Error> {
        let mut done = Releases::default();
        let mut read = Vec::new();
        for claim in self.read_claims(claims).await? {
            match claim {
                Ok(claim) => read.push(claim),
                Err(malformed) => done.malformed.push(malformed),
            }
        }
        let names: Vec<(Owner, IpNetwork)> = read.iter().map(|claim| (claim.owner.clone(), claim.cidr)).collect();
        let condition = Condition { must_be_empty, sequence: None };
        let ends = self.give_up(read, condition, cooldown).await?;
        for ((owner, block), end) in names.into_iter().zip(ends) {
            match end {
                Ok(end) => done.ends.push((owner, block, end)),
                Err(malformed) => done.malformed.push(malformed),
            }
        }
        Ok(done)
    }

    /// Puts this owner's affinities in order before an allocation: those that a dead process left half-way, and those to blocks
    /// without an address in use whose pools choose other nodes now, unless this allocation asks for just these pools. Best
    /// effort: what does not succeed is tried again by the next allocation.
    pub(crate) async fn put_in_order(&self, inputs: &Inputs, searches: &[Search<'_>]) {
        let is_unfinished = |stored: &&Stored<Affinity>| stored.value.state != AffinityState::Confirmed;
        let unfinished: Vec<Stored<Affinity>> = inputs.affinities.iter().filter(is_unfinished).cloned().collect();
        if !unfinished.is_empty() {
            let _ = self.finish(unfinished).await;
        }
        let is_deselected = |stored: &&Stored<Affinity>| match &stored.key {
            Key::Affinity { owner: Owner::Host(_), block } => {
                !searches.iter().any(|search| search.may_use(block))
                    && pools::is_deselected(&inputs.pools, &inputs.labels, block)
            }
            _ => false,
        };
        let deselected: Vec<(Owner, IpNetwork)> =
            named(inputs.affinities.iter().filter(is_deselected).cloned().collect()).collect();
        if !deselected.is_empty() {
            let _ = self.release_claims(deselected, true, self.cooldown(&inputs.config)).await;
        }
    }

    async fn finish(&self, unfinished: Vec<Stored<Affinity>>) -> Result<(), Error> {
        let claims = self.read_claims(named(unfinished)).await?;
        self.settle_claims(claims.into_iter().filter_map(Result::ok).collect()).await
    }

    /// Gives up blocks in which nothing is in use any more, as far as their pools choose other nodes than their owners now.
    /// Best effort, as above.
    pub(crate) async fn give_up_emptied(&self, emptied: Vec<(Owner, IpNetwork)>, setting: &Setting) {
        if !emptied.is_empty() {
            let _ = self.try_give_up_emptied(emptied, setting).await;
        }
    }

    async fn try_give_up_emptied(&self, emptied: Vec<(Owner, IpNetwork)>, setting: &Setting) -> Result<(), Error> {
        let read;
        let Surroundings { pools, labels: own } = match &setting.surroundings {
            Some(known) => known,
            None => {
                let mut answers = self.store.read(&Surroundings::wants(&self.owner)).await?;
                read = Surroundings::take(&self.owner, &mut answers);
                &read
            }
        };
        // Most pools choose all nodes: then nothing more needs to be read.
        let may_go = |(_, block): &(Owner, IpNetwork)| pools::chooses_nodes(pools, block);
        let emptied: Vec<(Owner, IpNetwork)> = emptied.into_iter().filter(may_go).collect();
        let mut labels: BTreeMap<&Owner, BTreeMap<String, String>> = BTreeMap::new();
        let others: BTreeSet<&Owner> = emptied.iter().map(|(owner, _)| owner).filter(|o| **o != self.owner).collect();
        let nodes: Vec<&Owner> = others.into_iter().filter(|owner| matches!(owner, Owner::Host(_))).collect();
        let wants: Vec<Want> = nodes.iter().map(|owner| Want::Get(Key::resource(Kind::Node, owner.name()))).collect();
        if !wants.is_empty() {
            let mut answers = self.store.read(&wants).await?;
            for owner in nodes {
                labels.extend(answers.get::<Node>()?.map(|known| (owner, known.value.metadata.labels)));
            }
        }
        labels.extend(own.clone().map(|own| (&self.owner, own)));
        let deselected = |(owner, block): &&(Owner, IpNetwork)| {
            labels.get(owner).is_some_and(|labels| pools::is_deselected(pools, labels, block))
        };
        let deselected: Vec<(Owner, IpNetwork)> = emptied.iter().filter(deselected).cloned().collect();
        if !deselected.is_empty() {
            self.release_claims(deselected, true, setting.cooldown(self.now)).await?;
        }
        Ok(())
    }

    /// Sees to it that this owner has a block of each family that is demanded, whether or not it has free addresses, and
    /// answers them.
    ///
    /// # Errors
    /// As [`Ipam::auto_assign`]; also where every block is another owner's.
    pub async fn ensure_blocks(&self, inputs: &Inputs, demands: &[Demand]) -> Result<Vec<IpNetwork>, Error> {
        let mut blocks = Vec::new();
        for demand in demands {
            let (intended_use, namespace) = (Use::Workload, BTreeMap::new());
            let terms =
                Terms { demand, intended_use: &intended_use, namespace: &namespace, limit: None, any_own_block: true };
            let mut searches = [Search::start(inputs, terms, &self.owner, self.now)?];
            self.find_blocks(&mut searches, &Lease::new("", [])).await?;
            let [search] = searches;
            match search.found {
                Some(found) => blocks.push(found.value.cidr),
                None => return Err(Error::NoFreeBlocks { rooms: search.rooms(&self.owner) }),
            }
        }
        Ok(blocks)
    }
}

/// The owners and blocks that affinities are about.
fn named(affinities: Vec<Stored<Affinity>>) -> impl Iterator<Item = (Owner, IpNetwork)> {
    affinities.into_iter().filter_map(|stored| match stored.key {
        Key::Affinity { owner, block } => Some((owner, block)),
        _ => None,
    })
}

/// The enabled pool that a range of blocks lies in.
fn pool_of(pools: &[IpPool], range: IpNetwork) -> Result<&IpPool, Error> {
    let version = cidr::version(&range);
    let pool = pools::around(pools, &range)
        .ok_or_else(|| Error::NotWithinPools { cidr: range, verdicts: pools::availability(pools, version) })?;
    if range.prefix() > pool.block_size() {
        return Err(Error::SmallerThanBlock { cidr: range, block_size: pool.block_size() });
    }
    Ok(pool)
}
