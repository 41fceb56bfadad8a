use super::*;
use calico_model::{Handle, IpPool, Key, Kind, Listing};

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(work)
}

/// A folder that goes away with the test, also when it fails.
struct Folder(std::path::PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("calico-local-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn store(&self) -> std::path::PathBuf {
        self.0.join("calico.db")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn handle(count: i64) -> Handle {
    let mut handle = Handle::default();
    handle.set(&"10.0.0.0/26".parse().unwrap(), count);
    handle
}

fn key(id: &str) -> Key {
    Key::Handle(id.to_owned())
}

async fn get(store: &Local, id: &str) -> Option<crate::Stored<Handle>> {
    store.read(&[Want::Get(key(id))]).await.unwrap().get().unwrap()
}

#[test]
fn writes_apply_together_or_not_at_all() {
    run(async {
        let store = Local::in_memory().await.unwrap();
        let outcome = store.commit(&[Write::create(key("a"), handle(1)), Write::create(key("b"), handle(1))]).await;
        let Outcome::Applied(revisions) = outcome.unwrap() else { panic!() };
        assert_eq!(revisions.len(), 2);
        let writes = [Write::update(key("a"), revisions[0], handle(2)), Write::create(key("b"), handle(9))];
        let outcome = store.commit(&writes).await.unwrap();
        assert_eq!(outcome, Outcome::Conflict { index: 1, applied: vec![] });
        assert_eq!(get(&store, "a").await.unwrap().value, handle(1));
    });
}

#[test]
fn commits_are_flushed_to_a_log() {
    let folder = Folder::new("durable");
    run(async {
        let store = Local::open(&folder.store()).await.unwrap();
        let connection = store.connection.borrow();
        let full: i64 = connection.pragma_query_value(None, "synchronous", |row| row.get(0)).unwrap();
        let journal: String = connection.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
        assert_eq!((full, journal.as_str()), (2, "wal"));
    });
}

#[test]
fn a_revision_is_never_used_twice() {
    run(async {
        let store = Local::in_memory().await.unwrap();
        store.commit(&[Write::create(key("a"), handle(1))]).await.unwrap();
        let first = get(&store, "a").await.unwrap().revision;
        store.commit(&[Write::delete(key("a"), first)]).await.unwrap();
        store.commit(&[Write::create(key("a"), handle(1))]).await.unwrap();
        assert_ne!(get(&store, "a").await.unwrap().revision, first);
        let stale = store.commit(&[Write::delete(key("a"), first)]).await.unwrap();
        assert!(matches!(stale, Outcome::Conflict { index: 0, .. }));
        assert!(matches!(store.commit(&[Write::delete(key("gone"), first)]).await.unwrap(), Outcome::Conflict { .. }));
    });
}

#[test]
fn listings_end_at_their_prefix_and_come_in_key_order() {
    run(async {
        let store = Local::in_memory().await.unwrap();
        for id in ["net.b", "net.a", "net.a-1"] {
            store.commit(&[Write::create(key(id), handle(1))]).await.unwrap();
        }
        let wants = [Want::List(Listing::Handles), Want::List(Listing::Blocks), Want::Get(key("net.b"))];
        let mut answers = store.read(&wants).await.unwrap();
        let keys: Vec<Key> = answers.list::<Handle>().into_iter().map(|h| h.key).collect();
        assert_eq!(keys, [key("net.a"), key("net.a-1"), key("net.b")]);
        assert!(answers.entries().is_empty());
        assert!(answers.get::<Handle>().unwrap().is_some());
    });
}

#[test]
fn an_absent_store_is_created_ready_with_node_and_pools() {
    let folder = Folder::new("created");
    run(async {
        let store = Local::open(&folder.0.join("deeper/calico.db")).await.unwrap();
        let pools = ["10.65.0.0/16".parse().unwrap(), "fd65::/64".parse().unwrap()];
        store.seed("node-1", &pools).await.unwrap();
        store.seed("node-1", &pools).await.unwrap();
        let wants = [
            Want::Get(Key::resource(Kind::ClusterInformation, "default")),
            Want::Get(Key::resource(Kind::Node, "node-1")),
            Want::List(Listing::Resources(Kind::IpPool)),
        ];
        let mut answers = store.read(&wants).await.unwrap();
        let information = answers.get::<calico_model::ClusterInformation>().unwrap().unwrap().value;
        assert_eq!(information.spec.datastore_ready, Some(true));
        assert!(!answers.get::<calico_model::Node>().unwrap().unwrap().value.metadata.uid.is_empty());
        let pools: Vec<IpPool> = answers.list().into_iter().map(|p| p.value).collect();
        let names: Vec<&str> = pools.iter().map(|p| p.metadata.name.as_str()).collect();
        assert_eq!(names, ["ippool-10-65-0-0-16", "ippool-fd65---64"]);
        let overlap = store.seed("node-1", &["10.65.3.0/24".parse().unwrap()]).await.unwrap_err().to_string();
        assert!(overlap.contains("10.65.3.0/24 overlaps the pool 10.65.0.0/16"), "{overlap}");
    });
}

#[test]
fn a_pool_that_is_not_what_its_name_says_is_an_error() {
    run(async {
        let store = Local::in_memory().await.unwrap();
        let pools = ["10.65.0.0/16".parse().unwrap()];
        store.seed("node-1", &pools).await.unwrap();
        let set = |value: &str| {
            let sql = format!("UPDATE objects SET value = '{value}' WHERE key LIKE '%/ippools/%'");
            store.connection.borrow().execute_batch(&sql).unwrap();
        };
        set("{}");
        let error = store.seed("node-1", &pools).await.unwrap_err().to_string();
        assert!(error.contains("ippools/ippool-10-65-0-0-16: missing field"), "{error}");
        let other = go_json::to_compact(&IpPool::routed("ippool-10-65-0-0-16", "10.99.0.0/16".parse().unwrap()));
        set(&other);
        let error = store.seed("node-1", &pools).await.unwrap_err().to_string();
        assert!(error.contains("IPPool(ippool-10-65-0-0-16) is there already"), "{error}");
    });
}

#[test]
fn a_loop_over_the_store_ends_at_its_deadline() {
    run(async {
        let store = Local::in_memory().await.unwrap();
        let forever = async {
            loop {
                store.read(&[Want::Get(key("a"))]).await.unwrap();
            }
        };
        let ended: Option<()> = crate::Deadline::after(Duration::from_millis(5)).bound(forever).await;
        assert_eq!(ended, None);
    });
}

#[test]
fn what_is_not_a_store_is_refused_and_left_alone() {
    let folder = Folder::new("foreign");
    run(async {
        std::fs::write(folder.store(), "this is not a database, whatever its name says").unwrap();
        let error = Local::open(&folder.store()).await.err().unwrap();
        assert!(matches!(error, Error::Invalid { .. }), "{error}");
        assert!(std::fs::read_to_string(folder.store()).unwrap().starts_with("this is not"));

        std::fs::remove_file(folder.store()).unwrap();
        let other = Connection::open(folder.store()).unwrap();
        other.execute_batch("CREATE TABLE mine (x);").unwrap();
        let error = Local::open(&folder.store()).await.err().unwrap().to_string();
        assert!(error.contains("another program's"), "{error}");

        other.execute_batch("PRAGMA user_version = 1").unwrap();
        let error = Local::open(&folder.store()).await.err().unwrap().to_string();
        assert!(error.contains("another program's"), "{error}");

        let error = Local::open(Path::new("/proc/no/such/calico.db")).await.err().unwrap();
        assert!(matches!(error, Error::Unreachable { .. } | Error::Forbidden { .. }), "{error}");
    });
}

#[test]
fn a_malformed_object_fails_its_own_read_only() {
    run(async {
        let store = Local::in_memory().await.unwrap();
        store.commit(&[Write::create(key("good"), handle(1))]).await.unwrap();
        let insert = "INSERT INTO objects VALUES ('/calico/ipam/v2/handle/bad', x'ff00', 7)";
        store.connection.borrow().execute_batch(insert).unwrap();
        assert!(store.read(&[Want::Get(key("bad"))]).await.unwrap().get::<Handle>().is_err());
        let listed = store.read(&[Want::List(Listing::Handles)]).await.unwrap().list::<Handle>();
        assert_eq!(listed.len(), 1);
    });
}

#[test]
fn a_waiting_writer_gives_up_at_its_deadline_and_says_what_it_waited_for() {
    let folder = Folder::new("busy");
    run(async {
        let store = Local::open(&folder.store()).await.unwrap();
        let connection = Connection::open(folder.store()).unwrap();
        connection.execute_batch("BEGIN IMMEDIATE").unwrap();
        let timed = crate::Timed::new(&store, crate::Deadline::after(Duration::from_millis(30)));
        let outcome = timed.commit(&[Write::create(key("a"), handle(1))]).await.unwrap();
        let Outcome::Unknown(reason) = outcome else { panic!("{outcome:?}") };
        assert!(reason.contains("write /calico/ipam/v2/handle/a"), "{reason}");
        connection.execute_batch("ROLLBACK").unwrap();
        assert!(get(&store, "a").await.is_none());
    });
}

#[test]
fn many_processes_worth_of_connections_lose_no_write() {
    let folder = Folder::new("many");
    let path = folder.store();
    let threads: Vec<_> = (0..8)
        .map(|t| {
            let path = path.clone();
            std::thread::spawn(move || {
                run(async {
                    let store = Local::open(&path).await.unwrap();
                    for n in 0..20 {
                        let outcome = store.commit(&[Write::create(key(&format!("h{t}-{n}")), handle(1))]).await;
                        assert!(matches!(outcome.unwrap(), Outcome::Applied(_)));
                    }
                });
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    let all = run(async {
        let store = Local::open(&path).await.unwrap();
        store.read(&[Want::List(Listing::Handles)]).await.unwrap().list::<Handle>().len()
    });
    assert_eq!(all, 160);
}
