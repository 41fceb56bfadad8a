//! A server that does what a test wants, over HTTP/2 or HTTP/1.1, with TLS or without.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use hyper::body::Bytes;
use hyper::http::{HeaderMap, Request, Response};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType, date_time_ymd};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig, crypto};

use crate::trust;
use crate::way::Stream;

/// A folder that is gone at the end of the test.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Folder {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("calico-kubernetes-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).expect("a folder is made");
        Folder(path)
    }

    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).expect("a file is written");
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// An authority.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub fn new() -> Authority {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Authority(
            CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("it signs for itself"),
        )
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for a host and its key, in PEM.
    pub fn issue(&self, host: &str, expired: bool) -> (String, String) {
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![match host.parse::<IpAddr>() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) => SanType::DnsName(host.try_into().expect("a name")),
        }];
        if expired {
            params.not_after = date_time_ymd(2001, 1, 1);
        }
        let key = KeyPair::generate().expect("a key");
        (params.signed_by(&key, &self.0).expect("it signs").pem(), key.serialize_pem())
    }
}

/// What the server was asked.
#[derive(Debug, Clone)]
pub struct Asked {
    /// How many requests came before.
    pub number: usize,
    /// Method and path.
    pub line: String,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Asked {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("a text"))
    }
}

/// What it does.
pub enum Does {
    /// Answers.
    Answers(u16, Vec<(&'static str, String)>, Vec<u8>),
    /// Says that it has not processed the request (HTTP/2).
    Refuses,
    /// Ends the connection without an answer.
    Hangs,
    /// Ends the connection in the middle of the answer.
    Stops,
}

pub fn answers(status: u16, body: &str) -> Does {
    Does::Answers(status, vec![("content-type", "application/json".to_owned())], body.as_bytes().to_vec())
}

type Rule = dyn Fn(&Asked) -> Does + Send + Sync;

/// The server's side of the tests' settings.
#[derive(Default)]
pub struct Kind {
    /// Certificate and key in PEM; none: no TLS.
    pub identity: Option<(String, String)>,
    /// The protocols that it offers in TLS.
    pub protocols: Vec<&'static str>,
    /// The authority of its clients, if they must have certificates.
    pub clients: Option<String>,
    /// Whether it ends the first connection by GOAWAY, once a request has come, and which stream it says was the last that
    /// it processed. The request has the number 1.
    pub leaves_after: Option<u8>,
}

/// A server, until the test ends.
pub struct Server {
    pub address: SocketAddr,
    pub connections: Arc<AtomicUsize>,
    pub asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    pub async fn start(kind: Kind, rule: impl Fn(&Asked) -> Does + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let server = Server {
            address: listener.local_addr().expect("it has an address"),
            connections: Arc::default(),
            asked: Arc::default(),
        };
        let (connections, asked) = (server.connections.clone(), server.asked.clone());
        let rule: Arc<Rule> = Arc::new(rule);
        let acceptor = kind.identity.as_ref().map(|_| TlsAcceptor::from(Arc::new(config(&kind))));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let number = connections.fetch_add(1, Ordering::SeqCst);
                let (acceptor, asked, rule) = (acceptor.clone(), asked.clone(), rule.clone());
                let leaves = kind.leaves_after.filter(|_| number == 0);
                tokio::spawn(async move {
                    let (stream, is_http2): (Box<dyn Stream>, bool) = match acceptor {
                        None => (Box::new(stream), false),
                        Some(acceptor) => {
                            let Ok(stream) = acceptor.accept(stream).await else { return };
                            let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                            (Box::new(stream), is_http2)
                        }
                    };
                    match (leaves, is_http2) {
                        (Some(last), _) => leave(stream, last).await,
                        (None, true) => serve_http2(stream, asked, rule).await,
                        (None, false) => serve_http1(stream, asked, rule).await,
                    }
                });
            }
        });
        server
    }

    pub fn lines(&self) -> Vec<String> {
        self.asked.lock().expect("no panic").iter().map(|asked| asked.line.clone()).collect()
    }

    pub fn connected(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Stream for tokio_rustls::server::TlsStream<tokio::net::TcpStream> {
    fn is_http2(&self) -> bool {
        self.get_ref().1.alpn_protocol() == Some(b"h2")
    }
}

fn config(kind: &Kind) -> ServerConfig {
    let (certificate, key) = kind.identity.as_ref().expect("it has TLS");
    let provider = Arc::new(crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions();
    let builder = builder.expect("TLS has versions");
    let builder = match &kind.clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(trust::certificates(authority.as_bytes()).expect("a certificate"));
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.expect("a verifier"))
        }
    };
    let chain = trust::certificates(certificate.as_bytes()).expect("a certificate");
    let mut config =
        builder.with_single_cert(chain, trust::private_key(key.as_bytes()).expect("a key")).expect("a pair");
    config.alpn_protocols = kind.protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    config
}

