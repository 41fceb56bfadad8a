//! The network configuration, read with Go's leniency. The README lists the keys.

use std::path::PathBuf;
use std::time::Duration;

use calico_model::IpVersion;
use cni_spec::{FieldError, Fields, Request};
use ipnetwork::IpNetwork;

use crate::error::Error;
use crate::log::Level;

/// The time a call has for datastore and kernel unless the configuration says otherwise.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// The configuration of a Calico network.
#[derive(Debug, Clone)]
pub struct NetConf {
    /// The network's name: the prefix of handles and, without policy type, the profile.
    pub network: String,
    /// Where to keep the objects.
    pub datastore: DatastoreConf,
    /// What determines the node name.
    pub node: NodeConf,
    /// Address management.
    pub ipam: IpamConf,
    /// The MTU of a container's interface in bytes; 0 leaves it to the MTU file or the kernel.
    pub mtu: u32,
    /// Fail where there is no MTU file.
    pub require_mtu_file: bool,
    /// Queues of both ends of a container's interface.
    pub queues: u32,
    /// Whether containers may forward.
    pub allow_ip_forwarding: bool,
    /// `policy.type`; empty where the network's own profile governs.
    pub policy_type: String,
    /// The host lock's file.
    pub lock_file: PathBuf,
    /// The time a call has for datastore and kernel work, counted from when it holds the host lock.
    pub timeout: Duration,
    /// What to log.
    pub log_level: Level,
    /// Where to log besides stderr.
    pub log_file: Option<PathBuf>,
}

/// Which datastore.
#[derive(Debug, Clone)]
pub enum DatastoreConf {
    /// The embedded store in this file.
    Local(PathBuf),
}

/// What determines the node name.
#[derive(Debug, Clone)]
pub struct NodeConf {
    /// `nodename`.
    pub name: Option<String>,
    /// `nodename_file`.
    pub file: PathBuf,
    /// Whether the file may be absent.
    pub file_optional: bool,
    /// `hostname`, the older name of `nodename`.
    pub hostname: Option<String>,
}

/// The part of the configuration under `ipam`.
#[derive(Debug, Clone)]
pub struct IpamConf {
    /// Which plugin manages addresses.
    pub plugin: String,
    /// Execute it even if it is our own.
    pub exec: bool,
    /// Whether to assign an IPv4 address.
    pub assign_ipv4: bool,
    /// Whether to assign an IPv6 address.
    pub assign_ipv6: bool,
    /// Pools to use, by CIDR or name; empty for any.
    pub ipv4_pools: Vec<String>,
    /// Pools to use, by CIDR or name; empty for any.
    pub ipv6_pools: Vec<String>,
}

impl IpamConf {
    /// The name of our own plugin, whose work is done without executing it.
    pub const OWN_PLUGIN: &'static str = "calico-ipam";

    /// The pools named for a family.
    pub fn pools(&self, version: IpVersion) -> &[String] {
        match version {
            IpVersion::V4 => &self.ipv4_pools,
            IpVersion::V6 => &self.ipv6_pools,
        }
    }

    /// The families to assign addresses of.
    pub fn families(&self) -> Vec<IpVersion> {
        let wanted = [(IpVersion::V4, self.assign_ipv4), (IpVersion::V6, self.assign_ipv6)];
        wanted.into_iter().filter(|(_, wanted)| *wanted).map(|(version, _)| version).collect()
    }

    /// The pools that are named by CIDR: those that an embedded store creates.
    pub fn pool_cidrs(&self) -> Vec<IpNetwork> {
        self.ipv4_pools.iter().chain(&self.ipv6_pools).filter_map(|pool| pool.parse().ok()).collect()
    }
}

