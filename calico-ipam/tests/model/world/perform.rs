//! Operations on addresses, and what must come of them.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::SystemTime;

use calico_ipam::{AssignAddress, Assigned, Error, Ipam, Lease};
use calico_model::{Key, Object, Owner, timestamp};

use super::faulty::Faulty;
use super::ops::{HOSTS, POOL4, Wish};
use super::rules::{Asked, Stored, lease};
use super::watched::{MOST_OF_MACHINE, Watched, is_machine};
use super::{World, request};

/// Whether an allocation may end so although the datastore answers.
pub fn is_refusal(error: &Error) -> bool {
    matches!(
        error,
        Error::NoPool { .. }
            | Error::PoolNotEnabled { .. }
            | Error::NoPoolForNode { .. }
            | Error::NoPoolForUse { .. }
            | Error::BlockLimit { .. }
            | Error::NoNewBlocks { .. }
            | Error::NoFreeBlocks { .. }
    )
}

impl World {
    pub async fn assign(&self, host: usize, handle: &str, wish: Wish) {
        let (ipam, now) = self.process(host);
        let (answer, lease) = self.try_assign(&ipam, now, host, handle, wish).await;
        self.conclude(&ipam, &lease, wish, answer).await;
    }

    async fn try_assign(
        &self,
        ipam: &Ipam<&Faulty<Watched>>,
        now: SystemTime,
        host: usize,
        handle: &str,
        wish: Wish,
    ) -> (Result<Assigned, Error>, Lease) {
        let (request, asked) = request(wish, handle);
        let lease = lease(handle, HOSTS[host], asked, now);
        let before = self.before(host, handle);
        let answer = match ipam.read_inputs().await {
            Ok(inputs) => ipam.auto_assign(&inputs, &request, &lease).await,
            Err(error) => Err(error),
        };
        if self.calm {
            before.judge(&self.store.rules(), &request, &answer, &self.store.blocks());
        }
        (answer, lease)
    }

    async fn conclude(
        &self,
        ipam: &Ipam<&Faulty<Watched>>,
        lease: &Lease,
        wish: Wish,
        answer: Result<Assigned, Error>,
    ) {
        let handle = lease.handle();
        match answer {
            Ok(assigned) if assigned.shortfalls.is_empty() => {
                let (request, _) = request(wish, handle);
                let wanted: usize = request.demands.iter().map(|demand| demand.count).sum();
                let addresses: BTreeSet<IpAddr> = assigned.allocations.iter().map(|a| a.address).collect();
                // Whoever releases the container meanwhile makes one address be assigned twice.
                let is_complete = addresses.len() == wanted || self.known.is_in_doubt(handle);
                assert!(is_complete && assigned.allocations.len() == wanted, "{assigned:?}");
                let held: BTreeSet<IpAddr> = self.held_by(handle).into_iter().collect();
                assert!(!self.calm || addresses.is_subset(&held), "{handle} has {held:?}, not {addresses:?}");
                self.known.grant(handle, addresses);
            }
            Ok(_) => self.undo(ipam, lease).await,
            Err(error) => {
                // What a machine's handle counts too much, nobody takes away: another host may be about to assign it.
                let is_stuck = matches!(error, Error::HandleIsFull { .. }) && is_machine(handle) && !self.calm;
                assert!(self.faulty.is_dead() || is_refusal(&error) || is_stuck, "{error}");
                self.undo(ipam, lease).await;
            }
        }
    }

    /// What is predicted is what is done, where nobody disturbs it.
    pub async fn explain_and_assign(&self, host: usize, handle: &str, wish: Wish) {
        let (ipam, now) = self.process(host);
        let (request, asked) = request(wish, handle);
        let lease = lease(handle, HOSTS[host], asked, now);
        let Ok(inputs) = ipam.read_inputs().await else { return };
        let (before, writes) = (self.store.stored().clone(), self.store.writes());
        let explanation = ipam.explain(&inputs, &request, &lease).await;
        assert!(!self.calm || self.store.writes() == writes, "it wrote something");
        let (answer, lease) = self.try_assign(&ipam, now, host, handle, wish).await;
        if self.calm {
            match (&explanation.answer, &answer) {
                (Ok(predicted), Ok(assigned)) => assert_eq!(predicted, assigned),
                (Err(predicted), Err(error)) => assert_eq!(predicted.to_string(), error.to_string()),
                (predicted, answer) => panic!("{predicted:?} was predicted of {answer:?}"),
            }
            assert_eq!(changed(before, explanation.writes), *self.store.stored(), "other writes than predicted");
        }
        self.conclude(&ipam, &lease, wish, answer).await;
    }

