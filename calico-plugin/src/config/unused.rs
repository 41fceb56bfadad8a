//! Keys of upstream's configuration that mean nothing here, or only in some configurations. Their types are checked as
//! upstream checks them: a configuration that one implementation refuses must not work with the other.

use cni_spec::{FieldError, Fields};

use super::wrong;
use crate::error::Error;

type Check = fn(&Fields<'_>, &str) -> Result<(), FieldError>;

const STRING: Check = |fields, key| fields.string(key).map(drop);
const INTEGER: Check = |fields, key| fields.integer(key).map(drop);
/// Also one that only fits 64 bits without a sign.
const NUMBER: Check = |fields, key| match fields.get(key) {
    Some(value) if value.is_u64() => Ok(()),
    _ => INTEGER(fields, key),
};
const BOOLEAN: Check = |fields, key| fields.boolean(key).map(drop);

/// The object a key is in, empty for the whole; the key; its type.
const KEYS: [(&str, &str, Check); 26] = [
    ("", "mode", STRING),
    ("", "vxlan_mac_prefix", STRING),
    ("", "vxlan_vni", NUMBER),
    ("", "windows_use_single_network", BOOLEAN),
    ("", "endpoint_status_dir", STRING),
    ("", "calico_api_group", STRING),
    ("", "qps", INTEGER),
    ("", "burst", INTEGER),
    ("", "etcd_authority", STRING),
    ("", "etcd_scheme", STRING),
    ("", "etcd_endpoints", STRING),
    ("", "etcd_discovery_srv", STRING),
    ("", "etcd_key_file", STRING),
    ("", "etcd_cert_file", STRING),
    ("", "etcd_ca_cert_file", STRING),
    ("ipam", "name", STRING),
    ("ipam", "subnet", STRING),
    ("policy", "k8s_api_root", STRING),
    ("policy", "k8s_auth_token", STRING),
    ("policy", "k8s_client_certificate", STRING),
    ("policy", "k8s_client_key", STRING),
    ("policy", "k8s_certificate_authority", STRING),
    ("kubernetes", "kubeconfig", STRING),
    ("kubernetes", "k8s_api_root", STRING),
    ("kubernetes", "node_name", STRING),
    ("feature_control", "floating_ips", BOOLEAN),
];

/// Checks their types.
pub(super) fn check(fields: &Fields<'_>) -> Result<(), Error> {
    for (object, key, check) in KEYS {
        let inner = if object.is_empty() { Some(fields.clone()) } else { fields.object(object).map_err(wrong)? };
        if let Some(inner) = inner {
            check(&inner, key).map_err(wrong)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn every_key_has_its_type() {
        for (object, key, _) in KEYS {
            let config = |value: Value| match object {
                "" => json!({ key: value }),
                object => json!({ object: { key: value } }),
            };
            let fits = |value: Value| check(&Fields::of(&config(value), "").unwrap()).is_ok();
            assert!(fits(Value::Null), "{object} {key}");
            let types = [json!("text"), json!(5), json!(true), json!([])].map(fits);
            assert_eq!(types.into_iter().filter(|fits| *fits).count(), 1, "{object} {key}: {types:?}");
        }
    }
}
