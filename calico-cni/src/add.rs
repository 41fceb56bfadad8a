//! ADD: addresses, an interface that has them, and the record of both.
//!
//! Everything that needs no address is made by the kernel thread while the addresses are being committed; nothing gets
//! an address before it is (invariant 1 of the design). Whatever fails, also a signal, undoes all of it.

use std::cell::{Cell, OnceCell};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use calico_datastore::kubernetes::Cluster;
use calico_datastore::{Datastore, Deadline, Expect, Store, Stored, Timed};
use calico_ipam::plugin::{self, Call};
use calico_ipam::{Inputs, ReleaseRequest};
use calico_model::endpoint_name::EndpointId;
use calico_model::{IpVersion, WorkloadEndpoint};
use calico_plugin::config::{DatastoreConf, IpamConf, LinkSettings};
use calico_plugin::log::Value::{Millis, Plain, Text};
use calico_plugin::{call, gates, node_name, readiness};
use cni_spec::error::code;
use cni_spec::result::{Interface, Ip};
use cni_spec::{Cidr, Error, Request, Success};
use ipnetwork::IpNetwork;

use crate::dataplane::{self, Addressing, FoundLink, Kernel, Link, Prepared};
use crate::delegate::Delegate;
use crate::endpoint::{self, Recorded};
use crate::host_local::{self, HostLocal, PodCidrs};
use crate::pod::{self, PodWish, Source};
use crate::undo::Done;

/// What the kernel needs to do IPv6 on a link (RFC 8200, section 5).
const LEAST_IPV6_MTU: u32 = 1280;

/// Serves an ADD.
pub fn add(request: &Request) -> Result<Success, Error> {
    call::block_on(async {
        let call = Call::read(request, &crate::tolerant_args(request), "cni-plugin")?;
        let (link, delegate) = accept(&call, request).inspect_err(|error| call.failed("ADD", error))?;
        let whole = call.phase();
        let done = Done::new(&call, delegate.as_ref());
        let opened = OnceCell::new();
        let mut held = OnceCell::new();
        let work = async {
            if !call.conf.add.gates.is_empty() {
                let phase = call.phase();
                gates::pass(&call.conf.add.gates).await?;
                phase.end("the readiness gates are open", &[]);
            }
            let store = call.open().await?;
            let store = opened.get_or_init(|| store);
            // Before the host lock, like the datastore: neither must hold up the calls that wait for the lock.
            let cluster = match needs_cluster(&call, request)? {
                true => Some(call.cluster(store, Deadline::after(call.conf.timeout)).await?),
                false => None,
            };
            let id = call.ids.endpoint(&call.node, &request.ifname);
            let deadline = Cell::new(Deadline::after(call.conf.timeout));
            let add = Add { request, call: &call, id, store, cluster, deadline, link, done: &done };
            // Where each question takes its time, calls that come together ask theirs together: only what is decided under the
            // lock is read again under it, block by block. Pods are added one sandbox at a time.
            let early = match store.answers_singly() {
                true => Some(add.start().await?.early()),
                false => None,
            };
            let (lock, deadline) = match &done.delegate {
                None => call.lock().await?,
                Some(_) => call.lock_around_plugin().await?,
            };
            let _ = held.set(lock);
            add.deadline.set(deadline);
            add.run(early).await
        };
        let result = call::catch_panic("ADD", call::until_signal(work)).await;
        match &result {
            Ok(success) => {
                let kernel = done.kernel.get().map(Kernel::busy).unwrap_or_default();
                let addresses = plugin::addresses(success);
                whole.end("ADD done", &[("addresses", Text(&addresses)), ("ms_kernel", Millis(kernel))]);
            }
            Err(error) => {
                call.failed("ADD", error);
                if delegate.is_none() {
                    // What this call got has its mark, so that nobody need wait. A plugin knows only the container.
                    drop(held.take());
                }
                if let Some(store) = opened.get() {
                    done.undo(&call, store).await;
                }
            }
        }
        result
    })
}