    pub async fn fixed(&self, host: usize, handle: &str, offset: u8) {
        let (ipam, now) = self.process(host);
        let lease = lease(handle, HOSTS[host], Asked::Address, now);
        let address: IpAddr = format!("10.0.0.{offset}").parse().unwrap();
        let mut request = AssignAddress::workload(address);
        request.most_for_handle = is_machine(handle).then_some(MOST_OF_MACHINE);
        let is_free = self.is_free_for(host, handle, address, now);
        let answer = match ipam.read_inputs().await {
            Ok(inputs) => ipam.assign_address(&inputs, &request, &lease).await,
            Err(error) => Err(error),
        };
        assert!(!self.calm || answer.is_ok() == is_free, "{answer:?}, free: {is_free}");
        match answer {
            Ok(allocation) => {
                assert_eq!(allocation.address, address);
                self.known.grant(handle, [address].into());
            }
            Err(_) => self.undo(&ipam, &lease).await,
        }
    }

    fn is_free_for(&self, host: usize, handle: &str, address: IpAddr, now: SystemTime) -> bool {
        let rules = self.store.rules();
        let held = self.held_by(handle);
        if is_machine(handle) && held.iter().any(IpAddr::is_ipv4) {
            return held.contains(&address) && rules.pools.iter().any(|p| p.is_enabled() && p.metadata.name == POOL4.0);
        }
        if !rules.pools.iter().any(|pool| pool.is_enabled() && pool.spec.cidr.contains(address)) {
            return false;
        }
        let Some(block) = self.store.blocks().into_iter().find(|block| block.cidr.contains(address)) else {
            return true;
        };
        let is_affine = block.is_owned_by(&Owner::Host(HOSTS[host].to_owned()));
        let attribute = block.attribute_of(block.ordinal(address).unwrap());
        let is_free = attribute.is_none_or(|a| a.is_cooling() && rules.has_rested(a, now));
        is_free && (is_affine || !rules.config.strict_affinity)
    }

    /// As the plugin does: what was not handed out is taken back. A dead process cannot.
    async fn undo(&self, ipam: &Ipam<&Faulty<Watched>>, lease: &Lease) {
        let undone = ipam.undo(lease).await;
        assert!(undone.is_ok() || self.faulty.is_dead(), "{undone:?}");
        if undone.is_err() {
            self.known.doubt(lease.handle());
        }
    }

    pub async fn release(&self, host: usize, handle: &str) {
        let (ipam, now) = self.process(host);
        self.known.forget(handle);
        let (before, had) = (self.store.blocks(), self.held_by(handle));
        let answer = match ipam.read_handle(handle).await {
            Ok(known) => ipam.release_by_handle(known).await,
            Err(error) => Err(error),
        };
        if let Err(error) = answer {
            // It may be released, or not: whoever asks again will know.
            assert!(self.faulty.is_dead(), "{error}");
            self.known.doubt(handle);
            return;
        }
        if !self.faulty.anything_late() && (self.calm || !is_machine(handle)) {
            self.known.uncertain.borrow_mut().remove(handle);
            assert!(self.held_by(handle).is_empty(), "{handle} still has addresses");
        }
        if !self.calm {
            return;
        }
        assert_eq!(self.store.handle(handle), None);
        let rules = self.store.rules();
        for block in before {
            if !had.iter().any(|address| block.cidr.contains(*address)) {
                continue;
            }
            let after = self.store.blocks().into_iter().find(|after| after.cidr == block.cidr);
            if rules.config.ip_cooldown_seconds > 0 {
                let after = after.expect("addresses rest in it");
                for address in had.iter().filter(|address| block.cidr.contains(**address)) {
                    let attribute = after.attribute_of(after.ordinal(*address).unwrap()).unwrap();
                    assert_eq!(attribute.released_at, Some(timestamp::rfc3339(now)), "{address}");
                }
            } else if let Some(after) = after.filter(|after| rules.room(after, now).1) {
                let owner = after.affinity.as_deref().and_then(Owner::parse).expect("an empty block is somebody's");
                let is_kept = rules.pool_of(&after.cidr).is_none_or(|pool| rules.selects(pool, owner.name()));
                assert!(is_kept, "its pool is not for its owner: {after:?}");
            }
        }
    }
}

/// What is stored after writes.
fn changed(mut stored: Stored, writes: Vec<(Key, Option<Object>)>) -> Stored {
    for (key, object) in writes {
        match object {
            Some(object) => stored.insert(key.path(), (key, object)),
            None => stored.remove(&key.path()),
        };
    }
    stored
}
