//! What Kubernetes says of the pod that a container is the sandbox of, and what the pod asks for by its annotations.

use std::net::IpAddr;

use calico_datastore::kubernetes::Cluster;
use calico_ipam::plugin::{Call, Wish, missing_namespace};
use calico_model::kubernetes::{Namespace, Pod};
use calico_model::{IpVersion, WorkloadEndpoint};
use calico_plugin::config::IpamConf;
use calico_plugin::identifiers::PodId;
use cni_spec::Error;
use cni_spec::error::code;
use serde_json::{Map, Value};

/// What the names of the annotations begin with.
const PREFIX: &str = "cni.projectcalico.org/";

/// Where a pod's addresses come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Any that IPAM chooses.
    Any,
    /// These, which IPAM assigns: `ipAddrs`.
    Given(Vec<IpAddr>),
    /// These, which nobody assigns: `ipAddrsNoIpam`.
    WithoutIpam(Vec<IpAddr>),
}

/// What a pod asks for.
#[derive(Debug)]
pub struct PodWish {
    /// Addresses: pools, families, the namespace's labels.
    pub addresses: Wish,
    /// What the pod or its namespace have in the place of keys of the configuration's `ipam`.
    pub overrides: Map<String, Value>,
    /// Where the addresses come from.
    pub source: Source,
    /// The MAC address of the container's interface: `hwAddr`.
    pub mac: Option<[u8; 6]>,
    /// The pod as an endpoint, without its addresses and its interface.
    pub endpoint: WorkloadEndpoint,
    /// Addresses outside that are translated to the pod's: `floatingIPs`.
    pub floating: Vec<String>,
}

/// Reads a pod and its namespace.
pub async fn read(cluster: &Cluster, id: &PodId) -> Result<(Pod, Namespace), Error> {
    let (pod, namespace) = tokio::join!(cluster.pod(&id.namespace, &id.name), cluster.namespace(&id.namespace));
    let namespace = namespace.map_err(calico_ipam::Error::from)?;
    let pod = pod.map_err(calico_ipam::Error::from)?;
    let namespace = namespace.ok_or_else(|| missing_namespace(&id.namespace))?;
    let pod = pod.ok_or_else(|| {
        let details = format!("pod {id} was deleted before it was networked, or it is another cluster's");
        Error::internal(format!("pods \"{}\" not found", id.name)).with_details(details)
    })?;
    check_identity(&pod, id)?;
    Ok((pod, namespace))
}

/// Whether this is the pod that the runtime means, and not one that was created later with its name.
pub fn is_meant(pod: &Pod, id: &PodId) -> bool {
    // The UID that the kubelet has of a static pod is not that of the object which mirrors it.
    let mirrored = ["kubernetes.io/config.mirror", "kubernetes.io/config.hash"];
    let annotations = &pod.metadata.annotations;
    id.uid.as_ref().is_none_or(|uid| {
        *uid == pod.metadata.uid || mirrored.iter().any(|annotation| annotations.get(*annotation) == Some(uid))
    })
}

fn check_identity(pod: &Pod, id: &PodId) -> Result<(), Error> {
    if is_meant(pod, id) {
        return Ok(());
    }
    let text = format!(
        "pod {id} is another one than that of this call: it has the UID {}, and K8S_POD_UID is {}",
        pod.metadata.uid,
        id.uid.as_deref().unwrap_or_default()
    );
    Err(Error::new(code::TRY_AGAIN, text)
        .with_details("it was deleted and created again: the runtime will add the new one"))
}

impl PodWish {
    /// Reads the annotations. All of them are read before anything is done.
    pub fn of(call: &Call, pod: &Pod, namespace: &Namespace) -> Result<PodWish, Error> {
        let endpoint = pod.endpoint("cali").map_err(|error| Error::internal(error.to_string()))?;
        let annotations = Annotations { pod, namespace };
        let (mut wish, mut overrides) = (call.wish()?, Map::new());
        wish.namespace = namespace.metadata.labels.clone();
        if call.conf.ipam.plugin == IpamConf::OWN_PLUGIN {
            overrides = annotations.choose(&mut wish.ipam)?;
        }
        let source = annotations.source(call)?;
        if let Source::Given(addresses) = &source {
            wish.addresses.clone_from(addresses);
        }
        let floating = annotations.strings("floatingIPs")?.unwrap_or_default();
        if !floating.is_empty() && !call.conf.cluster.floating_ips {
            let text = "requested feature is not enabled: floating_ips";
            let advice = "set feature_control.floating_ips, or remove the annotation cni.projectcalico.org/floatingIPs";
            return Err(Error::internal(text).with_details(advice));
        }
        let mac = annotations.of_pod("hwAddr").map(mac).transpose()?;
        Ok(PodWish { addresses: wish, overrides, source, mac, endpoint, floating })
    }

