//! How much of each pool, and of each block, is used, as a table.

use calico_ipam::{BlockUtilisation, Counts, Utilisation};

use super::numbers::{share, short};
use crate::output::boxed::{Boxed, Cell};

/// The pools in the order of their names; with blocks, each followed by its own, and those of no pool at the end.
pub fn table(used: &Utilisation, with_blocks: bool) -> String {
    let mut table = Boxed::new(&["grouping", "cidr", "ips total", "ips in use", "ips reserved", "ips free"]);
    let mut row = |grouping: &str, cidr: String, counts: &Counts| {
        let Counts { capacity, in_use, reserved, available } = *counts;
        let shares = [in_use, reserved, available].map(|count| Cell::Number(share(count, capacity)));
        let total = Cell::Number(short(capacity));
        table.row([Cell::from(grouping), Cell::from(cidr), total].into_iter().chain(shares));
    };
    let blocks_of = |blocks: &[BlockUtilisation]| if with_blocks { blocks.to_vec() } else { Vec::new() };
    for pool in &used.pools {
        row("IP Pool", pool.cidr.to_string(), &pool.counts);
        for block in blocks_of(&pool.blocks) {
            row("Block", block.cidr.to_string(), &block.counts);
        }
    }
    for block in blocks_of(&used.orphans) {
        row("Block", block.cidr.to_string(), &block.counts);
    }
    table.render()
}
