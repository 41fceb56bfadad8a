//! What encrypts connections: the files of the settings, read once.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::settings::Settings;
use crate::error::Error;
use crate::trust;

/// Reads the files. Without a CA of its own, a cluster's certificates must be signed by one that the host trusts.
pub fn config(settings: &Settings) -> Result<Arc<ClientConfig>, Error> {
    let roots = match &settings.ca_file {
        Some(path) => {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(certificates("etcd_ca_cert_file", path)?);
            roots
        }
        None => trust::of_host(),
    };
    let identity = match (&settings.cert_file, &settings.key_file) {
        (Some(cert), Some(key)) => Some((certificates("etcd_cert_file", cert)?, private_key(key)?)),
        _ => None,
    };
    let built = trust::config(roots).and_then(|builder| match identity {
        Some((chain, key)) => builder.with_client_auth_cert(chain, key),
        None => Ok(builder.with_no_client_auth()),
    });
    let mut config = built.map_err(|error| Error::Invalid {
        store: "etcd".to_owned(),
        reason: format!("{error}; used: {}", files(settings)),
        advice: "the key must be that of the certificate".into(),
    })?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Arc::new(config))
}

/// Which files are used, in words.
pub fn files(settings: &Settings) -> String {
    let name = |setting: &str, path: &Option<PathBuf>, without: &str| match path {
        Some(path) => format!("{setting} {}", path.display()),
        None => without.to_owned(),
    };
    [
        name("etcd_ca_cert_file", &settings.ca_file, "the CAs that this host trusts (no etcd_ca_cert_file)"),
        name("etcd_cert_file", &settings.cert_file, "no etcd_cert_file"),
        name("etcd_key_file", &settings.key_file, "no etcd_key_file"),
    ]
    .join(", ")
}

fn certificates(setting: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let text = std::fs::read(path).map_err(|error| unusable(setting, path, &error.to_string()))?;
    trust::certificates(&text).map_err(|reason| unusable(setting, path, &reason))
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, Error> {
    let text = std::fs::read(path).map_err(|error| unusable("etcd_key_file", path, &error.to_string()))?;
    trust::private_key(&text).map_err(|reason| unusable("etcd_key_file", path, &reason))
}

fn unusable(setting: &str, path: &Path, reason: &str) -> Error {
    Error::Invalid {
        store: "etcd".to_owned(),
        reason: format!("{setting} {}: {reason}", path.display()),
        advice: "give the path of a PEM file that this process can read".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::settings::Members;
    use super::*;

    fn error(path: &str) -> String {
        let ca_file = Some(path.into());
        let settings = Settings { ca_file, ..Settings::to(Members::Listed(Vec::new())) };
        config(&settings).expect_err("the settings are unusable").to_string()
    }

    #[test]
    fn files_that_are_none_are_named() {
        let missing = error("/nowhere/ca.pem");
        assert!(missing.contains("etcd_ca_cert_file /nowhere/ca.pem: No such file"), "{missing}");
        let other = error("/proc/self/cmdline");
        assert!(other.contains("/proc/self/cmdline: there is no CERTIFICATE in it"), "{other}");
    }
}
