//! DEL: the kernel first, then the record, then the addresses.
//!
//! The host end is taken down at once, which removes the routes; the slow removal of the pair then runs on the kernel
//! thread beside the datastore's reads, and the addresses are released only when it is done. DEL succeeds where there
//! is nothing left to do, and needs no network namespace.

use calico_datastore::{Datastore, Deadline, Entry, Store, Stored, Timed, Want};
use calico_ipam::plugin::Call;
use calico_model::{Handle, IpamConfig, Key, Kind, Listing, WorkloadEndpoint};
use calico_plugin::lock::HostLock;
use calico_plugin::log::Value::{Plain, Text};
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
    call::block_on(async {
        let call = Call::read(request, &crate::tolerant_args(request), "cni-plugin")?;
        call.serve("DEL", disconnect(&call, request)).await
    })
}

async fn disconnect(call: &Call, request: &Request) -> Result<(), Error> {
    let kernel = Kernel::start(request.netns.clone().into())?;
    let host_end = take_down(&kernel, call, request).await;
    if call.absent_store().is_some() {
        node_name::check_file(&call.conf.node)?;
        remove(&kernel, host_end, call, request).await?;
        return if call.conf.ipam.in_process() { Ok(()) } else { release_by_plugin(call, request).await };
    }
    let (removed, opened) = tokio::join!(remove(&kernel, host_end, call, request), Cleanup::start(call, request));
    // Without the certainty that nothing has the addresses any more, they stay assigned.
    let removed = removed?;
    let (cleanup, recorded) = opened?;
    if !removed {
        cleanup.remove_elsewhere(&recorded, &kernel).await?;
    }
    cleanup.release(recorded).await
}

/// Has the IPAM plugin that is executed release the addresses.
async fn release_by_plugin(call: &Call, request: &Request) -> Result<(), Error> {
    let delegate = Delegate::find(call, request)?;
    let phase = call.phase();
    delegate.del(delegate.deadline()).await?;
    phase.end("the IPAM plugin released the addresses", &[]);
    Ok(())
}

/// Takes the host end down, if the namespace has the container's interface.
async fn take_down(kernel: &Kernel, call: &Call, request: &Request) -> Result<HostEnd, Error> {
    if request.netns.is_empty() {
        return Ok(HostEnd::None);
    }
    let phase = call.phase();
    let host_end = in_time(kernel.take_down(request.ifname.clone(), call.ids.host_interface())).await?;
    match &host_end {
        HostEnd::None => phase.end("found no host end to take down", &[]),
        HostEnd::Down(interface) => phase.end("took the host end down", &[("interface", Text(interface))]),
        HostEnd::OfAnother(interface) => {
            let container = &call.ids.container_id;
            let message = "left another container's interface alone";
            call.log.warning(message, &[("container", Text(container)), ("interface", Text(interface))]);
        }
    }
    Ok(host_end)
}

