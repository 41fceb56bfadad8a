//! The environment variables that configure the datastore, read once, so that whoever uses them says so.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;

use crate::error::Error;

/// What a variable's name may begin with; with it, a variable has precedence.
const PREFIX: &str = "CALICO_";

/// A setting that the environment may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "each variant is the variable that it names")]
pub enum Variable {
    DatastoreType,
    EtcdEndpoints,
    EtcdDiscoverySrv,
    EtcdUsername,
    EtcdPassword,
    EtcdKeyFile,
    EtcdCertFile,
    EtcdCaCertFile,
    Kubeconfig,
    K8sApiEndpoint,
    K8sApiToken,
    K8sCaFile,
    K8sCertFile,
    K8sKeyFile,
    K8sInsecureSkipTlsVerify,
    K8sCurrentContext,
    CalicoApiGroup,
    LocalStoreFile,
}

impl Variable {
    /// Every setting.
    pub const ALL: [Variable; 18] = [
        Variable::DatastoreType,
        Variable::EtcdEndpoints,
        Variable::EtcdDiscoverySrv,
        Variable::EtcdUsername,
        Variable::EtcdPassword,
        Variable::EtcdKeyFile,
        Variable::EtcdCertFile,
        Variable::EtcdCaCertFile,
        Variable::Kubeconfig,
        Variable::K8sApiEndpoint,
        Variable::K8sApiToken,
        Variable::K8sCaFile,
        Variable::K8sCertFile,
        Variable::K8sKeyFile,
        Variable::K8sInsecureSkipTlsVerify,
        Variable::K8sCurrentContext,
        Variable::CalicoApiGroup,
        Variable::LocalStoreFile,
    ];

    /// The variable's name, without the prefix.
    pub fn name(self) -> &'static str {
        match self {
            Variable::DatastoreType => "DATASTORE_TYPE",
            Variable::EtcdEndpoints => "ETCD_ENDPOINTS",
            Variable::EtcdDiscoverySrv => "ETCD_DISCOVERY_SRV",
            Variable::EtcdUsername => "ETCD_USERNAME",
            Variable::EtcdPassword => "ETCD_PASSWORD",
            Variable::EtcdKeyFile => "ETCD_KEY_FILE",
            Variable::EtcdCertFile => "ETCD_CERT_FILE",
            Variable::EtcdCaCertFile => "ETCD_CA_CERT_FILE",
            Variable::Kubeconfig => "KUBECONFIG",
            Variable::K8sApiEndpoint => "K8S_API_ENDPOINT",
            // As upstream reads it, with the prefix: CALICO_K8SAPITOKEN.
            Variable::K8sApiToken => "K8SAPITOKEN",
            Variable::K8sCaFile => "K8S_CA_FILE",
            Variable::K8sCertFile => "K8S_CERT_FILE",
            Variable::K8sKeyFile => "K8S_KEY_FILE",
            Variable::K8sInsecureSkipTlsVerify => "K8S_INSECURE_SKIP_TLS_VERIFY",
            Variable::K8sCurrentContext => "K8S_CURRENT_CONTEXT",
            Variable::CalicoApiGroup => "CALICO_API_GROUP",
            Variable::LocalStoreFile => "LOCAL_STORE_FILE",
        }
    }

    fn prefixed(self) -> String {
        format!("{PREFIX}{}", self.name())
    }
}

/// The settings of this process, by the names of their variables: with the prefix `CALICO_` or without.
pub fn of_datastore() -> Vec<(String, OsString)> {
    let names = Variable::ALL.into_iter().flat_map(|variable| [variable.prefixed(), variable.name().to_owned()]);
    names.filter_map(|name| std::env::var_os(&name).map(|value| (name, value))).collect()
}

/// The settings of an environment. They are not printed: a password is among them.
#[derive(Default)]
pub struct Variables(BTreeMap<String, OsString>);

impl Variables {
    /// Those of this process.
    pub fn of_process() -> Variables {
        of_datastore().into_iter().collect()
    }

    /// A setting's value. The variable with the prefix has precedence over the network configuration's `configured`,
    /// and this over the variable without it.
    ///
    /// That is upstream's order: it exports the configuration under the names without prefix, and then reads the
    /// environment. A prefixed variable that is set but empty counts, too.
    ///
    /// # Errors
    /// The variable that counts is no text.
    pub fn over(&self, variable: Variable, configured: Option<&str>) -> Result<String, Error> {
        if let Some(value) = self.text(&variable.prefixed())? {
            return Ok(value.to_owned());
        }
        match configured {
            Some(configured) => Ok(configured.to_owned()),
            None => Ok(self.text(variable.name())?.unwrap_or_default().to_owned()),
        }
    }

    fn text(&self, name: &str) -> Result<Option<&str>, Error> {
        let Some(value) = self.0.get(name) else { return Ok(None) };
        // The value itself may be a password.
        value.to_str().map(Some).ok_or_else(|| Error::Client {
            reason: format!("the environment variable {name} is not valid UTF-8"),
            advice: "set it to a text, or leave it out",
        })
    }
}

/// The names alone.
impl fmt::Debug for Variables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl FromIterator<(String, OsString)> for Variables {
    fn from_iter<T: IntoIterator<Item = (String, OsString)>>(settings: T) -> Variables {
        Variables(settings.into_iter().collect())
    }
}

impl<const N: usize> From<[(&str, &str); N]> for Variables {
    fn from(values: [(&str, &str); N]) -> Variables {
        Variables(values.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    #[test]
    fn a_prefixed_variable_then_the_configuration_then_the_variable() {
        let prefixed = ("CALICO_ETCD_ENDPOINTS", "prefixed");
        let empty = ("CALICO_ETCD_ENDPOINTS", "");
        let plain = ("ETCD_ENDPOINTS", "plain");
        let other = ("ETCD_USERNAME", "other");
        for (variables, configured, expected) in [
            ([other, other], None, ""),
            ([other, plain], None, "plain"),
            ([other, plain], Some("configured"), "configured"),
            ([prefixed, plain], None, "prefixed"),
            ([prefixed, plain], Some("configured"), "prefixed"),
            ([empty, plain], None, ""),
            ([empty, plain], Some("configured"), ""),
        ] {
            let found = Variables::from(variables).over(Variable::EtcdEndpoints, configured);
            assert_eq!(found.unwrap(), expected, "{variables:?} {configured:?}");
        }
    }

    #[test]
    fn secrets_are_not_printed() {
        let mut variables = Variables::from([("ETCD_PASSWORD", "swordfish")]);
        assert_eq!(format!("{variables:?}"), "{\"ETCD_PASSWORD\"}");
        variables.0.insert("ETCD_PASSWORD".to_owned(), OsString::from_vec(b"sword\xfffish".to_vec()));
        let error = variables.over(Variable::EtcdPassword, None).unwrap_err().to_string();
        assert!(error.contains("ETCD_PASSWORD is not valid UTF-8") && !error.contains("fish"), "{error}");
    }
}
