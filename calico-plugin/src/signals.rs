//! The signals that ask a call to end. They are held back from the start of a call until somebody listens to them, so that
//! there is an answer however early they come.

use std::io::{self, Read};
use std::os::fd::AsFd;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// The signals.
fn set() -> SigSet {
    [Signal::SIGTERM, Signal::SIGINT].into_iter().collect()
}

/// Holds the signals back, in this thread and in those that it starts; and for good the one that would end a process
/// whose log file may not grow: the write fails, and that is no failure of the call.
pub fn hold() {
    let mut held = set();
    held.add(Signal::SIGXFSZ);
    // It fails for sets that are none.
    let _ = held.thread_block();
}

/// Lets them come, also those that have come meanwhile. A process that is started gets this thread's state.
pub fn release() {
    let _ = set().thread_unblock();
}

/// Stdin, whose reading a signal ends. For the time in which signals are held back.
pub struct Stdin;

impl Read for Stdin {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut stdin = io::stdin();
        let signals = SignalFd::with_flags(&set(), SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        let mut files =
            [PollFd::new(signals.as_fd(), PollFlags::POLLIN), PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
        poll(&mut files, PollTimeout::NONE)?;
        if let Some(signal) = signals.read_signal()? {
            let name = Signal::try_from(signal.ssi_signo.cast_signed()).map_or("a signal", Signal::as_str);
            return Err(io::Error::other(format!("the call was ended by {name}, nothing has been done")));
        }
        stdin.read(buffer)
    }
}
