//! What only an ADD asks of the configuration, beside its interface: a DEL must not fail because of it.

use cni_spec::Fields;

use super::wrong;
use crate::error::Error;

/// Conditions and restrictions of an ADD.
#[derive(Debug, Clone)]
pub struct AddConf {
    /// `readiness_gates`: URLs that must answer first.
    pub gates: Vec<String>,
    /// `policy_setup_timeout_seconds`, which is about pods.
    policy_timeout: i64,
    /// `feature_control.ip_addrs_no_ipam`, which is about pods.
    addresses_without_ipam: bool,
    /// `dataplane_options.type`.
    dataplane: String,
}

impl AddConf {
    pub(super) fn read(fields: &Fields<'_>) -> Result<AddConf, Error> {
        let features = fields.object("feature_control").map_err(wrong)?;
        let dataplane = fields.object("dataplane_options").map_err(wrong)?;
        Ok(AddConf {
            gates: fields.strings("readiness_gates").map_err(wrong)?.unwrap_or_default(),
            policy_timeout: fields.integer("policy_setup_timeout_seconds").map_err(wrong)?.unwrap_or(0),
            addresses_without_ipam: match features {
                Some(features) => features.boolean("ip_addrs_no_ipam").map_err(wrong)?.unwrap_or(false),
                None => false,
            },
            dataplane: match dataplane {
                Some(options) => options.string("type").map_err(wrong)?.unwrap_or_default().to_owned(),
                None => String::new(),
            },
        })
    }

    /// Refuses what an ADD cannot do; `is_pod` tells whether it is that of a Kubernetes pod.
    pub fn check(&self, is_pod: bool) -> Result<(), Error> {
        let refused = |text: String, advice| Err(Error::Refused { text, advice });
        if self.policy_timeout < 0 {
            let text = format!("invalid pod startup delay of {}", self.policy_timeout);
            return refused(text, "policy_setup_timeout_seconds is a number of seconds, 0 for none");
        }
        if self.addresses_without_ipam && !is_pod {
            let text = "requested feature is not supported for this runtime: ip_addrs_no_ipam";
            return refused(text.to_owned(), "feature_control.ip_addrs_no_ipam is for Kubernetes pods: leave it out");
        }
        match self.dataplane.as_str() {
            "" => Ok(()),
            "grpc" => {
                let text = "dataplane_options.type \"grpc\" is not supported by this release";
                refused(text.to_owned(), "leave dataplane_options out: the kernel is set up by the plugin itself")
            }
            other => refused(format!("invalid dataplane type: {other}"), "leave dataplane_options out"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn what_cannot_be_done_is_refused() {
        let check = |config: Value| AddConf::read(&Fields::of(&config, "").unwrap()).and_then(|conf| conf.check(false));
        for config in [
            json!({}),
            json!({"policy_setup_timeout_seconds": 30, "feature_control": {"floating_ips": true}}),
            json!({"feature_control": {"ip_addrs_no_ipam": false}, "dataplane_options": {"type": ""}}),
            json!({"dataplane_options": {"socket": "unix:///x"}, "readiness_gates": null}),
        ] {
            assert!(check(config.clone()).is_ok(), "{config}");
        }
        for (config, text) in [
            (json!({"policy_setup_timeout_seconds": -5}), "invalid pod startup delay of -5"),
            (
                json!({"feature_control": {"ip_addrs_no_ipam": true}}),
                "requested feature is not supported for this runtime: ip_addrs_no_ipam",
            ),
            (json!({"dataplane_options": {"type": "linux"}}), "invalid dataplane type: linux"),
            (
                json!({"dataplane_options": {"type": "grpc", "socket": "unix:///x"}}),
                "dataplane_options.type \"grpc\" is not supported by this release",
            ),
            (
                json!({"readiness_gates": "http://x"}),
                "failed to load netconf: readiness_gates: expected a list, found a string",
            ),
        ] {
            assert_eq!(check(config.clone()).unwrap_err().to_string(), text, "{config}");
        }
    }
}
