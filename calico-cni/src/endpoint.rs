//! The record of a container's interface, and the profile that governs it.

use calico_datastore::{Answers, Datastore, Entry, Expect, Outcome, Revision, Stored, Want, Write};
use calico_ipam::plugin::Call;
use calico_model::endpoint::IpNat;
use calico_model::endpoint_name::EndpointId;
use calico_model::resource::{ProfileSpec, random_uid};
use calico_model::{Key, Kind, Listing, Profile, Resource, WorkloadEndpoint};
use calico_plugin::config::DatastoreConf;
use cni_spec::error::code;
use cni_spec::{Error, Success};
use serde_json::json;

use crate::pod::PodWish;

/// How often a record is tried to be written: every loss is another call of the same container or the same network.
const RETRIES: usize = 20;

/// What is recorded of a container before a call.
pub struct Recorded {
    /// The endpoint of the container, whatever its interface: a container has one.
    pub endpoint: Option<Stored<WorkloadEndpoint>>,
    /// Whether the network's profile is missing.
    pub lacks_profile: bool,
}

/// What to read for [`Recorded`].
pub fn wants(call: &Call, id: &EndpointId) -> Result<Vec<Want>, Error> {
    let profile = needs_profile(call).then(|| Want::Get(Key::resource(Kind::Profile, &call.conf.network)));
    Ok([want(call, id)?].into_iter().chain(profile).collect())
}

/// Whether the network's own profile governs its containers.
fn needs_profile(call: &Call) -> bool {
    call.conf.policy_type.is_empty()
}

/// What to read for [`of_container`].
pub fn want(call: &Call, id: &EndpointId) -> Result<Want, Error> {
    let name_prefix = id.prefix().map_err(calico_plugin::Error::from)?;
    Ok(Want::List(Listing::Endpoints { namespace: call.ids.namespace.clone(), name_prefix }))
}

/// Takes the answer to [`want`]: the endpoint of the container, whatever its interface.
///
/// # Errors
/// A record of this container that cannot be read: it may be that of a working network.
pub fn of_container(id: &EndpointId, answers: &mut Answers) -> Result<Option<Stored<WorkloadEndpoint>>, Error> {
    of_workload(id, answers.entries()).next().map(readable).transpose()
}

impl Recorded {
    /// Takes the answers to [`wants`].
    ///
    /// # Errors
    /// As those of [`of_container`].
    pub fn take(call: &Call, id: &EndpointId, answers: &mut Answers) -> Result<Recorded, Error> {
        let endpoint = of_container(id, answers)?;
        Ok(Recorded { endpoint, lacks_profile: needs_profile(call) && answers.entries().is_empty() })
    }
}

/// The entries that are endpoints of this container, whatever is in them.
pub fn of_workload(id: &EndpointId, entries: Vec<Entry>) -> impl Iterator<Item = Entry> {
    entries.into_iter().filter(|entry| match &entry.key {
        Key::Resource { kind: Kind::WorkloadEndpoint, name, .. } => id.is_same_workload(name),
        _ => false,
    })
}

fn readable(entry: Entry) -> Result<Stored<WorkloadEndpoint>, Error> {
    let object = entry.object.map_err(|malformed| calico_ipam::Error::Datastore(malformed.into()))?;
    let value = WorkloadEndpoint::try_from(object);
    let value = value.map_err(|_| Error::internal(format!("{} is no workload endpoint", entry.key)))?;
    Ok(Stored { key: entry.key, revision: entry.revision, value })
}

/// The endpoint of a new interface.
pub fn new(call: &Call, id: &EndpointId, success: &Success, mac: String) -> Result<WorkloadEndpoint, Error> {
    let mut endpoint = WorkloadEndpoint::for_interface(id, &call.ids.namespace).map_err(calico_plugin::Error::from)?;
    // Given here and not by the datastore: it is how this call recognises its own record.
    endpoint.metadata.uid = random_uid().map_err(|error| Error::internal(format!("no random UUID: {error}")))?;
    for (key, value) in &call.conf.mesos.labels {
        endpoint.metadata.labels.entry(key.clone()).or_insert_with(|| value.clone());
    }
    endpoint.spec.profiles = vec![call.conf.network.clone()];
    fill(&mut endpoint, call, success, mac);
    Ok(endpoint)
}

