//! The CNI configuration that a runtime reads: made of a template, looked at before it is put in place.

use serde_json::{Map, Value};

use crate::error::Error;
use crate::options::Options;
use crate::paths::{KUBECONFIG, TLS_FILES, TLS_FOLDER, shown};
use crate::template;

/// The releases of the CNI specification.
const RELEASES: [&str; 7] = ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];

/// Makes the configuration. `tls` are the files for etcd that are there, see [`assets::present`](crate::assets::present);
/// `token` is that of the pod's service account, where there is one.
///
/// # Errors
/// The template cannot be read, or what is made of it is no CNI configuration. What is wrong is told by its place, not by
/// its content: there may be secrets in it.
pub fn render(options: &Options, tls: [bool; 3], token: Option<&str>) -> Result<String, Error> {
    let (template, origin) = template_of(options)?;
    let on_host = |name: &str| format!("{}/{name}", options.net_dir.trim_end_matches('/'));
    let mut values = options.values.clone();
    values.push(("__KUBECONFIG_FILEPATH__", on_host(KUBECONFIG)));
    values.push(("__SERVICEACCOUNT_TOKEN__", token.unwrap_or_default().to_owned()));
    for (place, placeholder) in ["__ETCD_CA_CERT_FILE__", "__ETCD_CERT_FILE__", "__ETCD_KEY_FILE__"].iter().enumerate()
    {
        let path = if tls[place] { on_host(&format!("{TLS_FOLDER}/{}", TLS_FILES[place])) } else { String::new() };
        values.push((placeholder, path));
    }
    let text = template::substitute(&template, &values, &origin)?;
    validate(&text).map_err(|reason| {
        Error::Config(format!(
            "{origin} is no CNI configuration (after substitution): {reason}; correct it: what is in place now is left"
        ))
    })?;
    Ok(text)
}

/// The template, and where it is from.
fn template_of(options: &Options) -> Result<(String, String), Error> {
    if let Some(path) = &options.network_config_file {
        let origin = format!("CNI_NETWORK_CONFIG_FILE ({})", shown(path));
        return match std::fs::read_to_string(path) {
            Ok(text) => Ok((text, origin)),
            Err(error) => Err(Error::Config(format!("cannot read {origin}: {error}; mount it there"))),
        };
    }
    Ok(match &options.network_config {
        Some(text) => (text.clone(), "CNI_NETWORK_CONFIG".to_owned()),
        None => (template::DEFAULT.to_owned(), "the built-in CNI configuration".to_owned()),
    })
}

/// Looks whether a runtime could use a configuration; if not, says why.
fn validate(text: &str) -> Result<(), String> {
    let config: Value = serde_json::from_str(text).map_err(|error| {
        // Only the kind of the fault and its place.
        let kind = if error.is_eof() { "it ends too early" } else { "it is no JSON" };
        format!("{kind}, at line {}, column {}", error.line(), error.column())
    })?;
    let config = config.as_object().ok_or("it is no JSON object")?;
    word(config, "name")?;
    versions(config)?;
    match config.get("plugins") {
        None => word(config, "type").map_err(|_| "it has neither \"plugins\" nor a \"type\"".to_owned()),
        Some(Value::Array(plugins)) if !plugins.is_empty() => {
            plugins.iter().enumerate().try_for_each(|(place, plugin)| {
                let plugin = plugin.as_object().ok_or_else(|| format!("plugins[{place}] is no JSON object"))?;
                word(plugin, "type").map_err(|reason| format!("plugins[{place}]: {reason}"))
            })
        }
        Some(_) => Err("its \"plugins\" are no list of plugins".to_owned()),
    }
}

/// A field that must be a text.
fn word(object: &Map<String, Value>, field: &str) -> Result<(), String> {
    match object.get(field) {
        Some(Value::String(text)) if !text.is_empty() => Ok(()),
        Some(_) => Err(format!("its {field:?} is no text, or empty")),
        None => Err(format!("it has no {field:?}")),
    }
}

