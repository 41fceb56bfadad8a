//! What is special about host-local as a pod's IPAM plugin: its configuration may stand for the node's pod CIDRs, and says what
//! the pod reaches.

use calico_datastore::kubernetes::Cluster;
use calico_ipam::plugin::Call;
use calico_model::cidr;
use cni_spec::Error;
use ipnetwork::IpNetwork;
use serde_json::{Map, Value};

use crate::dataplane;

/// Its executable.
const NAME: &str = "host-local";

/// What its configuration has instead of a subnet.
const PLACEHOLDERS: [(&str, u8); 2] = [("usePodCidr", 4), ("usePodCidrIPv6", 6)];

/// The pod CIDRs that the placeholders stand for, one of a family.
#[derive(Debug, Clone)]
pub struct PodCidrs {
    ipv4: Option<IpNetwork>,
    ipv6: Option<IpNetwork>,
}

impl PodCidrs {
    /// Any: for calls that release by the container's ID.
    pub fn any() -> PodCidrs {
        let [ipv4, ipv6] = ["0.0.0.0/0", "::/0"].map(|cidr| cidr.parse().ok());
        PodCidrs { ipv4, ipv6 }
    }

    /// Those of the node.
    pub async fn of_node(call: &Call, cluster: &Cluster) -> Result<PodCidrs, Error> {
        let name = call.conf.cluster.node_name.as_deref().unwrap_or(&call.node);
        let node = cluster.node(name).await.map_err(calico_ipam::Error::from)?;
        let node = node.ok_or_else(|| {
            let advice = "see kubernetes.node_name and nodename in the configuration";
            Error::internal(format!("nodes \"{name}\" not found")).with_details(advice)
        })?;
        let mut cidrs = PodCidrs { ipv4: None, ipv6: None };
        let texts = node.pod_cidrs();
        if texts.is_empty() {
            let advice = "does the controller manager allocate them (--allocate-node-cidrs)?";
            return Err(Error::internal(format!("no podCidr for node {name}")).with_details(advice));
        }
        for text in texts {
            let cidr: IpNetwork = text.parse().map_err(|error| {
                Error::internal(format!("node {name} has the pod CIDR {text:?}, which is none: {error}"))
            })?;
            let place = if cidr.is_ipv4() { &mut cidrs.ipv4 } else { &mut cidrs.ipv6 };
            if place.replace(cidr).is_some() {
                let text = format!("ClusterCIDR contains two ranges of the same type: those of node {name}");
                return Err(Error::internal(text).with_details("a node has at most one pod CIDR of a family"));
            }
        }
        Ok(cidrs)
    }

    fn get(&self, placeholder: &str, version: u8) -> Result<String, Error> {
        let cidr = if version == 4 { self.ipv4 } else { self.ipv6 };
        cidr.map(|cidr| cidr.to_string()).ok_or_else(|| {
            let text = format!("{placeholder} found but there is no IPv{version} CIDR configured");
            Error::internal(text).with_details("the node has no pod CIDR of that family: see its spec.podCIDRs")
        })
    }
}

/// A network configuration for host-local.
#[derive(Debug, Clone)]
pub struct HostLocal {
    config: Value,
}

impl HostLocal {
    /// The configuration of a call, if host-local manages addresses.
    pub fn of(call: &Call, config: &Value) -> Option<HostLocal> {
        (call.conf.ipam.plugin == NAME).then(|| HostLocal { config: config.clone() })
    }

    /// Whether it has placeholders.
    ///
    /// # Errors
    /// A section that is no list or object where host-local wants one.
    pub fn has_placeholders(&self) -> Result<bool, Error> {
        let mut found = false;
        let mut copy = self.clone();
        copy.each_subnet(|subnet| {
            found |= placeholder(subnet).is_some();
            Ok(())
        })?;
        Ok(found)
    }

    /// The configuration with these in the place of the placeholders, as host-local reads it from stdin.
    pub fn with(mut self, cidrs: &PodCidrs) -> Result<Vec<u8>, Error> {
        self.each_subnet(|subnet| {
            if let Some((name, version)) = placeholder(subnet) {
                *subnet = cidrs.get(name, version)?;
            }
            Ok(())
        })?;
        Ok(self.config.to_string().into_bytes())
    }

    /// What the pod reaches through its gateway, if the configuration says so: `ipam.routes`.
    pub fn routes(&self) -> Result<Vec<IpNetwork>, Error> {
        let mut routes = Vec::new();
        for route in list(self.config.get("ipam").and_then(|ipam| ipam.get("routes")), "routes section")? {
            match route.get("dst") {
                None | Some(Value::Null) => {}
                Some(Value::String(text)) => {
                    let parsed = text.parse::<IpNetwork>().ok().filter(|_| text.contains('/'));
                    let wrong = || Error::internal(format!("ipam.routes: {text:?} is no CIDR: correct dst"));
                    routes.push(cidr::masked(&parsed.ok_or_else(wrong)?));
                }
                Some(other) => {
                    return Err(Error::internal(format!("ipam.routes: dst is {other}, and not a string with a CIDR")));
                }
            }
        }
        Ok(routes)
    }

