//! The questions of a batch as requests: each request once, all at the same time.

use calico_model::kubernetes::{ClusterNode, Group, Pod, collection, place, pod_of, pod_of_listing};
use calico_model::{Key, Kind, Listing};
use futures_util::future::try_join_all;

use super::api::{Found, encoded};
use super::cluster::{namespace_path, node_path, pod_path};
use super::store::Kubernetes;
use super::{nodes, pods, profiles};
use crate::contract::{Answers, Entry, Want};
use crate::error::Error;

/// What answers a question.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Request {
    /// A custom resource.
    Object { key: Key, plural: &'static str, name: String, outline: bool },
    /// All custom resources of a type that a selector finds; all of them, if it is empty.
    Objects { plural: &'static str, selector: String },
    /// A pod.
    Pod { namespace: String, name: String },
    /// All pods, of one namespace if it is not empty.
    Pods { namespace: String },
    /// A node.
    Node(String),
    /// All nodes.
    Nodes,
    /// A profile: a namespace or a service account.
    Profile(String),
    /// All namespaces and all service accounts.
    Profiles,
    /// Nothing: Kubernetes has no such thing.
    None,
}

/// What a request was answered.
enum Reply {
    Entries(Vec<Entry>),
    /// The API group has no such type.
    NoType,
}

impl Request {
    fn of(group: Group, want: &Want) -> Request {
        match want {
            Want::Get(key) | Want::Outline(key) => {
                let outline = matches!(want, Want::Outline(_));
                match (place(group, key), pod_of(key), key) {
                    (Some(place), ..) => {
                        Request::Object { key: key.clone(), plural: place.plural, name: place.name, outline }
                    }
                    (_, Some((namespace, name)), _) => Request::Pod { namespace: namespace.to_owned(), name },
                    (.., Key::Resource { kind: Kind::Node, name, .. }) => Request::Node(name.clone()),
                    (.., Key::Resource { kind: Kind::Profile, name, .. }) => Request::Profile(name.clone()),
                    _ => Request::None,
                }
            }
            Want::List(listing) => match (collection(group, listing), pod_of_listing(listing), listing) {
                (Some(found), ..) => {
                    Request::Objects { plural: found.plural, selector: found.selector.unwrap_or_default() }
                }
                (_, Some((namespace, name)), _) => Request::Pod { namespace: namespace.to_owned(), name },
                (.., Listing::Endpoints { .. }) => Request::None,
                (.., Listing::Resources(Kind::WorkloadEndpoint)) => Request::Pods { namespace: String::new() },
                (.., Listing::Resources(Kind::Node)) => Request::Nodes,
                (.., Listing::Resources(Kind::Profile)) => Request::Profiles,
                _ => Request::None,
            },
        }
    }

    fn is_custom(&self) -> bool {
        matches!(self, Request::Object { .. } | Request::Objects { .. })
    }

    async fn ask(&self, store: &Kubernetes) -> Result<Reply, Error> {
        let root = store.group().path();
        let api = store.api();
        let entries = match self {
            Request::Object { key, plural, name, outline } => {
                match api.get(&format!("{root}/{plural}/{}", encoded(name))).await? {
                    Found::Object(body) => store.entry(plural, Some(key), &body, *outline).await?.into_iter().collect(),
                    Found::Nothing => Vec::new(),
                    Found::NoType => return Ok(Reply::NoType),
                }
            }
            Request::Objects { plural, selector } => {
                let query = match selector.as_str() {
                    "" => String::new(),
                    selector => format!("&labelSelector={}", encoded(selector)),
                };
                let Some(items) = api.list(&format!("{root}/{plural}"), &query).await? else {
                    return Ok(Reply::NoType);
                };
                let mut entries = Vec::with_capacity(items.len());
                for item in items {
                    entries.extend(store.entry(plural, None, item.get().as_bytes(), false).await?);
                }
                entries
            }
            Request::Pod { namespace, name } => {
                let pod: Option<Pod> = api.get_shared(&pod_path(namespace, name)).await?;
                pod.map(|pod| pods::entry(store, &pod)).transpose()?.flatten().into_iter().collect()
            }
            Request::Pods { namespace } => {
                let path = match namespace.as_str() {
                    "" => "/api/v1/pods".to_owned(),
                    namespace => format!("{}/pods", namespace_path(namespace)),
                };
                let mut entries = Vec::new();
                // From bytes, like everything else: another source would link all that reads pods once more.
                for item in api.list(&path, "").await?.unwrap_or_default() {
                    entries.extend(match serde_json::from_slice::<Pod>(item.get().as_bytes()) {
                        Ok(pod) => pods::entry(store, &pod)?,
                        Err(error) => pods::unreadable(item.get(), &error),
                    });
                }
                entries
            }
            Request::Node(name) => {
                let node: Option<ClusterNode> = api.get_shared(&node_path(name)).await?;
                node.map(|node| nodes::entry(store, &node)).transpose()?.into_iter().collect()
            }
            Request::Nodes => {
                let mut entries = Vec::new();
                for item in api.list("/api/v1/nodes", "").await?.unwrap_or_default() {
                    entries.push(match serde_json::from_slice::<ClusterNode>(item.get().as_bytes()) {
                        Ok(node) => nodes::entry(store, &node)?,
                        Err(error) => nodes::unreadable(item.get(), &error),
                    });
                }
                entries
            }
            Request::Profile(name) => profiles::get(store, name).await?.into_iter().collect(),
            Request::Profiles => profiles::all(store).await?,
            Request::None => Vec::new(),
        };
        Ok(Reply::Entries(entries))
    }
}

/// Asks all questions of a batch.
pub async fn ask(store: &Kubernetes, wants: &[Want]) -> Result<Answers, Error> {
    loop {
        let group = store.group();
        let of_wants: Vec<Request> = wants.iter().map(|want| Request::of(group, want)).collect();
        let mut requests: Vec<&Request> = Vec::new();
        for request in &of_wants {
            if !requests.contains(&request) {
                requests.push(request);
            }
        }
        let replies = try_join_all(requests.iter().map(|request| request.ask(store))).await?;
        let of_group = || requests.iter().zip(&replies).filter(|(request, _)| request.is_custom());
        if of_group().any(|(_, reply)| matches!(reply, Reply::Entries(_))) {
            store.confirm_group();
        } else if of_group().next().is_some() && (store.group() != group || store.changes_group().await) {
            // Perhaps by another batch, meanwhile.
            continue;
        }
        let asks_for_cluster =
            wants.iter().any(|want| matches!(want, Want::Get(Key::Resource { kind: Kind::ClusterInformation, .. })));
        if asks_for_cluster && of_group().all(|(_, reply)| matches!(reply, Reply::NoType)) {
            return Err(store.lacks_definitions());
        }
        let answer = |(want, request): (&Want, &Request)| {
            let at = requests.iter().position(|asked| *asked == request);
            match at.map(|at| &replies[at]) {
                Some(Reply::Entries(entries)) => entries.iter().filter(|entry| is_of(want, entry)).cloned().collect(),
                // No such type: there are none of it, as on clusters that are older than it.
                Some(Reply::NoType) | None => Vec::new(),
            }
        };
        let mut answers: Vec<Vec<Entry>> = wants.iter().zip(&of_wants).map(answer).collect();
        for entries in &mut answers {
            entries.sort_by_cached_key(|entry| entry.key.path());
        }
        return Ok(Answers::new(answers));
    }
}

/// Whether an entry is one that was asked for: a place may hold another object than the key's, and a selector find more than
/// the listing.
fn is_of(want: &Want, entry: &Entry) -> bool {
    match want {
        Want::Get(key) | Want::Outline(key) => entry.key == *key,
        Want::List(listing) => listing.contains(&entry.key),
    }
}
