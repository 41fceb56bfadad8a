//! A name server: `dns ADDRESS BEHAVIOUR [RECORD...]`, on port 53 by UDP and TCP. `e2e::Behaviour` says what it does to
//! questions for SRV records; to others it answers by its records, unless it is silent. They are
//! `SRV NAME PRIORITY WEIGHT PORT TARGET`, `A NAME ADDRESS` and `CNAME NAME TARGET`.
//!
//! Prints `listening`, then `udp TYPE NAME` or `tcp TYPE NAME` for every question.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::process::ExitCode;
use std::sync::Arc;

use e2e::Behaviour;

const A: u16 = 1;
const CNAME: u16 = 5;
const SRV: u16 = 33;

const QUERY: u16 = 0x0100;
const RESPONSE: u16 = 0x8580;
const TRUNCATED: u16 = 0x0200;
const SERVFAIL: u16 = 2;
const NXDOMAIN: u16 = 3;
const REFUSED: u16 = 5;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, behaviour, records @ ..] = arguments.as_slice() else {
        eprintln!("usage: dns ADDRESS BEHAVIOUR [RECORD...]");
        return ExitCode::from(2);
    };
    let Some(behaviour) = Behaviour::parse(behaviour) else {
        eprintln!("no such behaviour: {behaviour}");
        return ExitCode::from(2);
    };
    let Some(records) = records.iter().map(|text| Record::parse(text)).collect::<Option<Vec<_>>>() else {
        eprintln!("not all of these are records: {}", records.join(", "));
        return ExitCode::from(2);
    };
    let Err(error) = serve(address, Zone { behaviour, records });
    eprintln!("{error}");
    ExitCode::FAILURE
}

fn serve(address: &str, zone: Zone) -> io::Result<std::convert::Infallible> {
    let datagrams = UdpSocket::bind((address, 53))?;
    let listener = TcpListener::bind((address, 53))?;
    report("listening");
    let zone = Arc::new(zone);
    let shared = Arc::clone(&zone);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A client that goes away is no trouble.
            let _ = converse(stream, &shared);
        }
    });
    let mut buffer = [0; 4096];
    loop {
        let (length, client) = datagrams.recv_from(&mut buffer)?;
        let Some(question) = Question::parse(&buffer[..length]) else { continue };
        report(&format!("udp {question}"));
        for message in zone.messages(&question, false) {
            datagrams.send_to(&message, client)?;
        }
    }
}

fn converse(mut stream: TcpStream, zone: &Zone) -> io::Result<()> {
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut bytes = vec![0; u16::from_be_bytes(length).into()];
    stream.read_exact(&mut bytes)?;
    let Some(question) = Question::parse(&bytes) else { return Ok(()) };
    report(&format!("tcp {question}"));
    for message in zone.messages(&question, true) {
        let length = u16::try_from(message.len()).expect("answers are short");
        stream.write_all(&[&length.to_be_bytes(), message.as_slice()].concat())?;
    }
    Ok(())
}

fn report(line: &str) {
    let mut stdout = io::stdout().lock();
    // Who does not read it is gone.
    let _ = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
}

/// What the server knows, and what it does with that.
struct Zone {
    behaviour: Behaviour,
    records: Vec<Record>,
}

/// One record: its name in lower case, its type, and its data as in a message.
struct Record {
    name: String,
    kind: u16,
    data: Vec<u8>,
    /// The name that an alias stands for.
    target: String,
}

impl Record {
    fn parse(text: &str) -> Option<Record> {
        let words: Vec<&str> = text.split(' ').collect();
        let (name, kind, data, target) = match words.as_slice() {
            ["A", name, address] => (name, A, address.parse::<Ipv4Addr>().ok()?.octets().to_vec(), ""),
            ["CNAME", name, target] => (name, CNAME, labels(target), *target),
            ["SRV", name, numbers @ .., target] if numbers.len() == 3 => {
                let numbers = numbers.iter().map(|number| number.parse::<u16>().ok());
                let numbers = numbers.collect::<Option<Vec<_>>>()?;
                let bytes = numbers.into_iter().flat_map(u16::to_be_bytes);
                (name, SRV, bytes.chain(labels(target)).collect(), *target)
            }
            _ => return None,
        };
        Some(Record { name: name.to_lowercase(), kind, data, target: target.to_lowercase() })
    }
}

