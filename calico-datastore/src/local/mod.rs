//! The embedded store: a SQLite file on one host, shared by processes, safe across `kill -9` and power loss.
//!
//! Keys are the paths and values the JSON that etcd would hold. Every commit takes the next number of one counter as
//! the revision of all it writes, as in etcd, so that an object deleted and created again never repeats a revision.

mod schema;
mod seed;

use std::cell::RefCell;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OptionalExtension, TransactionBehavior, params};

use crate::contract::{Answers, Datastore, Entry, Expect, Outcome, Revision, Want, Write};
use crate::encode::encode;
use crate::error::Error;

/// Where the store is kept unless the configuration names another file.
pub const DEFAULT_PATH: &str = "/var/lib/calico/calico.db";

/// An open store.
pub struct Local {
    name: String,
    connection: RefCell<Connection>,
}

impl Local {
    /// Opens the store, and creates it with a ready ClusterInformation where it is absent. Waits, without bound, while
    /// another process creates it or recovers it after a crash.
    pub async fn open(path: &Path) -> Result<Local, Error> {
        let name = path.display().to_string();
        let connection = schema::open(path).await?;
        Ok(Local { name, connection: RefCell::new(connection) })
    }

    /// A store that lives and dies with this value: for tests.
    pub async fn in_memory() -> Result<Local, Error> {
        Local::open(Path::new(":memory:")).await
    }

    fn error(&self, doing: &'static str, error: rusqlite::Error) -> Error {
        explain(&self.name, doing, error)
    }

    fn read_now(&self, wants: &[Want]) -> rusqlite::Result<Answers> {
        let mut connection = self.connection.borrow_mut();
        let transaction = connection.transaction()?;
        let mut answers = Vec::with_capacity(wants.len());
        for want in wants {
            answers.push(match want {
                Want::Get(key) | Want::Outline(key) => transaction
                    .prepare("SELECT key, value, revision FROM objects WHERE key = ?1")?
                    .query_map(params![key.path()], row)?
                    .filter_map(entry)
                    .collect::<rusqlite::Result<Vec<Entry>>>()?,
                Want::List(listing) => transaction
                    .prepare("SELECT key, value, revision FROM objects WHERE key >= ?1 AND key < ?2 ORDER BY key")?
                    .query_map(params![listing.prefix(), listing.end()], row)?
                    .filter_map(entry)
                    .collect::<rusqlite::Result<Vec<Entry>>>()?,
            });
        }
        Ok(Answers::new(answers))
    }

    fn commit_now(&self, writes: &[(&Write, Option<String>)]) -> rusqlite::Result<Outcome> {
        let mut connection = self.connection.borrow_mut();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let revision = Revision(transaction.query_row(
            "UPDATE counter SET revision = revision + 1 RETURNING revision",
            [],
            |row| row.get(0),
        )?);
        for (index, (write, value)) in writes.iter().enumerate() {
            let path = write.key.path();
            let stored = transaction
                .prepare("SELECT revision FROM objects WHERE key = ?1")?
                .query_row(params![path], |row| row.get(0).map(Revision))
                .optional()?;
            let expected = match write.expect {
                Expect::Absent => None,
                Expect::At(revision) => Some(revision),
            };
            if stored != expected {
                return Ok(Outcome::Conflict { index, applied: Vec::new() });
            }
            match value {
                Some(value) => transaction
                    .prepare("INSERT OR REPLACE INTO objects (key, value, revision) VALUES (?1, ?2, ?3)")?
                    .execute(params![path, value, revision.0])?,
                None => transaction.prepare("DELETE FROM objects WHERE key = ?1")?.execute(params![path])?,
            };
        }
        match transaction.commit() {
            Ok(()) => Ok(Outcome::Applied(vec![revision; writes.len()])),
            Err(error) if is_busy(&error) || is_full(&error) => Err(error),
            // The log may or may not have reached the disk with the mark that makes it count.
            Err(error) => Ok(Outcome::Unknown(format!("the datastore {} failed while committing: {error}", self.name))),
        }
    }
}

impl Datastore for Local {
    async fn read(&self, wants: &[Want]) -> Result<Answers, Error> {
        retry_while_busy(|| self.read_now(wants)).await.map_err(|error| self.error("read", error))
    }

    async fn commit(&self, writes: &[Write]) -> Result<Outcome, Error> {
        let values = encode(writes)?;
        retry_while_busy(|| self.commit_now(&values)).await.map_err(|error| self.error("write", error))
    }

    /// A process that is killed while it commits may leave its writes in SQLite's log, complete but not yet visible,
    /// as long as others have the file open. They would come back when the last of them has closed it and the next one
    /// recovers the log. Any later commit overwrites them; this is one that changes nothing.
    async fn settle(&self) -> Result<(), Error> {
        match self.commit(&[]).await? {
            Outcome::Unknown(reason) => {
                let (store, advice) = (self.name.clone(), "check the host's disk");
                Err(Error::Unreachable { doing: "write", store, reason, advice: advice.into() })
            }
            Outcome::Applied(_) | Outcome::Conflict { .. } => Ok(()),
        }
    }

    fn name(&self) -> String {
        self.name.clone()
    }
}

/// Tries again while another process holds the store. The wait is short and asynchronous instead of SQLite's own, so
/// that a deadline or a signal ends it.
async fn retry_while_busy<T>(mut attempt: impl FnMut() -> rusqlite::Result<T>) -> rusqlite::Result<T> {
    // Nothing else here waits: without this, a caller's loop would be deaf to its deadline and to signals.
    tokio::task::yield_now().await;
    let mut pause = Duration::from_millis(1);
    loop {
        match attempt() {
            Err(error) if is_busy(&error) => {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_millis(16));
            }
            result => return result,
        }
    }
}

fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

fn is_full(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::DiskFull)
}

fn row(row: &rusqlite::Row<'_>) -> rusqlite::Result<(String, Vec<u8>, i64)> {
    // Bytes, because another program may have stored text that is not UTF-8: that is one malformed object.
    let value = row.get_ref(1)?;
    let bytes = value.as_bytes_or_null().ok().flatten().unwrap_or_default().to_vec();
    Ok((row.get(0)?, bytes, row.get(2)?))
}

/// A row as an entry; `None` for keys this code does not know.
fn entry(row: rusqlite::Result<(String, Vec<u8>, i64)>) -> Option<rusqlite::Result<Entry>> {
    let (path, value, revision) = match row {
        Ok(row) => row,
        Err(error) => return Some(Err(error)),
    };
    Entry::parse(&path, Revision(revision), &value).map(Ok)
}

fn explain(store: &str, doing: &'static str, error: rusqlite::Error) -> Error {
    let store = store.to_owned();
    let reason = error.to_string();
    match error.sqlite_error_code() {
        Some(ErrorCode::PermissionDenied | ErrorCode::AuthorizationForStatementDenied | ErrorCode::ReadOnly) => {
            let advice = "the plugin must run as root, and the folder must be writable";
            Error::Forbidden { doing, store, reason, advice: advice.into() }
        }
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::Unknown) | None => {
            let advice =
                "stop all containers of this host, move it away together with its -wal and -shm files, and start again";
            Error::Invalid { store, reason, advice: advice.into() }
        }
        Some(ErrorCode::DiskFull) => {
            Error::Unreachable { doing, store, reason, advice: "free space on its file system".into() }
        }
        _ => Error::Unreachable {
            doing,
            store,
            reason,
            advice: "check that its folder exists on a local, writable file system".into(),
        },
    }
}

#[cfg(test)]
mod tests;
