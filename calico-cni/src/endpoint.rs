//! The record of a container's interface, and the profile that governs it.

use calico_datastore::{Datastore, Expect, Outcome, Revision, Stored, Want, Write};
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
    let name_prefix = id.prefix().map_err(calico_plugin::Error::from)?;
    let namespace = call.ids.namespace.clone();
    Ok(vec![
        Want::List(Listing::Endpoints { namespace, name_prefix }),
        Want::Get(Key::resource(Kind::Profile, &call.conf.network)),
    ])
}

impl Recorded {
    /// Takes the answers to [`wants`].
    pub fn take(call: &Call, id: &EndpointId, answers: &mut calico_datastore::Answers) -> Recorded {
        let endpoints: Vec<Stored<WorkloadEndpoint>> = answers.list();
        let endpoint = endpoints.into_iter().find(|stored| id.is_same_workload(&stored.value.metadata.name));
        let profile_exists = !answers.entries().is_empty();
        Recorded { endpoint, lacks_profile: call.conf.policy_type.is_empty() && !profile_exists }
    }
}

/// The endpoint of a new interface.
pub fn new(call: &Call, id: &EndpointId, success: &Success, mac: String) -> Result<WorkloadEndpoint, Error> {
    let mut endpoint = WorkloadEndpoint::for_interface(id, &call.ids.namespace).map_err(calico_plugin::Error::from)?;
    // Given here and not by the datastore: it is how this call recognises its own record.
    endpoint.metadata.uid = random_uid().map_err(|error| Error::internal(format!("no random UUID: {error}")))?;
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
pub async fn write(
    store: &impl Datastore,
    call: &Call,
    endpoint: &WorkloadEndpoint,
    mut expect: Expect,
    mut lacks_profile: bool,
) -> Result<(), Error> {
    let endpoint_key = key(endpoint);
    let profile_key = Key::resource(Kind::Profile, &call.conf.network);
    let mut last = String::new();
    for _ in 0..RETRIES {
        let mut writes = Vec::new();
        if lacks_profile {
            writes.push(Write::create(profile_key.clone(), profile(&call.conf.network)));
        }
        writes.push(Write::put(endpoint_key.clone(), expect, endpoint.clone()));
        match store.commit(&writes).await.map_err(calico_ipam::Error::from)? {
            Outcome::Applied(_) => return Ok(()),
            Outcome::Conflict { index, .. } => last = format!("another call changed {}", writes[index].key),
            Outcome::Unknown(reason) => last = reason,
        }
        let wants = [Want::Get(profile_key.clone()), Want::Get(endpoint_key.clone())];
        let mut answers = store.read(&wants).await.map_err(calico_ipam::Error::from)?;
        lacks_profile = lacks_profile && answers.entries().is_empty();
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

/// Deletes an endpoint, if it is still the one with this UUID. Missing is fine. `seen` is its revision where it was
/// read already.
pub async fn delete(store: &impl Datastore, key: &Key, uid: &str, mut seen: Option<Revision>) -> Result<(), Error> {
    let mut last = String::new();
    for _ in 0..RETRIES {
        let revision = match seen.take() {
            Some(revision) => revision,
            None => {
                let mut answers = store.read(&[Want::Get(key.clone())]).await.map_err(calico_ipam::Error::from)?;
                let stored = answers.get::<WorkloadEndpoint>().map_err(calico_ipam::Error::from)?;
                match stored.filter(|stored| stored.value.metadata.uid == uid) {
                    Some(stored) => stored.revision,
                    None => return Ok(()),
                }
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
