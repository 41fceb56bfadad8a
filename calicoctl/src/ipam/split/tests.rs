use calico_model::Resource;
use calico_model::resource::ClusterInformationSpec;
use serde_json::json;

use super::super::world::{self, text_of};
use super::*;

async fn locked(ready: bool) -> Session {
    let session = world::recorded().await;
    let spec = ClusterInformationSpec { datastore_ready: Some(ready), ..ClusterInformationSpec::default() };
    let key = Key::resource(Kind::ClusterInformation, "default");
    world::put(&session, key, Resource::new(Kind::ClusterInformation, "default", spec)).await;
    session
}

fn arguments(number: &str, name: &str) -> SplitArgs {
    SplitArgs { number: number.to_owned(), name: Some(name.to_owned()), cidr: None }
}

async fn pools(session: &Session) -> Vec<(String, String, bool)> {
    let wants = [Want::List(Listing::Resources(Kind::IpPool))];
    let pools: Vec<Stored<IpPool>> = session.store().read(&wants).await.unwrap().list();
    let about = |pool: IpPool| (pool.metadata.name.clone(), pool.cidr().to_string(), pool.spec.disabled);
    pools.into_iter().map(|stored| about(stored.value)).collect()
}

async fn split_of(session: &Session, number: u64) -> Split<'_> {
    let old = world::get::<IpPool>(session, world::pool_key("pool1")).await.unwrap();
    let parts = parts::of(&old.value, number).unwrap();
    Split { session, old, parts }
}

#[tokio::test]
async fn a_pool_becomes_its_parts() {
    let session = locked(false).await;
    let mut pool = world::get::<IpPool>(&session, world::pool_key("pool1")).await.unwrap().value;
    pool.spec.extra.insert("natOutgoing".to_owned(), true.into());
    pool.metadata.labels.insert("a".to_owned(), "b".to_owned());
    pool.extra.insert("status".to_owned(), json!({"conditions": []}));
    let before = pool.clone();
    world::put(&session, world::pool_key("pool1"), pool).await;
    let by_cidr = SplitArgs { number: "2".to_owned(), name: None, cidr: Some("10.10.0.0/16".to_owned()) };
    run(&session, &Console::default(), &by_cidr).await.unwrap();
    let names: Vec<String> = pools(&session).await.into_iter().map(|(name, ..)| name).collect();
    assert_eq!(names, ["pool6", "split-pool1-0", "split-pool1-1"]);
    let part = world::get::<IpPool>(&session, world::pool_key("split-pool1-1")).await.unwrap().value;
    assert_eq!(part.spec.cidr.to_string(), "10.10.128.0/17");
    assert!(part.metadata.uid != before.metadata.uid && !part.metadata.uid.is_empty());
    assert_eq!(part.metadata.labels, before.metadata.labels);
    assert_eq!(part.spec.extra, before.spec.extra);
    assert!(!part.extra.contains_key("status"));
}

#[tokio::test]
async fn what_was_done_is_said_as_recorded() {
    let session = locked(false).await;
    let expected = "\
IP Pool pool1 was successfully split into 2 smaller pools.
Created split-pool1-0 with CIDR 10.10.0.0/17.
Created split-pool1-1 with CIDR 10.10.128.0/17.
Please refer to the documentation for final steps.
";
    assert_eq!(split_of(&session, 2).await.done(), expected);
}

