//! A client of the API server, for tests that look at objects and change them: as administrator, or as anybody else.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::control_plane::door::{Way, Wire};
use crate::host::Host;
use crate::tls::Identity;

/// How long an answer may take; on a busy machine that is long.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a client shows to say who it is.
pub(crate) enum Credentials<'c> {
    /// The certificate of its identity.
    Certificate,
    /// A token.
    Token(&'c str),
}

/// A connection of the test's own process to the API server, kept and made anew where it broke. Paths are those of the
/// API, such as `/api/v1/nodes/node-1`.
pub struct Client {
    way: Way,
    server: ServerName<'static>,
    tls: TlsConnector,
    token: Option<String>,
    runtime: Runtime,
    connection: Mutex<Option<Connection>>,
}

struct Connection {
    sender: SendRequest<Full<Bytes>>,
    wire: Wire,
}

/// An answer of the API server that is no success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status, such as 404.
    pub code: u16,
    /// The reason in one word, such as `NotFound`; empty where none is given.
    pub reason: String,
    /// The reason in words.
    pub message: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.code, self.reason, self.message)
    }
}

impl Client {
    pub(crate) fn new(
        host: &Host,
        address: &str,
        port: u16,
        identity: &Identity,
        credentials: &Credentials<'_>,
    ) -> Client {
        let way = Way::new(host, address, port);
        let server = ServerName::try_from(address.to_owned()).expect("an address");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let token = match credentials {
            Credentials::Certificate => None,
            Credentials::Token(token) => Some((*token).to_owned()),
        };
        let tls = TlsConnector::from(Arc::new(tls(identity, token.is_none())));
        Client { way, server, tls, token, runtime, connection: Mutex::new(None) }
    }

    /// Reads an object.
    pub fn get(&self, path: &str) -> Result<Value, Refusal> {
        self.send(Method::GET, path, "", None)
    }

    /// Reads all objects of a collection. A label selector and the like go into the path.
    pub fn list(&self, path: &str) -> Result<Vec<Value>, Refusal> {
        let mut list = self.get(path)?;
        match list["items"].take() {
            Value::Array(items) => Ok(items),
            _ => panic!("{path} is no collection"),
        }
    }

    /// Creates an object in a collection.
    pub fn create(&self, collection: &str, object: &Value) -> Result<Value, Refusal> {
        self.send(Method::POST, collection, "application/json", Some(object))
    }

    /// Replaces an object; with a `resourceVersion` in it, only where that is the object's still.
    pub fn update(&self, path: &str, object: &Value) -> Result<Value, Refusal> {
        self.send(Method::PUT, path, "application/json", Some(object))
    }

    /// Changes some fields of an object: `null` removes one.
    pub fn patch(&self, path: &str, fields: &Value) -> Result<Value, Refusal> {
        self.send(Method::PATCH, path, "application/merge-patch+json", Some(fields))
    }

    /// Deletes an object at once, or all objects of a collection.
    pub fn delete(&self, path: &str) -> Result<Value, Refusal> {
        self.send(Method::DELETE, path, "application/json", Some(&json!({"gracePeriodSeconds": 0})))
    }

