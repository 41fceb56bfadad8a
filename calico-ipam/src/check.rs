//! CHECK's part of address management: whether a container's addresses are still assigned to it.

use std::net::IpAddr;

use calico_datastore::{Datastore, Deadline, Stored, Timed};
use calico_model::{Handle, IpVersion};
use calico_plugin::call;
use cni_spec::Request;

use crate::Ipam;
use crate::plugin::Call;

/// Finds the first of `addresses` that is not assigned to the handle `id`, which was read before. Answers everything that
/// is assigned to it.
///
/// # Errors
/// It names that address; or the blocks cannot be read.
pub async fn verify_assigned<D: Datastore>(
    ipam: &Ipam<D>,
    id: &str,
    handle: Option<Stored<Handle>>,
    addresses: &[IpAddr],
) -> Result<Vec<IpAddr>, cni_spec::Error> {
    let Some(handle) = handle else {
        let text = format!("no address is assigned to the container: there is no handle {id}");
        return Err(cni_spec::Error::internal(text).with_details(ADVICE));
    };
    let assigned = ipam.addresses_of(&handle).await?;
    match addresses.iter().find(|address| !assigned.contains(address)) {
        None => Ok(assigned),
        Some(address) => {
            let text = format!("address {address} is not assigned to handle {id}, which has {}", list(&assigned));
            Err(cni_spec::Error::internal(text).with_details(ADVICE))
        }
    }
}

const ADVICE: &str = "another container may get the address: delete the container's network and add it again";

fn list(addresses: &[IpAddr]) -> String {
    match addresses {
        [] => "none".to_owned(),
        addresses => addresses.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(", "),
    }
}

/// The executable's CHECK: of each family that the result has and an ADD assigns, an address of the result must be
/// assigned. Others of the result may be a later plugin's.
pub fn check(request: &Request) -> Result<(), cni_spec::Error> {
    call::block_on(async {
        let call = Call::read(request, &request.args, "ipam")?;
        call.serve("CHECK", verify(&call, request)).await
    })
}

async fn verify(call: &Call, request: &Request) -> Result<(), cni_spec::Error> {
    let result: Vec<IpAddr> = request.previous_result()?.ips.iter().map(|ip| ip.address.address).collect();
    let store = call.open_recorded().await?;
    let ipam = call.ipam(Timed::new(&store, Deadline::after(call.conf.timeout)));
    let id = call.ids.handle(&call.conf.network);
    let handle = ipam.read_handle(&id).await?;
    let assigned = verify_assigned(&ipam, &id, handle, &[]).await?;
    for version in call.wish()?.families() {
        let of_result: Vec<IpAddr> =
            result.iter().copied().filter(|address| IpVersion::of(*address) == version).collect();
        if !of_result.is_empty() && !of_result.iter().any(|address| assigned.contains(address)) {
            let text = format!(
                "no IPv{version} address of the result ({}) is assigned to handle {id}, which has {}",
                list(&of_result),
                list(&assigned)
            );
            return Err(cni_spec::Error::internal(text).with_details(ADVICE));
        }
    }
    Ok(())
}
