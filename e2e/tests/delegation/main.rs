//! IPAM plugins other than our own: real ones, and scripts for what those do not do.

mod dhcp;
mod failures;
mod lifecycle;
mod protocol;
mod versions;

use std::path::{Path, PathBuf};

use e2e::{Call, Container, Host, Plugins, dual_stack, reference_plugin};
use serde_json::{Value, json};

/// A configuration for a plugin that manages the addresses.
fn netconf(ipam: Value) -> Value {
    let mut netconf = dual_stack();
    netconf["ipam"] = ipam;
    netconf
}

/// A call with a folder of plugins in place of ours.
fn with_path(call: Call, path: &Path) -> Call {
    call.env("CNI_PATH", path.to_str().expect("paths of tests are text"))
}

/// The folder of the reference plugins.
fn plugins(release: Plugins) -> PathBuf {
    reference_plugin(release, "host-local").parent().expect("it is in a folder").to_owned()
}

/// A host with a script as its IPAM plugin, `scripted`.
struct Scripted {
    host: Host,
    folder: PathBuf,
}

/// An answer of a plugin with one address.
const ONE_ADDRESS: &str = r#"echo '{"cniVersion":"1.0.0","ips":[{"address":"10.9.0.5/24","gateway":"10.9.0.1"}]}'"#;

impl Scripted {
    /// A plugin whose ADD does this; its DEL succeeds.
    fn new(add: &str) -> Scripted {
        let host = Host::start();
        let folder = host.folder().join("plugins");
        std::fs::create_dir(&folder).unwrap();
        let scripted = Scripted { host, folder };
        scripted.install(include_str!("plugin.sh"), 0o755);
        scripted.on("ADD", add);
        scripted
    }

    fn install(&self, text: &str, mode: u32) {
        let path = self.folder.join("scripted");
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    }

    /// What the plugin shall do for a command.
    fn on(&self, command: &str, script: &str) {
        std::fs::write(self.folder.join(command), script).unwrap();
    }

    /// What the plugin noted.
    fn noted(&self, file: &str) -> String {
        std::fs::read_to_string(self.folder.join(file)).unwrap_or_default()
    }

    /// The commands that the plugin was called with.
    fn calls(&self) -> Vec<String> {
        self.noted("calls").lines().map(str::to_owned).collect()
    }

    fn netconf(&self) -> Value {
        netconf(json!({ "type": "scripted" }))
    }

    fn add(&self, container: &Container<'_>) -> Call {
        with_path(container.add(&self.netconf()), &self.folder)
    }

    fn del(&self, container: &Container<'_>) -> Call {
        with_path(container.del(&self.netconf()), &self.folder)
    }
}