    /// Any request; again where the server says that it cannot answer yet, as it does while a definition is new. Panics where
    /// there is no answer.
    pub fn send(&self, method: Method, path: &str, media: &str, body: Option<&Value>) -> Result<Value, Refusal> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.try_send(method.clone(), path, media, body);
            match answer.unwrap_or_else(|reason| panic!("{method} {path}: {reason}")) {
                Err(Refusal { code: 429, .. }) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(100));
                }
                answer => return answer,
            }
        }
    }

    /// Any request; the reason in words where there is no answer.
    pub(crate) fn try_send(
        &self,
        method: Method,
        path: &str,
        media: &str,
        body: Option<&Value>,
    ) -> Result<Result<Value, Refusal>, String> {
        let body = body.map_or_else(Bytes::new, |body| Bytes::from(body.to_string()));
        let request = self.request(method, path, media, body);
        let mut connection = self.connection.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let answer = self.runtime.block_on(async {
            let work = tokio::time::timeout(PATIENCE, self.exchange(&mut connection, request));
            work.await.unwrap_or_else(|_| Err(format!("no answer within {PATIENCE:?}")))
        });
        if answer.is_err() {
            *connection = None;
        }
        let (code, content) = answer?;
        Ok(judged(code, &content))
    }

    /// Follows what happens to the objects of a collection, until `seen` says that it has seen enough; of each it is given the
    /// kind of event, such as `MODIFIED`, and the object. `path` may say since which version: what has happened since then
    /// comes first. Panics when nothing happens for a long time.
    pub fn watch(&self, path: &str, mut seen: impl FnMut(&str, &Value) -> bool) {
        let separator = if path.contains('?') { '&' } else { '?' };
        let request = self.request(Method::GET, &format!("{path}{separator}watch=true"), "", Bytes::new());
        let follow = async {
            let mut connection = self.connect().await?;
            let sent = connection.sender.send_request(request).await.map_err(|e| e.to_string())?;
            let (status, mut body, mut rest) = (sent.status(), sent.into_body(), Vec::new());
            loop {
                let frame = tokio::time::timeout(PATIENCE, body.frame()).await;
                let frame = frame.map_err(|_| format!("nothing has happened for {PATIENCE:?}"))?;
                let frame = frame.ok_or("it has ended")?.map_err(|e| e.to_string())?;
                rest.extend_from_slice(frame.data_ref().ok_or("no data")?);
                if !status.is_success() {
                    return Err(format!("{status}: {}", String::from_utf8_lossy(&rest)));
                }
                while let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
                    let line: Vec<u8> = rest.drain(..=end).collect();
                    let event: Value = serde_json::from_slice(&line).map_err(|e| e.to_string())?;
                    if seen(event["type"].as_str().unwrap_or_default(), &event["object"]) {
                        return Ok(());
                    }
                }
            }
        };
        self.runtime.block_on(follow).unwrap_or_else(|reason: String| panic!("watch of {path}: {reason}"));
    }

    fn request(&self, method: Method, path: &str, media: &str, body: Bytes) -> Request<Full<Bytes>> {
        let mut request = Request::builder().method(method).uri(path).header("host", "kubernetes");
        request = request.header("user-agent", "e2e").header("accept", "application/json");
        if !media.is_empty() {
            request = request.header("content-type", media);
        }
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        request.body(Full::new(body)).unwrap_or_else(|e| panic!("{path}: {e}"))
    }

    async fn exchange(
        &self,
        connection: &mut Option<Connection>,
        request: Request<Full<Bytes>>,
    ) -> Result<(u16, Bytes), String> {
        let usable = match connection {
            // The wire ends when the server has closed its side, which hyper sees only when it is used.
            Some(Connection { sender, wire }) => matches!(wire.0.try_wait(), Ok(None)) && sender.ready().await.is_ok(),
            None => false,
        };
        if !usable {
            *connection = Some(self.connect().await?);
        }
        let sender = &mut connection.as_mut().expect("it was just made").sender;
        let response = sender.send_request(request).await.map_err(|e| e.to_string())?;
        let code = response.status().as_u16();
        let content = response.into_body().collect().await.map_err(|e| e.to_string())?;
        Ok((code, content.to_bytes()))
    }

    async fn connect(&self) -> Result<Connection, String> {
        let (ours, wire) = self.way.open();
        let stream = self.tls.connect(self.server.clone(), ours).await.map_err(|e| e.to_string())?;
        let (sender, driver) = http1::handshake(TokioIo::new(stream)).await.map_err(|e| e.to_string())?;
        tokio::spawn(async move {
            // Whoever waits for an answer is told.
            let _ = driver.await;
        });
        Ok(Connection { sender, wire })
    }
}

/// What an answer says. What is no JSON, such as that of `/readyz`, is a string.
fn judged(code: u16, content: &[u8]) -> Result<Value, Refusal> {
    let text = || String::from_utf8_lossy(content).into_owned();
    let value: Value = serde_json::from_slice(content).unwrap_or_else(|_| json!(text()));
    if (200..300).contains(&code) {
        return Ok(value);
    }
    let field = |name: &str| value[name].as_str().map(str::to_owned);
    let (reason, message) = (field("reason").unwrap_or_default(), field("message").unwrap_or_else(text));
    Err(Refusal { code, reason, message })
}

pub(super) fn tls(identity: &Identity, with_certificate: bool) -> ClientConfig {
    let certificates = |path: &Path| -> Vec<CertificateDer<'static>> {
        let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
        read.unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    };
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates(&identity.authority));
    let config = ClientConfig::builder().with_root_certificates(roots);
    if !with_certificate {
        return config.with_no_client_auth();
    }
    let key = PrivateKeyDer::from_pem_file(&identity.key).expect("the file was just written");
    config.with_client_auth_cert(certificates(&identity.certificate), key).expect("the key belongs to the certificate")
}