/// The endpoint of a pod's new interface, which takes the place of the one that is recorded, and keeps its name.
pub fn of_pod(
    call: &Call,
    id: &EndpointId,
    existing: Option<WorkloadEndpoint>,
    wish: Option<&PodWish>,
    success: &Success,
    mac: String,
) -> Result<WorkloadEndpoint, Error> {
    let mut endpoint = match existing {
        Some(existing) => existing,
        None => new(call, id, success, mac.clone())?,
    };
    if let Some(pod) = &call.ids.pod {
        endpoint.spec.pod.clone_from(&pod.name);
    }
    if let Some(PodWish { endpoint: pod, floating, .. }) = wish {
        endpoint.metadata.labels.clone_from(&pod.metadata.labels);
        endpoint.metadata.generate_name.clone_from(&pod.metadata.generate_name);
        let (spec, pod) = (&mut endpoint.spec, &pod.spec);
        spec.profiles.clone_from(&pod.profiles);
        spec.ports.clone_from(&pod.ports);
        spec.service_account_name.clone_from(&pod.service_account_name);
        spec.allow_spoofed_source_prefixes.clone_from(&pod.allow_spoofed_source_prefixes);
        spec.ip_nats = nats(floating, success);
    }
    fill(&mut endpoint, call, success, mac);
    Ok(endpoint)
}

/// What an endpoint has of the interface itself.
fn fill(endpoint: &mut WorkloadEndpoint, call: &Call, success: &Success, mac: String) {
    endpoint.spec.container_id.clone_from(&call.ids.container_id);
    endpoint.spec.ip_networks = success.ips.iter().map(|ip| single(ip.address.address)).collect();
    endpoint.spec.interface_name = call.ids.host_interface();
    endpoint.spec.mac = mac;
}

/// Floating addresses, each translated to the pod's address of its family.
fn nats(floating: &[String], success: &Success) -> Vec<IpNat> {
    let of_family = |external: &String| {
        let is_ipv6 = external.contains(':');
        success.ips.iter().map(|ip| ip.address.address).find(|address| address.is_ipv6() == is_ipv6)
    };
    let nat = |external: &String| {
        let internal_ip = of_family(external)?.to_string();
        Some(IpNat { internal_ip, external_ip: external.clone(), ..IpNat::default() })
    };
    floating.iter().filter_map(nat).collect()
}

/// An address as an endpoint records it.
fn single(address: std::net::IpAddr) -> String {
    calico_model::cidr::single(address).to_string()
}

/// The key of an endpoint.
pub fn key(endpoint: &WorkloadEndpoint) -> Key {
    Key::endpoint(&endpoint.metadata.namespace, &endpoint.metadata.name)
}

/// The profile of a network: its containers may talk to anybody, and be talked to by each other; pods by anybody.
fn profile(network: &str, is_pods: bool) -> Profile {
    let ingress = match is_pods {
        true => json!({"action": "Allow"}),
        false => json!({"action": "Allow", "source": {"selector": format!("has({network})")}}),
    };
    let spec = ProfileSpec {
        ingress: vec![ingress],
        egress: vec![json!({"action": "Allow"})],
        labels_to_apply: [(network.to_owned(), String::new())].into(),
        ..ProfileSpec::default()
    };
    Resource::new(Kind::Profile, network, spec)
}

