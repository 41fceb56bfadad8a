//! One connection of a client.

use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};

use h2::Reason;
use http_body_util::BodyExt;
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::header::CONTENT_LENGTH;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy, duplex, split};
use tokio::net::UnixStream;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use super::Shared;
use super::rule::Act;
use crate::http2::Pieces;

/// How a connection ends before its client wants it to.
enum End {
    /// With these last bytes.
    Now(Vec<u8>),
    /// When content of a stream's answer has been sent.
    AfterContentOf(u32),
}

/// The side of the connection that its requests know.
struct Handle {
    shared: Arc<Shared>,
    end: UnboundedSender<End>,
    shut_down: watch::Sender<bool>,
    requests: AtomicU32,
}

/// Serves a connection to its end.
pub(super) async fn serve(shared: Arc<Shared>, stream: UnixStream, acceptor: TlsAcceptor) {
    let Ok(stream) = acceptor.accept(stream).await else { return };
    let (mut from_client, to_client) = split(stream);
    // What the server says passes a stage at which every frame is seen.
    let (inner, outer) = duplex(1 << 20);
    let (from_server, mut to_server) = split(outer);
    let (end, ends) = unbounded_channel();
    let (shut_down, mut wanted) = watch::channel(false);
    let handle = Arc::new(Handle { shared, end, shut_down, requests: AtomicU32::new(0) });
    let service = service_fn(move |request| {
        // Not ended with the connection: a request may land after its client is gone.
        let answering = tokio::spawn(answer(Arc::clone(&handle), request));
        async move { answering.await.unwrap_or_else(|_| Err(Reason::INTERNAL_ERROR.into())) }
    });
    let connection = http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(inner), service);
    let serving = async {
        let mut connection = std::pin::pin!(connection);
        tokio::select! {
            served = connection.as_mut() => { let _ = served; return }
            _ = wanted.wait_for(|wanted| *wanted) => connection.as_mut().graceful_shutdown(),
        }
        let _ = connection.await;
    };
    let speaking = speak(from_server, to_client, ends);
    let hearing = async {
        let _ = copy(&mut from_client, &mut to_server).await;
    };
    tokio::pin!(speaking);
    tokio::select! {
        // What it has said last is still to be sent.
        () = serving => { let _ = speaking.await; }
        _ = &mut speaking => {}
        () = hearing => {}
    }
}

/// Sends what the server says to the client, until the connection shall end.
async fn speak(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut ends: UnboundedReceiver<End>,
) -> io::Result<()> {
    let (mut pieces, mut chunk, mut last) = (Pieces::of_server(), vec![0; 1 << 16], None);
    loop {
        tokio::select! {
            biased;
            Some(end) = ends.recv() => match end {
                End::Now(words) => {
                    to.write_all(&words).await?;
                    return to.flush().await;
                }
                End::AfterContentOf(stream) => last = Some(stream),
            },
            length = from.read(&mut chunk) => {
                let length = length?;
                if length == 0 {
                    return to.shutdown().await;
                }
                pieces.push(&chunk[..length]);
                for piece in pieces.by_ref() {
                    to.write_all(&piece.bytes).await?;
                    if piece.data && last == Some(piece.stream) {
                        return to.flush().await;
                    }
                }
                to.flush().await?;
            }
        }
    }
}

async fn answer(handle: Arc<Handle>, request: Request<Incoming>) -> Result<Response<Content>, h2::Error> {
    let stream = handle.requests.fetch_add(1, Ordering::SeqCst) * 2 + 1;
    let (parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    // A held one counts when all of it is here: its client may be killed then.
    let body = body.collect().await.map_err(|_| Reason::CANCEL)?.to_bytes();
    let (number, act) = handle.shared.see(parts.method.as_str(), &path);
    handle.shared.wave_of(number).await;
    match &act {
        Some(Act::Answer { is_carried_out: false, status, headers, body }) => return Ok(given(*status, headers, body)),
        Some(Act::Drop) => return end(&handle, Vec::new()).await,
        Some(Act::Refuse) => return Err(Reason::REFUSED_STREAM.into()),
        Some(Act::GoAwayBefore) => return end(&handle, goaway(stream.saturating_sub(2))).await,
        _ => {}
    }
    if matches!(act, Some(Act::Hold)) {
        handle.shared.release.notified().await;
    }
    let response = handle.shared.upstream.forward(&parts, body).await;
    let response = response.map_err(|reason| {
        eprintln!("gateway: {} {path}: {reason}", parts.method);
        Reason::INTERNAL_ERROR
    })?;
    handle.shared.answered(number, response.status().as_u16());
    let (mut head, body) = response.into_parts();
    match act {
        Some(Act::Answer { status, headers, body, .. }) => return Ok(given(status, &headers, &body)),
        Some(Act::Cut) => return end(&handle, Vec::new()).await,
        Some(Act::GoAwayAfter) => return end(&handle, goaway(stream)).await,
        Some(Act::GoAway) => {
            let _ = handle.shut_down.send(true);
        }
        Some(Act::Delay(time)) => tokio::time::sleep(time).await,
        Some(Act::Truncate) => {
            head.headers.remove(CONTENT_LENGTH);
            return Ok(Response::from_parts(head, Content::whole(body.slice(..body.len() / 2))));
        }
        Some(Act::CutBody) => {
            let _ = handle.end.send(End::AfterContentOf(stream));
            let content = Content { is_endless: true, ..Content::whole(body.slice(..body.len() / 2)) };
            return Ok(Response::from_parts(head, content));
        }
        _ => {}
    }
    Ok(Response::from_parts(head, Content::whole(body)))
}

/// The answer of a rule.
fn given(status: u16, headers: &[(&'static str, String)], body: &str) -> Response<Content> {
    let mut response = Response::builder().status(status).header("content-type", "application/json");
    for (name, value) in headers {
        response = response.header(*name, value);
    }
    response.body(Content::whole(body.to_owned().into())).expect("a rule has headers that can be sent")
}

/// Ends the connection; there is no answer.
async fn end(handle: &Handle, words: Vec<u8>) -> Result<Response<Content>, h2::Error> {
    let _ = handle.end.send(End::Now(words));
    pending().await
}

/// A GOAWAY frame (RFC 9113, section 6.8): streams after `last` were not processed.
fn goaway(last: u32) -> Vec<u8> {
    [&[0, 0, 8, 7, 0, 0, 0, 0, 0], &last.to_be_bytes()[..], &0_u32.to_be_bytes()[..]].concat()
}

/// The content of an answer.
struct Content {
    data: Option<Bytes>,
    /// Whether more would be to come, and never does.
    is_endless: bool,
}

impl Content {
    fn whole(data: Bytes) -> Content {
        Content { data: Some(data), is_endless: false }
    }
}

impl Body for Content {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.data.take() {
            Some(data) => Poll::Ready(Some(Ok(Frame::data(data)))),
            None if self.is_endless => Poll::Pending,
            None => Poll::Ready(None),
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}
