//! Whom a call is for: the container, as the runtime and `CNI_ARGS` name it.

use std::fmt;
use std::net::IpAddr;

use calico_model::endpoint_name::{self, EndpointId};
use cni_spec::{Args, Error, Request};

/// The keys of `CNI_ARGS` that mean something here.
const KNOWN: [&str; 7] = [
    "IgnoreUnknown",
    "IP",
    "K8S_POD_NAME",
    "K8S_POD_NAMESPACE",
    "K8S_POD_INFRA_CONTAINER_ID",
    "K8S_POD_UID",
    "CNI_TEST_NAMESPACE",
];

/// A Kubernetes pod, as the runtime names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodId {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Which pod of this name, where the runtime says so (`K8S_POD_UID`).
    pub uid: Option<String>,
}

impl fmt::Display for PodId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// The identifiers of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identifiers {
    /// The container's ID; of a pod, its sandbox's.
    pub container_id: String,
    /// The namespace of its endpoint.
    pub namespace: String,
    /// The pod that the container is the sandbox of, if it is one.
    pub pod: Option<PodId>,
    /// The address that the caller wants, as it is written.
    address: Option<String>,
    /// What the names of pods' host interfaces begin with.
    prefix: String,
}

impl Identifiers {
    /// Reads `CNI_ARGS` (as `args` gives them, since `calico` prepends to them) and the container ID.
    ///
    /// # Errors
    /// Malformed or unknown arguments.
    pub fn read(request: &Request, args: &str) -> Result<Identifiers, Error> {
        let args = Args::parse(args)?;
        args.check_known(&KNOWN)?;
        let text = |key| args.get(key).filter(|value| !value.is_empty()).map(str::to_owned);
        let pod = text("K8S_POD_NAMESPACE").zip(text("K8S_POD_NAME"));
        let pod = pod.map(|(namespace, name)| PodId { namespace, name, uid: text("K8S_POD_UID") });
        let namespace = match &pod {
            Some(pod) => pod.namespace.clone(),
            None => text("CNI_TEST_NAMESPACE").unwrap_or_else(|| "default".to_owned()),
        };
        let setting = std::env::var("FELIX_INTERFACEPREFIX").unwrap_or_default();
        let prefix = endpoint_name::interface_prefix(&setting).to_owned();
        Ok(Identifiers { container_id: request.container_id.clone(), namespace, pod, address: text("IP"), prefix })
    }

    /// The address that the caller of an ADD wants.
    ///
    /// # Errors
    /// What is given is no address.
    pub fn address(&self) -> Result<Option<IpAddr>, Error> {
        let Some(text) = &self.address else { return Ok(None) };
        let problem = || format!("ARGS: IP={text} is not an address; give a single IPv4 or IPv6 address");
        text.parse().map(Some).map_err(|_| Error::internal(problem()))
    }

    /// What the endpoint of this container's interface is called.
    pub fn endpoint(&self, node: &str, ifname: &str) -> EndpointId {
        let (orchestrator, workload) = match &self.pod {
            Some(pod) => ("k8s", &pod.name),
            None => ("cni", &self.container_id),
        };
        EndpointId {
            node: node.to_owned(),
            orchestrator: orchestrator.to_owned(),
            workload: workload.clone(),
            endpoint: ifname.to_owned(),
        }
    }

    /// The handle of this container's addresses.
    pub fn handle(&self, network: &str) -> String {
        format!("{network}.{}", self.container_id)
    }

    /// The handle that the second generation gave this container's addresses; `None` where that could be another
    /// container's handle of today.
    pub fn legacy_handle(&self) -> Option<String> {
        match &self.pod {
            Some(pod) => Some(format!("{}.{}", pod.namespace, pod.name)),
            None => Some(self.container_id.clone()).filter(|id| !id.contains('.')),
        }
    }

    /// The host end of this container's interface. A pod's has one name whatever its sandbox.
    pub fn host_interface(&self) -> String {
        match &self.pod {
            Some(pod) => endpoint_name::host_interface_of_pod(&self.prefix, &pod.namespace, &pod.name),
            None => endpoint_name::host_interface_of_container(&self.container_id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cni_spec::{Environment, Version};

    fn read(args: &str) -> Result<Identifiers, Error> {
        let env = Environment {
            command: "DEL".into(),
            container_id: "abcdef0123456789".into(),
            ifname: "eth0".into(),
            path: "/bin".into(),
            ..Environment::default()
        };
        let config = br#"{"name":"net1","cniVersion":"1.0.0"}"#;
        let request = Request::read(&env, &mut config.as_slice(), Version::V1_0_0).unwrap();
        Identifiers::read(&request, args)
    }

    #[test]
    fn names_made_of_the_container_id() {
        let ids = read("").unwrap();
        assert_eq!(ids.handle("net1"), "net1.abcdef0123456789");
        assert_eq!(ids.host_interface(), "caliabcdef01234");
        assert_eq!(ids.endpoint("node-1", "eth0").name().unwrap(), "node--1-cni-abcdef0123456789-eth0");
        assert_eq!((ids.namespace.as_str(), ids.address().unwrap()), ("default", None));
    }

    #[test]
    fn arguments() {
        assert_eq!(read("IP=fd00::5").unwrap().address().unwrap(), Some("fd00::5".parse().unwrap()));
        assert_eq!(read("IgnoreUnknown=1;FOO=bar;CNI_TEST_NAMESPACE=x").unwrap().namespace, "x");
        assert_eq!(read("FOO=bar").unwrap_err().msg, "ARGS: unknown args [\"FOO=bar\"]");
        assert!(
            read("IP=10.0.0.0/24").unwrap().address().unwrap_err().msg.contains("IP=10.0.0.0/24 is not an address")
        );
        assert_eq!(read("K8S_POD_NAME=;K8S_POD_NAMESPACE=b").unwrap().pod, None);
    }

    #[test]
    fn names_made_of_the_pod() {
        let ids = read("K8S_POD_NAME=web-0;K8S_POD_NAMESPACE=shop;K8S_POD_UID=u-1;CNI_TEST_NAMESPACE=x").unwrap();
        assert_eq!(ids.namespace, "shop");
        assert_eq!(ids.pod.as_ref().and_then(|pod| pod.uid.as_deref()), Some("u-1"));
        assert_eq!(ids.endpoint("node-1", "eth0").name().unwrap(), "node--1-k8s-web--0-eth0");
        assert_eq!(ids.handle("net1"), "net1.abcdef0123456789");
        assert_eq!(ids.legacy_handle().as_deref(), Some("shop.web-0"));
        assert_eq!(read("K8S_POD_NAME=nginx;K8S_POD_NAMESPACE=default").unwrap().host_interface(), "calic440f455693");
    }
}
