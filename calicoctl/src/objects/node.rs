//! What a node has, which goes with it where the datastore is not Kubernetes': there, Kubernetes' own controllers see to it.

use std::net::IpAddr;

use calico_datastore::{Datastore, Outcome, Want, Write};
use calico_ipam::audit::Tunnel;
use calico_ipam::{AddressUse, Error as IpamError, ReleaseRequest};
use calico_model::{Kind as Stored, Listing, Node, WorkloadEndpoint};
use ipnetwork::IpNetwork;

use super::{Failure, Found, TRIES};
use crate::session::Session;

/// Deletes a node's endpoints, gives back what was allocated to them and to its tunnels, and gives up its blocks. Endpoints go first:
/// who dies in between leaves addresses that `ipam check` finds, never one in use that another may be given.
pub async fn release(session: &Session, found: &Found) -> Result<(), Failure> {
    let name = found.name();
    let mut tries = 0;
    while !delete_endpoints(session, name).await? {
        tries += 1;
        if tries == TRIES {
            return Err(Failure::text(format_args!("the endpoints of node {name} are being changed all the time")));
        }
    }
    let node: Option<Node> = serde_json::from_value(found.object.clone().into()).ok();
    for tunnel in Tunnel::ALL {
        if let Some(Ok(address)) = node.as_ref().and_then(|node| tunnel.address_of(node)).map(str::parse) {
            let is_its = |known: &AddressUse| {
                known.handle.as_deref().is_some_and(|handle| Tunnel::of_handle(handle) == Some((tunnel, name)))
            };
            give_back(session, name, address, is_its).await?;
        }
    }
    session.ipam(name).release_all_affinities(false).await?;
    Ok(())
}

/// Deletes a node's endpoints with what was allocated to them, and answers whether there were none left: what another writer came
/// before is to be looked at again.
async fn delete_endpoints(session: &Session, node: &str) -> Result<bool, Failure> {
    let wants = [Want::List(Listing::Resources(Stored::WorkloadEndpoint))];
    let mut endpoints = session.store().read(&wants).await?.list::<WorkloadEndpoint>();
    endpoints.retain(|endpoint| endpoint.value.spec.node == node);
    for endpoint in &endpoints {
        let delete = Write::delete(endpoint.key.clone(), endpoint.revision);
        match session.store().commit(&[delete]).await? {
            Outcome::Applied(_) => {}
            Outcome::Conflict { .. } => continue,
            Outcome::Unknown(reason) => return Err(Failure::text(reason)),
        }
        let networks = endpoint.value.spec.ip_networks.iter().filter_map(|text| text.parse::<IpNetwork>().ok());
        for network in networks {
            give_back(session, node, network.ip(), |known| is_of(known, &endpoint.value)).await?;
        }
    }
    Ok(endpoints.is_empty())
}

/// Whether an address is allocated to the container of an endpoint. A virtual machine's goes where the machine goes.
fn is_of(known: &AddressUse, endpoint: &WorkloadEndpoint) -> bool {
    let (container, pod, namespace) = (&endpoint.spec.container_id, &endpoint.spec.pod, &endpoint.metadata.namespace);
    let is = |fact: &str, value: &String| !value.is_empty() && known.attributes.get(fact) == Some(value);
    let handle = known.handle.as_deref().unwrap_or_default();
    let is_containers = !container.is_empty()
        && handle.strip_suffix(container.as_str()).is_some_and(|it| it.is_empty() || it.ends_with('.'));
    !known.attributes.contains_key("vmi-name")
        && (is_containers || container.is_empty() && is("pod", pod) && is("namespace", namespace))
}

/// Releases an address, if it is allocated to whom it is to be taken from: the very allocation that was seen.
async fn give_back(
    session: &Session,
    node: &str,
    address: IpAddr,
    is_its: impl Fn(&AddressUse) -> bool,
) -> Result<(), Failure> {
    let ipam = session.ipam(node);
    let known = match ipam.use_of(address).await {
        Ok(known) => known,
        Err(IpamError::Unassigned { .. } | IpamError::InCooldown { .. }) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    if !is_its(&known) {
        return Ok(());
    }
    let request = ReleaseRequest { address, handle: known.handle, sequence: Some(known.sequence) };
    match ipam.release_addresses(&[request]).await {
        Ok(_) => Ok(()),
        Err(partly) => match partly.error {
            IpamError::BadHandle { .. } | IpamError::BadSequenceNumber { .. } => Ok(()),
            error => Err(error.into()),
        },
    }
}
