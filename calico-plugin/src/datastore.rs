//! Which datastore a call uses: what the network configuration and the environment say together.

use std::path::PathBuf;

use calico_datastore::etcd::{self, Etcd, Members};
use calico_datastore::kubernetes::{self, Kubernetes};
use calico_datastore::local::{self, Local};
use calico_datastore::{Deadline, Store};
use calico_model::kubernetes::Group;
use cni_spec::Fields;

use crate::config::{kubeconfig_files, wrong};
use crate::error::Error;
use crate::variables::{Variable, Variables};

/// What to do where no etcd server is known.
const NO_ENDPOINTS: &str = "set etcd_endpoints in the network configuration, or ETCD_ENDPOINTS: URLs such as https://10.0.0.1:2379, separated by commas (CALICO_ETCD_ENDPOINTS, even if empty, overrides both); or etcd_discovery_srv, a domain with SRV records of the servers";

/// Which datastore.
#[derive(Debug, Clone)]
pub enum DatastoreConf {
    /// The embedded store in this file.
    Local(PathBuf),
    /// etcd.
    Etcd(etcd::Settings),
    /// The Kubernetes API, with the API group of the custom resources where that is configured.
    Kubernetes(kubernetes::Settings, Option<Group>),
}

/// What says how to reach etcd.
struct Sources<'a> {
    fields: &'a Fields<'a>,
    variables: &'a Variables,
}

impl DatastoreConf {
    /// What the environment alone says: for tools that have no network configuration.
    ///
    /// # Errors
    /// It contradicts itself.
    pub fn of_environment(variables: &Variables) -> Result<DatastoreConf, Error> {
        DatastoreConf::read(&Fields::of(&serde_json::json!({}), "").map_err(wrong)?, variables)
    }

    /// The Kubernetes API, whatever datastore the environment names, as the rest of the environment says: in a pod, by its
    /// service account.
    ///
    /// # Errors
    /// A variable is no text.
    pub fn kubernetes_of_environment(variables: &Variables) -> Result<(kubernetes::Settings, Option<Group>), Error> {
        let nothing = serde_json::json!({});
        let fields = Fields::of(&nothing, "").map_err(wrong)?;
        let sources = Sources { fields: &fields, variables };
        Ok((sources.kubernetes()?, sources.group()?))
    }

    /// Reads what the configuration and the environment say. Without a type, etcd endpoints make it etcd, and their
    /// absence Kubernetes, as upstream decides.
    pub(crate) fn read(fields: &Fields<'_>, variables: &Variables) -> Result<DatastoreConf, Error> {
        let configured = fields.nonempty("datastore_type").map_err(wrong)?;
        if configured.is_none() && fields.get("plugins").is_some() {
            let text = "this is a list of plugins, as runtimes read it: give a plugin one entry of \"plugins\", with the list's name and cniVersion";
            return Err(Error::Unsupported(text.to_owned()));
        }
        let sources = Sources { fields, variables };
        match variables.over(Variable::DatastoreType, configured)?.as_str() {
            "local" => {
                let file =
                    sources.set(Variable::LocalStoreFile, fields.nonempty("local_store_file").map_err(wrong)?)?;
                Ok(DatastoreConf::Local(file.unwrap_or_else(|| local::DEFAULT_PATH.to_owned()).into()))
            }
            "etcdv3" => sources.etcd().map(DatastoreConf::Etcd),
            "" if !sources.endpoints()?.is_empty() => sources.etcd().map(DatastoreConf::Etcd),
            "" | "kubernetes" => Ok(DatastoreConf::Kubernetes(sources.kubernetes()?, sources.group()?)),
            other => Err(Error::Client {
                reason: format!("unknown datastore type: {other}"),
                advice: "datastore_type may be \"kubernetes\", \"etcdv3\" or \"local\"",
            }),
        }
    }
}

impl DatastoreConf {
    /// Opens it.
    pub async fn open(&self, deadline: Deadline) -> Result<Store, Error> {
        let opened = match self {
            DatastoreConf::Local(path) => {
                let what = || (path.display().to_string(), "open it".to_owned());
                let opened = deadline.within(what, Local::open(path)).await;
                opened.map(Store::Local)
            }
            DatastoreConf::Etcd(settings) => Etcd::open(settings, deadline).await.map(Store::Etcd),
            DatastoreConf::Kubernetes(settings, group) => {
                Kubernetes::open(settings, *group, deadline).await.map(Store::Kubernetes)
            }
        };
        opened.map_err(Error::Datastore)
    }
}

