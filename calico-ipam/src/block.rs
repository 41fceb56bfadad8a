//! How addresses of a block are given out and taken back: changes to the block in memory, to be written by
//! compare-and-swap.

use std::time::{Duration, SystemTime};

use calico_model::reservation::Reservations;
use calico_model::{Attribute, Block, timestamp};

/// What becomes of a released address, and when it is free again.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cooldown {
    /// How long it rests. Zero: not at all.
    pub rest: Duration,
    /// The time.
    pub now: SystemTime,
}

/// The addresses that a host sets aside at both ends of each new block of its own, as Windows hosts do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostReserve {
    /// How many at the beginning.
    pub start: usize,
    /// How many at the end.
    pub end: usize,
    /// The handle they are held by.
    pub handle: String,
    /// What for.
    pub note: String,
}

/// Sets addresses of a new block aside.
pub(crate) fn set_aside(block: &mut Block, reserve: &HostReserve) {
    let size = block.allocations.len();
    let is_aside = |ordinal: usize| ordinal < reserve.start || ordinal >= size.saturating_sub(reserve.end);
    let holder = Attribute {
        handle_id: Some(reserve.handle.clone()),
        secondary: [("note".to_owned(), reserve.note.clone())].into(),
        ..Attribute::default()
    };
    let index = index_of(block, &holder);
    for ordinal in (0..size).filter(|&ordinal| is_aside(ordinal)) {
        block.allocations[ordinal] = Some(index);
    }
    block.unallocated.retain(|&ordinal| usize::try_from(ordinal).is_ok_and(|ordinal| !is_aside(ordinal)));
}

/// How the addresses of a block are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Room {
    /// Held by somebody.
    pub used: usize,
    /// Released, and not yet to be assigned again.
    pub cooling: usize,
    /// Free, but reserved.
    pub reserved: usize,
    /// Free.
    pub free: usize,
}

impl std::fmt::Display for Room {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Room { used, cooling, reserved, free } = self;
        write!(f, "addresses: {used} used, {cooling} cooling down, {reserved} reserved, {free} free")
    }
}

impl std::ops::AddAssign for Room {
    fn add_assign(&mut self, other: Room) {
        self.used += other.used;
        self.cooling += other.cooling;
        self.reserved += other.reserved;
        self.free += other.free;
    }
}

/// How the addresses of a block are used, as far as it is consistent.
pub(crate) fn room(block: &Block, reservations: &Reservations) -> Room {
    let mut room = Room::default();
    for (ordinal, index) in block.allocations.iter().enumerate() {
        if index.is_some() {
            let cools = block.attribute_of(ordinal).is_some_and(Attribute::is_cooling);
            *(if cools { &mut room.cooling } else { &mut room.used }) += 1;
        }
    }
    room.free = free(block, reservations).count();
    room.reserved = block.unallocated.len() - room.free;
    room
}

/// The free ordinals that may be assigned automatically, in the order in which they became free.
fn free<'a>(block: &'a Block, reservations: &'a Reservations) -> impl Iterator<Item = usize> + 'a {
    block.unallocated.iter().filter_map(|&ordinal| {
        let ordinal = usize::try_from(ordinal).ok()?;
        let address = block.address(ordinal)?;
        (reservations.is_empty() || !reservations.contains(address)).then_some(ordinal)
    })
}

/// Whether there is an address that may be assigned automatically.
pub(crate) fn has_free(block: &Block, reservations: &Reservations) -> bool {
    free(block, reservations).next().is_some()
}

/// Frees the addresses that have rested long enough, the last to be assigned again. In memory: that is stored with the
/// next change that is made to the block. Answers whether anything changed.
pub(crate) fn warm_up(block: &mut Block, cooldown: Cooldown) -> bool {
    let rested = |attribute: &Attribute| {
        attribute.released_at.as_ref().is_some_and(|text| {
            // What is no time says nothing about how long to wait.
            let is_over = |at: SystemTime| at.checked_add(cooldown.rest).is_some_and(|end| end < cooldown.now);
            cooldown.rest.is_zero() || timestamp::parse_rfc3339(text).is_none_or(is_over)
        })
    };
    let warm: Vec<usize> =
        (0..block.allocations.len()).filter(|&ordinal| block.attribute_of(ordinal).is_some_and(rested)).collect();
    if warm.is_empty() {
        return false;
    }
    free_up(block, &warm);
    true
}

