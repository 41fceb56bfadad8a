//! What encrypts connections to the API.

use std::sync::Arc;

use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{ClientConfig, DigitallySignedStruct, Error as TlsError, RootCertStore, SignatureScheme};

use super::access::Access;
use super::kubeconfig::{Text, invalid};
use crate::error::Error;
use crate::trust;

/// The settings of connections; `identity` is our certificate and its key.
pub fn config(access: &Access, identity: Option<&(Text, Text)>) -> Result<Arc<ClientConfig>, Error> {
    let roots = match &access.ca {
        Some(ca) => {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(trust::certificates(&ca.bytes).map_err(|reason| unusable(ca, &reason))?);
            roots
        }
        None if access.insecure => RootCertStore::empty(),
        None => trust::of_host(),
    };
    let wrong = |error: TlsError| invalid(error.to_string(), "the client key must be that of the client certificate");
    let builder = trust::config(roots).map_err(wrong)?;
    let mut config = match identity {
        Some((certificate, key)) => {
            let chain = trust::certificates(&certificate.bytes).map_err(|reason| unusable(certificate, &reason))?;
            let private = trust::private_key(&key.bytes).map_err(|reason| unusable(key, &reason))?;
            builder.with_client_auth_cert(chain, private).map_err(|error| unusable(certificate, &error.to_string()))?
        }
        None => builder.with_no_client_auth(),
    };
    if access.insecure {
        let algorithms = config.crypto_provider().signature_verification_algorithms;
        config.dangerous().set_certificate_verifier(Arc::new(Anyone(algorithms)));
    }
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn unusable(text: &Text, reason: &str) -> Error {
    invalid(format!("{}: {reason}", text.origin), "give a certificate in PEM, and with a client certificate its key")
}

/// Accepts any certificate, if the server has the key to it.
#[derive(Debug)]
struct Anyone(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls12_signature(message, certificate, signed, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls13_signature(message, certificate, signed, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
