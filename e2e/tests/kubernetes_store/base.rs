//! What the model runs on.

use calico_datastore::kubernetes::{Kubernetes, Settings};
use calico_datastore::{Answers, Datastore, Error, Outcome, Revision, Want, Write};
use calico_model::{Key, Kind, Object};
use e2e::{ControlPlane, Lease};
use serde_json::json;

use crate::opened::{group_of, open};

/// The API, and a client that changes nodes: they are no objects of the datastore, and the model changes them.
pub struct Base {
    store: Kubernetes,
    plane: Lease,
}

impl Base {
    /// `settings`: with which the store is reached.
    pub async fn open(plane: Lease, settings: &Settings) -> Base {
        Base { store: open(settings, group_of(&plane)).await, plane }
    }
}

fn write_node(plane: &ControlPlane, name: &str, object: Option<&Object>) {
    let (collection, admin) = ("/api/v1/nodes", plane.admin());
    let path = format!("{collection}/{name}");
    let answer = match object {
        Some(Object::Node(node)) => {
            let metadata = json!({"name": name, "labels": node.metadata.labels});
            let body = json!({"apiVersion": "v1", "kind": "Node", "metadata": metadata});
            if admin.get(&path).is_ok() { admin.update(&path, &body) } else { admin.create(collection, &body) }
        }
        _ => admin.delete(&path),
    };
    answer.unwrap_or_else(|e| panic!("{path}: {e}"));
}

impl Datastore for Base {
    async fn read(&self, wants: &[Want]) -> Result<Answers, Error> {
        self.store.read(wants).await
    }

    async fn commit(&self, writes: &[Write]) -> Result<Outcome, Error> {
        let mut applied = Vec::new();
        for write in writes {
            if let Key::Resource { kind: Kind::Node, name, .. } = &write.key {
                let plane: &ControlPlane = &self.plane;
                // Its client waits by itself, which nobody may do where others are waited for.
                std::thread::scope(|scope| {
                    scope.spawn(|| write_node(plane, name, write.object.as_ref())).join().unwrap()
                });
                applied.push(Revision(0));
                continue;
            }
            match self.store.commit(std::slice::from_ref(write)).await? {
                Outcome::Applied(revisions) => applied.extend(revisions),
                Outcome::Conflict { .. } => return Ok(Outcome::Conflict { index: applied.len(), applied }),
                Outcome::Unknown(reason) => return Ok(Outcome::Unknown(reason)),
            }
        }
        Ok(Outcome::Applied(applied))
    }

    async fn settle(&self) -> Result<(), Error> {
        self.store.settle().await
    }

    fn answers_singly(&self) -> bool {
        self.store.answers_singly()
    }

    fn endpoints_are_pods(&self) -> bool {
        self.store.endpoints_are_pods()
    }

    fn name(&self) -> String {
        self.store.name()
    }
}
