//! DEL: the kernel first, then the record, then the addresses.
//!
//! The host end is taken down at once, which removes the routes; the slow removal of the pair then runs on the kernel
//! thread beside the datastore's reads, and the addresses are released only when it is done. DEL succeeds where there
//! is nothing left to do, and needs no network namespace.

use calico_datastore::local::Local;
use calico_datastore::{Datastore, Deadline, Stored, Timed, Want};
use calico_ipam::plugin::Call;
use calico_model::{Handle, Key, Listing, WorkloadEndpoint};
use calico_plugin::lock::HostLock;
use calico_plugin::{call, node_name, readiness};
use cni_spec::error::code;
use cni_spec::{Error, Request};

use crate::dataplane::Kernel;
use crate::delegate::Delegate;
use crate::endpoint;

/// The kernel's time for removing an interface, as upstream's.
const REMOVAL_TIME: std::time::Duration = std::time::Duration::from_secs(20);

/// Serves a DEL.
pub fn del(request: &Request) -> Result<(), Error> {
    call::block_on(call::catch_panic("DEL", async {
        let call = Call::read(request, &crate::tolerant_args(request), "cni-plugin")?;
        let mut kernel = match request.netns.as_str() {
            "" => None,
            netns => Some(Kernel::start(netns.into()).map_err(|error| Error::internal(error.to_string()))?),
        };
        if let Some(started) = &kernel
            && take_down(started, &call, request).await == Found::AnothersInterface
        {
            kernel = None;
        }
        let (removed, recorded) = tokio::join!(remove(kernel.as_ref(), request), Recorded::read(&call, request));
        // Without the certainty that nothing has the addresses any more, they stay assigned.
        removed?;
        recorded?.release(&call, request).await?;
        call.log.info("removed the container's network", &[("container", &call.ids.container_id)]);
        Ok(())
    }))
}

/// Whose interface the namespace has.
#[derive(PartialEq)]
enum Found {
    OwnOrNone,
    AnothersInterface,
}

/// Takes the host end down. Where anything fails here, so will the removal, whose error is reported.
///
/// A namespace's path may have passed to another container before this DEL came: an interface whose host end has
/// another container's name is left alone.
async fn take_down(kernel: &Kernel, call: &Call, request: &Request) -> Found {
    let deadline = Deadline::after(REMOVAL_TIME);
    if let Some(Ok(Some(end))) = deadline.bound(kernel.host_end(request.ifname.clone())).await
        && end.name.starts_with("cali")
        && end.name != call.ids.host_interface()
    {
        let container = &call.ids.container_id;
        call.log
            .warning("left another container's interface alone", &[("container", container), ("interface", &end.name)]);
        return Found::AnothersInterface;
    }
    let _ = deadline.bound(kernel.take_down(request.ifname.clone())).await;
    Found::OwnOrNone
}

/// Removes the container's interface and with it the host's.
async fn remove(kernel: Option<&Kernel>, request: &Request) -> Result<(), Error> {
    let Some(kernel) = kernel else { return Ok(()) };
    match Deadline::after(REMOVAL_TIME).bound(kernel.delete(request.ifname.clone())).await {
        Some(Ok(_)) => Ok(()),
        Some(Err(error)) => Err(Error::internal(error.to_string()).with_details(
            "nothing was released; if the container is gone, remove that file or repeat DEL without CNI_NETNS",
        )),
        None => Err(Error::new(code::TRY_AGAIN, "timed out deleting device in netns")),
    }
}

/// What the datastore has of a container, read while the kernel removes its interface.
struct Recorded {
    store: Local,
    deadline: Deadline,
    /// The record of the interface that is deleted.
    endpoint: Option<Stored<WorkloadEndpoint>>,
    /// Whether the container has another interface, which needs the addresses still.
    has_another: bool,
    handles: Vec<Stored<Handle>>,
    /// Held until everything is released.
    _lock: Option<HostLock>,
}

impl Recorded {
    async fn read(call: &Call, request: &Request) -> Result<Recorded, Error> {
        node_name::check_file(&call.conf.node)?;
        // An executed plugin takes the lock itself.
        let (lock, deadline) = match call.conf.ipam.in_process() {
            true => call.lock().await.map(|(lock, deadline)| (Some(lock), deadline))?,
            false => (None, Deadline::after(call.conf.timeout)),
        };
        let store = call.open(deadline).await?;
        let id = call.ids.endpoint(&call.node, &request.ifname);
        let mut wants = vec![readiness::want()];
        wants.extend(call.handles().into_iter().map(|handle| Want::Get(Key::Handle(handle))));
        // A container that cannot be named has no endpoint.
        let name = id.name().ok();
        if let Ok(name_prefix) = id.prefix() {
            wants.push(Want::List(Listing::Endpoints { namespace: call.ids.namespace.clone(), name_prefix }));
        }
        let read = Timed::new(&store, deadline).read(&wants).await;
        let mut answers = read.map_err(calico_ipam::Error::from)?;
        readiness::check(&mut answers)?;
        let mut handles = Vec::new();
        for _ in call.handles() {
            handles.extend(answers.get::<Handle>().map_err(calico_ipam::Error::from)?);
        }
        let endpoints: Vec<Stored<WorkloadEndpoint>> = answers.list();
        let (own, others): (Vec<_>, Vec<_>) = endpoints
            .into_iter()
            .filter(|stored| id.is_same_workload(&stored.value.metadata.name))
            .partition(|stored| Some(&stored.value.metadata.name) == name.as_ref());
        let endpoint = own.into_iter().next();
        Ok(Recorded { store, deadline, endpoint, has_another: !others.is_empty(), handles, _lock: lock })
    }

    async fn release(self, call: &Call, request: &Request) -> Result<(), Error> {
        let store = Timed::new(&self.store, self.deadline);
        if let Some(Stored { key, revision, value }) = self.endpoint {
            endpoint::delete(&store, &key, &value.metadata.uid, Some(revision)).await?;
        }
        if self.has_another {
            let container = &call.ids.container_id;
            call.log.info("the container's other interface keeps the addresses", &[("container", container)]);
            return Ok(());
        }
        if !call.conf.ipam.in_process() {
            return Delegate::find(&call.conf, request)?.del(call.conf.timeout).await;
        }
        call.release(&self.store, self.deadline, self.handles).await
    }
}
