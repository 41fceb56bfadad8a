//! What every encrypted connection of ours has in common: the cryptography, and whom this host trusts.

use std::sync::Arc;

use rustls_native_certs::load_native_certs;
use tokio_rustls::rustls::client::WantsClientCert;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, ConfigBuilder, Error, RootCertStore, crypto};

/// The authorities that this host trusts.
pub fn of_host() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(load_native_certs().certs);
    roots
}

/// The settings of a connection to a server whose certificate one of these authorities must have signed.
///
/// # Errors
/// The cryptography has no version of TLS: never with the one that is linked.
pub fn config(roots: RootCertStore) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, Error> {
    let provider = Arc::new(crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(builder.with_root_certificates(roots))
}

/// The certificates in a PEM text. The error says why there are none.
///
/// # Errors
/// There is none, or one is damaged.
pub fn certificates(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found = CertificateDer::pem_slice_iter(text).collect::<Result<Vec<_>, _>>();
    match found.map_err(|error| error.to_string())? {
        found if found.is_empty() => Err("there is no CERTIFICATE in it".to_owned()),
        found => Ok(found),
    }
}

/// The private key in a PEM text. The error says why there is none.
///
/// # Errors
/// There is none, or it is damaged.
pub fn private_key(text: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_slice(text).map_err(|error| match error {
        pem::Error::NoItemsFound => "there is no PRIVATE KEY in it".to_owned(),
        error => error.to_string(),
    })
}
