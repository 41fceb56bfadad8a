//! Making a connection: to the first of the members that takes part.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use etcd_client::{Certificate, Channel, Client, ConnectOptions, Error as Failure, Identity, KvClient, TlsOptions};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tonic::transport::{Endpoint, Uri};

use super::settings::Settings;
use super::trouble::{Kind, Trouble};
use crate::deadline::Deadline;
use crate::error::Error;

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
}

struct Member {
    url: String,
    endpoint: Endpoint,
}

/// What became of the attempts to connect to one member.
#[derive(Default)]
struct Attempts {
    count: usize,
    last: Option<Trouble>,
}

impl Connector {
    /// Checks the settings and reads the certificates.
    pub fn new(settings: &Settings) -> Result<Connector, Error> {
        let tls = match settings.endpoints.iter().any(|url| url.starts_with("https://")) {
            true => Some(tls(settings)?),
            false => None,
        };
        let members = settings.endpoints.iter().map(|url| member(url, tls.clone())).collect::<Result<Vec<_>, _>>()?;
        // The calls of all hosts spread over the members.
        let first = std::process::id() as usize % members.len().max(1);
        Ok(Connector { members, user: settings.user.clone(), first: Cell::new(first) })
    }

    /// All members, for messages.
    pub fn name(&self) -> String {
        let urls: Vec<&str> = self.members.iter().map(|member| member.url.as_str()).collect();
        format!("etcd at {}", urls.join(", "))
    }

    /// The address of a member.
    pub fn url(&self, member: usize) -> &str {
        &self.members[member].url
    }

    /// Whether there is another member to turn to.
    pub fn has_several(&self) -> bool {
        self.members.len() > 1
    }

    /// Tries another member first from now on.
    pub fn avoid(&self, member: usize) {
        self.first.set((member + 1) % self.members.len());
    }

    /// Connects to one of the members, trying again those that may come back, until the deadline or for [`TIME`].
    pub async fn connect(&self, deadline: Deadline) -> Result<Connection, Error> {
        let started = Instant::now();
        let attempts: RefCell<Vec<Attempts>> = RefCell::new(self.members.iter().map(|_| Attempts::default()).collect());
        match deadline.at_most(TIME).bound(self.try_until_hopeless(&attempts)).await {
            Some(Some(connection)) => Ok(connection),
            Some(None) | None => Err(self.not_connected(&attempts.into_inner(), started.elapsed())),
        }
    }

    /// The first connection; `None` once no member is worth another attempt.
    async fn try_until_hopeless(&self, attempts: &RefCell<Vec<Attempts>>) -> Option<Connection> {
        let mut pause = Duration::from_millis(50);
        loop {
            if let Some(connection) = self.try_each(attempts).await {
                return Some(connection);
            }
            let is_refusal = |attempts: &Attempts| matches!(&attempts.last, Some(last) if last.kind == Kind::Refused);
            if attempts.borrow().iter().all(is_refusal) {
                return None;
            }
            sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(1));
        }
    }

    /// Tries each member once: the next one as soon as the one before has failed or used up its head start.
    async fn try_each(&self, attempts: &RefCell<Vec<Attempts>>) -> Option<Connection> {
        let count = self.members.len();
        let mut order = (0..count).map(|n| (self.first.get() + n) % count);
        let mut running = JoinSet::new();
        loop {
            let started = order.next();
            if let Some(member) = started {
                attempts.borrow_mut()[member].count += 1;
                let (endpoint, user) = (self.members[member].endpoint.clone(), self.user.clone());
                running.spawn(async move { (member, connect(endpoint, user).await) });
            } else if running.is_empty() {
                return None;
            }
            let ended = match started {
                Some(_) => timeout(HEAD_START, running.join_next()).await.ok().flatten(),
                None => running.join_next().await,
            };
            match ended {
                Some(Ok((member, Ok(kv)))) => return Some(Connection { member, kv }),
                Some(Ok((member, Err(trouble)))) => attempts.borrow_mut()[member].last = Some(trouble),
                // A task that was cancelled or panicked, or nothing yet.
                Some(Err(_)) | None => {}
            }
        }
    }

    fn not_connected(&self, attempts: &[Attempts], elapsed: Duration) -> Error {
        let each = self.members.iter().zip(attempts).map(|(member, attempts)| {
            let text = attempts.last.as_ref().map_or("no answer", |trouble| trouble.text.as_str());
            match self.has_several() {
                true => format!("{}: {text} (attempts: {})", member.url, attempts.count),
                false => format!("{text} (attempts: {})", attempts.count),
            }
        });
        let reason = format!("{}; gave up after {elapsed:.1?}", each.collect::<Vec<_>>().join("; "));
        let store = self.name();
        let last = attempts.iter().filter_map(|attempts| attempts.last.as_ref());
        match last.max_by_key(|trouble| trouble.forbidden) {
            Some(Trouble { forbidden: true, advice, .. }) => {
                Error::Forbidden { doing: "connect to", store, reason, advice }
            }
            Some(Trouble { advice, .. }) => Error::Unreachable { doing: "connect to", store, reason, advice },
            None => {
                let advice = "check etcd_endpoints, and that this host reaches them";
                Error::Unreachable { doing: "connect to", store, reason, advice }
            }
        }
    }
}

