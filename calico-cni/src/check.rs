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
use calico_plugin::{call, node_name};
use cni_spec::error::code;
use cni_spec::result::Interface;
use cni_spec::{Cidr, Error, Request, Success};

use crate::dataplane::{Expected, Kernel, REMAKE, default_routes};
use crate::delegate::Delegate;
use crate::endpoint;

/// Serves a CHECK. The text for stdout is upstream's.
pub fn check(request: &Request) -> Result<String, Error> {
    call::block_on(call::catch_panic("CHECK", async {
        let call = Call::read(request, &crate::tolerant_args(request), "cni-plugin")?;
        node_name::check_file(&call.conf.node)?;
        let result = request.previous_result()?;
        let whole = call.phase();
        verify(&call, request, result).await.inspect_err(|error| call.failed("CHECK", error))?;
        whole.end("CHECK done", &[]);
        Ok("OK\n".to_owned())
    }))
}

async fn verify(call: &Call, request: &Request, result: Success) -> Result<(), Error> {
    let store = call.open_existing().await?;
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
        let recorded = self.recorded_addresses(&endpoint)?;
        let kernel = Kernel::start(self.request.netns.clone().into())?;
        let kernel_work = kernel.verify(self.expected(&endpoint, &recorded)?);
        let (seen, assigned) =
            tokio::join!(self.deadline.bound(kernel_work), self.verify_assigned(&endpoint, handle, &recorded));
        match seen {
            Some(seen) => seen?,
            None => {
                let text = format!("timed out after {:.0?} while looking at the interfaces", self.deadline.limit);
                return Err(Error::new(code::TRY_AGAIN, text));
            }
        }
        assigned
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
        Ok((endpoint.value, handle))
    }

    /// The record's addresses, which must be the result's. Those of a later plugin in the result are none of ours: they
    /// are not single addresses of our interface.
    fn recorded_addresses(&self, endpoint: &WorkloadEndpoint) -> Result<Vec<IpAddr>, Error> {
        let name = &endpoint.metadata.name;
        let mut recorded = Vec::new();
        for text in &endpoint.spec.ip_networks {
            let address = text.split('/').next().unwrap_or_default().parse();
            recorded.push(address.map_err(|_| differs(format!("endpoint {name} has {text:?}, which is no address")))?);
        }
        let of_result = self.addresses_of_result()?;
        if let Some(address) = recorded.iter().find(|recorded| !of_result.iter().any(|of| of.address == **recorded)) {
            return Err(differs(format!("endpoint {name} has the address {address}, which the result does not have")));
        }
        let lacks = |of: &&Cidr| **of == Cidr::from(of.address) && !recorded.contains(&of.address);
        if let Some(lacking) = of_result.iter().find(lacks) {
            let address = lacking.address;
            return Err(differs(format!("endpoint {name} lacks the address {address}, which the result has")));
        }
        Ok(recorded)
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

    fn addresses_of_result(&self) -> Result<Vec<Cidr>, Error> {
        let (position, _) = self.interface_of_result()?;
        let ips = self.result.ips.iter().filter(|ip| ip.interface.is_none_or(|interface| interface == position));
        Ok(ips.map(|ip| ip.address).collect())
    }

    fn expected(&self, endpoint: &WorkloadEndpoint, recorded: &[IpAddr]) -> Result<Expected, Error> {
        let spec = &endpoint.spec;
        let (_, interface) = self.interface_of_result()?;
        // Otherwise another network made the interface, and what its later plugins changed is in its own result.
        let made_it = spec.endpoint == self.request.ifname;
        Ok(Expected {
            ifname: spec.endpoint.clone(),
            host_ifname: spec.interface_name.clone(),
            mac: Some(interface.mac.to_lowercase()).filter(|mac| made_it && !mac.is_empty()),
            mtu: interface.mtu.filter(|mtu| made_it && *mtu > 0),
            addresses: self.addresses_of_result()?.iter().map(|cidr| cidr.address).collect(),
            routed: recorded.to_vec(),
            routes: default_routes(),
            allow_ip_forwarding: self.call.conf.allow_ip_forwarding,
        })
    }

    async fn verify_assigned(
        &self,
        endpoint: &WorkloadEndpoint,
        handle: Option<Stored<Handle>>,
        recorded: &[IpAddr],
    ) -> Result<(), Error> {
        let call = self.call;
        let network = &call.conf.network;
        // The first network a container was added to has assigned its addresses, and verifies them.
        let is_anothers = endpoint.spec.profiles.first().is_some_and(|first| first != network);
        if !call.conf.ipam.in_process() {
            if is_anothers {
                return Ok(());
            }
            let delegate = Delegate::find(&call.conf, self.request)?;
            return delegate.check(self.deadline).await;
        }
        if handle.is_none() && is_anothers {
            return Ok(());
        }
        check::verify_assigned(&call.ipam(self.store), &call.ids.handle(network), handle, recorded).await
    }
}

/// A difference.
fn differs(text: String) -> Error {
    Error::internal(text).with_details(REMAKE)
}