    /// A network configuration with what the pod asks for, for an IPAM plugin that is executed.
    pub fn configuration(&self, config: &Value) -> Vec<u8> {
        let mut config = config.clone();
        if let Some(ipam) = config.get_mut("ipam").and_then(Value::as_object_mut) {
            ipam.extend(self.overrides.clone());
        }
        config.to_string().into_bytes()
    }
}

struct Annotations<'a> {
    pod: &'a Pod,
    namespace: &'a Namespace,
}

impl Annotations<'_> {
    fn of_pod(&self, name: &str) -> Option<&str> {
        let found = self.pod.metadata.annotations.get(&format!("{PREFIX}{name}"));
        found.map(String::as_str).filter(|value| !value.is_empty())
    }

    /// An annotation of the pod, or else of its namespace.
    fn of_either(&self, name: &str) -> Option<&str> {
        let of_namespace = || self.namespace.metadata.annotations.get(&format!("{PREFIX}{name}")).map(String::as_str);
        self.of_pod(name).or_else(|| of_namespace().filter(|value| !value.is_empty()))
    }

    fn strings(&self, name: &str) -> Result<Option<Vec<String>>, Error> {
        self.of_pod(name).map(|text| list(name, text)).transpose()
    }

    /// Takes over which pools and families are asked for, and answers them as keys of `ipam`.
    fn choose(&self, ipam: &mut IpamConf) -> Result<Map<String, Value>, Error> {
        let read = |name| self.of_either(name).map(|text| list(name, text)).transpose();
        let mut overrides = Map::new();
        if let Some(pools) = read("ipv4pools")? {
            overrides.insert("ipv4_pools".to_owned(), pools.clone().into());
            ipam.ipv4_pools = pools;
        }
        if let Some(pools) = read("ipv6pools")? {
            overrides.insert("ipv6_pools".to_owned(), pools.clone().into());
            ipam.ipv6_pools = pools;
        }
        if let Some(families) = read("ipFamilies")? {
            if let Some(other) = families.iter().find(|family| !["IPv4", "IPv6"].contains(&family.as_str())) {
                let text = format!("error parsing ipFamilies: {other:?} is neither IPv4 nor IPv6");
                return Err(Error::internal(text).with_details(format!("correct the annotation {PREFIX}ipFamilies")));
            }
            ipam.assign_ipv4 = families.iter().any(|family| family == "IPv4");
            ipam.assign_ipv6 = families.iter().any(|family| family == "IPv6");
            overrides.insert("assign_ipv4".to_owned(), ipam.assign_ipv4.to_string().into());
            overrides.insert("assign_ipv6".to_owned(), ipam.assign_ipv6.to_string().into());
        }
        Ok(overrides)
    }

    fn source(&self, call: &Call) -> Result<Source, Error> {
        let refused = |text: String, advice: &str| Err(Error::internal(text).with_details(advice));
        let (given, without_ipam) = (self.of_pod("ipAddrs"), self.of_pod("ipAddrsNoIpam"));
        let plugin = &call.conf.ipam.plugin;
        let is_own = plugin == IpamConf::OWN_PLUGIN;
        match (given, without_ipam) {
            (None, None) => Ok(Source::Any),
            (Some(_), Some(_)) => {
                let text = "can't have both annotations: 'ipAddrs' and 'ipAddrsNoIpam' in use at the same time";
                refused(text.to_owned(), "remove one of them")
            }
            (None, Some(_)) if !is_own => {
                refused(format!("ipAddrsNoIpam is not compatible with configured IPAM: {plugin}"), NEEDS_OWN)
            }
            (None, Some(_)) if !call.conf.cluster.addresses_without_ipam => {
                let advice = "set feature_control.ip_addrs_no_ipam, or remove the annotation cni.projectcalico.org/ipAddrsNoIpam";
                refused("requested feature is not enabled: ip_addrs_no_ipam".to_owned(), advice)
            }
            (None, Some(text)) => addresses("ipAddrsNoIpam", text).map(Source::WithoutIpam),
            (Some(_), None) if !is_own => {
                refused(format!("ipAddrs is not compatible with configured IPAM: {plugin}"), NEEDS_OWN)
            }
            (Some(text), None) => addresses("ipAddrs", text).map(Source::Given),
        }
    }
}

