//! The record of a container's interface, and the profile that governs it.

use calico_datastore::{Answers, Datastore, Entry, Expect, Outcome, Revision, Stored, Want, Write};
use calico_ipam::plugin::Call;
use calico_model::endpoint_name::EndpointId;
use calico_model::resource::{ProfileSpec, random_uid};
use calico_model::{Key, Kind, Listing, Profile, Resource, WorkloadEndpoint};
use cni_spec::error::code;
use cni_spec::{Error, Success};
use serde_json::json;

/// How often a record is tried to be written: every loss is another call of the same container or the same network.
const RETRIES: usize = 20;

/// What is recorded of a container before a call.
pub struct Recorded {
    /// The endpoint of the container, whatever its interface: a container has one.
    pub endpoint: Option<Stored<WorkloadEndpoint>>,
    /// Whether the network's profile is missing.
    pub lacks_profile: bool,
}

/// What to read for [`Recorded`]: two questions.
pub fn wants(call: &Call, id: &EndpointId) -> Result<Vec<Want>, Error> {
    Ok(vec![want(call, id)?, Want::Get(Key::resource(Kind::Profile, &call.conf.network))])
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
        let profile_exists = !answers.entries().is_empty();
        Ok(Recorded { endpoint, lacks_profile: call.conf.policy_type.is_empty() && !profile_exists })
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
    endpoint.spec.container_id = call.ids.container_id.clone();
    endpoint.spec.ip_networks = success.ips.iter().map(|ip| single(ip.address.address)).collect();
    endpoint.spec.profiles = vec![call.conf.network.clone()];
    endpoint.spec.interface_name = call.ids.host_interface();
    endpoint.spec.mac = mac;
    Ok(endpoint)
}

/// An address as an endpoint records it.
fn single(address: std::net::IpAddr) -> String {
    calico_model::cidr::single(address).to_string()
}

/// The key of an endpoint.
pub fn key(endpoint: &WorkloadEndpoint) -> Key {
    Key::endpoint(&endpoint.metadata.namespace, &endpoint.metadata.name)
}

/// The profile of a network: its containers may talk to each other, and to anybody.
fn profile(network: &str) -> Profile {
    let spec = ProfileSpec {
        ingress: vec![json!({"action": "Allow", "source": {"selector": format!("has({network})")}})],
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
    let profile = profile(&call.conf.network);
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
        let wants = [Want::Get(profile_key.clone()), Want::Get(endpoint_key.clone())];
        let mut answers = store.read(&wants).await.map_err(calico_ipam::Error::from)?;
        let profile_is_absent = answers.entries().is_empty();
        lacks_profile = lacks_profile && profile_is_absent;
        let stored = answers.get::<WorkloadEndpoint>().map_err(calico_ipam::Error::from)?;
        match (stored, expect) {
            (Some(stored), _)
                if stored.value.spec == endpoint.spec && stored.value.metadata.uid == endpoint.metadata.uid =>
            {
                return Ok(());
            }
            (None, Expect::Absent) => {}
            (Some(stored), Expect::At(revision)) if stored.revision == revision => expect = Expect::At(revision),
            _ => {
                let text =
                    format!("update conflict: {endpoint_key}: another call for this container changed it meanwhile");
                return Err(Error::new(code::TRY_AGAIN, text));
            }
        }
    }
    Err(Error::new(code::TRY_AGAIN, format!("cannot write {endpoint_key}: {last}")))
}

/// Deletes an endpoint; only the one with this UUID, if one is given. Missing is fine. `seen` is its revision where it
/// was read already.
pub async fn delete(
    store: &impl Datastore,
    key: &Key,
    uid: Option<&str>,
    mut seen: Option<Revision>,
) -> Result<(), Error> {
    let mut last = String::new();
    for _ in 0..RETRIES {
        let revision = match seen.take() {
            Some(revision) => revision,
            None => {
                let mut answers = store.read(&[Want::Get(key.clone())]).await.map_err(calico_ipam::Error::from)?;
                let Some(entry) = answers.entries().into_iter().next() else { return Ok(()) };
                if let Some(uid) = uid
                    && readable(entry.clone())?.value.metadata.uid != uid
                {
                    return Ok(());
                }
                entry.revision
            }
        };
        match store.commit(&[Write::delete(key.clone(), revision)]).await.map_err(calico_ipam::Error::from)? {
            Outcome::Applied(_) => return Ok(()),
            Outcome::Conflict { .. } => last = "another call changes it".to_owned(),
            Outcome::Unknown(reason) => last = reason,
        }
    }
    Err(Error::new(code::TRY_AGAIN, format!("error deleting endpoint {key}: {last}")))
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
