//! What went wrong between this process and a member, and what it means for the request.

use std::error::Error as _;
use std::io;
use std::time::Duration;

use etcd_client::Error as Failure;
use tokio_rustls::rustls::{self, AlertDescription, CertificateError};
use tonic::{Code, Status};

use crate::error::{texts, with_sources};

/// What a failure means for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The member was not reached, or its answer was not received: it may have done what it was asked.
    Lost,
    /// As [`Kind::Lost`]: it has not answered in time.
    Silent,
    /// It did nothing because it is overloaded.
    Busy,
    /// It did nothing, but on another connection it may be done: the token of this one is not valid any more, or its member
    /// does not serve clients.
    Elsewhere,
    /// It did nothing, and will not.
    Refused,
}

/// What a failure is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// The servers and the way to them.
    Health,
    /// What the user may do, and who it is.
    Permission,
    /// The certificates of either side.
    Certificates,
}

/// A failure in words.
#[derive(Debug, Clone)]
pub struct Trouble {
    /// What it means.
    pub kind: Kind,
    /// What came back.
    pub text: String,
    /// What it is about.
    pub subject: Subject,
    /// What the operator can do.
    pub advice: &'static str,
}

/// What to do where nothing better is known.
const GENERAL: &str = "check etcd_endpoints (or the SRV records), and that etcd is healthy (etcdctl endpoint health)";
/// What to do where a member does not understand TLS.
const PLAIN: &str = "does it expect http:// in etcd_endpoints?";

impl Trouble {
    /// What a failed request means.
    pub fn of(failure: &Failure) -> Trouble {
        match failure {
            Failure::GRpcStatus(status) => Trouble::of_status(status),
            // The connection, or what came over it.
            other => Trouble::of_lost(texts(other)),
        }
    }

    /// What it means that HTTP/2 was not begun.
    pub fn of_connect(error: &tonic::transport::Error) -> Trouble {
        Trouble::of_lost(texts(error))
    }

