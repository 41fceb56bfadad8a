//! The addresses of services, which Kubernetes alone knows.

use std::collections::HashSet;
use std::net::IpAddr;

use calico_datastore::kubernetes::{Cluster, Settings};
use calico_ipam::audit::Snapshot;
use calico_model::pool::Use;
use calico_plugin::config::DatastoreConf;

use super::picture::Allocation;
use crate::cli::CheckArgs;
use crate::session::Session;

/// All services, or why they are not known.
pub enum Services {
    /// Each by its name, with the addresses that it is reached by through a load balancer.
    Known(Vec<(String, Vec<IpAddr>)>),
    /// They were not asked for, or that failed.
    Unknown(String),
}

/// Asks Kubernetes.
pub async fn read(session: &Session, arguments: &CheckArgs) -> Services {
    let settings = match (&arguments.kubeconfig, &session.conf()) {
        (Some(file), _) => Settings { kubeconfig: vec![file.clone()], ..Settings::default() },
        (None, DatastoreConf::Kubernetes(settings, _)) => settings.clone(),
        (None, _) => return Services::Unknown("no --kubeconfig is given".to_owned()),
    };
    let ask = async {
        let cluster = Cluster::open(&settings, session.raw(), session.deadline()).await?;
        cluster.services().await
    };
    match ask.await {
        Ok(services) => Services::Known(services),
        Err(error) => Services::Unknown(error.to_string()),
    }
}

impl Services {
    /// The names of all, if they are known.
    pub fn names(&self) -> Option<HashSet<&str>> {
        match self {
            Services::Known(services) => Some(services.iter().map(|(name, _)| name.as_str()).collect()),
            Services::Unknown(_) => None,
        }
    }

    /// Those with addresses that are Calico's to give, in a pool for load balancers, or were given when they were.
    pub fn of_pools(&self, snapshot: &Snapshot, allocations: &[Allocation<'_>]) -> Vec<(String, Vec<IpAddr>)> {
        let Services::Known(services) = self else { return Vec::new() };
        let pools: Vec<_> = snapshot.pools.iter().filter(|pool| pool.allows(&Use::LoadBalancer)).collect();
        let is_ours = |address: &&IpAddr| {
            pools.iter().any(|pool| pool.cidr().contains(**address))
                || allocations.binary_search_by_key(*address, |allocation| allocation.address).is_ok()
        };
        let ours = services
            .iter()
            .map(|(name, addresses)| (name.clone(), addresses.iter().filter(is_ours).copied().collect::<Vec<_>>()));
        ours.filter(|(_, addresses)| !addresses.is_empty()).collect()
    }
}
