//! Address management as a CNI plugin: what `calico-ipam` does when it is executed, and `calico` without executing it.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, SystemTime};

use calico_datastore::kubernetes::Cluster;
use calico_datastore::{Datastore, Deadline, Store, Timed};
use calico_model::{IpPool, IpVersion, Owner, timestamp};
use calico_plugin::config::{DatastoreConf, IpamConf, parse_pool};
use calico_plugin::lock::{self, HostLock};
use calico_plugin::log::Phase;
use calico_plugin::log::Value::{Plain, Text};
use calico_plugin::{Identifiers, Log, NetConf, call, node_name};
use cni_spec::error::code;
use cni_spec::result::{Ip, Route};
use cni_spec::{Cidr, Request, Success};
use ipnetwork::IpNetwork;

use crate::{Allocation, AssignAddress, AutoAssign, Demand, Error, Held, Inputs, Ipam, Lease};

/// The time that undoing a failed ADD has for itself: a call that used up its own time can still clean up.
pub const UNDO_TIME: Duration = Duration::from_secs(10);

/// One call, and whom it is for.
pub struct Call {
    /// The network configuration.
    pub conf: NetConf,
    /// The container.
    pub ids: Identifiers,
    /// The node.
    pub node: String,
    /// The log.
    pub log: Log,
    /// When the call began: this marks what it assigns.
    pub now: SystemTime,
}

impl Call {
    /// Reads a request; `args` are its `CNI_ARGS`, as far as they shall be seen.
    pub fn read(request: &Request, args: &str, component: &'static str) -> Result<Call, cni_spec::Error> {
        let conf = NetConf::parse(request)?;
        let log = Log::open(component, conf.log_level, conf.log_file.as_ref());
        let whom = || Ok::<_, cni_spec::Error>((node_name::determine(&conf.node)?, Identifiers::read(request, args)?));
        let (node, mut ids) = whom().inspect_err(|error| {
            let fields = [("container", Text(&request.container_id)), ("error", Plain(error))];
            log.error(&format!("{} failed", request.command), &fields);
        })?;
        if let Some(namespace) = &conf.mesos.namespace {
            ids.namespace.clone_from(namespace);
        }
        // Not the configuration as it came: there may be a token in it.
        log.debug(
            "read the configuration",
            &[
                ("container", Text(&ids.container_id)),
                ("interface", Text(&request.ifname)),
                ("ipam", Text(&conf.ipam.plugin)),
                ("namespace", Text(&request.netns)),
                ("network", Text(&conf.network)),
                ("node", Text(&node)),
            ],
        );
        Ok(Call { conf, ids, node, log, now: SystemTime::now() })
    }

