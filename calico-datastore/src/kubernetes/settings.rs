//! What the configuration says about the way to the Kubernetes API.

use std::fmt;
use std::path::PathBuf;

/// What a connection needs to know. Everything but the kubeconfig files replaces what they say.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Settings {
    /// The kubeconfig files: what an earlier one names is not taken from a later one. Without any, and without a server,
    /// `~/.kube/config` if it exists, else what a pod finds in its container.
    pub kubeconfig: Vec<PathBuf>,
    /// The context, instead of the current one.
    pub context: Option<String>,
    /// The API's URL; what begins with `/api/` in it is cut off.
    pub server: Option<String>,
    /// The certificates that sign the API server's. PEM, as the other two.
    pub ca_file: Option<PathBuf>,
    /// Our own certificate; with its key, or neither.
    pub cert_file: Option<PathBuf>,
    /// Our own key.
    pub key_file: Option<PathBuf>,
    /// The bearer token.
    pub token: Option<String>,
    /// Whether any certificate of the server is accepted.
    pub insecure: bool,
}

/// Without the token: settings are part of what is printed when something is wrong with a configuration.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("kubeconfig", &self.kubeconfig)
            .field("context", &self.context)
            .field("server", &self.server)
            .field("ca_file", &self.ca_file)
            .field("cert_file", &self.cert_file)
            .field("key_file", &self.key_file)
            .field("token", &self.token.as_ref().map(|_| "(hidden)"))
            .field("insecure", &self.insecure)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_not_printed() {
        let settings =
            Settings { token: Some("swordfish".to_owned()), context: Some("one".into()), ..Settings::default() };
        let text = format!("{settings:?} {settings:#?}");
        assert!(text.contains("one") && text.contains("hidden") && !text.contains("swordfish"), "{text}");
    }
}
