//! CHECK: whether the kernel, the record and the allocation still are what an ADD made. It changes nothing, and the first
//! difference is its error.
//!
//! Two waves of reads at most: the record with the container's handle, then the handle's blocks, while the kernel thread
//! looks at the interface.

use std::net::IpAddr;

use calico_datastore::{Datastore, Deadline, Store, Stored, Timed, Want};
use calico_ipam::check;
use calico_ipam::plugin::Call;
use calico_model::{Handle, Key, WorkloadEndpoint};
use calico_plugin::config::IpamConf;
use calico_plugin::{call, node_name};
use cni_spec::error::code;
use cni_spec::result::Interface;
use cni_spec::{Cidr, Error, Request, Success};
use ipnetwork::IpNetwork;

use crate::dataplane::{Expected, Kernel, REMAKE};
use crate::delegate::Delegate;
use crate::endpoint;
use crate::host_local::{HostLocal, routes_in_pod};

/// Serves a CHECK. The text for stdout is upstream's.
pub fn check(request: &Request) -> Result<String, Error> {
    call::block_on(async {
        let call = Call::read(request, &crate::tolerant_args(request), "cni-plugin")?;
        call.serve("CHECK", verify(&call, request)).await?;
        Ok("OK\n".to_owned())
    })
}

async fn verify(call: &Call, request: &Request) -> Result<(), Error> {
    node_name::check_file(&call.conf.node)?;
    let result = request.previous_result()?;
    let store = call.open_recorded().await?;
    let deadline = Deadline::after(call.conf.timeout);
    Check { request, call, result, store: Timed::new(&store, deadline), deadline }.run().await
}

/// One CHECK.
struct Check<'a> {
    request: &'a Request,
    call: &'a Call,
    /// The result of the whole list.
    result: Success,
    store: Timed<&'a Store>,
    deadline: Deadline,
}