fn note(asked: &Mutex<Vec<Asked>>, line: String, headers: HeaderMap, body: Vec<u8>) -> Asked {
    let mut all = asked.lock().expect("no panic");
    let this = Asked { number: all.len(), line, headers, body };
    all.push(this.clone());
    this
}

async fn serve_http2(stream: Box<dyn Stream>, asked: Arc<Mutex<Vec<Asked>>>, rule: Arc<Rule>) {
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    let hang = Arc::new(Notify::new());
    loop {
        let (request, respond) = tokio::select! {
            () = hang.notified() => return,
            accepted = connection.accept() => match accepted {
                Some(Ok(accepted)) => accepted,
                _ => return,
            },
        };
        tokio::spawn(answer_http2(request, respond, asked.clone(), rule.clone(), hang.clone()));
    }
}

async fn answer_http2(
    request: Request<h2::RecvStream>,
    mut respond: h2::server::SendResponse<Bytes>,
    asked: Arc<Mutex<Vec<Asked>>>,
    rule: Arc<Rule>,
    hang: Arc<Notify>,
) {
    let (head, mut incoming) = request.into_parts();
    let mut body = Vec::new();
    while let Some(Ok(data)) = incoming.data().await {
        let _ = incoming.flow_control().release_capacity(data.len());
        body.extend_from_slice(&data);
    }
    let line = format!("{} {}", head.method, head.uri.path_and_query().map_or("", |path| path.as_str()));
    match rule(&note(&asked, line, head.headers, body)) {
        Does::Answers(status, headers, body) => {
            let mut response = Response::builder().status(status);
            for (name, value) in headers {
                response = response.header(name, value);
            }
            let Ok(mut sending) = respond.send_response(response.body(()).expect("a response"), body.is_empty()) else {
                return;
            };
            if !body.is_empty() {
                let _ = sending.send_data(Bytes::from(body), true);
            }
        }
        Does::Refuses => respond.send_reset(h2::Reason::REFUSED_STREAM),
        Does::Hangs => hang.notify_one(),
        Does::Stops => {
            let response = Response::builder().status(200).body(()).expect("a response");
            if let Ok(mut sending) = respond.send_response(response, false) {
                let _ = sending.send_data(Bytes::from_static(b"{\"half"), false);
                sending.send_reset(h2::Reason::INTERNAL_ERROR);
            }
        }
    }
}

/// Waits for a request, and leaves with a GOAWAY.
async fn leave(mut stream: Box<dyn Stream>, last: u8) {
    let mut preface = [0; 24];
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    if stream.read_exact(&mut preface).await.is_err() || stream.write_all(&settings).await.is_err() {
        return;
    }
    loop {
        let mut head = [0; 9];
        if stream.read_exact(&mut head).await.is_err() {
            return;
        }
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        if stream.read_exact(&mut payload).await.is_err() {
            return;
        }
        // HEADERS.
        if head[3] == 1 {
            break;
        }
    }
    let goaway = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, last, 0, 0, 0, 0];
    let _ = stream.write_all(&goaway).await;
    let _ = stream.shutdown().await;
    // What is closed with something unread is reset, and then the GOAWAY may be lost.
    let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
}

