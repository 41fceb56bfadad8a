//! Whom a call is for: the container, as the runtime and `CNI_ARGS` name it.

use std::net::IpAddr;

use calico_model::endpoint_name::{self, EndpointId};
use cni_spec::{Args, Error, Request};

/// The keys of `CNI_ARGS` that mean something here.
const KNOWN: [&str; 6] =
    ["IgnoreUnknown", "IP", "K8S_POD_NAME", "K8S_POD_NAMESPACE", "K8S_POD_INFRA_CONTAINER_ID", "CNI_TEST_NAMESPACE"];

/// The identifiers of a container that is not a Kubernetes pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identifiers {
    /// The container's ID.
    pub container_id: String,
    /// The namespace of its endpoint.
    pub namespace: String,
    /// The address that the caller wants, as it is written.
    address: Option<String>,
    /// The pod that the caller means, with its namespace.
    pod: Option<(String, String)>,
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
        Ok(Identifiers {
            container_id: request.container_id.clone(),
            namespace: text("CNI_TEST_NAMESPACE").unwrap_or_else(|| "default".to_owned()),
            address: text("IP"),
            pod: text("K8S_POD_NAMESPACE").zip(text("K8S_POD_NAME")),
        })
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

    /// Refuses to add or check a Kubernetes pod, which this release cannot network: `what` is the verb. A DEL of one has
    /// nothing to undo.
    pub fn refuse_pods(&self, what: &str) -> Result<(), Error> {
        let Some((namespace, pod)) = &self.pod else { return Ok(()) };
        Err(Error::internal(format!(
            "cannot {what} the Kubernetes pod {namespace}/{pod}: this release networks only containers without K8S_POD_NAME in CNI_ARGS"
        )))
    }

    /// What the endpoint of this container's interface is called.
    pub fn endpoint(&self, node: &str, ifname: &str) -> EndpointId {
        EndpointId {
            node: node.to_owned(),
            orchestrator: "cni".to_owned(),
            workload: self.container_id.clone(),
            endpoint: ifname.to_owned(),
        }
    }

    /// The handle of this container's addresses.
    pub fn handle(&self, network: &str) -> String {
        format!("{network}.{}", self.container_id)
    }

    /// The host end of this container's interface.
    pub fn host_interface(&self) -> String {
        endpoint_name::host_interface_of_container(&self.container_id)
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
        assert!(
            read("K8S_POD_NAME=a;K8S_POD_NAMESPACE=b")
                .unwrap()
                .refuse_pods("network")
                .unwrap_err()
                .msg
                .contains("pod b/a")
        );
        assert!(read("K8S_POD_NAME=;K8S_POD_NAMESPACE=b").unwrap().refuse_pods("network").is_ok());
    }
}
