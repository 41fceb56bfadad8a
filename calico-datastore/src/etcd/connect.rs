//! Making a connection: to the first of the members that takes part.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::Duration;

use etcd_client::{Channel, Client, ConnectOptions, Error as Failure, KvClient};
use hyper_util::rt::TokioIo;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::rustls::ClientConfig;
use tonic::transport::{Endpoint, Uri};
use tower::service_fn;

use super::settings::{Members, Settings};
use super::tls;
use super::trouble::{Kind, Subject, Trouble};
use crate::deadline::Deadline;
use crate::error::Error;
use crate::first_word::first_word;
use crate::way::Way;

/// The time for connecting, over all members, as upstream's.
pub const TIME: Duration = Duration::from_secs(10);

/// The time for connecting to one member.
const MEMBER_TIME: Duration = Duration::from_secs(5);

/// How long a member has the first word before the next one is tried beside it.
const HEAD_START: Duration = Duration::from_millis(250);

/// The most that is taken as one answer.
const MAX_ANSWER: usize = 256 << 20;

/// What a stream and a connection may have under way, so that a long listing is not one window a round trip.
const WINDOW: u32 = 4 << 20;

/// A connection to one member.
#[derive(Clone)]
pub struct Connection {
    /// Which member.
    pub member: usize,
    /// The connection.
    pub kv: KvClient,
}

/// What connections are made with.
pub struct Connector {
    members: Vec<Member>,
    user: Option<(String, String)>,
    /// The member to try first.
    first: Cell<usize>,
    /// What became of each of the members.
    attempts: RefCell<Vec<Attempts>>,
    /// Whether a connection has failed: then members must talk before they are trusted.
    careful: Cell<bool>,
    /// The files of the settings, for messages about certificates.
    files: String,
    /// Where the members are known from, for messages, unless they are listed.
    origin: String,
}

#[derive(Clone)]
struct Member {
    url: String,
    way: Way,
    endpoint: Endpoint,
}

/// What became of the attempts to connect to one member.
#[derive(Default)]
struct Attempts {
    count: usize,
    last: Option<Trouble>,
}

impl Connector {
    /// Checks the members' URLs and reads the certificates. `first` is the member to begin with.
    pub fn new(settings: &Settings, urls: &[String], first: usize) -> Result<Connector, Error> {
        let is_encrypted = |url: &String| url.starts_with("https://");
        let config = urls.iter().any(is_encrypted).then(|| tls::config(settings)).transpose()?;
        let of_url = |url: &String| member(url, config.clone().filter(|_| is_encrypted(url)));
        let members = urls.iter().map(of_url).collect::<Result<Vec<_>, _>>()?;
        let files = tls::files(settings);
        let origin = match &settings.members {
            Members::Listed(_) => String::new(),
            Members::OfDomain(domain) => format!(" (by the SRV records of {domain})"),
        };
        let attempts = RefCell::new(members.iter().map(|_| Attempts::default()).collect());
        let (first, user) = (Cell::new(first), settings.user.clone());
        Ok(Connector { members, user, first, attempts, careful: Cell::new(false), files, origin })
    }

    /// All members, for messages.
    pub fn name(&self) -> String {
        let urls: Vec<&str> = self.members.iter().map(|member| member.url.as_str()).collect();
        format!("etcd at {}{}", urls.join(", "), self.origin)
    }

    /// The address of a member.
    pub fn url(&self, member: usize) -> &str {
        &self.members[member].url
    }

    /// Whether there is another member to turn to.
    pub fn has_several(&self) -> bool {
        self.members.len() > 1
    }

    /// Tries another member first from now on, because of what happened with this one.
    pub fn avoid(&self, member: usize, trouble: Trouble) {
        self.first.set((member + 1) % self.members.len());
        if matches!(trouble.kind, Kind::Lost | Kind::Silent) {
            self.careful.set(true);
        }
        self.attempts.borrow_mut()[member].last = Some(trouble);
    }

    /// What became of each of the members; `None` where nothing went wrong.
    pub fn troubles(&self, connected: Option<usize>) -> Option<String> {
        let attempts = self.attempts.borrow();
        attempts.iter().any(|attempts| attempts.last.is_some()).then(|| self.describe(&attempts, connected))
    }

    fn describe(&self, attempts: &[Attempts], connected: Option<usize>) -> String {
        let each = self.members.iter().zip(attempts).enumerate().map(|(number, (member, attempts))| {
            let text = match &attempts.last {
                _ if connected == Some(number) => "connected",
                Some(trouble) => &trouble.text,
                None if attempts.count == 0 => "not tried",
                None => "no answer",
            };
            match self.has_several() {
                true => format!("{}: {text} (attempts: {})", member.url, attempts.count),
                false => format!("{text} (attempts: {})", attempts.count),
            }
        });
        each.collect::<Vec<_>>().join("; ")
    }

    /// Connects to one of the members, trying again those that may come back, until the deadline or for [`TIME`].
    pub async fn connect(&self, deadline: Deadline) -> Result<Connection, Error> {
        let deadline = deadline.at_most(TIME);
        match deadline.bound(self.try_until_hopeless()).await {
            Some(Some(connection)) => Ok(connection),
            Some(None) => Err(self.not_connected("")),
            None => Err(self.not_connected(&format!("; gave up after {:.1?}", deadline.limit))),
        }
    }

