//! The connections to the API: one of HTTP/2, or a few of HTTP/1.1.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::{http1, http2};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::sync::{Mutex, Semaphore, SemaphorePermit};
use tokio::time::timeout;

use super::access::Access;
use super::trouble::{Trouble, is_unprocessed, of_http2};
use crate::error::texts;
use crate::first_word::first_word;
use crate::way::{Stream, Way};

/// The time for connecting once.
const TIME: Duration = Duration::from_secs(5);

/// What a stream and a connection may have under way, so that a long listing is not one window a round trip.
const WINDOW: u32 = 4 << 20;

/// How long a connection of HTTP/2 may be silent under a request before it is asked whether it lives, and how long it may
/// take to say so.
const SILENCE: Duration = Duration::from_secs(5);

/// How many connections of HTTP/1.1 there may be.
const MOST_SINGLE: usize = 4;

/// What a request carries.
pub type Body = Full<Bytes>;

/// The connections that lead one way.
pub struct Lines {
    way: Way,
    /// The connection of HTTP/2, and its number.
    shared: RefCell<Option<(u64, http2::SendRequest<Body>)>>,
    opened: Cell<u64>,
    /// Connections of HTTP/1.1 that wait for a request.
    idle: RefCell<Vec<http1::SendRequest<Body>>>,
    /// Whether the server speaks HTTP/1.1 only.
    is_single: Cell<bool>,
    room: Semaphore,
    /// Held while a connection is made that may be shared.
    opening: Mutex<()>,
    /// Whether a connection broke under a request: then the server must talk before it is trusted.
    careful: Cell<bool>,
}

/// A connection for one request.
pub enum Line<'a> {
    /// One of HTTP/2, with its number.
    Shared(u64, http2::SendRequest<Body>),
    /// One of HTTP/1.1.
    Single {
        /// The connection.
        sender: http1::SendRequest<Body>,
        /// The room that it takes.
        _room: Option<SemaphorePermit<'a>>,
    },
}

/// Why a request has no answer.
pub struct Broken {
    /// Whether the server has certainly not processed it.
    pub is_unprocessed: bool,
    /// What came back.
    pub text: String,
}

impl Lines {
    /// No connections yet.
    pub fn new(way: Way) -> Lines {
        Lines {
            way,
            shared: RefCell::new(None),
            opened: Cell::new(0),
            idle: RefCell::new(Vec::new()),
            is_single: Cell::new(false),
            room: Semaphore::new(MOST_SINGLE),
            opening: Mutex::new(()),
            careful: Cell::new(false),
        }
    }

    /// A connection that is ready for a request: one that is there, or a new one.
    pub async fn line(&self, access: &Access) -> Result<Line<'_>, Trouble> {
        loop {
            if let Some(line) = self.shared() {
                return Ok(line);
            }
            if self.is_single.get() {
                let room = self.room.acquire().await.ok();
                return match self.rested().await {
                    Some(sender) => Ok(Line::Single { sender, _room: room }),
                    None => match self.open(access).await? {
                        Line::Single { sender, .. } => Ok(Line::Single { sender, _room: room }),
                        shared => Ok(shared),
                    },
                };
            }
            let _opening = self.opening.lock().await;
            // Another request may have opened it meanwhile, or learned that there is none to share.
            if self.shared().is_none() && !self.is_single.get() {
                return match self.open(access).await? {
                    Line::Single { sender, .. } => Ok(Line::Single { sender, _room: self.room.try_acquire().ok() }),
                    shared => Ok(shared),
                };
            }
        }
    }

    fn shared(&self) -> Option<Line<'_>> {
        let shared = self.shared.borrow();
        shared
            .as_ref()
            .filter(|(_, sender)| !sender.is_closed())
            .map(|(number, sender)| Line::Shared(*number, sender.clone()))
    }

    /// A connection that has had a request before.
    async fn rested(&self) -> Option<http1::SendRequest<Body>> {
        loop {
            let mut sender = self.idle.borrow_mut().pop()?;
            if sender.ready().await.is_ok() {
                return Some(sender);
            }
        }
    }

    async fn open(&self, access: &Access) -> Result<Line<'_>, Trouble> {
        let silent = |_| Trouble::passing(format!("no answer in {TIME:?}"), access);
        timeout(TIME, self.open_now(access)).await.unwrap_or_else(|late| Err(silent(late)))
    }

    async fn open_now(&self, access: &Access) -> Result<Line<'_>, Trouble> {
        let of_io = |error| Trouble::of_io(&error, access);
        let mut stream = self.way.open().await.map_err(of_io)?;
        if self.careful.replace(false) && stream.is_http2() {
            first_word(stream).await.map_err(of_io)?;
            stream = self.way.open().await.map_err(of_io)?;
        }
        let begun = if stream.is_http2() { self.begin_shared(stream).await } else { self.begin_single(stream).await };
        begun.map_err(|error| Trouble::passing(texts(&error), access))
    }

    async fn begin_shared(&self, stream: Box<dyn Stream>) -> Result<Line<'_>, hyper::Error> {
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder.timer(TokioTimer::new()).keep_alive_interval(SILENCE).keep_alive_timeout(SILENCE);
        builder.initial_stream_window_size(WINDOW).initial_connection_window_size(WINDOW);
        let (sender, connection) = builder.handshake(TokioIo::new(stream)).await?;
        // How it ends, its requests are told.
        tokio::spawn(async { drop(connection.await) });
        self.opened.set(self.opened.get() + 1);
        *self.shared.borrow_mut() = Some((self.opened.get(), sender.clone()));
        self.is_single.set(false);
        Ok(Line::Shared(self.opened.get(), sender))
    }

    async fn begin_single(&self, stream: Box<dyn Stream>) -> Result<Line<'_>, hyper::Error> {
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(async { drop(connection.await) });
        self.is_single.set(true);
        Ok(Line::Single { sender, _room: None })
    }

    /// Sends a request over a connection, and waits for the beginning of its answer.
    pub async fn send(&self, line: &mut Line<'_>, request: Request<Body>) -> Result<Response<Incoming>, Broken> {
        let sent = match line {
            Line::Shared(_, sender) => sender.try_send_request(request).await,
            Line::Single { sender, .. } => sender.try_send_request(request).await,
        };
        sent.map_err(|mut failed| {
            let is_unsent = failed.take_message().is_some();
            let broken = self.broken(line, failed.error());
            Broken { is_unprocessed: is_unsent || broken.is_unprocessed, ..broken }
        })
    }

    /// What it means that a request or its answer failed. Unless only that failed, its connection gets no other request.
    pub fn broken(&self, line: &Line<'_>, error: &hyper::Error) -> Broken {
        let http2 = of_http2(error);
        if let (Line::Shared(number, _), false) = (line, http2.is_some_and(h2::Error::is_reset)) {
            let mut shared = self.shared.borrow_mut();
            if shared.as_ref().is_some_and(|(current, _)| current == number) {
                *shared = None;
                self.careful.set(!http2.is_some_and(|error| error.is_go_away()));
            }
        }
        Broken { is_unprocessed: http2.is_some_and(is_unprocessed), text: texts(error) }
    }

    /// Gives a connection back whose answer is complete.
    pub fn rest(&self, line: Line<'_>) {
        if let Line::Single { sender, .. } = line {
            self.idle.borrow_mut().push(sender);
        }
    }
}
