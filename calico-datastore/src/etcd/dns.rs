//! One question for SRV records (RFC 1035, RFC 2782), put to one name server.
//!
//! A static executable has no other way to such records than its own message: the C library knows addresses only.

use std::cell::Cell;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use domain::base::iana::{Class, Opcode, Rcode};
use domain::base::{Message, MessageBuilder, Name, ParsedName, Rtype};
use domain::rdata::Srv;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

/// The most that a datagram of name servers has in it; without EDNS, which we do not offer, it is 512.
const DATAGRAM: usize = 4096;

/// One SRV record.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Record {
    /// Those with the lowest number are tried first.
    pub priority: u16,
    /// The host, without a dot at the end; empty where the record says that there is no service.
    pub target: String,
    /// The port on that host.
    pub port: u16,
    /// Its share in those that begin with it, among equal priorities.
    pub weight: u16,
}

/// What a name server knows of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Its SRV records, at least one.
    Records(Vec<Record>),
    /// It has no SRV records.
    NoRecords,
    /// There is no such name.
    NoName,
}

/// What a message says that is an answer to the question.
#[derive(Debug, PartialEq, Eq)]
enum Reply {
    Answer(Answer),
    /// The rest does not fit into a datagram.
    Truncated,
    /// The server does not know, or will not say.
    Failed(Rcode),
}

/// A question for the SRV records of one name.
pub struct Question {
    id: u16,
    name: Name<Vec<u8>>,
}

impl Question {
    /// The question, with a number that others cannot guess. The error says why there is none.
    pub fn new(name: &str) -> Result<Question, String> {
        let name = Name::from_str(name).map_err(|error| format!("{name} cannot be asked for: {error}"))?;
        let id = getrandom::u32().map_err(|error| format!("no random numbers: {error}"))?;
        Ok(Question { id: (id & 0xffff) as u16, name })
    }

    /// Asks a server: by UDP, and by TCP where that does not take the answer. The error says what the server did
    /// instead of answering, in words that continue its name.
    pub async fn ask(&self, server: SocketAddr, patience: Duration) -> Result<Answer, String> {
        let ignored = Cell::new(0_usize);
        let reply = match timeout(patience, self.exchange(server, &ignored)).await {
            Ok(reply) => reply.map_err(|error| format!("is not reached: {error}"))?,
            Err(_) => {
                let besides = match ignored.get() {
                    0 => String::new(),
                    count => format!(" (messages from there that are no answer to it: {count})"),
                };
                return Err(format!("has not answered in {patience:.1?}{besides}"));
            }
        };
        match reply {
            Reply::Answer(answer) => Ok(answer),
            Reply::Truncated => Err("says by TCP, too, that its answer is too long".to_owned()),
            Reply::Failed(Rcode::SERVFAIL) => Err("says SERVFAIL: it could not find out".to_owned()),
            Reply::Failed(Rcode::REFUSED) => {
                Err("says REFUSED: it does not answer this host, or not for this name".to_owned())
            }
            Reply::Failed(other) => Err(format!("says {other}")),
        }
    }

    async fn exchange(&self, server: SocketAddr, ignored: &Cell<usize>) -> io::Result<Reply> {
        match self.by_udp(server, ignored).await? {
            Reply::Truncated => {
                let by_tcp = self.by_tcp(server, ignored).await;
                by_tcp.map_err(|error| io::Error::new(error.kind(), format!("by TCP, for its answer is long: {error}")))
            }
            reply => Ok(reply),
        }
    }

