//! What a search for addresses saw, for those who ask why it ended as it did.

use std::collections::BTreeMap;
use std::fmt;

use calico_model::cidr;
use calico_model::reservation::Reservations;
use ipnetwork::IpNetwork;

use crate::block::Room;
use crate::pools::{Answer, Verdict};

/// What was decided about one block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Considered {
    /// The block.
    pub block: IpNetwork,
    /// Who owns it, as its `affinity` says; `None` where nobody does.
    pub owner: Option<String>,
    /// How its addresses are used, including what is taken now.
    pub room: Room,
    /// Whether addresses were taken from it, and if not, why.
    pub decision: Decision,
}

/// What was decided about a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Addresses are taken from it: this owner had it.
    Own,
    /// Addresses are taken from it: it did not exist, and was claimed.
    Claimed,
    /// Addresses are taken from it: another owner had it, without an address in use, and it was taken over.
    TakenOver,
    /// Addresses are taken from it, and it stays another owner's.
    Borrowed,
    /// It has no free address.
    Full,
    /// All its addresses are reserved.
    Reserved,
    /// It has free addresses, and is another owner's.
    AnotherOwners,
    /// It is another owner's, without an address in use, and was claimed less than a minute ago.
    ClaimedJustNow,
    /// It is another owner's, without an address in use when it was read, and could not be taken over.
    NotTakenOver,
    /// Another owner claimed it meanwhile.
    Lost,
    /// It contradicts itself, as this says.
    Inconsistent(String),
    /// It cannot be read, as this says.
    Malformed(String),
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Decision::Own => "addresses are taken from it: it is this owner's",
            Decision::Claimed => "addresses are taken from it: it is claimed anew",
            Decision::TakenOver => "addresses are taken from it: it is taken over from an owner that does not use it",
            Decision::Borrowed => "addresses are taken from it, and it stays its owner's",
            Decision::Full => "it has no free address",
            Decision::Reserved => "all its addresses are reserved",
            Decision::AnotherOwners => "it is another owner's",
            Decision::ClaimedJustNow => "it is another owner's, who claimed it less than a minute ago",
            Decision::NotTakenOver => "it is another owner's, and could not be taken over",
            Decision::Lost => "another owner claimed it meanwhile",
            Decision::Inconsistent(why) => return write!(f, "it contradicts itself: {why}"),
            Decision::Malformed(why) => return write!(f, "it cannot be read: {why}"),
        })
    }
}

impl fmt::Display for Considered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let owner = self.owner.as_deref().unwrap_or("nobody");
        write!(f, "{} ({owner}; {}): {}", self.block, self.room, self.decision)
    }
}

/// Everything that one search considered.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Trace {
    /// What was decided about each pool of the family.
    pub pools: Vec<Verdict>,
    /// What was decided about each block that was looked at, in that order.
    pub blocks: Vec<Considered>,
    /// Where each is among them.
    places: BTreeMap<IpNetwork, usize>,
}

impl Trace {
    /// What will be decided about the pools of a family.
    pub(crate) fn of(pools: Vec<Verdict>) -> Trace {
        Trace { pools, ..Trace::default() }
    }

    /// Notes a decision, which replaces an earlier one about the same block.
    pub(crate) fn note(&mut self, considered: Considered) {
        match self.places.get(&considered.block) {
            Some(&place) => self.blocks[place] = considered,
            None => {
                self.places.insert(considered.block, self.blocks.len());
                self.blocks.push(considered);
            }
        }
    }

    /// Changes what was decided about a block.
    pub(crate) fn decide(&mut self, block: IpNetwork, decision: Decision) {
        match self.places.get(&block) {
            Some(&place) => self.blocks[place].decision = decision,
            None => self.note(Considered { block, owner: None, room: Room::default(), decision }),
        }
    }

    /// Changes how the addresses of a block are used.
    pub(crate) fn used(&mut self, block: IpNetwork, room: Room) {
        if let Some(&place) = self.places.get(&block) {
            self.blocks[place].room = room;
        }
    }

    /// What is wrong with the blocks that cannot be used because of what they hold.
    pub(crate) fn unsound(&self) -> impl Iterator<Item = String> {
        let is_unsound = |decision: &Decision| matches!(decision, Decision::Inconsistent(_) | Decision::Malformed(_));
        let unsound = self.blocks.iter().filter(move |considered| is_unsound(&considered.decision));
        unsound.map(|considered| format!("block {}: {}", considered.block, considered.decision))
    }

    /// For each pool that was searched, what was found in it.
    pub(crate) fn rooms(&self, owner: &str, reservations: &Reservations) -> Vec<String> {
        let searched = self.pools.iter().filter(|verdict| verdict.answer == Answer::Chosen);
        searched.map(|pool| self.room_of(pool, owner, reservations)).collect()
    }

    fn room_of(&self, pool: &Verdict, owner: &str, reservations: &Reservations) -> String {
        let (mut room, mut blocks, mut others, mut unsound) = (Room::default(), 0, 0, 0);
        for considered in self.blocks.iter().filter(|considered| cidr::contains(&pool.cidr, &considered.block)) {
            match considered.decision {
                Decision::Reserved => continue,
                // What contradicts itself or cannot be read cannot be counted.
                Decision::Inconsistent(_) | Decision::Malformed(_) => unsound += 1,
                _ => {
                    room += considered.room;
                    blocks += 1;
                    others += usize::from(considered.owner.as_deref() != Some(owner));
                }
            }
        }
        let blocks = if blocks == 1 { "1 block".to_owned() } else { format!("{blocks} blocks") };
        let others = if others == 0 { "none".to_owned() } else { others.to_string() };
        let mut text = format!("pool {} ({}): {blocks} looked at, {others} of others; {room}", pool.pool, pool.cidr);
        if reservations.covers(&pool.cidr) {
            text.push_str("; the whole pool is reserved");
        } else if let reserved @ 1.. = reservations.count_in(&pool.cidr) {
            text.push_str(&format!("; {reserved} addresses of the pool are reserved"));
        }
        if unsound > 0 {
            text.push_str(&format!("; blocks that were passed over and are to be repaired: {unsound}"));
        }
        text
    }
}
