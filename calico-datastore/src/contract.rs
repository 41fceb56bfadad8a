//! What callers may rely on, whichever datastore is behind it.

use std::collections::VecDeque;
use std::fmt;

use calico_model::object::Malformed;
use calico_model::{Key, Listing, Object};

use crate::error::Error;

/// Identifies one stored version of an object. Opaque: compare it for equality and hand it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Revision(pub i64);

/// One question of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Want {
    /// One object.
    Get(Key),
    /// A block, and no more of it than its outline: for those who look at many. A store may answer with the whole block.
    Outline(Key),
    /// All objects of a listing, in the order of their keys.
    List(Listing),
}

impl fmt::Display for Want {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Want::Get(key) | Want::Outline(key) => key.fmt(f),
            Want::List(listing) => listing.fmt(f),
        }
    }
}

impl Want {
    /// The answer to a question for one object.
    pub fn answer(&self, key: &Key, revision: Revision, value: &[u8]) -> Entry {
        match self {
            Want::Outline(_) => Entry { key: key.clone(), revision, object: Object::outline(key, value) },
            _ => Entry::of(key.clone(), revision, value),
        }
    }
}

/// One stored object as it was read.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its key.
    pub key: Key,
    /// The version that was read.
    pub revision: Revision,
    /// The object, or what is wrong with the stored value.
    pub object: Result<Object, Malformed>,
}

impl Entry {
    /// A stored value as an entry; `None` for a path that names no object this code knows.
    pub fn parse(path: &str, revision: Revision, value: &[u8]) -> Option<Entry> {
        Some(Entry::of(Key::parse(path)?, revision, value))
    }

    /// A value stored under a key.
    pub fn of(key: Key, revision: Revision, value: &[u8]) -> Entry {
        let object = Object::parse(&key, value);
        Entry { key, revision, object }
    }
}

/// One stored object of a known type.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored<T> {
    /// Its key.
    pub key: Key,
    /// The version that was read.
    pub revision: Revision,
    /// The object.
    pub value: T,
}

/// The answers to a batch, taken one by one in the order of the questions.
#[derive(Debug)]
pub struct Answers(VecDeque<Vec<Entry>>);

impl Answers {
    /// Wraps one list of entries for each question of a batch.
    pub fn new(answers: impl IntoIterator<Item = Vec<Entry>>) -> Answers {
        Answers(answers.into_iter().collect())
    }

    /// The next answer, whatever is in it: none or one entry for a [`Want::Get`], any number for a [`Want::List`].
    pub fn entries(&mut self) -> Vec<Entry> {
        self.0.pop_front().unwrap_or_default()
    }

    /// The next answer as one object. A malformed one is an error: whoever asks for one object needs it.
    pub fn get<T: TryFrom<Object>>(&mut self) -> Result<Option<Stored<T>>, Error> {
        let Some(entry) = self.entries().into_iter().next() else {
            return Ok(None);
        };
        Ok(typed(entry.key, entry.revision, entry.object?))
    }

    /// The next answer as a list. Malformed objects are left out, as one bad row must not stop a whole cluster.
    pub fn list<T: TryFrom<Object>>(&mut self) -> Vec<Stored<T>> {
        self.list_readable().0
    }

    /// As [`Answers::list`], and what is wrong with the objects that are left out.
    pub fn list_readable<T: TryFrom<Object>>(&mut self) -> (Vec<Stored<T>>, Vec<Malformed>) {
        let (mut readable, mut malformed) = (Vec::new(), Vec::new());
        for entry in self.entries() {
            match entry.object {
                Ok(object) => readable.extend(typed(entry.key, entry.revision, object)),
                Err(error) => malformed.push(error),
            }
        }
        (readable, malformed)
    }
}

fn typed<T: TryFrom<Object>>(key: Key, revision: Revision, object: Object) -> Option<Stored<T>> {
    let value = T::try_from(object).ok()?;
    Some(Stored { key, revision, value })
}

/// What a write expects to find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// Nothing: the object is created.
    Absent,
    /// This version: the object is changed or deleted.
    At(Revision),
}

