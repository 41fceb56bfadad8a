//! The settings of address management.

use std::rc::Rc;

use calico_datastore::Write;
use calico_ipam::{Error, Ipam};
use calico_model::{IpamConfig, Key};

use crate::faulty::{Faults, Faulty, Style};
use crate::{HOST, at, cluster, get, run, write};

#[test]
fn defaults_are_not_stored() {
    run(async {
        let store = cluster(&[]).await;
        let ipam = Ipam::new(&store, HOST, at(0));
        assert_eq!(ipam.settings().await.unwrap(), IpamConfig::default());
        assert!(get::<IpamConfig>(&store, Key::IpamConfig).await.is_none());
        let set = ipam.change_settings(|config| config.strict_affinity = true).await.unwrap();
        assert!(set.strict_affinity && set.auto_allocate_blocks);
        assert_eq!(ipam.settings().await.unwrap(), set);
    });
}

#[test]
fn what_is_not_changed_stays() {
    run(async {
        let store = cluster(&[]).await;
        let text = r#"{"strict_affinity":true,"ipCooldownSeconds":30,"later":{"a":1}}"#;
        let stored: IpamConfig = serde_json::from_str(text).unwrap();
        write(&store, Write::create(Key::IpamConfig, stored)).await;
        let ipam = Ipam::new(&store, HOST, at(0));
        let set = ipam.change_settings(|config| config.max_blocks_per_host = 4).await.unwrap();
        let text = r#"{"strict_affinity":true,"maxBlocksPerHost":4,"ipCooldownSeconds":30,"later":{"a":1}}"#;
        assert_eq!(serde_json::to_string(&set).unwrap(), text);
        let before = get::<IpamConfig>(&store, Key::IpamConfig).await;
        ipam.change_settings(|config| config.max_blocks_per_host = 4).await.unwrap();
        assert_eq!(get::<IpamConfig>(&store, Key::IpamConfig).await, before);
    });
}

#[test]
fn contradictions_are_refused() {
    run(async {
        let store = cluster(&[]).await;
        let ipam = Ipam::new(&store, HOST, at(0));
        let refused = ipam.change_settings(|config| config.auto_allocate_blocks = false).await.unwrap_err();
        let text = "Cannot disable 'StrictAffinity' and 'AutoAllocateBlocks' at the same time";
        assert_eq!(refused.to_string(), text);
        let refused = ipam.change_settings(|config| config.max_blocks_per_host = 1).await.unwrap_err();
        assert_eq!(refused.to_string(), "MaxBlocksPerHost requires StrictAffinity to be enabled");
        assert!(matches!(refused, Error::LimitWithoutStrictAffinity));
        assert!(get::<IpamConfig>(&store, Key::IpamConfig).await.is_none());
        let both = |config: &mut IpamConfig| {
            (config.strict_affinity, config.auto_allocate_blocks, config.max_blocks_per_host) = (true, false, 2);
        };
        ipam.change_settings(both).await.unwrap();
        let refused = ipam.change_settings(|config| config.strict_affinity = false).await.unwrap_err();
        assert_eq!(refused.to_string(), text);
    });
}

#[test]
fn settings_changed_at_the_same_time_are_all_kept() {
    for seed in 1..30 {
        run(async {
            let store = Rc::new(cluster(&[]).await);
            let faulty = Faulty::new(store.clone(), Style::Atomic, Faults { writers: 30, lost: 30, late: 0 }, seed);
            let others = store.clone();
            faulty.set_other_writer(move |random| {
                let store = others.clone();
                Box::pin(async move {
                    let ipam = Ipam::new(&*store, HOST, at(0));
                    let seconds = 1 + (random % 1000) as u32;
                    ipam.change_settings(|config| config.ip_cooldown_seconds = seconds).await.unwrap();
                })
            });
            let ipam = Ipam::new(&faulty, HOST, at(0));
            ipam.change_settings(|config| config.strict_affinity = true).await.unwrap();
            let before = Ipam::new(&*store, HOST, at(0)).settings().await.unwrap().ip_cooldown_seconds;
            ipam.change_settings(|config| config.max_blocks_per_host = 3).await.unwrap();
            let after = Ipam::new(&*store, HOST, at(0)).settings().await.unwrap();
            assert!(after.strict_affinity && after.max_blocks_per_host == 3, "seed {seed}: {after:?}");
            assert!(before == 0 || after.ip_cooldown_seconds > 0, "seed {seed}: {after:?}");
        });
    }
}
