//! An explanation as people read it.

use std::net::IpAddr;

use calico_ipam::{AddressesExplained, Allocation, Considered, Demand, Error as IpamError, Explanation, Verdict};
use calico_model::{Key, Object};

use super::{HANDLE, Question};
use crate::output::boxed::{Boxed, Cell};

/// For whom it is.
pub fn heading(question: &Question) -> String {
    let node = &question.node;
    match &question.pod {
        Some(pod) => format!("Allocation for pod {pod} on node {node}\n"),
        None => format!("Allocation for node {node}\n"),
    }
}

/// What is asked for.
pub fn demands(demands: &[Demand]) -> String {
    let line = |Demand { version, count, pools, .. }: &Demand| {
        let addresses = if *count == 1 { "1 address".to_owned() } else { format!("{count} addresses") };
        let pools: Vec<String> = pools.iter().map(ToString::to_string).collect();
        let whence = match pools.as_slice() {
            [] => "any pool that may be used without being asked for".to_owned(),
            pools => pools.join(", "),
        };
        format!("Asked for: {addresses} of IPv{version}, from {whence}\n")
    };
    demands.iter().map(line).collect()
}

/// The pools, the blocks, the addresses, and what would be written.
pub fn explanation(explanation: &Explanation) -> String {
    let mut text = String::new();
    if explanation.traces.is_empty() {
        text += &pools("Pools", explanation.pools());
    }
    for (version, trace) in &explanation.traces {
        text += &pools(&format!("IPv{version} pools"), &trace.pools);
        text += &blocks(&format!("IPv{version} blocks"), &trace.blocks);
    }
    match &explanation.answer {
        Err(error) => text += &refusal("No address would be given", error),
        Ok(assigned) => {
            text += &addresses(&assigned.allocations);
            for shortfall in &assigned.shortfalls {
                text += &format!("\nToo few: {shortfall}\n{}", advice(&shortfall.advice));
            }
        }
    }
    text + &writes(&explanation.writes)
}

/// What becomes of each address that is asked for.
pub fn given(asked: &[IpAddr], explained: &AddressesExplained) -> String {
    let list: Vec<String> = asked.iter().map(ToString::to_string).collect();
    let mut text = format!("Asked for: {}; pools' selectors and reservations do not count\n", list.join(", "));
    for (address, answer) in asked.iter().zip(&explained.answers) {
        text += &match answer {
            Ok(allocation) => addresses(std::slice::from_ref(allocation)),
            Err(error) => refusal(&format!("{address} would not be given"), error),
        };
    }
    text + &writes(&explained.writes)
}

fn pools<'a>(title: &str, verdicts: impl IntoIterator<Item = &'a Verdict>) -> String {
    let mut table = Boxed::new(&["pool", "cidr", "verdict"]);
    let mut count = 0;
    for Verdict { pool, cidr, answer } in verdicts {
        table.row([pool.clone(), cidr.to_string(), answer.to_string()].map(Cell::from));
        count += 1;
    }
    if count > 0 { format!("\n{title}\n{}", table.render()) } else { format!("\n{title}: none\n") }
}

/// The blocks in the order in which they were looked at, with what would be taken counted as used.
fn blocks(title: &str, considered: &[Considered]) -> String {
    if considered.is_empty() {
        return format!("\n{title}: none was looked at\n");
    }
    let mut table = Boxed::new(&["block", "owner", "used", "cooling down", "reserved", "free", "decision"]);
    for Considered { block, owner, room, decision } in considered {
        let numbers = [room.used, room.cooling, room.reserved, room.free];
        let owner = owner.as_deref().unwrap_or("nobody");
        let cells = [Cell::from(block.to_string()), Cell::from(owner)].into_iter();
        let cells = cells.chain(numbers.map(|number| Cell::Number(number.to_string())));
        table.row(cells.chain([Cell::from(decision.to_string())]));
    }
    format!("\n{title}, in the order in which they are looked at, as they would be then\n{}", table.render())
}

fn addresses(allocations: &[Allocation]) -> String {
    let line = |Allocation { address, block }: &Allocation| format!("  {address}, of block {block}\n");
    match allocations {
        [] => "\nNo address would be given\n".to_owned(),
        allocations => format!("\nWould be given\n{}", allocations.iter().map(line).collect::<String>()),
    }
}

fn refusal(what: &str, error: &IpamError) -> String {
    format!("\n{what}: {}\n{}", error.to_string().trim_end(), advice(&error.advice()))
}

/// What is known beyond a text, a line for each thing.
fn advice(advice: &str) -> String {
    advice.split("; ").filter(|part| !part.is_empty()).map(|part| format!("  {part}\n")).collect()
}

fn writes(writes: &[(Key, Option<Object>)]) -> String {
    if writes.is_empty() {
        return "\nNothing would be written\n".to_owned();
    }
    let line = |(key, object): &(Key, Option<Object>)| {
        let what = match key {
            Key::Block(block) => format!("block {block}"),
            Key::Affinity { owner, block } => format!("affinity of {owner} to {block}"),
            Key::Handle(id) if id == HANDLE => "handle of the container".to_owned(),
            other => other.to_string(),
        };
        match object {
            None => format!("  delete {what}\n"),
            Some(Object::Affinity(affinity)) => {
                format!("  write  {what}: {}\n", String::from(affinity.state.clone()))
            }
            Some(_) => format!("  write  {what}\n"),
        }
    };
    format!("\nWould be written, in this order\n{}", writes.iter().map(line).collect::<String>())
}
