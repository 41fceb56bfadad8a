//! Allocation against a model: random operations of several hosts, with other writers between any two keys of a read
//! and before any commit, answers that get lost, requests that land late, and processes that die after any write.
//!
//! After every operation the store must keep the invariants; at the end everything must be releasable.
//!
//! `MODEL_SEED` gives the seed (printed at the start), `MODEL_CASES` the number of cases.

#![allow(clippy::print_stdout, reason = "the seed is for whoever reads a failed test's output")]

mod faulty;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use calico_datastore::local::Local;
use calico_datastore::{Datastore, Outcome, Want, Write};
use calico_ipam::audit::{Finding, audit};
use calico_ipam::{AssignAddress, AutoAssign, Demand, Inputs, Ipam, Lease};
use calico_model::{Block, Handle, IpPool, IpVersion, Key, Kind, Listing};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use faulty::{Faults, Faulty, Style};

const HOSTS: [&str; 2] = ["node-1", "node-2"];
const CONTAINERS: u8 = 5;
/// Four blocks of four addresses, so that hosts run out, borrow and meet each other all the time.
const POOL4: (&str, u8) = ("10.0.0.0/28", 30);
const POOL6: (&str, u8) = ("fd00::/126", 127);

#[derive(Debug, Clone)]
enum Op {
    Assign { host: usize, container: u8, ipv4: usize, ipv6: usize },
    Fixed { host: usize, container: u8, offset: u8 },
    Release { host: usize, container: u8 },
}

#[derive(Debug, Clone)]
struct Step {
    op: Op,
    /// The process dies after this many commits.
    dies_after: Option<u8>,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let host = 0..HOSTS.len();
    let op = prop_oneof![
        5 => (host.clone(), 0..CONTAINERS, 0..4_usize, 0..3_usize)
            .prop_map(|(host, container, ipv4, ipv6)| Op::Assign { host, container, ipv4, ipv6 }),
        1 => (host.clone(), 0..CONTAINERS, 0..20_u8)
            .prop_map(|(host, container, offset)| Op::Fixed { host, container, offset }),
        4 => (host, 0..CONTAINERS).prop_map(|(host, container)| Op::Release { host, container }),
    ];
    let dies_after = prop_oneof![9 => Just(None), 1 => (0..5_u8).prop_map(Some)];
    prop::collection::vec((op, dies_after).prop_map(|(op, dies_after)| Step { op, dies_after }), 1..25)
}

fn runner() -> TestRunner {
    let number = |name: &str, default: u64| {
        std::env::var(name)
            .map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
    };
    let seed = number("MODEL_SEED", 20_261_123);
    let cases = number("MODEL_CASES", 200) as u32;
    println!("MODEL_SEED={seed} MODEL_CASES={cases}");
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes))
}

