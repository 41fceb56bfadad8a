//! The store's file: opening it, creating it, and refusing what is not one.

use std::path::Path;
use std::time::{Duration, SystemTime};

use calico_model::resource::ClusterInformationSpec;
use calico_model::{Key, Kind, Resource, timestamp};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, TransactionBehavior, params};

use super::{explain, retry_while_busy};
use crate::error::Error;

/// Marks the file as one of ours (SQLite's `application_id`): the letters `CaIP`.
const APPLICATION_ID: i32 = 0x4361_4950;
/// The layout of the tables (SQLite's `user_version`).
const VERSION: i32 = 1;

pub(super) async fn open(path: &Path) -> Result<Connection, Error> {
    let name = path.display().to_string();
    let failed = |error| explain(&name, "open", error);
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        // A failure shows when the file cannot be opened, with the better message.
        let _ = std::fs::create_dir_all(folder);
    }
    let mut connection = connect(path).map_err(failed)?;
    // Every commit reaches the disk before it is answered (synchronous = FULL): that is SQLite's default.
    connection.execute_batch("PRAGMA wal_autocheckpoint = 128").map_err(failed)?;
    let found = retry_while_busy(|| version(&connection)).await.map_err(failed)?;
    let found = match found {
        0 => retry_while_busy(|| create(&mut connection)).await.map_err(failed)?,
        found => found,
    };
    let application = retry_while_busy(|| pragma(&connection, "application_id")).await.map_err(failed)?;
    let reason = match found {
        _ if application != APPLICATION_ID => "it is another program's SQLite file".to_owned(),
        VERSION => return Ok(connection),
        other => format!("it has layout {other}, and this release knows layout {VERSION}"),
    };
    Err(Error::Invalid { store: name, reason, advice: "name another file in local_store_file".into() })
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(Duration::ZERO)?;
    // A short-lived process is often the last user of the file: folding the log into it at every exit would cost each
    // pod two more disk flushes. The log is folded in when it has grown, by whoever commits then.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    Ok(connection)
}

fn version(connection: &Connection) -> rusqlite::Result<i32> {
    pragma(connection, "user_version")
}

fn pragma(connection: &Connection, name: &str) -> rusqlite::Result<i32> {
    connection.pragma_query_value(None, name, |row| row.get(0))
}

/// Creates the tables in an empty file; answers the layout that is there afterwards, 0 where the file has tables of
/// another program.
fn create(connection: &mut Connection) -> rusqlite::Result<i32> {
    let tables = |connection: &Connection| {
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0))
    };
    if tables(connection)? == 0 {
        // Not possible inside a transaction; harmless to repeat, and ignored by a store in memory.
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get::<_, String>(0))?;
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if tables(&transaction)? > 0 {
        return version(&transaction);
    }
    transaction.execute_batch(
        "CREATE TABLE objects (key TEXT PRIMARY KEY, value TEXT NOT NULL, revision INTEGER NOT NULL) WITHOUT ROWID;
         CREATE TABLE counter (revision INTEGER NOT NULL);
         INSERT INTO counter (revision) VALUES (1);",
    )?;
    let key = Key::resource(Kind::ClusterInformation, "default");
    transaction.execute(
        "INSERT INTO objects (key, value, revision) VALUES (?1, ?2, 1)",
        params![key.path(), ready_cluster_information()],
    )?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()?;
    Ok(VERSION)
}

fn ready_cluster_information() -> String {
    let spec = ClusterInformationSpec { datastore_ready: Some(true), ..ClusterInformationSpec::default() };
    let mut object = Resource::new(Kind::ClusterInformation, "default", spec);
    object.metadata.creation_timestamp = Some(timestamp::rfc3339(SystemTime::now()));
    go_json::to_compact(&object)
}
