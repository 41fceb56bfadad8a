//! The Kubernetes API as datastore: Calico's objects are custom resources, and its endpoints are pods.
//!
//! Every question and every write is a request of its own. The questions of a batch are asked at once, over one connection; the
//! writes of a commit go in their order, each after the answer to the one before.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use calico_model::kubernetes::{Group, Item, Kept, decode, decode_outline, place};
use calico_model::object::Malformed;
use calico_model::{Key, Object};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::api::{Api, Found, Written, encoded};
use super::client::Client;
use super::settings::Settings;
use super::{guess, nodes, pods, questions};
use crate::contract::{Answers, Datastore, Entry, Expect, Outcome, Revision, Want, Write};
use crate::deadline::Deadline;
use crate::error::Error;

/// A connection to the Kubernetes API.
pub struct Kubernetes {
    api: Rc<Api>,
    /// The API group of the custom resources.
    group: Cell<Group>,
    /// Whether it is certain.
    is_certain: Cell<bool>,
    /// What was read with objects and is not part of them, to be written back with them.
    known: RefCell<HashMap<Key, Known>>,
}

/// What belongs to an object as it was read or written.
#[derive(Clone)]
pub(super) struct Known {
    pub revision: Revision,
    pub uid: String,
    pub kept: Option<Kept>,
}

impl Kubernetes {
    /// Connects. Without a `group`, the most likely one is tried, and where that is absent, the server asked.
    pub async fn open(settings: &Settings, group: Option<Group>, deadline: Deadline) -> Result<Kubernetes, Error> {
        let client = Client::connect(settings, deadline).await?;
        Ok(Kubernetes {
            api: Rc::new(Api::new(client)),
            group: Cell::new(group.unwrap_or_else(guess::first)),
            is_certain: Cell::new(group.is_some()),
            known: RefCell::default(),
        })
    }

    /// The API.
    pub(super) fn api(&self) -> &Rc<Api> {
        &self.api
    }

    /// The group to use.
    pub(super) fn group(&self) -> Group {
        self.group.get()
    }

    /// Takes note that the group in use has answered for one of its types.
    pub(super) fn confirm_group(&self) {
        self.is_certain.set(true);
    }

    /// Where the group in use may be the wrong one: asks the server which groups it has, and answers whether that changes
    /// anything. As upstream decides: where both are there, the other one is a server in front of this one.
    pub(super) async fn changes_group(&self) -> bool {
        #[derive(Deserialize)]
        struct Groups {
            groups: Vec<Named>,
        }
        #[derive(Deserialize)]
        struct Named {
            name: String,
        }
        if self.is_certain.replace(true) {
            return false;
        }
        let groups = match self.api.get_shared::<Groups>("/apis").await {
            Ok(Some(found)) => found.groups,
            _ => return false,
        };
        let has = |group: Group| groups.iter().any(|named| group.api_version().split('/').next() == Some(&named.name));
        let found = if has(Group::V3) && !has(Group::V1) { Group::V3 } else { Group::V1 };
        if found == self.group.replace(found) {
            return false;
        }
        guess::keep(found);
        true
    }

    /// None of Calico's types of object is there.
    pub(super) fn lacks_definitions(&self) -> Error {
        let group = self.group().api_version();
        Error::Invalid {
            store: self.api.name(),
            reason: format!("it has none of Calico's custom resources in {group}"),
            advice: "install their definitions (manifests/crds), or correct calico_api_group; is it the right cluster?"
                .into(),
        }
    }

    /// The path of a custom resource; `None` for what is none.
    pub(super) fn path(&self, key: &Key) -> Option<String> {
        let group = self.group();
        let place = place(group, key)?;
        Some(format!("{}/{}/{}", group.path(), place.plural, encoded(&place.name)))
    }