/// Gives up to `count` free addresses to `holder`, in the order in which they became free and none that is reserved;
/// answers their ordinals.
pub(crate) fn assign_next(
    block: &mut Block,
    count: usize,
    holder: &Attribute,
    reservations: &Reservations,
) -> Vec<usize> {
    let taken: Vec<usize> = free(block, reservations).take(count).collect();
    let is_taken = |ordinal: &i64| usize::try_from(*ordinal).is_ok_and(|ordinal| taken.contains(&ordinal));
    block.unallocated.retain(|ordinal| !is_taken(ordinal));
    give(block, &taken, holder);
    taken
}

/// Gives one address to `holder`; false where it is not free.
pub(crate) fn assign(block: &mut Block, ordinal: usize, holder: &Attribute) -> bool {
    let Some(position) = block.unallocated.iter().position(|&free| usize::try_from(free) == Ok(ordinal)) else {
        return false;
    };
    block.unallocated.remove(position);
    give(block, &[ordinal], holder);
    true
}

fn give(block: &mut Block, ordinals: &[usize], holder: &Attribute) {
    if ordinals.is_empty() {
        return;
    }
    let index = index_of(block, holder);
    for &ordinal in ordinals {
        block.allocations[ordinal] = Some(index);
        block.sequence_number_for_allocation.insert(ordinal.to_string(), block.sequence_number);
    }
    touch(block);
}

/// The index of an attribute, which is added where it is not there.
fn index_of(block: &mut Block, attribute: &Attribute) -> i64 {
    let index = block.attributes.iter().position(|known| known == attribute).unwrap_or_else(|| {
        block.attributes.push(attribute.clone());
        block.attributes.len() - 1
    });
    index as i64
}

/// Takes back the given addresses, which become the last to be given out again, at once or after they have rested. Works on
/// each ordinal by itself, so that a contradiction elsewhere in the block does not keep an address from being released.
pub(crate) fn release(block: &mut Block, ordinals: &[usize], cooldown: Cooldown) {
    if cooldown.rest.is_zero() {
        free_up(block, ordinals);
    } else {
        let released = Attribute { released_at: Some(timestamp::rfc3339(cooldown.now)), ..Attribute::default() };
        let index = index_of(block, &released);
        for &ordinal in ordinals {
            block.allocations[ordinal] = Some(index);
            block.sequence_number_for_allocation.insert(ordinal.to_string(), block.sequence_number);
        }
        drop_unused_attributes(block);
    }
    touch(block);
}

/// Gives one allocated address another attribute. Addresses that share the one it has keep it.
pub(crate) fn replace_attribute(block: &mut Block, ordinal: usize, attribute: &Attribute) {
    let index = index_of(block, attribute);
    block.allocations[ordinal] = Some(index);
    drop_unused_attributes(block);
    touch(block);
}

/// Frees ordinals, in range, that nobody has, and drops the attributes that no ordinal points to. Answers whether anything
/// changed.
pub(crate) fn mend(block: &mut Block, ordinals: &[usize]) -> bool {
    let before = block.clone();
    free_up(block, ordinals);
    let changed = *block != before;
    if changed {
        touch(block);
    }
    changed
}

/// Frees ordinals that are in range.
fn free_up(block: &mut Block, ordinals: &[usize]) {
    for &ordinal in ordinals {
        block.allocations[ordinal] = None;
        if !block.unallocated.contains(&(ordinal as i64)) {
            block.unallocated.push(ordinal as i64);
        }
        block.sequence_number_for_allocation.remove(&ordinal.to_string());
    }
    drop_unused_attributes(block);
}

/// Makes the block differ from what was read, so that a writer who read it before cannot change it any more.
pub(crate) fn touch(block: &mut Block) {
    block.sequence_number = block.sequence_number.wrapping_add(1);
}

/// Whether no address is in use or cools down, apart from those that a Windows host sets aside in each of its blocks.
pub(crate) fn is_empty(block: &Block) -> bool {
    let unused = |ordinal: usize| {
        block.allocations[ordinal].is_none() || block.attribute_of(ordinal).is_some_and(Attribute::is_windows_reserve)
    };
    // Nobody knows what a list that is too short lacks.
    block.allocations.len() == block.size() && (0..block.size()).all(unused)
}

