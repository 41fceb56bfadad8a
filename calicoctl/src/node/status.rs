//! `node status`: whether the node agent runs, and its BGP sessions.

use std::fmt::Write;

use super::bird::{Family, Peer};
use super::host::Host;
use super::{bird, need_root};
use crate::console::Console;
use crate::error::Error;
use crate::output::boxed::{Boxed, Cell};

/// Prints the status of this host.
///
/// # Errors
/// Who asks is not root, or the node agent does not run.
pub fn run(console: &Console) -> Result<(), Error> {
    need_root()?;
    console.data(&report(&Host::this(), &bird::Limits::default())?)
}

fn report(host: &Host, limits: &bird::Limits) -> Result<String, Error> {
    let processes = host.processes().map_err(|error| Error::new(format_args!("cannot list the processes: {error}")))?;
    // The established tool takes either argument for enough.
    let is_agent =
        |[program, option]: &[String; 2]| matches!(name(program), "calico-felix" | "calico-node") || option == "-felix";
    if !processes.iter().any(is_agent) {
        return Err(Error::new("Calico process is not running."));
    }
    let mut text = "Calico process is running.\n".to_owned();
    let runs = |family: &Family| processes.iter().any(|[program, _]| name(program) == family.process);
    if !bird::FAMILIES.iter().any(runs) {
        return Ok(text + "\nThe BGP backend process (BIRD) is not running.\n\n");
    }
    for family in &bird::FAMILIES {
        let Family { version, process, .. } = family;
        // Writing to a string cannot fail.
        let _ = match runs(family) {
            true => write!(text, "\nIPv{version} BGP status\n{}", sessions(host, family, limits)),
            false => writeln!(text, "\nINFO: BIRDv{version} process: '{process}' is not running."),
        };
    }
    Ok(text + "\n")
}

/// A program's name without its folder.
fn name(program: &str) -> &str {
    program.rsplit('/').next().unwrap_or_default()
}

fn sessions(host: &Host, family: &Family, limits: &bird::Limits) -> String {
    match bird::peers(host, family, limits) {
        Ok(peers) if peers.is_empty() => format!("No IPv{} peers found.\n", family.version),
        Ok(peers) => table(peers),
        Err(error) => format!("{error}\n"),
    }
}

fn table(peers: Vec<Peer>) -> String {
    let mut table = Boxed::new(&["Peer address", "Peer type", "State", "Since", "Info"]);
    for Peer { address, kind, state, since, info } in peers {
        table.row([address.into(), kind.into(), state.into(), since.into(), Cell::Text(info)]);
    }
    table.render()
}

#[cfg(test)]
#[path = "status/tests.rs"]
mod tests;
