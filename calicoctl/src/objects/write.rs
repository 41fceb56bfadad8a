//! Creating, changing and deleting objects.

use std::time::Duration;

use calico_datastore::{Datastore, Outcome, Want, Write};
use calico_model::{AffinityState, Block, Key, Owner, cidr};
use ipnetwork::IpNetwork;
use serde_json::{Map, Value};

use super::convert::stored;
use super::{ALLOW_ALL, Failure, Found, Objects, TRIES, node, pool};
use crate::kind::Kind;
use crate::manifest::{id, text_of};
use crate::session::Backend;
use crate::validate::{self, Broken};

/// The pause before a change is tried again that another writer came before.
const PAUSE: Duration = Duration::from_millis(200);

/// What became of an object that was to be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It is new.
    Created,
    /// It was changed.
    Changed,
    /// It was like that already: nothing was written.
    None,
}

impl Objects<'_> {
    /// Stores an object that must not exist yet.
    pub async fn create(&self, kind: Kind, mut object: Map<String, Value>) -> Result<Change, Failure> {
        sound(validate::check_create_metadata(kind, &object))?;
        keep_of_metadata(&mut object);
        if !kind.about().shows_status {
            object.shift_remove("status");
        }
        self.prepare(kind, &mut object)?;
        let (namespace, name) = (text_of(&object, "metadata", "namespace"), text_of(&object, "metadata", "name"));
        if (kind, name) == (Kind::Profile, ALLOW_ALL) {
            return Err(Failure::Exists { id: id(kind, namespace, name) });
        }
        self.may_write(kind, "Create", name)?;
        let key = self.key_of(kind, &object)?;
        match kind {
            Kind::IpPool => pool::check_new(self.session, &object).await?,
            Kind::BlockAffinity => self.check_claim(&key, &object).await?,
            _ => {}
        }
        let write = Write::create(key.clone(), stored(kind, &key, &object)?);
        match self.session.store().commit(&[write]).await? {
            Outcome::Applied(_) => Ok(Change::Created),
            Outcome::Conflict { .. } => Err(Failure::Exists { id: id(kind, namespace, name) }),
            Outcome::Unknown(reason) => Err(unknown(&id(kind, namespace, name), &reason)),
        }
    }

    /// Changes an object that must exist. Fields that this release does not know stay as they are stored.
    pub async fn update(&self, kind: Kind, object: &Map<String, Value>) -> Result<Change, Failure> {
        let mut object = object.clone();
        validate::set_defaults(kind, &mut object);
        let (namespace, name) = (text_of(&object, "metadata", "namespace"), text_of(&object, "metadata", "name"));
        let mut tries = 0;
        loop {
            let found = self.get(kind, namespace, name).await?;
            tries += 1;
            match self.replace(&found, &object).await {
                // Whoever names a version wants that and no other replaced.
                Err(Failure::Conflict { .. })
                    if tries < TRIES && text_of(&object, "metadata", "resourceVersion").is_empty() =>
                {
                    tokio::time::sleep(PAUSE).await;
                }
                other => return other,
            }
        }
    }

    /// Replaces what was found.
    pub async fn replace(&self, found: &Found, object: &Map<String, Value>) -> Result<Change, Failure> {
        let kind = found.kind;
        let conflict = || Failure::Conflict { id: id(kind, found.namespace(), found.name()) };
        let expected = text_of(object, "metadata", "resourceVersion");
        if !expected.is_empty() && expected != text_of(&found.object, "metadata", "resourceVersion") {
            return Err(conflict());
        }
        let mut object = merged(found, object);
        self.prepare(kind, &mut object)?;
        if kind == Kind::IpPool {
            sound(validate::pool_change(&found.object, &object))?;
        }
        if object == found.object {
            return Ok(Change::None);
        }
        self.may_write(kind, "Update", found.name())?;
        let key = found.key.clone().ok_or_else(|| built_in("Update"))?;
        if kind == Kind::BlockAffinity {
            if self.key_of(kind, &object)? != key {
                let reason = "node, type and cidr of an affinity cannot be changed: delete it and create another";
                return Err(Failure::text(reason));
            }
            self.check_claim(&key, &object).await?;
        }
        let write = Write::update(key.clone(), found.revision, stored(kind, &key, &object)?);
        match self.session.store().commit(&[write]).await? {
            Outcome::Applied(_) => Ok(Change::Changed),
            Outcome::Conflict { .. } => Err(conflict()),
            Outcome::Unknown(reason) => Err(unknown(&id(kind, found.namespace(), found.name()), &reason)),
        }
    }

    /// Deletes an object, and with a pool or a node what belongs to it. A version, if it is not empty, must be the stored one.
    pub async fn delete(&self, kind: Kind, namespace: &str, name: &str, version: &str) -> Result<(), Failure> {
        if (kind, name) == (Kind::Profile, ALLOW_ALL) {
            return Err(built_in("Delete"));
        }
        let mut tries = 0;
        loop {
            let found = self.get(kind, namespace, name).await?;
            let conflict = || Failure::Conflict { id: id(kind, namespace, name) };
            if !version.is_empty() && version != text_of(&found.object, "metadata", "resourceVersion") {
                return Err(conflict());
            }
            self.may_write(kind, "Delete", name)?;
            let Some(key) = found.key.clone() else { return Err(built_in("Delete")) };
            let revision = match kind {
                Kind::IpPool => pool::empty(self.session, &found).await?,
                Kind::Node => {
                    node::release(self.session, &found).await?;
                    found.revision
                }
                _ => found.revision,
            };
            tries += 1;
            match self.session.store().commit(&[Write::delete(key, revision)]).await? {
                Outcome::Applied(_) => return Ok(()),
                Outcome::Conflict { .. } if tries < TRIES && version.is_empty() => tokio::time::sleep(PAUSE).await,
                Outcome::Conflict { .. } => return Err(conflict()),
                Outcome::Unknown(reason) => return Err(unknown(&id(kind, namespace, name), &reason)),
            }
        }
    }

    /// Fills in defaults, and checks what can be checked without looking at other objects.
    fn prepare(&self, kind: Kind, object: &mut Map<String, Value>) -> Result<(), Failure> {
        sound(validate::check_name(kind, object).into_iter().collect())?;
        if kind == Kind::IpPool {
            sound(validate::check_pool(object))?;
        }
        validate::set_defaults(kind, object);
        sound(validate::check(kind, object, self.session.backend() != Backend::Kubernetes))
    }

    /// Some objects are views of what Kubernetes has.
    fn may_write(&self, kind: Kind, operation: &'static str, name: &str) -> Result<(), Failure> {
        let reason = match (kind, self.session.backend(), operation) {
            (Kind::Profile, Backend::Kubernetes, _) => {
                "it is made of a namespace or a service account: change that with kubectl"
            }
            (Kind::WorkloadEndpoint, Backend::Kubernetes, _) => "it is made of a pod: change that with kubectl",
            (Kind::Node, Backend::Kubernetes, "Create" | "Delete") => {
                "nodes are Kubernetes' own: its kubelet registers a node, and kubectl deletes it"
            }
            _ => return Ok(()),
        };
        Err(Failure::Unsupported { operation, name: name.to_owned(), reason: reason.to_owned() })
    }

    /// Where an object is to be stored.
    fn key_of(&self, kind: Kind, object: &Map<String, Value>) -> Result<Key, Failure> {
        let metadata = |field: &str| text_of(object, "metadata", field);
        if kind != Kind::BlockAffinity {
            let key = self.key(kind, metadata("namespace"), metadata("name"));
            return key.ok_or_else(|| Failure::text("there is no place for an object of this name"));
        }
        let spec = |field: &str| text_of(object, "spec", field);
        let block: IpNetwork = spec("cidr").parse().map_err(|_| Failure::text("spec.cidr is no CIDR"))?;
        let owner = match spec("type") {
            "virtual" => Owner::Virtual(spec("node").to_owned()),
            _ => Owner::Host(spec("node").to_owned()),
        };
        let key = Key::Affinity { owner, block: cidr::masked(&block) };
        let place = calico_model::kubernetes::place(calico_model::kubernetes::Group::V1, &key);
        match place.filter(|place| place.name != metadata("name")) {
            Some(place) => Err(Failure::text(format_args!("the affinity's name must be {}", place.name))),
            None => Ok(key),
        }
    }

    /// A claim that is confirmed by hand must be that of the block's owner: two owners would announce one block's routes.
    async fn check_claim(&self, key: &Key, object: &Map<String, Value>) -> Result<(), Failure> {
        let Key::Affinity { owner, block } = key else { return Ok(()) };
        // Without a state it counts as confirmed.
        if AffinityState::from(text_of(object, "spec", "state").to_owned()) != AffinityState::Confirmed {
            return Ok(());
        }
        let stored = self.session.store().read(&[Want::Get(Key::Block(*block))]).await?.get::<Block>()?;
        match stored {
            Some(stored) if stored.value.is_owned_by(owner) => Ok(()),
            Some(stored) => {
                let named = stored.value.affinity.unwrap_or_else(|| "nobody".to_owned());
                Err(Failure::text(format_args!(
                    "block {block} belongs to {named}: a confirmed affinity must be its owner's"
                )))
            }
            None => Err(Failure::text(format_args!("there is no block {block}: a confirmed affinity must have one"))),
        }
    }
}

