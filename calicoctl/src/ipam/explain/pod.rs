//! What a pod asks for, by its annotations and its namespace's, as the CNI plugin reads them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use calico_datastore::kubernetes::Cluster;
use calico_model::IpVersion;
use calico_model::kubernetes::{Namespace, Pod};
use calico_plugin::config::DatastoreConf;

use crate::error::Error;
use crate::session::Session;

/// What the names of the annotations begin with.
const PREFIX: &str = "cni.projectcalico.org/";

/// Where a pod's addresses come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Any that address management chooses.
    Any,
    /// These: `ipAddrs`.
    Given(Vec<IpAddr>),
    /// These, which nobody assigns: `ipAddrsNoIpam`, as it was written.
    WithoutIpam(String),
    /// It has those of its host.
    HostNetwork,
}

/// What a pod asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodWish {
    /// The node that it is on; empty until it has one.
    pub node: String,
    /// The labels of its namespace.
    pub namespace: BTreeMap<String, String>,
    /// The pools that are asked for, by name or CIDR.
    pub pools: Vec<String>,
    /// The families that are asked for; none where that is left to the network configuration.
    pub families: Vec<IpVersion>,
    /// Where its addresses come from.
    pub source: Source,
}

/// A pod's namespace and name, as people write them.
pub fn full_name(text: &str, namespace: Option<&str>) -> Result<(String, String), Error> {
    match (text.split_once('/'), namespace) {
        (Some((inside, _)), Some(outside)) if inside != outside => {
            Err(Error::new(format_args!("pod {text} is not in the namespace {outside} of --namespace")))
        }
        (Some((namespace, name)), _) => Ok((namespace.to_owned(), name.to_owned())),
        (None, namespace) => Ok((namespace.unwrap_or("default").to_owned(), text.to_owned())),
    }
}

/// Reads a pod and its namespace.
pub async fn read(session: &Session, namespace: &str, name: &str) -> Result<PodWish, Error> {
    let cluster = cluster(session, "pods").await?;
    let (pod, home) = tokio::join!(cluster.pod(namespace, name), cluster.namespace(namespace));
    let pod = pod?.ok_or_else(|| Error::new(format_args!("pods {name:?} not found in namespace {namespace}")))?;
    PodWish::of(&pod, &home?.ok_or_else(|| no_namespace(namespace))?)
}

/// The labels of a namespace.
pub async fn namespace_labels(session: &Session, name: &str) -> Result<BTreeMap<String, String>, Error> {
    let found = cluster(session, "namespaces").await?.namespace(name).await?;
    Ok(found.ok_or_else(|| no_namespace(name))?.metadata.labels)
}

fn no_namespace(name: &str) -> Error {
    Error::new(format_args!("namespaces {name:?} not found"))
}

async fn cluster(session: &Session, what: &str) -> Result<Cluster, Error> {
    let DatastoreConf::Kubernetes(settings, _) = &session.conf() else {
        let text = format!("{what} are read from the Kubernetes API, and this datastore is another");
        return Err(Error::new(text).with_detail("name the node with --node, and pools with --pool"));
    };
    Ok(Cluster::open(settings, session.raw(), session.deadline()).await?)
}

impl PodWish {
    /// Reads the annotations.
    pub fn of(pod: &Pod, namespace: &Namespace) -> Result<PodWish, Error> {
        let mut wish = PodWish {
            node: pod.spec.node_name.clone(),
            namespace: namespace.metadata.labels.clone(),
            pools: Vec::new(),
            families: Vec::new(),
            source: Source::Any,
        };
        if pod.spec.host_network {
            return Ok(PodWish { source: Source::HostNetwork, ..wish });
        }
        let of_pod = |name: &str| {
            let found = pod.metadata.annotations.get(&format!("{PREFIX}{name}"));
            found.filter(|text| !text.is_empty())
        };
        let of_either = |name: &str| {
            let outside = || namespace.metadata.annotations.get(&format!("{PREFIX}{name}"));
            of_pod(name).or_else(|| outside().filter(|text| !text.is_empty()))
        };
        for name in ["ipv4pools", "ipv6pools"] {
            if let Some(text) = of_either(name) {
                wish.pools.extend(list(name, text)?);
            }
        }
        if let Some(text) = of_either("ipFamilies") {
            wish.families = families(text)?;
        }
        match (of_pod("ipAddrs"), of_pod("ipAddrsNoIpam")) {
            (None, None) => {}
            (Some(text), None) => wish.source = Source::Given(addresses(text)?),
            (None, Some(text)) => wish.source = Source::WithoutIpam(text.clone()),
            (Some(_), Some(_)) => {
                return Err(Error::new(
                    "can't have both annotations: 'ipAddrs' and 'ipAddrsNoIpam' in use at the same time",
                ));
            }
        }
        Ok(wish)
    }
}

