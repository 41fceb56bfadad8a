//! The commands about this host.

mod bird;
pub mod checksystem;
mod host;
mod kernel;
pub mod status;
mod timed_call;
pub mod timings;

use crate::error::Error;

/// Refuses who is not root: the node agent's sockets and the kernel's files are root's.
fn need_root() -> Result<(), Error> {
    match nix::unistd::geteuid().is_root() {
        true => Ok(()),
        false => Err(Error::new("Need super user privileges: Operation not permitted")),
    }
}
