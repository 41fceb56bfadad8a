//! A datastore that behaves as badly as the contract allows.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use calico_datastore::local::Local;
use calico_datastore::{Answers, Datastore, Error, Outcome, Revision, Want, Write};

/// How a commit is applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// All writes or none, as etcd and the local store do.
    Atomic,
    /// One after the other up to the first conflict, as Kubernetes does.
    Ordered,
}

/// How often things go wrong, in percent of the occasions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Faults {
    /// Another writer comes between two keys of a read, or before a write.
    pub writers: u32,
    /// The answer to a commit is lost: it was applied, in part or not at all.
    pub lost: u32,
    /// The answer to a commit is lost, and the rest of it is applied at some later time.
    pub late: u32,
}

impl Faults {
    /// Nothing goes wrong.
    pub const NONE: Faults = Faults { writers: 0, lost: 0, late: 0 };
}

/// How a process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Death {
    /// How many requests to write it sends and sees answered before: commits where they are atomic, else single writes.
    pub requests: u8,
    /// Whether the next one, which it has just sent, lands after all.
    pub lands_late: bool,
}

/// What is below the badly behaved store.
pub trait Below: Datastore {
    /// What is to be remembered of the time when a request was sent that lands later.
    type Sent;

    fn sent(&self) -> Self::Sent;

    /// A late request lands. Answers whether it was applied.
    async fn land(&self, sent: &Self::Sent, writes: &[Write]) -> bool;
}

impl Below for Local {
    type Sent = ();

    fn sent(&self) {}

    async fn land(&self, (): &(), writes: &[Write]) -> bool {
        matches!(self.commit(writes).await, Ok(Outcome::Applied(_)))
    }
}

type OtherWriter = Box<dyn Fn(u64) -> Pin<Box<dyn Future<Output = ()>>>>;

/// The badly behaved store.
pub struct Faulty<S: Below> {
    store: Rc<S>,
    style: Style,
    faults: Faults,
    random: Cell<u64>,
    other_writer: RefCell<Option<OtherWriter>>,
    /// Writes still on their way.
    late: RefCell<Vec<(S::Sent, Vec<Write>)>>,
    death: Cell<Option<Death>>,
    is_dead: Cell<bool>,
}

impl<S: Below> Faulty<S> {
    pub fn new(store: Rc<S>, style: Style, faults: Faults, seed: u64) -> Faulty<S> {
        Faulty {
            store,
            style,
            faults,
            random: Cell::new(seed | 1),
            other_writer: RefCell::default(),
            late: RefCell::new(Vec::new()),
            death: Cell::new(None),
            is_dead: Cell::new(false),
        }
    }

    pub fn set_other_writer(&self, writer: impl Fn(u64) -> Pin<Box<dyn Future<Output = ()>>> + 'static) {
        *self.other_writer.borrow_mut() = Some(Box::new(writer));
    }

    /// A process begins, and dies in this way, or not.
    pub fn dies(&self, death: Option<Death>) {
        self.death.set(death);
        self.is_dead.set(false);
    }

    pub fn is_dead(&self) -> bool {
        self.is_dead.get()
    }

    pub fn anything_late(&self) -> bool {
        !self.late.borrow().is_empty()
    }

    /// What is late lands now.
    pub async fn calm_down(&self) {
        while self.anything_late() {
            self.land_one().await;
        }
    }

    async fn land_one(&self) {
        let index = self.draw() as usize % self.late.borrow().len();
        let (sent, writes) = self.late.borrow_mut().swap_remove(index);
        let requests: Vec<&[Write]> = match self.style {
            Style::Atomic => vec![&writes],
            Style::Ordered => writes.chunks(1).collect(),
        };
        for request in requests {
            if !self.store.land(&sent, request).await {
                break;
            }
        }
    }

    /// xorshift64: enough for choosing faults, and the same on every machine.
    fn draw(&self) -> u64 {
        let mut x = self.random.get();
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        self.random.set(x);
        x >> 16
    }

