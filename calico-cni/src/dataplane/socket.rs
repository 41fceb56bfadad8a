//! One route netlink socket that asks and waits for the answer.
//!
//! A plain blocking socket suits the kernel thread: it does one thing at a time, and the kernel answers route requests
//! before `recv` has to wait.

use netlink_packet_core::{
    DecodeError, Emitable, ErrorMessage, NLA_HEADER_SIZE, NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_DUMP_INTR,
    NLM_F_EXCL, NLM_F_REQUEST, NetlinkDeserializable, NetlinkHeader, NetlinkMessage, NetlinkPayload, NlaBuffer,
    NlasIterator,
};
use netlink_sys::protocols::NETLINK_ROUTE;
use nix::errno::Errno;

/// `NLMSGERR_ATTR_MSG` of `linux/netlink.h`: the kernel's own words about a refusal.
const ERROR_TEXT: u16 = 1;
/// `struct nlmsghdr`, which precedes the attributes of a capped error message.
const HEADER_LENGTH: usize = 16;
/// The kernel never puts more into one datagram of a list (`NLMSG_GOODSIZE`, 32 KiB); single answers about links are
/// far smaller.
const RECEIVE_BUFFER: usize = 32 * 1024;

/// How often a list is read that changes while it is read.
const LIST_TRIES: u32 = 5;

/// Why a netlink request brought no answer.
#[derive(Debug, thiserror::Error)]
pub enum NetlinkError {
    /// The kernel refused. `text` is its extended acknowledgement, empty or starting with ": ".
    #[error("{errno}{text}")]
    Refused {
        /// The error number of the refusal.
        errno: Errno,
        /// What the kernel says about it.
        text: String,
    },
    /// The socket could not be opened, written or read.
    #[error("netlink socket: {0}")]
    Socket(std::io::Error),
    /// The list changed while the kernel was writing it; asking again helps.
    #[error("the list changed while it was read")]
    Interrupted,
    /// The kernel's answer could not be decoded, or none of the expected kind came.
    #[error("unexpected netlink answer: {0}")]
    Unexpected(String),
}

impl From<DecodeError> for NetlinkError {
    fn from(error: DecodeError) -> NetlinkError {
        NetlinkError::Unexpected(error.to_string())
    }
}

impl NetlinkError {
    /// Whether the kernel refused with this error number.
    pub fn is(&self, expected: Errno) -> bool {
        matches!(self, NetlinkError::Refused { errno, .. } if *errno == expected)
    }
}

/// A route netlink socket. It belongs for ever to the network namespace the thread was in when it was opened.
pub struct Socket {
    socket: netlink_sys::Socket,
    sequence: u32,
    received: Vec<u8>,
}

impl Socket {
    /// Opens a socket in the namespace the calling thread is in.
    pub fn open() -> Result<Socket, NetlinkError> {
        let mut socket = netlink_sys::Socket::new(NETLINK_ROUTE).map_err(NetlinkError::Socket)?;
        socket.bind_auto().map_err(NetlinkError::Socket)?;
        // Each of these is newer than the oldest kernels in use and none is needed for a right answer: without strict
        // checking a filtered list comes unfiltered (callers filter again), without the others a refusal has no text.
        let _ = socket.set_netlink_get_strict_chk(true);
        let _ = socket.set_ext_ack(true);
        let _ = socket.set_cap_ack(true);
        Ok(Socket { socket, sequence: 0, received: Vec::with_capacity(RECEIVE_BUFFER) })
    }

    /// Has the kernel make something that must not exist yet (`NLM_F_CREATE | NLM_F_EXCL`). `kind`, here and below, is
    /// one of the `RTM_` constants of `linux/rtnetlink.h`.
    pub fn create(&mut self, kind: u16, message: &dyn Emitable) -> Result<(), NetlinkError> {
        self.exchange(kind, message, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL).map(drop)
    }

    /// Has the kernel change or remove something that exists.
    pub fn change(&mut self, kind: u16, message: &dyn Emitable) -> Result<(), NetlinkError> {
        self.exchange(kind, message, NLM_F_ACK).map(drop)
    }

    /// Reads one object: its fixed header, then its [`attributes`].
    pub fn get(&mut self, kind: u16, message: &dyn Emitable) -> Result<Vec<u8>, NetlinkError> {
        let answers = self.exchange(kind, message, NLM_F_ACK)?;
        answers
            .into_iter()
            .next()
            .ok_or_else(|| NetlinkError::Unexpected("an acknowledgement without the object asked for".into()))
    }

    /// Reads a list, a few times anew where it changes meanwhile. Ask only for lists the kernel can narrow to one link: those of the whole host grow with the number
    /// of containers.
    pub fn list(&mut self, kind: u16, message: &dyn Emitable) -> Result<Vec<Vec<u8>>, NetlinkError> {
        let mut tries = 1;
        loop {
            match self.exchange(kind, message, NLM_F_DUMP) {
                Err(NetlinkError::Interrupted) if tries < LIST_TRIES => tries += 1,
                answer => return answer,
            }
        }
    }

