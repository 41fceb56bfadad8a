//! A store of plain JSON, to plant anything in, that may die in the middle of a commit.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use calico_datastore::{Answers, Datastore, Entry, Error, Expect, Outcome, Revision, Want, Write};
use serde_json::Value;

use crate::cluster::Objects;

/// The store.
pub struct Shelf {
    objects: RefCell<BTreeMap<String, (i64, Value)>>,
    revision: Cell<i64>,
    /// Whether writes are applied one by one, as in Kubernetes.
    pub one_by_one: Cell<bool>,
    /// Whether its endpoints are pods, as in Kubernetes.
    pub endpoints_are_pods: Cell<bool>,
    /// How many more writes are applied before everything fails.
    pub life: Cell<usize>,
}

impl Shelf {
    pub fn new(objects: &Objects) -> Shelf {
        let stored = objects.0.iter().map(|(path, object)| (path.clone(), (1, object.clone()))).collect();
        Shelf {
            objects: RefCell::new(stored),
            revision: Cell::new(1),
            one_by_one: Cell::new(false),
            endpoints_are_pods: Cell::new(false),
            life: Cell::new(usize::MAX),
        }
    }

    /// Everything that is stored.
    pub fn objects(&self) -> Objects {
        Objects(self.objects.borrow().iter().map(|(path, (_, object))| (path.clone(), object.clone())).collect())
    }

    /// Another writer changes an object, or rewrites it as it is.
    pub fn touch(&self, path: &str, change: impl FnOnce(&mut Value)) {
        self.revision.set(self.revision.get() + 1);
        if let Some((revision, object)) = self.objects.borrow_mut().get_mut(path) {
            *revision = self.revision.get();
            change(object);
        }
    }

    fn apply(&self, write: &Write, revision: Revision) -> bool {
        let mut objects = self.objects.borrow_mut();
        let path = write.key.path();
        let stored = objects.get(&path).map(|(revision, _)| Revision(*revision));
        let expected = match write.expect {
            Expect::Absent => None,
            Expect::At(revision) => Some(revision),
        };
        if stored != expected {
            return false;
        }
        match &write.object {
            Some(object) => objects.insert(path, (revision.0, serde_json::to_value(object).unwrap())),
            None => objects.remove(&path),
        };
        true
    }
}

impl Datastore for Shelf {
    async fn read(&self, wants: &[Want]) -> Result<Answers, Error> {
        let objects = self.objects.borrow();
        let is_wanted = |want: &Want, path: &str| match want {
            Want::Get(key) | Want::Outline(key) => key.path() == path,
            Want::List(listing) => path.starts_with(&listing.prefix()),
        };
        let entry = |(path, (revision, object)): (&String, &(i64, Value))| {
            Entry::parse(path, Revision(*revision), object.to_string().as_bytes())
        };
        let answer = |want| objects.iter().filter(|(path, _)| is_wanted(want, path)).filter_map(entry).collect();
        Ok(Answers::new(wants.iter().map(answer)))
    }

    async fn commit(&self, writes: &[Write]) -> Result<Outcome, Error> {
        let before = self.objects.borrow().clone();
        let mut applied = Vec::new();
        for (index, write) in writes.iter().enumerate() {
            let Some(left) = self.life.get().checked_sub(1) else {
                if !self.one_by_one.get() {
                    *self.objects.borrow_mut() = before;
                }
                return Ok(Outcome::Unknown("the process died".to_owned()));
            };
            self.revision.set(self.revision.get() + 1);
            if !self.apply(write, Revision(self.revision.get())) {
                if !self.one_by_one.get() {
                    *self.objects.borrow_mut() = before;
                    applied.clear();
                }
                return Ok(Outcome::Conflict { index, applied });
            }
            self.life.set(left);
            applied.push(Revision(self.revision.get()));
        }
        Ok(Outcome::Applied(applied))
    }

    async fn settle(&self) -> Result<(), Error> {
        Ok(())
    }

    fn endpoints_are_pods(&self) -> bool {
        self.endpoints_are_pods.get()
    }

    fn name(&self) -> String {
        "shelf".to_owned()
    }
}
