//! Stored values as objects of every other kind.

#![no_main]

use calico_model::{Key, Kind, Object};
use fuzz::assert_survives;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let block = "192.168.84.128/26".parse().expect("a CIDR");
    let affinity = Key::parse("/calico/ipam/v2/host/node-1/ipv4/block/192.168.84.128-26").expect("a key");
    let keys = [affinity, Key::Handle("net1.c1".to_owned()), Key::IpamConfig];
    for key in keys.into_iter().chain(Kind::ALL.map(|kind| Key::resource(kind, "one"))) {
        let Ok(object) = Object::parse(&key, data) else { continue };
        assert_survives(&key, &object);
        match object {
            Object::Handle(mut handle) => {
                let count = handle.count(&block);
                handle.set(&block, count);
                assert_eq!(handle.count(&block), count.max(0));
            }
            Object::IpPool(pool) => {
                assert_eq!(pool.cidr().network(), pool.cidr().ip());
                pool.block_size();
                pool.is_enabled();
            }
            Object::Profile(profile) => drop(profile.validate()),
            Object::WorkloadEndpoint(endpoint) => drop(endpoint.validate()),
            _ => {}
        }
    }
});
