//! Certificates for servers and their clients.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType, date_time_ymd,
};

/// Files that a server or a client shows who it is with, and that of the authority it trusts. All are PEM.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The authority's certificate.
    pub authority: PathBuf,
    /// Its own certificate.
    pub certificate: PathBuf,
    /// The private key of its own certificate.
    pub key: PathBuf,
}

/// A certificate authority that keeps everything it issues in one folder.
pub(crate) struct Authority {
    folder: PathBuf,
    file: PathBuf,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new(folder: &Path, name: &str) -> Authority {
        let mut params = params(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let issuer = CertifiedIssuer::self_signed(params, key()).expect("an authority signs for itself");
        let file = write(folder, &format!("{name}.crt"), &issuer.pem());
        Authority { folder: folder.to_owned(), file, issuer }
    }

    /// A certificate for a client, or for a server at `hosts`, addresses or names; named `name`. Its files are called
    /// `file`.
    pub(crate) fn issue(&self, file: &str, name: &str, hosts: &[&str], expired: bool) -> Identity {
        self.issue_for(file, params(name), hosts, expired)
    }

    /// A certificate for a client that belongs to an organization, which Kubernetes takes for a group of users.
    pub(crate) fn issue_member(&self, file: &str, name: &str, organization: &str) -> Identity {
        let mut params = params(name);
        params.distinguished_name.push(DnType::OrganizationName, organization);
        self.issue_for(file, params, &[], false)
    }

    fn issue_for(&self, file: &str, mut params: CertificateParams, hosts: &[&str], expired: bool) -> Identity {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        // etcd is a client of its own.
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
        let parse = |host: &&str| match host.parse::<IpAddr>() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) => SanType::DnsName((*host).try_into().expect("a name in ASCII")),
        };
        params.subject_alt_names = hosts.iter().map(parse).collect();
        if expired {
            params.not_after = date_time_ymd(2001, 1, 1);
        }
        let key = key();
        let certificate = params.signed_by(&key, &self.issuer).expect("an authority signs");
        Identity {
            authority: self.file.clone(),
            certificate: write(&self.folder, &format!("{file}.crt"), &certificate.pem()),
            key: write(&self.folder, &format!("{file}.key"), &key.serialize_pem()),
        }
    }
}

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn key() -> KeyPair {
    KeyPair::generate().expect("a key can be generated")
}

fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    path
}