    /// A part of this call that begins now, to be logged when it ends.
    pub fn phase(&self) -> Phase<'_> {
        Phase::begin(&self.log, &self.ids.container_id)
    }

    /// Logs that the call fails, and why.
    #[track_caller]
    pub fn failed(&self, command: &str, error: &cni_spec::Error) {
        let fields = [("container", Text(&self.ids.container_id)), ("error", Plain(error))];
        self.log.error(&format!("{command} failed"), &fields);
    }

    /// Runs the work of a call that has nothing to undo, until it is asked to end. Its end is logged.
    pub async fn serve(
        &self,
        command: &str,
        work: impl Future<Output = Result<(), cni_spec::Error>>,
    ) -> Result<(), cni_spec::Error> {
        let whole = self.phase();
        let result = call::catch_panic(command, call::until_signal(work)).await;
        match &result {
            Ok(()) => whole.end(&format!("{command} done"), &[]),
            Err(error) => self.failed(command, error),
        }
        result
    }

    /// Refuses an ADD that cannot be completed, before anything is done: for a node or container whose endpoint cannot be
    /// named. A DEL of such a container has nothing to undo and succeeds.
    pub fn check_add(&self, request: &Request) -> Result<(), cni_spec::Error> {
        self.ids.endpoint(&self.node, &request.ifname).name().map_err(calico_plugin::Error::from)?;
        Ok(())
    }

    /// Waits for the host lock, then starts the clock of the call.
    pub async fn lock(&self) -> Result<(HostLock, Deadline), cni_spec::Error> {
        self.acquire(&self.conf.lock_file).await
    }

    /// As [`Call::lock`], for a call that executes an IPAM plugin, which may be our own and take the host lock itself: a lock
    /// beside that.
    pub async fn lock_around_plugin(&self) -> Result<(HostLock, Deadline), cni_spec::Error> {
        let mut file = self.conf.lock_file.clone().into_os_string();
        file.push(".exec");
        self.acquire(Path::new(&file)).await
    }

    async fn acquire(&self, file: &Path) -> Result<(HostLock, Deadline), cni_spec::Error> {
        let phase = self.phase();
        let lock = HostLock::acquire(file, lock::PATIENCE, &self.log).await?;
        if lock.is_held() {
            phase.end("took the host lock", &[]);
        }
        Ok((lock, Deadline::after(self.conf.timeout)))
    }

    /// Opens the datastore. Before the host lock is taken: a datastore that does not answer must not hold up the calls
    /// that wait for the lock.
    pub async fn open(&self) -> Result<Store, cni_spec::Error> {
        let phase = self.phase();
        let store = self.conf.datastore.open(Deadline::after(self.conf.timeout)).await?;
        phase.end("opened the datastore", &[("datastore", Text(&store.name()))]);
        Ok(store)
    }

    /// The embedded store, if it is not there: an ADD creates it, and for other calls nothing is recorded.
    pub fn absent_store(&self) -> Option<&Path> {
        match &self.conf.datastore {
            DatastoreConf::Local(path) if !path.exists() => Some(path),
            _ => None,
        }
    }

    /// Opens the datastore for a CHECK, which needs what is recorded.
    pub async fn open_recorded(&self) -> Result<Store, cni_spec::Error> {
        let Some(path) = self.absent_store() else { return self.open().await };
        let text = format!("nothing is recorded of the container: there is no store {}", path.display());
        Err(cni_spec::Error::internal(text).with_details("is local_store_file that of the ADD?"))
    }

    /// What the configuration and the caller ask for.
    pub fn wish(&self) -> Result<Wish, cni_spec::Error> {
        let addresses = self.ids.address()?.into_iter().collect();
        Ok(Wish { addresses, ipam: self.conf.ipam.clone(), namespace: BTreeMap::new() })
    }

    /// The API of Kubernetes, over the datastore's connection where that leads there, too.
    pub async fn cluster(&self, store: &Store, deadline: Deadline) -> Result<Cluster, cni_spec::Error> {
        let opened = Cluster::open(&self.conf.cluster.settings, store, deadline).await;
        Ok(opened.map_err(calico_plugin::Error::Datastore)?)
    }

    /// Whether what was read shows that the embedded store lacks this node, or a pool that the configuration names.
    /// Other datastores are filled by others.
    pub fn must_seed(&self, inputs: &Result<Inputs, Error>) -> Result<bool, cni_spec::Error> {
        if !matches!(self.conf.datastore, DatastoreConf::Local(_)) {
            return Ok(false);
        }
        let wanted = self.conf.ipam.pool_cidrs()?;
        Ok(match inputs {
            Ok(inputs) => !wanted.iter().all(|cidr| inputs.pools.iter().any(|pool| pool.cidr() == *cidr)),
            Err(error) => matches!(error, Error::Missing { .. }),
        })
    }

    /// Creates this node and the configuration's pools where the embedded store lacks them.
    pub async fn seed(&self, store: &Store, deadline: Deadline) -> Result<(), cni_spec::Error> {
        let Store::Local(local) = store else { return Ok(()) };
        let phase = self.phase();
        let pools = self.conf.ipam.pool_cidrs()?;
        let seeding = local.seed(&self.node, &pools);
        let seeded = deadline.within(|| (store.name(), "create this node and its pools".to_owned()), seeding).await;
        seeded.map_err(calico_plugin::Error::Datastore)?;
        phase.end("created this node and its pools", &[]);
        Ok(())
    }

    /// Who owns the blocks of this node.
    pub fn owner(&self) -> Owner {
        Owner::Host(self.node.clone())
    }

    /// Address management for this call.
    pub fn ipam<D: Datastore>(&self, store: D) -> Ipam<D> {
        // Not when the call began: it may have waited long for the host lock, and what it writes is dated with this.
        Ipam::new(store, &self.node, SystemTime::now())
    }

    /// The lease of this call's allocations.
    pub fn lease(&self) -> Lease {
        let mut attributes = vec![("node", self.node.clone()), ("timestamp", timestamp::go_text(self.now))];
        if let Some(pod) = &self.ids.pod {
            attributes.extend([("namespace", pod.namespace.clone()), ("pod", pod.name.clone())]);
        }
        let attributes = attributes.into_iter().map(|(name, value)| (name.to_owned(), value));
        Lease::new(&self.ids.handle(&self.conf.network), attributes)
    }

    /// Takes back what a failed call may have got. A failure is logged: the error of the call is the one to report.
    pub async fn undo(&self, store: &Store, lease: &Lease, deadline: Deadline) {
        let (phase, handle) = (self.phase(), ("handle", Text(lease.handle())));
        match self.ipam(Timed::new(store, deadline)).undo(lease).await {
            Ok(()) => phase.end("took back the addresses, if there were any", &[handle]),
            Err(error) => {
                let message = "could not take back addresses, if there are any: that is left to a DEL";
                self.log.error(message, &[("error", Plain(&error)), handle]);
            }
        }
    }

    /// Releases the addresses of handles that were read, with what that starts from.
    pub async fn release<D: Datastore>(&self, store: D, held: Vec<Held>) -> Result<(), cni_spec::Error> {
        let (phase, ipam) = (self.phase(), self.ipam(store));
        let count = held.len();
        for held in held {
            ipam.release(held).await?;
        }
        if count > 0 {
            phase.end("released the addresses", &[("handles", Plain(&count))]);
        }
        Ok(())
    }

    /// The handles under which this container's addresses may be recorded: today's, and that of the second generation.
    pub fn handles(&self) -> Vec<String> {
        [self.ids.handle(&self.conf.network)].into_iter().chain(self.ids.legacy_handle()).collect()
    }
}