    /// What it means that a connection was not made, or that its first word was none.
    pub fn of_io(error: &io::Error) -> Trouble {
        let lost = |advice| Trouble { kind: Kind::Lost, text: texts(error), subject: Subject::Health, advice };
        // Certificates do not get better by asking again.
        let refused =
            |advice| Trouble { kind: Kind::Refused, text: texts(error), subject: Subject::Certificates, advice };
        match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(rustls::Error::InvalidCertificate(
                CertificateError::UnknownIssuer | CertificateError::BadSignature,
            )) => refused("set etcd_ca_cert_file to the CA that signed the certificates of etcd's members"),
            Some(rustls::Error::InvalidCertificate(_)) => refused(
                "renew the certificates of etcd's members, for the names and addresses in etcd_endpoints (or in the SRV records)",
            ),
            Some(rustls::Error::AlertReceived(AlertDescription::CertificateRequired)) => {
                refused("etcd wants a client certificate: set etcd_cert_file and etcd_key_file")
            }
            Some(rustls::Error::AlertReceived(_)) => refused(
                "etcd does not accept the client certificate: check etcd_cert_file and etcd_key_file, and when it expires",
            ),
            Some(rustls::Error::InvalidMessage(_)) => lost(PLAIN),
            Some(_) => lost(GENERAL),
            None if error.kind() == io::ErrorKind::UnexpectedEof => lost(PLAIN),
            None => lost(GENERAL),
        }
    }

    /// No answer at all.
    pub fn silence(after: Duration) -> Trouble {
        Trouble {
            kind: Kind::Silent,
            text: format!("no answer in {after:?}"),
            subject: Subject::Health,
            advice: GENERAL,
        }
    }

    /// What it means that a member does not answer to what is not encrypted.
    pub fn not_plain(error: &io::Error) -> Trouble {
        let text = format!("{error} (does it expect https:// in etcd_endpoints?)");
        Trouble { kind: Kind::Lost, text, subject: Subject::Health, advice: GENERAL }
    }

    /// A connection that ended under a request. If certificates are the reason, the next connection tells: see
    /// [`first_word`](crate::first_word).
    fn of_lost(text: String) -> Trouble {
        Trouble { kind: Kind::Lost, text, subject: Subject::Health, advice: GENERAL }
    }

    fn of_status(status: &Status) -> Trouble {
        let text = status.message().to_owned();
        let refused = |subject, advice| Trouble { kind: Kind::Refused, text: text.clone(), subject, advice };
        match status.code() {
            _ if text.contains("revision of auth store is old") => Trouble {
                kind: Kind::Elsewhere,
                text,
                subject: Subject::Permission,
                advice: "the users or roles of etcd keep changing",
            },
            Code::PermissionDenied => refused(
                Subject::Permission,
                "grant the user's role readwrite on the prefix /calico/ (with a client certificate, its common name is the user)",
            ),
            Code::Unauthenticated => Trouble {
                kind: Kind::Elsewhere,
                text,
                subject: Subject::Permission,
                advice: "check ETCD_USERNAME and ETCD_PASSWORD, or the client certificate",
            },
            Code::InvalidArgument if text.contains("user name is empty") => {
                refused(Subject::Permission, "etcd requires authentication: set both ETCD_USERNAME and ETCD_PASSWORD")
            }
            Code::InvalidArgument if text.contains("authentication failed") => {
                refused(Subject::Permission, "check ETCD_USERNAME and ETCD_PASSWORD")
            }
            _ if text.contains("not supported for learner") => Trouble {
                kind: Kind::Elsewhere,
                text,
                subject: Subject::Health,
                advice: "a learner does not serve clients: promote it, or take it out of etcd_endpoints",
            },
            Code::ResourceExhausted if text.contains("too many requests") => {
                Trouble { kind: Kind::Busy, text, subject: Subject::Health, advice: "etcd is overloaded" }
            }
            Code::ResourceExhausted if text.contains("space exceeded") => {
                refused(Subject::Health, "compact and defragment etcd, then disarm its NOSPACE alarm")
            }
            Code::InvalidArgument | Code::ResourceExhausted | Code::FailedPrecondition | Code::Unimplemented => {
                refused(Subject::Health, GENERAL)
            }
            _ => Trouble::of_lost(with_sources(text.clone(), status.source())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn means(code: Code, message: &str) -> (Kind, Subject) {
        let trouble = Trouble::of(&Failure::GRpcStatus(Status::new(code, message)));
        assert_eq!(trouble.text, message);
        (trouble.kind, trouble.subject)
    }

    /// What may have been carried out must never count as refused: a commit would be taken for not applied.
    #[test]
    fn an_answer_that_may_be_missing_is_no_refusal() {
        for (code, message) in [
            (Code::Unavailable, "etcdserver: no leader"),
            (Code::Unavailable, "etcdserver: request timed out"),
            (Code::Unavailable, "etcdserver: request timed out, possibly due to previous leader failure"),
            (Code::Unavailable, "etcdserver: server stopped"),
            (Code::DeadlineExceeded, "context deadline exceeded"),
            (Code::Cancelled, "context canceled"),
            (Code::Unknown, "transport error"),
            (Code::Internal, "h2 protocol error"),
            (Code::OutOfRange, "etcdserver: mvcc: required revision has been compacted"),
        ] {
            assert_eq!(means(code, message), (Kind::Lost, Subject::Health), "{message}");
        }
    }

    #[test]
    fn refusals_are_told_apart() {
        for (code, message, kind, subject) in [
            (Code::PermissionDenied, "etcdserver: permission denied", Kind::Refused, Subject::Permission),
            (Code::InvalidArgument, "etcdserver: user name is empty", Kind::Refused, Subject::Permission),
            (
                Code::InvalidArgument,
                "etcdserver: authentication failed, invalid user ID or password",
                Kind::Refused,
                Subject::Permission,
            ),
            (Code::InvalidArgument, "etcdserver: revision of auth store is old", Kind::Elsewhere, Subject::Permission),
            (Code::Unauthenticated, "etcdserver: invalid auth token", Kind::Elsewhere, Subject::Permission),
            (Code::FailedPrecondition, "etcdserver: rpc not supported for learner", Kind::Elsewhere, Subject::Health),
            (Code::ResourceExhausted, "etcdserver: too many requests", Kind::Busy, Subject::Health),
            (Code::ResourceExhausted, "etcdserver: mvcc: database space exceeded", Kind::Refused, Subject::Health),
            (Code::InvalidArgument, "etcdserver: duplicate key given in txn request", Kind::Refused, Subject::Health),
        ] {
            assert_eq!(means(code, message), (kind, subject), "{message}");
        }
    }
}
