//! The gateway's own connection to the API server.

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http2::{self, SendRequest};
use hyper::http::request;
use hyper::{Request, Response, Uri};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::sync::Mutex;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::control_plane::{Way, Wire};

/// One connection for all requests, made anew where it broke.
pub(crate) struct Upstream {
    way: Way,
    server: ServerName<'static>,
    tls: TlsConnector,
    connection: Mutex<Option<(SendRequest<Full<Bytes>>, Wire)>>,
}

impl Upstream {
    /// No connection yet. `tls` must speak of HTTP/2.
    pub(crate) fn new(way: Way, server: ServerName<'static>, tls: TlsConnector) -> Upstream {
        Upstream { way, server, tls, connection: Mutex::new(None) }
    }

    /// Has the server carry out a request.
    pub(super) async fn forward(&self, parts: &request::Parts, body: Bytes) -> Result<Response<Bytes>, String> {
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        let uri: Uri = format!("https://kubernetes{path}").parse().map_err(|e| format!("{path}: {e}"))?;
        let mut request = Request::builder().method(&parts.method).uri(uri);
        for (name, value) in &parts.headers {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(body)).map_err(|e| e.to_string())?;
        let mut sender = self.sender().await?;
        let response = sender.send_request(request).await.map_err(|e| e.to_string())?;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.map_err(|e| e.to_string())?.to_bytes();
        Ok(Response::from_parts(parts, body))
    }

    async fn sender(&self) -> Result<SendRequest<Full<Bytes>>, String> {
        let mut connection = self.connection.lock().await;
        if let Some((sender, _)) = connection.as_ref().filter(|(sender, _)| !sender.is_closed()) {
            return Ok(sender.clone());
        }
        let (stream, wire) = self.way.open();
        let stream = self.tls.connect(self.server.clone(), stream).await.map_err(|e| e.to_string())?;
        let made = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
        let (sender, driver) = made.map_err(|e| e.to_string())?;
        tokio::spawn(async move {
            // Whoever waits for an answer is told.
            let _ = driver.await;
        });
        *connection = Some((sender.clone(), wire));
        Ok(sender)
    }
}
