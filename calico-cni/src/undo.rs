//! Taking back what a failed ADD did: the record, the interface, the addresses, in this order, as DEL does.

use std::cell::OnceCell;

use calico_datastore::{Datastore, Deadline, Store, Timed};
use calico_ipam::Lease;
use calico_ipam::plugin::{Call, UNDO_TIME};
use calico_model::WorkloadEndpoint;
use calico_plugin::log::Value::{Plain, Text};

use crate::dataplane::Kernel;
use crate::delegate::Delegate;
use crate::endpoint;

/// What an ADD has begun, noted before each step: a step that is cut short is undone, too.
pub struct Done<'a> {
    /// The addresses that were assigned in this process.
    pub lease: Lease,
    /// The IPAM plugin to execute.
    pub delegate: Option<&'a Delegate<'a>>,
    /// The thread that made the interface.
    pub kernel: OnceCell<Kernel>,
    /// The record.
    pub endpoint: OnceCell<WorkloadEndpoint>,
}

impl Done<'_> {
    /// Nothing yet.
    pub fn new<'a>(call: &Call, delegate: Option<&'a Delegate<'a>>) -> Done<'a> {
        Done { lease: call.lease(), delegate, kernel: OnceCell::new(), endpoint: OnceCell::new() }
    }

    /// Undoes everything. Neither the record nor the interface may take more than a third of the time, so that the
    /// addresses have the rest. What fails is logged, and left to the DEL that the runtime sends after a failed ADD.
    pub async fn undo(&self, call: &Call, store: &Store) {
        let end = Deadline::after(UNDO_TIME);
        let part = || end.at_most(UNDO_TIME / 3);
        let whole = call.phase();
        let failed = |what: &str, error: &dyn std::fmt::Display| {
            call.log.error(
                "could not undo everything: that is left to a DEL",
                &[("what", Text(what)), ("error", Plain(error))],
            );
        };
        if let Some(endpoint) = self.endpoint.get() {
            let phase = call.phase();
            match forget(call, &Timed::new(store, part()), endpoint).await {
                Ok(()) => phase.end("took back the endpoint", &[]),
                Err(error) => failed("the endpoint", &error),
            }
        }
        if let Some(kernel) = self.kernel.get() {
            let phase = call.phase();
            match part().bound(kernel.undo()).await {
                Some(Ok(())) => phase.end("took back the interfaces", &[]),
                // The addresses stay with the interface that has them.
                Some(Err(error)) => return failed("the interface", &error),
                None => return failed("the interface", &"the kernel did not answer in time"),
            }
        }
        match self.delegate {
            Some(delegate) if delegate.has_begun() => {
                let phase = call.phase();
                match delegate.del(end).await {
                    Ok(()) => phase.end("the IPAM plugin took back the addresses", &[]),
                    Err(error) => failed("the addresses", &error),
                }
            }
            Some(_) => {}
            None => call.undo(store, &self.lease, end).await,
        }
        whole.end("undid the ADD", &[]);
    }
}

/// Deletes the record that this call wrote. Its write may have been cut short, and be under way still.
async fn forget(call: &Call, store: &impl Datastore, written: &WorkloadEndpoint) -> Result<(), cni_spec::Error> {
    store.settle().await.map_err(calico_ipam::Error::from)?;
    let is_own = |found: &WorkloadEndpoint| match call.ids.pod {
        // A pod's record is taken over from one sandbox to the next.
        Some(_) => found.spec.container_id == written.spec.container_id,
        None => found.metadata.uid == written.metadata.uid,
    };
    endpoint::delete(store, &endpoint::key(written), is_own, None).await
}
