//! What handles count, and handles that may not count more.

use calico_ipam::{AssignAddress, AutoAssign, Demand, Error};
use calico_model::{Handle, IpVersion, Key};

use crate::world::{World, four, ip, pool};

#[tokio::test]
async fn a_machine_keeps_its_addresses_wherever_it_is() {
    let world = World::with(&[pool("p", "10.0.0.0/24", 26), pool("six", "fd00::/120", 122)]).await;
    for most in [1, 2] {
        let demands = IpVersion::BOTH.map(|version| Demand::any(version, most)).to_vec();
        let request = AutoAssign { most_for_handle: Some(most), ..AutoAssign::workload(demands) };
        let machine = format!("vmi.ns.vm-{most}");
        let first = world.assign("a", &machine, &request).await;
        assert_eq!(first.allocations.len(), 2 * most);
        let again = world.assign("b", &machine, &request).await;
        assert_eq!(again.allocations, first.allocations);
        assert_eq!(world.handles().await[&format!("net.{machine}")].block.values().sum::<i64>(), 2 * most as i64);

        let ipam = world.ipam("b");
        let inputs = ipam.read_inputs().await.unwrap();
        let wish = |address| AssignAddress { most_for_handle: Some(most), ..AssignAddress::workload(address) };
        let held = first.allocations[0].address;
        let lease = world.lease(&machine);
        assert_eq!(ipam.assign_address(&inputs, &wish(held), &lease).await.unwrap().address, held);
        let error = ipam.assign_address(&inputs, &wish(ip("10.0.0.99")), &lease).await.unwrap_err();
        let text = format!(
            "handle net.{machine} already has IP(s) allocated, cannot assign additional IP 10.0.0.99 (maxAllocPerIPVersion={most})"
        );
        assert_eq!(error.to_string(), text);
    }
    world.assert_sound().await;
}

#[tokio::test]
async fn a_machines_handle_that_counts_too_much_is_left_alone() {
    let world = World::with(&[pool("p", "10.0.0.0/24", 26)]).await;
    let machine = AutoAssign { most_for_handle: Some(1), ..four(1) };
    let block = world.assign("a", "vmi.ns.vm", &machine).await.allocations[0].block;
    let key = Key::Handle("net.vmi.ns.vm".into());
    let mut handle = world.get::<Handle>(key.clone()).await.unwrap().value;
    handle.set(&block, 2);
    handle.set(&"10.0.0.128/26".parse().unwrap(), 1);
    world.put(key.clone(), handle).await;
    world.release("a", "vmi.ns.vm").await;
    // Another host may be about to assign what is counted.
    let left = world.get::<Handle>(key.clone()).await.unwrap().value;
    assert_eq!((left.count(&block), left.block.len()), (1, 2));
    let error = world.try_assign("b", "vmi.ns.vm", &machine).await.unwrap_err();
    assert!(matches!(error, Error::HandleIsFull { held: 2, most: 1, .. }), "{error}");
}

#[tokio::test]
async fn a_containers_handle_that_counts_too_much_is_pruned() {
    let world = World::with(&[pool("p", "10.0.0.0/24", 26)]).await;
    world.addresses("a", "c", 1).await;
    let key = Key::Handle("net.c".into());
    let mut handle = world.get::<Handle>(key.clone()).await.unwrap().value;
    for (block, count) in [("10.0.0.0/26", 5), ("10.0.0.64/26", 5), ("10.9.0.0/26", 1)] {
        handle.set(&block.parse().unwrap(), count);
    }
    world.put(key, handle).await;
    world.release("a", "c").await;
    assert!(world.handles().await.is_empty());
    world.assert_sound().await;
}

#[tokio::test]
async fn a_handle_that_counts_more_than_numbers_can_tell_is_full() {
    let world = World::with(&[pool("p", "10.0.0.0/26", 26)]).await;
    let mut handle = Handle::default();
    for block in ["10.9.0.0/26", "10.9.1.0/26", "10.9.2.0/26"] {
        handle.set(&block.parse().unwrap(), i64::MAX);
    }
    world.put(Key::Handle("net.vmi.ns.vm".into()), handle).await;
    let machine = AutoAssign { most_for_handle: Some(1), ..four(1) };
    let error = world.try_assign("a", "vmi.ns.vm", &machine).await.unwrap_err();
    assert!(matches!(error, Error::HandleIsFull { most: 1, .. }), "{error}");
}
