//! The requests of the API by what they mean: what is there, and what was done.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use serde_json::value::RawValue;
use tokio::sync::OnceCell;

use super::call::{Call, Failure, Method, Reply};
use super::client::Client;
use super::status::Status;
use crate::error::Error;

/// How many objects a page of a listing has, as upstream's.
const PAGE: usize = 500;

/// What the API has at a path.
#[derive(Debug)]
pub enum Found {
    /// An object, as JSON text.
    Object(Vec<u8>),
    /// No object, but the API would know where to look for one.
    Nothing,
    /// Nothing is known there: no such type of object.
    NoType,
}

/// What became of a write.
#[derive(Debug)]
pub enum Written {
    /// It was applied. The object, as JSON text: after a deletion, as it was, or a `Status`.
    Applied(Vec<u8>),
    /// Something else was found than it expected.
    Conflict,
    /// Its answer was lost: it may have been applied.
    Unknown(String),
}

type InFlight = Rc<OnceCell<Found>>;

/// The API.
pub struct Api {
    client: Client,
    /// Requests that wait for their answer: whoever asks the same meanwhile gets the same answer.
    in_flight: RefCell<HashMap<String, InFlight>>,
}

impl Api {
    /// The API over a connection.
    pub fn new(client: Client) -> Api {
        Api { client, in_flight: RefCell::default() }
    }

    /// The connection.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Which API this is, for messages.
    pub fn name(&self) -> String {
        self.client.name()
    }

    /// One object.
    pub async fn get(&self, path: &str) -> Result<Found, Error> {
        let reply = self.read(path).await?;
        self.found(path, reply)
    }

    /// Every object of a collection, as JSON texts; `None` where there is no such type of object. `query` begins with `&`,
    /// unless it is empty.
    pub async fn list(&self, path: &str, query: &str) -> Result<Option<Vec<Box<RawValue>>>, Error> {
        let mut all = Vec::new();
        let mut next = String::new();
        loop {
            let more = if next.is_empty() { String::new() } else { format!("&continue={}", encoded(&next)) };
            let page = format!("{path}?limit={PAGE}{query}{more}");
            let reply = self.read(&page).await?;
            if reply.status == 410 && !next.is_empty() {
                // The list has grown too old between two pages.
                all.clear();
                next.clear();
                continue;
            }
            let body = match self.found(&page, reply)? {
                Found::Object(body) => body,
                Found::Nothing => return Ok(Some(all)),
                Found::NoType => return Ok(None),
            };
            let page: Page = serde_json::from_slice(&body).map_err(|error| {
                let advice = "is this the API server, or a proxy before it?";
                self.invalid("read", path, format!("the answer is no list: {error}"), advice)
            })?;
            all.extend(page.items.unwrap_or_default());
            next = page.metadata.r#continue;
            if next.is_empty() {
                return Ok(Some(all));
            }
        }
    }

    async fn read(&self, path: &str) -> Result<Reply, Error> {
        self.client.send(&Call::get(path)).await.map_err(|failure| match failure {
            Failure::Error(error) | Failure::Refused(_, error) => error,
            Failure::Lost(reason) => self.invalid("read", path, reason, "see whether the API server is healthy"),
        })
    }

    fn found(&self, path: &str, reply: Reply) -> Result<Found, Error> {
        match reply.status {
            200 => Ok(Found::Object(reply.body)),
            404 if Status::of(&reply).is_some() => Ok(Found::Nothing),
            404 => Ok(Found::NoType),
            _ => Err(self.refused("read", path, &reply)),
        }
    }

    /// Creates an object.
    pub async fn create(&self, path: &str, body: String) -> Result<Written, Error> {
        self.write(Method::Post, path, body).await
    }

    /// Replaces an object by a later version of it.
    pub async fn replace(&self, path: &str, body: String) -> Result<Written, Error> {
        self.write(Method::Put, path, body).await
    }

    /// Changes a part of an object.
    pub async fn patch(&self, path: &str, body: String) -> Result<Written, Error> {
        self.write(Method::Patch, path, body).await
    }

    /// Deletes a version of an object. The server compares and deletes in one.
    pub async fn delete(&self, path: &str, resource_version: &str) -> Result<Written, Error> {
        let options = json!({
            "kind": "DeleteOptions", "apiVersion": "v1", "preconditions": {"resourceVersion": resource_version},
        });
        self.write(Method::Delete, path, options.to_string()).await
    }

    async fn write(&self, method: Method, path: &str, body: String) -> Result<Written, Error> {
        let call = Call { method, path: path.to_owned(), body: Some(body.into_bytes()) };
        let reply = match self.client.send(&call).await {
            Ok(reply) => reply,
            Err(Failure::Lost(reason)) => return Ok(Written::Unknown(format!("{}: {reason}", self.name()))),
            Err(Failure::Error(error) | Failure::Refused(_, error)) => return Err(error),
        };
        match reply.status {
            200..=202 => Ok(Written::Applied(reply.body)),
            404 if Status::of(&reply).is_none() => Err(self.refused("write", path, &reply)),
            404 | 409 => Ok(Written::Conflict),
            // A patch of another version than it expects, or of another object.
            422 if method == Method::Patch => Ok(Written::Conflict),
            _ => Err(self.refused("write", path, &reply)),
        }
    }

    fn refused(&self, doing: &'static str, path: &str, reply: &Reply) -> Error {
        let advice = match reply.status {
            404 => {
                "are Calico's custom resource definitions installed (manifests/crds), and is calico_api_group right?"
            }
            422 => "the custom resource definitions refuse what this release writes: apply those of manifests/crds",
            _ => "see whether the API server is healthy, and whether a proxy before it answers",
        };
        self.invalid(doing, path, Status::text(reply), advice)
    }

    fn invalid(&self, doing: &str, path: &str, reason: String, advice: &'static str) -> Error {
        Error::Invalid { store: self.name(), reason: format!("to {doing} {path}: {reason}"), advice: advice.into() }
    }

    /// As [`Api::get`]; who asks for the same while the answer is on its way gets it, too.
    pub async fn get_shared<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, Error> {
        let cell = self.in_flight.borrow_mut().entry(path.to_owned()).or_default().clone();
        let found = cell.get_or_try_init(async || self.get(path).await).await;
        self.in_flight.borrow_mut().remove(path);
        match found? {
            Found::Object(body) => serde_json::from_slice(body).map(Some).map_err(|error| {
                let advice = "is this the API server, or a proxy before it?";
                self.invalid("read", path, format!("the answer is not what was asked for: {error}"), advice)
            }),
            Found::Nothing | Found::NoType => Ok(None),
        }
    }
}

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    metadata: PageMetadata,
    items: Option<Vec<Box<RawValue>>>,
}

#[derive(Default, Deserialize)]
struct PageMetadata {
    #[serde(default)]
    r#continue: String,
}

/// What stays as it is in a path or in a query (RFC 3986, section 2.3).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A text as a part of a path or of a query.
pub fn encoded(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}