    async fn by_udp(&self, server: SocketAddr, ignored: &Cell<usize>) -> io::Result<Reply> {
        // The kernel picks the port, and lets nobody through but the server.
        let local: SocketAddr = match server {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = UdpSocket::bind(local).await?;
        socket.connect(server).await?;
        socket.send(&self.message()?).await?;
        let mut buffer = vec![0; DATAGRAM];
        loop {
            let length = socket.recv(&mut buffer).await?;
            match self.reply(&buffer[..length]) {
                Some(reply) => return Ok(reply),
                None => ignored.set(ignored.get() + 1),
            }
        }
    }

    async fn by_tcp(&self, server: SocketAddr, ignored: &Cell<usize>) -> io::Result<Reply> {
        let mut stream = TcpStream::connect(server).await?;
        let message = self.message()?;
        // A question is one name: some 300 bytes at most.
        let mut framed = (message.len() as u16).to_be_bytes().to_vec();
        framed.extend(message);
        stream.write_all(&framed).await?;
        loop {
            let mut answer = vec![0; stream.read_u16().await?.into()];
            stream.read_exact(&mut answer).await?;
            match self.reply(&answer) {
                Some(reply) => return Ok(reply),
                None => ignored.set(ignored.get() + 1),
            }
        }
    }

    fn message(&self) -> io::Result<Vec<u8>> {
        let mut builder = MessageBuilder::new_vec();
        builder.header_mut().set_id(self.id);
        builder.header_mut().set_rd(true);
        let mut builder = builder.question();
        builder.push((&self.name, Rtype::SRV)).map_err(io::Error::other)?;
        Ok(builder.finish())
    }

    /// What a message says; `None` for one that is no answer to this question, or cannot be read: somebody else may
    /// have sent it, and the answer may still come.
    fn reply(&self, bytes: &[u8]) -> Option<Reply> {
        let message = Message::from_octets(bytes).ok()?;
        let header = message.header();
        let asked = message.sole_question().ok()?;
        let is_ours = header.id() == self.id
            && header.qr()
            && header.opcode() == Opcode::QUERY
            && asked.qname() == &self.name
            && (asked.qtype(), asked.qclass()) == (Rtype::SRV, Class::IN);
        if !is_ours {
            return None;
        }
        match header.rcode() {
            Rcode::NXDOMAIN => return Some(Reply::Answer(Answer::NoName)),
            Rcode::NOERROR => {}
            failure => return Some(Reply::Failed(failure)),
        }
        if header.tc() {
            return Some(Reply::Truncated);
        }
        // The name may be another's alias: then the records are that one's.
        let found = message.answer().ok()?.limit_to_in::<Srv<ParsedName<_>>>();
        let records = found.map(|record| {
            let data = record.ok()?.into_data();
            let target = if data.target().is_root() { String::new() } else { data.target().to_string() };
            Some(Record { priority: data.priority(), weight: data.weight(), port: data.port(), target })
        });
        let records = records.collect::<Option<Vec<_>>>()?;
        Some(Reply::Answer(if records.is_empty() { Answer::NoRecords } else { Answer::Records(records) }))
    }
}

#[cfg(test)]
mod tests {
    use domain::base::message_builder::AnswerBuilder;
    use domain::base::{Ttl, UnknownRecordData};
    use domain::rdata::Cname;

    use super::*;

    const NAME: &str = "_etcd-client._tcp.example.org.";

    fn question() -> Question {
        Question { id: 0x1234, name: NAME.parse().unwrap() }
    }

    fn name(text: &str) -> Name<Vec<u8>> {
        text.parse().unwrap()
    }

    /// An answer to a question for `asked`, with SRV records.
    fn answer(asked: &str, fill: impl FnOnce(&mut AnswerBuilder<Vec<u8>>)) -> Vec<u8> {
        let mut builder = MessageBuilder::new_vec();
        builder.header_mut().set_id(0x1234);
        builder.header_mut().set_qr(true);
        let mut builder = builder.question();
        builder.push((name(asked), Rtype::SRV)).unwrap();
        let mut builder = builder.answer();
        fill(&mut builder);
        builder.finish()
    }

    fn srv(builder: &mut AnswerBuilder<Vec<u8>>, owner: &str, target: &str) {
        builder.push((name(owner), Ttl::from_secs(60), Srv::new(10, 20, 2379, name(target)))).unwrap();
    }

    fn good() -> Vec<u8> {
        answer(NAME, |builder| {
            srv(builder, NAME, "a.example.org.");
            srv(builder, NAME, "B.example.org.");
        })
    }

    fn record(target: &str) -> Record {
        Record { priority: 10, weight: 20, port: 2379, target: target.to_owned() }
    }

