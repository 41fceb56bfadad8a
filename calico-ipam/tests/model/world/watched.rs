//! A datastore that judges every write at the moment it is applied: between any two writes, whoever makes them, the
//! invariants hold.

use std::cell::{Cell, Ref, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use calico_datastore::{Answers, Datastore, Error, Outcome, Want, Write};
use calico_model::{AffinityState, Block, Handle, IpVersion, Key, Kind, Listing, Object};
use ipnetwork::IpNetwork;

use super::faulty::Below;
use super::rules::{Rules, Stored, moment};
use crate::Base;

/// The most addresses of a family that a virtual machine's handle may have.
pub const MOST_OF_MACHINE: usize = 1;

/// The judging store.
pub struct Watched {
    store: Rc<Base>,
    /// A copy of what is stored: nobody else writes.
    stored: RefCell<Stored>,
    rules: RefCell<Rc<Rules>>,
    /// Seconds since the epoch.
    clock: Cell<u64>,
    writes: Cell<usize>,
}

impl Watched {
    /// The store, from which everything is deleted.
    pub async fn new(store: Rc<Base>, clock: u64) -> Watched {
        let listings = [
            Want::List(Listing::Blocks),
            Want::List(Listing::Handles),
            Want::List(Listing::HostAffinities),
            Want::List(Listing::Resources(Kind::ClusterInformation)),
            Want::List(Listing::Resources(Kind::IpPool)),
            Want::List(Listing::Resources(Kind::IpReservation)),
            Want::List(Listing::Resources(Kind::Node)),
            Want::Get(Key::IpamConfig),
        ];
        let mut answers = store.read(&listings).await.unwrap();
        let old = listings.iter().flat_map(|_| answers.entries());
        let deletions: Vec<Write> = old.map(|entry| Write::delete(entry.key, entry.revision)).collect();
        if !deletions.is_empty() {
            assert!(matches!(store.commit(&deletions).await.unwrap(), Outcome::Applied(_)));
        }
        let (stored, rules) = (RefCell::default(), RefCell::default());
        Watched { store, stored, rules, clock: Cell::new(clock), writes: Cell::new(0) }
    }

    /// What is stored.
    pub fn stored(&self) -> Ref<'_, Stored> {
        self.stored.borrow()
    }

    /// The blocks that are stored.
    pub fn blocks(&self) -> Vec<Block> {
        let stored = self.stored();
        let blocks = stored.values().filter_map(|(_, object)| match object {
            Object::Block(block) => Some(block.clone()),
            _ => None,
        });
        blocks.collect()
    }

    /// The rules of now.
    pub fn rules(&self) -> Rc<Rules> {
        self.rules.borrow().clone()
    }

    /// How many writes were applied.
    pub fn writes(&self) -> usize {
        self.writes.get()
    }

    /// The time goes on.
    pub fn wait(&self, seconds: u64) -> std::time::SystemTime {
        self.clock.set(self.clock.get() + seconds);
        self.now()
    }

    /// The time.
    pub fn now(&self) -> std::time::SystemTime {
        moment(self.clock.get())
    }

    /// Applies what was decided under rules that may be of the past.
    async fn commit_under(&self, rules: &Rules, writes: &[Write]) -> Result<Outcome, Error> {
        let outcome = self.store.commit(writes).await?;
        let applied = match &outcome {
            Outcome::Applied(_) => writes,
            Outcome::Conflict { applied, .. } => &writes[..applied.len()],
            Outcome::Unknown(reason) => panic!("the store itself must answer: {reason}"),
        };
        self.note(rules, applied);
        Ok(outcome)
    }

    fn note(&self, rules: &Rules, writes: &[Write]) {
        let mut touched = BTreeSet::new();
        for write in writes {
            self.writes.set(self.writes.get() + 1);
            let path = write.key.path();
            let before = match &write.object {
                Some(object) => self.stored.borrow_mut().insert(path, (write.key.clone(), object.clone())),
                None => self.stored.borrow_mut().remove(&path),
            };
            match &write.key {
                Key::Block(cidr) => {
                    let block = |object: Option<&Object>| match object {
                        Some(Object::Block(block)) => Some(block.clone()),
                        _ => None,
                    };
                    let (before, after) = (block(before.as_ref().map(|(_, o)| o)), block(write.object.as_ref()));
                    rules.judge(before.as_ref(), after.as_ref(), self.now());
                    touched.insert(*cidr);
                }
                Key::Affinity { block, .. } => {
                    touched.insert(*block);
                }
                Key::Handle(_) => {}
                _ => *self.rules.borrow_mut() = Rc::new(Rules::read(&self.stored.borrow())),
            }
        }
        if writes.iter().any(|write| matches!(write.key, Key::Handle(_) | Key::Block(_))) {
            self.judge_handles();
        }
        for block in touched {
            self.judge_affinities(block);
        }
    }

    /// No handle counts fewer addresses than it has, and no machine has more than it may.
    fn judge_handles(&self) {
        let mut held: BTreeMap<(String, IpNetwork), i64> = BTreeMap::new();
        for block in self.blocks() {
            for ordinal in 0..block.allocations.len() {
                if let Some(handle) = block.attribute_of(ordinal).and_then(|attribute| attribute.handle()) {
                    *held.entry((handle.to_owned(), block.cidr)).or_default() += 1;
                }
            }
        }
        let mut of_machines: BTreeMap<(&str, IpVersion), i64> = BTreeMap::new();
        for ((handle, block), &held) in &held {
            let counted = self.handle(handle).map_or(0, |handle| handle.count(block));
            assert!(counted >= held, "handle {handle} counts {counted} addresses in {block}, which has {held}");
            if is_machine(handle) {
                *of_machines.entry((handle, calico_model::cidr::version(block))).or_default() += held;
            }
        }
        for ((handle, version), held) in of_machines {
            assert!(held <= MOST_OF_MACHINE as i64, "{handle} has {held} IPv{version} addresses");
        }
    }

    /// At most one owner has a block.
    fn judge_affinities(&self, cidr: IpNetwork) {
        let stored = self.stored.borrow();
        let is_confirmed = |(key, object): &&(Key, Object)| match (key, object) {
            (Key::Affinity { block, .. }, Object::Affinity(affinity)) => {
                *block == cidr && affinity.state == AffinityState::Confirmed
            }
            _ => false,
        };
        let confirmed: Vec<&Key> = stored.values().filter(is_confirmed).map(|(key, _)| key).collect();
        assert!(confirmed.len() <= 1, "{confirmed:?}");
    }

    /// A handle, if it is stored.
    pub fn handle(&self, id: &str) -> Option<Handle> {
        match self.stored.borrow().get(&Key::Handle(id.to_owned()).path()) {
            Some((_, Object::Handle(handle))) => Some(handle.clone()),
            _ => None,
        }
    }
}

impl Below for Watched {
    /// The rules that it was decided under.
    type Sent = Rc<Rules>;

    fn sent(&self) -> Rc<Rules> {
        self.rules()
    }

    async fn land(&self, sent: &Rc<Rules>, writes: &[Write]) -> bool {
        matches!(self.commit_under(sent, writes).await, Ok(Outcome::Applied(_)))
    }
}

/// Whether a handle is a virtual machine's.
pub fn is_machine(handle: &str) -> bool {
    handle.contains(".vmi.")
}

impl Datastore for Watched {
    async fn read(&self, wants: &[Want]) -> Result<Answers, Error> {
        self.store.read(wants).await
    }

    async fn commit(&self, writes: &[Write]) -> Result<Outcome, Error> {
        self.commit_under(&self.rules(), writes).await
    }

    async fn settle(&self) -> Result<(), Error> {
        self.store.settle().await
    }

    fn answers_singly(&self) -> bool {
        self.store.answers_singly()
    }

    fn name(&self) -> String {
        self.store.name()
    }
}