impl NetConf {
    /// Reads the configuration of a request.
    pub fn parse(request: &Request) -> Result<NetConf, Error> {
        let fields = Fields::of(&request.config, "").map_err(wrong)?;
        let ipam = fields.object("ipam").map_err(wrong)?;
        let timeout = match fields.integer("timeout_seconds").map_err(wrong)? {
            None | Some(0) => DEFAULT_TIMEOUT,
            Some(seconds) => match u64::try_from(seconds) {
                Ok(seconds) => Duration::from_secs(seconds),
                Err(_) => return Err(Error::Config(format!("timeout_seconds: {seconds} is negative"))),
            },
        };
        let datastore = datastore(&fields)?;
        let policy = fields.object("policy").map_err(wrong)?;
        let container = fields.object("container_settings").map_err(wrong)?;
        check_device_type(&fields)?;
        let flag = |key| Ok::<bool, Error>(fields.boolean(key).map_err(wrong)?.unwrap_or(false));
        let text = |key| Ok::<Option<String>, Error>(fields.nonempty(key).map_err(wrong)?.map(str::to_owned));
        Ok(NetConf {
            network: request.network.clone(),
            node: NodeConf {
                name: text("nodename")?,
                file: text("nodename_file")?.unwrap_or_else(|| "/var/lib/calico/nodename".to_owned()).into(),
                file_optional: flag("nodename_file_optional")? || matches!(datastore, DatastoreConf::Local(_)),
                hostname: text("hostname")?,
            },
            datastore,
            ipam: ipam_conf(ipam.as_ref())?,
            mtu: count(&fields, "mtu")?,
            require_mtu_file: flag("require_mtu_file")?,
            queues: count(&fields, "num_queues")?.max(1),
            allow_ip_forwarding: match container {
                Some(container) => container.boolean("allow_ip_forwarding").map_err(wrong)?.unwrap_or(false),
                None => false,
            },
            policy_type: match policy {
                Some(policy) => policy.string("type").map_err(wrong)?.unwrap_or_default().to_owned(),
                None => String::new(),
            },
            lock_file: text("ipam_lock_file")?.unwrap_or_else(|| "/var/run/calico/ipam.lock".to_owned()).into(),
            timeout,
            log_level: Level::parse(fields.string("log_level").map_err(wrong)?.unwrap_or_default()),
            log_file: text("log_file_path")?.map(PathBuf::from),
        })
    }

    /// The MTU to give a container's interface: the configured one, else that of the file the node agent writes, else
    /// none. A file that cannot be read is an error even if it is not needed, as it is upstream.
    pub fn effective_mtu(&self) -> Result<Option<u32>, Error> {
        let path = PathBuf::from("/var/lib/calico/mtu");
        let failed = |path: PathBuf, reason: String| Error::MtuFile { path, reason };
        let from_file = match std::fs::read_to_string(&path) {
            Ok(text) => match text.trim().parse::<u32>() {
                Ok(mtu) => Some(mtu),
                Err(error) => return Err(failed(path, format!("{:?}: {error}", text.trim()))),
            },
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !self.require_mtu_file => None,
            Err(error) => return Err(failed(path, error.to_string())),
        };
        Ok(Some(self.mtu).filter(|&mtu| mtu > 0).or(from_file))
    }
}

fn wrong(error: FieldError) -> Error {
    Error::Config(error.to_string())
}

/// A number that the kernel takes as 32 bits; negative ones count as not set.
fn count(fields: &Fields<'_>, key: &str) -> Result<u32, Error> {
    let number = fields.integer(key).map_err(wrong)?.unwrap_or(0).max(0);
    u32::try_from(number).map_err(|_| Error::Config(format!("{key}: {number} is too large")))
}

fn check_device_type(fields: &Fields<'_>) -> Result<(), Error> {
    match fields.string("device_type").map_err(wrong)?.unwrap_or_default() {
        "" | "veth" => Ok(()),
        "netkit" => Err(Error::Unsupported(
            "device_type \"netkit\" is not supported by this release: use \"veth\" or leave it out".to_owned(),
        )),
        other => Err(Error::Unsupported(format!(
            "unknown device_type \"{other}\" in CNI config (supported: \"veth\", \"netkit\")"
        ))),
    }
}

fn datastore(fields: &Fields<'_>) -> Result<DatastoreConf, Error> {
    match fields.string("datastore_type").map_err(wrong)?.unwrap_or_default() {
        "local" => {
            let file = fields.nonempty("local_store_file").map_err(wrong)?;
            Ok(DatastoreConf::Local(file.unwrap_or(calico_datastore::local::DEFAULT_PATH).into()))
        }
        known @ ("" | "etcdv3" | "kubernetes") => {
            let asked =
                if known.is_empty() { "no datastore_type".to_owned() } else { format!("datastore_type {known:?}") };
            Err(Error::Unsupported(format!(
                "error creating calico client: the network configuration has {asked}, and this release supports only \"local\""
            )))
        }
        other => Err(Error::Unsupported(format!(
            "error creating calico client: unknown datastore type: {other}; this release supports \"local\""
        ))),
    }
}

