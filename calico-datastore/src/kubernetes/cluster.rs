//! What Kubernetes itself says: its pods, namespaces and nodes, which are not Calico's objects.

use std::net::IpAddr;
use std::rc::Rc;

use calico_model::kubernetes::{ClusterNode, Namespace, Pod};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::api::{Api, encoded};
use super::client::Client;
use super::settings::Settings;
use crate::deadline::Deadline;
use crate::error::Error;
use crate::store::Store;

/// Kubernetes, until a deadline.
pub struct Cluster {
    pub(super) api: Rc<Api>,
    pub(super) deadline: Deadline,
}

impl Cluster {
    /// Connects; where the datastore is the same API with the same credentials, over its connection.
    pub async fn open(settings: &Settings, store: &Store, deadline: Deadline) -> Result<Cluster, Error> {
        if let Store::Kubernetes(store) = store
            && store.api().client().serves(settings)
        {
            return Ok(Cluster { api: store.api().clone(), deadline });
        }
        Cluster::connect(settings, deadline).await
    }

    /// Connects, without a datastore to share a connection with.
    pub async fn connect(settings: &Settings, deadline: Deadline) -> Result<Cluster, Error> {
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
        self.get(&namespace_path(name)).await
    }

    /// A node.
    pub async fn node(&self, name: &str) -> Result<Option<ClusterNode>, Error> {
        self.get(&node_path(name)).await
    }

    /// The pods of a node, also those that have ended.
    ///
    /// # Errors
    /// Kubernetes does not answer; or one of them cannot be read, so that nobody could tell its addresses.
    pub async fn pods_on(&self, node: &str) -> Result<Vec<Pod>, Error> {
        const PATH: &str = "/api/v1/pods";
        let what = || (self.api.name(), format!("read the pods of node {node}"));
        let query = format!("&fieldSelector={}", encoded(&format!("spec.nodeName={node}")));
        let items = self.deadline.within(what, self.api.list(PATH, &query)).await?.unwrap_or_default();
        // From bytes, as everywhere: another source would link all that reads pods once more.
        let pod = |item: &RawValue| serde_json::from_slice(item.get().as_bytes());
        items
            .iter()
            .map(|item| pod(item))
            .collect::<Result<_, _>>()
            .map_err(|error| self.unreadable("pod", PATH, &error))
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

    /// All services: each as `namespace/name`, with the addresses that it is reached by if it is of the type LoadBalancer. What
    /// is no address but a name is left out.
    ///
    /// # Errors
    /// Kubernetes does not answer; or one of them cannot be read, so that nobody could tell its addresses.
    pub async fn services(&self) -> Result<Vec<(String, Vec<IpAddr>)>, Error> {
        const PATH: &str = "/api/v1/services";
        let what = || (self.api.name(), format!("read {PATH}"));
        let items = self.deadline.within(what, self.api.list(PATH, "")).await?.unwrap_or_default();
        let service = |item: &RawValue| serde_json::from_str::<Service>(item.get()).map(Service::balanced);
        let services = items.iter().map(|item| service(item)).collect::<Result<_, _>>();
        services.map_err(|error| self.unreadable("service", PATH, &error))
    }

    fn unreadable(&self, what: &str, path: &str, error: &serde_json::Error) -> Error {
        Error::Invalid {
            store: self.api.name(),
            reason: format!("a {what} in {path} is not what one should be: {error}"),
            advice: "is this the API server, or a proxy before it?".into(),
        }
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, Error> {
        let what = || (self.api.name(), format!("read {path}"));
        self.deadline.within(what, self.api.get_shared(path)).await
    }
}

/// A service, as far as it is read.
#[derive(Deserialize)]
struct Service {
    metadata: ServiceName,
    spec: ServiceSpec,
    #[serde(default)]
    status: ServiceStatus,
}

#[derive(Deserialize)]
struct ServiceName {
    name: String,
    namespace: String,
}

#[derive(Deserialize)]
struct ServiceSpec {
    #[serde(default)]
    r#type: String,
}

#[derive(Deserialize, Default)]
struct ServiceStatus {
    #[serde(rename = "loadBalancer", default)]
    load_balancer: LoadBalancer,
}

#[derive(Deserialize, Default)]
struct LoadBalancer {
    #[serde(default)]
    ingress: Vec<Ingress>,
}

#[derive(Deserialize)]
struct Ingress {
    #[serde(default)]
    ip: String,
}

impl Service {
    /// Its name, and its addresses if it is balanced.
    fn balanced(self) -> (String, Vec<IpAddr>) {
        let name = format!("{}/{}", self.metadata.namespace, self.metadata.name);
        let ingress = self.status.load_balancer.ingress.into_iter().filter(|_| self.spec.r#type == "LoadBalancer");
        (name, ingress.filter_map(|ingress| ingress.ip.parse().ok()).collect())
    }
}

/// Where a namespace is.
pub fn namespace_path(name: &str) -> String {
    format!("/api/v1/namespaces/{}", encoded(name))
}

/// Where a pod is.
pub fn pod_path(namespace: &str, name: &str) -> String {
    format!("{}/pods/{}", namespace_path(namespace), encoded(name))
}

/// Where a node is.
pub fn node_path(name: &str) -> String {
    format!("/api/v1/nodes/{}", encoded(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_with_a_balancers_addresses() {
        let balanced = |text: &str| serde_json::from_str::<Service>(text).unwrap().balanced();
        let ingress =
            r#""status":{"loadBalancer":{"ingress":[{"ip":"10.9.0.1"},{"hostname":"x.example"},{"ip":"fd00::9"}]}}"#;
        let service = |kind: &str, status: &str| {
            let (name, addresses) = balanced(&format!(
                r#"{{"metadata":{{"name":"web","namespace":"shop"}},"spec":{{"type":"{kind}"}},{status}}}"#
            ));
            assert_eq!(name, "shop/web");
            addresses
        };
        let addresses: Vec<IpAddr> = ["10.9.0.1", "fd00::9"].map(|text| text.parse().unwrap()).to_vec();
        assert_eq!(service("LoadBalancer", ingress), addresses);
        assert!(service("ClusterIP", ingress).is_empty());
        assert!(service("LoadBalancer", r#""status":{"loadBalancer":{}}"#).is_empty());
    }
}
