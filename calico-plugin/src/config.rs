//! The network configuration, read with Go's leniency. docs/configuration.md lists the keys.

mod cluster;
mod mesos;
mod only_add;
mod unused;

use std::path::PathBuf;
use std::time::Duration;

use calico_model::{IpVersion, cidr};
use cni_spec::{FieldError, Fields, Request};
use ipnetwork::IpNetwork;

pub use crate::datastore::DatastoreConf;
use crate::error::Error;
use crate::log::{FileConf, Level, Limits};
use crate::variables::Variables;
pub use cluster::ClusterConf;
pub(crate) use cluster::kubeconfig_files;
pub use mesos::Mesos;
pub use only_add::AddConf;

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
    /// Kubernetes.
    pub cluster: ClusterConf,
    /// Address management.
    pub ipam: IpamConf,
    /// What a container's interface shall be, as configured: an ADD asks for [`LinkConf::settings`].
    pub link: LinkConf,
    /// What else only an ADD asks for.
    pub add: AddConf,
    /// What a Mesos task asks for.
    pub mesos: Mesos,
    /// Whether containers may forward.
    pub allow_ip_forwarding: bool,
    /// Whether an in-pod route to everything is kept beside those of host-local's configuration.
    pub include_default_routes: bool,
    /// `policy.type`; empty where the network's own profile governs.
    pub policy_type: String,
    /// The host lock's file.
    pub lock_file: PathBuf,
    /// The time a call has for datastore and kernel work, counted from when it holds the host lock.
    pub timeout: Duration,
    /// What to log.
    pub log_level: Level,
    /// Where to log besides stderr.
    pub log_file: Option<FileConf>,
}

/// The part of the configuration that only an ADD needs: a DEL must not fail because of it.
#[derive(Debug, Clone)]
pub struct LinkConf {
    /// `mtu`.
    pub mtu: i64,
    /// `require_mtu_file`: fail where there is no MTU file.
    pub require_mtu_file: bool,
    /// `num_queues`.
    pub queues: i64,
    /// `device_type`.
    pub device_type: String,
}

/// What a container's interface shall be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkSettings {
    /// Its MTU in bytes, unless the kernel shall choose.
    pub mtu: Option<u32>,
    /// The queues of both its ends.
    pub queues: u32,
    /// Whether it shall be of the kind netkit, where the kernel has that, and not veth.
    pub netkit: bool,
}

impl LinkConf {
    /// Checks the settings. The MTU is the configured one, else that of the file the node agent writes. A file that
    /// cannot be read is an error even if it is not needed, as it is upstream.
    pub fn settings(&self) -> Result<LinkSettings, Error> {
        let netkit = match self.device_type.as_str() {
            "" | "veth" => false,
            "netkit" => true,
            other => {
                let text = format!("unknown device_type \"{other}\" in CNI config (supported: \"veth\", \"netkit\")");
                return Err(Error::Unsupported(text));
            }
        };
        let mtu = Some(count("mtu", self.mtu)?).filter(|&mtu| mtu > 0).or(self.mtu_of_file()?);
        Ok(LinkSettings { mtu, queues: count("num_queues", self.queues)?.max(1), netkit })
    }

