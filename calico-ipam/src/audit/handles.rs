//! What an audit looks for between blocks and handles.

use std::collections::HashMap;

use calico_model::{Key, cidr};
use ipnetwork::IpNetwork;

use super::{Finding, Snapshot, handle_of};

/// How many addresses of a handle there are in a block.
#[derive(Default)]
struct Count {
    /// As the handle says; `None` where it does not name the block.
    counted: Option<i64>,
    /// As the block says.
    held: i64,
}

impl Snapshot {
    pub(super) fn check_handles(&self, findings: &mut Vec<Finding>) {
        let mut counts: HashMap<(&str, IpNetwork), Count> = HashMap::new();
        for (id, handle) in &self.handles {
            if handle.value.block.is_empty() {
                findings.push(Finding::EmptyHandle { handle: id.clone() });
            }
            for (entry, &number) in &handle.value.block {
                let Ok(block) = entry.parse::<IpNetwork>() else {
                    findings.push(Finding::HandleEntry { handle: id.clone(), entry: entry.clone() });
                    continue;
                };
                // A block may be named twice, as releasing takes it: by different addresses in it.
                let count = counts.entry((id, cidr::masked(&block))).or_default();
                count.counted = Some(count.counted.unwrap_or(0).saturating_add(number));
            }
        }
        for (block, _, attribute) in self.held() {
            if let Some(handle) = handle_of(attribute) {
                counts.entry((handle, block.cidr)).or_default().held += 1;
            }
        }
        for ((id, block), Count { counted, held }) in counts {
            let handle = id.to_owned();
            let unknown = self.is_unreadable(&Key::Block(block)) || self.is_unreadable(&Key::Handle(handle.clone()));
            match counted {
                _ if unknown => {}
                None if !self.handles.contains_key(id) => {
                    findings.push(Finding::MissingHandle { handle, block, held });
                }
                Some(counted) if counted > held || held == 0 => {
                    findings.push(Finding::CountsTooMuch { handle, block, counted, held });
                }
                Some(counted) if counted == held => {}
                counted => {
                    let counted = counted.unwrap_or(0);
                    findings.push(Finding::CountsTooLittle { handle, block, counted, held });
                }
            }
        }
    }
}
