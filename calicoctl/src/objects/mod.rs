//! Objects in the datastore, by kind and name, in the form in which people see them.

mod convert;
mod failure;
mod initialise;
mod node;
mod pool;
mod read;
mod write;

use calico_datastore::Revision;
use calico_model::Key;
use serde_json::{Map, Value};

pub use failure::Failure;
pub use initialise::{ensure_initialised, set_ready};

use crate::kind::Kind;
use crate::manifest;
use crate::session::Session;

/// How often a change is tried again that another writer came before.
pub const TRIES: usize = 5;

/// The built-in profile, which is nowhere stored.
pub const ALLOW_ALL: &str = "projectcalico-default-allow";

/// The objects of a datastore.
pub struct Objects<'a> {
    session: &'a Session,
}

/// A stored object.
#[derive(Debug, Clone)]
pub struct Found {
    /// Its kind.
    pub kind: Kind,
    /// As people see it, with its resource version.
    pub object: Map<String, Value>,
    /// Where it is stored; `None` for what is not.
    pub key: Option<Key>,
    /// The version that was read.
    pub revision: Revision,
}

impl Found {
    /// Its name.
    pub fn name(&self) -> &str {
        manifest::text_of(&self.object, "metadata", "name")
    }

    /// Its namespace, or nothing.
    pub fn namespace(&self) -> &str {
        manifest::text_of(&self.object, "metadata", "namespace")
    }

    /// A field of `spec`.
    pub fn spec(&self, field: &str) -> &Value {
        self.object.get("spec").and_then(|spec| spec.get(field)).unwrap_or(&Value::Null)
    }
}

impl<'a> Objects<'a> {
    /// Those of a session.
    pub fn of(session: &'a Session) -> Objects<'a> {
        Objects { session }
    }
}
