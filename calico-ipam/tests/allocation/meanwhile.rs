//! One host looks for an address, and another one acts meanwhile: at any moment.

use std::cell::{Cell, RefCell};
use std::pin::Pin;

use calico_datastore::{Answers, Datastore, Error, Outcome, Want, Write};
use calico_ipam::Ipam;

use crate::world::{World, four, net, pool};

/// A store on which something happens just before one of the operations.
struct Meanwhile<'w> {
    world: &'w World,
    /// How many operations are still to come before it.
    left: Cell<usize>,
    deed: RefCell<Option<Pin<Box<dyn Future<Output = ()> + 'w>>>>,
}

impl Meanwhile<'_> {
    async fn pass(&self) {
        let deed = match self.left.get().checked_sub(1) {
            Some(left) => {
                self.left.set(left);
                None
            }
            None => self.deed.take(),
        };
        if let Some(deed) = deed {
            deed.await;
        }
    }
}

impl Datastore for Meanwhile<'_> {
    async fn read(&self, wants: &[Want]) -> Result<Answers, Error> {
        self.pass().await;
        self.world.store.read(wants).await
    }

    async fn commit(&self, writes: &[Write]) -> Result<Outcome, Error> {
        self.pass().await;
        self.world.store.commit(writes).await
    }

    async fn settle(&self) -> Result<(), Error> {
        self.world.store.settle().await
    }

    fn name(&self) -> String {
        self.world.store.name()
    }
}

/// The host `a` gets an address of a pool with one block, whenever `deed` happens.
async fn assigns_whenever(mut before: impl AsyncFnMut(&World), deed: impl AsyncFn(&World) + Copy) {
    for moment in 0.. {
        let world = World::with(&[pool("p", "10.0.0.0/30", 30)]).await;
        before(&world).await;
        let deed: Pin<Box<dyn Future<Output = ()> + '_>> = Box::pin(deed(&world));
        let store = Meanwhile { world: &world, left: Cell::new(moment), deed: RefCell::new(Some(deed)) };
        let ipam = Ipam::new(&store, "a", world.now());
        let assigned = ipam.auto_assign(&ipam.read_inputs().await.unwrap(), &four(1), &world.lease("c")).await.unwrap();
        assert_eq!(assigned.shortfalls, [], "before operation {moment}");
        assert_eq!(assigned.allocations.len(), 1);
        let is_over = store.deed.take().is_some();
        world.assert_sound().await;
        if is_over {
            assert!(moment > 3, "only {moment} operations");
            return;
        }
    }
}

#[tokio::test]
async fn a_block_that_another_host_claims_meanwhile_lends_an_address() {
    assigns_whenever(async |_| {}, async |world| drop(world.addresses("b", "other", 1).await)).await;
}

#[tokio::test]
async fn a_block_that_its_owner_gives_up_meanwhile_is_claimed() {
    let emptied = async |world: &World| {
        world.addresses("b", "other", 1).await;
        world.release("b", "other").await;
    };
    let give_up = async |world: &World| {
        world.ipam("b").release_affinities(net("10.0.0.0/30"), true).await.unwrap();
    };
    assigns_whenever(emptied, give_up).await;
}