/// A name as in a message.
fn labels(name: &str) -> Vec<u8> {
    let parts = name.split('.').filter(|label| !label.is_empty());
    let length = |label: &str| u8::try_from(label.len()).expect("labels are short");
    parts.flat_map(|label| [&[length(label)], label.as_bytes()].concat()).chain([0]).collect()
}

/// A question, and the message that it came in.
struct Question {
    id: u16,
    name: String,
    kind: u16,
    bytes: Vec<u8>,
}

impl std::fmt::Display for Question {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.kind {
            SRV => write!(f, "SRV {}", self.name),
            A => write!(f, "A {}", self.name),
            other => write!(f, "{other} {}", self.name),
        }
    }
}

impl Question {
    fn parse(message: &[u8]) -> Option<Question> {
        let (header, rest) = message.split_at_checked(12)?;
        let (mut left, mut name) = (rest, Vec::new());
        while let Some((&length, after)) = left.split_first() {
            let (label, after) = after.split_at_checked(length.into())?;
            left = after;
            match label {
                [] => break,
                label => name.push(String::from_utf8(label.to_ascii_lowercase()).ok()?),
            }
        }
        let kind = u16::from_be_bytes([*left.first()?, *left.get(1)?]);
        let bytes = rest[..rest.len() - left.get(4..)?.len()].to_vec();
        Some(Question { id: u16::from_be_bytes([header[0], header[1]]), name: name.join("."), kind, bytes })
    }

    /// A message with this question in it.
    fn message(&self, id: u16, flags: u16, answers: &[&Record]) -> Vec<u8> {
        let count = u16::try_from(answers.len()).expect("answers are few");
        let mut message: Vec<u8> = [id, flags, 1, count, 0, 0].into_iter().flat_map(u16::to_be_bytes).collect();
        message.extend(&self.bytes);
        for record in answers {
            match record.name == self.name {
                // The name of the question, once more.
                true => message.extend([0xc0, 12]),
                false => message.extend(labels(&record.name)),
            }
            let length = u16::try_from(record.data.len()).expect("data are short");
            message.extend([record.kind, 1, 0, 60, length].into_iter().flat_map(u16::to_be_bytes));
            message.extend(&record.data);
        }
        message
    }
}

impl Zone {
    /// What is sent in answer to a question.
    fn messages(&self, question: &Question, by_tcp: bool) -> Vec<Vec<u8>> {
        let failure = |code: u16| vec![question.message(question.id, RESPONSE | code, &[])];
        let garbage = b"\xff\xfe this is no message".to_vec();
        match self.behaviour {
            Behaviour::Silent => Vec::new(),
            _ if question.kind != SRV => vec![self.right(question)],
            Behaviour::Truncating if !by_tcp => {
                vec![question.message(question.id, RESPONSE | TRUNCATED, &[])]
            }
            Behaviour::Right | Behaviour::Truncating => vec![self.right(question)],
            Behaviour::NxDomain => failure(NXDOMAIN),
            Behaviour::ServFail => failure(SERVFAIL),
            Behaviour::Refusing => failure(REFUSED),
            Behaviour::Garbled => vec![garbage],
            Behaviour::Lying => {
                let mut other = Question::parse(&question.message(question.id, QUERY, &[])).expect("a question");
                other.bytes[1] ^= 1;
                vec![
                    garbage,
                    question.message(!question.id, RESPONSE | NXDOMAIN, &[]),
                    question.message(question.id, QUERY | NXDOMAIN, &[]),
                    other.message(question.id, RESPONSE | NXDOMAIN, &[]),
                    self.right(question)[..20].to_vec(),
                    self.right(question),
                ]
            }
        }
    }

    fn right(&self, question: &Question) -> Vec<u8> {
        let mut name = question.name.as_str();
        let mut answers = Vec::new();
        while let Some(alias) = self.records.iter().find(|record| record.name == name && record.kind == CNAME) {
            answers.push(alias);
            name = &alias.target;
        }
        let known = self.records.iter().any(|record| record.name == name);
        answers.extend(self.records.iter().filter(|record| record.name == name && record.kind == question.kind));
        question.message(question.id, if known { RESPONSE } else { RESPONSE | NXDOMAIN }, &answers)
    }
}