/// Writes an endpoint, and the network's profile where it is missing, together.
///
/// # Errors
/// Among others: one of them breaks a rule that the rest of Calico relies on.
pub async fn write(
    store: &impl Datastore,
    call: &Call,
    endpoint: &WorkloadEndpoint,
    mut expect: Expect,
    mut lacks_profile: bool,
) -> Result<(), Error> {
    let endpoint_key = key(endpoint);
    let profile_key = Key::resource(Kind::Profile, &call.conf.network);
    let profile = profile(&call.conf.network, call.ids.pod.is_some());
    endpoint.validate().map_err(calico_plugin::Error::from)?;
    if lacks_profile {
        profile.validate().map_err(calico_plugin::Error::from)?;
    }
    let mut last = String::new();
    for _ in 0..RETRIES {
        let mut writes = Vec::new();
        if lacks_profile {
            writes.push(Write::create(profile_key.clone(), profile.clone()));
        }
        writes.push(Write::put(endpoint_key.clone(), expect, endpoint.clone()));
        match store.commit(&writes).await.map_err(calico_ipam::Error::from)? {
            Outcome::Applied(_) => return Ok(()),
            Outcome::Conflict { index, .. } => last = format!("another call changed {}", writes[index].key),
            Outcome::Unknown(reason) => last = reason,
        }
        let mut wants = vec![Want::Get(endpoint_key.clone())];
        wants.extend(lacks_profile.then(|| Want::Get(profile_key.clone())));
        let mut answers = store.read(&wants).await.map_err(calico_ipam::Error::from)?;
        let stored = answers.get::<WorkloadEndpoint>().map_err(calico_ipam::Error::from)?;
        lacks_profile = lacks_profile && answers.entries().is_empty();
        match (stored, expect) {
            (Some(stored), _) if is_recorded(call, &stored.value, endpoint) => return Ok(()),
            (None, Expect::Absent) => {}
            (Some(stored), Expect::At(revision)) if stored.revision == revision => expect = Expect::At(revision),
            (None, Expect::At(_)) => {
                let text = format!("update conflict: {endpoint_key}: it was deleted meanwhile");
                return Err(Error::new(code::TRY_AGAIN, text));
            }
            _ => {
                let text =
                    format!("update conflict: {endpoint_key}: another call for this container changed it meanwhile");
                return Err(Error::new(code::TRY_AGAIN, text));
            }
        }
    }
    Err(Error::new(code::TRY_AGAIN, format!("cannot write {endpoint_key}: {last}")))
}

/// Whether what is stored is what was to be written.
fn is_recorded(call: &Call, stored: &WorkloadEndpoint, written: &WorkloadEndpoint) -> bool {
    match call.conf.datastore {
        // A pod keeps no more of it than these.
        DatastoreConf::Kubernetes(..) => {
            stored.spec.container_id == written.spec.container_id && stored.spec.ip_networks == written.spec.ip_networks
        }
        _ => stored.spec == written.spec && stored.metadata.uid == written.metadata.uid,
    }
}

/// Deletes an endpoint, as long as it is the caller's by `is_own`, which is asked whenever it is read. Missing is fine. `seen`
/// is its revision where it was read already, and found to be the caller's.
pub async fn delete(
    store: &impl Datastore,
    key: &Key,
    is_own: impl Fn(&WorkloadEndpoint) -> bool,
    mut seen: Option<Revision>,
) -> Result<(), Error> {
    let mut last = String::new();
    for _ in 0..RETRIES {
        let revision = match seen.take() {
            Some(revision) => revision,
            None => {
                let mut answers = store.read(&[Want::Get(key.clone())]).await.map_err(calico_ipam::Error::from)?;
                let Some(entry) = answers.entries().into_iter().next() else { return Ok(()) };
                if !is_own(&readable(entry.clone())?.value) {
                    return Ok(());
                }
                entry.revision
            }
        };
        match store.commit(&[Write::delete(key.clone(), revision)]).await.map_err(calico_ipam::Error::from)? {
            Outcome::Applied(_) => return Ok(()),
            Outcome::Conflict { .. } => last = "endpoint was modified before it could be deleted".to_owned(),
            Outcome::Unknown(reason) => last = reason,
        }
    }
    Err(Error::new(code::TRY_AGAIN, format!("error deleting endpoint: {key}: {last}")))
}

