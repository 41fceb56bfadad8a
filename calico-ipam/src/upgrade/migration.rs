//! One attempt to take over a node's addresses: what is done, in which order.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use calico_datastore::{Datastore, Deadline, Timed};
use calico_model::timestamp;
use calico_plugin::Log;
use calico_plugin::log::Value::{Plain, Text};

use super::error::Error;
use super::host_local::{File, Folder, Meaning, remove_if_there};
use super::orchestrator::{Orchestrator, PodName, Pods};
use crate::assign::block_of;
use crate::{AssignAddress, Inputs, Ipam, Lease};

/// How long any one thing that is asked of the API may take.
pub(super) const LIMIT: Duration = Duration::from_secs(30);

/// How long it may take after a pod was given an address until its kubelet has reported that.
const REPORT: Duration = Duration::from_secs(30);

/// The network whose addresses are taken over. A container's handle is named by it, as the plugin names it.
const NETWORK: &str = "k8s-pod-network";

/// Where host-local has a folder for each network.
const NETWORKS: &str = "/var/lib/cni/networks";

/// Where things are, and how long to wait.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    /// What host-local keeps of the network.
    pub addresses: PathBuf,
    /// A file that is there while the datastore may be closed for this node. Without it and the folder above there is
    /// nothing to do, and the API need not answer.
    pub marker: PathBuf,
    /// Where the executables are that must not be called meanwhile.
    pub executables: PathBuf,
    /// For how long calls may still run that began before.
    pub grace: Duration,
}

impl Default for Places {
    fn default() -> Places {
        Places {
            addresses: Path::new(NETWORKS).join(NETWORK),
            // No network has such a name.
            marker: Path::new(NETWORKS).join(".calico-upgrade"),
            executables: "/host/opt/cni/bin".into(),
            grace: Duration::from_secs(5),
        }
    }
}

impl Places {
    /// Whether an earlier run may have closed the datastore.
    pub(super) fn may_be_closed(&self) -> bool {
        is_there(&self.marker)
    }

    /// Whether there is nothing to do.
    pub(super) fn are_done(&self) -> bool {
        !is_there(&self.addresses) && !self.may_be_closed()
    }
}

/// What cannot be seen counts as there: the error comes when it is used.
fn is_there(path: &Path) -> bool {
    path.try_exists().unwrap_or(true)
}

/// A node's addresses on their way.
pub(crate) struct Migration<'a, D, K> {
    pub store: &'a D,
    pub orchestrator: &'a K,
    pub node: &'a str,
    pub places: &'a Places,
    pub log: &'a Log,
}

/// Who has an address that was to be assigned.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Given {
    ToUs,
    /// This handle.
    ToAnother(String),
}

