//! etcd, through its v3 API.
//!
//! A batch of questions is one transaction of ranges, a commit one transaction of writes, each guarded by the revision
//! that the write expects. Questions may be asked again, of another member; a commit is sent once.

mod connect;
mod discovery;
mod dns;
mod lookup;
mod request;
mod resolv_conf;
mod settings;
mod tls;
mod trouble;

use std::cell::RefCell;
use std::time::Duration;

use calico_model::Key;
use etcd_client::KvClient;
use tokio::time::{sleep, timeout};

use crate::contract::{Answers, Datastore, Outcome, Want, Write};
use crate::deadline::Deadline;
use crate::encode::encode;
use crate::error::Error;
use connect::{Connection, Connector};
use request::{Failed, MAX_OPERATIONS};
pub use settings::{Members, Settings};
use trouble::{Kind, Subject, Trouble};

/// How long a member may leave a question unanswered before another one is asked.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long a member may leave a commit unanswered before its outcome counts as unknown and others are asked for it.
const COMMIT_PATIENCE: Duration = Duration::from_secs(5);

/// The pause before a question is asked again, at first and at last.
const PAUSE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// How often a commit is sent again that was certainly not applied, because the user's roles have just changed.
const RESENDS: usize = 3;

/// A connection to etcd.
pub struct Etcd {
    connector: Connector,
    connection: RefCell<Option<Connection>>,
}

impl Etcd {
    /// Finds the members where they are not listed, connects to one, and authenticates.
    ///
    /// # Errors
    /// Settings that cannot be used; or no member that is found and answers within ten seconds or by the deadline,
    /// whichever is first: then the error says what each of them did, or each name server.
    pub async fn open(settings: &Settings, deadline: Deadline) -> Result<Etcd, Error> {
        let deadline = deadline.at_most(connect::TIME);
        // The calls of all hosts spread over the members.
        let process = std::process::id();
        let connector = match &settings.members {
            Members::Listed(urls) => Connector::new(settings, urls, process as usize % urls.len().max(1))?,
            Members::OfDomain(domain) => {
                let urls = discovery::find(domain, process, deadline).await?;
                Connector::new(settings, &urls, 0)?
            }
        };
        let connection = connector.connect(deadline).await?;
        Ok(Etcd { connector, connection: RefCell::new(Some(connection)) })
    }

    /// The connection, made anew where it was given up: for as long as there may be one.
    async fn connection(&self) -> Result<Connection, Error> {
        let known = self.connection.borrow().clone();
        if let Some(connection) = known {
            return Ok(connection);
        }
        loop {
            match self.connector.connect(Deadline::after(connect::TIME)).await {
                Err(Error::Unreachable { .. }) => sleep(PAUSE.1).await,
                connected => {
                    let connection = connected?;
                    *self.connection.borrow_mut() = Some(connection.clone());
                    return Ok(connection);
                }
            }
        }
    }

    /// Waits for a member's answer; for one that has no substitute, without bound.
    async fn patiently<T>(
        &self,
        patience: Duration,
        asked: impl Future<Output = Result<T, Failed>>,
    ) -> Result<T, Trouble> {
        let answer = match self.connector.has_several() {
            true => timeout(patience, asked).await.map_err(|_| Trouble::silence(patience))?,
            false => asked.await,
        };
        answer.map_err(|failed| Trouble::of(&failed))
    }

    /// Gives a connection up: the next one will be to another member, if there is one.
    fn leave(&self, connection: &Connection, trouble: Trouble) {
        let mut current = self.connection.borrow_mut();
        if current.as_ref().is_some_and(|current| current.member == connection.member) {
            *current = None;
            self.connector.avoid(connection.member, trouble);
        }
    }

    /// Asks until a member answers: without bound, if none does. The question must be one that may be asked twice.
    async fn ask<T>(
        &self,
        doing: &'static str,
        question: impl AsyncFn(KvClient) -> Result<T, Failed>,
    ) -> Result<T, Error> {
        let mut patience = PATIENCE;
        let (mut pause, longest) = PAUSE;
        loop {
            let connection = self.connection().await?;
            let trouble = match self.patiently(patience, question(connection.kv.clone())).await {
                Ok(answer) => return Ok(answer),
                Err(trouble) => trouble,
            };
            match trouble.kind {
                Kind::Silent => patience *= 2,
                Kind::Refused => return Err(self.refused(doing, &[], trouble)),
                Kind::Lost | Kind::Elsewhere | Kind::Busy => {
                    sleep(pause).await;
                    pause = (pause * 2).min(longest);
                }
            }
            if trouble.kind != Kind::Busy {
                self.leave(&connection, trouble);
            }
        }
    }