    fn mtu_of_file(&self) -> Result<Option<u32>, Error> {
        let path = PathBuf::from("/var/lib/calico/mtu");
        match std::fs::read_to_string(&path) {
            Ok(text) => text.trim().parse().map(Some).map_err(|error| {
                let reason = format!("{:?}: {error}", text.trim());
                Error::MtuFile { path, reason }
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !self.require_mtu_file => Ok(None),
            Err(error) => Err(Error::MtuFile { path, reason: error.to_string() }),
        }
    }
}

/// A number that the kernel takes as 32 bits; negative ones count as not set.
fn count(key: &str, number: i64) -> Result<u32, Error> {
    u32::try_from(number.max(0)).map_err(|_| Error::Config(format!("{key}: {number} is too large")))
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

    /// Whether our own plugin's work is done in the process that needs it.
    pub fn in_process(&self) -> bool {
        self.plugin == IpamConf::OWN_PLUGIN && !self.exec
    }

    /// The pools that are named by CIDR: those that an embedded store creates.
    pub fn pool_cidrs(&self) -> Result<Vec<IpNetwork>, Error> {
        let mut cidrs = Vec::new();
        for version in IpVersion::BOTH {
            for text in self.pools(version) {
                cidrs.extend(parse_pool(text, version)?);
            }
        }
        Ok(cidrs)
    }
}

/// A pool as it is named in the configuration: its masked CIDR, or `None` for what can only be a pool's name.
pub fn parse_pool(text: &str, version: IpVersion) -> Result<Option<IpNetwork>, Error> {
    if !text.contains('/') {
        return match text.parse::<std::net::IpAddr>() {
            Ok(_) => Err(Error::Pool {
                text: text.to_owned(),
                reason: "an address is no pool: add its prefix length".to_owned(),
            }),
            Err(_) => Ok(None),
        };
    }
    let parsed = text.parse::<IpNetwork>();
    let cidr = parsed.map_err(|error| Error::Pool { text: text.to_owned(), reason: error.to_string() })?;
    if cidr::version(&cidr) != version {
        let reason = format!("\"{}\" isn't a IPv{version} address", cidr.ip());
        return Err(Error::Pool { text: text.to_owned(), reason });
    }
    Ok(Some(cidr::masked(&cidr)))
}

impl NetConf {
    /// Whether pods' labels and profiles come from Kubernetes, and with them what pods ask for.
    pub fn has_kubernetes_policy(&self) -> bool {
        self.policy_type == "k8s"
    }

    /// Reads the configuration of a request, which this process's environment completes.
    pub fn parse(request: &Request) -> Result<NetConf, Error> {
        NetConf::read(request, &Variables::of_process())
    }

    /// Reads the configuration of a request, which an environment completes.
    pub fn read(request: &Request, variables: &Variables) -> Result<NetConf, Error> {
        let fields = Fields::of(&request.config, "").map_err(wrong)?;
        unused::check(&fields)?;
        let ipam = fields.object("ipam").map_err(wrong)?;
        let timeout = match fields.integer("timeout_seconds").map_err(wrong)? {
            Some(seconds) if seconds > 0 => Duration::from_secs(seconds.unsigned_abs()),
            _ => DEFAULT_TIMEOUT,
        };
        // An error in it is the last to be told, as upstream connects after it has read everything.
        let datastore = DatastoreConf::read(&fields, variables);
        let policy = fields.object("policy").map_err(wrong)?;
        let container = fields.object("container_settings").map_err(wrong)?;
        let flag = |key| Ok::<bool, Error>(fields.boolean(key).map_err(wrong)?.unwrap_or(false));
        let text = |key| Ok::<Option<String>, Error>(fields.nonempty(key).map_err(wrong)?.map(str::to_owned));
        Ok(NetConf {
            network: request.network.clone(),
            node: NodeConf {
                name: text("nodename")?,
                file: text("nodename_file")?.unwrap_or_else(|| "/var/lib/calico/nodename".to_owned()).into(),
                file_optional: flag("nodename_file_optional")? || matches!(datastore, Ok(DatastoreConf::Local(_))),
                hostname: text("hostname")?,
            },
            cluster: ClusterConf::read(&fields, variables)?,
            ipam: ipam_conf(ipam.as_ref())?,
            add: AddConf::read(&fields)?,
            mesos: Mesos::read(&fields)?,
            link: LinkConf {
                mtu: fields.integer("mtu").map_err(wrong)?.unwrap_or(0),
                require_mtu_file: flag("require_mtu_file")?,
                queues: fields.integer("num_queues").map_err(wrong)?.unwrap_or(0),
                device_type: fields.string("device_type").map_err(wrong)?.unwrap_or_default().to_owned(),
            },
            allow_ip_forwarding: match container {
                Some(container) => container.boolean("allow_ip_forwarding").map_err(wrong)?.unwrap_or(false),
                None => false,
            },
            include_default_routes: flag("include_default_routes")?,
            policy_type: match policy {
                Some(policy) => policy.string("type").map_err(wrong)?.unwrap_or_default().to_owned(),
                None => String::new(),
            },
            lock_file: text("ipam_lock_file")?.unwrap_or_else(|| "/var/run/calico/ipam.lock".to_owned()).into(),
            timeout,
            log_level: Level::parse(fields.string("log_level").map_err(wrong)?.unwrap_or_default()),
            log_file: log_file(&fields)?,
            datastore: datastore?,
        })
    }
}

/// A key's value is of a wrong type.
pub(crate) fn wrong(error: FieldError) -> Error {
    Error::Config(error.to_string())
}

fn log_file(fields: &Fields<'_>) -> Result<Option<FileConf>, Error> {
    let number = |key| Ok::<i64, Error>(fields.integer(key).map_err(wrong)?.unwrap_or(0));
    let (megabytes, days) = (number("log_file_max_size")?, number("log_file_max_age")?);
    let limits = Limits::configured(megabytes, days, number("log_file_max_count")?);
    let path = fields.nonempty("log_file_path").map_err(wrong)?;
    Ok(path.map(|path| FileConf { path: path.into(), limits }))
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
        NetConf::read(&request, &Variables::default())
    }

    #[test]
    fn the_smallest_configuration() {
        let conf = parse(json!({"datastore_type": "local", "ipam": {"type": "calico-ipam"}})).unwrap();
        assert!(
            matches!(&conf.datastore, DatastoreConf::Local(file) if *file == *calico_datastore::local::DEFAULT_PATH)
        );
        assert_eq!(conf.link.settings().unwrap(), LinkSettings { mtu: None, queues: 1, netkit: false });
        assert_eq!(conf.timeout, Duration::from_secs(30));
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
        let error = parse(json!({"log_level": 1})).unwrap_err().to_string();
        assert_eq!(error, "failed to load netconf: log_level: expected a string, found the number 1");
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
        assert!(conf.allow_ip_forwarding && conf.node.name.is_none());
    }

    #[test]
    fn only_the_embedded_store_does_without_the_node_agents_file() {
        let optional = |config: Value| parse(config).unwrap().node.file_optional;
        assert!(optional(json!({"datastore_type": "local"})));
        assert!(!optional(json!({"etcd_endpoints": "http://127.0.0.1:2379"})));
        assert!(optional(json!({"etcd_endpoints": "http://127.0.0.1:2379", "nodename_file_optional": true})));
    }

    #[test]
    fn what_only_an_add_needs_is_checked_by_an_add() {
        let settings = |key: &str, value: Value| {
            let conf = parse(json!({"datastore_type": "local", key: value})).unwrap();
            conf.link.settings().map_err(|error| error.to_string())
        };
        assert_eq!(
            settings("device_type", json!("tap")).unwrap_err(),
            "unknown device_type \"tap\" in CNI config (supported: \"veth\", \"netkit\")"
        );
        assert!(settings("mtu", json!(1_u64 << 40)).unwrap_err().contains("too large"));
        assert_eq!(settings("mtu", json!(1400)).unwrap(), LinkSettings { mtu: Some(1400), queues: 1, netkit: false });
        assert_eq!(settings("num_queues", json!(-3)).unwrap().queues, 1);
    }

    #[test]
    fn pools_by_cidr_have_a_prefix_and_the_right_family() {
        let parse = |text: &str| parse_pool(text, IpVersion::V4).map_err(|error| error.to_string());
        assert_eq!(parse("10.9.3.0/16").unwrap(), Some("10.9.0.0/16".parse().unwrap()));
        assert_eq!(parse("blue").unwrap(), None);
        assert!(parse("10.65.0.0").unwrap_err().starts_with("error parsing pool \"10.65.0.0\": "));
        assert!(parse("10.65.0.0/33").is_err());
        assert_eq!(
            parse("fd00::/64").unwrap_err(),
            "error parsing pool \"fd00::/64\": \"fd00::\" isn't a IPv4 address"
        );
    }

    #[test]
    fn the_log_file_has_limits_of_the_right_type() {
        let file = |key: &str, value: Value| {
            let conf =
                parse(json!({"datastore_type": "local", "log_file_path": "/var/log/calico/cni/cni.log", key: value}));
            conf.map(|conf| conf.log_file.unwrap()).map_err(|error| error.to_string())
        };
        assert_eq!(file("log_file_max_size", json!(0)).unwrap().limits, Limits::configured(0, 0, 0));
        assert_eq!(file("log_file_max_size", json!(5)).unwrap().limits, Limits::configured(5, 0, 0));
        assert_eq!(file("log_file_max_age", json!(5)).unwrap().limits, Limits::configured(0, 5, 0));
        assert_eq!(file("LOG_FILE_MAX_COUNT", json!(5)).unwrap().limits, Limits::configured(0, 0, 5));
        for key in ["log_file_max_size", "log_file_max_age", "log_file_max_count"] {
            let expected = format!("failed to load netconf: {key}: expected an integer, found a string");
            assert_eq!(file(key, json!("5")).unwrap_err(), expected);
        }
        let conf = parse(json!({"datastore_type": "local", "log_file_path": "", "log_file_max_size": 5})).unwrap();
        assert!(conf.log_file.is_none());
    }

    #[test]
    fn a_timeout_that_is_none_is_the_default() {
        let timeout =
            |seconds: i64| parse(json!({"datastore_type": "local", "timeout_seconds": seconds})).unwrap().timeout;
        assert_eq!(timeout(-1), DEFAULT_TIMEOUT);
        assert_eq!(timeout(5), Duration::from_secs(5));
        assert_eq!(timeout(i64::MAX), Duration::from_secs(i64::MAX as u64));
    }
}