impl Check<'_> {
    async fn run(&self) -> Result<(), Error> {
        let (endpoint, handle) = self.read().await?;
        let (position, interface) = self.interface_of_result()?;
        let ips = self.result.ips.iter().filter(|ip| ip.interface.is_none_or(|index| index == position));
        let of_result: Vec<Cidr> = ips.map(|ip| ip.address).collect();
        let recorded = self.recorded_addresses(&endpoint, &of_result)?;
        let kernel = Kernel::start(self.request.netns.clone().into())?;
        let kernel_work = kernel.verify(self.expected(&endpoint, interface, &of_result, &recorded)?);
        let (seen, assigned) =
            tokio::join!(self.deadline.bound(kernel_work), self.verify_assigned(&endpoint, handle, &recorded));
        let Some(seen) = seen else {
            let text = format!("timed out after {:.0?} while looking at the interfaces", self.deadline.limit);
            let advice = "this host is busy: try again, or give it more time with timeout_seconds";
            return Err(Error::new(code::TRY_AGAIN, text).with_details(advice));
        };
        seen?;
        let assigned = assigned?;
        let lacks = |of: &&Cidr| assigned.contains(&of.address) && !recorded.contains(&of.address);
        match of_result.iter().find(lacks) {
            None => Ok(()),
            Some(Cidr { address, .. }) => {
                let name = &endpoint.metadata.name;
                Err(differs(format!("endpoint {name} lacks the address {address}, which the container has")))
            }
        }
    }

    /// Reads the record, and the handle if the addresses were assigned in this process.
    async fn read(&self) -> Result<(WorkloadEndpoint, Option<Stored<Handle>>), Error> {
        let call = self.call;
        let id = call.ids.endpoint(&call.node, &self.request.ifname);
        let mut wants = vec![endpoint::want(call, &id)?];
        if call.conf.ipam.in_process() {
            wants.push(Want::Get(Key::Handle(call.ids.handle(&call.conf.network))));
        }
        let mut answers = self.store.read(&wants).await.map_err(calico_ipam::Error::from)?;
        let Some(endpoint) = endpoint::of_container(&id, &mut answers)? else {
            let name = id.name().map_err(calico_plugin::Error::from)?;
            return Err(differs(format!("nothing is recorded of the container: there is no endpoint {name}")));
        };
        let handle = answers.get::<Handle>().map_err(calico_ipam::Error::from)?;
        if let Some(pod) = &call.ids.pod
            && endpoint.value.spec.container_id != call.ids.container_id
        {
            let sandbox = &endpoint.value.spec.container_id;
            return Err(differs(format!("pod {pod} is recorded with another sandbox, {sandbox:?}")));
        }
        Ok((endpoint.value, handle))
    }

    /// The record's addresses, which the result must have. It may have others, of later plugins.
    fn recorded_addresses(&self, endpoint: &WorkloadEndpoint, of_result: &[Cidr]) -> Result<Vec<IpAddr>, Error> {
        let name = &endpoint.metadata.name;
        let mut recorded = Vec::new();
        for text in &endpoint.spec.ip_networks {
            let address = text.split('/').next().unwrap_or_default().parse();
            recorded.push(address.map_err(|_| differs(format!("endpoint {name} has {text:?}, which is no address")))?);
        }
        match recorded.iter().find(|recorded| !of_result.iter().any(|of| of.address == **recorded)) {
            None => Ok(recorded),
            Some(address) => {
                Err(differs(format!("endpoint {name} has the address {address}, which the result does not have")))
            }
        }
    }

    /// The container's interface, as the result has it, and its position there.
    fn interface_of_result(&self) -> Result<(usize, &Interface), Error> {
        let is_it = |interface: &Interface| interface.name == self.request.ifname && !interface.sandbox.is_empty();
        let mut interfaces = self.result.interfaces.iter().enumerate();
        interfaces.find(|(_, interface)| is_it(interface)).ok_or_else(|| {
            let text = format!("prevResult has no interface {} of a container", self.request.ifname);
            Error::new(code::INVALID_CONFIG, text).with_details("is it the result of another ADD?")
        })
    }

    fn expected(
        &self,
        endpoint: &WorkloadEndpoint,
        interface: &Interface,
        of_result: &[Cidr],
        recorded: &[IpAddr],
    ) -> Result<Expected, Error> {
        let spec = &endpoint.spec;
        // What later plugins changed of another network's interface is in the result of that one.
        let made_it = spec.endpoint == self.request.ifname && self.is_of_this_network(endpoint);
        let mac = match interface.mac.as_str() {
            mac if made_it && !mac.is_empty() => {
                let text = || differs(format!("the result has {mac:?}, which is no MAC address"));
                Some(mac_of(mac).ok_or_else(text)?)
            }
            _ => None,
        };
        let network = |cidr: &Cidr| IpNetwork::new(cidr.address, cidr.prefix).ok();
        Ok(Expected {
            ifname: spec.endpoint.clone(),
            host_ifname: spec.interface_name.clone(),
            mac,
            mtu: interface.mtu.filter(|mtu| made_it && *mtu > 0),
            addresses: of_result.iter().filter_map(network).collect(),
            routed: if self.has_host_routes() { recorded.to_vec() } else { Vec::new() },
            routes: self.routes()?,
            allow_ip_forwarding: self.call.conf.allow_ip_forwarding,
        })
    }

    /// Whether the ADD made the host's routes: not for a pod whose addresses our own plugin did not choose.
    fn has_host_routes(&self) -> bool {
        let is_own = self.call.conf.ipam.plugin == IpamConf::OWN_PLUGIN;
        self.call.ids.pod.is_none() || !is_own || !self.result.routes.is_empty()
    }

    fn routes(&self) -> Result<Vec<IpNetwork>, Error> {
        let host_local = HostLocal::of(self.call, &self.request.config).filter(|_| self.call.ids.pod.is_some());
        routes_in_pod(self.call, host_local.as_ref())
    }

    /// Whether this network is the first that the container was added to: the one that assigned its addresses and made
    /// its interface.
    fn is_of_this_network(&self, endpoint: &WorkloadEndpoint) -> bool {
        // A pod has one network, and the profiles that Kubernetes gives it.
        self.call.ids.pod.is_some()
            || endpoint.spec.profiles.first().is_none_or(|first| *first == self.call.conf.network)
    }

    /// Verifies that the record's addresses are assigned to the container, and answers what is assigned to it, as far as
    /// that is known: another network's are that one's to verify.
    async fn verify_assigned(
        &self,
        endpoint: &WorkloadEndpoint,
        handle: Option<Stored<Handle>>,
        recorded: &[IpAddr],
    ) -> Result<Vec<IpAddr>, Error> {
        let call = self.call;
        if !call.conf.ipam.in_process() {
            if self.is_of_this_network(endpoint) {
                let delegate = Delegate::find(call, self.request)?;
                delegate.check(self.deadline).await?;
            }
            return Ok(Vec::new());
        }
        let may_lack_handle =
            !self.is_of_this_network(endpoint) || call.conf.cluster.addresses_without_ipam && !self.has_host_routes();
        if handle.is_none() && may_lack_handle {
            return Ok(Vec::new());
        }
        let id = call.ids.handle(&call.conf.network);
        check::verify_assigned(&call.ipam(self.store), &id, handle, recorded).await
    }
}

/// A MAC address with colons, dashes or dots, in any case: later plugins repeat what their configuration has.
fn mac_of(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !b":-.".contains(byte)).collect();
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    digits.chunks(2).map(|pair| Some(digit(pair[0])? << 4 | digit(*pair.get(1)?)?)).collect()
}

/// A difference.
fn differs(text: String) -> Error {
    Error::internal(text).with_details(REMAKE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mac_addresses_are_written_in_several_ways() {
        for text in ["02:ab:cd:00:00:01", "02-AB-CD-00-00-01", "02ab.cd00.0001"] {
            assert_eq!(mac_of(text), Some(vec![2, 0xab, 0xcd, 0, 0, 1]), "{text}");
        }
        for text in ["02:ab:cd:00:00:0g", "02:ab:c"] {
            assert_eq!(mac_of(text), None, "{text}");
        }
    }
}
