//! A process is stopped after each of its writes in turn, and the request that it has sent last lands later, or never.
//! Whatever it was doing: the invariants hold, whoever comes next heals it, and releasing leaves nothing.

use std::rc::Rc;

use crate::Base;
use crate::stopped::{Next, container, stopped};
use crate::world::World;
use crate::world::cases::with_much_stack;
use crate::world::faulty::{Death, Style};
use crate::world::ops::Wish;

/// All of the pools that there are for everybody, in the list of ranges.
const IPV4: usize = 0;

fn stopped_after_each_write(prepare: impl AsyncFn(&World) + Send, operation: impl AsyncFn(&World) + Send) {
    with_much_stack(|| try_all(prepare, operation));
}

fn try_all(prepare: impl AsyncFn(&World), operation: impl AsyncFn(&World)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        for style in [Style::Atomic, Style::Ordered] {
            for next in [Next::Assign(0), Next::Assign(1), Next::Release(1)] {
                for lands_late in [false, true] {
                    let mut requests = 0;
                    loop {
                        let store = Rc::new(Base::in_memory().await.unwrap());
                        let death = Death { requests, lands_late };
                        if !stopped(store, style, next, death, &prepare, &operation).await {
                            break;
                        }
                        requests += 1;
                    }
                    assert!(requests > 0, "the operation wrote nothing");
                }
            }
        }
    });
}

fn wish(ipv4: usize, ipv6: usize) -> Wish {
    Wish { ipv4, ipv6, manual: false }
}

async fn nothing(_: &World) {}

/// Another host has every IPv4 block.
async fn all_blocks_are_anothers(world: &World) {
    world.claim(1, IPV4).await;
}

async fn assigned(world: &World) {
    world.assign(0, &container(), wish(6, 1)).await;
}

#[test]
fn stopped_after_each_write_of_assigning_to_a_fresh_host() {
    stopped_after_each_write(nothing, async |world| world.assign(0, &container(), wish(1, 0)).await);
}

#[test]
fn stopped_after_each_write_of_assigning_both_families() {
    stopped_after_each_write(nothing, async |world| world.assign(0, &container(), wish(1, 1)).await);
}

#[test]
fn stopped_after_each_write_of_assigning_over_three_blocks() {
    stopped_after_each_write(nothing, async |world| world.assign(0, &container(), wish(10, 0)).await);
}

#[test]
fn stopped_after_each_write_of_borrowing() {
    stopped_after_each_write(all_blocks_are_anothers, async |world| {
        world.assign(0, &container(), wish(1, 0)).await;
    });
}

#[test]
fn stopped_after_each_write_of_taking_a_block_over() {
    let prepare = async |world: &World| {
        all_blocks_are_anothers(world).await;
        world.store.wait(61);
    };
    stopped_after_each_write(prepare, async |world| world.assign(0, &container(), wish(1, 0)).await);
}

#[test]
fn stopped_after_each_write_of_assigning_a_given_address() {
    stopped_after_each_write(nothing, async |world| world.fixed(0, &container(), 5).await);
}

#[test]
fn stopped_after_each_write_of_releasing() {
    stopped_after_each_write(assigned, async |world| world.release(0, &container()).await);
}

#[test]
fn stopped_after_each_write_of_releasing_with_a_cooldown() {
    let prepare = async |world: &World| {
        world.configure(false, true, 0, 30).await;
        assigned(world).await;
    };
    stopped_after_each_write(prepare, async |world| world.release(0, &container()).await);
}

#[test]
fn stopped_after_each_write_of_releasing_what_is_in_a_block_that_is_for_other_hosts() {
    let prepare = async |world: &World| {
        assigned(world).await;
        world.change_pool(0, false, true).await;
    };
    stopped_after_each_write(prepare, async |world| world.release(0, &container()).await);
}

#[test]
fn stopped_after_each_write_of_claiming_a_range() {
    stopped_after_each_write(nothing, async |world| world.claim(0, IPV4).await);
}

#[test]
fn stopped_after_each_write_of_giving_a_range_up() {
    let prepare = async |world: &World| world.claim(0, IPV4).await;
    stopped_after_each_write(prepare, async |world| world.give_up(0, IPV4, true).await);
}

#[test]
fn stopped_after_each_write_of_giving_all_up_with_addresses_in_use() {
    stopped_after_each_write(assigned, async |world| world.give_up_all(0, false).await);
}
