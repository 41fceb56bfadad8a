//! Which commands are run, and what becomes of their output.
//!
//! Never the content of secrets: of secrets and of config maps only names are asked for, and of pods outside Calico's namespaces
//! only the table, as environments may have passwords.

use super::pods::Pod;

/// Where Calico's own pods, secrets and config maps may be.
const NAMESPACES: [&str; 4] = ["calico-apiserver", "calico-system", "kube-system", "tigera-operator"];
/// What is printed of a secret.
const SECRET: &str =
    "custom-columns=NAMESPACE:.metadata.namespace,NAME:.metadata.name,TYPE:.type,CREATED:.metadata.creationTimestamp";
/// What the node agent's host has, by the name of the file that it goes to.
const ON_NODES: [(&str, &str); 20] = [
    ("ip-link", "ip -s link"),
    ("ip-address", "ip address"),
    ("ip-route", "ip -4 route show table all"),
    ("ip6-route", "ip -6 route show table all"),
    ("ip-rule", "ip -4 rule"),
    ("ip6-rule", "ip -6 rule"),
    ("ip-neighbour", "ip neighbour"),
    ("iptables", "iptables-save -c"),
    ("ip6tables", "ip6tables-save -c"),
    ("nft", "nft -n -a list ruleset"),
    ("ipset", "ipset list"),
    ("conntrack", "conntrack -L"),
    ("tc-qdisc", "tc qdisc show"),
    ("bpf-counters", "calico-node -bpf counters dump"),
    ("bpf-conntrack", "calico-node -bpf conntrack dump"),
    ("bpf-ipsets", "calico-node -bpf ipsets dump"),
    ("bpf-nat", "calico-node -bpf nat dump"),
    ("bpf-routes", "calico-node -bpf routes dump"),
    ("bird-protocols", "birdcl -s /var/run/calico/bird.ctl show protocols all"),
    ("bird6-protocols", "birdcl -s /var/run/calico/bird6.ctl show protocols all"),
];

/// A command, and where its output goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// The file, below the folder of the archive.
    pub file: String,
    /// What `kubectl` is asked for.
    pub arguments: Vec<String>,
}

impl Task {
    /// A task whose arguments are separated by spaces.
    pub fn new(file: impl Into<String>, arguments: &str) -> Task {
        Task { file: file.into(), arguments: arguments.split(' ').map(str::to_owned).collect() }
    }
}

/// What is asked whatever the cluster has.
pub fn of_cluster() -> Vec<Task> {
    let mut tasks = vec![
        Task::new("cluster/version.yaml", "version -o yaml"),
        Task::new("cluster/nodes.yaml", "get nodes -o yaml"),
        Task::new("cluster/nodes.txt", "get nodes -o wide"),
        Task::new("cluster/namespaces.txt", "get namespaces -o wide"),
        Task::new("cluster/networkpolicies.yaml", "get networkpolicies.networking.k8s.io -A -o yaml"),
        Task::new("cluster/events.txt", "get events -A -o wide --sort-by=.lastTimestamp"),
    ];
    for kind in ["pods", "deployments", "daemonsets", "services", "endpoints", "networkpolicies"] {
        tasks.push(Task::new(format!("cluster/{kind}.txt"), &format!("get {kind} -A -o wide")));
    }
    for kind in ["services", "endpoints"] {
        tasks.push(Task::new(format!("cluster/{kind}.yaml"), &format!("get {kind} -A -o yaml")));
    }
    for namespace in NAMESPACES {
        for kind in ["pods", "deployments", "daemonsets"] {
            let file = format!("cluster/{namespace}/{kind}.yaml");
            tasks.push(Task::new(file, &format!("get {kind} -n {namespace} -o yaml")));
        }
        let table = |kind: &str, form: &str| {
            Task::new(format!("cluster/{namespace}/{kind}.txt"), &format!("get {kind} -n {namespace} -o {form}"))
        };
        tasks.extend([table("configmaps", "wide"), table("secrets", SECRET)]);
    }
    tasks
}

/// What tells which of Calico's and its operator's kinds of objects there are.
pub fn kinds() -> Task {
    Task::new("cluster/kinds.txt", "get customresourcedefinitions -o name")
}

/// The objects of those of these kinds that are Calico's or its operator's. `kinds` is what [`kinds`] has printed.
pub fn of_kinds(kinds: &str) -> Vec<Task> {
    let mut tasks = Vec::new();
    for line in kinds.lines() {
        let name = line.rsplit('/').next().unwrap_or_default();
        let folder = match name.split_once('.') {
            Some((_, "crd.projectcalico.org" | "projectcalico.org")) => "calico",
            Some((_, "operator.tigera.io")) => "operator",
            _ => continue,
        };
        if is_name(name) {
            tasks.push(Task::new(format!("{folder}/{name}.yaml"), &format!("get {name} -A -o yaml")));
            tasks.push(Task::new(format!("{folder}/{name}.txt"), &format!("get {name} -A -o wide")));
        }
    }
    tasks
}

/// What a pod has logged and what it is, and of the node agent also what its host has. `since` is how old a line may be.
pub fn of_pod(pod: &Pod, since: &str) -> Vec<Task> {
    let Pod { namespace, name, node, app } = pod;
    let folder = format!("pods/{app}/{node}/{name}");
    let task = |file: &str, arguments: &str| Task::new(format!("{folder}/{file}"), arguments);
    let logs = format!("logs -n {namespace} {name} --all-containers --prefix --timestamps --since={since}");
    let mut tasks = vec![
        task("log.txt", &logs),
        task("log-previous.txt", &format!("{logs} --previous")),
        task("describe.txt", &format!("describe pod -n {namespace} {name}")),
    ];
    if pod.is_agent() {
        let exec = format!("exec -n {namespace} {name} -c calico-node --");
        tasks.extend(ON_NODES.map(|(file, command)| task(&format!("{file}.txt"), &format!("{exec} {command}"))));
    }
    tasks
}

/// Whether a text is a name of the cluster's: then it is neither an option nor a way out of the folder.
pub fn is_name(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
    text.bytes().all(is_plain) && text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric())
}
