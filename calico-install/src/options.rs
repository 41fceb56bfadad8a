//! What the environment asks for. Variables that are empty count as not set, but for `HEALTH_ADDRESS`.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::Error;
use crate::pools::Pools;

/// What becomes of the kubeconfig.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manage {
    /// It is written, its token renewed, and put back if it is changed.
    Always,
    /// It is written only where there is none that is good: somebody else renews it.
    Missing,
    /// It is not touched.
    Never,
}

/// How the plugins reach the API server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// `https`, but for tests.
    pub protocol: String,
    /// A name or an address.
    pub host: String,
    /// A port.
    pub port: String,
}

impl Server {
    /// Its URL.
    pub fn url(&self) -> String {
        match self.host.contains(':') {
            true => format!("{}://[{}]:{}", self.protocol, self.host, self.port),
            false => format!("{}://{}:{}", self.protocol, self.host, self.port),
        }
    }
}

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where the host has its CNI configurations: for paths in what is written.
    pub net_dir: String,
    /// The name of the CNI configuration.
    pub conf_name: String,
    /// Its earlier name.
    pub old_conf_name: String,
    /// The CNI configuration, instead of the built-in one.
    pub network_config: Option<String>,
    /// The file with the CNI configuration, instead of both.
    pub network_config_file: Option<PathBuf>,
    /// The permissions of the CNI configuration.
    pub permissions: u32,
    /// Whether the CNI configuration, and what belongs to it, is managed at all.
    pub manage_cni_config: bool,
    /// The folder of the certificates for etcd, in the container.
    pub tls_assets: String,
    /// Plugins other than our own that are not installed.
    pub skip_binaries: BTreeSet<String>,
    /// Whether plugins other than our own are updated.
    pub update_binaries: bool,
    /// Whether to stay.
    pub sleep: bool,
    /// What becomes of the kubeconfig.
    pub manage_kubeconfig: Manage,
    /// The API server; `None` where the environment does not name it.
    pub server: Option<Server>,
    /// Whether the plugins accept any certificate of the API server.
    pub skip_tls_verify: bool,
    /// The kubeconfig files by which the installer itself reaches the API, instead of its service account.
    pub own_kubeconfig: Vec<PathBuf>,
    /// The service account of the plugins.
    pub account: String,
    /// How often the token is renewed, instead of what follows from its life.
    pub refresh_interval: Option<Duration>,
    /// The pools that are made where there is none, and all else that a node agent would make.
    pub standalone: Option<Pools>,
    /// Where health and measurements can be asked for.
    pub health_address: Option<SocketAddr>,
    /// Where Calico's objects are.
    pub datastore_type: String,
    /// The API group of Calico's custom resources.
    pub api_group: String,
    /// This node.
    pub node_name: String,
    /// Further values of the template, by their placeholders.
    pub values: Vec<(&'static str, String)>,
}

/// The environment.
struct Variables<'a>(&'a dyn Fn(&str) -> Option<String>);

impl Variables<'_> {
    fn set(&self, name: &str) -> Option<String> {
        (self.0)(name).filter(|value| !value.is_empty())
    }

    fn or(&self, name: &str, default: &str) -> String {
        self.set(name).unwrap_or_else(|| default.to_owned())
    }

    /// A truth, in the spellings that Go knows.
    fn flag(&self, name: &str, default: bool) -> Result<bool, Error> {
        match self.set(name).as_deref() {
            None => Ok(default),
            Some("1" | "t" | "T" | "true" | "TRUE" | "True") => Ok(true),
            Some("0" | "f" | "F" | "false" | "FALSE" | "False") => Ok(false),
            Some(other) => Err(wrong(name, other, "true or false")),
        }
    }

    /// The name of a file, without any path.
    fn file_name(&self, name: &str, default: &str) -> Result<String, Error> {
        let value = self.or(name, default);
        let is_name = Path::new(&value).file_name().is_some_and(|file| *file == *value);
        if is_name { Ok(value) } else { Err(wrong(name, &value, "the name of a file, without a path")) }
    }
}

fn wrong(name: &str, value: &str, wanted: &str) -> Error {
    Error::Config(format!("{name}={value:?} is wrong: set it to {wanted}"))
}

impl Options {
    /// Reads the environment of this process.
    pub fn of_process() -> Result<Options, Error> {
        Options::read(&|name| std::env::var(name).ok())
    }