/// What an ADD asks of address management.
#[derive(Debug, Clone)]
pub struct Wish {
    /// These addresses. Where there are none, an address of each family.
    pub addresses: Vec<IpAddr>,
    /// The families and the pools.
    pub ipam: IpamConf,
    /// The labels of the pod's namespace, by which pools choose; none of a container that is no pod.
    pub namespace: BTreeMap<String, String>,
}

impl Wish {
    /// The families that addresses are assigned of.
    pub fn families(&self) -> Vec<IpVersion> {
        let wanted = |version: &IpVersion| self.addresses.iter().any(|address| IpVersion::of(*address) == *version);
        match self.addresses.is_empty() {
            true => self.ipam.families(),
            false => IpVersion::BOTH.into_iter().filter(wanted).collect(),
        }
    }
}

/// Assigns the addresses that are wished for. A failure also tells which pools could not be read, since those may be what
/// is missing.
pub async fn assign<D: Datastore>(
    call: &Call,
    ipam: &Ipam<D>,
    inputs: &Inputs,
    wish: &Wish,
    lease: &Lease,
) -> Result<Success, cni_spec::Error> {
    let phase = call.phase();
    let pools: Vec<String> = inputs.pools.iter().map(|pool| pool.cidr().to_string()).collect();
    let claims = inputs.affinities.len();
    call.log.debug("choosing addresses", &[("claims", Plain(&claims)), ("pools", Text(&pools.join(",")))]);
    for pool in &inputs.malformed_pools {
        call.log.warning("passed over a pool: correct or delete it", &[("reason", Plain(pool))]);
    }
    for reservation in &inputs.malformed_reservations {
        call.log.warning("a reservation reserves nothing: correct or delete it", &[("reason", Text(reservation))]);
    }
    let assigned = assign_from_readable(call, ipam, inputs, wish, lease).await;
    if let Ok(success) = &assigned {
        let addresses = addresses(success);
        phase.end("assigned the addresses", &[("addresses", Text(&addresses)), ("handle", Text(lease.handle()))]);
    }
    assigned.map_err(|error| {
        let parts = [error.details.clone()].into_iter().filter(|details| !details.is_empty());
        let pools =
            inputs.malformed_pools.iter().map(|pool| format!("a pool is malformed, correct or delete it: {pool}"));
        error.with_details(parts.chain(pools).collect::<Vec<_>>().join("; "))
    })
}

