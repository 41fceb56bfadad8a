//! Health and measurements over HTTP. On a thread of its own: it answers also when the loop hangs, and then says so.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use calico_plugin::Log;
use calico_plugin::log::Value;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::LocalSet;
use tokio::time::{sleep, timeout};

use crate::clock::{Clock, SystemClock};
use crate::metrics;
use crate::status::Shared;

/// The most connections at a time; further ones wait.
const CONNECTIONS: usize = 16;

/// The time for a request to be sent, and for all of a connection.
const HEADER_TIME: Duration = Duration::from_secs(5);
const CONNECTION_TIME: Duration = Duration::from_secs(10);

/// The most bytes of a request.
const REQUEST: usize = 16 << 10;

/// The pause before the address is tried again: it may be that of the pod that this one replaces.
const PAUSE: Duration = Duration::from_secs(5);

/// Serves in the background, as long as the process lives.
pub fn start(address: SocketAddr, status: Shared, clock: SystemClock, log: fn() -> Log) {
    std::thread::spawn(move || {
        let log = log();
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => {
                return log.warning("no health and no metrics: cannot start", &[("error", Value::Plain(&error))]);
            }
        };
        LocalSet::new().block_on(&runtime, serve(address, status, clock, &log));
    });
}

async fn serve(address: SocketAddr, status: Shared, clock: SystemClock, log: &Log) {
    let mut is_told = false;
    let listener = loop {
        match TcpListener::bind(address).await {
            Ok(listener) => break listener,
            Err(error) if !is_told => {
                is_told = true;
                log.warning(
                    "no health and no metrics yet: HEALTH_ADDRESS cannot be used. Set another one, or leave it empty; trying again",
                    &[("address", Value::Plain(&address)), ("error", Value::Plain(&error))],
                );
            }
            Err(_) => {}
        }
        sleep(PAUSE).await;
    };
    log.info("serving health and metrics", &[("address", Value::Plain(&address))]);
    let free = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(permit) = free.clone().acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(_) => {
                // Out of files, say: it would fail at once again.
                sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let status = status.clone();
        tokio::task::spawn_local(async move {
            let service = service_fn(move |request| {
                let response = respond(&request, &status, clock.now().monotonic);
                async { Ok::<_, Infallible>(response) }
            });
            let mut connection = http1::Builder::new();
            connection.timer(TokioTimer::new()).header_read_timeout(HEADER_TIME);
            // A client may close its side when it has asked.
            connection.half_close(true).keep_alive(false).max_buf_size(REQUEST);
            let _ = timeout(CONNECTION_TIME, connection.serve_connection(TokioIo::new(stream), service)).await;
            drop(permit);
        });
    }
}

fn respond(request: &Request<Incoming>, status: &Shared, now: Duration) -> Response<Full<Bytes>> {
    let status = status.lock();
    let code = |is_good: bool| if is_good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let (code, text) = match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/healthz") => {
            let (is_good, text) = status.health(now);
            (code(is_good), text)
        }
        (&Method::GET | &Method::HEAD, "/readyz") => {
            let (is_good, text) = status.readiness();
            (code(is_good), text)
        }
        (&Method::GET | &Method::HEAD, "/metrics") => (StatusCode::OK, metrics::text(&status)),
        (&Method::GET | &Method::HEAD, _) => {
            (StatusCode::NOT_FOUND, "there are /healthz, /readyz and /metrics\n".to_owned())
        }
        _ => (StatusCode::METHOD_NOT_ALLOWED, "only GET\n".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = code;
    let plain = hyper::header::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(hyper::header::CONTENT_TYPE, plain);
    response
}
