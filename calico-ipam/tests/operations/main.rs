//! What calicoctl, a node agent and virtual machines do with addresses, on the store in memory.

#![allow(clippy::print_stdout, reason = "the seed is for whoever reads a failed test's output")]

#[path = "../model/faulty.rs"]
mod faulty;

mod conflicts;
mod owners;
mod query;
mod release;
mod settings;
mod utilisation;

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use calico_datastore::local::Local;
use calico_datastore::{Answers, Datastore, Error, Outcome, Stored, Want, Write};
use calico_ipam::{AssignAddress, AutoAssign, Demand, Ipam, Lease};
use calico_model::{Block, Handle, IpPool, IpVersion, Key, Kind, Listing};

const HOST: &str = "node-1";

fn run<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(test)
}

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000 + seconds)
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A cluster of one host with pools of the given CIDRs and block sizes, named `pool-0` and so on.
async fn cluster(pools: &[(&str, u8)]) -> Local {
    let store = Local::in_memory().await.unwrap();
    store.seed(HOST, &[]).await.unwrap();
    for (index, (cidr, size)) in pools.iter().enumerate() {
        let name = format!("pool-{index}");
        let mut pool = IpPool::routed(&name, cidr.parse().unwrap());
        pool.spec.block_size = *size;
        write(&store, Write::create(Key::resource(Kind::IpPool, &name), pool)).await;
    }
    store
}

async fn write(store: &Local, write: Write) {
    assert!(apply(store, &[write]).await);
}

/// A commit whose outcome is looked at by whom it concerns.
async fn apply(store: &Local, writes: &[Write]) -> bool {
    matches!(store.commit(writes).await, Ok(Outcome::Applied(_)))
}

async fn get<T: TryFrom<calico_model::Object>>(store: &Local, key: Key) -> Option<Stored<T>> {
    store.read(&[Want::Get(key)]).await.unwrap().get().unwrap()
}

async fn change<T>(store: &Local, key: Key, change: impl FnOnce(&mut T))
where
    T: TryFrom<calico_model::Object> + Into<calico_model::Object>,
{
    let Stored { key, revision, mut value } = get::<T>(store, key).await.unwrap();
    change(&mut value);
    write(store, Write::update(key, revision, value)).await;
}

async fn delete(store: &Local, key: Key) {
    let entry = store.read(&[Want::Get(key)]).await.unwrap().entries().remove(0);
    write(store, Write::delete(entry.key, entry.revision)).await;
}

fn block_key(cidr: &str) -> Key {
    Key::Block(cidr.parse().unwrap())
}

async fn blocks(store: &Local) -> Vec<Block> {
    let mut answers = store.read(&[Want::List(Listing::Blocks)]).await.unwrap();
    answers.list().into_iter().map(|stored| stored.value).collect()
}

/// What a handle counts, by block; `None` where there is no handle.
async fn counts(store: &Local, handle: &str) -> Option<Vec<(String, i64)>> {
    let handle = get::<Handle>(store, Key::Handle(handle.to_owned())).await?;
    Some(handle.value.block.into_iter().collect())
}

async fn assign<D: Datastore>(ipam: &Ipam<D>, handle: &str, version: IpVersion, count: usize) -> Vec<IpAddr> {
    let inputs = ipam.read_inputs().await.unwrap();
    let request = AutoAssign::workload(vec![Demand::any(version, count)]);
    // Each call has a mark of its own.
    static CALLS: AtomicU64 = AtomicU64::new(0);
    let call = CALLS.fetch_add(1, Ordering::Relaxed).to_string();
    let lease = Lease::new(handle, [("pod", handle), ("timestamp", &call)].map(|(k, v)| (k.to_owned(), v.to_owned())));
    let assigned = ipam.auto_assign(&inputs, &request, &lease).await.unwrap();
    assert_eq!(assigned.shortfalls, []);
    assigned.allocations.into_iter().map(|allocation| allocation.address).collect()
}

async fn assign_given<D: Datastore>(ipam: &Ipam<D>, handle: &str, address: &str) {
    let inputs = ipam.read_inputs().await.unwrap();
    let attributes = [("pod", "active"), ("namespace", "default")].map(|(k, v)| (k.to_owned(), v.to_owned()));
    ipam.assign_address(&inputs, &AssignAddress::workload(ip(address)), &Lease::new(handle, attributes)).await.unwrap();
}

/// Counts what is asked of a store.
struct Counting<'a> {
    store: &'a Local,
    reads: RefCell<Vec<usize>>,
    commits: RefCell<Vec<usize>>,
    lists_of_blocks: Cell<usize>,
}

impl<'a> Counting<'a> {
    fn new(store: &'a Local) -> Counting<'a> {
        let (reads, commits) = (RefCell::default(), RefCell::default());
        Counting { store, reads, commits, lists_of_blocks: Cell::new(0) }
    }
}

impl Datastore for Counting<'_> {
    async fn read(&self, wants: &[Want]) -> Result<Answers, Error> {
        self.reads.borrow_mut().push(wants.len());
        let lists = wants.iter().filter(|want| matches!(want, Want::List(Listing::Blocks))).count();
        self.lists_of_blocks.set(self.lists_of_blocks.get() + lists);
        self.store.read(wants).await
    }

    async fn commit(&self, writes: &[Write]) -> Result<Outcome, Error> {
        self.commits.borrow_mut().push(writes.len());
        self.store.commit(writes).await
    }

    async fn settle(&self) -> Result<(), Error> {
        self.store.settle().await
    }

    fn name(&self) -> String {
        self.store.name()
    }
}
