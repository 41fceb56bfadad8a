//! A process that is stopped after some of its writes.

use std::rc::Rc;

use crate::Base;
use crate::world::World;
use crate::world::faulty::{Death, Faults, Style};
use crate::world::ops::{Wish, handle};

/// What happens after the death, before its last request lands.
#[derive(Debug, Clone, Copy)]
pub enum Next {
    /// A host assigns addresses to another container.
    Assign(usize),
    /// A host releases the addresses of the same container.
    Release(usize),
}

/// What a container gets that is not in question.
const LITTLE: Wish = Wish { ipv4: 1, ipv6: 1, manual: false };

/// The container in question.
pub fn container() -> String {
    handle(0)
}

/// Runs an operation in a process that dies so. Answers whether it was stopped before it was done.
pub async fn stopped(
    store: Rc<Base>,
    style: Style,
    next: Next,
    death: Death,
    prepare: &impl AsyncFn(&World),
    operation: &impl AsyncFn(&World),
) -> bool {
    println!("{style:?}, {next:?}, {death:?}");
    let mut world = World::new(store, style, Faults::NONE, 1).await;
    world.calm = false;
    prepare(&world).await;
    world.faulty.dies(Some(death));
    operation(&world).await;
    let was_stopped = world.faulty.is_dead();
    world.faulty.dies(None);
    world.check_invariants().await;
    match next {
        Next::Assign(host) => {
            // Also where a pool has been taken from it.
            world.label(host, true).await;
            world.assign(host, &handle(1), LITTLE).await;
            world.check_finished(host).await;
        }
        Next::Release(host) => world.release(host, &container()).await,
    }
    world.check_invariants().await;
    world.faulty.calm_down().await;
    world.check_invariants().await;
    world.release(1, &container()).await;
    assert!(world.held_by(&container()).is_empty());
    if death.lands_late {
        world.check_end().await;
    }
    was_stopped
}