/// Refuses what cannot be done, before anything is done. Answers what the interface shall be, and the IPAM plugin to
/// execute.
fn accept<'a>(call: &'a Call, request: &'a Request) -> Result<(LinkSettings, Option<Delegate<'a>>), Error> {
    node_name::check_file(&call.conf.node)?;
    call.check_add(request)?;
    let link = call.conf.link.settings()?;
    call.conf.add.check(call.ids.pod.is_some())?;
    check_policy(call)?;
    let delegate = match call.conf.ipam.in_process() {
        true => None,
        false => Some(Delegate::find(call, request)?),
    };
    Ok((link, delegate))
}

/// Whether Kubernetes is asked for anything: for the pod, or for its node's pod CIDRs.
fn needs_cluster(call: &Call, request: &Request) -> Result<bool, Error> {
    if call.ids.pod.is_none() {
        return Ok(false);
    }
    let placeholders = HostLocal::of(call, &request.config).map(|host_local| host_local.has_placeholders());
    Ok(call.conf.has_kubernetes_policy() || placeholders.transpose()?.unwrap_or(false))
}

/// Without Kubernetes policy a network has a profile of its own, which cannot be kept in the Kubernetes API.
fn check_policy(call: &Call) -> Result<(), Error> {
    if !matches!(call.conf.datastore, DatastoreConf::Kubernetes(..)) {
        return Ok(());
    }
    let refused = |text: &str, advice: &str| Err(Error::new(code::INVALID_CONFIG, text).with_details(advice));
    if call.ids.pod.is_none() {
        let text = "with datastore_type \"kubernetes\" only Kubernetes pods can be networked: CNI_ARGS names none";
        return refused(text, "give K8S_POD_NAMESPACE and K8S_POD_NAME, or use another datastore_type");
    }
    match call.conf.policy_type.is_empty() {
        true => refused("datastore_type \"kubernetes\" needs policy.type \"k8s\"", "set policy.type to \"k8s\""),
        false => Ok(()),
    }
}

/// What an ADD starts from.
struct Start {
    recorded: Recorded,
    inputs: Result<Inputs, calico_ipam::Error>,
    /// What the pod asks for, where Kubernetes policy says so.
    wish: Option<PodWish>,
}

impl Start {
    /// The same, read before the host lock was held.
    fn early(self) -> Start {
        Start { inputs: self.inputs.map(Inputs::early), ..self }
    }
}

/// One ADD.
struct Add<'a> {
    request: &'a Request,
    call: &'a Call,
    id: EndpointId,
    store: &'a Store,
    /// Kubernetes, where something is asked of it.
    cluster: Option<Cluster>,
    deadline: Cell<Deadline>,
    link: LinkSettings,
    done: &'a Done<'a>,
}