impl Sources<'_> {
    fn text(&self, key: &str, variable: Variable) -> Result<String, Error> {
        self.variables.over(variable, self.fields.nonempty(key).map_err(wrong)?)
    }

    fn endpoints(&self) -> Result<String, Error> {
        self.text("etcd_endpoints", Variable::EtcdEndpoints)
    }

    fn file(&self, key: &str, variable: Variable) -> Result<Option<PathBuf>, Error> {
        Ok(Some(self.text(key, variable)?).filter(|path| !path.is_empty()).map(PathBuf::from))
    }

    fn members(&self) -> Result<Members, Error> {
        let listed = self.endpoints()?;
        let domain = self.text("etcd_discovery_srv", Variable::EtcdDiscoverySrv)?;
        if domain.is_empty() {
            let texts = listed.split(',').map(str::trim).filter(|text| !text.is_empty());
            let urls = texts.map(endpoint).collect::<Result<Vec<_>, _>>()?;
            return match urls.is_empty() {
                true => Err(refused("no etcd endpoints specified", NO_ENDPOINTS)),
                false => Ok(Members::Listed(urls)),
            };
        }
        match listed.is_empty() {
            true => Ok(Members::OfDomain(domain)),
            false => {
                let text = "multiple discovery or bootstrap options specified";
                Err(refused(text, "keep either etcd_endpoints or etcd_discovery_srv"))
            }
        }
    }

    /// A setting that an empty text leaves unset.
    fn set(&self, variable: Variable, configured: Option<&str>) -> Result<Option<String>, Error> {
        Ok(Some(self.variables.over(variable, configured)?).filter(|text| !text.is_empty()))
    }

    fn kubernetes(&self) -> Result<kubernetes::Settings, Error> {
        let section = self.fields.object("kubernetes").map_err(wrong)?;
        let configured = |key| match &section {
            Some(section) => section.nonempty(key).map_err(wrong),
            None => Ok(None),
        };
        let file = |variable| Ok::<Option<PathBuf>, Error>(self.set(variable, None)?.map(PathBuf::from));
        let insecure = self.set(Variable::K8sInsecureSkipTlsVerify, None)?.unwrap_or_default();
        Ok(kubernetes::Settings {
            kubeconfig: kubeconfig_files(&self.variables.over(Variable::Kubeconfig, configured("kubeconfig")?)?),
            context: self.set(Variable::K8sCurrentContext, None)?,
            server: self.set(Variable::K8sApiEndpoint, configured("k8s_api_root")?)?,
            token: self.set(Variable::K8sApiToken, None)?,
            ca_file: file(Variable::K8sCaFile)?,
            cert_file: file(Variable::K8sCertFile)?,
            key_file: file(Variable::K8sKeyFile)?,
            insecure: matches!(insecure.to_ascii_lowercase().as_str(), "1" | "t" | "true"),
        })
    }

    /// The API group of the custom resources; without one, what the server has decides.
    fn group(&self) -> Result<Option<Group>, Error> {
        let configured = self.fields.nonempty("calico_api_group").map_err(wrong)?;
        Ok(Group::parse(&self.variables.over(Variable::CalicoApiGroup, configured)?))
    }

    fn etcd(&self) -> Result<etcd::Settings, Error> {
        let members = self.members()?;
        // There are no keys for these two: they would be readable by all who may read the configuration.
        let name = self.variables.over(Variable::EtcdUsername, None)?;
        let password = self.variables.over(Variable::EtcdPassword, None)?;
        let settings = etcd::Settings {
            user: (!name.is_empty() && !password.is_empty()).then_some((name, password)),
            ca_file: self.file("etcd_ca_cert_file", Variable::EtcdCaCertFile)?,
            cert_file: self.file("etcd_cert_file", Variable::EtcdCertFile)?,
            key_file: self.file("etcd_key_file", Variable::EtcdKeyFile)?,
            members,
        };
        let may_encrypt = match &settings.members {
            Members::Listed(urls) => urls.iter().any(|url| url.starts_with("https:")),
            Members::OfDomain(_) => true,
        };
        if may_encrypt && settings.cert_file.is_some() != settings.key_file.is_some() {
            let text =
                |file: &Option<PathBuf>| file.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
            let (key, cert) = (text(&settings.key_file), text(&settings.cert_file));
            let reason = format!("KeyFile and CertFile must both be present[key: {key}, cert: {cert}]");
            return Err(refused(&reason, "set both etcd_cert_file and etcd_key_file, or neither"));
        }
        Ok(settings)
    }
}

