//! What the configuration says about Kubernetes itself: how its pods, namespaces and nodes are read, and what pods may ask for.

use std::path::PathBuf;

use calico_datastore::kubernetes::Settings;
use cni_spec::Fields;

use super::wrong;
use crate::error::Error;
use crate::variables::{Variable, Variables};

/// Kubernetes as a network configuration has it, whichever datastore is configured.
#[derive(Debug, Clone)]
pub struct ClusterConf {
    /// How its API is reached.
    pub settings: Settings,
    /// `kubernetes.node_name`: the node whose pod CIDRs `usePodCidr` stands for, where it is not the Calico node's name.
    pub node_name: Option<String>,
    /// Whether the configuration says how to reach it: `kubernetes.kubeconfig`.
    pub is_configured: bool,
    /// `feature_control.floating_ips`: whether pods may ask for floating addresses.
    pub floating_ips: bool,
    /// `feature_control.ip_addrs_no_ipam`: whether pods may ask for addresses that nobody assigns.
    pub addresses_without_ipam: bool,
}

impl ClusterConf {
    /// Reads what the configuration and the environment say. What `policy` has overrides the kubeconfig, and
    /// `kubernetes.k8s_api_root` overrides that.
    pub(crate) fn read(fields: &Fields<'_>, variables: &Variables) -> Result<ClusterConf, Error> {
        let object = |key| fields.object(key).map_err(wrong);
        let (policy, kubernetes, features) = (object("policy")?, object("kubernetes")?, object("feature_control")?);
        let text = |of: &Option<Fields<'_>>, key| match of {
            Some(of) => Ok(of.nonempty(key).map_err(wrong)?.map(str::to_owned)),
            None => Ok::<Option<String>, Error>(None),
        };
        let may = |key| match &features {
            Some(features) => Ok(features.boolean(key).map_err(wrong)?.unwrap_or(false)),
            None => Ok::<bool, Error>(false),
        };
        let file = |key| Ok::<Option<PathBuf>, Error>(text(&policy, key)?.map(PathBuf::from));
        let kubeconfig = text(&kubernetes, "kubeconfig")?;
        Ok(ClusterConf {
            is_configured: kubeconfig.is_some(),
            settings: Settings {
                kubeconfig: kubeconfig_files(&variables.over(Variable::Kubeconfig, kubeconfig.as_deref())?),
                server: text(&kubernetes, "k8s_api_root")?.or(text(&policy, "k8s_api_root")?),
                token: text(&policy, "k8s_auth_token")?,
                ca_file: file("k8s_certificate_authority")?,
                cert_file: file("k8s_client_certificate")?,
                key_file: file("k8s_client_key")?,
                ..Settings::default()
            },
            node_name: text(&kubernetes, "node_name")?,
            floating_ips: may("floating_ips")?,
            addresses_without_ipam: may("ip_addrs_no_ipam")?,
        })
    }
}

/// The files of a `KUBECONFIG`: a list separated by colons.
pub(crate) fn kubeconfig_files(text: &str) -> Vec<PathBuf> {
    text.split(':').filter(|file| !file.is_empty()).map(PathBuf::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_policy_section_overrides_the_kubeconfig_and_the_kubernetes_section_both() {
        let config = json!({
            "kubernetes": {"kubeconfig": "/a", "node_name": "n"},
            "policy": {"k8s_api_root": "https://p/api/v1/", "k8s_auth_token": "swordfish", "k8s_client_key": "/key"},
            "feature_control": {"floating_ips": true},
        });
        let read = |config: &serde_json::Value| {
            ClusterConf::read(&Fields::of(config, "").unwrap(), &Variables::default()).unwrap()
        };
        let conf = read(&config);
        assert_eq!(conf.settings.kubeconfig, [PathBuf::from("/a")]);
        assert_eq!(conf.settings.server.as_deref(), Some("https://p/api/v1/"));
        assert_eq!(conf.settings.token.as_deref(), Some("swordfish"));
        assert_eq!(conf.settings.key_file, Some("/key".into()));
        assert!(conf.is_configured && conf.floating_ips && !conf.addresses_without_ipam);
        assert!(!format!("{conf:?}").contains("swordfish"));
        let mut config = config.clone();
        config["kubernetes"]["k8s_api_root"] = json!("https://k");
        assert_eq!(read(&config).settings.server.as_deref(), Some("https://k"));
    }
}
