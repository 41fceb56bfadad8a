//! Whether a member talks to us at all: asked after a failure, before the member is trusted again.
//!
//! A connection counts as made when the kernel has it, or our side of TLS 1.3 is done. That the member refuses our
//! certificate, speaks another protocol or has stopped shows only in the first thing it says; and a connection that ends
//! before a request is on it loses that. So here nothing is asked, and the first word is waited for.

use std::sync::Arc;
use std::time::Duration;

use rustls_native_certs::load_native_certs;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore};

use super::trouble::Trouble;

/// How long the first word may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// The client's part of a beginning of HTTP/2, with settings that change nothing. The server's part answers it.
const GREETING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// The content of the files that TLS needs, all PEM.
#[derive(Clone, Default)]
pub struct Certificates {
    /// The certificates that sign the servers'; `None` for those that the host trusts.
    pub authorities: Option<Vec<u8>>,
    /// Our own certificate and its key.
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
}

impl Certificates {
    fn config(&self) -> Result<ClientConfig, Box<dyn std::error::Error>> {
        let mut roots = RootCertStore::empty();
        match &self.authorities {
            Some(pem) => roots.add_parsable_certificates(CertificateDer::pem_slice_iter(pem).flatten()),
            None => roots.add_parsable_certificates(load_native_certs().certs),
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let builder = builder.with_root_certificates(roots);
        let mut config = match &self.identity {
            Some((certificate, key)) => {
                let chain = CertificateDer::pem_slice_iter(certificate).collect::<Result<Vec<_>, _>>()?;
                builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(key)?)?
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(config)
    }
}

/// Waits for the first word of the server on `host` and `port`. With certificates, by TLS.
pub async fn first_word(host: &str, port: u16, certificates: Option<&Certificates>) -> Result<(), Trouble> {
    let of_io = |error: std::io::Error| Trouble::of_connection(error.to_string());
    let stream = TcpStream::connect((host, port)).await.map_err(of_io)?;
    let Some(certificates) = certificates else {
        // A server that expects TLS does not answer, and says nothing.
        return answer(stream).await.map_err(|reason| Trouble::not_plain(&reason));
    };
    // Files that cannot be used have been refused before.
    let (Ok(config), Ok(name)) = (certificates.config(), ServerName::try_from(host.to_owned())) else {
        return Ok(());
    };
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.map_err(of_io)?;
    answer(stream).await.map_err(Trouble::of_connection)
}

/// Greets; the error is what came in place of an answer.
async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> Result<(), String> {
    let conversation = async {
        // A server that has closed already may have said why, and that can still be read.
        if stream.write_all(GREETING).await.is_ok() {
            let _ = stream.flush().await;
        }
        stream.read(&mut [0]).await
    };
    match timeout(PATIENCE, conversation).await {
        Ok(Ok(0)) => Err("it closes the connection without an answer".to_owned()),
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer in {PATIENCE:?}")),
    }
}