    fn read(variable: &dyn Fn(&str) -> Option<String>) -> Result<Options, Error> {
        let variables = Variables(variable);
        let own_name = || nix::unistd::gethostname().ok()?.into_string().ok();
        let node_name =
            variables.set("KUBERNETES_NODE_NAME").or_else(|| Some(own_name()?.to_lowercase())).unwrap_or_default();
        let datastore_type = variables.or("DATASTORE_TYPE", "kubernetes");
        let api_group = variables.or("CALICO_API_GROUP", "crd.projectcalico.org/v1");
        let server = |host, port| Server { protocol: variables.or("KUBERNETES_SERVICE_PROTOCOL", "https"), host, port };
        let mut values: Vec<(&'static str, String)> = TEMPLATE_VARIABLES
            .into_iter()
            .map(|(placeholder, name, default)| (placeholder, variables.or(name, default)))
            .collect();
        values.push(("__DATASTORE_TYPE__", datastore_type.clone()));
        values.push(("__KUBERNETES_NODE_NAME__", node_name.clone()));
        values.push(("__CALICO_API_GROUP__", api_group.clone()));
        Ok(Options {
            net_dir: variables.or("CNI_NET_DIR", "/etc/cni/net.d"),
            conf_name: variables.file_name("CNI_CONF_NAME", "10-calico.conflist")?,
            old_conf_name: variables.file_name("CNI_OLD_CONF_NAME", "10-calico.conflist")?,
            network_config: variables.set("CNI_NETWORK_CONFIG"),
            network_config_file: variables.set("CNI_NETWORK_CONFIG_FILE").map(PathBuf::from),
            permissions: permissions(&variables)?,
            manage_cni_config: variables.flag("MANAGE_CNI_CONFIG", true)?,
            tls_assets: variables.or("TLS_ASSETS_DIR", "/calico-secrets"),
            skip_binaries: variables
                .or("SKIP_CNI_BINARIES", "")
                .split(',')
                .map(|name| name.trim().to_owned())
                .collect(),
            update_binaries: variables.flag("UPDATE_CNI_BINARIES", true)?,
            sleep: variables.flag("SLEEP", true)?,
            manage_kubeconfig: manage(&variables)?,
            server: variables
                .set("KUBERNETES_SERVICE_HOST")
                .and_then(|host| Some(server(host, variables.set("KUBERNETES_SERVICE_PORT")?))),
            skip_tls_verify: variables.flag("SKIP_TLS_VERIFY", false)?,
            own_kubeconfig: variables
                .or("KUBECONFIG", "")
                .split(':')
                .filter(|p| !p.is_empty())
                .map(PathBuf::from)
                .collect(),
            account: variables.or("CALICO_CNI_SERVICE_ACCOUNT", "calico-cni-plugin"),
            refresh_interval: refresh_interval(&variables)?,
            standalone: match variables.flag("STANDALONE", false)? {
                true => Some(Pools::read(variable)?),
                false => None,
            },
            health_address: health_address(variable)?,
            datastore_type,
            api_group,
            node_name,
            values,
        })
    }

    /// Those of some variables, for tests.
    #[cfg(test)]
    pub fn of(variables: &[(&str, &str)]) -> Options {
        Options::try_of(variables).unwrap()
    }

    #[cfg(test)]
    pub fn try_of(variables: &[(&str, &str)]) -> Result<Options, Error> {
        let value =
            |name: &str| variables.iter().find(|(other, _)| *other == name).map(|(_, value)| (*value).to_owned());
        Options::read(&value)
    }
}

/// Placeholders of the template whose values are variables and nothing more, and the defaults.
const TEMPLATE_VARIABLES: [(&str, &str, &str); 11] = [
    ("__LOG_LEVEL__", "LOG_LEVEL", "info"),
    ("__LOG_FILE_PATH__", "LOG_FILE_PATH", "/var/log/calico/cni/cni.log"),
    ("__LOG_FILE_MAX_SIZE__", "LOG_FILE_MAX_SIZE", "100"),
    ("__LOG_FILE_MAX_AGE__", "LOG_FILE_MAX_AGE", "30"),
    ("__LOG_FILE_MAX_COUNT__", "LOG_FILE_MAX_COUNT", "10"),
    ("__CNI_MTU__", "CNI_MTU", "1500"),
    ("__KUBERNETES_SERVICE_HOST__", "KUBERNETES_SERVICE_HOST", ""),
    ("__KUBERNETES_SERVICE_PORT__", "KUBERNETES_SERVICE_PORT", ""),
    ("__ETCD_ENDPOINTS__", "ETCD_ENDPOINTS", ""),
    ("__ETCD_DISCOVERY_SRV__", "ETCD_DISCOVERY_SRV", ""),
    ("__REQUIRE_MTU_FILE__", "REQUIRE_MTU_FILE", "false"),
];

fn permissions(variables: &Variables<'_>) -> Result<u32, Error> {
    const NAME: &str = "TEST_FILE_PERMISSION";
    let value = variables.or(NAME, "0600");
    let mode = u32::from_str_radix(value.trim_start_matches("0o"), 8).ok().filter(|mode| *mode <= 0o777);
    mode.ok_or_else(|| wrong(NAME, &value, "permissions in octal, such as 0644"))
}

fn manage(variables: &Variables<'_>) -> Result<Manage, Error> {
    match variables.set("MANAGE_KUBECONFIG").as_deref() {
        None | Some("true") => Ok(Manage::Always),
        Some("missing") => Ok(Manage::Missing),
        Some("false") => Ok(Manage::Never),
        Some(other) => Err(wrong("MANAGE_KUBECONFIG", other, "true, missing or false")),
    }
}

fn health_address(variable: &dyn Fn(&str) -> Option<String>) -> Result<Option<SocketAddr>, Error> {
    const NAME: &str = "HEALTH_ADDRESS";
    match variable(NAME).as_deref() {
        None => Ok(Some(SocketAddr::from(([127, 0, 0, 1], 9197)))),
        Some("") => Ok(None),
        Some(text) => match text.parse() {
            Ok(address) => Ok(Some(address)),
            Err(_) => {
                Err(wrong(NAME, text, "an address and a port, such as 127.0.0.1:9197 or [::1]:9197, or leave it empty"))
            }
        },
    }
}

fn refresh_interval(variables: &Variables<'_>) -> Result<Option<Duration>, Error> {
    const NAME: &str = "CNI_TOKEN_REFRESH_INTERVAL";
    let Some(value) = variables.set(NAME) else { return Ok(None) };
    match duration(&value).filter(|time| !time.is_zero()) {
        Some(time) => Ok(Some(time)),
        None => Err(wrong(NAME, &value, "a time such as 90s, 15m or 1h30m, or a number of seconds")),
    }
}

/// A time as Go writes it, in hours, minutes and seconds; or whole seconds.
fn duration(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|character: char| !character.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        let end =
            rest[digits..].find(|character: char| character.is_ascii_digit()).map_or(rest.len(), |at| at + digits);
        let part = match &rest[digits..end] {
            "h" => Duration::from_secs(number.checked_mul(3600)?),
            "m" => Duration::from_secs(number.checked_mul(60)?),
            "s" => Duration::from_secs(number),
            "ms" => Duration::from_millis(number),
            _ => return None,
        };
        total = total.checked_add(part)?;
        rest = &rest[end..];
    }
    (!text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_those_of_the_established_implementation() {
        let options = Options::of(&[]);
        assert_eq!(options.net_dir, "/etc/cni/net.d");
        assert_eq!(
            (options.conf_name.as_str(), options.old_conf_name.as_str()),
            ("10-calico.conflist", "10-calico.conflist")
        );
        assert_eq!((options.permissions, options.tls_assets.as_str()), (0o600, "/calico-secrets"));
        assert!(options.update_binaries && options.sleep && options.manage_cni_config && !options.skip_tls_verify);
        assert_eq!((options.server, options.account.as_str()), (None, "calico-cni-plugin"));
        assert_eq!(options.manage_kubeconfig, Manage::Always);
        assert!(options.standalone.is_none() && options.refresh_interval.is_none());
        assert_eq!(options.health_address.unwrap().to_string(), "127.0.0.1:9197");
        let own = nix::unistd::gethostname().unwrap().into_string().unwrap().to_lowercase();
        assert_eq!(options.node_name, own);
        let value = |name| options.values.iter().find(|(other, _)| *other == name).unwrap().1.as_str();
        assert_eq!((value("__CNI_MTU__"), value("__LOG_FILE_MAX_AGE__")), ("1500", "30"));
        assert_eq!(value("__CALICO_API_GROUP__"), "crd.projectcalico.org/v1");
    }

    #[test]
    fn values_are_read() {
        let options = Options::of(&[
            ("KUBERNETES_SERVICE_HOST", "fd00::1"),
            ("KUBERNETES_SERVICE_PORT", "443"),
            ("TEST_FILE_PERMISSION", "644"),
            ("HEALTH_ADDRESS", ""),
            ("CNI_TOKEN_REFRESH_INTERVAL", "1h30m5s"),
            ("MANAGE_KUBECONFIG", "missing"),
            ("KUBECONFIG", "/a:/b"),
            ("SLEEP", "False"),
            ("CNI_MTU", ""),
        ]);
        assert_eq!(options.server.unwrap().url(), "https://[fd00::1]:443");
        assert_eq!((options.permissions, options.health_address, options.sleep), (0o644, None, false));
        assert_eq!(options.refresh_interval, Some(Duration::from_secs(5405)));
        assert_eq!((options.manage_kubeconfig, options.own_kubeconfig.len()), (Manage::Missing, 2));
        assert_eq!(duration("90"), Some(Duration::from_secs(90)));
        let server = Server { protocol: "http".into(), host: "api.example".into(), port: "80".into() };
        assert_eq!(server.url(), "http://api.example:80");
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (name, value) in [
            ("SLEEP", "yes"),
            ("MANAGE_KUBECONFIG", "no"),
            ("MANAGE_CNI_CONFIG", "missing"),
            ("TEST_FILE_PERMISSION", "0999"),
            ("TEST_FILE_PERMISSION", "1777"),
            ("CNI_CONF_NAME", "../10-calico.conflist"),
            ("CNI_CONF_NAME", "10-calico.conflist/"),
            ("CNI_OLD_CONF_NAME", ".."),
            ("HEALTH_ADDRESS", "9197"),
            ("CNI_TOKEN_REFRESH_INTERVAL", "soon"),
            ("CNI_TOKEN_REFRESH_INTERVAL", "0s"),
        ] {
            let error = Options::try_of(&[(name, value)]).unwrap_err();
            assert_eq!(error.exit_code(true), Some(2));
            assert!(error.to_string().starts_with(&format!("{name}={value:?} is wrong: set it to ")), "{error}");
        }
    }
}