#[tokio::test]
async fn what_cannot_be_done_changes_nothing() {
    let session = locked(false).await;
    let before = pools(&session).await;
    let both = SplitArgs { cidr: Some("10.10.0.0/16".to_owned()), ..arguments("2", "pool1") };
    let cidr = SplitArgs { name: None, cidr: Some("10.10.0.0/17".to_owned()), ..arguments("2", "") };
    for (arguments, expected) in [
        (
            arguments("3", "pool1"),
            "error splitting the CIDR 10.10.0.0/16 into 3 CIDRs: number to split CIDR into is not a valid power of 2: 3",
        ),
        (arguments("x", "pool1"), "error reading number to split IP pools into. x is not a valid number: "),
        (
            arguments("2", "poool1"),
            "unable to find IP pool with name poool1: resource does not exist: IPPool(poool1)\ndid you mean pool1?",
        ),
        (cidr, "unable to find IP pool covering the specified CIDR 10.10.0.0/17\n"),
        (both, "the pool to split must be given"),
    ] {
        let error = run(&session, &Console::default(), &arguments).await.unwrap_err();
        assert!(text_of(&error).starts_with(expected), "{}", text_of(&error));
    }
    assert_eq!(pools(&session).await, before);
    world::put(&session, world::pool_key("split-pool1-1"), world::pool("split-pool1-1", "10.20.0.0/16")).await;
    let error = run(&session, &Console::default(), &arguments("2", "pool1")).await.unwrap_err();
    assert!(text_of(&error).starts_with("there is an IP pool split-pool1-1 already"), "{}", text_of(&error));
    let unlocked = locked(true).await;
    let error = run(&unlocked, &Console::default(), &arguments("2", "pool6")).await.unwrap_err();
    let expected =
        "datastore is not locked. Run the `calicoctl datastore migrate lock` command in order split the IP pools";
    assert_eq!(text_of(&error), expected);
    assert_eq!(pools(&unlocked).await, before);
}

#[tokio::test]
async fn a_pool_with_a_finalizer_is_left_alone() {
    let session = locked(false).await;
    let mut pool = world::pool("kept", "10.30.0.0/16");
    pool.metadata.extra.insert("finalizers".to_owned(), json!([FINALIZER]));
    world::put(&session, world::pool_key("kept"), pool).await;
    let error = run(&session, &Console::default(), &arguments("2", "kept")).await.unwrap_err();
    assert!(text_of(&error).contains("cannot be split"), "{}", text_of(&error));
}

/// Another writer creates a pool with a part's name after it was looked.
#[tokio::test]
async fn after_a_failure_the_pool_is_enabled_again() {
    let session = locked(false).await;
    let split = split_of(&session, 2).await;
    world::put(&session, world::pool_key("split-pool1-1"), world::pool("split-pool1-1", "10.20.0.0/16")).await;
    let before = pools(&session).await;
    let error = split.perform(&Console::default()).await.unwrap_err();
    let expected =
        "another writer changed IPPool(split-pool1-1) meanwhile\nnothing was changed: IP pool pool1 is enabled again";
    assert_eq!(text_of(&error), expected);
    assert_eq!(pools(&session).await, before);
}

#[tokio::test]
async fn a_pool_that_was_disabled_stays_so() {
    let session = locked(false).await;
    let mut pool = world::pool("pool1", "10.10.0.0/16");
    pool.spec.disabled = true;
    world::put(&session, world::pool_key("pool1"), pool).await;
    let split = split_of(&session, 2).await;
    world::put(&session, world::pool_key("split-pool1-1"), world::pool("split-pool1-1", "10.20.0.0/16")).await;
    let error = split.perform(&Console::default()).await.unwrap_err();
    assert!(text_of(&error).ends_with("nothing was changed: IP pool pool1 is as it was"), "{}", text_of(&error));
    assert!(pools(&session).await.contains(&("pool1".to_owned(), "10.10.0.0/16".to_owned(), true)));
}

/// More parts than one commit holds: the first commit succeeds and the second fails.
#[tokio::test]
async fn parts_that_were_created_are_named() {
    let session = locked(false).await;
    let split = split_of(&session, 128).await;
    world::put(&session, world::pool_key("split-pool1-100"), world::pool("split-pool1-100", "10.20.0.0/16")).await;
    let error = split.perform(&Console::default()).await.unwrap_err();
    let text = text_of(&error);
    assert!(text.contains("IP pool pool1 is disabled and still there, beside 64 of 128 parts"), "{text}");
    assert!(text.contains("split-pool1-0, split-pool1-1, "), "{text}");
    assert!(pools(&session).await.contains(&("pool1".to_owned(), "10.10.0.0/16".to_owned(), true)));
}

#[tokio::test]
async fn many_parts_take_several_commits() {
    let session = locked(false).await;
    run(&session, &Console::default(), &arguments("128", "pool1")).await.unwrap();
    assert_eq!(pools(&session).await.len(), 129);
    assert!(world::get::<IpPool>(&session, world::pool_key("pool1")).await.is_none());
}
