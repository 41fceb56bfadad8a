//! Changing the owners of an address.

use std::collections::BTreeMap;
use std::rc::Rc;

use calico_datastore::Datastore;
use calico_ipam::{Error, ExpectedOwner, Ipam, OwnerExpectation, OwnerUpdate};
use calico_model::{Block, IpVersion};

use crate::faulty::{Faults, Faulty, Style};
use crate::{HOST, assign, assign_given, at, block_key, blocks, change, cluster, get, ip, run};

const ADDRESS: &str = "10.0.0.1";

fn pod(name: &str) -> BTreeMap<String, String> {
    [("pod", name), ("namespace", "default"), ("node", "n")].map(|(k, v)| (k.to_owned(), v.to_owned())).into()
}

fn expect_pod(name: &str) -> Option<ExpectedOwner> {
    Some(ExpectedOwner::Pod { namespace: "default".to_owned(), name: name.to_owned() })
}

const NOBODY: Option<ExpectedOwner> = Some(ExpectedOwner::Nobody);

/// Active and alternate pod, empty where there is none.
async fn owners(ipam: &Ipam<impl Datastore>) -> (String, String) {
    let found = ipam.use_of(ip(ADDRESS)).await.unwrap();
    let of = |attributes: &BTreeMap<String, String>| attributes.get("pod").cloned().unwrap_or_default();
    (of(&found.attributes), of(&found.alternate))
}

#[test]
fn owners_are_set_cleared_and_swapped() {
    run(async {
        let store = cluster(&[("10.0.0.0/24", 26)]).await;
        let ipam = Ipam::new(&store, HOST, at(0));
        assign_given(&ipam, "vm", ADDRESS).await;
        let set = |active: Option<&str>, alternate: Option<&str>| {
            let attributes = |name: &str| if name.is_empty() { BTreeMap::new() } else { pod(name) };
            let update = OwnerUpdate { active: active.map(attributes), alternate: alternate.map(attributes) };
            let ipam = &ipam;
            async move {
                ipam.set_owner_attributes(ip(ADDRESS), "vm", &update, &OwnerExpectation::default()).await.unwrap();
                let (active, alternate) = owners(ipam).await;
                format!("{active}/{alternate}")
            }
        };
        assert_eq!(set(None, Some("target")).await, "active/target");
        assert_eq!(set(Some("target"), Some("active")).await, "target/active");
        assert_eq!(set(None, Some("")).await, "target/");
        assert_eq!(set(Some(""), Some("late")).await, "/late");
        assert_eq!(set(Some("again"), None).await, "again/late");
        let before = blocks(&store).await;
        assert_eq!(set(None, None).await, "again/late");
        assert_eq!(set(Some("again"), Some("late")).await, "again/late");
        assert_eq!(blocks(&store).await, before, "what changes nothing writes nothing");
        assert_eq!(before[0].inconsistency(), None);
    });
}

#[test]
fn owners_must_be_the_expected_ones() {
    run(async {
        let other_namespace = Some(ExpectedOwner::Pod { namespace: "other".to_owned(), name: "active".to_owned() });
        for (has_alternate, active, alternate, fits) in [
            (true, None, None, true),
            (true, expect_pod("active"), expect_pod("target"), true),
            (true, expect_pod("active"), None, true),
            (true, expect_pod("target"), None, false),
            (true, other_namespace, None, false),
            (true, NOBODY, None, false),
            (true, None, NOBODY, false),
            (true, None, expect_pod("active"), false),
            (true, expect_pod("active"), expect_pod("active"), false),
            (false, expect_pod("active"), NOBODY, true),
            (false, None, expect_pod("target"), false),
        ] {
            let store = cluster(&[("10.0.0.0/24", 26)]).await;
            let ipam = Ipam::new(&store, HOST, at(0));
            assign_given(&ipam, "vm", ADDRESS).await;
            if has_alternate {
                change::<Block>(&store, block_key("10.0.0.0/26"), |block| {
                    block.attributes[0].alternate_owner_attrs = pod("target");
                })
                .await;
            }
            let before = blocks(&store).await;
            let expected = OwnerExpectation { active, alternate };
            let update = OwnerUpdate { active: Some(pod("new")), alternate: Some(BTreeMap::new()) };
            let result = ipam.set_owner_attributes(ip(ADDRESS), "vm", &update, &expected).await;
            if fits {
                result.unwrap();
                assert_eq!(owners(&ipam).await, ("new".to_owned(), String::new()), "{expected:?}");
            } else {
                let error = result.unwrap_err();
                assert_eq!(error.to_string(), "update conflict: 10.0.0.1", "{expected:?}");
                assert!(matches!(error, Error::OwnerDiffers { .. }));
                assert_eq!(blocks(&store).await, before);
            }
        }
    });
}

