//! What the kubelet mounts into the pod: its service account.

use std::fmt;
use std::io;
use std::path::Path;

use crate::error::Error;

/// The service account of the pod, as it is at one time: the kubelet renews it.
#[derive(Clone, PartialEq, Eq)]
pub struct Account {
    /// Its token.
    pub token: String,
    /// The certificates that sign the API server's. PEM.
    pub ca: Vec<u8>,
    /// Its namespace.
    pub namespace: String,
}

/// Without the token.
impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}

/// Reads the account; `None` where none is mounted, as outside of a cluster.
pub fn read(folder: &Path) -> Result<Option<Account>, Error> {
    // Again, as the kubelet may just have put a new version into the place of the one that was being read.
    match read_once(folder).or_else(|_| read_once(folder)) {
        Err(Error::File { error, .. })
            if error.kind() == io::ErrorKind::NotFound && folder.join("token").symlink_metadata().is_err() =>
        {
            Ok(None)
        }
        account => account.map(Some),
    }
}

fn read_once(folder: &Path) -> Result<Account, Error> {
    let file = |name: &str| {
        let path = folder.join(name);
        std::fs::read(&path).map_err(Error::file("read", &path))
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    Ok(Account { token: text(&file("token")?), ca: file("ca.crt")?, namespace: text(&file("namespace")?) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn an_account_that_is_incomplete_for_a_moment_is_mounted_nonetheless() {
        let scratch = Scratch::new();
        let folder = scratch.path("account");
        assert!(read(&folder).unwrap().is_none());
        std::fs::create_dir(&folder).unwrap();
        assert!(read(&folder).unwrap().is_none());
        for name in ["token", "ca.crt", "namespace"] {
            std::os::unix::fs::symlink(format!("..data/{name}"), folder.join(name)).unwrap();
        }
        let error = read(&folder).unwrap_err().to_string();
        assert!(error.contains("account/token"), "{error}");
        for name in ["token", "ca.crt", "namespace"] {
            scratch.write(&format!("account/..data/{name}"), &format!("{name}\n"));
        }
        let account = read(&folder).unwrap().unwrap();
        assert_eq!((account.token.as_str(), account.namespace.as_str()), ("token", "namespace"));
    }
}
