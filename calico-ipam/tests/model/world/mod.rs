//! The model: a datastore (`crate::Base`), what is known of it, and what may happen.

pub mod cases;
mod check;
mod expect;
#[path = "../faulty.rs"]
pub mod faulty;
mod operate;
pub mod ops;
mod others;
mod perform;
mod rules;
mod watched;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::rc::Rc;
use std::time::SystemTime;

use calico_datastore::{Datastore, Outcome, Want, Write};
use calico_ipam::{AutoAssign, Demand, Ipam};
use calico_model::resource::ClusterInformationSpec;
use calico_model::{ClusterInformation, IpPool, IpVersion, Key, Kind, Node, Object, Resource};
use ipnetwork::IpNetwork;
use serde_json::Map;

use faulty::{Faults, Faulty, Style};
use ops::{HOSTS, MANUAL, Op, POOLS, Step, Wish};
use rules::Asked;
use watched::{MOST_OF_MACHINE, Watched, is_machine};

use crate::Base;

/// The store, what the model knows of it, and the processes that use it.
pub struct World {
    pub store: Rc<Watched>,
    pub faulty: Faulty<Watched>,
    /// Nothing goes wrong, and nobody else writes.
    pub calm: bool,
    known: Rc<Known>,
}

/// What the model knows of the addresses of containers. Those of virtual machines may be given to several calls, each of
/// which may take them back.
#[derive(Default)]
struct Known {
    granted: RefCell<BTreeMap<String, BTreeSet<IpAddr>>>,
    /// Handles whose addresses are uncertain: their process died, or they were released while being added to.
    uncertain: RefCell<BTreeSet<String>>,
    /// The handle of the operation in progress.
    current: RefCell<String>,
}

impl Known {
    fn grant(&self, handle: &str, addresses: BTreeSet<IpAddr>) {
        if is_machine(handle) || self.is_in_doubt(handle) {
            return;
        }
        let mut granted = self.granted.borrow_mut();
        for (other, held) in granted.iter() {
            assert!(held.is_disjoint(&addresses), "{addresses:?}, given to {handle}, are {other}'s");
        }
        granted.entry(handle.to_owned()).or_default().extend(addresses);
    }

    /// From here on the addresses of a handle may be another's.
    fn forget(&self, handle: &str) {
        self.granted.borrow_mut().remove(handle);
    }

    fn is_in_doubt(&self, handle: &str) -> bool {
        self.uncertain.borrow().contains(handle)
    }

    fn doubt(&self, handle: &str) {
        self.uncertain.borrow_mut().insert(handle.to_owned());
    }
}

impl World {
    /// A world in a store, from which everything is deleted.
    pub async fn new(store: Rc<Base>, style: Style, faults: Faults, seed: u64) -> World {
        let store = Rc::new(Watched::new(store, 1_800_000_000).await);
        let faulty = Faulty::new(store.clone(), style, faults, seed);
        let world = World { calm: faults == Faults::NONE, store, faulty, known: Rc::default() };
        let ready = ClusterInformationSpec { datastore_ready: Some(true), ..ClusterInformationSpec::default() };
        let ready: ClusterInformation = Resource::new(Kind::ClusterInformation, "default", ready);
        world.put(Key::resource(Kind::ClusterInformation, "default"), ready).await;
        for host in HOSTS {
            let node: Node = Resource::new(Kind::Node, host, Map::new());
            world.put(Key::resource(Kind::Node, host), node).await;
        }
        for (name, cidr, size) in POOLS {
            let mut pool = IpPool::routed(name, cidr.parse().unwrap());
            pool.spec.block_size = size;
            if name == MANUAL.0 {
                pool.spec.assignment_mode = "Manual".to_owned();
            }
            world.put(Key::resource(Kind::IpPool, name), pool).await;
        }
        world.let_others_write();
        world
    }