impl Add<'_> {
    /// The lock is held to the end: until the record is written, another call could not tell this container's interface
    /// from one that was left over.
    async fn run(&self, early: Option<Start>) -> Result<Success, Error> {
        let store = self.timed();
        let Start { mut recorded, mut inputs, wish } = match early {
            Some(early) => early,
            None => self.start().await?,
        };
        if self.call.must_seed(&inputs)? {
            self.call.seed(self.store, self.deadline.get()).await?;
            (recorded, inputs) = self.read(&store).await?;
        }
        if self.call.ids.pod.is_none()
            && let Some(endpoint) = recorded.endpoint.take()
        {
            if let Some(host_end) = self.host_end(&endpoint.value).await? {
                return self.repeat(endpoint, recorded.lacks_profile, host_end).await;
            }
            self.forget(endpoint).await?;
        }
        let host_local = HostLocal::of(self.call, &self.request.config).filter(|_| self.call.ids.pod.is_some());
        let routes = host_local::routes_in_pod(self.call, host_local.as_ref())?;
        let addresses = match &wish {
            Some(wish) => wish.addresses.clone(),
            None => self.call.wish()?,
        };
        let source = wish.as_ref().map_or(Source::Any, |wish| wish.source.clone());
        let mac = wish.as_ref().and_then(|wish| wish.mac);

        let assigning = async {
            if let Source::Given(given) = &source
                && let Some(endpoint) = &recorded.endpoint
            {
                self.take_from_earlier_sandbox(given, &endpoint.value).await;
            }
            match (&source, self.done.delegate) {
                (Source::WithoutIpam(addresses), _) => Ok(without_ipam(addresses)),
                (_, None) => {
                    let ipam = self.call.ipam(store);
                    let assigned = plugin::assign(self.call, &ipam, &inputs?, &addresses, &self.done.lease).await;
                    if source == Source::Any { assigned } else { assigned.map_err(not_given) }
                }
                (source, Some(delegate)) => self.assign_by_plugin(delegate, source, wish.as_ref(), host_local).await,
            }
        };
        let (mut success, prepared) = match self.done.delegate {
            None => {
                let families = match &source {
                    Source::WithoutIpam(addresses) => addresses.iter().map(|address| IpVersion::of(*address)).collect(),
                    Source::Any | Source::Given(_) => addresses.families(),
                };
                let families = (families.contains(&IpVersion::V4), families.contains(&IpVersion::V6));
                // The kernel thread first: it works while this thread waits for the disk or the network.
                let (prepared, success) = tokio::join!(self.prepare(families, mac), assigning);
                // Where both fail, the addresses are the first thing an operator has to look at.
                (success?, prepared?)
            }
            Some(_) => {
                // Only its answer tells which families the interface must be prepared for.
                let success = assigning.await?;
                let has = |ipv4: bool| success.ips.iter().any(|ip| ip.address.address.is_ipv4() == ipv4);
                let prepared = self.prepare((has(true), has(false)), mac).await?;
                (success, prepared)
            }
        };
        if source != Source::Any {
            success.routes.clear();
        }
        // That our own plugin answers no routes for a pod is how it says, as upstream's does, that the node agent will
        // make the host's.
        let is_own = self.call.conf.ipam.plugin == IpamConf::OWN_PLUGIN;
        let host_routes = self.call.ids.pod.is_none() || !is_own || !success.routes.is_empty();
        self.finish(&success, routes, host_routes).await?;

        // Last, so that a record means a network: a repeated ADD relies on it.
        let (expect, existing) = match recorded.endpoint {
            Some(Stored { revision, value, .. }) => (Expect::At(revision), Some(value)),
            None => (Expect::Absent, None),
        };
        let mac = prepared.mac.clone();
        let endpoint = match self.call.ids.pod {
            Some(_) => endpoint::of_pod(self.call, &self.id, existing, wish.as_ref(), &success, mac)?,
            None => endpoint::new(self.call, &self.id, &success, mac)?,
        };
        let _ = self.done.endpoint.set(endpoint.clone());
        let lacks_profile = recorded.lacks_profile;
        let phase = self.call.phase();
        endpoint::write(&self.timed(), self.call, &endpoint, expect, lacks_profile).await?;
        phase.end("recorded the endpoint", &[("endpoint", Text(&endpoint.metadata.name))]);
        Ok(self.result(success, &endpoint, self.link.mtu))
    }

    /// Reads, at once, everything that is read before anything is done.
    async fn start(&self) -> Result<Start, Error> {
        let store = self.timed();
        let (read, wish) = tokio::join!(self.read(&store), self.read_pod());
        let ((recorded, inputs), wish) = (read?, wish?);
        Ok(Start { recorded, inputs, wish })
    }

    /// Reads the pod that the container is the sandbox of, and what it asks for, where Kubernetes policy says so.
    async fn read_pod(&self) -> Result<Option<PodWish>, Error> {
        let id = self.call.ids.pod.as_ref().filter(|_| self.call.conf.has_kubernetes_policy());
        let Some((id, cluster)) = id.zip(self.cluster.as_ref()) else { return Ok(None) };
        let phase = self.call.phase();
        let (pod, namespace) = pod::read(&cluster.until(self.deadline.get()), id).await?;
        let wish = PodWish::of(self.call, &pod, &namespace)?;
        phase.end("read the pod", &[("pod", Text(&id.to_string()))]);
        Ok(Some(wish))
    }

    /// Has the IPAM plugin assign what is asked for.
    async fn assign_by_plugin(
        &self,
        delegate: &Delegate<'_>,
        source: &Source,
        wish: Option<&PodWish>,
        host_local: Option<HostLocal>,
    ) -> Result<Success, Error> {
        if let Some(host_local) = host_local
            && host_local.has_placeholders()?
            && let Some(cluster) = &self.cluster
        {
            let cidrs = PodCidrs::of_node(self.call, &cluster.until(self.deadline.get())).await?;
            delegate.configure(host_local.with(&cidrs)?);
        } else if let Some(wish) = wish.filter(|wish| !wish.overrides.is_empty()) {
            delegate.configure(wish.configuration(&self.request.config));
        }
        let phase = self.call.phase();
        let success = match source {
            Source::Given(addresses) => {
                let mut all = Success::default();
                for &address in addresses {
                    let one = delegate.add_address(address, delegate.deadline()).await.map_err(not_given)?;
                    all.ips.extend(one.ips.into_iter().next());
                }
                all
            }
            _ => delegate.add(delegate.deadline()).await?,
        };
        phase.end("the IPAM plugin assigned the addresses", &[("addresses", Text(&plugin::addresses(&success)))]);
        // Its time, with its wait for the host lock, was its own.
        self.deadline.set(Deadline::after(self.call.conf.timeout));
        Ok(success)
    }

    /// Releases those of the given addresses that an earlier sandbox of this very pod has still: its DEL may be yet to come.
    /// Best effort: what stays is refused when it is assigned, with the name of who has it.
    async fn take_from_earlier_sandbox(&self, given: &[IpAddr], endpoint: &WorkloadEndpoint) {
        let ipam = self.call.ipam(self.timed());
        let Some(pod) = &self.call.ids.pod else { return };
        let recorded: BTreeSet<IpAddr> =
            endpoint.spec.ip_networks.iter().filter_map(|text| text.split('/').next()?.parse().ok()).collect();
        for &address in given.iter().filter(|address| recorded.contains(address)) {
            let Ok(found) = ipam.use_of(address).await else { continue };
            let has = |name: &str, value: &str| found.attributes.get(name).is_some_and(|known| known == value);
            if has("pod", &pod.name) && has("namespace", &pod.namespace) {
                let request = ReleaseRequest { address, handle: found.handle, sequence: Some(found.sequence) };
                let _ = ipam.release_addresses(&[request]).await;
            }
        }
    }

    /// The store, until the deadline of what is being done.
    fn timed(&self) -> Timed<&Store> {
        Timed::new(self.store, self.deadline.get())
    }

    /// Reads, together, all that an ADD starts from, and checks that the datastore is ready.
    async fn read(&self, store: &impl Datastore) -> Result<(Recorded, Result<Inputs, calico_ipam::Error>), Error> {
        let phase = self.call.phase();
        let mut wants = vec![readiness::want()];
        wants.extend(endpoint::wants(self.call, &self.id)?);
        wants.extend(Inputs::wants(&self.call.owner()));
        let mut answers = store.read(&wants).await.map_err(calico_ipam::Error::from)?;
        readiness::check(&mut answers)?;
        let recorded = Recorded::take(self.call, &self.id, &mut answers)?;
        phase.end("read what there is", &[("networked", Plain(&recorded.endpoint.is_some()))]);
        Ok((recorded, Inputs::take(&self.call.owner(), &mut answers)))
    }

    fn kernel(&self) -> Result<&Kernel, Error> {
        if self.done.kernel.get().is_none() {
            let kernel = Kernel::start(self.request.netns.clone().into())?;
            let _ = self.done.kernel.set(kernel);
        }
        self.done.kernel.get().ok_or_else(|| Error::internal("the kernel thread is gone"))
    }

    async fn prepare(&self, (ipv4, ipv6): (bool, bool), mac: Option<[u8; 6]>) -> Result<Prepared, Error> {
        let phase = self.call.phase();
        let mut link = Link {
            netkit: self.link.netkit,
            ifname: self.request.ifname.clone(),
            host_ifname: self.call.ids.host_interface(),
            mtu: self.link.mtu,
            queues: self.link.queues,
            mac,
            ipv4,
            ipv6,
            // Its name is the pod's: an earlier sandbox of the pod has it, if anything.
            replace_host_link: self.call.ids.pod.is_some(),
        };
        if let Some(mtu) = link.mtu.filter(|mtu| ipv6 && *mtu < LEAST_IPV6_MTU) {
            let text = format!("the MTU {mtu} is too small for IPv6, which needs {LEAST_IPV6_MTU}");
            let advice = "see mtu in the configuration, or /var/lib/calico/mtu if that is 0";
            return Err(Error::new(code::INVALID_CONFIG, text).with_details(advice));
        }
        let kernel = self.kernel()?;
        let mut prepared = self.in_time("create the interfaces", kernel.prepare(link.clone())).await;
        if matches!(
            prepared,
            Err(Failed::Kernel(dataplane::Error::HostLinkExists { .. } | dataplane::Error::NameTaken { .. }))
        ) && !link.replace_host_link
            && self.pair_is_left_over(kernel, &link).await?
        {
            link.replace_host_link = true;
            prepared = self.in_time("replace the old interfaces", kernel.prepare(link)).await;
        }
        let prepared = prepared?;
        for warning in &prepared.warnings {
            self.call.log.warning(warning, &[]);
        }
        self.call.log.debug(
            "settings of the interfaces",
            &[
                ("mac", Plain(&prepared.mac)),
                ("mtu", Plain(&self.link.mtu.unwrap_or_default())),
                ("queues", Plain(&self.link.queues)),
            ],
        );
        phase.end("made the interfaces", &[("interface", Text(&self.call.ids.host_interface()))]);
        Ok(prepared)
    }

    /// Whether the pair that is in the way is what an ADD of this container left that never ended: its other end is in
    /// this container, or in none. Otherwise it may be the network of a container whose ID begins alike.
    async fn pair_is_left_over(&self, kernel: &Kernel, link: &Link) -> Result<bool, Failed> {
        let step = "look up the interface that is in the way";
        let found = self.in_time(step, kernel.host_link(link.host_ifname.clone())).await?;
        if found.is_some_and(|found| found.is_of_pair() && found.peer_namespace.is_none()) {
            return Ok(true);
        }
        let host_end = self.in_time(step, kernel.host_end(link.ifname.clone())).await?;
        Ok(host_end.is_some_and(|end| end.name == link.host_ifname))
    }

    /// The host end of the recorded network, if the container still has that: not after a restart of the host.
    ///
    /// # Errors
    /// The namespace is not there, or the recorded network is another namespace's: then nothing may be released.
    async fn host_end(&self, endpoint: &WorkloadEndpoint) -> Result<Option<FoundLink>, Error> {
        let path = std::path::PathBuf::from(&self.request.netns);
        if !path.exists() {
            return Err(dataplane::Error::NoNetns { path }.into());
        }
        let kernel = self.kernel()?;
        let spec = &endpoint.spec;
        let step = "look up the interface";
        let host_end = self.in_time(step, kernel.host_end(spec.endpoint.clone())).await?;
        if host_end.as_ref().is_some_and(|end| end.name == spec.interface_name) {
            return Ok(host_end);
        }
        let host_link = self.in_time(step, kernel.host_link(spec.interface_name.clone())).await?;
        if host_end.is_none() && host_link.is_none() {
            return Ok(None);
        }
        let text = format!(
            "container {} is networked already, by {}, which is not the other end of {} in {}",
            spec.container_id, spec.interface_name, spec.endpoint, self.request.netns
        );
        Err(Error::internal(text).with_details("delete that network first, with a DEL for this container"))
    }

    /// Removes the record of a network that is no more, and releases its addresses.
    async fn forget(&self, endpoint: Stored<WorkloadEndpoint>) -> Result<(), Error> {
        let Stored { key, revision, value } = endpoint;
        self.call.log.warning(
            "the recorded network of the container is gone: making it anew",
            &[("container", Text(&self.call.ids.container_id)), ("interface", Text(&value.spec.interface_name))],
        );
        let store = self.timed();
        let is_it = |found: &WorkloadEndpoint| found.metadata.uid == value.metadata.uid;
        endpoint::delete(&store, &key, is_it, Some(revision)).await?;
        match self.done.delegate {
            Some(delegate) => {
                delegate.del(delegate.deadline()).await?;
                self.deadline.set(Deadline::after(self.call.conf.timeout));
                Ok(())
            }
            None => {
                // The record's profiles are the networks it was added to.
                let of_networks = value.spec.profiles.iter().map(|network| self.call.ids.handle(network));
                let names: BTreeSet<String> = of_networks.chain(self.call.handles()).collect();
                let ipam = self.call.ipam(store);
                for handle in ipam.read_handles(names).await? {
                    ipam.release_by_handle(Some(handle)).await?;
                }
                Ok(())
            }
        }
    }

    async fn finish(&self, success: &Success, routes: Vec<IpNetwork>, host_routes: bool) -> Result<(), Error> {
        let phase = self.call.phase();
        let addressing = Addressing {
            addresses: success.ips.iter().map(|ip| ip.address.address).collect(),
            routes,
            host_routes,
            allow_ip_forwarding: self.call.conf.allow_ip_forwarding,
        };
        self.in_time("set addresses and routes", self.kernel()?.finish(addressing)).await?;
        phase.end("set addresses and routes", &[]);
        Ok(())
    }

    async fn in_time<T>(
        &self,
        step: &'static str,
        work: impl Future<Output = Result<T, dataplane::Error>>,
    ) -> Result<T, Failed> {
        let deadline = self.deadline.get();
        match deadline.bound(work).await {
            Some(result) => result.map_err(Failed::Kernel),
            None => Err(Failed::TimedOut { step, after: deadline.limit }),
        }
    }

    /// The container has its network already: nothing is made, and the answer is what is recorded. Being added to
    /// another network only gives the endpoint that network's profile.
    async fn repeat(
        &self,
        stored: Stored<WorkloadEndpoint>,
        lacks_profile: bool,
        host_end: FoundLink,
    ) -> Result<Success, Error> {
        let Stored { revision, value: mut endpoint, .. } = stored;
        let network = &self.call.conf.network;
        let ips: Result<Vec<Ip>, Error> = endpoint
            .spec
            .ip_networks
            .iter()
            .map(|text| {
                let address: Cidr = text.parse().map_err(|error| {
                    Error::internal(format!("endpoint {} has a bad address: {error}", endpoint.metadata.name))
                })?;
                Ok(Ip { address, gateway: None, interface: None })
            })
            .collect();
        let ips = ips?;
        if !endpoint.spec.profiles.contains(network) {
            endpoint.spec.profiles.push(network.clone());
            endpoint::write(&self.timed(), self.call, &endpoint, Expect::At(revision), lacks_profile).await?;
        }
        self.call.log.info("the container is networked already", &[("container", Text(&self.call.ids.container_id))]);
        let mtu = self.link.mtu.map(|_| host_end.mtu);
        Ok(self.result(Success { ips, ..Success::default() }, &endpoint, mtu))
    }

    /// The answer to the runtime: what IPAM answered, with single addresses, no gateways, and both interfaces.
    fn result(&self, ipam: Success, endpoint: &WorkloadEndpoint, mtu: Option<u32>) -> Success {
        let container_end = Interface {
            name: self.request.ifname.clone(),
            mac: endpoint.spec.mac.clone(),
            mtu,
            sandbox: self.request.netns.clone(),
        };
        let host_end = Interface { name: endpoint.spec.interface_name.clone(), ..Interface::default() };
        let ips = ipam.ips.into_iter().map(|ip| Ip {
            address: Cidr::from(ip.address.address),
            gateway: None,
            interface: Some(1),
        });
        Success { interfaces: vec![host_end, container_end], ips: ips.collect(), ..ipam }
    }
}

/// Addresses that nobody assigned.
fn without_ipam(addresses: &[IpAddr]) -> Success {
    let ip = |&address: &IpAddr| Ip { address: Cidr::from(address), gateway: None, interface: None };
    Success { ips: addresses.iter().map(ip).collect(), ..Success::default() }
}

/// Upstream's words for a given address that was refused.
fn not_given(error: Error) -> Error {
    Error { msg: format!("error getting IP from IPAM: {}", error.msg), ..error }
}

/// Why kernel work did not succeed.
enum Failed {
    Kernel(dataplane::Error),
    TimedOut { step: &'static str, after: Duration },
}

impl From<Failed> for Error {
    fn from(failed: Failed) -> Error {
        match failed {
            Failed::Kernel(error) => error.into(),
            Failed::TimedOut { step, after } => Error::new(
                code::TRY_AGAIN,
                format!("timed out after {after:.0?} while waiting for the kernel to {step}"),
            ),
        }
    }
}
