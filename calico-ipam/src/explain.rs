//! What an allocation would choose, and why, without writing anything.

use std::cell::RefCell;
use std::collections::BTreeMap;

use calico_datastore::{Answers, Datastore, Entry, Expect, Outcome, Revision, Want, Write};
use calico_model::{IpVersion, Key, Object};

use crate::assign::{AssignAddress, Assigned, AutoAssign, Trace};
use crate::error::Error;
use crate::inputs::Inputs;
use crate::pools::Verdict;
use crate::{Allocation, Ipam, Lease};

/// What an allocation would do.
#[derive(Debug)]
pub struct Explanation {
    /// What it would answer.
    pub answer: Result<Assigned, Error>,
    /// For each demand, what was decided about the pools and about the blocks that were looked at. Empty where no pool may be
    /// used: then the answer says why.
    pub traces: Vec<(IpVersion, Trace)>,
    /// What it would write, in this order; `None` deletes.
    pub writes: Vec<(Key, Option<Object>)>,
}

impl Explanation {
    /// What was decided about each pool, also where none may be used.
    pub fn pools(&self) -> Vec<&Verdict> {
        match &self.answer {
            Err(error) if self.traces.is_empty() => error.verdicts().iter().collect(),
            _ => self.traces.iter().flat_map(|(_, trace)| &trace.pools).collect(),
        }
    }
}

/// What assigning given addresses would do.
#[derive(Debug)]
pub struct AddressesExplained {
    /// What it would answer for each, up to the first that cannot be assigned.
    pub answers: Vec<Result<Allocation, Error>>,
    /// What it would write, as in an [`Explanation`].
    pub writes: Vec<(Key, Option<Object>)>,
}

impl<D: Datastore> Ipam<D> {
    /// Goes through an allocation as [`Ipam::auto_assign`] does it, with the very same code, but keeps what it would write to
    /// itself.
    pub async fn explain(&self, inputs: &Inputs, request: &AutoAssign, lease: &Lease) -> Explanation {
        let dry = self.dry();
        let mut searches = match dry.searches(inputs, request) {
            Ok(searches) => searches,
            Err(error) => return Explanation { answer: Err(error), traces: Vec::new(), writes: Vec::new() },
        };
        dry.put_in_order(inputs, &searches).await;
        let result = dry.assign_from(&mut searches, request, lease).await;
        let traces = searches.iter().map(|search| (search.version(), search.trace.clone())).collect();
        let writes = dry.store.written.into_inner().writes;
        Explanation { answer: result.map(|()| Ipam::<D>::collect(&self.owner, searches)), traces, writes }
    }

    /// Goes through the assignment of given addresses, one after the other, as [`Ipam::assign_address`] does it, but keeps
    /// what it would write to itself.
    pub async fn explain_addresses(
        &self,
        inputs: &Inputs,
        requests: &[AssignAddress],
        lease: &Lease,
    ) -> AddressesExplained {
        let dry = self.dry();
        let mut answers = Vec::new();
        for request in requests {
            answers.push(dry.assign_address(inputs, request, lease).await);
            if answers.last().is_some_and(Result::is_err) {
                break;
            }
        }
        AddressesExplained { answers, writes: dry.store.written.into_inner().writes }
    }

    fn dry(&self) -> Ipam<DryRun<'_, D>> {
        Ipam::of(DryRun { store: &self.store, written: RefCell::default() }, self.owner.clone(), self.now)
    }
}

/// A datastore with writes on top that nobody else sees.
struct DryRun<'a, D> {
    store: &'a D,
    written: RefCell<Written>,
}

/// What was written, and what each written object is by now.
#[derive(Default)]
struct Written {
    writes: Vec<(Key, Option<Object>)>,
    objects: BTreeMap<String, (Key, Option<(Revision, Object)>)>,
}

impl Written {
    /// Revisions of what is not stored anywhere: no datastore has negative ones.
    fn next_revision(&self) -> Revision {
        Revision(-1 - self.writes.len() as i64)
    }
}

impl<D: Datastore> Datastore for DryRun<'_, D> {
    async fn read(&self, wants: &[Want]) -> Result<Answers, calico_datastore::Error> {
        // On the heap: an allocation awaits this in many places, and would be as large as all of them.
        let mut stored = Box::pin(self.store.read(wants)).await?;
        let written = self.written.borrow();
        Ok(Answers::new(wants.iter().map(|want| {
            let mut entries: BTreeMap<String, Entry> =
                stored.entries().into_iter().map(|entry| (entry.key.path(), entry)).collect();
            for (path, (key, object)) in &written.objects {
                let is_wanted = match want {
                    Want::Get(wanted) | Want::Outline(wanted) => wanted == key,
                    Want::List(listing) => path.starts_with(&listing.prefix()),
                };
                match object {
                    _ if !is_wanted => {}
                    Some((revision, object)) => {
                        let entry = Entry { key: key.clone(), revision: *revision, object: Ok(object.clone()) };
                        entries.insert(path.clone(), entry);
                    }
                    None => {
                        entries.remove(path);
                    }
                }
            }
            entries.into_values().collect()
        })))
    }

    async fn commit(&self, writes: &[Write]) -> Result<Outcome, calico_datastore::Error> {
        let keys: Vec<Want> = writes.iter().map(|write| Want::Get(write.key.clone())).collect();
        let mut answers = self.read(&keys).await?;
        for (index, write) in writes.iter().enumerate() {
            let found = answers.entries().into_iter().next().map(|entry| entry.revision);
            let expected = match write.expect {
                Expect::Absent => None,
                Expect::At(revision) => Some(revision),
            };
            if found != expected {
                return Ok(Outcome::Conflict { index, applied: Vec::new() });
            }
        }
        let mut written = self.written.borrow_mut();
        let mut revisions = Vec::with_capacity(writes.len());
        for write in writes {
            let revision = written.next_revision();
            let object = write.object.clone().map(|object| (revision, object));
            written.objects.insert(write.key.path(), (write.key.clone(), object));
            written.writes.push((write.key.clone(), write.object.clone()));
            revisions.push(revision);
        }
        Ok(Outcome::Applied(revisions))
    }

    async fn settle(&self) -> Result<(), calico_datastore::Error> {
        Ok(())
    }

    fn name(&self) -> String {
        self.store.name()
    }
}
