//! The client of the Kubernetes API: what is sent, what is sent again, and what a failure means.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{ACCEPT, CONTENT_TYPE, HOST, RETRY_AFTER, USER_AGENT};
use hyper::{Response, StatusCode};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

use super::access;
use super::call::{Call, Failure, Method, Reply};
use super::lines::{Body, Broken, Line};
use super::refusal;
use super::session::Session;
use super::settings::Settings;
use super::trouble::Trouble;
use crate::deadline::Deadline;
use crate::error::Error;

/// The time for connecting at first, and for a write to find a connection.
const TIME: Duration = Duration::from_secs(10);

/// The pause before a request is sent again, at first and at last.
const PAUSE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// The most that is taken as one answer, in bytes.
const MAX_ANSWER: usize = 256 << 20;

/// A connection to the API.
pub struct Client {
    settings: Settings,
    session: RefCell<Rc<Session>>,
    /// Held while the credentials are read anew.
    renewing: Mutex<()>,
    /// What went wrong last, until something goes well.
    trouble: RefCell<Option<Trouble>>,
}

/// What became of one attempt.
enum Attempt {
    /// An answer, and how long the server wants to be left alone.
    Answered(Reply, Option<Duration>),
    /// There is no connection.
    Unconnected(Trouble),
    /// The connection or the answer broke.
    Broken(Broken),
    /// The answer is longer than any that is expected.
    TooLong,
}

impl Client {
    /// Reads the settings, gets the credentials and connects.
    ///
    /// # Errors
    /// Settings that cannot be used, or a server that is not connected within ten seconds or by the deadline, whichever
    /// is first.
    pub async fn connect(settings: &Settings, deadline: Deadline) -> Result<Client, Error> {
        let name = || "the Kubernetes API".to_owned();
        let what = || (name(), "issue credentials".to_owned());
        let session = deadline.within(what, Session::begin(settings, None)).await?;
        let client = Client {
            settings: settings.clone(),
            session: RefCell::new(Rc::new(session)),
            renewing: Mutex::new(()),
            trouble: RefCell::new(None),
        };
        let deadline = deadline.at_most(TIME);
        match deadline.bound(client.reach()).await {
            Some(reached) => reached?,
            None => {
                let last = client.trouble.borrow_mut().take();
                let last = last.unwrap_or_else(|| Trouble::passing("no answer".to_owned(), &client.session().access));
                let text = format!("{}; gave up after {:.1?}", last.text, deadline.limit);
                return Err(client.unreached(Trouble { text, ..last }));
            }
        }
        Ok(client)
    }

    /// Tries until there is a connection, or none to be hoped for.
    async fn reach(&self) -> Result<(), Error> {
        let session = self.session();
        let mut pause = PAUSE.0;
        loop {
            match session.lines.line(&session.access).await {
                Ok(line) => {
                    session.lines.rest(line);
                    *self.trouble.borrow_mut() = None;
                    return Ok(());
                }
                Err(trouble) if trouble.is_final => return Err(self.unreached(trouble)),
                Err(trouble) => self.note(trouble),
            }
            sleep(pause).await;
            pause = (pause * 2).min(PAUSE.1);
        }
    }

    fn session(&self) -> Rc<Session> {
        self.session.borrow().clone()
    }

    fn note(&self, trouble: Trouble) {
        *self.trouble.borrow_mut() = Some(trouble);
    }

    fn unreached(&self, trouble: Trouble) -> Error {
        let (doing, store, reason, advice) = ("connect to", self.plain_name(), trouble.text, trouble.advice.into());
        match trouble.is_final {
            true => Error::Forbidden { doing, store, reason, advice },
            false => Error::Unreachable { doing, store, reason, advice },
        }
    }

    /// Whether these settings lead to the same server by the same credentials.
    pub fn serves(&self, settings: &Settings) -> bool {
        let same =
            || access::resolve(settings, &access::surroundings()).is_ok_and(|other| other == self.session().access);
        *settings == self.settings || same()
    }

    /// Which API this is, for messages, and what is wrong with it.
    pub fn name(&self) -> String {
        match &*self.trouble.borrow() {
            Some(trouble) => format!("{} ({})", self.plain_name(), trouble.text),
            None => self.plain_name(),
        }
    }

    fn plain_name(&self) -> String {
        let server = self.session().access.server.to_string();
        format!("the Kubernetes API at {}", server.trim_end_matches('/'))
    }