/// Whether a block is empty once the addresses that have rested long enough are free.
pub(crate) fn is_unused(block: &Block, cooldown: Cooldown) -> bool {
    let mut warm = block.clone();
    warm_up(&mut warm, cooldown);
    is_empty(&warm)
}

fn drop_unused_attributes(block: &mut Block) {
    let mut used = vec![false; block.attributes.len()];
    let known = |index: i64| usize::try_from(index).ok();
    for index in block.allocations.iter().flatten().filter_map(|&index| known(index)) {
        if let Some(used) = used.get_mut(index) {
            *used = true;
        }
    }
    let mut renumbered = Vec::with_capacity(used.len());
    let mut kept = 0;
    for &used in &used {
        renumbered.push(kept);
        kept += i64::from(used);
    }
    for index in block.allocations.iter_mut().flatten() {
        // An index without attribute stays as it is: it says nothing that could be kept.
        *index = known(*index).and_then(|index| renumbered.get(index)).copied().unwrap_or(*index);
    }
    let mut used = used.into_iter();
    block.attributes.retain(|_| used.next().unwrap_or(true));
}

#[cfg(test)]
mod tests {
    use super::*;
    use calico_model::Owner;

    fn block(cidr: &str) -> Block {
        Block::new(cidr.parse().unwrap(), &Owner::Host("n".into()), SystemTime::UNIX_EPOCH)
    }

    /// Released addresses do not rest.
    const AT_ONCE: Cooldown = Cooldown { rest: Duration::ZERO, now: SystemTime::UNIX_EPOCH };

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn take(block: &mut Block, count: usize, holder: &Attribute) -> Vec<usize> {
        assign_next(block, count, holder, &Reservations::default())
    }

    fn holder(handle: &str) -> Attribute {
        Attribute { handle_id: Some(handle.into()), ..Attribute::default() }
    }

    #[test]
    fn freed_addresses_are_reused_last() {
        let mut block = block("10.0.0.0/30");
        let mut order = Vec::new();
        for _ in 0..5 {
            let taken = take(&mut block, 1, &holder("h"));
            order.push(taken[0]);
            release(&mut block, &taken, AT_ONCE);
        }
        assert_eq!(order, [0, 1, 2, 3, 0]);
        assert_eq!(block.inconsistency(), None);
    }

    #[test]
    fn sequence_numbers_tell_one_allocation_from_the_next() {
        let mut block = block("10.0.0.0/30");
        let start = block.sequence_number;
        assert!(assign(&mut block, 2, &holder("h")));
        assert!(!assign(&mut block, 2, &holder("i")));
        assert_eq!(block.sequence_number_for_allocation["2"], start);
        release(&mut block, &[2], AT_ONCE);
        assert!(assign(&mut block, 2, &holder("h")));
        assert_eq!(block.sequence_number_for_allocation["2"], start + 2);
    }

    #[test]
    fn attributes_are_shared_and_dropped_when_unused() {
        let mut block = block("10.0.0.0/29");
        assert_eq!(take(&mut block, 2, &holder("a")), [0, 1]);
        assert_eq!(take(&mut block, 1, &holder("b")), [2]);
        assert_eq!(take(&mut block, 1, &holder("a")), [3]);
        assert_eq!(block.attributes.len(), 2);
        release(&mut block, &[0, 1, 3], AT_ONCE);
        assert_eq!(block.attributes, [holder("b")]);
        assert_eq!(block.allocations[2], Some(0));
        assert_eq!(block.unallocated, [4, 5, 6, 7, 0, 1, 3]);
        assert_eq!(block.inconsistency(), None);
    }

    #[test]
    fn a_full_block_gives_what_it_has() {
        let mut block = block("10.0.0.0/31");
        assert_eq!(take(&mut block, 5, &holder("a")), [0, 1]);
        let before = block.clone();
        assert!(take(&mut block, 1, &holder("b")).is_empty());
        assert_eq!(block, before);
    }

    #[test]
    fn a_sound_ordinal_of_an_unsound_block_is_released() {
        let mut block = block("10.0.0.0/30");
        take(&mut block, 2, &holder("a"));
        block.allocations[3] = Some(77);
        block.unallocated = vec![2, 3];
        release(&mut block, &[0], AT_ONCE);
        assert_eq!(block.allocations, [None, Some(0), None, Some(77)]);
        assert_eq!(block.unallocated, [2, 3, 0]);
    }