    fn each_subnet(&mut self, mut change: impl FnMut(&mut String) -> Result<(), Error>) -> Result<(), Error> {
        let Some(ipam) = self.config.get_mut("ipam").and_then(Value::as_object_mut) else {
            return Err(Error::internal("failed to parse host-local IPAM data; was expecting a dict"));
        };
        if let Some(Value::String(subnet)) = ipam.get_mut("subnet") {
            change(subnet)?;
        }
        for set in list_mut(ipam, "ranges", "ranges section")? {
            let Value::Array(ranges) = set else {
                return Err(Error::internal("failed to parse host-local IPAM range set; was expecting a list"));
            };
            for range in ranges.iter_mut().filter_map(Value::as_object_mut) {
                if let Some(Value::String(subnet)) = range.get_mut("subnet") {
                    change(subnet)?;
                }
            }
        }
        Ok(())
    }
}

/// The routes in a pod: those of host-local's configuration, or else everything.
pub fn routes_in_pod(call: &Call, host_local: Option<&HostLocal>) -> Result<Vec<IpNetwork>, Error> {
    let configured = host_local.map(HostLocal::routes).transpose()?.unwrap_or_default();
    let mut routes = match configured.is_empty() || call.conf.include_default_routes {
        true => dataplane::default_routes(),
        false => Vec::new(),
    };
    for route in configured {
        if !routes.contains(&route) {
            routes.push(route);
        }
    }
    Ok(routes)
}

fn placeholder(text: &str) -> Option<(&'static str, u8)> {
    PLACEHOLDERS.into_iter().find(|(name, _)| text.eq_ignore_ascii_case(name))
}

fn expected_list(what: &str) -> Error {
    let text = format!("failed to parse host-local IPAM {what}; was expecting a list");
    Error::internal(text).with_details("correct ipam in the network configuration")
}

fn list<'a>(value: Option<&'a Value>, what: &str) -> Result<&'a [Value], Error> {
    match value {
        None | Some(Value::Null) => Ok(&[]),
        Some(Value::Array(list)) => Ok(list),
        Some(_) => Err(expected_list(what)),
    }
}

fn list_mut<'a>(object: &'a mut Map<String, Value>, key: &str, what: &str) -> Result<&'a mut [Value], Error> {
    match object.get_mut(key) {
        None | Some(Value::Null) => Ok(&mut []),
        Some(Value::Array(list)) => Ok(list),
        Some(_) => Err(expected_list(what)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(ipam: Value) -> HostLocal {
        HostLocal { config: json!({"name": "n", "big": 18446744073709551615u64, "ipam": ipam}) }
    }

    #[test]
    fn placeholders_are_replaced_wherever_a_subnet_is() {
        let cidrs = PodCidrs { ipv4: "10.1.0.0/24".parse().ok(), ipv6: "fd00::/64".parse().ok() };
        let config = of(json!({
            "type": "host-local", "subnet": "USEpodcidr", "other": 1,
            "ranges": [[{"subnet": "usePodCidr"}, {"subnet": "10.9.0.0/16", "gateway": "x"}], [{"subnet": "usePodCidrIPv6"}]],
        }));
        assert!(config.has_placeholders().unwrap());
        let replaced: Value = serde_json::from_slice(&config.with(&cidrs).unwrap()).unwrap();
        let expected = json!({
            "type": "host-local", "subnet": "10.1.0.0/24", "other": 1,
            "ranges": [[{"subnet": "10.1.0.0/24"}, {"subnet": "10.9.0.0/16", "gateway": "x"}], [{"subnet": "fd00::/64"}]],
        });
        assert_eq!(replaced["ipam"], expected);
        assert_eq!(replaced["big"], json!(18446744073709551615u64));
        assert!(!of(json!({"subnet": "10.0.0.0/8", "ranges": null})).has_placeholders().unwrap());
        let lacking = PodCidrs { ipv6: None, ..cidrs };
        let error = of(json!({"subnet": "usePodCidrIPv6"})).with(&lacking).unwrap_err();
        assert_eq!(error.msg, "usePodCidrIPv6 found but there is no IPv6 CIDR configured");
    }

    #[test]
    fn malformed_sections_are_named() {
        for (ipam, words) in [
            (json!("x"), "IPAM data; was expecting a dict"),
            (json!({"ranges": {}}), "ranges section; was expecting a list"),
            (json!({"ranges": [{}]}), "range set; was expecting a list"),
        ] {
            let error = of(ipam).has_placeholders().unwrap_err();
            assert!(error.msg.contains(words), "{error}");
        }
        assert!(of(json!({"routes": [{"dst": 5}]})).routes().is_err());
        assert!(of(json!({"routes": [{"dst": "10.0.0.0"}]})).routes().is_err());
        let routes = of(json!({"routes": [{"dst": "10.0.0.1/8", "gw": "10.0.0.1"}, {}]})).routes().unwrap();
        assert_eq!(routes, ["10.0.0.0/8".parse().unwrap()]);
    }
}