/// One write of a commit.
#[derive(Debug, Clone, PartialEq)]
pub struct Write {
    /// Which object.
    pub key: Key,
    /// What must be stored for the write to be applied.
    pub expect: Expect,
    /// What will be stored; `None` deletes the object.
    pub object: Option<Object>,
}

impl Write {
    /// Creates an object that must not exist. A v3 resource without UUID or creation time is given them.
    pub fn create(key: Key, object: impl Into<Object>) -> Write {
        Write { key, expect: Expect::Absent, object: Some(object.into()) }
    }

    /// Replaces the version of an object that was read.
    pub fn update(key: Key, revision: Revision, object: impl Into<Object>) -> Write {
        Write { key, expect: Expect::At(revision), object: Some(object.into()) }
    }

    /// Deletes the version of an object that was read.
    pub fn delete(key: Key, revision: Revision) -> Write {
        Write { key, expect: Expect::At(revision), object: None }
    }

    /// Stores an object, whether or not it was there when it was read.
    pub fn put(key: Key, expect: Expect, object: impl Into<Object>) -> Write {
        Write { key, expect, object: Some(object.into()) }
    }
}

/// What became of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Every write was applied. The new revisions, one for each write (for a deletion: that of the deletion).
    Applied(Vec<Revision>),
    /// A write found something else than it expected, and neither it nor any later one was applied.
    Conflict {
        /// Which write, by its position.
        index: usize,
        /// The new revisions of the writes before it that were applied: all of them where writes are applied one by
        /// one (Kubernetes), none where they are applied together (etcd, local).
        applied: Vec<Revision>,
    },
    /// The answer was lost: the writes may have been applied, all or in part, or may still be. The caller reads again
    /// and decides by content; it never sends the same again unread, and never undoes unread.
    Unknown(String),
}

/// A place that keeps Calico's objects.
///
/// Neither operation bounds its own time: wrap the store in [`Timed`](crate::Timed).
#[allow(async_fn_in_trait, reason = "everything runs on one thread; no future needs to be Send")]
pub trait Datastore {
    /// Answers all questions together. Callers may rely on the revision of each object only, never on a common
    /// snapshot: another writer may have come between any two of them.
    async fn read(&self, wants: &[Want]) -> Result<Answers, Error>;

    /// Applies the writes in the order given, stopping at the first conflict. Callers order them so that it is safe
    /// to stop (or crash) after any of them. An error means that nothing was applied, as far as the datastore tells; who
    /// gives up because of one undoes by content all the same.
    async fn commit(&self, writes: &[Write]) -> Result<Outcome, Error>;

    /// Lets pass what is under way: commits sent by a process that has ended by now, or that this process cut short. Called
    /// before a decision that rests on something being absent, which is then read again.
    ///
    /// It covers what the datastore has begun. A request that is still on its way to it, or in the hands of a server that has
    /// stalled, may land later all the same; it then finds handle and block in one, so that the container's next DEL
    /// releases it.
    async fn settle(&self) -> Result<(), Error>;

    /// Whether every question of a batch is a request of its own, so that it pays to ask for no more than is needed.
    fn answers_singly(&self) -> bool {
        false
    }

    /// Whether every pod with a network of its own is an endpoint, whoever connected it, and nothing else is: so it is where
    /// endpoints are views of pods.
    fn endpoints_are_pods(&self) -> bool {
        false
    }

    /// What and where it is, for messages; with the last failure, if there was one.
    fn name(&self) -> String;
}

impl<D: Datastore> Datastore for &D {
    async fn read(&self, wants: &[Want]) -> Result<Answers, Error> {
        (**self).read(wants).await
    }

    async fn commit(&self, writes: &[Write]) -> Result<Outcome, Error> {
        (**self).commit(writes).await
    }

    async fn settle(&self) -> Result<(), Error> {
        (**self).settle().await
    }

    fn answers_singly(&self) -> bool {
        (**self).answers_singly()
    }

    fn endpoints_are_pods(&self) -> bool {
        (**self).endpoints_are_pods()
    }

    fn name(&self) -> String {
        (**self).name()
    }
}
