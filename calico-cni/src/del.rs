//! DEL: the kernel first, then the record, then the addresses.
//!
//! The host end is taken down at once, which removes the routes; the slow removal of the pair then runs on the kernel
//! thread beside the datastore's reads, and the addresses are released only when it is done. DEL succeeds where there
//! is nothing left to do, and needs no network namespace.

use calico_datastore::local::Local;
use calico_datastore::{Datastore, Deadline, Stored, Timed, Want};
use calico_ipam::plugin::Call;
use calico_model::{Handle, Key, WorkloadEndpoint};
use calico_plugin::config::IpamConf;
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
        let kernel = match request.netns.as_str() {
            "" => None,
            netns => Some(Kernel::start(netns.into()).map_err(|error| Error::internal(error.to_string()))?),
        };
        if let Some(kernel) = &kernel {
            // Where this fails, so will the removal, whose error is reported.
            let _ = Deadline::after(REMOVAL_TIME).bound(kernel.take_down(request.ifname.clone())).await;
        }
        let (removed, recorded) = tokio::join!(remove(kernel.as_ref(), request), Recorded::read(&call, request));
        // Without the certainty that nothing has the addresses any more, they stay assigned.
        removed?;
        recorded?.release(&call, request).await?;
        call.log.info("removed the container's network", &[("container", &call.ids.container_id)]);
        Ok(())
    }))
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
    endpoint: Option<Stored<WorkloadEndpoint>>,
    handles: Vec<Stored<Handle>>,
    /// Held until everything is released.
    _lock: Option<HostLock>,
}

impl Recorded {
    async fn read(call: &Call, request: &Request) -> Result<Recorded, Error> {
        node_name::check_file(&call.conf.node)?;
        // An executed plugin takes the lock itself.
        let (lock, deadline) = match allocates_itself(call) {
            true => call.lock().await.map(|(lock, deadline)| (Some(lock), deadline))?,
            false => (None, Deadline::after(call.conf.timeout)),
        };
        let store = call.open(deadline).await?;
        let name = call.ids.endpoint(&call.node, &request.ifname).name().map_err(calico_plugin::Error::from)?;
        let mut wants = vec![readiness::want(), Want::Get(Key::endpoint(&call.ids.namespace, &name))];
        wants.extend(call.handles().map(|handle| Want::Get(Key::Handle(handle))));
        let read = Timed::new(&store, deadline).read(&wants).await;
        let mut answers = read.map_err(calico_ipam::Error::from)?;
        readiness::check(&mut answers)?;
        let endpoint = answers.get().map_err(calico_ipam::Error::from)?;
        let mut handles = Vec::new();
        for _ in call.handles() {
            handles.extend(answers.get::<Handle>().map_err(calico_ipam::Error::from)?);
        }
        Ok(Recorded { store, deadline, endpoint, handles, _lock: lock })
    }

    async fn release(self, call: &Call, request: &Request) -> Result<(), Error> {
        let store = Timed::new(&self.store, self.deadline);
        if let Some(Stored { key, revision, value }) = self.endpoint {
            endpoint::delete(&store, &key, &value.metadata.uid, Some(revision)).await?;
        }
        if !allocates_itself(call) {
            return Delegate::find(&call.conf.ipam.plugin, request)?.del(self.deadline).await;
        }
        call.release(&self.store, self.deadline, self.handles).await
    }
}

/// Whether addresses are released here and not by a plugin that is executed.
fn allocates_itself(call: &Call) -> bool {
    call.conf.ipam.plugin == IpamConf::OWN_PLUGIN && !call.conf.ipam.exec
}