    fn exchange(&mut self, kind: u16, message: &dyn Emitable, flags: u16) -> Result<Vec<Vec<u8>>, NetlinkError> {
        self.sequence += 1;
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | flags;
        header.sequence_number = self.sequence;
        header.message_type = kind;
        let mut bytes = vec![0; HEADER_LENGTH + message.buffer_len()];
        header.length = bytes.len() as u32;
        header.emit(&mut bytes);
        message.emit(&mut bytes[HEADER_LENGTH..]);
        uninterrupted(|| self.socket.send(&bytes, 0))?;

        let mut answers = Vec::new();
        let mut interrupted = false;
        loop {
            self.received.clear();
            uninterrupted(|| self.socket.recv(&mut self.received, 0))?;
            let mut rest = &self.received[..];
            while !rest.is_empty() {
                let answer = NetlinkMessage::<Body>::deserialize(rest)?;
                let aligned = (answer.header.length as usize).next_multiple_of(4);
                rest = rest.get(aligned..).unwrap_or_default();
                // What is left of an earlier request that failed half way.
                if answer.header.sequence_number != self.sequence {
                    continue;
                }
                interrupted |= answer.header.flags & NLM_F_DUMP_INTR != 0;
                match answer.payload {
                    NetlinkPayload::InnerMessage(Body(bytes)) if answer.header.message_type == answer_to(kind) => {
                        answers.push(bytes);
                    }
                    NetlinkPayload::Error(error) if error.code.is_some() => return Err(refusal(&error)),
                    NetlinkPayload::Done(done) if done.code != 0 => {
                        return Err(NetlinkError::Refused {
                            errno: Errno::from_raw(done.code.saturating_neg()),
                            text: String::new(),
                        });
                    }
                    NetlinkPayload::Done(_) if interrupted => return Err(NetlinkError::Interrupted),
                    NetlinkPayload::Error(_) | NetlinkPayload::Done(_) => return Ok(answers),
                    _ => {
                        let other = answer.header.message_type;
                        return Err(NetlinkError::Unexpected(format!("kind {other} to a request of kind {kind}")));
                    }
                }
            }
        }
    }
}

/// What follows the header of an answer. It is not decoded into `RouteNetlinkMessage`: that would link the decoders of
/// every kind of link, tunnel and traffic class, 0.6 MiB, and an attribute that nobody asked for could fail.
struct Body(Vec<u8>);

impl NetlinkDeserializable for Body {
    type Error = DecodeError;

    fn deserialize(_: &NetlinkHeader, body: &[u8]) -> Result<Body, DecodeError> {
        Ok(Body(body.to_vec()))
    }
}

/// The kernel numbers the requests about each kind of object alike: NEW, DEL, GET, SET. It answers GET with NEW.
fn answer_to(request: u16) -> u16 {
    request & !3
}

/// The attributes of an answer, with their kinds, or of an attribute that nests others (`header` 0).
pub fn attributes<'a>(bytes: &'a [u8], header: usize) -> Result<Vec<(u16, &'a [u8])>, NetlinkError> {
    let attribute = |attribute: NlaBuffer<&'a [u8]>| {
        let (kind, length) = (attribute.kind(), attribute.value_length());
        (kind, &attribute.into_inner()[NLA_HEADER_SIZE..][..length])
    };
    let attributes = NlasIterator::new(bytes.get(header..).unwrap_or_default());
    Ok(attributes.map(|found| found.map(attribute)).collect::<Result<_, _>>()?)
}

fn uninterrupted(mut call: impl FnMut() -> std::io::Result<usize>) -> Result<usize, NetlinkError> {
    loop {
        match call() {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            other => return other.map_err(NetlinkError::Socket),
        }
    }
}

fn refusal(error: &ErrorMessage) -> NetlinkError {
    // Kernels before 4.12 cap nothing and add no attributes; what follows the header is then the request, which holds
    // no readable text.
    let attributes = error.header.get(HEADER_LENGTH..).unwrap_or_default();
    let text = NlasIterator::new(attributes)
        .flatten()
        .find(|attribute| attribute.kind() == ERROR_TEXT)
        .and_then(|attribute| String::from_utf8(attribute.value().to_vec()).ok())
        .map(|text| format!(": {}", text.trim_end_matches('\0')))
        .unwrap_or_default();
    NetlinkError::Refused { errno: Errno::from_raw(error.raw_code().saturating_neg()), text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_follow_the_header_and_must_be_whole() {
        let answer = [&[9; 8][..], &[6, 0, 3, 0, b'c', 0, 0, 0], &[8, 0, 18, 0x80, 4, 0, 7, 0]].concat();
        let expected: Vec<(u16, &[u8])> = vec![(3, b"c\0"), (18, &[4, 0, 7, 0])];
        assert_eq!(attributes(&answer, 8).unwrap(), expected);
        assert_eq!(attributes(expected[1].1, 0).unwrap(), vec![(7, &[][..])]);
        assert_eq!(attributes(&answer[..8], 8).unwrap(), vec![]);

        for length in [3, 9] {
            let broken = [length, 0, 3, 0, 1, 2, 3, 4];
            assert!(matches!(attributes(&broken, 0), Err(NetlinkError::Unexpected(_))), "{length}");
        }
    }
}
