//! What must be true after every operation, and when all is over.

use std::collections::BTreeMap;
use std::net::IpAddr;

use calico_ipam::audit::{Finding, audit};
use calico_model::Key;

use super::ops::{HOSTS, POOLS, Wish};
use super::rules::lease;
use super::watched::is_machine;
use super::{World, request};

/// All addresses of the pools that are used without being asked for, and all of the other.
const EVERYTHING: [Wish; 2] = [Wish { ipv4: 16, ipv6: 4, manual: false }, Wish { ipv4: 8, ipv6: 0, manual: true }];

impl World {
    /// Every address that is held, with its handle.
    pub fn held(&self) -> Vec<(IpAddr, String)> {
        let mut held = Vec::new();
        for block in self.store.blocks() {
            for ordinal in 0..block.allocations.len() {
                if let Some(attribute) = block.attribute_of(ordinal).filter(|attribute| !attribute.is_cooling()) {
                    let handle = attribute.handle().expect("every address here has a handle").to_owned();
                    held.push((block.address(ordinal).unwrap(), handle));
                }
            }
        }
        held
    }

    /// The addresses of a handle.
    pub fn held_by(&self, handle: &str) -> Vec<IpAddr> {
        self.held().into_iter().filter(|(_, holder)| holder == handle).map(|(address, _)| address).collect()
    }

    /// What the store must look like between two operations, beyond what is judged at each write.
    pub async fn check_invariants(&self) {
        let held = self.held();
        let holders: BTreeMap<IpAddr, &String> = held.iter().map(|(address, handle)| (*address, handle)).collect();
        assert_eq!(holders.len(), held.len(), "an address is in two blocks");
        for (handle, addresses) in self.known.granted.borrow().iter() {
            for address in addresses {
                assert_eq!(holders.get(address), Some(&handle), "{address} was given to {handle}");
            }
        }
        for finding in audit(&*self.store, self.store.now()).await.unwrap() {
            match finding {
                // There are no endpoints here.
                Finding::Leaked { .. } => {}
                // A dead process's claim, or one whose clean-up was lost: the next allocation heals it.
                Finding::UnfinishedAffinity { .. }
                | Finding::AffinityWithoutBlock { .. }
                | Finding::AffinityToForeignBlock { .. }
                | Finding::MissingAffinity { .. }
                    if !self.calm => {}
                Finding::CountsTooMuch { .. } if !self.calm => {}
                finding => panic!("{finding}"),
            }
        }
    }

    /// When all is quiet, releasing every handle there is leaves no address and no handle, whatever the settings are. Then every
    /// host can have every address again.
    pub async fn check_end(&self) {
        self.faulty.calm_down().await;
        self.check_invariants().await;
        for (address, handle) in self.held() {
            let is_known = self.known.granted.borrow().get(&handle).is_some_and(|known| known.contains(&address));
            let is_fair = is_known || is_machine(&handle) || self.known.uncertain.borrow().contains(&handle);
            assert!(is_fair, "{handle} has {address} and does not know");
        }
        self.release_everything().await;
        for pool in 0..POOLS.len() {
            self.change_pool(pool, false, false).await;
        }
        self.reserve(None).await;
        self.check_every_host_finishes_its_claims().await;
        self.check_nothing_is_lost().await;
        for host in 0..HOSTS.len() {
            let (ipam, _) = self.quiet_process(host);
            ipam.release_all_affinities(true).await.unwrap();
        }
        let is_of_ipam = |key: &Key| matches!(key, Key::Block(_) | Key::Affinity { .. } | Key::Handle(_));
        let left: Vec<String> =
            self.store.stored().values().map(|(key, _)| key).filter(|k| is_of_ipam(k)).map(Key::path).collect();
        assert_eq!(left, [""; 0]);
    }

    async fn release_everything(&self) {
        let handles: Vec<String> = self
            .store
            .stored()
            .values()
            .filter_map(|(key, _)| match key {
                Key::Handle(id) => Some(id.clone()),
                _ => None,
            })
            .collect();
        for handle in handles {
            let (ipam, _) = self.quiet_process(0);
            ipam.release_by_handle(ipam.read_handle(&handle).await.unwrap()).await.unwrap();
            if is_machine(&handle) && !self.calm {
                // What it counts too much stays: another host may be about to assign it. An operator has to know better.
                self.delete(Key::Handle(handle)).await;
            } else {
                assert_eq!(self.store.handle(&handle), None);
            }
        }
        assert_eq!(self.held(), []);
    }

    /// Each host can use its blocks, whatever state its claims were left in, and an allocation that looks at them finishes them.
    async fn check_every_host_finishes_its_claims(&self) {
        self.configure(false, true, 0, 0).await;
        for host in 0..HOSTS.len() {
            self.check_gets_everything(host).await;
            self.check_finished(host).await;
        }
    }

    /// A host has no claim that is begun and not finished.
    pub async fn check_finished(&self, host: usize) {
        let is_unfinished = |finding: &Finding| match finding {
            Finding::UnfinishedAffinity { owner, .. }
            | Finding::AffinityWithoutBlock { owner, .. }
            | Finding::AffinityToForeignBlock { owner, .. }
            | Finding::MissingAffinity { owner, .. } => owner.name() == HOSTS[host],
            _ => false,
        };
        let unfinished: Vec<Finding> =
            audit(&*self.store, self.store.now()).await.unwrap().into_iter().filter(is_unfinished).collect();
        assert_eq!(unfinished, []);
    }

    /// With strict affinity, too, a host gets every address of the pools when the others have given up and a while has passed:
    /// whether they gave their blocks up or just do not use them any more, and although addresses have just been released.
    async fn check_nothing_is_lost(&self) {
        self.configure(true, true, 0, 30).await;
        for (host, give_up) in [(0, false), (1, false), (2, true), (0, true)] {
            for other in (0..HOSTS.len()).filter(|other| give_up && *other != host) {
                self.quiet_process(other).0.release_all_affinities(false).await.unwrap();
            }
            self.store.wait(61);
            self.check_gets_everything(host).await;
        }
        self.configure(false, true, 0, 0).await;
        assert_eq!(audit(&*self.store, self.store.now()).await.unwrap(), []);
    }

    async fn check_gets_everything(&self, host: usize) {
        let mut leases = Vec::new();
        for (wish, name) in EVERYTHING.into_iter().zip(["automatic", "manual"]) {
            let (ipam, now) = self.quiet_process(host);
            let (request, asked) = request(wish, name);
            let lease = lease(name, HOSTS[host], asked, now);
            let inputs = ipam.read_inputs().await.unwrap();
            let assigned = ipam.auto_assign(&inputs, &request, &lease).await.unwrap();
            assert_eq!(assigned.shortfalls, [], "{:?}", self.store.blocks());
            leases.push(lease);
        }
        for lease in leases {
            let (ipam, _) = self.quiet_process(host);
            ipam.undo(&lease).await.unwrap();
        }
        assert_eq!(self.held(), []);
    }
}