/// Removes the container's interface and with it the host's; answers whether both were there. One that has no host end is
/// removed, too.
async fn remove(
    kernel: &Kernel,
    host_end: Result<HostEnd, Error>,
    call: &Call,
    request: &Request,
) -> Result<bool, Error> {
    let nothing_released = |error: Error| {
        let advice = format!("nothing was released; {}", error.details);
        error.with_details(advice.trim_end_matches([';', ' ']))
    };
    let host_end = host_end.map_err(nothing_released)?;
    if !request.netns.is_empty() && !matches!(host_end, HostEnd::OfAnother(_)) {
        let phase = call.phase();
        if in_time(kernel.delete(request.ifname.clone())).await.map_err(nothing_released)? {
            phase.end("removed the interfaces", &[]);
        }
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

/// What the datastore has of a container.
struct Recorded {
    /// The record of the interface that is deleted, whatever is in it.
    endpoint: Option<Entry>,
    /// Whether the container has another interface, which needs the addresses still.
    has_another: bool,
    handles: Vec<Stored<Handle>>,
    /// The settings of address management; `None` where they cannot be read.
    config: Option<IpamConfig>,
}

/// The part of a DEL that is done in the datastore.
struct Cleanup<'a> {
    call: &'a Call,
    request: &'a Request,
    store: Store,
    deadline: Deadline,
    /// Held until everything is released.
    _lock: HostLock,
}

impl<'a> Cleanup<'a> {
    /// Opens the datastore and looks up the container, while the kernel removes its interface.
    async fn start(call: &'a Call, request: &'a Request) -> Result<(Cleanup<'a>, Recorded), Error> {
        node_name::check_file(&call.conf.node)?;
        let store = call.open().await?;
        let (lock, deadline) = match call.conf.ipam.in_process() {
            true => call.lock().await?,
            false => call.lock_around_plugin().await?,
        };
        let cleanup = Cleanup { call, request, store, deadline, _lock: lock };
        let mut recorded = cleanup.look().await?;
        let something_is_missing =
            recorded.endpoint.is_none() || call.conf.ipam.in_process() && recorded.handles.is_empty();
        // Where every write is a request of its own, the handle was there before anything was written to a block.
        if something_is_missing && !cleanup.store.answers_singly() {
            // An ADD that was killed may have had what is missing on the way.
            call.log.debug("something is missing: looking again", &[("container", Text(&call.ids.container_id))]);
            cleanup.timed().settle().await.map_err(calico_ipam::Error::from)?;
            recorded = cleanup.look().await?;
        }
        Ok((cleanup, recorded))
    }

    fn timed(&self) -> Timed<&Store> {
        Timed::new(&self.store, self.deadline)
    }

    async fn look(&self) -> Result<Recorded, Error> {
        let call = self.call;
        let phase = call.phase();
        let id = call.ids.endpoint(&call.node, &self.request.ifname);
        let mut wants = vec![readiness::want()];
        wants.extend(call.handles().into_iter().map(|handle| Want::Get(Key::Handle(handle))));
        wants.push(Want::Get(Key::IpamConfig));
        // A container that cannot be named has no endpoint.
        let name = id.name().ok();
        wants.extend(endpoint::want(call, &id));
        let mut answers = self.timed().read(&wants).await.map_err(calico_ipam::Error::from)?;
        readiness::check(&mut answers)?;
        let mut handles = Vec::new();
        for _ in call.handles() {
            handles.extend(answers.get::<Handle>().map_err(calico_ipam::Error::from)?);
        }
        let config = answers.get::<IpamConfig>().ok();
        let config = config.map(|stored| stored.map(|stored| stored.value).unwrap_or_default());
        let entries = endpoint::of_workload(&id, answers.entries());
        let recorded = match call.ids.pod {
            // A pod has one interface, whatever it is called; a later sandbox of it has it by now, perhaps.
            Some(_) => {
                let is_own = |entry: &Entry| match entry.object.clone().map(WorkloadEndpoint::try_from) {
                    Ok(Ok(endpoint)) => endpoint::is_of_sandbox(call, &endpoint),
                    _ => false,
                };
                Recorded { endpoint: entries.into_iter().find(is_own), has_another: false, handles, config }
            }
            None => {
                let is_own =
                    |entry: &Entry| matches!(&entry.key, Key::Resource { name: n, .. } if Some(n) == name.as_ref());
                let (own, others): (Vec<_>, Vec<_>) = entries.partition(is_own);
                Recorded { endpoint: own.into_iter().next(), has_another: !others.is_empty(), handles, config }
            }
        };
        let found = [("endpoint", Plain(&recorded.endpoint.is_some())), ("handles", Plain(&recorded.handles.len()))];
        phase.end("read what there is", &found);
        Ok(recorded)
    }

    async fn release(&self, recorded: Recorded) -> Result<(), Error> {
        let (call, store) = (self.call, self.timed());
        let keeps_addresses = recorded.has_another || !call.conf.ipam.in_process();
        let reading = async {
            match keeps_addresses {
                true => Ok(Vec::new()),
                false => call.ipam(store).read_held(recorded.handles, recorded.config).await,
            }
        };
        // The blocks are read meanwhile; nothing in them is released before the record is gone.
        let (forgotten, held) = tokio::join!(self.forget(recorded.endpoint), reading);
        forgotten?;
        if recorded.has_another {
            let container = &call.ids.container_id;
            call.log.info("the container's other interface keeps the addresses", &[("container", Text(container))]);
            return Ok(());
        }
        if !call.conf.ipam.in_process() {
            return release_by_plugin(call, self.request).await;
        }
        call.release(store, held?).await
    }

    async fn forget(&self, recorded: Option<Entry>) -> Result<(), Error> {
        let Some(Entry { key, revision, .. }) = recorded else { return Ok(()) };
        let call = self.call;
        let phase = call.phase();
        let is_own = |endpoint: &WorkloadEndpoint| match call.ids.pod {
            Some(_) => endpoint::is_of_sandbox(call, endpoint),
            None => true,
        };
        endpoint::delete(&self.timed(), &key, is_own, Some(revision)).await?;
        phase.end("deleted the endpoint", &[("endpoint", Text(&key.to_string()))]);
        Ok(())
    }

    /// Removes what the container still has where this DEL could not look: in a namespace it was not told of, or one
    /// that the kernel is taking down. The host end has the container's own name; only where another container's record
    /// names it, too, is it that one's.
    async fn remove_elsewhere(&self, recorded: &Recorded, kernel: &Kernel) -> Result<(), Error> {
        if recorded.has_another || recorded.endpoint.is_none() && recorded.handles.is_empty() {
            return Ok(());
        }
        let call = self.call;
        let name = call.ids.host_interface();
        if in_time(kernel.host_link(name.clone())).await?.is_none() {
            return Ok(());
        }
        let is_own = match call.ids.pod {
            // All sandboxes of a pod have this name, and the last one that was recorded has the interface.
            Some(_) => recorded.endpoint.is_some(),
            None => !self.is_anothers(&name).await?,
        };
        if is_own {
            let phase = call.phase();
            in_time(kernel.delete_host_link(name.clone())).await?;
            phase.end("removed the interface by its name", &[("interface", Text(&name))]);
        }
        Ok(())
    }
    /// Whether another container of this host has an interface of this name.
    async fn is_anothers(&self, name: &str) -> Result<bool, Error> {
        let call = self.call;
        let wants = [Want::List(Listing::Resources(Kind::WorkloadEndpoint))];
        let mut answers = self.timed().read(&wants).await.map_err(calico_ipam::Error::from)?;
        let is_it = |stored: &Stored<WorkloadEndpoint>| {
            let spec = &stored.value.spec;
            spec.node == call.node && spec.interface_name == name && spec.container_id != call.ids.container_id
        };
        Ok(answers.list().iter().any(is_it))
    }
}
