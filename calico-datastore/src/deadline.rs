//! One bound on the time of a whole call, and the datastore under that bound.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::contract::{Answers, Datastore, Outcome, Want, Write};
use crate::error::Error;

/// The point in time at which a call gives up.
#[derive(Debug, Clone, Copy)]
pub struct Deadline {
    /// The time given from the start.
    pub limit: Duration,
    end: Instant,
}

impl Deadline {
    /// A deadline `limit` from now, at most a day.
    pub fn after(limit: Duration) -> Deadline {
        let limit = limit.min(Duration::from_secs(24 * 60 * 60));
        Deadline { limit, end: Instant::now() + limit }
    }

    /// The earlier of this deadline and `limit` from now.
    pub fn at_most(&self, limit: Duration) -> Deadline {
        let other = Deadline::after(limit);
        if other.end < self.end { other } else { *self }
    }

    /// The time until then.
    pub(crate) fn left(&self) -> Duration {
        self.end.saturating_duration_since(Instant::now())
    }

    /// Waits for `work`, but not beyond the deadline: then it is dropped and the answer is `None`.
    pub async fn bound<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        timeout_at(self.end, work).await.ok()
    }

    /// As [`Deadline::bound`] for work on a datastore; `what` says which and what it does, for the error.
    pub async fn within<T>(
        &self,
        what: impl FnOnce() -> (String, String),
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        self.bound(work).await.unwrap_or_else(|| {
            let (store, step) = what();
            Err(Error::TimedOut { store, step, after: self.limit })
        })
    }
}

/// A datastore whose operations end at a deadline.
#[derive(Debug, Clone, Copy)]
pub struct Timed<D> {
    store: D,
    deadline: Deadline,
}

impl<D: Datastore> Timed<D> {
    /// The store under the deadline.
    pub fn new(store: D, deadline: Deadline) -> Timed<D> {
        Timed { store, deadline }
    }
}

impl<D: Datastore> Datastore for Timed<D> {
    async fn read(&self, wants: &[Want]) -> Result<Answers, Error> {
        self.deadline.within(|| (self.store.name(), describe("read", wants)), self.store.read(wants)).await
    }

    /// A commit cut off by the deadline is [`Outcome::Unknown`]: it may be on its way.
    async fn commit(&self, writes: &[Write]) -> Result<Outcome, Error> {
        match self.deadline.bound(self.store.commit(writes)).await {
            Some(outcome) => outcome,
            None => {
                let keys: Vec<_> = writes.iter().map(|w| &w.key).collect();
                let step = describe("write", &keys);
                let name = self.store.name();
                Ok(Outcome::Unknown(format!("{name}: no answer after {:.1?} to {step}", self.deadline.limit)))
            }
        }
    }

    async fn settle(&self) -> Result<(), Error> {
        let what = || (self.store.name(), "complete what earlier calls wrote".to_owned());
        self.deadline.within(what, self.store.settle()).await
    }

    fn answers_singly(&self) -> bool {
        self.store.answers_singly()
    }

    fn endpoints_are_pods(&self) -> bool {
        self.store.endpoints_are_pods()
    }

    fn name(&self) -> String {
        self.store.name()
    }
}

fn describe<T: std::fmt::Display>(verb: &str, items: &[T]) -> String {
    match items {
        [one] => format!("{verb} {one}"),
        [first, .., last] => format!("{verb} {} objects, from {first} to {last}", items.len()),
        [] => verb.to_owned(),
    }
}