#[test]
fn the_address_must_be_the_handles() {
    run(async {
        let store = cluster(&[("10.0.0.0/24", 26)]).await;
        let ipam = Ipam::new(&store, HOST, at(0));
        ipam.change_settings(|config| config.ip_cooldown_seconds = 60).await.unwrap();
        assign_given(&ipam, "vm", ADDRESS).await;
        assign_given(&ipam, "vm", "10.0.0.2").await;
        ipam.release_addresses(&[calico_ipam::ReleaseRequest::any(ip("10.0.0.2"))]).await.unwrap();
        let text = |address: &'static str| {
            let (ipam, update) = (&ipam, OwnerUpdate { active: Some(pod("new")), alternate: None });
            async move {
                let expected = OwnerExpectation::default();
                ipam.set_owner_attributes(ip(address), "other", &update, &expected).await.unwrap_err().to_string()
            }
        };
        assert_eq!(text(ADDRESS).await, "IP 10.0.0.1 is not assigned to handle other");
        assert_eq!(text("10.0.0.2").await, "address 10.0.0.2 is in cooldown");
        assert!(text("10.0.0.3").await.ends_with("IP is unassigned"));
        assert!(text("10.9.0.3").await.ends_with("IP is unassigned"));
    });
}

#[test]
fn addresses_that_share_the_attribute_keep_it() {
    run(async {
        let store = cluster(&[("10.0.0.0/24", 26)]).await;
        let ipam = Ipam::new(&store, HOST, at(0));
        let addresses = assign(&ipam, "vm", IpVersion::V4, 3).await;
        let key = block_key(&ipam.use_of(addresses[0]).await.unwrap().block.to_string());
        change::<Block>(&store, key.clone(), |block| {
            block.attributes[0].extra.insert("later".to_owned(), 1.into());
        })
        .await;
        let before = ipam.use_of(addresses[1]).await.unwrap();
        let update = OwnerUpdate { active: Some(pod("new")), alternate: None };
        let set = |address| ipam.set_owner_attributes(address, "vm", &update, &NO_EXPECTATION);
        set(addresses[1]).await.unwrap();
        for address in [addresses[0], addresses[2]] {
            assert_eq!(ipam.use_of(address).await.unwrap().attributes, before.attributes);
        }
        let after = ipam.use_of(addresses[1]).await.unwrap();
        assert_eq!((after.attributes, after.sequence), (pod("new"), before.sequence));
        set(addresses[0]).await.unwrap();
        set(addresses[2]).await.unwrap();
        let block = get::<Block>(&store, key).await.unwrap().value;
        assert_eq!(block.attributes.len(), 1, "equal again, shared again");
        assert_eq!((block.attributes[0].extra["later"].clone(), block.inconsistency()), (1.into(), None));
    });
}

const NO_EXPECTATION: OwnerExpectation = OwnerExpectation { active: None, alternate: None };

#[test]
fn only_other_writers_and_lost_answers_are_tried_again() {
    for (style, seed) in [Style::Atomic, Style::Ordered].into_iter().flat_map(|s| (1..40).map(move |n| (s, n))) {
        run(async {
            let store = Rc::new(cluster(&[("10.0.0.0/24", 26)]).await);
            let calm = Ipam::new(&*store, HOST, at(0));
            assign_given(&calm, "vm", ADDRESS).await;
            let faulty = Faulty::new(store.clone(), style, Faults { writers: 40, lost: 40, late: 0 }, seed * 7919);
            let others = store.clone();
            faulty.set_other_writer(move |random| {
                let store = others.clone();
                Box::pin(async move {
                    assign(&Ipam::new(&*store, HOST, at(random % 1000)), "other", IpVersion::V4, 1).await;
                })
            });
            let ipam = Ipam::new(&faulty, HOST, at(1));
            // The second change is refused unless the first was made, and the first unless it was not.
            for (from, to) in [("active", "one"), ("one", "two"), ("two", "three")] {
                let update = OwnerUpdate { active: Some(pod(to)), alternate: None };
                let expected = OwnerExpectation { active: expect_pod(from), alternate: None };
                let result = ipam.set_owner_attributes(ip(ADDRESS), "vm", &update, &expected).await;
                assert!(result.is_ok(), "{style:?}, seed {seed}: {result:?}");
            }
            assert_eq!(owners(&calm).await.0, "three");
            assert!(blocks(&store).await.iter().all(|block| block.inconsistency().is_none()));
        });
    }
}