    fn happens(&self, percent: u32) -> bool {
        percent > 0 && self.draw() % 100 < u64::from(percent)
    }

    async fn interruption(&self) {
        if self.anything_late() && self.happens(30) {
            self.land_one().await;
        }
        if self.happens(self.faults.writers) {
            let random = self.draw();
            let work = self.other_writer.borrow().as_ref().map(|writer| writer(random));
            if let Some(work) = work {
                work.await;
            }
        }
    }

    fn dead() -> Error {
        Error::Unreachable {
            doing: "use",
            store: "any".into(),
            reason: "the process is dead".into(),
            advice: "".into(),
        }
    }
}

impl<S: Below> Datastore for Faulty<S> {
    async fn read(&self, wants: &[Want]) -> Result<Answers, Error> {
        if self.is_dead() {
            return Err(Self::dead());
        }
        let mut answers = Vec::new();
        for want in wants {
            self.interruption().await;
            answers.push(self.store.read(std::slice::from_ref(want)).await?.entries());
        }
        Ok(Answers::new(answers))
    }

    async fn commit(&self, writes: &[Write]) -> Result<Outcome, Error> {
        if self.is_dead() {
            return Err(Self::dead());
        }
        self.interruption().await;
        if let Some(death) = self.death.get() {
            let requests = match self.style {
                Style::Atomic => 1,
                Style::Ordered => writes.len() as u8,
            };
            if death.requests < requests {
                return self.die(death, writes).await;
            }
            self.death.set(Some(Death { requests: death.requests - requests, ..death }));
        }
        let (lost, late) = (self.happens(self.faults.lost), self.happens(self.faults.late));
        if !lost && !late {
            return self.apply(writes).await;
        }
        // The connection breaks somewhere: what comes after that point is not applied now.
        let reached = match self.style {
            Style::Atomic => [0, writes.len()][self.draw() as usize % 2],
            Style::Ordered => self.draw() as usize % (writes.len() + 1),
        };
        let first = self.apply(&writes[..reached]).await?;
        let rest = &writes[reached..];
        if late && !rest.is_empty() && matches!(first, Outcome::Applied(_)) {
            self.late.borrow_mut().push((self.store.sent(), rest.to_vec()));
        }
        Ok(Outcome::Unknown("the answer was lost".to_owned()))
    }

    async fn settle(&self) -> Result<(), Error> {
        self.store.settle().await
    }

    /// As Kubernetes, whose writes are applied one by one.
    fn answers_singly(&self) -> bool {
        self.style == Style::Ordered
    }

    fn name(&self) -> String {
        self.store.name()
    }
}

impl<S: Below> Faulty<S> {
    /// Sends the last request.
    async fn die(&self, death: Death, writes: &[Write]) -> Result<Outcome, Error> {
        let (answered, sent) = match self.style {
            Style::Atomic => (0, writes.len()),
            Style::Ordered => (usize::from(death.requests), usize::from(death.requests) + 1),
        };
        let first = self.apply(&writes[..answered]).await?;
        if death.lands_late && matches!(first, Outcome::Applied(_)) {
            self.late.borrow_mut().push((self.store.sent(), writes[answered..sent].to_vec()));
        }
        self.is_dead.set(true);
        Err(Self::dead())
    }

    async fn apply(&self, writes: &[Write]) -> Result<Outcome, Error> {
        if writes.is_empty() {
            return Ok(Outcome::Applied(Vec::new()));
        }
        if self.style == Style::Atomic {
            return self.store.commit(writes).await;
        }
        let mut applied: Vec<Revision> = Vec::new();
        for (index, write) in writes.iter().enumerate() {
            match self.store.commit(std::slice::from_ref(write)).await? {
                Outcome::Applied(revisions) => applied.extend(revisions),
                Outcome::Conflict { .. } => return Ok(Outcome::Conflict { index, applied }),
                Outcome::Unknown(reason) => return Ok(Outcome::Unknown(reason)),
            }
            self.interruption().await;
        }
        Ok(Outcome::Applied(applied))
    }
}