    fn records(reply: Option<Reply>) -> Vec<Record> {
        match reply {
            Some(Reply::Answer(Answer::Records(records))) => records,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn records_are_read() {
        assert_eq!(records(question().reply(&good())), [record("a.example.org"), record("B.example.org")]);
        let root = answer(NAME, |builder| srv(builder, NAME, "."));
        assert_eq!(records(question().reply(&root)), [record("")]);
    }

    #[test]
    fn names_are_compared_without_case() {
        let shouted = answer("_ETCD-client._TCP.Example.org.", |builder| srv(builder, NAME, "a."));
        assert_eq!(records(question().reply(&shouted)), [record("a")]);
    }

    #[test]
    fn an_alias_and_other_types_are_no_trouble() {
        let aliased = answer(NAME, |builder| {
            builder.push((name(NAME), Ttl::from_secs(60), Cname::new(name("etcd.example.net.")))).unwrap();
            let other = UnknownRecordData::from_octets(Rtype::from_int(65280), [1, 2, 3]).unwrap();
            builder.push((name("etcd.example.net."), Ttl::from_secs(60), other)).unwrap();
            srv(builder, "etcd.example.net.", "a.example.net.");
        });
        assert_eq!(records(question().reply(&aliased)), [record("a.example.net")]);
        let alone = answer(NAME, |builder| {
            builder.push((name(NAME), Ttl::from_secs(60), Cname::new(name("etcd.example.net.")))).unwrap();
        });
        assert_eq!(question().reply(&alone), Some(Reply::Answer(Answer::NoRecords)));
    }

    #[test]
    fn refusals_are_told_apart() {
        let with = |rcode: Rcode| {
            let bytes = answer(NAME, |builder| builder.header_mut().set_rcode(rcode));
            question().reply(&bytes)
        };
        assert_eq!(with(Rcode::NOERROR), Some(Reply::Answer(Answer::NoRecords)));
        assert_eq!(with(Rcode::NXDOMAIN), Some(Reply::Answer(Answer::NoName)));
        for failure in [Rcode::SERVFAIL, Rcode::REFUSED, Rcode::NOTIMP, Rcode::FORMERR] {
            assert_eq!(with(failure), Some(Reply::Failed(failure)));
        }
    }

    #[test]
    fn a_truncated_answer_is_no_answer() {
        let cut = |rcode: Rcode| {
            answer(NAME, |builder| {
                srv(builder, NAME, "a.example.org.");
                builder.header_mut().set_tc(true);
                builder.header_mut().set_rcode(rcode);
            })
        };
        assert_eq!(question().reply(&cut(Rcode::NOERROR)), Some(Reply::Truncated));
        assert_eq!(question().reply(&cut(Rcode::NXDOMAIN)), Some(Reply::Answer(Answer::NoName)));
    }

    #[test]
    fn what_answers_another_question_is_ignored() {
        let changed = |index: usize, byte: u8| {
            let mut bytes = good();
            bytes[index] = byte;
            question().reply(&bytes)
        };
        assert_eq!(changed(1, 0x35), None, "another number");
        assert_eq!(changed(2, 0x01), None, "a question");
        assert_eq!(changed(2, 0xa0), None, "another operation");
        assert_eq!(changed(5, 0), None, "no question in it");
        let asked = 12 + NAME.len() + 1;
        assert_eq!(changed(asked + 1, 1), None, "another type");
        assert_eq!(changed(asked + 3, 3), None, "another class");
        let other = answer("_etcd-client._tcp.example.com.", |builder| srv(builder, NAME, "a.example.org."));
        assert_eq!(question().reply(&other), None, "another name");
    }

    #[test]
    fn what_cannot_be_read_is_ignored() {
        let whole = good();
        for length in 0..whole.len() {
            assert_eq!(question().reply(&whole[..length]), None, "the first {length} bytes");
        }
        // A target that points at itself.
        let mut looped = answer(NAME, |builder| srv(builder, NAME, "a.example.org."));
        let target = looped.len() - 15;
        looped[target..target + 2].copy_from_slice(&[0xc0, target as u8]);
        assert_eq!(question().reply(&looped), None);
    }

    /// Whatever bytes come, they are read or ignored.
    #[test]
    fn random_bytes_are_no_trouble() {
        let seed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().subsec_nanos();
        eprintln!("seed {seed}");
        let mut state = u64::from(seed);
        let mut random = |below: usize| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) as usize % below
        };
        let whole = good();
        for _ in 0..200_000 {
            let mut bytes = whole.clone();
            for _ in 0..=random(4) {
                let index = random(bytes.len());
                bytes[index] = random(256) as u8;
            }
            bytes.truncate(1 + random(bytes.len() * 2));
            question().reply(&bytes);
            let noise: Vec<u8> = (0..random(64)).map(|_| random(256) as u8).collect();
            question().reply(&noise);
        }
    }

    #[test]
    fn what_is_sent_is_one_question() {
        let bytes = question().message().unwrap();
        let message = Message::from_octets(bytes.as_slice()).unwrap();
        assert!(message.header().rd() && !message.header().qr());
        let asked = message.sole_question().unwrap();
        assert_eq!(
            (asked.qname().to_string(), asked.qtype()),
            ("_etcd-client._tcp.example.org".to_owned(), Rtype::SRV)
        );
        assert_eq!(bytes.len(), 12 + NAME.len() + 1 + 4);
        assert!(Question::new(&format!("{}.", "a".repeat(64))).is_err());
    }
}
