//! The way to a server: TCP, through a proxy where there is one, and TLS on it where the server's URL says so.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;
use tonic::transport::Uri;

use crate::tunnel::Proxy;

/// How long the host's resolver may take.
const LOOKUP_TIME: Duration = Duration::from_secs(2);

/// Where a server is, and how to talk to it.
#[derive(Clone)]
pub struct Way {
    host: String,
    port: u16,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    proxy: Option<Proxy>,
}

/// What bytes go over.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {
    /// Whether both sides agreed on HTTP/2.
    fn is_http2(&self) -> bool;
}

impl Stream for TcpStream {
    fn is_http2(&self) -> bool {
        false
    }
}

impl Stream for TlsStream<TcpStream> {
    fn is_http2(&self) -> bool {
        self.get_ref().1.alpn_protocol() == Some(b"h2")
    }
}

impl Way {
    /// The way to a URL's host. The error says what is wrong with the URL.
    pub fn to(uri: &Uri, tls: Option<Arc<ClientConfig>>) -> Result<Way, String> {
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        if host.is_empty() {
            return Err("no host in it".to_owned());
        }
        let tls = tls.map(|config| server_name(&host).map(|name| (TlsConnector::from(config), name))).transpose()?;
        let port = uri.port_u16().unwrap_or(if tls.is_some() { 443 } else { 80 });
        Ok(Way { host, port, tls, proxy: None })
    }

    /// The same way, but the server's certificate must have this name.
    pub fn verified_as(self, name: &str) -> Result<Way, String> {
        let tls = self.tls.map(|(connector, _)| server_name(name).map(|name| (connector, name))).transpose()?;
        Ok(Way { tls, ..self })
    }

    /// The same way, through a proxy.
    pub fn through(self, proxy: Option<Proxy>) -> Way {
        Way { proxy, ..self }
    }

    /// Whether what goes over it is encrypted.
    pub fn is_encrypted(&self) -> bool {
        self.tls.is_some()
    }

    /// Connects. With TLS 1.3 this succeeds before the server has seen our certificate.
    pub async fn open(&self) -> io::Result<Box<dyn Stream>> {
        let stream = match &self.proxy {
            Some(proxy) => proxy.open(&self.host, self.port).await?,
            None => dial(&self.host, self.port).await?,
        };
        match &self.tls {
            Some((connector, name)) => Ok(Box::new(connector.connect(name.clone(), stream).await?)),
            None => Ok(Box::new(stream)),
        }
    }
}

fn server_name(host: &str) -> Result<ServerName<'static>, String> {
    ServerName::try_from(host.to_owned()).map_err(|error| format!("{host}: {error}"))
}

/// Connects to a host.
pub async fn dial(host: &str, port: u16) -> io::Result<TcpStream> {
    let found = timeout(LOOKUP_TIME, lookup_host((host, port))).await;
    let unresolved = |reason: String| io::Error::other(format!("the name {host} is not resolved: {reason}"));
    let addresses = match found {
        Ok(Ok(addresses)) => addresses.collect::<Vec<_>>(),
        Ok(Err(error)) => return Err(unresolved(error.to_string())),
        Err(_) => return Err(unresolved(format!("no answer in {LOOKUP_TIME:?}"))),
    };
    let stream = TcpStream::connect(addresses.as_slice()).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
