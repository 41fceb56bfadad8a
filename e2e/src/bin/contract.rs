//! Whether etcd keeps the datastore contract. `tests/contract.rs` runs this inside the servers' network.
//!
//! `contract <url>`: all checks, on an etcd that is otherwise empty. The first failure ends it.

use calico_datastore::etcd::{Etcd, Members, Settings};
use calico_datastore::{Answers, Datastore, Deadline, Error, Expect, Outcome, Revision, Want, Write};
use calico_model::{Handle, Key, Kind, Listing, Profile, Resource};

/// More than one transaction takes.
const MANY: usize = 300;

/// More than one page of a listing.
const LISTED: usize = 2_300;

fn main() {
    let url = std::env::args().nth(1).expect("usage: contract <url>");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let store = open(&url).await.unwrap_or_else(|e| panic!("{e}"));
        writes_apply_together_or_not_at_all(&store).await;
        a_revision_is_never_used_twice(&store).await;
        resources_are_given_identity(&store).await;
        settling_changes_nothing(&store).await;
        many_questions_are_one_answer(&store).await;
        many_writes_are_several_transactions(&store).await;
        long_listings_are_complete(&store).await;
    });
}

async fn open(url: &str) -> Result<Etcd, Error> {
    let settings = Settings::to(Members::Listed(vec![url.to_owned()]));
    Etcd::open(&settings, Deadline::after(std::time::Duration::from_secs(5))).await
}

fn handle(count: i64) -> Handle {
    let mut handle = Handle::default();
    handle.set(&"10.0.0.0/26".parse().expect("a CIDR"), count);
    handle
}

fn key(id: &str) -> Key {
    Key::Handle(id.to_owned())
}

async fn read(store: &Etcd, wants: &[Want]) -> Answers {
    store.read(wants).await.unwrap_or_else(|e| panic!("{e}"))
}

async fn revision(store: &Etcd, id: &str) -> Option<Revision> {
    let found = read(store, &[Want::Get(key(id))]).await.get::<Handle>().unwrap_or_else(|e| panic!("{e}"));
    found.map(|stored| stored.revision)
}

async fn commit(store: &Etcd, writes: &[Write]) -> Outcome {
    store.commit(writes).await.unwrap_or_else(|e| panic!("{e}"))
}

async fn applied(store: &Etcd, writes: &[Write]) -> Vec<Revision> {
    match commit(store, writes).await {
        Outcome::Applied(revisions) => revisions,
        other => panic!("{other:?}"),
    }
}

async fn writes_apply_together_or_not_at_all(store: &Etcd) {
    let revisions = applied(store, &[Write::create(key("a"), handle(1)), Write::create(key("b"), handle(1))]).await;
    assert_eq!(revisions.len(), 2);
    let writes = [Write::update(key("a"), revisions[0], handle(2)), Write::create(key("b"), handle(9))];
    assert_eq!(commit(store, &writes).await, Outcome::Conflict { index: 1, applied: vec![] });
    assert_eq!(revision(store, "a").await, Some(revisions[0]));
    let missing = [Write::update(key("missing"), revisions[0], handle(2))];
    assert_eq!(commit(store, &missing).await, Outcome::Conflict { index: 0, applied: vec![] });
}

async fn a_revision_is_never_used_twice(store: &Etcd) {
    let first = applied(store, &[Write::create(key("c"), handle(1))]).await[0];
    applied(store, &[Write::delete(key("c"), first)]).await;
    applied(store, &[Write::create(key("c"), handle(1))]).await;
    assert_ne!(revision(store, "c").await, Some(first));
    for id in ["c", "gone"] {
        let stale = commit(store, &[Write::delete(key(id), first)]).await;
        assert_eq!(stale, Outcome::Conflict { index: 0, applied: vec![] });
    }
}

async fn resources_are_given_identity(store: &Etcd) {
    let profile: Profile = Resource::new(Kind::Profile, "contract", Default::default());
    applied(store, &[Write::create(Key::resource(Kind::Profile, "contract"), profile)]).await;
    let mut answers = read(store, &[Want::List(Listing::Resources(Kind::Profile))]).await;
    let stored = answers.list::<Profile>().remove(0).value.metadata;
    assert_eq!(stored.uid.len(), 36);
    assert!(stored.creation_timestamp.is_some());
}

async fn settling_changes_nothing(store: &Etcd) {
    let before = applied(store, &[Write::create(key("before"), handle(1))]).await[0];
    store.settle().await.unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(commit(store, &[]).await, Outcome::Applied(vec![]));
    let after = applied(store, &[Write::create(key("after"), handle(1))]).await[0];
    assert_eq!(after.0, before.0 + 1, "a revision was used up");
}

async fn many_questions_are_one_answer(store: &Etcd) {
    let mut wants: Vec<Want> = (0..MANY).map(|n| Want::Get(key(&format!("absent-{n}")))).collect();
    wants.push(Want::Get(key("a")));
    let mut answers = read(store, &wants).await;
    for _ in 0..MANY {
        assert!(answers.entries().is_empty());
    }
    assert_eq!(answers.entries().len(), 1);
}

async fn many_writes_are_several_transactions(store: &Etcd) {
    let writes: Vec<Write> = (0..MANY).map(|n| Write::create(key(&format!("many-{n}")), handle(1))).collect();
    let revisions = applied(store, &writes).await;
    assert_eq!(revisions.len(), MANY);
    let mut again: Vec<Write> =
        (0..MANY).map(|n| Write::put(key(&format!("many-{n}")), Expect::At(revisions[n]), handle(2))).collect();
    again[200].expect = Expect::Absent;
    match commit(store, &again).await {
        Outcome::Conflict { index, applied } => assert_eq!((index, applied.len()), (200, 128)),
        other => panic!("{other:?}"),
    }
    assert_eq!(revision(store, "many-130").await, Some(revisions[130]), "after the conflict nothing is applied");
}

async fn long_listings_are_complete(store: &Etcd) {
    // Above 4 MiB, what clients take as one answer unless they are told otherwise.
    let padding = "x".repeat(4 << 10);
    let mut large = handle(1);
    large.extra.insert("padding".to_owned(), padding.into());
    let ids: Vec<String> = (0..LISTED).map(|n| format!("listed-{n:05}")).collect();
    for part in ids.chunks(100) {
        let writes: Vec<Write> = part.iter().map(|id| Write::create(key(id), large.clone())).collect();
        applied(store, &writes).await;
    }
    let listed: Vec<Key> = read(store, &[Want::List(Listing::Handles), Want::Get(key("a"))])
        .await
        .list::<Handle>()
        .into_iter()
        .map(|stored| stored.key)
        .collect();
    assert!(listed.is_sorted());
    let expected: Vec<Key> = ids.iter().map(|id| key(id)).collect();
    let found: Vec<&Key> = listed.iter().filter(|found| expected.binary_search(found).is_ok()).collect();
    assert_eq!(found.len(), LISTED);
}