    /// Stores an object, whatever is there.
    async fn put(&self, key: Key, object: impl Into<Object>) {
        let found = self.store.read(&[Want::Get(key.clone())]).await.unwrap().entries().pop();
        let write = match found {
            Some(entry) => Write::update(key, entry.revision, object),
            None => Write::create(key, object),
        };
        assert!(matches!(self.store.commit(&[write]).await.unwrap(), Outcome::Applied(_)));
    }

    /// Deletes an object, if it is there.
    async fn delete(&self, key: Key) {
        let found = self.store.read(&[Want::Get(key.clone())]).await.unwrap().entries().pop();
        if let Some(entry) = found {
            let write = Write::delete(key, entry.revision);
            assert!(matches!(self.store.commit(&[write]).await.unwrap(), Outcome::Applied(_)));
        }
    }

    /// A second goes by, and then a process of a host begins.
    fn process(&self, host: usize) -> (Ipam<&Faulty<Watched>>, SystemTime) {
        let now = self.store.wait(1);
        (Ipam::new(&self.faulty, HOSTS[host], now), now)
    }

    /// A process that nothing disturbs.
    pub fn quiet_process(&self, host: usize) -> (Ipam<&Watched>, SystemTime) {
        let now = self.store.wait(1);
        (Ipam::new(&*self.store, HOSTS[host], now), now)
    }

    /// All of a case.
    pub async fn live(&self, steps: &[Step]) {
        for step in steps {
            self.step(step).await;
        }
        self.check_end().await;
    }

    async fn step(&self, step: &Step) {
        let holder = match step.op {
            Op::Assign { holder, .. }
            | Op::ExplainAndAssign { holder, .. }
            | Op::Fixed { holder, .. }
            | Op::Release { holder, .. } => ops::handle(holder),
            _ => ops::handle(0),
        };
        *self.known.current.borrow_mut() = holder.clone();
        self.faulty.dies(step.death);
        match &step.op {
            Op::Assign { host, wish, .. } => self.assign(*host, &holder, *wish).await,
            Op::ExplainAndAssign { host, wish, .. } => self.explain_and_assign(*host, &holder, *wish).await,
            Op::Fixed { host, offset, .. } => self.fixed(*host, &holder, *offset).await,
            Op::Release { host, .. } => self.release(*host, &holder).await,
            Op::Ensure { host } => self.ensure(*host).await,
            Op::Claim { host, range } => self.claim(*host, *range).await,
            Op::GiveUp { host, range, must_be_empty } => self.give_up(*host, *range, *must_be_empty).await,
            Op::GiveUpAll { host, must_be_empty } => self.give_up_all(*host, *must_be_empty).await,
            Op::GiveUpPool { pool } => self.give_up_pool(*pool).await,
            Op::Wait(seconds) => drop(self.store.wait(*seconds)),
            Op::Configure { strict, auto, limit, cooldown } => {
                self.configure(*strict, *auto, *limit, *cooldown).await;
            }
            Op::Label { host, zone } => self.label(*host, *zone).await,
            Op::Pool { pool, disabled, zone } => self.change_pool(*pool, *disabled, *zone).await,
            Op::Reserve { range } => self.reserve(*range).await,
        }
        self.faulty.dies(None);
        self.check_invariants().await;
    }
}

/// The wish as a request, for a handle.
fn request(wish: Wish, handle: &str) -> (AutoAssign, Asked) {
    let is_machine = is_machine(handle);
    let count = |count: usize| if is_machine { count.min(MOST_OF_MACHINE) } else { count };
    let mut ipv4 = Demand::any(IpVersion::V4, count(wish.ipv4));
    let asked = if wish.manual { Asked::Pool(MANUAL.1) } else { Asked::Any };
    if wish.manual {
        ipv4.pools = vec![MANUAL.1.parse::<IpNetwork>().unwrap()];
    }
    let mut request = AutoAssign::workload(vec![ipv4, Demand::any(IpVersion::V6, count(wish.ipv6))]);
    request.most_for_handle = is_machine.then_some(MOST_OF_MACHINE);
    (request, asked)
}
