//! What it means that a connection is not made, or breaks.

use std::error::Error as _;
use std::io;

use h2::Reason;
use tokio_rustls::rustls::{self, AlertDescription, CertificateError};

use super::access::Access;
use crate::error::texts;

/// A failure in words.
#[derive(Debug, Clone)]
pub struct Trouble {
    /// Whether another attempt would end the same way.
    pub is_final: bool,
    /// What came back.
    pub text: String,
    /// What the operator can do.
    pub advice: String,
}

impl Trouble {
    /// What the server or the way to it may do differently another time.
    pub fn passing(text: String, access: &Access) -> Trouble {
        let advice =
            format!("check {}, and that the API server is healthy and reached from here", access.server_setting);
        Trouble { is_final: false, text, advice }
    }

    /// What it means that a connection was not made, or that its first word was none.
    pub fn of_io(error: &io::Error, access: &Access) -> Trouble {
        let text = texts(error);
        let certificates = |advice: String| Trouble { is_final: true, text: text.clone(), advice };
        let plain = || {
            let advice = format!("does it expect http:// in {}?", access.server_setting);
            Trouble { is_final: false, text: text.clone(), advice }
        };
        let identity = match &access.identity {
            Some((certificate, _)) => certificate.origin.clone(),
            None => format!("client-certificate of {} (there is none)", access.user),
        };
        match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(rustls::Error::InvalidCertificate(
                CertificateError::UnknownIssuer | CertificateError::BadSignature,
            )) => {
                let without =
                    if access.ca.is_none() { " (there is none: the CAs that this host trusts were used)" } else { "" };
                let ca = access.ca.as_ref().map_or(&access.ca_setting, |ca| &ca.origin);
                certificates(format!("the API server's certificate must be signed by the CA in {ca}{without}"))
            }
            Some(rustls::Error::InvalidCertificate(_)) => certificates(format!(
                "renew the API server's certificate, for the host in {} (or name another in tls-server-name)",
                access.server_setting
            )),
            Some(rustls::Error::AlertReceived(AlertDescription::CertificateRequired)) => {
                certificates(format!("the API server wants a client certificate: see {identity}"))
            }
            Some(rustls::Error::AlertReceived(_)) => certificates(format!(
                "the API server does not accept the client certificate: see {identity}, and when it expires"
            )),
            Some(rustls::Error::InvalidMessage(_)) => plain(),
            None if error.kind() == io::ErrorKind::UnexpectedEof => plain(),
            _ => Trouble::passing(text, access),
        }
    }
}

/// What HTTP/2 says about a failure.
pub fn of_http2(error: &hyper::Error) -> Option<&h2::Error> {
    let mut source = error.source();
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref::<h2::Error>() {
            return Some(error);
        }
        source = error.source();
    }
    None
}

/// Whether the server says that it has not processed the request. When it ends a connection, it says so of those that it
/// leaves undone, and of no other.
pub fn is_unprocessed(error: &h2::Error) -> bool {
    error.is_remote() && (error.is_go_away() || error.reason() == Some(Reason::REFUSED_STREAM))
}
