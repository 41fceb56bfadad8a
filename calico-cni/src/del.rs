//! DEL: the kernel first, then the record, then the addresses.
//!
//! The host end is taken down at once, which removes the routes; the slow removal of the pair then runs on the kernel
//! thread beside the datastore's reads, and the addresses are released only when it is done. DEL succeeds where there
//! is nothing left to do, and needs no network namespace.

use calico_datastore::local::Local;
use calico_datastore::{Datastore, Deadline, Entry, Stored, Timed, Want};
use calico_ipam::plugin::Call;
use calico_model::{Handle, Key, Kind, Listing, WorkloadEndpoint};
use calico_plugin::lock::HostLock;
use calico_plugin::{call, node_name, readiness};
use cni_spec::error::code;
use cni_spec::{Error, Request};

use crate::dataplane::{self, HostEnd, Kernel};
use crate::delegate::Delegate;
use crate::endpoint;

/// The kernel's time for removing an interface, as upstream's.
const REMOVAL_TIME: std::time::Duration = std::time::Duration::from_secs(20);

/// Serves a DEL.
pub fn del(request: &Request) -> Result<(), Error> {
    call::block_on(call::catch_panic("DEL", async {
        let call = Call::read(request, &crate::tolerant_args(request), "cni-plugin")?;
        let kernel = Kernel::start(request.netns.clone().into())?;
        let host_end = take_down(&kernel, &call, request).await;
        let (removed, recorded) = tokio::join!(remove(&kernel, host_end, request), Recorded::read(&call, request));
        // Without the certainty that nothing has the addresses any more, they stay assigned.
        let removed = removed?;
        let recorded = recorded?;
        if !removed {
            recorded.remove_elsewhere(&call, &kernel).await?;
        }
        recorded.release(&call, request).await?;
        call.log.info("DEL done", &[("container", &call.ids.container_id)]);
        Ok(())
    }))
}

/// Takes the host end down, if the namespace has the container's interface.
async fn take_down(kernel: &Kernel, call: &Call, request: &Request) -> Result<HostEnd, Error> {
    if request.netns.is_empty() {
        return Ok(HostEnd::None);
    }
    let host_end = in_time(kernel.take_down(request.ifname.clone(), call.ids.host_interface())).await?;
    if let HostEnd::OfAnother(interface) = &host_end {
        let container = &call.ids.container_id;
        let message = "left another container's interface alone";
        call.log.warning(message, &[("container", container), ("interface", interface)]);
    }
    Ok(host_end)
}

/// Removes the container's interface and with it the host's; answers whether both were there. One that has no host end is
/// removed, too.
async fn remove(kernel: &Kernel, host_end: Result<HostEnd, Error>, request: &Request) -> Result<bool, Error> {
    let nothing_released = |error: Error| {
        let advice = format!("nothing was released; {}", error.details);
        error.with_details(advice.trim_end_matches([';', ' ']))
    };
    let host_end = host_end.map_err(nothing_released)?;
    if !request.netns.is_empty() && !matches!(host_end, HostEnd::OfAnother(_)) {
        in_time(kernel.delete(request.ifname.clone())).await.map_err(nothing_released)?;
    }
    Ok(matches!(host_end, HostEnd::Down(_)))
}

/// Kernel work of a DEL, within its own bound.
async fn in_time<T>(work: impl Future<Output = Result<T, dataplane::Error>>) -> Result<T, Error> {
    match Deadline::after(REMOVAL_TIME).bound(work).await {
        Some(result) => Ok(result?),
        None => Err(Error::new(code::TRY_AGAIN, "timed out deleting device in netns")),
    }
}

/// What the datastore has of a container, read while the kernel removes its interface.
struct Recorded {
    store: Local,
    deadline: Deadline,
    /// The record of the interface that is deleted, whatever is in it.
    endpoint: Option<Entry>,
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
        let is_own = |entry: &Entry| matches!(&entry.key, Key::Resource { name: n, .. } if Some(n) == name.as_ref());
        let (own, others): (Vec<_>, Vec<_>) = endpoint::of_workload(&id, answers.entries()).partition(is_own);
        let endpoint = own.into_iter().next();
        Ok(Recorded { store, deadline, endpoint, has_another: !others.is_empty(), handles, _lock: lock })
    }

    async fn release(self, call: &Call, request: &Request) -> Result<(), Error> {
        let store = Timed::new(&self.store, self.deadline);
        if let Some(Entry { key, revision, .. }) = self.endpoint {
            endpoint::delete(&store, &key, None, Some(revision)).await?;
        }
        if self.has_another {
            let container = &call.ids.container_id;
            call.log.info("the container's other interface keeps the addresses", &[("container", container)]);
            return Ok(());
        }
        if !call.conf.ipam.in_process() {
            let delegate = Delegate::find(&call.conf, request)?;
            return delegate.del(delegate.deadline(&call.conf)).await;
        }
        call.release(&self.store, self.deadline, self.handles).await
    }

    /// Removes what the container still has where this DEL could not look: in a namespace it was not told of, or one
    /// that the kernel is taking down. The host end has the container's own name; only where another container's record
    /// names it, too, is it that one's.
    async fn remove_elsewhere(&self, call: &Call, kernel: &Kernel) -> Result<(), Error> {
        if self.has_another || self.endpoint.is_none() && self.handles.is_empty() {
            return Ok(());
        }
        let store = Timed::new(&self.store, self.deadline);
        let name = call.ids.host_interface();
        if in_time(kernel.host_link(name.clone())).await?.is_none() {
            return Ok(());
        }
        let wants = [Want::List(Listing::Resources(Kind::WorkloadEndpoint))];
        let mut answers = store.read(&wants).await.map_err(calico_ipam::Error::from)?;
        let is_anothers = |stored: &Stored<WorkloadEndpoint>| {
            let spec = &stored.value.spec;
            spec.node == call.node && spec.interface_name == name && spec.container_id != call.ids.container_id
        };
        if !answers.list().iter().any(is_anothers) {
            in_time(kernel.delete_host_link(name)).await?;
        }
        Ok(())
    }
}