/// No rule is broken.
fn sound(broken: Vec<Broken>) -> Result<(), Failure> {
    if broken.is_empty() { Ok(()) } else { Err(Failure::Invalid(broken)) }
}

/// Of a new object's metadata only this is the author's to say.
fn keep_of_metadata(object: &mut Map<String, Value>) {
    if let Some(Value::Object(metadata)) = object.get_mut("metadata") {
        metadata.retain(|field, _| {
            ["name", "generateName", "namespace", "labels", "annotations"].contains(&field.as_str())
        });
    }
}

/// What is stored, with what its author may change in it: labels, annotations and content.
fn merged(found: &Found, object: &Map<String, Value>) -> Map<String, Value> {
    let mut merged = found.object.clone();
    if let Some(Value::Object(metadata)) = merged.get_mut("metadata") {
        for field in ["labels", "annotations"] {
            metadata.shift_remove(field);
            if let Some(value) = object.get("metadata").and_then(|metadata| metadata.get(field)) {
                metadata.insert(field.to_owned(), value.clone());
            }
        }
        *metadata = crate::kinds::metadata::METADATA.ordered(metadata);
    }
    let mut spec = object.get("spec").and_then(Value::as_object).cloned().unwrap_or_default();
    if let Some(Value::Object(stored)) = found.object.get("spec") {
        found.kind.about().spec.keep_unknown(&mut spec, stored);
    }
    merged.insert("spec".to_owned(), spec.into());
    // A pool's status is its controller's to say: an old one, kept in a file, would switch it off or on.
    let kept = if found.kind.about().shows_status { "" } else { "status" };
    for (part, value) in object {
        if !["kind", "apiVersion", "metadata", "spec", kept].contains(&part.as_str()) {
            merged.insert(part.clone(), value.clone());
        }
    }
    merged
}

fn built_in(operation: &'static str) -> Failure {
    let done = if operation == "Delete" { "deleted" } else { "changed" };
    let reason = format!("The profile \"{ALLOW_ALL}\" is a default provided by Calico and cannot be {done}");
    Failure::Unsupported { operation, name: ALLOW_ALL.to_owned(), reason }
}

fn unknown(id: &str, reason: &str) -> Failure {
    let error = crate::error::Error::new(format_args!("{id} may have been written, or not: {reason}"));
    Failure::Other(error.with_detail("get it, and see"))
}
