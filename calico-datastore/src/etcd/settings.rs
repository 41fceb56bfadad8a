//! How to reach etcd.

use std::fmt;
use std::path::PathBuf;

/// How the members are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Members {
    /// Their URLs: `http` or `https` in lower case, host and port; at least one.
    Listed(Vec<String>),
    /// The domain whose SRV records tell.
    OfDomain(String),
}

/// What a connection needs to know.
#[derive(Clone, PartialEq, Eq)]
pub struct Settings {
    /// The members.
    pub members: Members,
    /// Name and password, where both are known.
    pub user: Option<(String, String)>,
    /// The certificates that sign the servers'. PEM, as the other two.
    pub ca_file: Option<PathBuf>,
    /// Our own certificate; with its key, or neither.
    pub cert_file: Option<PathBuf>,
    /// Our own key.
    pub key_file: Option<PathBuf>,
}

impl Settings {
    /// A connection to these members without user and certificates.
    pub fn to(members: Members) -> Settings {
        Settings { members, user: None, ca_file: None, cert_file: None, key_file: None }
    }
}

/// Without the password: settings are part of what is printed when something is wrong with a configuration.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("members", &self.members)
            .field("user", &self.user.as_ref().map(|(name, _)| name))
            .field("ca_file", &self.ca_file)
            .field("cert_file", &self.cert_file)
            .field("key_file", &self.key_file)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_is_not_printed() {
        let user = Some(("calico".to_owned(), "swordfish".to_owned()));
        let members = Members::Listed(vec!["http://127.0.0.1:2379".to_owned()]);
        let settings = Settings { user, ..Settings::to(members) };
        let text = format!("{settings:?} {settings:#?}");
        assert!(text.contains("calico") && text.contains("127.0.0.1") && !text.contains("swordfish"), "{text}");
    }
}
