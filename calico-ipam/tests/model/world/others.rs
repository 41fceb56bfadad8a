//! The other writers that come between any two keys of a read, and before any write: whole calls of processes that nothing
//! disturbs.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::rc::Rc;

use calico_ipam::Ipam;

use super::ops::{HOSTS, RANGES, Wish};
use super::rules::lease;
use super::watched::{Watched, is_machine};
use super::{Known, World, request};

impl World {
    pub(super) fn let_others_write(&self) {
        let (store, known) = (self.store.clone(), self.known.clone());
        self.faulty.set_other_writer(move |random| {
            let (store, known) = (store.clone(), known.clone());
            Box::pin(async move { write(&store, &known, random as usize).await })
        });
    }
}

async fn write(store: &Rc<Watched>, known: &Known, random: usize) {
    let now = store.wait(1);
    let ipam = Ipam::new(&**store, HOSTS[random % HOSTS.len()], now);
    let current = known.current.borrow().clone();
    let choice = random / 8 % 20;
    match choice {
        // A DEL of the very container that is being added or deleted.
        0..=3 => {
            known.forget(&current);
            known.doubt(&current);
            ipam.release_by_handle(ipam.read_handle(&current).await.unwrap()).await.unwrap();
            return;
        }
        // Out of range or of a disabled pool: then it is refused.
        4 => return drop(ipam.claim_affinities(RANGES[random / 256 % 3].parse().unwrap(), None).await),
        5 => {
            return drop(
                ipam.release_affinities(RANGES[random / 256 % 5].parse().unwrap(), random.is_multiple_of(2)).await,
            );
        }
        6 => return drop(ipam.release_all_affinities(random.is_multiple_of(2)).await.unwrap()),
        _ => {}
    }
    let handle = match is_machine(&current) && choice < 14 {
        true => current,
        false => format!("net.other-{}", random / 256 % 6),
    };
    if known.granted.borrow().contains_key(&handle) {
        ipam.release_by_handle(ipam.read_handle(&handle).await.unwrap()).await.unwrap();
        known.forget(&handle);
        return;
    }
    let wish = Wish { ipv4: 1 + random / 8 % 2, ipv6: random / 16 % 2, manual: false };
    let (request, asked) = request(wish, &handle);
    let lease = lease(&handle, HOSTS[random % HOSTS.len()], asked, now);
    let inputs = ipam.read_inputs().await.unwrap();
    match ipam.auto_assign(&inputs, &request, &lease).await {
        Ok(assigned) => {
            let addresses: BTreeSet<IpAddr> = assigned.allocations.iter().map(|a| a.address).collect();
            known.grant(&handle, addresses);
        }
        // No pool for this host, or too many blocks of it, or a machine's handle that counts too much.
        Err(_) => ipam.undo(&lease).await.unwrap(),
    }
}