    #[test]
    fn a_released_address_rests() {
        let rest = |now| Cooldown { rest: Duration::from_secs(30), now: at(now) };
        let mut block = block("10.0.0.0/30");
        take(&mut block, 3, &holder("a"));
        let before = block.sequence_number;
        release(&mut block, &[0, 2], rest(100));
        assert_eq!(block.attributes.len(), 2);
        assert_eq!(block.attributes[1].released_at.as_deref(), Some("1970-01-01T00:01:40Z"));
        assert_eq!(
            (block.allocations.as_slice(), &block.unallocated),
            (&[Some(1), Some(0), Some(1), None][..], &vec![3])
        );
        assert_eq!((block.sequence_number, block.sequence_number_for_allocation["0"]), (before + 1, before));
        assert_eq!(room(&block, &Reservations::default()), Room { used: 1, cooling: 2, reserved: 0, free: 1 });
        assert!(!is_empty(&block) && block.inconsistency().is_none());
        // Another, released later, rests longer.
        release(&mut block, &[1], rest(110));
        assert!(!warm_up(&mut block, rest(130)), "not before the time is over");
        assert!(warm_up(&mut block, rest(131)));
        assert_eq!(
            (block.allocations.as_slice(), &block.unallocated),
            (&[None, Some(0), None, None][..], &vec![3, 0, 2])
        );
        assert_eq!(block.sequence_number_for_allocation.keys().collect::<Vec<_>>(), ["1"]);
        // Without a cooldown nothing rests, also what was released under one.
        assert!(warm_up(&mut block, AT_ONCE) && is_empty(&block));
        assert_eq!((block.unallocated, block.attributes), (vec![3, 0, 2, 1], vec![]));
    }

    #[test]
    fn what_is_no_time_does_not_keep_an_address() {
        let mut block = block("10.0.0.0/31");
        assign(&mut block, 0, &Attribute { released_at: Some("soon".into()), ..Attribute::default() });
        assert!(warm_up(&mut block, Cooldown { rest: Duration::from_secs(30), now: at(0) }));
        assert_eq!(block.unallocated, [1, 0]);
    }

    #[test]
    fn reserved_addresses_keep_their_place() {
        let reserved: calico_model::IpReservation = serde_json::from_value(serde_json::json!({
            "kind": "IPReservation", "apiVersion": "projectcalico.org/v3", "metadata": {"name": "r"},
            "spec": {"reservedCIDRs": ["10.0.0.0/31", "10.0.0.5"]}
        }))
        .unwrap();
        let reserved = Reservations::new([&reserved]);
        let mut block = block("10.0.0.0/29");
        assert_eq!(room(&block, &reserved), Room { free: 5, reserved: 3, ..Room::default() });
        assert_eq!(assign_next(&mut block, 4, &holder("a"), &reserved), [2, 3, 4, 6]);
        assert_eq!(block.unallocated, [0, 1, 5, 7]);
        assert_eq!(assign_next(&mut block, 4, &holder("a"), &reserved), [7]);
        assert!(!has_free(&block, &reserved) && has_free(&block, &Reservations::default()));
        assert!(assign(&mut block, 5, &holder("b")), "somebody asked for it");
    }

    #[test]
    fn a_windows_reserve_leaves_a_block_empty() {
        let mut block = block("10.0.0.0/30");
        assert!(is_empty(&block));
        assign(&mut block, 0, &holder("Windows-Reserved-IPAM-Handle"));
        assert!(is_empty(&block));
        assign(&mut block, 1, &holder("a"));
        assert!(!is_empty(&block));
    }

    #[test]
    fn two_assignments_make_the_block_of_the_reference() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_nanos(1_767_323_045_123_456_789);
        let mut block = Block::new("192.168.1.64/26".parse().unwrap(), &Owner::Host("node1".into()), time);
        assert_eq!((take(&mut block, 1, &holder("a")), take(&mut block, 1, &holder("b"))), (vec![0], vec![1]));
        assert_eq!(block.affinity_claim_time.as_deref(), Some("2026-01-02T03:04:05Z"));
        assert_eq!(block.sequence_number, 1_767_323_045_123_456_791);
        let numbers: Vec<(&str, u64)> =
            block.sequence_number_for_allocation.iter().map(|(ordinal, &number)| (ordinal.as_str(), number)).collect();
        assert_eq!(numbers, [("0", 1_767_323_045_123_456_789), ("1", 1_767_323_045_123_456_790)]);
    }
}
