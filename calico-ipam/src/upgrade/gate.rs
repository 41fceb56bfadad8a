//! The datastore is closed while addresses are taken over: `datastoreReady` is false, and plugins wait with their work.
//!
//! Several nodes may be at it at once. Each one's name stands in an annotation of the same object, written in one with
//! `datastoreReady`: the last to leave opens the datastore, and nobody opens what another has closed. So a run knows whether an
//! earlier one of its node was killed in between, and a lock that an operator set stays. A file on the node, which is there
//! before and after, says that it must be asked at all.

use std::fs::File;
use std::path::Path;

use calico_datastore::{Datastore, Outcome, Stored, Want, Write};
use calico_model::{ClusterInformation, Key, Kind};
use calico_plugin::log::Value::Text;

use super::error::Error;
use super::host_local::remove_if_there;
use super::migration::Migration;
use super::orchestrator::Orchestrator;

/// The annotation of ClusterInformation with the nodes for which the datastore is closed, separated by commas. Without
/// meaning while it is open: then an operator has opened it in spite of them.
pub(super) const CLOSED_FOR: &str = "projectcalico.org/host-local-upgrade";

/// How often a write is tried again that met another's.
pub(super) const RETRIES: usize = 5;

fn nodes(information: &ClusterInformation) -> Vec<String> {
    let list = information.metadata.annotations.get(CLOSED_FOR).map(String::as_str).unwrap_or_default();
    list.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

fn with(mut information: ClusterInformation, nodes: &[String], ready: Option<bool>) -> ClusterInformation {
    match nodes {
        [] => information.metadata.annotations.remove(CLOSED_FOR),
        nodes => information.metadata.annotations.insert(CLOSED_FOR.to_owned(), nodes.join(",")),
    };
    information.spec.datastore_ready = ready;
    information
}

/// What is to be stored so that the datastore is closed for a node; `None` where it is.
fn close(information: ClusterInformation, node: &str) -> Result<Option<ClusterInformation>, Error> {
    let mut nodes = nodes(&information);
    match information.spec.datastore_ready {
        Some(false) if nodes.is_empty() => return Err(Error::Locked),
        Some(false) if nodes.iter().any(|name| name == node) => return Ok(None),
        Some(false) => {}
        Some(true) | None => nodes.clear(),
    }
    nodes.push(node.to_owned());
    Ok(Some(with(information, &nodes, Some(false))))
}

/// What is to be stored so that the datastore is not closed for a node; `None` where it is not.
fn open(information: ClusterInformation, node: &str) -> Option<ClusterInformation> {
    let mut nodes = nodes(&information);
    if !nodes.iter().any(|name| name == node) {
        return None;
    }
    nodes.retain(|name| name != node);
    let ready = if nodes.is_empty() { Some(true) } else { information.spec.datastore_ready };
    Some(with(information, &nodes, ready))
}

impl<D: Datastore, K: Orchestrator> Migration<'_, D, K> {
    /// Closes the datastore for this node, if it is not. The node remembers that it may be closed, until it has been opened.
    ///
    /// # Errors
    /// Something else than an upgrade has closed it.
    pub(super) async fn close(&self) -> Result<(), Error> {
        create_durably(&self.places.marker)?;
        let changed = self.change(|information| {
            let information = information.ok_or_else(|| calico_plugin::Error::Uninitialised(key()))?;
            close(information, self.node)
        });
        if let Some(now) = changed.await? {
            self.log.info("closed the datastore: plugins wait", &[("nodes", Text(&nodes(&now).join(",")))]);
        }
        Ok(())
    }

    /// Opens the datastore, if it is closed for this node and no other.
    pub(super) async fn open(&self) -> Result<(), Error> {
        let changed = self.change(|information| match information {
            Some(information) => Ok(open(information, self.node)),
            // Nobody has closed it.
            None => Ok(None),
        });
        match changed.await? {
            Some(now) if now.spec.datastore_ready == Some(true) => self.log.info("opened the datastore", &[]),
            Some(now) => {
                let others = nodes(&now).join(",");
                let message = "left the datastore closed: other nodes are at it; if they are gone for good: calicoctl datastore migrate unlock";
                self.log.info(message, &[("nodes", Text(&others))]);
            }
            None => {}
        }
        remove_if_there(&self.places.marker)
    }

    /// Changes the object by compare-and-swap; answers it where it was written.
    async fn change(
        &self,
        decide: impl Fn(Option<ClusterInformation>) -> Result<Option<ClusterInformation>, Error>,
    ) -> Result<Option<ClusterInformation>, Error> {
        let mut last = String::new();
        for _ in 0..RETRIES {
            let stored: Option<Stored<ClusterInformation>> = self.timed().read(&[Want::Get(key())]).await?.get()?;
            let revision = stored.as_ref().map(|stored| stored.revision);
            let (Some(wanted), Some(revision)) = (decide(stored.map(|stored| stored.value))?, revision) else {
                return Ok(None);
            };
            match self.timed().commit(&[Write::update(key(), revision, wanted.clone())]).await? {
                Outcome::Applied(_) => return Ok(Some(wanted)),
                Outcome::Conflict { .. } => last = "others keep changing it".to_owned(),
                Outcome::Unknown(reason) => last = reason,
            }
        }
        Err(Error::NotWritten { key: key(), last })
    }
}

/// Creates an empty file that is there also after a loss of power.
fn create_durably(path: &Path) -> Result<(), Error> {
    let create = || {
        File::create(path)?.sync_all()?;
        File::open(path.parent().unwrap_or(path))?.sync_all()
    };
    create().map_err(Error::file("create", path))
}

pub(super) fn key() -> Key {
    Key::resource(Kind::ClusterInformation, "default")
}

#[cfg(test)]
mod tests {
    use calico_model::Resource;
    use calico_model::resource::ClusterInformationSpec;

    use super::*;

    fn information(ready: Option<bool>, nodes: &str) -> ClusterInformation {
        let spec = ClusterInformationSpec { datastore_ready: ready, ..ClusterInformationSpec::default() };
        let mut information = Resource::new(Kind::ClusterInformation, "default", spec);
        if !nodes.is_empty() {
            information.metadata.annotations.insert(CLOSED_FOR.to_owned(), nodes.to_owned());
        }
        information
    }

    #[test]
    fn the_last_to_leave_opens() {
        let written = |ready, nodes| Some(information(ready, nodes));
        let (yes, no) = (Some(true), Some(false));
        for (before, closed) in [
            (information(yes, ""), written(no, "a")),
            (information(None, ""), written(no, "a")),
            (information(no, "b"), written(no, "b,a")),
            (information(no, "b,a"), None),
            // An operator has opened it meanwhile: who was at it then does not open what is closed now.
            (information(yes, "b,a"), written(no, "a")),
        ] {
            assert_eq!(close(before, "a").unwrap(), closed);
        }
        assert!(matches!(close(information(no, ""), "a"), Err(Error::Locked)));
        for (before, opened) in [
            (information(no, "a"), written(yes, "")),
            (information(no, "b,a"), written(no, "b")),
            (information(yes, "a"), written(yes, "")),
            (information(yes, "b,a"), written(yes, "b")),
            // Others' names that have this one in them are others'.
            (information(no, "aa"), None),
            (information(no, ""), None),
            (information(yes, ""), None),
            (information(None, ""), None),
        ] {
            assert_eq!(open(before, "a"), opened);
        }
    }
}