/// Whether a pod's endpoint is that of this container, and not of a later sandbox of the pod, nor of a later pod of its name.
pub fn is_of_sandbox(call: &Call, endpoint: &WorkloadEndpoint) -> bool {
    if !endpoint.spec.container_id.is_empty() {
        return endpoint.spec.container_id == call.ids.container_id;
    }
    // Nothing was recorded yet. In the Kubernetes API the record is the pod itself, with the pod's UID.
    let uid = call.ids.pod.as_ref().and_then(|pod| pod.uid.as_ref());
    let is_pod = matches!(call.conf.datastore, DatastoreConf::Kubernetes(..));
    uid.is_none_or(|uid| !is_pod || *uid == endpoint.metadata.uid)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use calico_datastore::local::Local;
    use cni_spec::{Cidr, Environment, Request, Version};

    /// A store whose next answers to commits are lost, after they were applied.
    struct Lossy {
        store: Local,
        losses: Cell<usize>,
    }

    impl Datastore for Lossy {
        async fn read(&self, wants: &[Want]) -> Result<Answers, calico_datastore::Error> {
            self.store.read(wants).await
        }

        async fn commit(&self, writes: &[Write]) -> Result<Outcome, calico_datastore::Error> {
            let outcome = self.store.commit(writes).await?;
            if self.losses.get() == 0 {
                return Ok(outcome);
            }
            self.losses.set(self.losses.get() - 1);
            Ok(Outcome::Unknown("lost".to_owned()))
        }

        async fn settle(&self) -> Result<(), calico_datastore::Error> {
            self.store.settle().await
        }

        fn name(&self) -> String {
            self.store.name()
        }
    }

    fn call(id: &str, network: &str) -> Call {
        let env = Environment {
            command: "DEL".into(),
            container_id: id.into(),
            ifname: "eth0".into(),
            path: "/bin".into(),
            ..Environment::default()
        };
        let config = json!({"name": network, "cniVersion": "1.0.0", "datastore_type": "local", "nodename": "n", "log_level": "error"});
        let request = Request::read(&env, &mut config.to_string().as_bytes(), Version::V1_0_0).unwrap();
        Call::read(&request, "", "cni-plugin").unwrap()
    }

    fn endpoint_of(call: &Call) -> WorkloadEndpoint {
        let address = Cidr::from("10.0.0.1".parse::<std::net::IpAddr>().unwrap());
        let ip = cni_spec::result::Ip { address, gateway: None, interface: None };
        let success = Success { ips: vec![ip], ..Success::default() };
        new(call, &call.ids.endpoint(&call.node, "eth0"), &success, String::new()).unwrap()
    }

    #[test]
    fn what_the_rest_of_calico_would_not_accept_is_not_written() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let store = Local::in_memory().await.unwrap();
            let long = "n".repeat(64);
            for (network, words) in [
                ("Net_1", "error with field Profiles[0] = 'Net_1' ("),
                (&long, "error with field LabelsToApply = 'map["),
            ] {
                let call = call("a", network);
                let endpoint = endpoint_of(&call);
                let error = write(&store, &call, &endpoint, Expect::Absent, true).await.unwrap_err();
                assert!(error.msg.starts_with(words) && error.details.contains("was not stored"), "{error:?}");
                let wants = [Want::Get(key(&endpoint)), Want::Get(Key::resource(Kind::Profile, network))];
                let mut answers = store.read(&wants).await.unwrap();
                assert!(answers.entries().is_empty() && answers.entries().is_empty());
            }
            let call = call("a", &long);
            // Nothing is said about a profile that exists, or that is none of our making.
            write(&store, &call, &endpoint_of(&call), Expect::Absent, false).await.unwrap();
        });
    }

    #[test]
    fn a_lost_answer_is_told_from_a_lost_write() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let store = Lossy { store: Local::in_memory().await.unwrap(), losses: Cell::new(0) };
            for (id, lacks_profile) in [("a", true), ("b", false), ("c", true)] {
                let call = call(id, "net1");
                let mut endpoint = endpoint_of(&call);
                store.losses.set(1);
                write(&store, &call, &endpoint, Expect::Absent, lacks_profile).await.unwrap();

                let mut answers = store.read(&[Want::Get(key(&endpoint))]).await.unwrap();
                let revision = answers.get::<WorkloadEndpoint>().unwrap().unwrap().revision;
                endpoint.spec.profiles.push("net2".to_owned());
                store.losses.set(1);
                write(&store, &call, &endpoint, Expect::At(revision), false).await.unwrap();
                let stale = write(&store, &call, &endpoint, Expect::Absent, false).await;
                assert!(stale.is_ok(), "what is stored is what was to be written");
                endpoint.spec.mac = "02:00:5e:10:00:01".to_owned();
                let conflict = write(&store, &call, &endpoint, Expect::At(revision), false).await.unwrap_err();
                assert!(conflict.msg.starts_with("update conflict"), "{conflict}");
            }
        });
    }
}
