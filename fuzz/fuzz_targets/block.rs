//! Stored values as blocks: under one key, and under the key of the CIDR that is in them.

#![no_main]

use calico_model::{Block, Key, Object, cidr};
use fuzz::assert_survives;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let fixed = Key::Block("192.168.1.64/30".parse().expect("a CIDR"));
    if let Ok(object) = Object::parse(&fixed, data) {
        assert_survives(&fixed, &object);
    }
    let Ok(block) = serde_json::from_slice::<Block>(data) else { return };
    let own = Key::Block(cidr::masked(&block.cidr));
    let object = Object::parse(&own, data).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(object, Object::Block(block.clone()));
    assert_survives(&own, &object);
    check(&block);
});

fn check(block: &Block) {
    if block.inconsistency().is_none() {
        let free = block.allocations.iter().filter(|index| index.is_none()).count();
        assert_eq!(free, block.unallocated.len());
    }
    for attribute in &block.attributes {
        let Some(handle) = attribute.handle() else { continue };
        for ordinal in block.ordinals_of(handle) {
            assert_eq!(block.attribute_of(ordinal).and_then(|a| a.handle()), Some(handle));
            if let Some(address) = block.address(ordinal) {
                assert_eq!(block.ordinal(address), Some(ordinal));
            }
        }
    }
}
