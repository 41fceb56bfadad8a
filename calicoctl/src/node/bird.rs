//! The BGP sessions of BIRD, as its control socket tells them.
//!
//! BIRD answers in lines that begin with a code of four digits. A line that begins with a space has the code of the line before.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use thiserror::Error as ThisError;

use super::host::Host;

/// How many bytes of a line may be.
const LONGEST_LINE: usize = 64 * 1024;
/// What is shown of a line that was not expected.
const SHOWN: usize = 200;
/// The heading of the table of protocols. BIRD 2 begins each word with a capital.
const HEADING: [&str; 6] = ["name", "proto", "table", "state", "since", "info"];

/// One of the two BIRDs: each family of addresses has its own.
#[derive(Debug)]
pub struct Family {
    /// Of IP.
    pub version: u8,
    /// The name of its process.
    pub process: &'static str,
    /// Where its control socket may be: in the node agent's container, or as BIRD is packaged.
    sockets: [&'static str; 2],
    /// What is between the parts of an address.
    separator: &'static str,
}

/// Both, in the order in which they are shown.
pub const FAMILIES: [Family; 2] = [
    Family {
        version: 4,
        process: "bird",
        sockets: ["/var/run/calico/bird.ctl", "/var/run/bird/bird.ctl"],
        separator: ".",
    },
    Family {
        version: 6,
        process: "bird6",
        sockets: ["/var/run/calico/bird6.ctl", "/var/run/bird/bird6.ctl"],
        separator: ":",
    },
];

/// How long BIRD may take and how much it may say: its socket may be anybody's.
#[derive(Debug)]
pub struct Limits {
    /// For one line.
    line: Duration,
    /// For everything.
    all: Duration,
    /// How many lines.
    lines: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { line: Duration::from_secs(2), all: Duration::from_secs(30), lines: 100_000 }
    }
}

#[cfg(test)]
impl Limits {
    /// Shorter times, in milliseconds: for a line, and for everything.
    pub fn new(line: u64, all: u64) -> Limits {
        Limits { line: Duration::from_millis(line), all: Duration::from_millis(all), ..Limits::default() }
    }
}

/// A session with another BGP speaker.
#[derive(Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its address.
    pub address: String,
    /// Which configuration it is from.
    pub kind: &'static str,
    /// The state of the protocol, such as `up`.
    pub state: String,
    /// Since when.
    pub since: String,
    /// The state of BGP, and what went wrong last.
    pub info: String,
}

/// Why the sessions are not known.
#[derive(Debug, ThisError)]
#[allow(missing_docs, reason = "each text says what it is")]
pub enum Error {
    #[error("Error querying BIRD: unable to connect to BIRDv{version} socket: {reasons}")]
    Connect { version: u8, reasons: String },
    #[error("error executing command: unable to write to BIRD socket: {0}")]
    Write(io::Error),
    #[error("error executing command: unexpected output line from BIRD\n  the line: {0}")]
    Unexpected(String),
    #[error("error executing command: {0}")]
    Read(String),
}

/// Asks the BIRD of a family for its sessions.
pub fn peers(host: &Host, family: &Family, limits: &Limits) -> Result<Vec<Peer>, Error> {
    let mut reasons = Vec::new();
    for path in family.sockets.map(|socket| host.path(socket)) {
        match connect(&path, limits.line) {
            Ok(mut stream) => {
                stream.set_write_timeout(Some(limits.line)).map_err(Error::Write)?;
                stream.write_all(b"show protocols\n").map_err(Error::Write)?;
                return Answer::of(stream, limits).read(family);
            }
            Err(error) => reasons.push(format!("{}: {error}", path.display())),
        }
    }
    Err(Error::Connect { version: family.version, reasons: reasons.join("; ") })
}

/// Connects. Who does not accept connections lets others wait once enough of them do, and the standard library sets no bound.
fn connect(path: &Path, limit: Duration) -> io::Result<UnixStream> {
    let path = path.to_owned();
    in_time(limit, move || UnixStream::connect(path))
}

/// Does something in a thread, which is left alone when the time is over.
fn in_time<T: Send + 'static>(limit: Duration, work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || sender.send(work()));
    receiver.recv_timeout(limit).unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// An answer that is being read.