    /// Sends a request, and sends it again for as long as that may help: a read always, a write when it was certainly not
    /// processed.
    pub async fn send(&self, call: &Call) -> Result<Reply, Failure> {
        let begun = Instant::now();
        let mut pause = PAUSE.0;
        let mut renewed = false;
        loop {
            let session = self.session();
            let mut wait = None;
            match attempt(&session, call).await {
                Attempt::Answered(reply, wanted) => match reply.status {
                    401 if !renewed => {
                        renewed = true;
                        self.renew(&session).await?;
                        continue;
                    }
                    401 => {
                        let Session { access, issued, .. } = &*session;
                        let error = refusal::unauthorized(self.plain_name(), call, access, issued, &reply.body);
                        return Err(Failure::Refused(401, error));
                    }
                    403 => {
                        let error = refusal::forbidden(self.plain_name(), call, &session.access, &reply.body);
                        return Err(Failure::Refused(403, error));
                    }
                    400 if is_for_tls(&reply) => {
                        let trouble = Trouble {
                            is_final: false,
                            text: refusal::message(&reply.body),
                            advice: format!("write https:// in {}", session.access.server_setting),
                        };
                        return Err(self.unreached(trouble).into());
                    }
                    status @ (429 | 500 | 502..=504) => {
                        let text = format!("{status} {}", refusal::message(&reply.body));
                        self.note(Trouble::passing(text.clone(), &session.access));
                        // Others may have been processed in part.
                        let is_unprocessed = status == 429 || status == 503 && wanted.is_some();
                        if !call.is_read() && !is_unprocessed {
                            return Err(Failure::Lost(format!("{}: {text}", self.plain_name())));
                        }
                        wait = wanted;
                    }
                    _ => {
                        *self.trouble.borrow_mut() = None;
                        return Ok(reply);
                    }
                },
                Attempt::Unconnected(trouble) => {
                    if trouble.is_final || !call.is_read() && begun.elapsed() >= TIME {
                        return Err(self.unreached(trouble).into());
                    }
                    self.note(trouble);
                }
                Attempt::Broken(broken) => {
                    self.note(Trouble::passing(broken.text.clone(), &session.access));
                    if !call.is_read() && !broken.is_unprocessed {
                        let text = format!("the answer of {} was lost: {}", self.plain_name(), broken.text);
                        return Err(Failure::Lost(text));
                    }
                }
                Attempt::TooLong => {
                    let reason = format!("its answer is longer than {} MiB", MAX_ANSWER >> 20);
                    return Err(match call.is_read() {
                        true => {
                            Error::Invalid { store: self.plain_name(), reason, advice: "is it an API server?".into() }
                                .into()
                        }
                        false => Failure::Lost(format!("{}: {reason}", self.plain_name())),
                    });
                }
            }
            sleep(wait.unwrap_or(pause)).await;
            pause = (pause * 2).min(PAUSE.1);
        }
    }

    /// Reads the settings again, because the server did not accept the credentials of a session. Once for all requests
    /// that found that.
    async fn renew(&self, refused: &Rc<Session>) -> Result<(), Error> {
        let _renewing = self.renewing.lock().await;
        if Rc::ptr_eq(refused, &self.session()) {
            let session = Session::begin(&self.settings, Some(refused)).await?;
            *self.session.borrow_mut() = Rc::new(session);
        }
        Ok(())
    }
}

async fn attempt(session: &Session, call: &Call) -> Attempt {
    let mut line = match session.lines.line(&session.access).await {
        Ok(line) => line,
        Err(trouble) => return Attempt::Unconnected(trouble),
    };
    let request = match request(session, call, matches!(line, Line::Shared(..))) {
        Ok(request) => request,
        Err(error) => {
            let text = format!("{}: {error}", call.path);
            return Attempt::Unconnected(Trouble { is_final: true, ..Trouble::passing(text, &session.access) });
        }
    };
    let mut response = match session.lines.send(&mut line, request).await {
        Ok(response) => response,
        Err(broken) => return Attempt::Broken(broken),
    };
    let mut body = Vec::new();
    while let Some(frame) = response.body_mut().frame().await {
        match frame.map(|frame| frame.into_data()) {
            Ok(Ok(data)) if body.len() + data.len() > MAX_ANSWER => return Attempt::TooLong,
            Ok(Ok(data)) => body.extend_from_slice(&data),
            // Trailers.
            Ok(Err(_)) => {}
            // Words for people; a server that expects TLS says them and hangs up.
            Err(_) if response.status() == StatusCode::BAD_REQUEST => break,
            // The server has begun to answer: it did process the request.
            Err(error) => {
                return Attempt::Broken(Broken { is_unprocessed: false, ..session.lines.broken(&line, &error) });
            }
        }
    }
    session.lines.rest(line);
    let wait = retry_after(&response);
    Attempt::Answered(Reply { status: response.status().as_u16(), body }, wait)
}

fn request(session: &Session, call: &Call, is_http2: bool) -> Result<hyper::Request<Body>, hyper::http::Error> {
    let server = &session.access.server;
    let authority = server.authority().map_or("", |authority| authority.as_str());
    let path = format!("{}{}", server.path().trim_end_matches('/'), call.path);
    let (method, content_type) = match call.method {
        Method::Get => (hyper::Method::GET, None),
        Method::Post => (hyper::Method::POST, Some("application/json")),
        Method::Put => (hyper::Method::PUT, Some("application/json")),
        Method::Patch => (hyper::Method::PATCH, Some("application/strategic-merge-patch+json")),
        Method::Delete => (hyper::Method::DELETE, Some("application/json")),
    };
    let mut request = hyper::Request::builder().method(method);
    request = match is_http2 {
        true => request.uri(format!("https://{authority}{path}")),
        false => request.uri(path).header(HOST, authority),
    };
    request = request.header(ACCEPT, "application/json");
    request = request.header(USER_AGENT, concat!("calico-cni/", env!("CARGO_PKG_VERSION")));
    if let Some(authorization) = &session.authorization {
        request = request.header(hyper::header::AUTHORIZATION, authorization);
    }
    if let Some(content_type) = content_type {
        request = request.header(CONTENT_TYPE, content_type);
    }
    request.body(Full::from(call.body.clone().unwrap_or_default()))
}

/// How long the server wants to be left alone.
fn retry_after(response: &Response<Incoming>) -> Option<Duration> {
    let is_known = matches!(response.status(), StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
    let value = response.headers().get(RETRY_AFTER).filter(|_| is_known)?;
    value.to_str().ok()?.parse().ok().map(Duration::from_secs)
}

/// What Go's servers say when they expect TLS.
fn is_for_tls(reply: &Reply) -> bool {
    reply.body.starts_with(b"Client sent an HTTP request to an HTTPS server")
}
