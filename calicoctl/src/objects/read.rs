//! Reading objects.

use calico_datastore::{Datastore, Want};
use calico_model::{Key, Listing};

use super::convert::{allow_all, found, stored_kind};
use super::{ALLOW_ALL, Failure, Found, Objects};
use crate::error::Error;
use crate::kind::Kind;
use crate::manifest::id;
use crate::session::Backend;

/// What a listing has.
#[derive(Debug, Default)]
pub struct Listed {
    /// The objects, in the order of their names.
    pub found: Vec<Found>,
    /// What is wrong with those that cannot be read.
    pub unreadable: Vec<String>,
}

impl Objects<'_> {
    /// Where an object is stored; `None` where its name does not say that.
    pub(super) fn key(&self, kind: Kind, namespace: &str, name: &str) -> Option<Key> {
        match kind {
            Kind::BlockAffinity => None,
            Kind::IpamConfiguration if self.session.backend() == Backend::Kubernetes => {
                (name == "default").then_some(Key::IpamConfig)
            }
            _ => {
                Some(Key::Resource { kind: stored_kind(kind)?, namespace: namespace.to_owned(), name: name.to_owned() })
            }
        }
    }

    /// One object.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub async fn get(&self, kind: Kind, namespace: &str, name: &str) -> Result<Found, Failure> {
        let missing = || Failure::Missing { id: id(kind, namespace, name) };
        if (kind, name) == (Kind::Profile, ALLOW_ALL) {
            return Ok(allow_all());
        }
        if kind == Kind::BlockAffinity {
            let all = self.list(kind, None).await.map_err(Failure::Other)?.found;
            return all.into_iter().find(|found| found.name() == name).ok_or_else(missing);
        }
        let key = self.key(kind, namespace, name).ok_or_else(missing)?;
        let mut answers = self.session.store().read(&[Want::Get(key)]).await?;
        let entry = answers.entries().into_iter().next().ok_or_else(missing)?;
        found(kind, entry)?.ok_or_else(missing)
    }

    /// All objects of a kind, of one namespace or of all.
    ///
    /// # Errors
    /// The datastore does not answer.
    pub async fn list(&self, kind: Kind, namespace: Option<&str>) -> Result<Listed, Error> {
        let wants = match (kind, stored_kind(kind)) {
            (Kind::IpamConfiguration, _) if self.session.backend() == Backend::Kubernetes => {
                vec![Want::Get(Key::IpamConfig)]
            }
            (_, Some(kind)) => vec![Want::List(Listing::Resources(kind))],
            (_, None) => vec![Want::List(Listing::HostAffinities), Want::List(Listing::VirtualAffinities)],
        };
        let mut answers = self.session.store().read(&wants).await?;
        let mut listed = Listed::default();
        for entry in wants.iter().flat_map(|_| answers.entries()) {
            match found(kind, entry) {
                Ok(found) => listed.found.extend(found),
                Err(failure) => listed.unreadable.push(failure.to_string()),
            }
        }
        listed.found.retain(|found| namespace.is_none_or(|namespace| found.namespace() == namespace));
        if kind == Kind::Profile {
            match self.session.backend() {
                Backend::Kubernetes => listed.found.insert(0, allow_all()),
                _ => listed.found.push(allow_all()),
            }
        }
        Ok(listed)
    }
}
