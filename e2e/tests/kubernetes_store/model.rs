//! Allocation against the model: the cases and crashes of `calico-ipam/tests/model`, fewer of them.
//!
//! `MODEL_SEED` and `MODEL_CASES` are as there.

use std::rc::Rc;

use e2e::ApiGroup;

use crate::base::Base;
use crate::stopped::{Next, container, stopped};
use crate::world::World;
use crate::world::cases::{Cases, with_much_stack};
use crate::world::faulty::{Death, Faults, Style};
use crate::world::ops::Wish;

/// The faults of the cases, and whether processes die in them.
const KINDS: [(Faults, bool); 2] = [(Faults::NONE, false), (Faults { writers: 6, lost: 5, late: 10 }, true)];

/// On the custom resources of the group that the other tests use less: both go on at a time.
fn run(work: impl AsyncFnOnce(Rc<Base>)) {
    let plane = crate::unaudited(ApiGroup::V3);
    let settings = plane.settings();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { work(Rc::new(Base::open(plane, &settings).await)).await });
}

#[test]
fn allocation_keeps_to_the_model() {
    for (faults, deaths) in KINDS {
        Cases::from_environment(2).run(deaths, |steps, seed| {
            run(async |base| World::new(base, Style::Ordered, faults, seed).await.live(steps).await);
        });
    }
}

/// The last request lands later every second time: each case is a second of work for the server. All of them are tried on the
/// embedded store.
fn stopped_after_each_write(
    next: Next,
    prepare: impl AsyncFn(&World) + Send + Sync,
    operation: impl AsyncFn(&World) + Send + Sync,
) {
    with_much_stack(|| {
        run(async |base| {
            let mut requests = 0;
            let death = |requests| Death { requests, lands_late: requests % 2 == 1 };
            while stopped(base.clone(), Style::Ordered, next, death(requests), &prepare, &operation).await {
                requests += 1;
            }
            assert!(requests > 1, "the operation wrote little");
        });
    });
}

async fn assigned(world: &World) {
    world.assign(0, &container(), Wish { ipv4: 6, ipv6: 1, manual: false }).await;
}

#[test]
fn stopped_after_each_write_of_assigning_both_families() {
    stopped_after_each_write(
        Next::Release(1),
        async |_| (),
        async |world| {
            world.assign(0, &container(), Wish { ipv4: 1, ipv6: 1, manual: false }).await;
        },
    );
}

#[test]
fn stopped_after_each_write_of_taking_a_block_over() {
    let prepare = async |world: &World| {
        world.claim(1, 0).await;
        world.store.wait(61);
    };
    stopped_after_each_write(Next::Assign(1), prepare, async |world| {
        world.assign(0, &container(), Wish { ipv4: 1, ipv6: 0, manual: false }).await;
    });
}

#[test]
fn stopped_after_each_write_of_releasing() {
    stopped_after_each_write(Next::Assign(1), assigned, async |world| world.release(0, &container()).await);
}