/// Connects to one member, and authenticates.
async fn connect(endpoint: Endpoint, user: Option<(String, String)>) -> Result<KvClient, Trouble> {
    let work = async {
        let channel = endpoint.connect().await.map_err(|error| Trouble::of_connect(&error))?;
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
        let client = client.map_err(|failure| Trouble::of(&failure))?;
        Ok(client.kv_client().max_decoding_message_size(MAX_ANSWER))
    };
    timeout(MEMBER_TIME, work).await.unwrap_or_else(|_| Err(Trouble::silence(MEMBER_TIME)))
}

fn member(url: &str, tls: Option<TlsOptions>) -> Result<Member, Error> {
    let unusable = |reason: String| Error::Invalid {
        store: format!("etcd at {url}"),
        reason,
        advice: "correct etcd_endpoints (such as https://10.0.0.1:2379), or set etcd_ca_cert_file",
    };
    let uri: Uri = url.parse().map_err(|error| unusable(format!("not a URL: {error}")))?;
    let host = uri.host().map(|host| host.trim_matches(['[', ']']).to_owned());
    let host = host.filter(|host| !host.is_empty()).ok_or_else(|| unusable("no host in it".to_owned()))?;
    let mut endpoint = Endpoint::from(uri)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .http2_keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(10));
    if let Some(tls) = tls.filter(|_| url.starts_with("https://")) {
        let configured = endpoint.tls_config(tls.domain_name(host));
        endpoint = configured.map_err(|error| unusable(Trouble::of_connect(&error).text))?;
    }
    Ok(Member { url: url.to_owned(), endpoint })
}

/// Without a CA of its own, a cluster's certificates must be signed by one the host trusts.
fn tls(settings: &Settings) -> Result<TlsOptions, Error> {
    let mut options = TlsOptions::new().timeout(MEMBER_TIME);
    options = match &settings.ca_file {
        Some(path) => options.ca_certificate(Certificate::from_pem(read("etcd_ca_cert_file", path, "CERTIFICATE")?)),
        None => options.with_native_roots(),
    };
    if let (Some(cert), Some(key)) = (&settings.cert_file, &settings.key_file) {
        let cert = read("etcd_cert_file", cert, "CERTIFICATE")?;
        options = options.identity(Identity::from_pem(cert, read("etcd_key_file", key, "PRIVATE KEY")?));
    }
    Ok(options)
}

fn read(setting: &str, path: &std::path::Path, content: &str) -> Result<Vec<u8>, Error> {
    let unusable = |reason: String| Error::Invalid {
        store: "etcd".to_owned(),
        reason: format!("{setting} {}: {reason}", path.display()),
        advice: "give the path of a PEM file that this process can read",
    };
    let text = std::fs::read(path).map_err(|error| unusable(error.to_string()))?;
    match String::from_utf8_lossy(&text).contains(&format!("{content}-----")) {
        true => Ok(text),
        false => Err(unusable(format!("there is no {content} in it"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(settings: Settings) -> String {
        Connector::new(&settings).err().expect("the settings are unusable").to_string()
    }

    #[test]
    fn files_are_read_before_anything_is_tried() {
        let https = Settings { endpoints: vec!["https://127.0.0.1:2379".to_owned()], ..Settings::default() };
        let missing = error(Settings { ca_file: Some("/nowhere/ca.pem".into()), ..https.clone() });
        assert!(missing.contains("etcd_ca_cert_file /nowhere/ca.pem: No such file"), "{missing}");
        let other = error(Settings { ca_file: Some("/proc/self/cmdline".into()), ..https.clone() });
        assert!(other.contains("/proc/self/cmdline: there is no CERTIFICATE in it"), "{other}");
        let plain = Settings { endpoints: vec!["http://[::1]:2379".to_owned()], ca_file: Some("/x".into()), ..https };
        assert!(Connector::new(&plain).is_ok(), "nothing is encrypted, so no file matters");
    }
}
