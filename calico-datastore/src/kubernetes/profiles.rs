//! Profiles: views of namespaces and service accounts, which are never written.

use calico_model::kubernetes::{Named, ProfileSource, account_profile, namespace_profile};
use calico_model::{Key, Kind, Profile};
use futures_util::future::try_join;

use super::api::encoded;
use super::cluster::namespace_path;
use super::store::Kubernetes;
use crate::contract::Entry;
use crate::error::Error;

/// How an object is a profile.
type View = fn(&Named) -> Profile;

/// The profile of this name; `None` where there is none.
pub async fn get(store: &Kubernetes, name: &str) -> Result<Option<Entry>, Error> {
    let (path, view): (String, View) = match ProfileSource::of(name) {
        Some(ProfileSource::Namespace(namespace)) => (namespace_path(namespace), namespace_profile),
        Some(ProfileSource::ServiceAccount { namespace, name }) => {
            (format!("{}/serviceaccounts/{}", namespace_path(namespace), encoded(name)), account_profile)
        }
        None => return Ok(None),
    };
    let found: Option<Named> = store.api().get_shared(&path).await?;
    found.map(|found| entry(store, &found, view)).transpose()
}

/// All profiles.
pub async fn all(store: &Kubernetes) -> Result<Vec<Entry>, Error> {
    let api = store.api();
    let lists = try_join(api.list("/api/v1/namespaces", ""), api.list("/api/v1/serviceaccounts", ""));
    let (namespaces, accounts) = lists.await?;
    let views: [(_, View); 2] = [(namespaces, namespace_profile), (accounts, account_profile)];
    let mut entries = Vec::new();
    for (items, view) in views {
        for item in items.unwrap_or_default() {
            // What cannot be read is nobody's profile.
            if let Ok(found) = serde_json::from_slice(item.get().as_bytes()) {
                entries.push(entry(store, &found, view)?);
            }
        }
    }
    Ok(entries)
}

/// The revision is that of the object that the profile is made of.
fn entry(store: &Kubernetes, source: &Named, view: View) -> Result<Entry, Error> {
    let profile = view(source);
    let key = Key::resource(Kind::Profile, &profile.metadata.name);
    let revision = store.revision(&key, &source.metadata.resource_version)?;
    Ok(Entry { key, revision, object: Ok(profile.into()) })
}
