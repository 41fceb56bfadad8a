//! A name server of a test's own.

use std::path::Path;

use crate::daemon::Daemon;
use crate::host::Host;

/// What a [`NameServer`] does to questions for SRV records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// It answers by its records.
    Right,
    /// It says nothing, to no question at all.
    Silent,
    /// By UDP it says that the answer is too long.
    Truncating,
    /// It knows no name.
    NxDomain,
    /// It fails.
    ServFail,
    /// It does not serve this client.
    Refusing,
    /// It sends what is no answer to the question (noise, another number, another name, a question, half an answer),
    /// and then the answer.
    Lying,
    /// It sends noise only.
    Garbled,
}

impl Behaviour {
    const ALL: [(&'static str, Behaviour); 8] = [
        ("right", Behaviour::Right),
        ("silent", Behaviour::Silent),
        ("truncating", Behaviour::Truncating),
        ("nxdomain", Behaviour::NxDomain),
        ("servfail", Behaviour::ServFail),
        ("refusing", Behaviour::Refusing),
        ("lying", Behaviour::Lying),
        ("garbled", Behaviour::Garbled),
    ];

    /// As an argument of the executable `dns`.
    fn name(self) -> &'static str {
        Behaviour::ALL.iter().find(|(_, behaviour)| *behaviour == self).expect("all are listed").0
    }

    /// The behaviour with this name.
    pub fn parse(name: &str) -> Option<Behaviour> {
        Behaviour::ALL.iter().find(|(known, _)| *known == name).map(|(_, behaviour)| *behaviour)
    }
}

/// A running name server. It ends when the value is dropped.
pub struct NameServer<'h> {
    process: Daemon,
    // The host waits for what runs on it, so that it must be dropped later.
    _host: std::marker::PhantomData<&'h Host>,
}

impl<'h> NameServer<'h> {
    /// Starts one on a host at this address. `program` is this crate's executable `dns`, whose head says what records
    /// are.
    pub fn start(
        host: &'h Host,
        program: &Path,
        address: &str,
        behaviour: Behaviour,
        records: &[&str],
    ) -> NameServer<'h> {
        let mut arguments = vec![address.to_owned(), behaviour.name().to_owned()];
        arguments.extend(records.iter().map(|&record| record.to_owned()));
        let mut process = Daemon::start(host, host.folder().join(format!("dns-{address}")), program, &arguments);
        process.wait_for("listening\n");
        NameServer { process, _host: std::marker::PhantomData }
    }

    /// The questions it has had, as `udp SRV _etcd-client._tcp.example.org`.
    pub fn questions(&self) -> Vec<String> {
        self.process.log().lines().skip(1).map(str::to_owned).collect()
    }
}