fn ipam_conf(ipam: Option<&Fields<'_>>) -> Result<IpamConf, Error> {
    let text = |key| match ipam {
        Some(ipam) => Ok(ipam.string(key).map_err(wrong)?.unwrap_or_default()),
        None => Ok::<&str, Error>(""),
    };
    let list = |key| match ipam {
        Some(ipam) => Ok(ipam.strings(key).map_err(wrong)?.unwrap_or_default()),
        None => Ok::<Vec<String>, Error>(Vec::new()),
    };
    Ok(IpamConf {
        plugin: text("type")?.to_owned(),
        exec: match ipam {
            Some(ipam) => ipam.boolean("exec").map_err(wrong)?.unwrap_or(false),
            None => false,
        },
        assign_ipv4: text("assign_ipv4")? != "false",
        assign_ipv6: text("assign_ipv6")? == "true",
        ipv4_pools: list("ipv4_pools")?,
        ipv6_pools: list("ipv6_pools")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use cni_spec::{Environment, Version};
    use serde_json::{Value, json};

    fn parse(config: Value) -> Result<NetConf, Error> {
        let mut config = config;
        config["name"] = json!("net1");
        let env = Environment {
            command: "ADD".into(),
            container_id: "c1".into(),
            netns: "/n".into(),
            ifname: "eth0".into(),
            path: "/opt/cni/bin".into(),
            ..Environment::default()
        };
        let request = Request::read(&env, &mut config.to_string().as_bytes(), Version::V0_2_0).unwrap();
        NetConf::parse(&request)
    }

    #[test]
    fn the_smallest_configuration() {
        let conf = parse(json!({"datastore_type": "local", "ipam": {"type": "calico-ipam"}})).unwrap();
        let DatastoreConf::Local(file) = &conf.datastore;
        assert_eq!(file.to_str(), Some("/var/lib/calico/calico.db"));
        assert_eq!((conf.mtu, conf.queues, conf.timeout), (0, 1, Duration::from_secs(30)));
        assert_eq!(conf.ipam.families(), [IpVersion::V4]);
        assert!(conf.node.file_optional && !conf.ipam.exec);
    }

    #[test]
    fn families_are_chosen_by_the_strings_true_and_false() {
        let families = |ipam: Value| parse(json!({"datastore_type": "local", "ipam": ipam})).unwrap().ipam.families();
        assert_eq!(families(json!({"assign_ipv6": "true"})), IpVersion::BOTH);
        assert_eq!(families(json!({"assign_ipv4": "false", "assign_ipv6": "true"})), [IpVersion::V6]);
        assert_eq!(families(json!({"assign_ipv4": null, "assign_ipv6": "yes"})), [IpVersion::V4]);
        let error = parse(json!({"datastore_type": "local", "ipam": {"assign_ipv6": true}})).unwrap_err().to_string();
        assert_eq!(error, "failed to load netconf: ipam.assign_ipv6: expected a string, found a boolean");
    }

    #[test]
    fn zero_values_and_other_case_are_accepted() {
        let conf = parse(json!({
            "DataStore_Type": "local", "mode": "", "vxlan_vni": 0, "mtu": 0, "num_queues": -3, "nodename": "",
            "Container_Settings": {"ALLOW_IP_FORWARDING": true}, "ipam": {"Name": "", "type": "calico-ipam", "subnet": ""},
            "args": {"org.apache.mesos": {"network_info": {"name": "", "labels": {}}}}, "RuntimeConfig": {"DNS": {}},
            "readiness_gates": null, "policy": {"type": "", "k8s_api_root": ""}
        }))
        .unwrap();
        assert!(conf.allow_ip_forwarding && conf.queues == 1 && conf.node.name.is_none());
    }

    #[test]
    fn what_is_not_supported_says_so() {
        let error = |config: Value| parse(config).unwrap_err().to_string();
        assert!(error(json!({})).contains("has no datastore_type, and this release supports only \"local\""));
        assert!(error(json!({"datastore_type": "etcdv3"})).contains("datastore_type \"etcdv3\""));
        assert!(error(json!({"datastore_type": "mongodb"})).contains("unknown datastore type: mongodb"));
        let local = |key: &str, value: Value| error(json!({"datastore_type": "local", key: value}));
        assert_eq!(
            local("device_type", json!("tap")),
            "unknown device_type \"tap\" in CNI config (supported: \"veth\", \"netkit\")"
        );
        assert!(local("timeout_seconds", json!(-1)).contains("-1 is negative"));
        assert!(local("mtu", json!(1_u64 << 40)).contains("too large"));
    }
}
