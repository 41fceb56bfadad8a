//! Addresses that nodes have of other nodes' blocks, as a table.

use std::collections::BTreeMap;

use calico_model::Block;

use crate::output::boxed::Boxed;

/// A row for each address whose holder's node is not the block's owner, and how many addresses are of holders without a node.
pub fn table<'a>(blocks: impl IntoIterator<Item = &'a Block>) -> String {
    let mut table = Boxed::new(&["ip", "borrowing-node", "block", "block owner", "type", "allocated-to"]);
    let mut unclear = 0;
    for block in blocks {
        let owner = owner(block);
        for ordinal in 0..block.allocations.len() {
            let held = block.attribute_of(ordinal).filter(|attribute| !attribute.is_cooling());
            let (Some(attribute), Some(address)) = (held, block.address(ordinal)) else { continue };
            match attribute.secondary.get("node") {
                None => unclear += 1,
                Some(node) if node == owner => {}
                Some(node) => {
                    let (kind, holder) = holder(&attribute.secondary);
                    let cells =
                        [address.to_string(), node.clone(), block.cidr.to_string(), owner.to_owned(), kind, holder];
                    table.row(cells.map(Into::into));
                }
            }
        }
    }
    let mut text = table.render();
    if unclear > 0 {
        text += &format!(
            "\nNote: found {unclear} IP allocations without an explicit node association. Unable to determine if they are borrowed.\n"
        );
    }
    text
}

/// The owner's name; the whole affinity where it does not have the usual form.
fn owner(block: &Block) -> &str {
    let affinity = block.affinity.as_deref().unwrap_or_default();
    match affinity.split_once(':') {
        Some((_, name)) if !name.contains(':') => name,
        _ => affinity,
    }
}

/// What an address is for, and whose it is.
fn holder(attributes: &BTreeMap<String, String>) -> (String, String) {
    let text = |name: &str| attributes.get(name).map(String::as_str).filter(|text| !text.is_empty());
    let namespace = text("namespace").unwrap_or_default();
    let of_pod = text("pod").map(|pod| ("pod".to_owned(), format!("{namespace}/{pod}")));
    let of_vm = text("vmi-name").map(|vm| ("vmi".to_owned(), format!("{namespace}/{vm}")));
    of_vm.or(of_pod).unwrap_or_else(|| (text("type").unwrap_or_default().to_owned(), String::new()))
}
