//! `ipam show`: how much of each pool is used, who has an address, what is borrowed, and the settings.

use std::net::IpAddr;

use calico_datastore::{Datastore, Stored, Want};
use calico_ipam::{AddressUse, Error as IpamError};
use calico_model::object::Malformed;
use calico_model::{Block, IpamConfig, Key, Kind, Listing};

use super::{address, borrowed, of_cluster, usage};
use crate::cli::ShowArgs;
use crate::console::Console;
use crate::error::Error;
use crate::output::boxed::Boxed;
use crate::session::{Backend, Session};

/// Shows what is asked for; of several things the first of address, blocks, borrowed addresses and settings.
pub async fn run(session: &Session, console: &Console, arguments: &ShowArgs) -> Result<(), Error> {
    if let Some(text) = &arguments.ip {
        let address = address::parse(text)?;
        let found = of_cluster(session).use_of(address).await;
        if let Err(error @ IpamError::InCooldown { .. }) = &found {
            console.note(format_args!("{error}: {}", error.advice()));
        }
        return console.data(&use_text(address, found)?);
    }
    if arguments.show_borrowed && !arguments.show_blocks {
        let wants = [Want::List(Listing::Blocks)];
        let store = session.store();
        let mut answers = console.waiting("reading all blocks", store.read(&wants)).await?;
        let (blocks, malformed): (Vec<Stored<Block>>, _) = answers.list_readable();
        warn_of(console, &malformed);
        return console.data(&borrowed::table(blocks.iter().map(|stored| &stored.value)));
    }
    if arguments.show_configuration && !arguments.show_blocks {
        let settings = of_cluster(session).settings().await?;
        console.data(&settings_table(&settings))?;
        return note_the_other_settings(session, console).await;
    }
    let ipam = of_cluster(session);
    let used = console.waiting("reading all blocks", ipam.utilisation(&[])).await?;
    warn_of(console, &used.malformed);
    console.data(&usage::table(&used, arguments.show_blocks))
}

fn warn_of(console: &Console, malformed: &[Malformed]) {
    for object in malformed {
        console.warn(format_args!("left out what cannot be read: {object}"));
    }
}

/// Who has an address. That nobody has it is an answer, too.
fn use_text(address: IpAddr, found: Result<AddressUse, IpamError>) -> Result<String, Error> {
    let found = match found {
        Ok(found) => found,
        Err(IpamError::Unassigned { .. } | IpamError::InCooldown { .. }) => {
            return Ok(format!("{address} is not assigned\n"));
        }
        Err(error) => return Err(error.into()),
    };
    let mut lines = vec![format!("IP {address} is in use")];
    lines.push(format!("Handle ID: {}", found.handle.as_deref().unwrap_or("<none>")));
    let owners = [("Active", &found.attributes), ("Alternate", &found.alternate)];
    for (which, attributes) in owners.into_iter().filter(|(_, attributes)| !attributes.is_empty()) {
        lines.push(format!("{which} Owner Attributes:"));
        lines.extend(attributes.iter().map(|(name, value)| format!("  {name}: {value}")));
    }
    if found.attributes.is_empty() {
        lines.insert(2, "No Active Owner attributes defined".to_owned());
    }
    Ok(lines.join("\n") + "\n")
}

fn settings_table(settings: &IpamConfig) -> String {
    let persistence = settings.kube_virt_vm_address_persistence.as_deref().filter(|state| !state.is_empty());
    let mut table = Boxed::new(&["property", "value"]);
    for (property, value) in [
        ("StrictAffinity", settings.strict_affinity.to_string()),
        ("AutoAllocateBlocks", settings.auto_allocate_blocks.to_string()),
        ("MaxBlocksPerHost", settings.max_blocks_per_host.to_string()),
        ("KubeVirtVMAddressPersistence", persistence.unwrap_or("Enabled").to_owned()),
        ("IPCooldownSeconds", settings.ip_cooldown_seconds.to_string()),
    ] {
        table.row([property.into(), value.into()]);
    }
    table.render()
}

/// Outside the Kubernetes API, the IPAMConfiguration that `get` shows is not what address management reads. Says so where there
/// is one.
pub async fn note_the_other_settings(session: &Session, console: &Console) -> Result<(), Error> {
    if session.backend() == Backend::Kubernetes {
        return Ok(());
    }
    let wants = [Want::Get(Key::resource(Kind::IpamConfiguration, "default"))];
    if !session.store().read(&wants).await?.entries().is_empty() {
        console.note("note: the IPAMConfiguration that `calicoctl get` shows is kept apart from these settings here, and has no effect on addresses");
    }
    Ok(())
}

#[cfg(test)]
mod tests;