/// The releases of CNI that it is of.
fn versions(config: &Map<String, Value>) -> Result<(), String> {
    let known = |value: &Value| value.as_str().is_some_and(|text| RELEASES.contains(&text));
    let list = RELEASES.join(", ");
    if config.get("cniVersion").is_some_and(|version| !known(version)) {
        return Err(format!("its \"cniVersion\" is none of {list}"));
    }
    match config.get("cniVersions") {
        Some(Value::Array(versions)) if versions.iter().all(known) => Ok(()),
        Some(_) => Err(format!("its \"cniVersions\" are no list of some of {list}")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assets;
    use crate::scratch::Scratch;

    fn rendered(scratch: &Scratch, variables: &[(&str, &str)]) -> Result<String, Error> {
        let options = Options::of(variables);
        render(&options, assets::present(&scratch.paths().at(&options.tls_assets)), Some("swordfish"))
    }

    #[test]
    fn the_built_in_one_is_that_of_the_established_implementation_byte_for_byte() {
        let scratch = Scratch::image();
        let variables = [("KUBERNETES_NODE_NAME", "node-1"), ("CNI_MTU", "0")];
        assert_eq!(rendered(&scratch, &variables).unwrap(), include_str!("../fixtures/10-calico.conflist"));
    }

    #[test]
    fn a_file_is_taken_before_a_variable_and_everything_is_put_in() {
        let scratch = Scratch::image();
        let template = |extra: &str| format!(r#"{{"name": "n", "type": "calico"{extra}}}"#);
        let variable =
            template(r#", "t": "__SERVICEACCOUNT_TOKEN__", "ca": "__ETCD_CA_CERT_FILE__", "key": "__ETCD_KEY_FILE__""#);
        scratch.write("calico-secrets/etcd-ca", "");
        let text =
            rendered(&scratch, &[("CNI_NETWORK_CONFIG", &variable), ("CNI_NET_DIR", "/etc/cni/multus/")]).unwrap();
        assert_eq!(text, template(r#", "t": "swordfish", "ca": "/etc/cni/multus/calico-tls/etcd-ca", "key": """#));
        scratch.write("file", &template(r#", "k": "__KUBECONFIG_FILEPATH__", "later": "__NO_PLACEHOLDER__""#));
        let file = scratch.path("file");
        let variables =
            [("CNI_NETWORK_CONFIG", variable.as_str()), ("CNI_NETWORK_CONFIG_FILE", file.to_str().unwrap())];
        let text = rendered(&scratch, &variables).unwrap();
        assert_eq!(text, template(r#", "k": "/etc/cni/net.d/calico-kubeconfig", "later": "__NO_PLACEHOLDER__""#));
    }

    #[test]
    fn what_no_runtime_could_use_is_told_by_place_and_without_content() {
        let scratch = Scratch::image();
        for (config, words) in [
            ("{\n  \"name\": swordfish}", "it is no JSON, at line 2, column 11"),
            ("{\"name\": \"n\",\n", "ends too early, at line 2"),
            ("[\"swordfish\"]", "no JSON object"),
            (r#"{"type": "calico"}"#, "it has no \"name\""),
            (r#"{"name": ""}"#, "its \"name\" is no text, or empty"),
            (r#"{"name": "n"}"#, "neither \"plugins\" nor a \"type\""),
            (r#"{"name": "n", "plugins": []}"#, "no list of plugins"),
            (r#"{"name": "n", "plugins": {"type": "swordfish"}}"#, "no list of plugins"),
            (r#"{"name": "n", "plugins": [{"type": "a"}, {"k": "swordfish"}]}"#, "plugins[1]: it has no \"type\""),
            (r#"{"name": "n", "plugins": ["swordfish"]}"#, "plugins[0] is no JSON object"),
            (r#"{"name": "n", "type": "calico", "cniVersion": "swordfish"}"#, "its \"cniVersion\" is none of 0.1.0"),
            (r#"{"name": "n", "type": "calico", "cniVersions": ["1.0.0", "2"]}"#, "its \"cniVersions\" are"),
            (r#"{"name": "n", "type": "c", "mtu": __CNI_MTU__}"#, "it is no JSON, at line 1"),
        ] {
            let error = rendered(&scratch, &[("CNI_NETWORK_CONFIG", config), ("CNI_MTU", "auto")]).unwrap_err();
            assert_eq!(error.exit_code(true), Some(2));
            let error = error.to_string();
            assert!(error.starts_with("CNI_NETWORK_CONFIG is no CNI configuration"), "{error}");
            assert!(error.contains(words) && !error.contains("swordfish"), "{error}");
        }
        let error = rendered(&scratch, &[("CNI_NETWORK_CONFIG_FILE", "/none")]).unwrap_err();
        assert_eq!(error.exit_code(true), Some(2));
        assert!(error.to_string().contains("cannot read CNI_NETWORK_CONFIG_FILE (/none)"), "{error}");
    }

    #[test]
    fn new_and_old_releases_of_cni() {
        for config in [
            r#"{"name": "n", "cniVersion": "1.0.0", "cniVersions": ["1.0.0", "1.1.0"], "plugins": [{"type": "calico"}]}"#,
            r#"{"name": "n", "type": "calico", "cniVersion": "0.1.0"}"#,
        ] {
            validate(config).unwrap();
        }
    }
}