    /// An object as it was answered, as an entry: remembered, for who writes it. `wanted` is the key that it was asked for by.
    /// `None` where its deletion was begun: that is brought to its end; and where it does not say which one it is, and nobody
    /// asked for it in particular.
    pub(super) async fn entry(
        &self,
        plural: &str,
        wanted: Option<&Key>,
        json: &[u8],
        outline: bool,
    ) -> Result<Option<Entry>, Error> {
        let group = self.group();
        let item = if outline { decode_outline(group, json) } else { decode(group, plural, json) };
        let Some(Item { key, resource_version, uid, is_deleted, object, kept }) = item else {
            // What was cut short, or is not the API's at all, does not say that nothing is there.
            return match serde_json::from_slice::<IgnoredAny>(json) {
                Ok(_) => wanted.map(|key| self.unidentified(key, json)).transpose(),
                Err(error) => Err(Error::Invalid {
                    store: self.api.name(),
                    reason: format!("the answer to reading one of {plural} is no JSON: {error}"),
                    advice: "is this the API server, or a proxy before it?".into(),
                }),
            };
        };
        if is_deleted {
            // Best effort: while it is there, it is in the way of who creates it, and found here again.
            if let Some(path) = self.path(&key) {
                let _ = self.api.delete(&path, &resource_version).await;
            }
            return Ok(None);
        }
        let revision = self.revision(&key, &resource_version)?;
        if !outline {
            self.remember(&key, Known { revision, uid, kept: Some(kept) });
        }
        Ok(Some(Entry { key, revision, object }))
    }

    /// What is in an object's place and does not say what it is.
    fn unidentified(&self, key: &Key, json: &[u8]) -> Result<Entry, Error> {
        let reason = "the object in its place does not say which one it is".to_owned();
        let whole: serde_json::Value = serde_json::from_slice(json).unwrap_or_default();
        let revision = self.revision(key, whole["metadata"]["resourceVersion"].as_str().unwrap_or_default())?;
        Ok(Entry { key: key.clone(), revision, object: Err(Malformed { key: key.path(), reason }) })
    }

    /// Remembers the latest version: of two requests at a time, the answer to the later may come first.
    pub(super) fn remember(&self, key: &Key, known: Known) {
        let mut all = self.known.borrow_mut();
        if all.get(key).is_none_or(|before| before.revision.0 <= known.revision.0) {
            all.insert(key.clone(), known);
        }
    }

    /// What was read with this version of an object.
    pub(super) fn known(&self, key: &Key, revision: Revision) -> Option<Known> {
        self.known.borrow().get(key).filter(|known| known.revision == revision).cloned()
    }

    /// A resource version as a revision: a decimal number, which every API server with etcd behind it has.
    pub(super) fn revision(&self, key: &Key, resource_version: &str) -> Result<Revision, Error> {
        resource_version.parse().map(Revision).map_err(|_| Error::Invalid {
            store: self.api.name(),
            reason: format!("{key} has the resourceVersion {resource_version:?}, which is no number"),
            advice: "is this the API server of a cluster, with etcd behind it?".into(),
        })
    }