/// The result is that of the established `calico-ipam`: an automatic address has the mask of its block, and each
/// address comes with a route to its own network.
async fn assign_from_readable<D: Datastore>(
    call: &Call,
    ipam: &Ipam<D>,
    inputs: &Inputs,
    wish: &Wish,
    lease: &Lease,
) -> Result<Success, cni_spec::Error> {
    let mut given = Vec::new();
    for &address in &wish.addresses {
        let allocation = ipam.assign_address(inputs, &AssignAddress::workload(address), lease).await?;
        log_allocation(call, &allocation);
        given.push(Cidr::from(allocation.address));
    }
    let networks = match given.is_empty() {
        false => given,
        true => {
            let mut demands = Vec::new();
            for version in wish.ipam.families() {
                let pools = resolve_pools(wish.ipam.pools(version), &inputs.pools, version)?;
                demands.push(Demand { pools, ..Demand::any(version, 1) });
            }
            let demanded = AutoAssign { namespace: wish.namespace.clone(), ..AutoAssign::workload(demands) };
            let assigned = ipam.auto_assign(inputs, &demanded, lease).await?;
            for unsound in &assigned.unsound {
                call.log.warning("passed over a block: repair it", &[("reason", Text(unsound))]);
            }
            if let Some(shortfall) = assigned.shortfalls.first() {
                return Err(cni_spec::Error::internal(shortfall.to_string()).with_details(shortfall.advice.clone()));
            }
            assigned.allocations.iter().for_each(|allocation| log_allocation(call, allocation));
            let with_mask = |a: Allocation| Cidr { address: a.address, prefix: a.block.prefix() };
            assigned.allocations.into_iter().map(with_mask).collect()
        }
    };
    Ok(Success {
        ips: networks.iter().map(|&address| Ip { address, gateway: None, interface: None }).collect(),
        routes: networks.iter().map(|&dst| Route { dst, gw: None }).collect(),
        ..Success::default()
    })
}

fn log_allocation(call: &Call, Allocation { address, block }: &Allocation) {
    call.log.debug("chose an address", &[("address", Plain(address)), ("block", Plain(block))]);
}

/// The CIDRs of pools that are given by CIDR or by name.
fn resolve_pools(wanted: &[String], pools: &[IpPool], version: IpVersion) -> Result<Vec<IpNetwork>, cni_spec::Error> {
    let resolve = |text: &String| {
        if let Some(cidr) = parse_pool(text, version)? {
            return Ok(cidr);
        }
        let known: Vec<&str> = pools.iter().map(|pool| pool.metadata.name.as_str()).collect();
        let named = pools.iter().find(|pool| pool.metadata.name == *text).map(IpPool::cidr).ok_or_else(|| {
            cni_spec::Error::internal(format!("error parsing pool \"{text}\": it is neither a CIDR nor a pool's name"))
                .with_details(format!("known pools: {}", known.join(", ")))
        })?;
        Ok(parse_pool(&named.to_string(), version)?.unwrap_or(named))
    };
    wanted.iter().map(resolve).collect()
}

/// The executable's ADD.
pub fn add(request: &Request) -> Result<Success, cni_spec::Error> {
    call::block_on(async {
        let call = Call::read(request, &request.args, "ipam")?;
        call.check_add(request).inspect_err(|error| call.failed("ADD", error))?;
        let (whole, opened, lease) = (call.phase(), OnceCell::new(), call.lease());
        let work = call::until_signal(async {
            let store = call.open().await?;
            let store = opened.get_or_init(|| store);
            let (_lock, deadline) = call.lock().await?;
            let ipam = call.ipam(Timed::new(store, deadline));
            let phase = call.phase();
            let (mut inputs, namespace) = tokio::join!(ipam.read_inputs(), namespace_labels(&call, store, deadline));
            let wish = Wish { namespace: namespace?, ..call.wish()? };
            phase.end("read what there is", &[]);
            if call.must_seed(&inputs)? {
                call.seed(store, deadline).await?;
                inputs = ipam.read_inputs().await;
            }
            assign(&call, &ipam, &inputs?, &wish, &lease).await
        });
        let result = call::catch_panic("ADD", work).await;
        match &result {
            Ok(success) => whole.end("ADD done", &[("addresses", Text(&addresses(success)))]),
            Err(error) => {
                call.failed("ADD", error);
                if let Some(store) = opened.get() {
                    call.undo(store, &lease, Deadline::after(UNDO_TIME)).await;
                }
            }
        }
        result
    })
}

