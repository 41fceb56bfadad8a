//! An endpoint that stands before a server: it counts requests and makes faults.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::daemon::{Daemon, PATIENCE};
use crate::host::Host;
use crate::lan::SERVERS;

/// What goes wrong at a [`Proxy`]. Requests are counted from 1, on every connection anew; with TLS they are not seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Faults {
    /// Everything the server sends is late by this much.
    pub delay: Duration,
    /// This request is carried out, but its connection is closed in place of the answer.
    pub cut: Option<usize>,
    /// The connection is closed in place of forwarding this request.
    pub drop: Option<usize>,
    /// This request is forwarded only after [`Proxy::release`], also if its client is gone by then.
    pub late: Option<usize>,
    /// Of this request only the headers are forwarded, as if its client were slow. Others of the connection pass it.
    pub hold: Option<usize>,
    /// This request is carried out, and nothing of its answer arrives.
    pub mute: Option<usize>,
    /// Whether `cut`, `drop`, `late`, `hold` or `mute` hit the first connection only that gets so far.
    pub once: bool,
    /// Connections are accepted, and nothing is ever read from or written to them.
    pub blackhole: bool,
}

impl Faults {
    /// The faults as arguments of the executable `proxy`.
    pub fn arguments(&self) -> Vec<String> {
        let mut arguments = vec![format!("delay={}", self.delay.as_millis())];
        arguments.extend(self.cut.map(|number| format!("cut={number}")));
        arguments.extend(self.drop.map(|number| format!("drop={number}")));
        arguments.extend(self.late.map(|number| format!("late={number}")));
        arguments.extend(self.hold.map(|number| format!("hold={number}")));
        arguments.extend(self.mute.map(|number| format!("mute={number}")));
        arguments.extend(self.once.then(|| "once".to_owned()));
        arguments.extend(self.blackhole.then(|| "blackhole".to_owned()));
        arguments
    }

    /// The faults of [`Faults::arguments`]; `None` for any other arguments.
    pub fn parse(arguments: &[String]) -> Option<Faults> {
        let mut faults = Faults::default();
        for argument in arguments {
            match argument.split_once('=').unwrap_or((argument, "")) {
                ("delay", millis) => faults.delay = Duration::from_millis(millis.parse().ok()?),
                ("cut", number) => faults.cut = Some(number.parse().ok()?),
                ("drop", number) => faults.drop = Some(number.parse().ok()?),
                ("late", number) => faults.late = Some(number.parse().ok()?),
                ("hold", number) => faults.hold = Some(number.parse().ok()?),
                ("mute", number) => faults.mute = Some(number.parse().ok()?),
                ("once", "") => faults.once = true,
                ("blackhole", "") => faults.blackhole = true,
                _ => return None,
            }
        }
        Some(faults)
    }
}

/// A running proxy. It ends when the value is dropped.
pub struct Proxy<'h> {
    process: Daemon,
    endpoint: String,
    released: PathBuf,
    // The host waits for what runs on it, so that it must be dropped later.
    _host: std::marker::PhantomData<&'h Host>,
}

impl<'h> Proxy<'h> {
    pub(crate) fn start(
        host: &'h Host,
        program: &Path,
        report: PathBuf,
        scheme: &str,
        server: &str,
        faults: Faults,
    ) -> Proxy<'h> {
        let released = report.with_extension("released");
        let mut arguments =
            vec![format!("{}:0", SERVERS[0]), server.to_owned(), released.to_string_lossy().into_owned()];
        arguments.extend(faults.arguments());
        let mut process = Daemon::start(host, report, program, &arguments);
        process.wait_for("listening ");
        let address = process.log().lines().find_map(|line| Some(line.strip_prefix("listening ")?.to_owned()));
        let endpoint = format!("{scheme}://{}", address.expect("the line is complete"));
        Proxy { process, endpoint, released, _host: std::marker::PhantomData }
    }

    /// Its URL, for a plugin's `etcd_endpoints`.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Lets the late request go.
    pub fn release(&self) {
        std::fs::write(&self.released, "").unwrap_or_else(|e| panic!("{}: {e}", self.released.display()));
    }

    /// Waits until so many connections have been made in all.
    pub fn wait_for_connections(&self, count: usize) {
        let deadline = Instant::now() + PATIENCE;
        while self.requests().len() < count {
            assert!(Instant::now() < deadline, "no connection number {count}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// How many requests have come, for each connection in the order in which they were made. Those that were dropped
    /// count, too.
    pub fn requests(&self) -> Vec<usize> {
        let mut counts = Vec::new();
        for line in self.process.log().lines() {
            match line.split_once(' ') {
                Some(("listening", _)) => {}
                Some(("connection", _)) => counts.push(0),
                Some(("request", connection)) => counts[connection.parse::<usize>().expect("a number")] += 1,
                _ => panic!("the proxy says: {line}"),
            }
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_the_same_after_a_command_line() {
        let all = Faults {
            delay: Duration::from_millis(20),
            cut: Some(3),
            drop: Some(4),
            late: Some(5),
            hold: Some(6),
            mute: Some(7),
            once: true,
            blackhole: true,
        };
        for faults in [all, Faults::default()] {
            assert_eq!(Faults::parse(&faults.arguments()), Some(faults));
        }
        assert_eq!(Faults::parse(&["cut=x".to_owned()]), None);
    }
}
