//! What is asked of the API.

use std::path::PathBuf;
use std::time::Duration;

use calico_datastore::kubernetes::{Cluster, Granted, Kubernetes, Settings};
use calico_datastore::{Deadline, Store, Timed};
use calico_model::kubernetes::Group;
use calico_plugin::Variables;
use calico_plugin::config::DatastoreConf;

use crate::error::Error;
use crate::options::Options;
use crate::paths::{Paths, TLS_FILES};
use crate::standalone;

/// The time for one question with all that belongs to it.
const TIME: Duration = Duration::from_secs(15);

/// How long a token is to be good for, in seconds: a day.
const LIFE: u64 = 24 * 60 * 60;

/// The API, which tests replace.
#[allow(async_fn_in_trait, reason = "everything runs on one thread; no future needs to be Send")]
pub trait Api {
    /// Asks for a token of a service account, with the mounted one.
    async fn request_token(&self, namespace: &str, account: &str) -> Result<Granted, Error>;

    /// Whether the API accepts a token.
    async fn accepts(&self, token: &str) -> Result<bool, Error>;

    /// Makes the objects of a node that stands alone, where they are absent.
    async fn furnish(&self) -> Result<(), Error>;
}

/// The API server of the cluster, and the datastore.
pub struct Server {
    options: Options,
    paths: Paths,
}

impl Server {
    /// As the environment says.
    pub fn new(options: &Options, paths: &Paths) -> Server {
        Server { options: options.clone(), paths: paths.clone() }
    }

    /// The way to the API, by default with what the kubelet mounts; it is read anew every time.
    fn settings(&self) -> Settings {
        Settings { kubeconfig: self.options.own_kubeconfig.clone(), ..Settings::default() }
    }

    async fn cluster(&self, settings: &Settings) -> Result<Cluster, Error> {
        Cluster::connect(settings, Deadline::after(TIME)).await.map_err(waiting)
    }

    async fn store(&self, deadline: Deadline) -> Result<Store, Error> {
        if self.options.datastore_type == "kubernetes" {
            let group = Group::parse(&self.options.api_group);
            return Kubernetes::open(&self.settings(), group, deadline).await.map(Store::Kubernetes).map_err(waiting);
        }
        let mut conf = DatastoreConf::of_environment(&Variables::of_process())
            .map_err(|error| Error::Config(error.to_string()))?;
        if let DatastoreConf::Etcd(etcd) = &mut conf {
            let [ca, cert, key] = TLS_FILES.map(|name| {
                let path: PathBuf = self.paths.at(&self.options.tls_assets).join(name);
                path.is_file().then_some(path)
            });
            etcd.ca_file = etcd.ca_file.take().or(ca);
            if etcd.cert_file.is_none() {
                (etcd.cert_file, etcd.key_file) = (cert, key);
            }
        }
        conf.open(deadline).await.map_err(|error| Error::Waiting(error.to_string()))
    }
}

impl Api for Server {
    async fn request_token(&self, namespace: &str, account: &str) -> Result<Granted, Error> {
        let cluster = self.cluster(&self.settings()).await?;
        cluster.request_token(namespace, account, LIFE).await.map_err(waiting)
    }

    async fn accepts(&self, token: &str) -> Result<bool, Error> {
        let settings = Settings { token: Some(token.to_owned()), ..self.settings() };
        self.cluster(&settings).await?.is_known().await.map_err(waiting)
    }

    async fn furnish(&self) -> Result<(), Error> {
        let Some(pools) = &self.options.standalone else { return Ok(()) };
        let deadline = Deadline::after(TIME);
        let store = Timed::new(self.store(deadline).await?, deadline);
        let is_kubernetes = self.options.datastore_type == "kubernetes";
        standalone::furnish(&store, pools, (!is_kubernetes).then_some(&*self.options.node_name)).await
    }
}

fn waiting(error: calico_datastore::Error) -> Error {
    Error::Waiting(error.to_string())
}