async fn serve_http1(mut stream: Box<dyn Stream>, asked: Arc<Mutex<Vec<Asked>>>, rule: Arc<Rule>) {
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read_u8().await {
                Ok(byte) => head.push(byte),
                Err(_) => return,
            }
        }
        let head = String::from_utf8(head).expect("a head in ASCII");
        let mut lines = head.split("\r\n");
        let line = lines.next().expect("a line").trim_end_matches(" HTTP/1.1").to_owned();
        let mut headers = HeaderMap::new();
        for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
            let name = hyper::header::HeaderName::from_bytes(name.as_bytes()).expect("a name");
            headers.append(name, value.parse().expect("a value"));
        }
        let length = headers.get("content-length").map_or(0, |length| length.to_str().unwrap().parse().unwrap());
        let mut body = vec![0; length];
        if stream.read_exact(&mut body).await.is_err() {
            return;
        }
        match rule(&note(&asked, line, headers, body)) {
            Does::Answers(status, headers, body) => {
                let mut head = format!("HTTP/1.1 {status} Said\r\ncontent-length: {}\r\n", body.len());
                for (name, value) in headers {
                    head.push_str(&format!("{name}: {value}\r\n"));
                }
                head.push_str("\r\n");
                if stream.write_all(&[head.as_bytes(), &body].concat()).await.is_err() || stream.flush().await.is_err()
                {
                    return;
                }
            }
            Does::Stops => {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"half").await;
                let _ = stream.flush().await;
                return;
            }
            Does::Refuses | Does::Hangs => return,
        }
    }
}

/// A proxy that opens tunnels for who says `authorization`, and notes the first line of each request.
pub async fn proxy(authorization: &'static str) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let address = listener.local_addr().expect("it has an address");
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let noted = seen.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let noted = noted.clone();
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    match stream.read_u8().await {
                        Ok(byte) => head.push(byte),
                        Err(_) => return,
                    }
                }
                let head = String::from_utf8(head).expect("a head in ASCII");
                let line = head.lines().next().expect("a line").to_owned();
                noted.lock().expect("no panic").push(line.clone());
                if !head.contains(&format!("Proxy-Authorization: {authorization}\r\n")) {
                    let _ = stream.write_all(b"HTTP/1.1 407 Who are you\r\n\r\n").await;
                    return;
                }
                let target = line.split(' ').nth(1).expect("a target");
                let Ok(mut far) = tokio::net::TcpStream::connect(target).await else { return };
                let _ = stream.write_all(b"HTTP/1.1 200 Fine\r\n\r\n").await;
                let _ = tokio::io::copy_bidirectional(&mut stream, &mut far).await;
            });
        }
    });
    (address, seen)
}

/// A kubeconfig for a server: `cluster` and `user` are further lines.
pub fn kubeconfig(folder: &Path, server: &str, cluster: &str, user: &str) -> PathBuf {
    let indented = |lines: &str| lines.lines().map(|line| format!("    {}\n", line.trim())).collect::<String>();
    let text = format!(
        "apiVersion: v1\nkind: Config\nclusters:\n- name: local\n  cluster:\n    server: {server}\n{}users:\n- name: calico\n  \
         user:\n{}contexts:\n- name: calico-context\n  context:\n    cluster: local\n    user: calico\ncurrent-context: \
         calico-context\n",
        indented(cluster),
        indented(user)
    );
    let path = folder.join("kubeconfig");
    let new = folder.join("kubeconfig.new");
    std::fs::write(&new, text).expect("a file is written");
    std::fs::rename(&new, &path).expect("a file is renamed");
    path
}