/// The labels of the namespace of the call's pod, where the configuration tells how to ask Kubernetes for them.
async fn namespace_labels(
    call: &Call,
    store: &Store,
    deadline: Deadline,
) -> Result<BTreeMap<String, String>, cni_spec::Error> {
    let (Some(pod), true) = (&call.ids.pod, call.conf.cluster.is_configured || call.conf.has_kubernetes_policy())
    else {
        return Ok(BTreeMap::new());
    };
    let cluster = call.cluster(store, deadline).await?;
    let found = cluster.namespace(&pod.namespace).await.map_err(Error::from)?;
    Ok(found.ok_or_else(|| missing_namespace(&pod.namespace))?.metadata.labels)
}

/// A pod's namespace is not there.
pub fn missing_namespace(name: &str) -> cni_spec::Error {
    let text = format!("failed to get namespace {name}: namespaces \"{name}\" not found");
    cni_spec::Error::internal(text).with_details("was it deleted meanwhile? or is this another cluster than the pod's?")
}

/// The executable's DEL: releases everything of the container, and succeeds where there is nothing.
pub fn del(request: &Request) -> Result<(), cni_spec::Error> {
    call::block_on(async {
        let call = Call::read(request, &request.args, "ipam")?;
        call.serve("DEL", release_all(&call)).await
    })
}

async fn release_all(call: &Call) -> Result<(), cni_spec::Error> {
    if call.absent_store().is_some() {
        return Ok(());
    }
    let store = call.open().await?;
    let (_lock, deadline) = call.lock().await?;
    let store = Timed::new(&store, deadline);
    let ipam = call.ipam(store);
    let phase = call.phase();
    let mut handles = ipam.read_handles(call.handles()).await?;
    if handles.is_empty() {
        // An ADD that was killed may have had its commit on the way.
        store.settle().await.map_err(Error::from)?;
        handles = ipam.read_handles(call.handles()).await?;
    }
    phase.end("read what there is", &[("handles", Plain(&handles.len()))]);
    for handle in handles {
        ipam.release_by_handle(Some(handle)).await?;
    }
    Ok(())
}

/// The addresses of a result, for the log.
pub fn addresses(success: &Success) -> String {
    success.ips.iter().map(|ip| ip.address.address.to_string()).collect::<Vec<_>>().join(",")
}

impl From<Error> for cni_spec::Error {
    fn from(error: Error) -> cni_spec::Error {
        let code = match &error {
            Error::Datastore(calico_datastore::Error::TimedOut { .. }) | Error::RetriesUsedUp { .. } => code::TRY_AGAIN,
            _ => code::INTERNAL,
        };
        cni_spec::Error::new(code, error.to_string()).with_details(error.advice())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pools_are_given_by_cidr_or_name() {
        let pools = [
            IpPool::routed("blue", "10.1.0.0/16".parse().unwrap()),
            IpPool::routed("red", "fd00::/64".parse().unwrap()),
        ];
        let resolve = |texts: &[&str], version| {
            let texts: Vec<String> = texts.iter().map(|&text| text.to_owned()).collect();
            resolve_pools(&texts, &pools, version).map_err(|error| error.msg)
        };
        let expected: Vec<IpNetwork> = vec!["10.9.0.0/16".parse().unwrap(), "10.1.0.0/16".parse().unwrap()];
        assert_eq!(resolve(&["10.9.3.0/16", "blue"], IpVersion::V4).unwrap(), expected);
        assert!(resolve(&["green"], IpVersion::V4).unwrap_err().starts_with("error parsing pool \"green\": "));
        let family = resolve(&["red"], IpVersion::V4).unwrap_err();
        assert_eq!(family, "error parsing pool \"fd00::/64\": \"fd00::\" isn't a IPv4 address");
    }
}
