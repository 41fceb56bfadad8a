//! The cluster's state: made where it is absent, so that what is stored next can be used.

use calico_datastore::{Datastore, Expect, Outcome, Stored, Want, Write};
use calico_model::{ClusterInformation, Key, Kind, Resource, resource};
use serde_json::Value;

use super::TRIES;
use crate::error::Error;
use crate::session::{Backend, Session};

/// Stores a ready ClusterInformation where there is none, as every first writer of a cluster does. On the Kubernetes API its
/// type has `kdd` in it.
pub async fn ensure_initialised(session: &Session) -> Result<(), Error> {
    change(session, |information| {
        if information.spec.datastore_ready.is_none() {
            information.spec.datastore_ready = Some(true);
        }
        let extra = &mut information.spec.extra;
        if extra.get("clusterGUID").and_then(Value::as_str).is_none_or(str::is_empty) {
            let guid = resource::random_uid().map_err(|error| Error::new(format_args!("no random UUID: {error}")))?;
            extra.insert("clusterGUID".to_owned(), guid.replace('-', "").into());
        }
        if session.backend() == Backend::Kubernetes {
            let types = extra.get("clusterType").and_then(Value::as_str).unwrap_or_default();
            if !types.split(',').any(|one| one == "kdd") {
                let types = if types.is_empty() { "kdd".to_owned() } else { format!("{types},kdd") };
                extra.insert("clusterType".to_owned(), types.into());
            }
        }
        Ok(())
    })
    .await
}

/// Says whether plugins and node agents may use the datastore.
pub async fn set_ready(session: &Session, ready: bool) -> Result<(), Error> {
    ensure_initialised(session).await?;
    change(session, |information| {
        information.spec.datastore_ready = Some(ready);
        Ok(())
    })
    .await
}

/// Changes the ClusterInformation, or makes it.
async fn change(session: &Session, change: impl Fn(&mut ClusterInformation) -> Result<(), Error>) -> Result<(), Error> {
    let key = Key::resource(Kind::ClusterInformation, "default");
    let store = session.store();
    let mut last = String::new();
    for _ in 0..TRIES {
        let stored: Option<Stored<ClusterInformation>> = store.read(&[Want::Get(key.clone())]).await?.get()?;
        let (expect, before) = match stored {
            Some(stored) => (Expect::At(stored.revision), Some(stored.value)),
            None => (Expect::Absent, None),
        };
        let mut information =
            before.clone().unwrap_or_else(|| Resource::new(Kind::ClusterInformation, "default", Default::default()));
        change(&mut information)?;
        if before.as_ref() == Some(&information) {
            return Ok(());
        }
        last = match store.commit(&[Write::put(key.clone(), expect, information)]).await? {
            Outcome::Applied(_) => return Ok(()),
            Outcome::Conflict { .. } => format!("another writer changed {key}"),
            Outcome::Unknown(reason) => reason,
        };
    }
    Err(Error::new(format_args!("{key} was not changed: {last}")))
}
