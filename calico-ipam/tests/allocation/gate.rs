//! A store without transactions: a commit is applied write by write, and something happens between two of them.

use std::cell::{Cell, RefCell};
use std::pin::Pin;

use calico_datastore::{Answers, Datastore, Error, Outcome, Want, Write};
use calico_ipam::Ipam;
use calico_model::Key;

use crate::world::World;

/// A store that counts the reads, and on which something happens once, just after a write of a certain kind was applied.
pub struct Gate<'w> {
    world: &'w World,
    after: fn(&Key) -> bool,
    then: RefCell<Option<Then<'w>>>,
    is_dead: Cell<bool>,
    reads: Cell<usize>,
}

enum Then<'w> {
    Deed(Pin<Box<dyn Future<Output = ()> + 'w>>),
    /// The process dies: nothing more of what it asks for happens.
    Death,
}

impl<'w> Gate<'w> {
    /// A store on which nothing happens.
    pub fn quiet(world: &'w World) -> Gate<'w> {
        let (then, is_dead, reads) = (RefCell::default(), Cell::new(false), Cell::new(0));
        Gate { world, after: |_| false, then, is_dead, reads }
    }

    /// A store on which `deed` is done after a write of such a key.
    pub fn doing(world: &'w World, after: fn(&Key) -> bool, deed: impl Future<Output = ()> + 'w) -> Gate<'w> {
        Gate { after, then: RefCell::new(Some(Then::Deed(Box::pin(deed)))), ..Gate::quiet(world) }
    }

    /// A store whose user dies after a write of such a key.
    pub fn dying(world: &'w World, after: fn(&Key) -> bool) -> Gate<'w> {
        Gate { after, then: RefCell::new(Some(Then::Death)), ..Gate::quiet(world) }
    }

    /// What a host does on it.
    pub fn ipam(&self, host: &str) -> Ipam<&Gate<'w>> {
        Ipam::new(self, host, self.world.now())
    }

    /// How many reads there were.
    pub fn reads(&self) -> usize {
        self.reads.get()
    }

    /// Asserts that what was to happen has happened.
    pub fn assert_passed(&self) {
        assert!(self.then.borrow().is_none(), "nothing happened between the writes");
    }

    fn alive(&self) -> Result<(), Error> {
        if self.is_dead.get() {
            let (store, reason) = (self.name(), "the process is dead".to_owned());
            return Err(Error::Unreachable { doing: "use", store, reason, advice: "" });
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
            let then = if (self.after)(&write.key) { self.then.take() } else { None };
            match then {
                Some(Then::Deed(deed)) => deed.await,
                Some(Then::Death) => self.is_dead.set(true),
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