    /// The first connection; `None` once no member is worth another attempt.
    async fn try_until_hopeless(&self) -> Option<Connection> {
        let mut pause = Duration::from_millis(50);
        loop {
            if let Some(connection) = self.try_each().await {
                return Some(connection);
            }
            let is_refusal = |attempts: &Attempts| matches!(&attempts.last, Some(last) if last.kind == Kind::Refused);
            if self.attempts.borrow().iter().all(is_refusal) {
                return None;
            }
            sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(1));
        }
    }

    /// Tries each member once: the next one as soon as the one before has failed or used up its head start.
    async fn try_each(&self) -> Option<Connection> {
        let count = self.members.len();
        let mut order = (0..count).map(|n| (self.first.get() + n) % count);
        let mut running = JoinSet::new();
        loop {
            let started = order.next();
            if let Some(member) = started {
                self.attempts.borrow_mut()[member].count += 1;
                let (server, user, careful) = (self.members[member].clone(), self.user.clone(), self.careful.get());
                running.spawn(async move { (member, connect(server, user, careful).await) });
            } else if running.is_empty() {
                return None;
            }
            let ended = match started {
                Some(_) => timeout(HEAD_START, running.join_next()).await.ok().flatten(),
                None => running.join_next().await,
            };
            match ended {
                Some(Ok((member, Ok(kv)))) => return Some(Connection { member, kv }),
                Some(Ok((member, Err(trouble)))) => self.attempts.borrow_mut()[member].last = Some(trouble),
                // A task that was cancelled or panicked, or nothing yet.
                Some(Err(_)) | None => {}
            }
        }
    }

    fn not_connected(&self, end: &str) -> Error {
        let attempts = self.attempts.borrow();
        let store = self.name();
        let worst = attempts.iter().filter_map(|attempts| attempts.last.as_ref()).max_by_key(|last| last.subject);
        let used = match worst {
            Some(Trouble { subject: Subject::Certificates, .. }) => format!("; used: {}", self.files),
            _ => String::new(),
        };
        let reason = format!("{}{end}{used}", self.describe(&attempts, None));
        match worst {
            Some(Trouble { subject: Subject::Permission | Subject::Certificates, advice, .. }) => {
                Error::Forbidden { doing: "connect to", store, reason, advice: (*advice).into() }
            }
            Some(Trouble { advice, .. }) => {
                Error::Unreachable { doing: "connect to", store, reason, advice: (*advice).into() }
            }
            None => {
                let advice = "check etcd_endpoints (or the SRV records), and that this host reaches them";
                Error::Unreachable { doing: "connect to", store, reason, advice: advice.into() }
            }
        }
    }
}

/// Connects to one member, and authenticates.
async fn connect(member: Member, user: Option<(String, String)>, careful: bool) -> Result<KvClient, Trouble> {
    let work = async {
        if careful {
            hear(&member.way).await?;
        }
        let mut stream = Some(member.way.open().await.map_err(|error| Trouble::of_io(&error))?);
        // One connection: what becomes of a request that finds it broken is decided elsewhere.
        let once = service_fn(move |_: Uri| {
            std::future::ready(stream.take().map(TokioIo::new).ok_or(std::io::Error::other("the connection has ended")))
        });
        let channel =
            member.endpoint.connect_with_connector(once).await.map_err(|error| Trouble::of_connect(&error))?;
        let client = match user {
            None => Client::from_channel(Channel::Tonic(channel), None).await,
            Some((name, password)) => {
                let options = ConnectOptions::new().with_user(name, password).with_auto_token_refresh(true);
                match Client::from_channel(Channel::Tonic(channel.clone()), Some(options)).await {
                    Err(Failure::GRpcStatus(status)) if status.message().contains("authentication is not enabled") => {
                        Client::from_channel(Channel::Tonic(channel), None).await
                    }
                    client => client,
                }
            }
        };
        match client.map_err(|failure| Trouble::of(&failure)) {
            Ok(client) => Ok(client.kv_client().max_decoding_message_size(MAX_ANSWER)),
            Err(lost) if lost.kind == Kind::Lost => hear(&member.way).await.and(Err(lost)),
            Err(trouble) => Err(trouble),
        }
    };
    timeout(MEMBER_TIME, work).await.unwrap_or_else(|_| Err(Trouble::silence(MEMBER_TIME)))
}

/// Whether a member talks to us; if not, why.
async fn hear(way: &Way) -> Result<(), Trouble> {
    let stream = way.open().await.map_err(|error| Trouble::of_io(&error))?;
    first_word(stream).await.map_err(|error| match way.is_encrypted() {
        true => Trouble::of_io(&error),
        // A server that expects TLS does not answer, and says nothing.
        false => Trouble::not_plain(&error),
    })
}

fn member(url: &str, tls: Option<Arc<ClientConfig>>) -> Result<Member, Error> {
    let unusable = |reason: String| Error::Invalid {
        store: format!("etcd at {url}"),
        reason,
        advice: "correct etcd_endpoints: URLs such as https://10.0.0.1:2379, separated by commas".into(),
    };
    let uri: Uri = url.parse().map_err(|error| unusable(format!("not a URL: {error}")))?;
    let way = Way::to(&uri, tls).map_err(unusable)?;
    let endpoint = Endpoint::from(uri)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .http2_keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(10));
    Ok(Member { url: url.to_owned(), way, endpoint })
}