const NEEDS_OWN: &str = "remove the annotation, or set ipam.type to calico-ipam";

/// An annotation that is a JSON list of texts.
fn list(name: &str, text: &str) -> Result<Vec<String>, Error> {
    serde_json::from_str(text).map_err(|error| {
        let text = format!("the annotation {PREFIX}{name} is not a JSON list of strings: {error}; it is {text:?}");
        Error::internal(text).with_details(format!("correct the annotation, such as {PREFIX}{name}: {}", example(name)))
    })
}

fn example(name: &str) -> &'static str {
    match name {
        "ipv4pools" => r#"["10.0.0.0/16"]"#,
        "ipv6pools" => r#"["fd00::/48"]"#,
        "ipFamilies" => r#"["IPv4", "IPv6"]"#,
        _ => r#"["10.0.0.1"]"#,
    }
}

/// At most one address of each family.
fn addresses(name: &str, text: &str) -> Result<Vec<IpAddr>, Error> {
    let texts = list(name, text)?;
    let wrong = |text: String| Error::internal(text).with_details(format!("correct the annotation {PREFIX}{name}"));
    if texts.is_empty() {
        return Err(wrong(format!("annotation \"{PREFIX}{name}\" specified but empty")));
    }
    let mut addresses: Vec<IpAddr> = Vec::new();
    for text in &texts {
        let address: IpAddr = text.parse().map_err(|_| wrong(format!("invalid IP format: {text}")))?;
        let version = IpVersion::of(address);
        if addresses.iter().any(|other| IpVersion::of(*other) == version) {
            return Err(wrong(format!(
                "cannot have more than one IPv{version} address for \"{PREFIX}{name}\" annotation"
            )));
        }
        addresses.push(address);
    }
    Ok(addresses)
}

/// A MAC address of six bytes, with colons, dashes or dots as Go reads it.
fn mac(text: &str) -> Result<[u8; 6], Error> {
    let wrong = || {
        let problem = format!(
            "failed to parse MAC address {text} provided via {PREFIX}hwAddr: address {text}: invalid MAC address"
        );
        Error::internal(problem).with_details("give six bytes, such as 02:00:5e:10:00:01")
    };
    let of_groups = |separator: char, digits: usize| {
        let groups: Vec<&str> = text.split(separator).collect();
        let are_sound = groups.len() * digits == 12 && groups.iter().all(|group| group.len() == digits);
        are_sound.then(|| groups.concat())
    };
    let digits = of_groups(':', 2).or_else(|| of_groups('-', 2)).or_else(|| of_groups('.', 4)).ok_or_else(wrong)?;
    if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(wrong());
    }
    let mut bytes = [0; 6];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).map_err(|_| wrong())?;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mac_addresses() {
        for text in ["02:00:5e:10:00:0a", "02-00-5E-10-00-0A", "0200.5e10.000a"] {
            assert_eq!(mac(text).unwrap(), [2, 0, 0x5e, 0x10, 0, 10], "{text}");
        }
        for text in [
            "",
            "xyz",
            "02:00:5e:10:00",
            "02:00:5e:10:00:0g",
            "+2:00:5e:10:00:0a",
            "02:00:5e:10:00:0a:00:00",
            "äää.ääää.ä",
        ] {
            assert!(mac(text).unwrap_err().msg.starts_with("failed to parse MAC address"), "{text}");
        }
    }

    #[test]
    fn at_most_one_address_of_a_family() {
        assert_eq!(addresses("ipAddrs", r#"["10.0.0.1","fd00::1"]"#).unwrap().len(), 2);
        for (text, words) in [
            ("[]", "specified but empty"),
            (r#"["10.0.0.0/24"]"#, "invalid IP format: 10.0.0.0/24"),
            (r#"["10.0.0.1","10.0.0.2"]"#, "cannot have more than one IPv4 address for"),
            ("10.0.0.1", "is not a JSON list of strings"),
        ] {
            let error = addresses("ipAddrs", text).unwrap_err();
            assert!(error.msg.contains(words) && !error.details.is_empty(), "{error:?}");
        }
    }
}
