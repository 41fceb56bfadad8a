//! The CNI configuration as a text with placeholders.

use crate::error::Error;

/// The built-in configuration. Users compare what is made of it byte for byte, so it does not end with a line break.
pub const DEFAULT: &str = r#"{
  "name": "k8s-pod-network",
  "cniVersion": "1.0.0",
  "plugins": [
    {
      "type": "calico",
      "log_level": "__LOG_LEVEL__",
      "log_file_path": "__LOG_FILE_PATH__",
      "datastore_type": "__DATASTORE_TYPE__",
      "nodename": "__KUBERNETES_NODE_NAME__",
      "mtu": __CNI_MTU__,
      "ipam": {"type": "calico-ipam"},
      "policy": {"type": "k8s"},
      "kubernetes": {"kubeconfig": "__KUBECONFIG_FILEPATH__"},
      "require_mtu_file": __REQUIRE_MTU_FILE__,
      "calico_api_group": "__CALICO_API_GROUP__"
    },
    {
      "type": "portmap",
      "snat": true,
      "capabilities": {"portMappings": true}
    }
  ]
}"#;

/// Puts values in the places of their placeholders, as text. `origin` says where the template is from.
///
/// # Errors
/// A value has a placeholder in it.
pub fn substitute(template: &str, values: &[(&str, String)], origin: &str) -> Result<String, Error> {
    let mut text = template.to_owned();
    for (placeholder, value) in values {
        text = text.replace(placeholder, value);
    }
    let left = values.iter().find_map(|(placeholder, _)| Some((placeholder, text.find(placeholder)?)));
    match left {
        Some((placeholder, at)) => {
            let line = text[..at].matches('\n').count() + 1;
            Err(Error::Config(format!(
                "{origin}, line {line}: {placeholder} is left after substitution: a variable has a placeholder in its value; correct it"
            )))
        }
        None => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_put_in_everywhere_and_other_words_are_left() {
        let values = [("__A__", "1".to_owned()), ("__B__", String::new())];
        assert_eq!(substitute("__A__ \"__B__\" __A__ __C__", &values, "x").unwrap(), "1 \"\" 1 __C__");
        let values = [("__A__", "1".to_owned()), ("__B__", "__A__".to_owned())];
        let error = substitute("\n\n__B__", &values, "CNI_NETWORK_CONFIG").unwrap_err().to_string();
        assert!(error.contains("CNI_NETWORK_CONFIG, line 3: __A__"), "{error}");
    }
}
