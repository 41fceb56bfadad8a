//! The way to a member: TCP, and TLS on it where the member's URL says so.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;
use tonic::transport::Uri;

/// How long the host's resolver may take.
const LOOKUP_TIME: Duration = Duration::from_secs(2);

/// Where a member is, and how to talk to it.
#[derive(Clone)]
pub struct Way {
    host: String,
    port: u16,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

/// What bytes go over.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

impl Way {
    /// The way to a URL's host. The error says what is wrong with the URL.
    pub fn to(uri: &Uri, tls: Option<Arc<ClientConfig>>) -> Result<Way, String> {
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        if host.is_empty() {
            return Err("no host in it".to_owned());
        }
        let name = |config| match ServerName::try_from(host.clone()) {
            Ok(name) => Ok((TlsConnector::from(config), name)),
            Err(error) => Err(format!("{host}: {error}")),
        };
        let tls = tls.map(name).transpose()?;
        let port = uri.port_u16().unwrap_or(if tls.is_some() { 443 } else { 80 });
        Ok(Way { host, port, tls })
    }

    /// Whether what goes over it is encrypted.
    pub fn is_encrypted(&self) -> bool {
        self.tls.is_some()
    }

    /// Connects. With TLS 1.3 this succeeds before the member has seen our certificate.
    pub async fn open(&self) -> io::Result<Box<dyn Stream>> {
        let found = timeout(LOOKUP_TIME, lookup_host((self.host.as_str(), self.port))).await;
        let unresolved = |reason: String| io::Error::other(format!("the name {} is not resolved: {reason}", self.host));
        let addresses = match found {
            Ok(Ok(addresses)) => addresses.collect::<Vec<_>>(),
            Ok(Err(error)) => return Err(unresolved(error.to_string())),
            Err(_) => return Err(unresolved(format!("no answer in {LOOKUP_TIME:?}"))),
        };
        let stream = TcpStream::connect(addresses.as_slice()).await?;
        stream.set_nodelay(true)?;
        match &self.tls {
            Some((connector, name)) => Ok(Box::new(connector.connect(name.clone(), stream).await?)),
            None => Ok(Box::new(stream)),
        }
    }
}
