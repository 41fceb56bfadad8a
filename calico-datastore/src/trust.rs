//! What every encrypted connection of ours has in common: the cryptography, and whom this host trusts.

use std::sync::Arc;

use rustls_native_certs::load_native_certs;
use tokio_rustls::rustls::client::WantsClientCert;
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
