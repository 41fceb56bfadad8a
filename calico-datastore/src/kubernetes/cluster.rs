//! What Kubernetes itself says: its pods, namespaces and nodes, which are not Calico's objects.

use std::rc::Rc;

use calico_model::kubernetes::{ClusterNode, Namespace, Pod};
use serde::de::DeserializeOwned;

use super::api::{Api, encoded};
use super::client::Client;
use super::settings::Settings;
use crate::deadline::Deadline;
use crate::error::Error;
use crate::store::Store;

/// Kubernetes, until a deadline.
pub struct Cluster {
    api: Rc<Api>,
    deadline: Deadline,
}

impl Cluster {
    /// Connects; where the datastore is the same API with the same credentials, over its connection.
    pub async fn open(settings: &Settings, store: &Store, deadline: Deadline) -> Result<Cluster, Error> {
        if let Store::Kubernetes(store) = store
            && store.api().client().serves(settings)
        {
            return Ok(Cluster { api: store.api().clone(), deadline });
        }
        let client = Client::connect(settings, deadline).await?;
        Ok(Cluster { api: Rc::new(Api::new(client)), deadline })
    }

    /// The same until another deadline.
    pub fn until(&self, deadline: Deadline) -> Cluster {
        Cluster { api: self.api.clone(), deadline }
    }

    /// A pod.
    pub async fn pod(&self, namespace: &str, name: &str) -> Result<Option<Pod>, Error> {
        self.get(&pod_path(namespace, name)).await
    }

    /// A namespace.
    pub async fn namespace(&self, name: &str) -> Result<Option<Namespace>, Error> {
        self.get(&format!("/api/v1/namespaces/{}", encoded(name))).await
    }

    /// A node.
    pub async fn node(&self, name: &str) -> Result<Option<ClusterNode>, Error> {
        self.get(&node_path(name)).await
    }

    /// The version of the server, such as `v1.34.2`.
    pub async fn version(&self) -> Result<String, Error> {
        #[derive(serde::Deserialize)]
        struct Version {
            #[serde(rename = "gitVersion", default)]
            git_version: String,
        }
        let version: Option<Version> = self.get("/version").await?;
        Ok(version.map(|version| version.git_version).unwrap_or_default())
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, Error> {
        let what = || (self.api.name(), format!("read {path}"));
        self.deadline.within(what, self.api.get_shared(path)).await
    }
}

/// Where a pod is.
pub fn pod_path(namespace: &str, name: &str) -> String {
    format!("/api/v1/namespaces/{}/pods/{}", encoded(namespace), encoded(name))
}

/// Where a node is.
pub fn node_path(name: &str) -> String {
    format!("/api/v1/nodes/{}", encoded(name))
}
