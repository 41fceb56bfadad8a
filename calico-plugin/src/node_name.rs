//! Which node a call runs on.

use crate::config::NodeConf;
use crate::error::Error;

/// The node's Calico name: `nodename`, else the content of the node name file, else `hostname`, else the host's own name
/// in lower case.
///
/// White space around the file's content is left out. Upstream takes it as it is; but no name can have any, and a file
/// written by hand ends in a newline.
pub fn determine(conf: &NodeConf) -> Result<String, Error> {
    let file = || std::fs::read_to_string(&conf.file).ok().map(|name| name.trim().to_owned());
    let host = || std::fs::read_to_string("/proc/sys/kernel/hostname").ok().map(|n| n.trim().to_lowercase());
    let set = |name: &String| !name.is_empty();
    let name = conf.name.clone().or_else(|| file().filter(set)).or_else(|| conf.hostname.clone());
    name.or_else(|| host().filter(set)).ok_or(Error::NoNodeName)
}

/// Checks that the node agent has written its name, unless that is optional: without it, the host is not set up.
pub fn check_file(conf: &NodeConf) -> Result<(), Error> {
    if conf.file_optional || conf.file.exists() { Ok(()) } else { Err(Error::NoNodeNameFile(conf.file.clone())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_of_sources() {
        let folder = std::env::temp_dir().join(format!("calico-node-name-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("nodename");
        std::fs::write(&file, "from-file\n").unwrap();
        let mut conf = NodeConf {
            name: Some("from-conf".into()),
            file,
            file_optional: false,
            hostname: Some("from-hostname".into()),
        };
        assert_eq!(determine(&conf).unwrap(), "from-conf");
        conf.name = None;
        assert_eq!(determine(&conf).unwrap(), "from-file");
        assert!(check_file(&conf).is_ok());
        conf.file = folder.join("absent");
        assert_eq!(determine(&conf).unwrap(), "from-hostname");
        assert!(check_file(&conf).unwrap_err().to_string().contains("calico/node container is running"));
        conf.hostname = None;
        let own = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
        assert_eq!(determine(&conf).unwrap(), own.trim().to_lowercase());
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
