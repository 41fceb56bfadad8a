//! Namespaces and service accounts, as far as they are read, and the profiles that they are: labels for the endpoints of their pods.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::json;

use super::pod::CoreMetadata;
use crate::lenient::null_is_default;
use crate::resource::{Kind, Metadata, Profile, ProfileSpec, Resource};

/// What the label with the name of the namespace or of the service account is called, after the prefix that all have.
const NAME_LABEL: &str = "projectcalico.org/name";

/// A namespace or a service account: of both the metadata alone is read.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct Named {
    /// Name, namespace, labels and annotations.
    #[serde(default, deserialize_with = "null_is_default")]
    pub metadata: CoreMetadata,
}

/// A namespace.
pub type Namespace = Named;

/// What a profile is made of, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProfileSource<'a> {
    /// The namespace of this name.
    Namespace(&'a str),
    /// A service account.
    ServiceAccount {
        /// Its namespace.
        namespace: &'a str,
        /// Its name.
        name: &'a str,
    },
}

impl ProfileSource<'_> {
    /// The source of the profile of this name; `None` for a name that no profile has.
    pub fn of(profile: &str) -> Option<ProfileSource<'_>> {
        if let Some(namespace) = profile.strip_prefix("kns.") {
            return (!namespace.is_empty()).then_some(ProfileSource::Namespace(namespace));
        }
        // Names of namespaces have no dots; those of service accounts may.
        let (namespace, name) = profile.strip_prefix("ksa.")?.split_once('.')?;
        (!namespace.is_empty() && !name.is_empty()).then_some(ProfileSource::ServiceAccount { namespace, name })
    }
}

/// A namespace as a profile, which allows everything: what is not selected by a policy is not restricted.
pub fn namespace_profile(namespace: &Named) -> Profile {
    let allowed = vec![json!({"action": "Allow"})];
    let spec = ProfileSpec { ingress: allowed.clone(), egress: allowed, ..ProfileSpec::default() };
    profile(format!("kns.{}", namespace.metadata.name), &namespace.metadata, "pcns.", spec)
}

/// A service account as a profile.
pub fn account_profile(account: &Named) -> Profile {
    let name = format!("ksa.{}.{}", account.metadata.namespace, account.metadata.name);
    profile(name, &account.metadata, "pcsa.", ProfileSpec::default())
}

fn profile(name: String, source: &CoreMetadata, prefix: &str, spec: ProfileSpec) -> Profile {
    let labels = source.labels.iter().map(|(label, value)| (format!("{prefix}{label}"), value.clone()));
    let mut labels: BTreeMap<String, String> = labels.collect();
    labels.insert(format!("{prefix}{NAME_LABEL}"), source.name.clone());
    let mut profile = Resource::new(Kind::Profile, &name, ProfileSpec { labels_to_apply: labels, ..spec });
    profile.metadata =
        Metadata { uid: source.uid.clone(), creation_timestamp: source.creation_timestamp.clone(), ..profile.metadata };
    profile
}
