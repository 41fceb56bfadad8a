//! The names of workload endpoints and of their host-side interfaces.
//!
//! An endpoint's name is `<node>-<orchestrator>-<workload>-<endpoint>`, where each `-` inside a segment is doubled.
//! The workload is the pod for `k8s` and the container ID for `cni`.

use thiserror::Error;

/// Why an endpoint cannot be named.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NameError {
    /// A segment is empty.
    #[error("cannot name the workload endpoint: the {0} is empty")]
    Empty(&'static str),
    /// A segment begins or ends with a dash, so that its end could not be told from a separator.
    #[error("cannot name the workload endpoint: the {field} {value:?} must not begin or end with a '-'")]
    Dash {
        /// Which segment.
        field: &'static str,
        /// Its text.
        value: String,
    },
    /// The name has a character that no resource name may have.
    #[error(
        "cannot name the workload endpoint {name:?}: a name may have only lower-case letters, digits, '-' and '.', must begin and end with a letter or digit, and be at most 253 characters long; change the {culprit}"
    )]
    NotDns {
        /// The whole name.
        name: String,
        /// The segments that cannot be part of a name.
        culprit: String,
    },
}

/// The identifiers that make an endpoint's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointId {
    /// The node's Calico name.
    pub node: String,
    /// `cni` or `k8s`; others only in records that somebody else made.
    pub orchestrator: String,
    /// The container ID (`cni`) or the pod's name (`k8s`).
    pub workload: String,
    /// The interface's name in the container.
    pub endpoint: String,
}