impl<D: Datastore, K: Orchestrator> Migration<'_, D, K> {
    /// Takes over what there is. After an error, or when it was cut short, it is called again.
    pub(crate) async fn attempt(&self) -> Result<(), Error> {
        let result = self.work().await;
        if result.is_err() && self.places.may_be_closed() {
            // Nobody should wait for what does not go on. If this fails, too, the next attempt comes here again.
            let _ = self.open().await;
        }
        result
    }

    async fn work(&self) -> Result<(), Error> {
        let folder = Folder(&self.places.addresses);
        if folder.files()?.is_some() {
            self.keep_tunnel_address().await?;
            if !folder.remove_empty()? {
                self.take_over_all(folder).await?;
            }
            let fields = [("folder", Text(&folder.0.to_string_lossy()))];
            self.log.info("host-local has no address of this node any more", &fields);
        }
        self.open().await
    }

    async fn take_over_all(&self, folder: Folder<'_>) -> Result<(), Error> {
        self.check(folder).await?;
        self.close().await?;
        self.remove_executables()?;
        let wait = self.places.grace;
        self.log.info("waiting for calls that are under way", &[("time", Text(&format!("{wait:?}")))]);
        tokio::time::sleep(wait).await;
        let lock = folder.lock().await?;
        let pods = Pods::new(self.orchestrator.pods_on(self.node).await?);
        let inputs = self.inputs().await?;
        for file in folder.files()?.unwrap_or_default() {
            self.take_over(&file, &pods, &inputs).await?;
        }
        folder.remove(&lock)
    }

    /// Finds out beforehand what would fail once plugins wait for it.
    async fn check(&self, folder: Folder<'_>) -> Result<(), Error> {
        // A call of host-local that is stuck keeps it.
        drop(folder.lock().await?);
        let pods = Pods::new(self.orchestrator.pods_on(self.node).await?);
        let inputs = self.inputs().await?;
        for file in folder.files()?.unwrap_or_default() {
            let Meaning::Address { address, .. } = &file.meaning else { continue };
            let Some(pod) = owner(&file, &pods)? else { continue };
            let found = block_of(&inputs, &wish(*address));
            found.map_err(|error| Error::address(*address, &format!("pod {pod}"), error))?;
        }
        Ok(())
    }

    /// Removes what the runtime would call: a call that begins now fails at once, and is made again when the node is ready.
    fn remove_executables(&self) -> Result<(), Error> {
        for name in ["calico", "host-local"] {
            remove_if_there(&self.places.executables.join(name))?;
        }
        Ok(())
    }

    /// Records the address of a file, if a pod has it, and then removes the file.
    async fn take_over(&self, file: &File, pods: &Pods, inputs: &Inputs) -> Result<(), Error> {
        let path = file.path.to_string_lossy();
        match &file.meaning {
            Meaning::Last => {}
            Meaning::Unknown => self.log.warning("removing what is no file of host-local's", &[("file", Text(&path))]),
            Meaning::Address { address, container, since } => match owner(file, pods)? {
                None => {
                    let message = "no pod has the address: it is free";
                    self.log.info(message, &[("address", Plain(address)), ("container", Text(container))]);
                }
                Some(pod) => self.record(*address, container, *since, pod, inputs).await?,
            },
        }
        file.remove()
    }

    async fn record(
        &self,
        address: IpAddr,
        container: &str,
        since: SystemTime,
        pod: &PodName,
        inputs: &Inputs,
    ) -> Result<(), Error> {
        let attributes = [
            ("namespace", pod.namespace.clone()),
            ("node", self.node.to_owned()),
            ("pod", pod.name.clone()),
            // When host-local gave it: without, nobody could tell later that it is no allocation under way.
            ("timestamp", timestamp::go_text(since)),
        ];
        let attributes = attributes.map(|(name, value)| (name.to_owned(), value));
        let lease = Lease::new(&format!("{NETWORK}.{container}"), attributes);
        let shown = pod.to_string();
        let given = self.assign(inputs, address, &lease, &format!("pod {pod}")).await?;
        let mut fields = vec![("address", Plain(&address)), ("container", Text(container)), ("pod", Text(&shown))];
        match &given {
            Given::ToUs => self.log.info("took over the address", &fields),
            Given::ToAnother(holder) => {
                fields.push(("holder", Text(holder)));
                let message =
                    "the address is another's, as address management has it: two may use it; replace this pod";
                self.log.warning(message, &fields);
            }
        }
        Ok(())
    }

    /// Assigns an address, unless it is in use.
    pub(super) async fn assign(
        &self,
        inputs: &Inputs,
        address: IpAddr,
        lease: &Lease,
        whom: &str,
    ) -> Result<Given, Error> {
        let ipam = self.ipam();
        let was_begun = ipam.read_handle(lease.handle()).await?.is_some();
        let given = match ipam.assign_address(inputs, &wish(address), lease).await {
            Ok(_) => Given::ToUs,
            Err(crate::Error::AlreadyAssigned { handle, cooling: false, .. }) => match handle {
                Some(handle) if handle == lease.handle() => Given::ToUs,
                handle => Given::ToAnother(handle.unwrap_or_else(|| "no handle".to_owned())),
            },
            Err(error) => return Err(Error::address(address, whom, error)),
        };
        if was_begun {
            // A killed run may have counted an address that it did not assign.
            ipam.recount(lease.handle()).await?;
        }
        Ok(given)
    }

    /// What assigning starts from, after claims that a killed run left half-way have been completed.
    pub(super) async fn inputs(&self) -> Result<Inputs, Error> {
        let ipam = self.ipam();
        let inputs = ipam.read_inputs().await?;
        ipam.put_in_order(&inputs, &[]).await;
        Ok(inputs)
    }

    pub(super) fn timed(&self) -> Timed<&D> {
        Timed::new(self.store, Deadline::after(LIMIT))
    }

    fn ipam(&self) -> Ipam<Timed<&D>> {
        Ipam::new(self.timed(), self.node, SystemTime::now())
    }
}

/// The pod that has a file's address; `None` where none has it, or the file has none.
fn owner<'p>(file: &File, pods: &'p Pods) -> Result<Option<&'p PodName>, Error> {
    let Meaning::Address { address, container, since } = &file.meaning else { return Ok(None) };
    match pods.with(*address) {
        // It gets older while no pod claims it: this ends.
        None if pods.some_is_unreported && since.elapsed().is_ok_and(|age| age < REPORT) => {
            Err(Error::Unreported { address: *address, container: container.clone() })
        }
        Some(pod) if container.is_empty() => Err(Error::NoContainer { path: file.path.clone(), pod: pod.to_string() }),
        owner => Ok(owner),
    }
}

/// The address is in use, whatever its pool is meant for.
fn wish(address: IpAddr) -> AssignAddress {
    AssignAddress { intended_use: None, ..AssignAddress::workload(address) }
}