fn check(style: Style, faults: Faults, deaths: bool) {
    let strategy = (steps(), any::<u64>());
    let result = runner().run(&strategy, |(mut steps, seed)| {
        if !deaths {
            steps.iter_mut().for_each(|step| step.dies_after = None);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let world = World::new(style, faults, seed).await;
            for step in &steps {
                world.step(step).await;
                world.check_invariants().await;
            }
            world.check_end().await;
        });
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}

#[test]
fn undisturbed() {
    check(Style::Atomic, Faults::NONE, false);
}

#[test]
fn other_writers_between_any_two_reads() {
    check(Style::Atomic, Faults { writers: 12, ..Faults::NONE }, false);
}

#[test]
fn other_writers_where_writes_are_applied_one_by_one() {
    check(Style::Ordered, Faults { writers: 12, ..Faults::NONE }, false);
}

#[test]
fn unknown_outcomes() {
    check(Style::Atomic, Faults { writers: 6, lost: 15, late: 0 }, false);
}

#[test]
fn unknown_outcomes_where_writes_are_applied_one_by_one() {
    check(Style::Ordered, Faults { writers: 6, lost: 15, late: 0 }, false);
}

#[test]
fn requests_that_land_after_their_answer_was_given_up() {
    check(Style::Atomic, Faults { writers: 6, lost: 8, late: 15 }, false);
    check(Style::Ordered, Faults { writers: 6, lost: 8, late: 15 }, false);
}

#[test]
fn death_after_any_write() {
    check(Style::Atomic, Faults { writers: 6, lost: 5, late: 10 }, true);
    check(Style::Ordered, Faults { writers: 6, lost: 5, late: 10 }, true);
}

/// The store, what the model knows of it, and the clock.
struct World {
    store: Rc<Local>,
    faulty: Faulty,
    calm: bool,
    granted: Rc<RefCell<BTreeMap<String, BTreeSet<IpAddr>>>>,
    clock: Rc<Cell<u64>>,
    /// Handles whose addresses are uncertain: their process died, or they were released while being added to.
    uncertain: Rc<RefCell<BTreeSet<String>>>,
    /// The handle of the operation in progress.
    current: Rc<RefCell<String>>,
}

impl World {
    async fn new(style: Style, faults: Faults, seed: u64) -> World {
        let store = Rc::new(Local::in_memory().await.unwrap());
        for host in HOSTS {
            store.seed(host, &[]).await.unwrap();
        }
        for (name, (cidr, size)) in [("four", POOL4), ("six", POOL6)] {
            let mut pool = IpPool::routed(name, cidr.parse().unwrap());
            pool.spec.block_size = size;
            store.commit(&[Write::create(Key::resource(Kind::IpPool, name), pool)]).await.unwrap();
        }
        let granted = Rc::new(RefCell::default());
        let clock = Rc::new(Cell::new(1_800_000_000));
        let faulty = Faulty::new(store.clone(), style, faults, seed);
        let (uncertain, current) = (Rc::default(), Rc::default());
        let world = World { calm: faults == Faults::NONE, store, faulty, granted, clock, uncertain, current };
        world.let_others_write();
        world
    }

    /// Gives the store the other writers that interrupt it: whole calls for containers of their own.
    fn let_others_write(&self) {
        let (store, granted, clock) = (self.store.clone(), self.granted.clone(), self.clock.clone());
        let (uncertain, current) = (self.uncertain.clone(), self.current.clone());
        self.faulty.set_other_writer(move |random| {
            let (store, granted, uncertain) = (store.clone(), granted.clone(), uncertain.clone());
            let current = current.borrow().clone();
            clock.set(clock.get() + 1);
            let now = SystemTime::UNIX_EPOCH + Duration::from_secs(clock.get());
            Box::pin(async move {
                let handle = format!("net.other-{}", random % 6);
                let ipam = Ipam::new(&*store, HOSTS[random as usize % HOSTS.len()], now);
                if random % 5 == 0 {
                    // A DEL of the very container that is being added or deleted.
                    granted.borrow_mut().remove(&current);
                    uncertain.borrow_mut().insert(current.clone());
                    ipam.release_by_handle(ipam.read_handle(&current).await.unwrap()).await.unwrap();
                    return;
                }
                if granted.borrow().contains_key(&handle) {
                    ipam.release_by_handle(ipam.read_handle(&handle).await.unwrap()).await.unwrap();
                    granted.borrow_mut().remove(&handle);
                    return;
                }
                let lease = lease(&handle, now);
                let inputs = ipam.read_inputs().await.unwrap();
                let request = request(1 + random as usize / 8 % 2, random as usize / 16 % 2);
                let assigned = ipam.auto_assign(&inputs, &request, &lease).await.unwrap();
                let addresses: BTreeSet<IpAddr> = assigned.allocations.iter().map(|a| a.address).collect();
                grant(&mut granted.borrow_mut(), &handle, addresses);
            })
        });
    }

    fn now(&self) -> SystemTime {
        self.clock.set(self.clock.get() + 1);
        SystemTime::UNIX_EPOCH + Duration::from_secs(self.clock.get())
    }

    async fn step(&self, step: &Step) {
        self.faulty.dies_after(step.dies_after);
        let (Op::Assign { container, .. } | Op::Fixed { container, .. } | Op::Release { container, .. }) = step.op;
        *self.current.borrow_mut() = handle(container);
        match step.op {
            Op::Assign { host, container, ipv4, ipv6 } => self.assign(host, container, request(ipv4, ipv6)).await,
            Op::Fixed { host, container, offset } => self.fixed(host, container, offset).await,
            Op::Release { host, container } => self.release(host, container).await,
        }
        self.faulty.dies_after(None);
    }

    fn grant(&self, handle: &str, addresses: BTreeSet<IpAddr>) {
        if !self.uncertain.borrow().contains(handle) {
            grant(&mut self.granted.borrow_mut(), handle, addresses);
        }
    }

    async fn assign(&self, host: usize, container: u8, request: AutoAssign) {
        let now = self.now();
        let (handle, ipam) = (handle(container), Ipam::new(&self.faulty, HOSTS[host], now));
        let lease = lease(&handle, now);
        let free = self.free().await;
        let result = match ipam.read_inputs().await {
            Ok(inputs) => ipam.auto_assign(&inputs, &request, &lease).await,
            Err(error) => Err(error),
        };
        match result {
            Ok(assigned) if assigned.shortfalls.is_empty() => {
                let wanted: usize = request.demands.iter().map(|demand| demand.count).sum();
                assert_eq!(assigned.allocations.len(), wanted);
                let addresses = assigned.allocations.iter().map(|a| a.address).collect();
                self.grant(&handle, addresses);
            }
            Ok(assigned) => {
                for shortfall in &assigned.shortfalls {
                    let free = free[&shortfall.version];
                    assert!(!self.calm || shortfall.got == free, "{shortfall}, with {free} free");
                }
                self.undo(&ipam, &lease).await;
            }
            Err(error) => {
                assert!(self.faulty.is_dead(), "{error}");
                self.undo(&ipam, &lease).await;
            }
        }
    }

    async fn fixed(&self, host: usize, container: u8, offset: u8) {
        let now = self.now();
        let (handle, ipam) = (handle(container), Ipam::new(&self.faulty, HOSTS[host], now));
        let lease = lease(&handle, now);
        let address: IpAddr = format!("10.0.0.{offset}").parse().unwrap();
        let taken = |world: &World| world.granted.borrow().values().any(|addresses| addresses.contains(&address));
        let taken_before = taken(self);
        let result = match ipam.read_inputs().await {
            Ok(inputs) => ipam.assign_address(&inputs, &AssignAddress::workload(address), &lease).await,
            Err(error) => Err(error),
        };
        match result {
            Ok(allocation) => {
                assert_eq!(allocation.address, address);
                assert!(!self.calm || !taken_before);
                self.grant(&handle, [address].into());
            }
            Err(error) => {
                let fair = taken_before || offset > 15 || !self.calm;
                assert!(fair, "{error}");
                self.undo(&ipam, &lease).await;
            }
        }
    }

    /// As the plugin does: what was not handed out is taken back. A dead process cannot.
    async fn undo(&self, ipam: &Ipam<&Faulty>, lease: &Lease) {
        let undone = ipam.undo(lease).await;
        assert!(undone.is_ok() || self.faulty.is_dead(), "{undone:?}");
        if undone.is_err() {
            self.uncertain.borrow_mut().insert(lease.handle().to_owned());
        }
    }

    async fn release(&self, host: usize, container: u8) {
        let now = self.now();
        let ipam = Ipam::new(&self.faulty, HOSTS[host], now);
        let handle = handle(container);
        // From here on its addresses may be another's.
        self.granted.borrow_mut().remove(&handle);
        let result = match ipam.read_handle(&handle).await {
            Ok(known) => ipam.release_by_handle(known).await,
            Err(error) => Err(error),
        };
        match result {
            Ok(()) => {
                if !self.faulty.anything_late() {
                    self.uncertain.borrow_mut().remove(&handle);
                    let held = self.held().await;
                    assert!(!held.iter().any(|(_, holder)| *holder == handle), "{handle} still has addresses");
                }
            }
            // It may be released, or not: whoever asks again will know.
            Err(error) => {
                assert!(self.faulty.is_dead(), "{error}");
                self.uncertain.borrow_mut().insert(handle);
            }
        }
    }

    async fn blocks(&self) -> Vec<Block> {
        let mut answers = self.store.read(&[Want::List(Listing::Blocks)]).await.unwrap();
        answers.list().into_iter().map(|stored| stored.value).collect()
    }

    /// Every allocated address with its handle.
    async fn held(&self) -> Vec<(IpAddr, String)> {
        let mut held = Vec::new();
        for block in self.blocks().await {
            for ordinal in 0..block.allocations.len() {
                if let Some(attribute) = block.attribute_of(ordinal) {
                    let handle = attribute.handle().expect("every address here has a handle").to_owned();
                    held.push((block.address(ordinal).unwrap(), handle));
                }
            }
        }
        held
    }

    async fn free(&self) -> BTreeMap<IpVersion, usize> {
        let held = self.held().await;
        let used = |version| held.iter().filter(|(address, _)| IpVersion::of(*address) == version).count();
        [(IpVersion::V4, 16 - used(IpVersion::V4)), (IpVersion::V6, 4 - used(IpVersion::V6))].into()
    }

    async fn check_invariants(&self) {
        for block in self.blocks().await {
            assert_eq!(block.inconsistency(), None, "{block:?}");
        }
        let held = self.held().await;
        let holders: BTreeMap<IpAddr, &String> = held.iter().map(|(address, handle)| (*address, handle)).collect();
        assert_eq!(holders.len(), held.len(), "an address is in two blocks");
        for (handle, addresses) in self.granted.borrow().iter() {
            for address in addresses {
                assert_eq!(holders.get(address), Some(&handle), "{address} was given to {handle}");
            }
        }
        for finding in audit(&*self.store, self.now()).await.unwrap() {
            match finding {
                // There are no endpoints here.
                Finding::Leaked { .. } => {}
                // A dead process's claim, or one whose clean-up was lost: the next allocation heals it.
                Finding::UnfinishedAffinity { .. }
                | Finding::AffinityWithoutBlock { .. }
                | Finding::AffinityToForeignBlock { .. }
                | Finding::MissingAffinity { .. }
                    if !self.calm => {}
                Finding::CountsTooMuch { .. } if !self.calm => {}
                finding => panic!("{finding}"),
            }
        }
    }

    /// When all is quiet, releasing every handle there is leaves no address and no handle.
    async fn check_end(&self) {
        self.faulty.calm_down().await;
        self.check_invariants().await;
        for (address, handle) in self.held().await {
            let known = self.granted.borrow().get(&handle).is_some_and(|addresses| addresses.contains(&address));
            assert!(known || self.uncertain.borrow().contains(&handle), "{handle} has {address} and does not know");
        }
        let mut answers = self.store.read(&[Want::List(Listing::Handles)]).await.unwrap();
        let ipam = Ipam::new(&*self.store, HOSTS[0], self.now());
        for handle in answers.list::<Handle>() {
            ipam.release_by_handle(Some(handle)).await.unwrap();
        }
        assert_eq!(self.held().await, []);
        assert!(self.store.read(&[Want::List(Listing::Handles)]).await.unwrap().entries().is_empty());
        // Each host can still use its blocks, whatever state its claims were left in.
        for host in HOSTS {
            let now = self.now();
            let ipam = Ipam::new(&*self.store, host, now);
            let lease = lease(&format!("net.last-{host}"), now);
            let inputs: Inputs = ipam.read_inputs().await.unwrap();
            let assigned = ipam.auto_assign(&inputs, &request(1, 1), &lease).await.unwrap();
            assert_eq!(assigned.shortfalls, []);
            ipam.undo(&lease).await.unwrap();
        }
        assert_eq!(self.held().await, []);
    }
}

fn handle(container: u8) -> String {
    format!("net.c{container}")
}

fn lease(handle: &str, now: SystemTime) -> Lease {
    let timestamp = calico_model::timestamp::go_text(now);
    Lease::new(handle, [("timestamp".to_owned(), timestamp)])
}

fn request(ipv4: usize, ipv6: usize) -> AutoAssign {
    AutoAssign::workload(vec![Demand::any(IpVersion::V4, ipv4), Demand::any(IpVersion::V6, ipv6)])
}

fn grant(granted: &mut BTreeMap<String, BTreeSet<IpAddr>>, handle: &str, addresses: BTreeSet<IpAddr>) {
    for (other, held) in granted.iter() {
        assert!(held.is_disjoint(&addresses), "{addresses:?}, given to {handle}, are {other}'s");
    }
    granted.entry(handle.to_owned()).or_default().extend(addresses);
}

/// A commit whose outcome is not looked at.
async fn apply(store: &Local, writes: &[Write]) -> bool {
    matches!(store.commit(writes).await, Ok(Outcome::Applied(_)))
}