impl EndpointId {
    fn segments(&self) -> [(&'static str, &str); 4] {
        let workload = match self.orchestrator.as_str() {
            "cni" => "container ID",
            "k8s" => "pod name",
            _ => "workload",
        };
        [
            ("node name", &self.node),
            ("orchestrator", &self.orchestrator),
            (workload, &self.workload),
            ("interface name", &self.endpoint),
        ]
    }

    /// The endpoint's name: a DNS subdomain (RFC 1123), or an error that names what cannot be part of one.
    pub fn name(&self) -> Result<String, NameError> {
        let name = self.unchecked_name()?;
        if is_dns_subdomain(&name) {
            return Ok(name);
        }
        let segments = self.segments();
        let culprits: Vec<&str> = segments.iter().filter(|(_, v)| !is_dns_subdomain(v)).map(|(f, _)| *f).collect();
        let culprit = if culprits.is_empty() { "length".to_owned() } else { culprits.join(" and the ") };
        Err(NameError::NotDns { name, culprit })
    }

    /// The endpoint's name, also where no stored object may have it.
    pub(crate) fn unchecked_name(&self) -> Result<String, NameError> {
        join(&self.segments())
    }

    /// What the names of all endpoints of this workload begin with. Names of other workloads may begin alike (`a`
    /// and `a-1`): filter with [`EndpointId::is_same_workload`].
    pub fn prefix(&self) -> Result<String, NameError> {
        join(&self.segments()[..3]).map(|name| name + "-")
    }

    /// Whether `name` is that of an endpoint of the same node, orchestrator and workload, whatever its interface.
    pub fn is_same_workload(&self, name: &str) -> bool {
        EndpointId::parse(name).is_some_and(|other| {
            (other.node, other.orchestrator, other.workload)
                == (self.node.clone(), self.orchestrator.clone(), self.workload.clone())
        })
    }

    /// The identifiers in a full name; `None` unless it has exactly four segments.
    pub fn parse(name: &str) -> Option<EndpointId> {
        let mut segments = split(name).into_iter();
        let mut next = || segments.next().filter(|s| !s.is_empty());
        let id = EndpointId { node: next()?, orchestrator: next()?, workload: next()?, endpoint: next()? };
        segments.next().is_none().then_some(id)
    }
}

/// Joins segments, each with what it is called in errors.
///
/// # Errors
/// A segment is empty, or begins or ends with a dash.
pub fn join(segments: &[(&'static str, &str)]) -> Result<String, NameError> {
    let escaped: Result<Vec<String>, NameError> = segments
        .iter()
        .map(|&(field, value)| {
            if value.is_empty() {
                Err(NameError::Empty(field))
            } else if value.starts_with('-') || value.ends_with('-') {
                Err(NameError::Dash { field, value: value.to_owned() })
            } else {
                Ok(value.replace('-', "--"))
            }
        })
        .collect();
    Ok(escaped?.join("-"))
}

/// Splits at single dashes; a doubled dash is one dash of a segment.
fn split(name: &str) -> Vec<String> {
    let mut segments = vec![String::new()];
    let mut chars = name.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '-' && chars.next_if_eq(&'-').is_none() {
            segments.push(String::new());
        } else {
            let last = segments.len() - 1;
            segments[last].push(c);
        }
    }
    segments
}

/// Whether a text is a DNS subdomain as Kubernetes defines it for object names.
pub fn is_dns_subdomain(text: &str) -> bool {
    let inside = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    let label = |l: &str| {
        let bytes = l.as_bytes();
        bytes.iter().all(|&c| inside(c) || c == b'-')
            && bytes.first().is_some_and(|&c| inside(c))
            && bytes.last().is_some_and(|&c| inside(c))
    };
    text.len() <= 253 && text.split('.').all(label)
}

/// The host-side interface of a container that is no pod: `cali` and the first eleven characters of the container ID.
pub fn host_interface_of_container(container_id: &str) -> String {
    let id: String = container_id.chars().take(11).collect();
    format!("cali{id}")
}

/// What the names of pods' host-side interfaces begin with: the first of those that `FELIX_INTERFACEPREFIX` lists, which is how
/// the node agent is told, too.
pub fn interface_prefix(setting: &str) -> &str {
    setting.split(',').next().filter(|first| !first.is_empty()).unwrap_or("cali")
}

/// The host-side interface of a pod: the prefix and the first eleven digits of the SHA-1 of `<namespace>.<pod>`.
pub fn host_interface_of_pod(prefix: &str, namespace: &str, pod: &str) -> String {
    let digest = sha1_smol::Sha1::from(format!("{namespace}.{pod}")).digest().to_string();
    format!("{prefix}{}", &digest[..11])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(node: &str, orchestrator: &str, workload: &str, endpoint: &str) -> EndpointId {
        let [node, orchestrator, workload, endpoint] = [node, orchestrator, workload, endpoint].map(str::to_owned);
        EndpointId { node, orchestrator, workload, endpoint }
    }

    #[test]
    fn names_of_the_reference() {
        for (id, name) in [
            (id("n-1", "k8s", "web-0", "eth0"), "n--1-k8s-web--0-eth0"),
            (id("node-1", "k8s", "pod-name", "eth0"), "node--1-k8s-pod--name-eth0"),
            (id("node-1", "cni", "abcdefa0123456", "eth0"), "node--1-cni-abcdefa0123456-eth0"),
        ] {
            assert_eq!(id.name().unwrap(), name);
            assert_eq!(EndpointId::parse(name), Some(id));
        }
        assert_eq!(id("node-1", "cni", "abc", "eth0").prefix().unwrap(), "node--1-cni-abc-");
    }

    #[test]
    fn a_longer_workload_with_the_same_beginning_is_another() {
        let foo = id("n", "k8s", "foo", "eth0");
        let other = id("n", "k8s", "foo-1", "eth0").name().unwrap();
        assert!(other.starts_with(&foo.prefix().unwrap()) && !foo.is_same_workload(&other));
        assert!(foo.is_same_workload(&id("n", "k8s", "foo", "net1").name().unwrap()));
    }

    #[test]
    fn what_cannot_be_named_says_why() {
        assert_eq!(id("", "cni", "a", "b").name(), Err(NameError::Empty("node name")));
        assert!(matches!(id("n", "cni", "a-", "eth0").name(), Err(NameError::Dash { field: "container ID", .. })));
        let upper = id("n", "cni", "ABC", "eth0").name().unwrap_err().to_string();
        assert!(upper.ends_with("change the container ID"), "{upper}");
        let pod = id("n", "k8s", "Web", "eth0").name().unwrap_err().to_string();
        assert!(pod.ends_with("change the pod name"), "{pod}");
        assert_eq!(id("n", "k8s", "", "eth0").name(), Err(NameError::Empty("pod name")));
        let both = id("N", "cni", "a_b", "eth0").name().unwrap_err().to_string();
        assert!(both.ends_with("change the node name and the container ID"), "{both}");
    }

    #[test]
    fn host_interfaces_of_the_reference() {
        assert_eq!(host_interface_of_pod("cali", "default", "nginx"), "calic440f455693");
        assert_eq!(host_interface_of_pod("cali", "test", "test-pod-1"), "cali618a041cd51");
        assert_eq!(host_interface_of_pod("cali", "default", "pod1"), "calice0906292e2");
        assert_eq!(
            [interface_prefix(""), interface_prefix("tap,cali"), interface_prefix(",x")],
            ["cali", "tap", "cali"]
        );
        assert_eq!(host_interface_of_container("abcdef0123456789"), "caliabcdef01234");
        assert_eq!(host_interface_of_container("c1"), "calic1");
    }
}