struct Answer<'a> {
    stream: UnixStream,
    limits: &'a Limits,
    end: Instant,
    /// What has been read beyond the line.
    ahead: Vec<u8>,
}

impl Answer<'_> {
    fn of(stream: UnixStream, limits: &Limits) -> Answer<'_> {
        Answer { stream, limits, end: Instant::now() + limits.all, ahead: Vec::new() }
    }

    fn read(mut self, family: &Family) -> Result<Vec<Peer>, Error> {
        let mut peers = Vec::new();
        for _ in 0..self.limits.lines {
            let line = self.line()?;
            let (code, rest) = match line.strip_prefix(' ') {
                Some(rest) => ("1002", rest),
                None => line.split_at_checked(4).unwrap_or((&line, "")),
            };
            let rest = rest.strip_prefix('-').unwrap_or(rest);
            match code {
                "0000" => return Ok(peers),
                "0001" => {}
                "2002" if rest.split_whitespace().map(str::to_lowercase).eq(HEADING) => {}
                "1002" => peers.extend(peer(rest, family)),
                _ => return Err(Error::Unexpected(printable(&line).chars().take(SHOWN).collect())),
            }
        }
        Err(Error::Read(format!("BIRD's answer is longer than {} lines", self.limits.lines)))
    }

    /// The next line, without its end.
    fn line(&mut self) -> Result<String, Error> {
        let end = self.end.min(Instant::now() + self.limits.line);
        let mut searched = 0;
        loop {
            if let Some(length) = self.ahead[searched..].iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.ahead.drain(..=searched + length).collect();
                return Ok(String::from_utf8_lossy(&line[..line.len() - 1]).into_owned());
            }
            searched = self.ahead.len();
            if searched > LONGEST_LINE {
                return Err(Error::Read(format!("a line of BIRD's is longer than {LONGEST_LINE} bytes")));
            }
            self.more(end)?;
        }
    }

    /// Waits for more of the answer, until a point in time.
    fn more(&mut self, end: Instant) -> Result<(), Error> {
        let failed = |error: &dyn std::fmt::Display| Error::Read(error.to_string());
        let late = || {
            let limit = if end == self.end { self.limits.all } else { self.limits.line };
            failed(&format_args!("BIRD did not answer within {limit:?}"))
        };
        let mut buffer = [0; 4096];
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(late());
        }
        self.stream.set_read_timeout(Some(left)).map_err(|error| failed(&error))?;
        match self.stream.read(&mut buffer) {
            Ok(0) => Err(failed(&"BIRD closed the connection before the end of its answer")),
            Ok(length) => {
                self.ahead.extend_from_slice(&buffer[..length]);
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => Err(late()),
            Err(error) => Err(failed(&error)),
        }
    }
}

/// The session of a row, if it is one: the name tells.
fn peer(row: &str, family: &Family) -> Option<Peer> {
    let mut fields = row.split_whitespace().map(printable);
    let (name, proto, _table, state, since) =
        (fields.next()?, fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    let (kind, address) = name.split_once('_')?;
    let kind = match kind {
        "Global" => "global",
        "Node" => "node specific",
        "Mesh" => "node-to-node mesh",
        _ => return None,
    };
    let info = fields.collect::<Vec<_>>().join(" ");
    (proto == "BGP").then(|| Peer { address: address.replace('_', family.separator), kind, state, since, info })
}

/// A text without what would control a terminal.
fn printable(text: &str) -> String {
    let mut shown = String::new();
    for character in text.chars() {
        match character.is_control() {
            true => shown.extend(character.escape_debug()),
            false => shown.push(character),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_without_an_end_is_left_alone() {
        let (sender, receiver) = mpsc::channel::<()>();
        let endless = in_time(Duration::from_millis(20), move || receiver.recv().map_err(io::Error::other));
        assert_eq!(endless.unwrap_err().kind(), io::ErrorKind::TimedOut);
        drop(sender);
        assert_eq!(in_time(Duration::from_secs(60), || Ok(1)).unwrap(), 1);
    }
}
