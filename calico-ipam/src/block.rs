//! How addresses of a block are given out and taken back: changes to the block in memory, to be written by
//! compare-and-swap.

use calico_model::{Attribute, Block};

/// Gives up to `count` free addresses to `holder`, in the order in which they became free; answers their ordinals.
pub(crate) fn assign_next(block: &mut Block, count: usize, holder: &Attribute) -> Vec<usize> {
    let taken = block.unallocated.drain(..count.min(block.unallocated.len()));
    let taken: Vec<usize> = taken.filter_map(|ordinal| usize::try_from(ordinal).ok()).collect();
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
    let index = block.attributes.iter().position(|a| a == holder).unwrap_or_else(|| {
        block.attributes.push(holder.clone());
        block.attributes.len() - 1
    });
    for &ordinal in ordinals {
        block.allocations[ordinal] = Some(index as i64);
        block.sequence_number_for_allocation.insert(ordinal.to_string(), block.sequence_number);
    }
    touch(block);
}

/// Takes back the given addresses, which become the last to be given out again. Works on each ordinal by itself, so
/// that a contradiction elsewhere in the block does not keep an address from being released.
pub(crate) fn release(block: &mut Block, ordinals: &[usize]) {
    for &ordinal in ordinals {
        block.allocations[ordinal] = None;
        if !block.unallocated.contains(&(ordinal as i64)) {
            block.unallocated.push(ordinal as i64);
        }
        block.sequence_number_for_allocation.remove(&ordinal.to_string());
    }
    drop_unused_attributes(block);
    touch(block);
}

/// Makes the block differ from what was read, so that a writer who read it before cannot change it any more.
pub(crate) fn touch(block: &mut Block) {
    block.sequence_number = block.sequence_number.wrapping_add(1);
}

/// Whether no address is in use.
pub(crate) fn is_empty(block: &Block) -> bool {
    block.allocations.iter().all(Option::is_none)
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
    use std::time::SystemTime;

    fn block(cidr: &str) -> Block {
        Block::new(cidr.parse().unwrap(), &Owner::Host("n".into()), SystemTime::UNIX_EPOCH)
    }

    fn holder(handle: &str) -> Attribute {
        Attribute { handle_id: Some(handle.into()), ..Attribute::default() }
    }

    #[test]
    fn freed_addresses_are_reused_last() {
        let mut block = block("10.0.0.0/30");
        let mut order = Vec::new();
        for _ in 0..5 {
            let taken = assign_next(&mut block, 1, &holder("h"));
            order.push(taken[0]);
            release(&mut block, &taken);
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
        release(&mut block, &[2]);
        assert!(assign(&mut block, 2, &holder("h")));
        assert_eq!(block.sequence_number_for_allocation["2"], start + 2);
    }

    #[test]
    fn attributes_are_shared_and_dropped_when_unused() {
        let mut block = block("10.0.0.0/29");
        assert_eq!(assign_next(&mut block, 2, &holder("a")), [0, 1]);
        assert_eq!(assign_next(&mut block, 1, &holder("b")), [2]);
        assert_eq!(assign_next(&mut block, 1, &holder("a")), [3]);
        assert_eq!(block.attributes.len(), 2);
        release(&mut block, &[0, 1, 3]);
        assert_eq!(block.attributes, [holder("b")]);
        assert_eq!(block.allocations[2], Some(0));
        assert_eq!(block.unallocated, [4, 5, 6, 7, 0, 1, 3]);
        assert_eq!(block.inconsistency(), None);
    }

    #[test]
    fn a_full_block_gives_what_it_has() {
        let mut block = block("10.0.0.0/31");
        assert_eq!(assign_next(&mut block, 5, &holder("a")), [0, 1]);
        let before = block.clone();
        assert!(assign_next(&mut block, 1, &holder("b")).is_empty());
        assert_eq!(block, before);
    }

    #[test]
    fn a_sound_ordinal_of_an_unsound_block_is_released() {
        let mut block = block("10.0.0.0/30");
        assign_next(&mut block, 2, &holder("a"));
        block.allocations[3] = Some(77);
        block.unallocated = vec![2, 3];
        release(&mut block, &[0]);
        assert_eq!(block.allocations, [None, Some(0), None, Some(77)]);
        assert_eq!(block.unallocated, [2, 3, 0]);
    }
}