/// An annotation that is a JSON list of texts.
fn list(name: &str, text: &str) -> Result<Vec<String>, Error> {
    serde_json::from_str(text).map_err(|error| {
        Error::new(format_args!("the annotation {PREFIX}{name} is not a JSON list of strings: {error}; it is {text:?}"))
    })
}

fn families(text: &str) -> Result<Vec<IpVersion>, Error> {
    let texts = list("ipFamilies", text)?;
    if let Some(other) = texts.iter().find(|family| !["IPv4", "IPv6"].contains(&family.as_str())) {
        return Err(Error::new(format_args!("error parsing ipFamilies: {other:?} is neither IPv4 nor IPv6")));
    }
    let has = |version: &IpVersion| texts.iter().any(|text| *text == format!("IPv{version}"));
    Ok(IpVersion::BOTH.into_iter().filter(has).collect())
}

/// At most one address of each family.
fn addresses(text: &str) -> Result<Vec<IpAddr>, Error> {
    let mut addresses: Vec<IpAddr> = Vec::new();
    for text in list("ipAddrs", text)? {
        let address: IpAddr = text.parse().map_err(|_| Error::new(format_args!("invalid IP format: {text}")))?;
        let version = IpVersion::of(address);
        if addresses.iter().any(|other| IpVersion::of(*other) == version) {
            let text = format!("cannot have more than one IPv{version} address for \"{PREFIX}ipAddrs\" annotation");
            return Err(Error::new(text));
        }
        addresses.push(address);
    }
    match addresses.is_empty() {
        true => Err(Error::new(format_args!("annotation \"{PREFIX}ipAddrs\" specified but empty"))),
        false => Ok(addresses),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn wish(pod: Value, namespace: Value) -> Result<PodWish, String> {
        let pod: Pod = serde_json::from_value(pod).unwrap();
        PodWish::of(&pod, &serde_json::from_value(namespace).unwrap()).map_err(|error| error.to_string())
    }

    fn annotated(name: &str, text: &str) -> Value {
        json!({"metadata": {"annotations": {(format!("{PREFIX}{name}")): text}, "labels": {"team": "x"}}})
    }

    #[test]
    fn annotations_of_the_pod_come_before_the_namespaces() {
        let namespace = annotated("ipv4pools", r#"["blue"]"#);
        let plain = wish(json!({"spec": {"nodeName": "n"}}), namespace.clone()).unwrap();
        assert_eq!((plain.node.as_str(), plain.pools, plain.source), ("n", vec!["blue".to_owned()], Source::Any));
        assert_eq!(plain.namespace["team"], "x");
        let own = wish(annotated("ipv4pools", r#"["10.0.0.0/16", "red"]"#), namespace).unwrap();
        assert_eq!(own.pools, ["10.0.0.0/16", "red"]);
        let families = wish(annotated("ipFamilies", r#"["IPv6", "IPv4"]"#), json!({})).unwrap().families;
        assert_eq!(families, IpVersion::BOTH);
    }

    #[test]
    fn addresses_that_are_asked_for() {
        let source = |name, text| wish(annotated(name, text), json!({})).map(|wish| wish.source);
        let two = vec!["10.0.0.1".parse().unwrap(), "fd00::1".parse().unwrap()];
        assert_eq!(source("ipAddrs", r#"["10.0.0.1", "fd00::1"]"#), Ok(Source::Given(two)));
        assert_eq!(source("ipAddrsNoIpam", "[]"), Ok(Source::WithoutIpam("[]".to_owned())));
        for (text, words) in [
            ("[]", "specified but empty"),
            (r#"["10.0.0.1", "10.0.0.2"]"#, "cannot have more than one IPv4 address"),
            (r#"["x"]"#, "invalid IP format: x"),
            ("x", "is not a JSON list of strings"),
        ] {
            assert!(source("ipAddrs", text).unwrap_err().contains(words), "{text}");
        }
        // A namespace does not give every pod the same address.
        assert_eq!(wish(json!({}), annotated("ipAddrs", r#"["10.0.0.1"]"#)).unwrap().source, Source::Any);
        let host = json!({"spec": {"hostNetwork": true}});
        assert_eq!(wish(host, json!({})).unwrap().source, Source::HostNetwork);
    }

    #[test]
    fn names() {
        let name = |text, namespace| full_name(text, namespace).map(|(namespace, name)| format!("{namespace} {name}"));
        assert_eq!(name("web", None).unwrap(), "default web");
        assert_eq!(name("web", Some("shop")).unwrap(), "shop web");
        assert_eq!(name("shop/web", Some("shop")).unwrap(), "shop web");
        assert!(name("shop/web", Some("other")).is_err());
    }
}
