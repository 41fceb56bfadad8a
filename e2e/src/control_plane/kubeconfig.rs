//! Kubeconfig files.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::base64;
use crate::tls::Identity;

/// One for a client with a certificate: the administrator, a part of the control plane. A kubeconfig may be JSON.
pub(super) fn with_certificate(folder: &Path, name: &str, server: &str, identity: &Identity) -> PathBuf {
    let config: Value = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "e2e", "cluster": {"server": server, "certificate-authority": identity.authority}}],
        "users": [{
            "name": name, "user": {"client-certificate": identity.certificate, "client-key": identity.key}
        }],
        "contexts": [{"name": "e2e", "context": {"cluster": "e2e", "user": name}}],
        "current-context": "e2e"
    });
    write(folder, name, &format!("{config:#}\n"))
}

/// One for the plugin, as the installer of the established implementation lays it out.
pub(super) fn with_token(folder: &Path, name: &str, server: &str, authority: &Path, token: &str) -> PathBuf {
    let authority = std::fs::read(authority).unwrap_or_else(|e| panic!("{}: {e}", authority.display()));
    let authority = base64::encode(&authority);
    let text = format!(
        "\
# What the plugin reaches the API server with.
apiVersion: v1
kind: Config
clusters:
- name: local
  cluster:
    server: {server}
    certificate-authority-data: \"{authority}\"
users:
- name: calico
  user:
    token: {token}
contexts:
- name: calico-context
  context:
    cluster: local
    user: calico
current-context: calico-context
"
    );
    write(folder, name, &text)
}

fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(format!("{name}.kubeconfig"));
    std::fs::write(&path, text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    path
}
