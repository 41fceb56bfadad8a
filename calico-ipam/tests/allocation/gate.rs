//! A store without transactions: a commit is applied write by write, and something happens between two of them.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::pin::Pin;

use calico_datastore::{Answers, Datastore, Error, Outcome, Want, Write};
use calico_ipam::Ipam;
use calico_model::Key;

use crate::world::World;

/// A store that counts the reads, and on which things happen one after the other, each just after a write of a certain kind
/// was applied.
pub struct Gate<'w> {
    world: &'w World,
    events: RefCell<Events<'w>>,
    is_dead: Cell<bool>,
    reads: Cell<usize>,
}

/// After which write each of them happens.
type Events<'w> = VecDeque<(fn(&Key) -> bool, Event<'w>)>;

enum Event<'w> {
    Deed(Pin<Box<dyn Future<Output = ()> + 'w>>),
    /// The process dies: nothing more of what it asks for happens.
    Death,
}

impl<'w> Gate<'w> {
    /// A store on which nothing happens.
    pub fn quiet(world: &'w World) -> Gate<'w> {
        Gate { world, events: RefCell::default(), is_dead: Cell::new(false), reads: Cell::new(0) }
    }

    /// A store on which `deed` is done after a write of such a key.
    pub fn doing(world: &'w World, after: fn(&Key) -> bool, deed: impl Future<Output = ()> + 'w) -> Gate<'w> {
        let gate = Gate::quiet(world);
        gate.events.borrow_mut().push_back((after, Event::Deed(Box::pin(deed))));
        gate
    }

    /// The same store, whose user dies after a write of such a key.
    pub fn dying(self, after: fn(&Key) -> bool) -> Gate<'w> {
        self.events.borrow_mut().push_back((after, Event::Death));
        self
    }

    /// What a host does on it.
    pub fn ipam(&self, host: &str) -> Ipam<&Gate<'w>> {
        Ipam::new(self, host, self.world.now())
    }

    /// How many reads there were.
    pub fn reads(&self) -> usize {
        self.reads.get()
    }

    /// Asserts that all that was to happen has happened.
    pub fn assert_passed(&self) {
        assert!(self.events.borrow().is_empty(), "nothing happened between the writes");
    }

    fn alive(&self) -> Result<(), Error> {
        if self.is_dead.get() {
            let (store, reason) = (self.name(), "the process is dead".to_owned());
            return Err(Error::Unreachable { doing: "use", store, reason, advice: "".into() });
        }
        Ok(())
    }
}

impl Datastore for Gate<'_> {
    async fn read(&self, wants: &[Want]) -> Result<Answers, Error> {
        self.alive()?;
        self.reads.set(self.reads.get() + 1);
        self.world.store.read(wants).await
    }

    async fn commit(&self, writes: &[Write]) -> Result<Outcome, Error> {
        let mut applied = Vec::new();
        for (index, write) in writes.iter().enumerate() {
            self.alive()?;
            match self.world.store.commit(std::slice::from_ref(write)).await? {
                Outcome::Applied(revisions) => applied.extend(revisions),
                Outcome::Conflict { .. } => return Ok(Outcome::Conflict { index, applied }),
                unknown => return Ok(unknown),
            }
            let event = self.events.borrow_mut().pop_front_if(|(after, _)| after(&write.key));
            match event {
                Some((_, Event::Deed(deed))) => deed.await,
                Some((_, Event::Death)) => self.is_dead.set(true),
                None => {}
            }
        }
        self.alive()?;
        Ok(Outcome::Applied(applied))
    }

    async fn settle(&self) -> Result<(), Error> {
        self.world.store.settle().await
    }

    fn name(&self) -> String {
        self.world.store.name()
    }
}
