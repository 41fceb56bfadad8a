//! An endpoint before the API server that sees every request and makes faults. It ends TLS: clients trust an authority of its
//! own, and it forwards what they say who they are.

mod connection;
mod rule;
mod upstream;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;

use tokio::net::UnixListener;
use tokio::sync::{Notify, oneshot};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::daemon::Daemon;
use crate::host::Host;
use crate::lan::SERVERS;
use crate::tls::{Authority, Identity};
use crate::wait::until;

pub use rule::{Act, Rule};
pub(crate) use upstream::Upstream;

/// A request that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The HTTP method.
    pub method: String,
    /// The path with its query.
    pub path: String,
    /// What the server answered, whether or not the client got it; `None` if it was not asked, or not yet.
    pub status: Option<u16>,
}

/// A running gateway. It ends when the value is dropped.
pub struct Gateway<'h> {
    shared: Arc<Shared>,
    endpoint: String,
    authority: PathBuf,
    // Before the thread that serves what it forwards.
    _forward: Daemon,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    _host: std::marker::PhantomData<&'h Host>,
}

/// What the gateway's thread and the test's share.
struct Shared {
    state: Mutex<State>,
    release: Notify,
    /// A request has come.
    came: Notify,
    upstream: Upstream,
}

#[derive(Default)]
struct State {
    rules: Vec<Rule>,
    asked: Vec<Asked>,
    /// Which request is held.
    held: Option<usize>,
    /// How many requests have come when each of the waves is complete.
    waves: Vec<usize>,
    connections: usize,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Takes note of a request, and answers its number and what happens to it.
    fn see(&self, method: &str, path: &str) -> (usize, Option<Act>) {
        let mut state = self.state();
        let number = state.asked.len();
        state.asked.push(Asked { method: method.to_owned(), path: path.to_owned(), status: None });
        // Every rule counts.
        let acts: Vec<Act> = state.rules.iter_mut().filter_map(|rule| rule.see(method, path)).collect();
        let act = acts.into_iter().next();
        if matches!(act, Some(Act::Hold)) {
            state.held = Some(number);
        }
        self.came.notify_waiters();
        (number, act)
    }

    /// Waits until the wave that a request belongs to is complete.
    async fn wave_of(&self, number: usize) {
        loop {
            let mut came = std::pin::pin!(self.came.notified());
            came.as_mut().enable();
            if self.has_all_of_the_wave_of(number) {
                return;
            }
            came.await;
        }
    }

    fn has_all_of_the_wave_of(&self, number: usize) -> bool {
        let state = self.state();
        let end = state.waves.iter().copied().find(|&end| number < end);
        end.is_none_or(|end| state.asked.len() >= end)
    }

    fn answered(&self, number: usize, status: u16) {
        // The rules may have been changed meanwhile, and the list emptied.
        if let Some(asked) = self.state().asked.get_mut(number) {
            asked.status = Some(status);
        }
    }
}

impl<'h> Gateway<'h> {
    /// Starts one on the servers' host. `program` is this crate's executable `forward`; files go to `folder`, named `name`.
    pub(crate) fn start(host: &'h Host, program: &Path, folder: &Path, name: &str, upstream: Upstream) -> Gateway<'h> {
        let authority = Authority::new(folder, &format!("{name}-authority"));
        let identity = authority.issue(name, "kube-apiserver", &[SERVERS[0]], false);
        let acceptor = TlsAcceptor::from(Arc::new(tls(&identity)));
        let socket = folder.join(format!("{name}.sock"));
        let shared =
            Arc::new(Shared { state: Mutex::default(), release: Notify::new(), came: Notify::new(), upstream });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let listener = {
            let _inside = runtime.enter();
            UnixListener::bind(&socket).unwrap_or_else(|e| panic!("{}: {e}", socket.display()))
        };
        let (end, ended) = oneshot::channel::<()>();
        let for_thread = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = accept(for_thread, listener, acceptor) => {}
                    _ = ended => {}
                }
            });
            // What is under way ends with the runtime.
            runtime.shutdown_background();
        });
        let arguments = [format!("{}:0", SERVERS[0]), socket.to_string_lossy().into_owned()];
        let mut forward = Daemon::start(host, folder.join(format!("{name}.log")), program, &arguments);
        forward.wait_for("listening ");
        let address = forward.log().lines().find_map(|line| Some(line.strip_prefix("listening ")?.to_owned()));
        Gateway {
            shared,
            endpoint: format!("https://{}", address.expect("the line is complete")),
            authority: identity.authority,
            _forward: forward,
            end: Some(end),
            thread: Some(thread),
            _host: std::marker::PhantomData,
        }
    }

    /// No request is answered before all of its wave have come: so many first, then so many, and so on. A client that waits for an
    /// answer in between gets none.
    pub fn expect_waves(&self, waves: &[usize]) {
        let ends = waves.iter().scan(0, |sum, count| {
            *sum += count;
            Some(*sum)
        });
        *self.shared.state() = State { waves: ends.collect(), ..State::default() };
    }

    /// Its URL.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The file with the certificate of the authority that its own is of.
    pub fn authority(&self) -> &Path {
        &self.authority
    }

    /// Makes these faults from now on, and forgets what was asked for before.
    pub fn set(&self, rules: impl IntoIterator<Item = Rule>) {
        let mut state = self.shared.state();
        *state = State { rules: rules.into_iter().collect(), ..State::default() };
    }

    /// What was asked for, in the order in which it came.
    pub fn asked(&self) -> Vec<Asked> {
        self.shared.state().asked.clone()
    }

    /// How many connections were made.
    pub fn connections(&self) -> usize {
        self.shared.state().connections
    }

    /// Whether a request is held.
    pub fn holds(&self) -> bool {
        self.shared.state().held.is_some()
    }

    /// Waits until a request is held.
    #[track_caller]
    pub fn wait_until_held(&self) {
        until("a request is held", || self.holds());
    }

    /// Lets the held request go to the server, and waits until that has answered.
    #[track_caller]
    pub fn release(&self) -> Asked {
        let number = self.shared.state().held.expect("a request is held");
        self.shared.release.notify_one();
        until("the held request is answered", || self.shared.state().asked[number].status.is_some());
        self.shared.state().asked[number].clone()
    }
}

impl Drop for Gateway<'_> {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn accept(shared: Arc<Shared>, listener: UnixListener, acceptor: TlsAcceptor) {
    while let Ok((stream, _)) = listener.accept().await {
        shared.state().connections += 1;
        tokio::spawn(connection::serve(Arc::clone(&shared), stream, acceptor.clone()));
    }
}

fn tls(identity: &Identity) -> ServerConfig {
    let read = CertificateDer::pem_file_iter(&identity.certificate).and_then(Iterator::collect);
    let certificates: Vec<CertificateDer<'static>> = read.expect("the file was just written");
    let key = PrivateKeyDer::from_pem_file(&identity.key).expect("the file was just written");
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(certificates, key);
    let mut config = config.expect("the key belongs to the certificate");
    config.alpn_protocols = vec![b"h2".to_vec()];
    config
}