fn refused(reason: &str, advice: &'static str) -> Error {
    Error::Client { reason: reason.to_owned(), advice }
}

/// One endpoint as a URL of scheme, host and port. Without a scheme it is reached by HTTPS, as upstream does: a password
/// must not go over the wire readable because of a forgotten scheme.
fn endpoint(text: &str) -> Result<String, Error> {
    let advice = "etcd_endpoints are URLs such as https://10.0.0.1:2379, separated by commas (CALICO_ETCD_ENDPOINTS, even if empty, overrides both)";
    if text.contains('@') {
        // Not shown: there may be a password in it.
        let reason = "an etcd endpoint has an '@' in it".to_owned();
        return Err(Error::Client { reason, advice: "give user and password by ETCD_USERNAME and ETCD_PASSWORD" });
    }
    let (scheme, rest) = text.split_once("://").unwrap_or(("https", text));
    let scheme = scheme.to_ascii_lowercase();
    if scheme != "http" && scheme != "https" {
        let reason = format!("the etcd endpoint {text:?} has the scheme {scheme:?}, which is neither http nor https");
        return Err(Error::Client { reason, advice });
    }
    // What follows the host is nothing to etcd's protocol.
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if host.is_empty() || host.starts_with(':') {
        return Err(Error::Client { reason: format!("the etcd endpoint {text:?} has no host"), advice });
    }
    let port = host.rsplit_once(':').map(|(_, port)| port).filter(|port| !port.contains(']'));
    if port.is_some_and(|port| port.parse::<u16>().is_err()) {
        return Err(Error::Client { reason: format!("the etcd endpoint {text:?} has no usable port"), advice });
    }
    Ok(format!("{scheme}://{host}"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read<const N: usize>(config: &Value, variables: [(&str, &str); N]) -> Result<DatastoreConf, Error> {
        DatastoreConf::read(&Fields::of(config, "").unwrap(), &Variables::from(variables))
    }

    #[track_caller]
    fn etcd<const N: usize>(config: Value, variables: [(&str, &str); N]) -> etcd::Settings {
        match read(&config, variables).unwrap() {
            DatastoreConf::Etcd(settings) => settings,
            other => panic!("{other:?}"),
        }
    }

    fn urls(settings: &etcd::Settings) -> Vec<String> {
        match &settings.members {
            Members::Listed(urls) => urls.clone(),
            Members::OfDomain(domain) => panic!("they are to be found by {domain}"),
        }
    }

    fn error<const N: usize>(config: Value, variables: [(&str, &str); N]) -> String {
        read(&config, variables).unwrap_err().to_string()
    }

    #[test]
    fn the_type_is_named_or_follows_from_the_endpoints() {
        let store = |config: Value, variables: [(&str, &str); 1]| match read(&config, variables) {
            Ok(DatastoreConf::Local(file)) => file.display().to_string(),
            Ok(DatastoreConf::Etcd(settings)) => urls(&settings).join(" "),
            Ok(DatastoreConf::Kubernetes(..)) => "Kubernetes".to_owned(),
            Err(error) => error.to_string(),
        };
        let unset = ("HOME", "/");
        let is = |found: String, words: &str| assert!(found.contains(words), "{found:?} has no {words:?}");
        let local = json!({"datastore_type": "local", "etcd_endpoints": "http://a:1"});
        is(store(local.clone(), [unset]), "/var/lib/calico/calico.db");
        is(store(local.clone(), [("DATASTORE_TYPE", "etcdv3")]), "/var/lib/calico/calico.db");
        is(store(local, [("CALICO_DATASTORE_TYPE", "etcdv3")]), "http://a:1");
        is(store(json!({}), [("DATASTORE_TYPE", "local")]), "/var/lib/calico/calico.db");
        is(store(json!({"datastore_type": "local", "local_store_file": "/x"}), [unset]), "/x");
        is(store(json!({"etcd_endpoints": "http://a:1"}), [unset]), "http://a:1");
        is(store(json!({"datastore_type": ""}), [("ETCD_ENDPOINTS", "http://a:1")]), "http://a:1");
        is(store(json!({"datastore_type": null}), [("CALICO_ETCD_ENDPOINTS", "http://a:1")]), "http://a:1");
        is(store(json!({"etcd_endpoints": "http://a:1"}), [("CALICO_ETCD_ENDPOINTS", "")]), "Kubernetes");
        is(store(json!({}), [unset]), "Kubernetes");
        is(store(json!({"datastore_type": "kubernetes"}), [unset]), "Kubernetes");
        is(store(json!({"datastore_type": "mongodb"}), [unset]), "client: unknown datastore type: mongodb");
        is(store(json!({"datastore_type": "ETCDv3"}), [unset]), "unknown datastore type: ETCDv3");
        is(store(json!({"plugins": []}), [unset]), "this is a list of plugins");
        is(store(json!({"plugins": []}), [("ETCD_ENDPOINTS", "http://a:1")]), "this is a list of plugins");
        is(store(json!({"etcd_endpoints": 5}), [unset]), "failed to load netconf: etcd_endpoints: expected a string");
    }

    #[test]
    fn endpoints_are_a_list_of_urls() {
        for (text, expected) in [
            ("http://127.0.0.1:2379", vec!["http://127.0.0.1:2379"]),
            (" https://a:2379 , ,HTTPS://b:2379/,", vec!["https://a:2379", "https://b:2379"]),
            ("10.0.0.1:2379,[fd00::1]:2379", vec!["https://10.0.0.1:2379", "https://[fd00::1]:2379"]),
            ("http://a:2379/path?x#y", vec!["http://a:2379"]),
        ] {
            assert_eq!(urls(&etcd(json!({"etcd_endpoints": text}), [])), expected, "{text:?}");
        }
        for (text, words) in [
            ("", "no etcd endpoints specified"),
            (" ,", "no etcd endpoints specified"),
            ("http://a:1,unix:///run/etcd.sock", "the etcd endpoint \"unix:///run/etcd.sock\" has the scheme \"unix\""),
            ("https://", "the etcd endpoint \"https://\" has no host"),
            (":2379", "has no host"),
            ("http://a:99999", "the etcd endpoint \"http://a:99999\" has no usable port"),
            ("http://a:1;http://b:1", "has no usable port"),
            ("http://me:swordfish@a:2379", "an etcd endpoint has an '@' in it"),
            ("ftp://me:/swordfish@a:2379", "an etcd endpoint has an '@' in it"),
        ] {
            let error = error(json!({"datastore_type": "etcdv3", "etcd_endpoints": text}), []);
            let begins = error.starts_with("error creating calico client: ");
            assert!(begins && error.contains(words) && !error.contains("swordfish"), "{text:?}: {error}");
        }
    }

    #[test]
    fn one_way_to_find_the_servers() {
        let both = json!({"etcd_endpoints": "http://a:1", "etcd_discovery_srv": "example.org"});
        assert_eq!(error(both, []), "error creating calico client: multiple discovery or bootstrap options specified");
        assert!(error(json!({"etcd_endpoints": "http://a:1"}), [("ETCD_DISCOVERY_SRV", "x")]).contains("multiple"));
        let typed = json!({"datastore_type": "etcdv3", "etcd_discovery_srv": "example.org"});
        let found = |config: &Value, variables: [(&str, &str); 1]| etcd(config.clone(), variables).members;
        let of = |domain: &str| Members::OfDomain(domain.to_owned());
        assert_eq!(found(&typed, [("ETCD_DISCOVERY_SRV", "example.net")]), of("example.org"));
        assert_eq!(found(&typed, [("CALICO_ETCD_DISCOVERY_SRV", "example.net")]), of("example.net"));
        assert_eq!(
            found(&json!({"datastore_type": "etcdv3"}), [("ETCD_DISCOVERY_SRV", "example.org.")]),
            of("example.org.")
        );
        // A domain alone does not make it etcd, nor does an empty one.
        let alone = read(&json!({"etcd_discovery_srv": "example.org"}), []).unwrap();
        assert!(matches!(alone, DatastoreConf::Kubernetes(..)), "{alone:?}");
        let empty = [("CALICO_ETCD_DISCOVERY_SRV", "")];
        assert!(error(typed, empty).contains("no etcd endpoints specified"));
    }

    #[test]
    fn servers_still_to_be_found_may_be_encrypted() {
        let config = json!({"datastore_type": "etcdv3", "etcd_discovery_srv": "a", "etcd_cert_file": "/cert"});
        assert!(error(config, []).contains("KeyFile and CertFile must both be present[key: , cert: /cert]"));
    }

    #[test]
    fn user_and_password_come_from_the_environment_and_only_together() {
        let user = |variables: [(&str, &str); 2]| etcd(json!({"etcd_endpoints": "a:1"}), variables).user;
        let known = Some(("me".to_owned(), "swordfish".to_owned()));
        assert_eq!(user([("ETCD_USERNAME", "me"), ("ETCD_PASSWORD", "swordfish")]), known);
        assert_eq!(user([("CALICO_ETCD_USERNAME", "me"), ("ETCD_PASSWORD", "swordfish")]), known);
        assert_eq!(user([("ETCD_USERNAME", "me"), ("ETCD_PASSWORD", "")]), None);
        assert_eq!(user([("ETCD_USERNAME", ""), ("ETCD_PASSWORD", "swordfish")]), None);
    }

    #[test]
    fn files_of_encrypted_connections() {
        let config = json!({"etcd_endpoints": "https://a:1", "etcd_ca_cert_file": "/ca", "etcd_cert_file": "/cert"});
        let settings = etcd(config.clone(), [("ETCD_KEY_FILE", "/key"), ("ETCD_CERT_FILE", "/other")]);
        let files = [settings.ca_file, settings.cert_file, settings.key_file].map(|file| file.unwrap());
        assert_eq!(files, ["/ca", "/cert", "/key"].map(PathBuf::from));
        let text = "error creating calico client: KeyFile and CertFile must both be present[key: , cert: /cert]";
        assert_eq!(error(config.clone(), []), text);
        assert_eq!(error(config.clone(), [("CALICO_ETCD_KEY_FILE", "")]), text);
        let mut plain = config;
        plain["etcd_endpoints"] = json!("http://a:1");
        assert!(etcd(plain, []).key_file.is_none(), "nothing is encrypted, so nothing is missing");
        assert_eq!(
            etcd(json!({"etcd_endpoints": "https://a:1", "etcd_authority": "x", "etcd_scheme": "y"}), []).ca_file,
            None
        );
    }

    #[track_caller]
    fn kubernetes<const N: usize>(
        config: Value,
        variables: [(&str, &str); N],
    ) -> (kubernetes::Settings, Option<Group>) {
        match read(&config, variables).unwrap() {
            DatastoreConf::Kubernetes(settings, group) => (settings, group),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn kubernetes_is_reached_by_the_configuration_and_the_environment() {
        let config = json!({"kubernetes": {"kubeconfig": "/a", "k8s_api_root": "https://k"}, "calico_api_group": "ProjectCalico.org/v3"});
        let (settings, group) =
            kubernetes(config.clone(), [("K8S_CA_FILE", "/ca"), ("K8S_INSECURE_SKIP_TLS_VERIFY", "true")]);
        assert_eq!((settings.kubeconfig, settings.server.as_deref()), (vec!["/a".into()], Some("https://k")));
        assert_eq!((settings.ca_file, settings.insecure, group), (Some("/ca".into()), true, Some(Group::V3)));
        let (settings, _) = kubernetes(config, [("KUBECONFIG", "/b"), ("CALICO_K8S_API_ENDPOINT", "https://c")]);
        assert_eq!((settings.kubeconfig, settings.server.as_deref()), (vec!["/a".into()], Some("https://c")));
        let (settings, group) = kubernetes(json!({}), [("KUBECONFIG", "/b:/c"), ("CALICO_K8SAPITOKEN", "swordfish")]);
        assert_eq!(settings.kubeconfig, [PathBuf::from("/b"), "/c".into()]);
        assert_eq!((settings.token.as_deref(), group), (Some("swordfish"), None));
        assert_eq!(kubernetes(json!({"calico_api_group": "crd.projectcalico.org/v1"}), [("A", "")]).1, Some(Group::V1));
    }
}