    /// Applies one write of a custom resource.
    async fn write(&self, write: &Write) -> Result<Done, Error> {
        let group = self.group();
        let (Some(path), Some(place)) = (self.path(&write.key), place(group, &write.key)) else {
            return Err(Error::Malformed(Malformed {
                key: write.key.path(),
                reason: "the Kubernetes API cannot keep it: it is derived from Kubernetes' own objects".to_owned(),
            }));
        };
        let encode = |object: &Object, known: Option<&Known>, resource_version: Option<&str>| {
            let kept = known.and_then(|known| known.kept.as_ref());
            calico_model::kubernetes::encode(group, &write.key, object, kept, resource_version)
        };
        let written = match (&write.object, write.expect) {
            (Some(object), Expect::Absent) => {
                let collection = format!("{}/{}", group.path(), place.plural);
                let body = encode(object, None, None)?;
                match self.api.create(&collection, body.clone()).await? {
                    // What is in the way may be the rest of a deletion, which reading it ends.
                    Written::Conflict if self.was_deleted(&write.key, &path, place.plural).await? => {
                        self.api.create(&collection, body).await?
                    }
                    written => written,
                }
            }
            (Some(object), Expect::At(revision)) => {
                let Some(known) = self.known(&write.key, revision) else {
                    // A later version was seen meanwhile.
                    return Ok(Done::Conflict);
                };
                let body = encode(object, Some(&known), Some(&revision.0.to_string()))?;
                self.api.replace(&path, body).await?
            }
            (None, Expect::At(revision)) => self.api.delete(&path, &revision.0.to_string()).await?,
            (None, Expect::Absent) => return Ok(Done::Applied(Revision(0))),
        };
        Ok(match written {
            Written::Conflict => Done::Conflict,
            Written::Unknown(reason) => Done::Unknown(reason),
            // A deletion is answered with a status, or with what there was.
            Written::Applied(_) if write.object.is_none() => Done::Applied(Revision(0)),
            Written::Applied(body) => match decode(group, place.plural, &body) {
                Some(Item { resource_version, uid, kept, .. }) => {
                    let revision = self.revision(&write.key, &resource_version)?;
                    self.remember(&write.key, Known { revision, uid, kept: Some(kept) });
                    Done::Applied(revision)
                }
                None => Done::Unknown(format!("{}: the answer is no object", self.api.name())),
            },
        })
    }

    /// Whether what is at a path is not there any more, when it is looked at.
    async fn was_deleted(&self, key: &Key, path: &str, plural: &str) -> Result<bool, Error> {
        match self.api.get(path).await? {
            Found::Object(body) => Ok(self.entry(plural, Some(key), &body, false).await?.is_none()),
            Found::Nothing | Found::NoType => Ok(true),
        }
    }
}

/// What says which one it is, and is not as one should be. It cannot be written, so that nothing is remembered of it.
pub(super) fn unreadable_entry(key: Key, resource_version: &serde_json::Value, error: &serde_json::Error) -> Entry {
    let revision = resource_version.as_str().and_then(|text| text.parse().ok()).unwrap_or_default();
    let object = Err(Malformed { key: key.path(), reason: error.to_string() });
    Entry { key, revision: Revision(revision), object }
}

/// What became of one write.
pub(super) enum Done {
    Applied(Revision),
    Conflict,
    Unknown(String),
}

impl Datastore for Kubernetes {
    async fn read(&self, wants: &[Want]) -> Result<Answers, Error> {
        questions::ask(self, wants).await
    }

    async fn commit(&self, writes: &[Write]) -> Result<Outcome, Error> {
        let mut applied = Vec::with_capacity(writes.len());
        for (index, write) in writes.iter().enumerate() {
            let done = if let Some(done) = pods::write(self, write).await {
                done
            } else if let Some(done) = nodes::write(self, write).await {
                done
            } else {
                self.write(write).await
            };
            match done {
                Ok(Done::Applied(revision)) => applied.push(revision),
                Ok(Done::Conflict) => return Ok(Outcome::Conflict { index, applied }),
                Ok(Done::Unknown(reason)) => return Ok(Outcome::Unknown(reason)),
                // Trying again would meet the same: the caller gives up, and undoes what was applied.
                Err(error @ (Error::Forbidden { .. } | Error::Invalid { .. } | Error::Malformed(_))) => {
                    return Err(error);
                }
                Err(error) if !applied.is_empty() => return Ok(Outcome::Unknown(error.to_string())),
                Err(error) => return Err(error),
            }
        }
        Ok(Outcome::Applied(applied))
    }

    /// Nothing to be done: every read is answered from what etcd has by then. What a dead process has in the hands of the
    /// server may land later; handles are written and answered before blocks, so that it is found by its handle.
    async fn settle(&self) -> Result<(), Error> {
        Ok(())
    }

    fn answers_singly(&self) -> bool {
        true
    }

    fn endpoints_are_pods(&self) -> bool {
        true
    }

    fn name(&self) -> String {
        self.api.name()
    }
}
