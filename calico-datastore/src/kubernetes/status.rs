//! The `Status` object by which the API server answers what it did not do (Kubernetes API conventions, "Response Status Kind").

use serde::Deserialize;

use super::call::Reply;

/// What of it is read.
#[derive(Debug, Default, Deserialize)]
pub struct Status {
    #[serde(default)]
    kind: String,
    /// What happened, in words.
    #[serde(default)]
    pub message: String,
    /// What it is about.
    #[serde(default)]
    pub details: Option<Details>,
}

/// The object that a `Status` is about.
#[derive(Debug, Deserialize)]
pub struct Details {
    /// The plural of its resource, such as `serviceaccounts`; empty where the request named no object that the API knows.
    #[serde(default)]
    pub kind: String,
}

impl Status {
    /// The object in an answer's body; `None` where that is anything else: then it was not the API itself that answered, or
    /// the API has nothing at that path at all.
    pub fn of(reply: &Reply) -> Option<Status> {
        let status: Status = serde_json::from_slice(&reply.body).ok()?;
        (status.kind == "Status").then_some(status)
    }

    /// An answer in words.
    pub fn text(reply: &Reply) -> String {
        let status = Status::of(reply).unwrap_or_default();
        match status.message.as_str() {
            "" => {
                let body = String::from_utf8_lossy(&reply.body);
                let begin: String = body.trim().chars().take(200).collect();
                format!("the answer {}: {begin}", reply.status)
            }
            message => format!("the answer {}: {message}", reply.status),
        }
    }
}
