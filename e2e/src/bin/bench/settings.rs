//! What is measured: what the environment says.

use std::path::PathBuf;

/// How many calls are started at once: the pods of a node that has just come back.
pub const AT_ONCE: usize = 30;

/// Where plugins keep their objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Datastore {
    /// etcd, one member.
    Etcd,
    /// The Kubernetes API, one server on an etcd of one member.
    Kubernetes,
    /// The embedded store.
    Local,
}

impl Datastore {
    /// What a person calls it.
    pub fn name(self) -> &'static str {
        match self {
            Datastore::Etcd => "etcd",
            Datastore::Kubernetes => "kubernetes",
            Datastore::Local => "local",
        }
    }
}

/// A folder with the executable `calico`, and `calico-ipam` if the former executes it.
#[derive(Debug)]
pub struct Folder {
    number: usize,
    /// As it was given.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
}

impl Folder {
    /// Those of our executables that it has.
    pub fn executables(&self) -> Vec<&'static str> {
        ["calico", "calico-ipam", "calicoctl"].into_iter().filter(|name| self.path.join(name).is_file()).collect()
    }

    /// The name of its copy on a host.
    pub fn installed(&self) -> String {
        format!("plugins-{}", self.number)
    }
}

/// What can be chosen, by environment variables that have the names of the Makefile's.
#[derive(Debug)]
pub struct Settings {
    /// `PLUGINS`: folders, separated by spaces. The first is what others are compared with.
    pub folders: Vec<Folder>,
    /// `DATASTORES`: some of `etcd`, `kubernetes` and `local`.
    pub datastores: Vec<Datastore>,
    /// Whether `kubelet` is among them: no datastore either, but pods of a whole node, on the Kubernetes API.
    pub kubelet: bool,
    /// Whether `calicoctl` is among them: not a datastore, but what is to be measured on a whole cluster in etcd.
    pub tool: bool,
    /// `N`: how many calls one at a time.
    pub count: usize,
}

impl Settings {
    /// Reads the environment.
    pub fn from_environment() -> Result<Settings, String> {
        let chosen = |name: &str, default: &str| {
            let value = std::env::var(name).unwrap_or_default();
            if value.trim().is_empty() { default.to_owned() } else { value }
        };
        let plugins = chosen("PLUGINS", "bin");
        let datastores = chosen("DATASTORES", "etcd kubernetes local");
        let count = chosen("N", "100");
        let (others, datastores): (Vec<&str>, Vec<&str>) =
            datastores.split_whitespace().partition(|name| ["kubelet", "calicoctl"].contains(name));
        Ok(Settings {
            folders: plugins.split_whitespace().enumerate().map(folder).collect::<Result<_, _>>()?,
            datastores: datastores.into_iter().map(datastore).collect::<Result<_, _>>()?,
            kubelet: others.contains(&"kubelet"),
            tool: others.contains(&"calicoctl"),
            count: count.trim().parse().ok().filter(|&count| count > 0).ok_or(format!("N={count} is no count"))?,
        })
    }

    /// How many times [`AT_ONCE`] calls are started at once.
    pub fn rounds(&self) -> usize {
        (self.count / 20).clamp(1, 5)
    }
}

fn folder((number, name): (usize, &str)) -> Result<Folder, String> {
    let path = std::path::absolute(name).map_err(|e| format!("{name}: {e}"))?;
    if !path.join("calico").is_file() {
        return Err(format!("{name}/calico is absent: name folders of plugins in PLUGINS (`make build` fills bin)"));
    }
    Ok(Folder { number, name: name.to_owned(), path })
}

fn datastore(name: &str) -> Result<Datastore, String> {
    let all = [Datastore::Etcd, Datastore::Kubernetes, Datastore::Local];
    all.into_iter().find(|datastore| datastore.name() == name).ok_or_else(|| {
        let names = all.map(Datastore::name).join(", ");
        format!("DATASTORES={name} is unknown: there are {names}, kubelet, calicoctl")
    })
}
