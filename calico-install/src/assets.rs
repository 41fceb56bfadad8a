//! The certificates and the key for etcd, which the plugins read on the host.

use std::path::Path;

use calico_plugin::Log;
use calico_plugin::log::Value;

use crate::error::Error;
use crate::files;
use crate::paths::{TLS_FILES, shown};

/// Which of the files the source has, in the order of [`TLS_FILES`].
pub fn present(source: &Path) -> [bool; 3] {
    TLS_FILES.map(|name| source.join(name).is_file())
}

/// Makes the host's folder equal to the source: the files that are there, and no others. Without any there is no folder,
/// unless `had_any`: then somebody is about to make the secret anew. `warn` is whether to say which are missing.
pub fn install(
    source: &Path,
    folder: &Path,
    had_any: bool,
    warn: bool,
    log: &Log,
    mut allow: impl FnMut(&Path) -> Result<(), Error>,
) -> Result<(), Error> {
    let present = present(source);
    if !present.contains(&true) {
        if had_any {
            return Err(Error::Emptied(shown(source)));
        }
        return match std::fs::remove_dir_all(folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::file("remove", folder)(error)),
            _ => Ok(()),
        };
    }
    files::make_folder(folder)?;
    for (name, is_there) in TLS_FILES.into_iter().zip(present) {
        let target = folder.join(name);
        let path = source.join(name);
        if !is_there {
            if warn {
                log.warning("a file for etcd's TLS is missing", &[("file", Value::Text(&shown(&path)))]);
            }
            continue;
        }
        let content = std::fs::read(&path).map_err(Error::file("read", &path))?;
        let mode = if name == "etcd-key" { 0o600 } else { 0o644 };
        if !files::is_as(&target, &content, mode) {
            allow(&target)?;
            files::put(&target, &content, mode)?;
            log.info("installed a file for etcd's TLS", &[("file", Value::Text(&shown(&target)))]);
        }
    }
    remove_others(folder, present)
}

/// Removes what the source does not have.
fn remove_others(folder: &Path, present: [bool; 3]) -> Result<(), Error> {
    let wanted: Vec<&str> = TLS_FILES.into_iter().zip(present).filter_map(|(name, is)| is.then_some(name)).collect();
    let entries = std::fs::read_dir(folder).map_err(Error::file("read", folder))?;
    for entry in entries.flatten().filter(|entry| !wanted.iter().any(|name| entry.file_name() == **name)) {
        files::remove(&entry.path())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn the_folder_follows_its_source() {
        let scratch = Scratch::image();
        let (source, folder) = (scratch.path("calico-secrets"), scratch.paths().tls_folder());
        let install = || {
            let mut written = 0;
            let allow = |_: &Path| {
                written += 1;
                Ok(())
            };
            install(&source, &folder, false, true, &Log::silent(), allow).unwrap();
            written
        };
        assert_eq!(install(), 0);
        assert!(!folder.exists());
        for name in TLS_FILES {
            scratch.write(&format!("calico-secrets/{name}"), name);
        }
        assert_eq!((install(), install()), (3, 0));
        let mode = |name| std::fs::metadata(folder.join(name)).unwrap().mode() & 0o7777;
        assert_eq!(TLS_FILES.map(mode), [0o644, 0o644, 0o600]);
        // A new certificate; and the authority is not in the secret any more.
        scratch.write("calico-secrets/etcd-cert", "renewed");
        std::fs::remove_file(source.join("etcd-ca")).unwrap();
        assert_eq!(install(), 1);
        assert_eq!(scratch.names("host/etc/cni/net.d/calico-tls"), ["etcd-cert", "etcd-key"]);
        assert_eq!(scratch.read("host/etc/cni/net.d/calico-tls/etcd-cert"), "renewed");
        for name in TLS_FILES {
            let _ = std::fs::remove_file(source.join(name));
        }
        install();
        assert!(!folder.exists());
    }
}
