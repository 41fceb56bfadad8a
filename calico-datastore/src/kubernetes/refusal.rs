//! What it means that the server does not know us, or does not let us do something.

use std::time::SystemTime;

use serde_json::Value;

use super::access::{Access, Credentials};
use super::call::{Call, Method};
use super::exec::Issued;
use super::token;
use crate::error::Error;

/// The most of an answer that is quoted, in characters.
const LONGEST_QUOTE: usize = 512;

/// What a path names.
struct Subject<'a> {
    group: &'a str,
    resource: String,
    namespace: Option<&'a str>,
    name: Option<&'a str>,
}

/// The text of a server's answer: the message of a Status, or the beginning of what it is instead.
pub fn message(body: &[u8]) -> String {
    let status: Value = serde_json::from_slice(body).unwrap_or_default();
    match status["message"].as_str() {
        Some(message) if !message.is_empty() => message.to_owned(),
        _ => String::from_utf8_lossy(body).trim().chars().take(LONGEST_QUOTE).collect(),
    }
}

/// An answer 401.
pub fn unauthorized(store: String, call: &Call, access: &Access, issued: &Issued, body: &[u8]) -> Error {
    let (token, origin) = match (&access.credentials, &issued.token) {
        (Credentials::Token(text), _) => (String::from_utf8(text.bytes.clone()).ok(), text.origin.as_str()),
        (Credentials::Exec(_), token) => (token.clone(), "what the exec plugin issued"),
        (Credentials::Basic(_), _) => (None, "username and password"),
        (Credentials::None, _) => (None, ""),
    };
    let whose = token.as_deref().and_then(token::subject).unwrap_or_else(|| access.user.clone());
    let expired = token.as_deref().and_then(|token| token::expired(token, SystemTime::now()));
    let identity = access.identity.as_ref().or(issued.identity.as_ref());
    let (what, advice) = match (&token, expired, identity) {
        (Some(_), Some(ago), _) => (
            format!("the token of {whose} ({origin}) expired {} ago", token::in_words(ago)),
            format!("is calico-node running on this host? It renews the token: see {origin}"),
        ),
        (Some(_), None, _) => (
            format!("the token of {whose} ({origin}) is not accepted"),
            format!("renew it: see {origin}, and whether it is a token of this cluster"),
        ),
        (None, _, Some((certificate, _))) => (
            format!("the client certificate of {whose} ({}) is not accepted", certificate.origin),
            "see when it expires, and whether its CA is the API server's client CA".to_owned(),
        ),
        (None, ..) if !origin.is_empty() => {
            (format!("{origin} of {whose} are not accepted"), format!("correct them: see {}", access.user))
        }
        _ => (
            format!("{whose} has neither a token nor a client certificate"),
            "add a token to the user in the kubeconfig".to_owned(),
        ),
    };
    let reason = format!("{what} (401 {})", message(body));
    Error::Forbidden { doing: doing(call), store, reason, advice: advice.into() }
}

/// An answer 403.
pub fn forbidden(store: String, call: &Call, access: &Access, body: &[u8]) -> Error {
    let message = message(body);
    let user = message.split_once("User \"").and_then(|(_, rest)| rest.split_once('"')).map(|(user, _)| user);
    let path = call.path.split('?').next().unwrap_or_default();
    let subject = Subject::of(path);
    let verb = verb(call.method, subject.as_ref().is_none_or(|subject| subject.name.is_some()));
    let (what, rule) = match &subject {
        Some(subject) => (
            format!("{verb} {subject}"),
            format!("- apiGroups: [{:?}], resources: [{:?}], verbs: [{verb:?}]", subject.group, subject.resource),
        ),
        None => (format!("{verb} {path}"), format!("- nonResourceURLs: [{path:?}], verbs: [{verb:?}]")),
    };
    let who = user.unwrap_or(&access.user);
    let advice = match user.is_some() && message.contains(" cannot ") {
        true if user == Some("system:anonymous") => {
            format!("the API server saw no credentials: add a token to {}", access.user)
        }
        true => format!("add this rule to a role that is bound to {who}: {rule}"),
        false => format!("it may be no matter of permissions: read the message; as to RBAC, needed is {rule}"),
    };
    let reason = format!("{who} may not {what} (403 {message})");
    Error::Forbidden { doing: doing(call), store, reason, advice: advice.into() }
}

fn doing(call: &Call) -> &'static str {
    if call.is_read() { "read" } else { "write" }
}

/// What RBAC calls it.
fn verb(method: Method, has_name: bool) -> &'static str {
    match (method, has_name) {
        (Method::Get, true) => "get",
        (Method::Get, false) => "list",
        (Method::Post, _) => "create",
        (Method::Put, _) => "update",
        (Method::Patch, _) => "patch",
        (Method::Delete, true) => "delete",
        (Method::Delete, false) => "deletecollection",
    }
}

impl Subject<'_> {
    /// `None` if the path names no resource.
    fn of(path: &str) -> Option<Subject<'_>> {
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let (group, rest) = match parts.as_slice() {
            ["api", _, rest @ ..] => ("", rest),
            ["apis", group, _, rest @ ..] => (*group, rest),
            _ => return None,
        };
        let (namespace, rest) = match rest {
            // A namespace itself has these.
            ["namespaces", _, "status" | "finalize"] => (None, rest),
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (Some(*namespace), rest),
            rest => (None, rest),
        };
        let resource = match rest {
            [resource, _, sub, ..] => format!("{resource}/{sub}"),
            [resource, ..] => (*resource).to_owned(),
            [] => return None,
        };
        Some(Subject { group, resource, namespace, name: rest.get(1).copied() })
    }
}

impl std::fmt::Display for Subject<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.resource)?;
        if !self.group.is_empty() {
            write!(f, " of {}", self.group)?;
        }
        if let Some(name) = self.name {
            write!(f, " {name}")?;
        }
        match self.namespace {
            Some(namespace) => write!(f, " in the namespace {namespace}"),
            None => Ok(()),
        }
    }
}
