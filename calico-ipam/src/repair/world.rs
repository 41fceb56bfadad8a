//! What is stored, as far as a few repairs need it, kept up to date with their own writes.

use std::collections::{BTreeSet, HashMap, HashSet};

use calico_datastore::{Answers, Datastore, Error, Outcome, Revision, Stored, Want, Write};
use calico_model::{Key, Object};

use super::{End, Repair};

/// What repairs have written so far: their own changes are no reason to skip later ones.
#[derive(Debug, Default)]
pub struct Written {
    /// The versions that were written, or that nothing is left.
    versions: HashMap<Key, Option<Revision>>,
    /// What may or may not have been written: the answer was lost.
    unsure: HashSet<Key>,
}

/// Objects as they are stored now.
pub(super) struct World<'a> {
    objects: HashMap<Key, Stored<Option<Object>>>,
    written: &'a mut Written,
}

impl World<'_> {
    /// What to read.
    pub fn wants(repairs: &[Repair]) -> Vec<Want> {
        let keys: BTreeSet<&Key> = repairs.iter().flat_map(|repair| repair.seen.keys()).collect();
        keys.into_iter().map(|key| Want::Get(key.clone())).collect()
    }

    /// Takes the answers to some questions for one object each.
    pub fn take<'a>(wants: &[Want], answers: &mut Answers, written: &'a mut Written) -> World<'a> {
        let mut world = World { objects: HashMap::new(), written };
        world.add(wants, answers);
        world
    }

    pub fn add(&mut self, wants: &[Want], answers: &mut Answers) {
        for entry in wants.iter().flat_map(|_| answers.entries()) {
            let stored = Stored { key: entry.key.clone(), revision: entry.revision, value: entry.object.ok() };
            self.objects.insert(entry.key, stored);
        }
    }

    /// Why a repair does not rest on what is stored now; `None` where it does.
    pub fn objection(&self, repair: &Repair) -> Option<String> {
        repair.seen.iter().find_map(|(key, seen)| {
            if self.written.unsure.contains(key) {
                return Some(format!("it is not known whether {key} was written: look again"));
            }
            let expected = self.written.versions.get(key).unwrap_or(seen);
            let found = self.objects.get(key).map(|stored| stored.revision);
            (found != *expected).then(|| format!("another writer changed {key}"))
        })
    }

    /// An object, if it is there and can be read.
    pub fn get<T: TryFrom<Object>>(&self, key: &Key) -> Option<Stored<T>> {
        let Stored { key, revision, value } = self.objects.get(key)?;
        let value = T::try_from(value.clone()?).ok()?;
        Some(Stored { key: key.clone(), revision: *revision, value })
    }

    /// Whether an object is there, readable or not.
    pub fn has(&self, key: &Key) -> bool {
        self.objects.contains_key(key)
    }

    /// Writes, and takes note of what became of it.
    pub async fn commit(&mut self, store: &impl Datastore, writes: Vec<Write>) -> Result<End, Error> {
        if writes.is_empty() {
            return Ok(End::Done);
        }
        let (applied, end) = match store.commit(&writes).await {
            Ok(Outcome::Applied(revisions)) => (revisions, End::Done),
            Ok(Outcome::Conflict { index, applied }) => {
                (applied, End::Skipped(format!("another writer changed {}", writes[index].key)))
            }
            Ok(Outcome::Unknown(reason)) => {
                self.written.unsure.extend(writes.into_iter().map(|write| write.key));
                return Ok(End::Skipped(format!("it is not known whether it was done: {reason}")));
            }
            Err(error) => return Err(error),
        };
        for (write, revision) in writes.into_iter().zip(applied) {
            let version = write.object.as_ref().map(|_| revision);
            self.written.versions.insert(write.key.clone(), version);
            match write.object {
                None => self.objects.remove(&write.key),
                value => {
                    let stored = Stored { key: write.key.clone(), revision, value };
                    self.objects.insert(write.key, stored)
                }
            };
        }
        Ok(end)
    }
}