    fn refused(&self, doing: &'static str, about: &[&Key], trouble: Trouble) -> Error {
        let keys: Vec<String> = about.iter().map(|key| key.path()).collect();
        let reason = match keys.as_slice() {
            [] => trouble.text,
            keys => format!("{}: {}", keys.join(", "), trouble.text),
        };
        let store = self.connector.name();
        match trouble.subject {
            Subject::Health => Error::Unreachable { doing, store, reason, advice: trouble.advice.into() },
            Subject::Permission | Subject::Certificates => {
                Error::Forbidden { doing, store, reason, advice: trouble.advice.into() }
            }
        }
    }

    /// Which of the questions is the one that may not be asked: etcd does not say.
    async fn first_forbidden(&self, wants: &[Want]) -> Option<String> {
        let connection = self.connection().await.ok()?;
        for want in wants {
            let answer = request::read(connection.kv.clone(), std::slice::from_ref(want)).await;
            if answer.is_err_and(|failed| Trouble::of(&failed).subject == Subject::Permission) {
                return Some(match want {
                    Want::Get(key) | Want::Outline(key) => key.path(),
                    Want::List(listing) => listing.to_string(),
                });
            }
        }
        None
    }

    async fn commit_together(&self, writes: &[(&Write, Option<String>)]) -> Result<Outcome, Error> {
        let mut resends = 0;
        loop {
            let connection = self.connection().await?;
            let sent = request::commit(connection.kv.clone(), writes);
            let trouble = match self.patiently(COMMIT_PATIENCE, sent).await {
                Ok(outcome) => return Ok(outcome),
                Err(trouble) => trouble,
            };
            match trouble.kind {
                Kind::Elsewhere if resends < RESENDS => {
                    resends += 1;
                    self.leave(&connection, trouble);
                }
                Kind::Lost | Kind::Silent => {
                    let url = self.connector.url(connection.member);
                    let reason = format!("the answer of {url} was lost: {}", trouble.text);
                    self.leave(&connection, trouble);
                    return Ok(Outcome::Unknown(reason));
                }
                Kind::Elsewhere | Kind::Busy | Kind::Refused => {
                    let keys: Vec<&Key> = writes.iter().map(|(write, _)| &write.key).collect();
                    return Err(self.refused("write", &keys, trouble));
                }
            }
        }
    }
}

impl Datastore for Etcd {
    async fn read(&self, wants: &[Want]) -> Result<Answers, Error> {
        let asked = self.ask("read", async |kv| request::read(kv, wants).await).await;
        match asked {
            Err(Error::Forbidden { doing, store, reason, advice }) => {
                let reason = match self.first_forbidden(wants).await {
                    Some(key) => format!("{key}: {reason}"),
                    None => reason,
                };
                Err(Error::Forbidden { doing, store, reason, advice })
            }
            asked => asked,
        }
    }

    async fn commit(&self, writes: &[Write]) -> Result<Outcome, Error> {
        let values = encode(writes)?;
        let mut applied = Vec::with_capacity(writes.len());
        for part in values.chunks(MAX_OPERATIONS) {
            match self.commit_together(part).await {
                Ok(Outcome::Applied(revisions)) => applied.extend(revisions),
                Ok(Outcome::Conflict { index, .. }) => {
                    return Ok(Outcome::Conflict { index: applied.len() + index, applied });
                }
                Err(error) if !applied.is_empty() => return Ok(Outcome::Unknown(error.to_string())),
                other => return other,
            }
        }
        Ok(Outcome::Applied(applied))
    }

    /// Sends a write through the members' log that changes nothing. What a killed process had sent, and a member has
    /// proposed, is before it in the log, and so is applied.
    async fn settle(&self) -> Result<(), Error> {
        self.ask("write", request::settle).await
    }

    fn name(&self) -> String {
        let connected = self.connection.borrow().as_ref().map(|connection| connection.member);
        match self.connector.troubles(connected) {
            Some(troubles) => format!("{} ({troubles})", self.connector.name()),
            None => self.connector.name(),
        }
    }
}
