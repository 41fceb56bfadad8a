//! Tokens of service accounts, by the API's TokenRequest (`POST serviceaccounts/NAME/token`, Kubernetes 1.22 and later).

use std::fmt;

use serde::Deserialize;
use serde_json::json;

use super::api::encoded;
use super::call::{Call, Failure, Method, Reply};
use super::cluster::{Cluster, namespace_path};
use super::status::Status;
use crate::error::Error;

/// What became of a request for a token.
#[derive(PartialEq, Eq)]
pub enum Granted {
    /// The token.
    Token(String),
    /// There is no such service account.
    NoAccount,
    /// The API does not issue tokens.
    Unsupported,
    /// The API does not know who asks (401). In words.
    Unknown(String),
    /// Who asks may not (403). In words, with the rule that is missing.
    Forbidden(String),
}

/// Without the token.
impl fmt::Debug for Granted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Granted::Token(_) => f.write_str("Token((hidden))"),
            Granted::NoAccount => f.write_str("NoAccount"),
            Granted::Unsupported => f.write_str("Unsupported"),
            Granted::Unknown(text) => f.debug_tuple("Unknown").field(text).finish(),
            Granted::Forbidden(text) => f.debug_tuple("Forbidden").field(text).finish(),
        }
    }
}

impl Cluster {
    /// Asks for a token of a service account, good for `seconds`, if the server does not shorten that.
    ///
    /// # Errors
    /// There is no answer, or one that is not of the API.
    pub async fn request_token(&self, namespace: &str, account: &str, seconds: u64) -> Result<Granted, Error> {
        #[derive(Deserialize)]
        struct Answer {
            status: Issued,
        }
        #[derive(Deserialize)]
        struct Issued {
            token: String,
        }
        let path = format!("{}/serviceaccounts/{}/token", namespace_path(namespace), encoded(account));
        let request = json!({
            "kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1", "spec": {"expirationSeconds": seconds}
        });
        let call = Call { method: Method::Post, path: path.clone(), body: Some(request.to_string().into_bytes()) };
        let what = || (self.api.name(), format!("answer a POST of {path}"));
        let sent = self.deadline.within(what, async { Ok(self.api.client().send(&call).await) });
        let reply = match sent.await? {
            Ok(reply) => reply,
            Err(Failure::Refused(401, error)) => return Ok(Granted::Unknown(error.to_string())),
            Err(Failure::Refused(_, error)) => return Ok(Granted::Forbidden(error.to_string())),
            Err(Failure::Error(error)) => return Err(error),
            Err(Failure::Lost(reason)) => return Err(self.odd(&path, reason)),
        };
        match reply.status {
            200..=202 => serde_json::from_slice::<Answer>(&reply.body)
                .map(|answer| Granted::Token(answer.status.token))
                // Not the error itself: it may quote the answer.
                .map_err(|_| self.odd(&path, "the answer has no token".to_owned())),
            404 if is_about_accounts(&reply) => Ok(Granted::NoAccount),
            404 => Ok(Granted::Unsupported),
            _ => Err(self.odd(&path, Status::text(&reply))),
        }
    }

    /// Whether the API knows who asks.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn is_known(&self) -> Result<bool, Error> {
        let what = || (self.api.name(), "answer a GET of /version".to_owned());
        let sent = self.deadline.within(what, async { Ok(self.api.client().send(&Call::get("/version")).await) });
        match sent.await? {
            Ok(_) | Err(Failure::Refused(403, _)) => Ok(true),
            Err(Failure::Refused(..)) => Ok(false),
            Err(Failure::Error(error)) => Err(error),
            Err(Failure::Lost(reason)) => Err(self.odd("/version", reason)),
        }
    }

    fn odd(&self, path: &str, reason: String) -> Error {
        Error::Invalid {
            store: self.api.name(),
            reason: format!("{path}: {reason}"),
            advice: "see whether the API server is healthy, and whether a proxy before it answers".into(),
        }
    }
}

/// Whether an answer is about a service account: an API that has no such subresource names no object.
fn is_about_accounts(reply: &Reply) -> bool {
    let details = Status::of(reply).and_then(|status| status.details);
    details.is_some_and(|details| details.kind == "serviceaccounts")
}
