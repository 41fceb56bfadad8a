//! A list of plugins, called as container runtimes call it.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::container::Container;
use crate::executables::{folder, tool};
use crate::host::Host;
use crate::servers::{Plugins, cnitool, reference_plugin};

/// A list of plugins for the network `net1` on a host, called by `cnitool`.
pub struct Conflist<'h> {
    host: &'h Host,
    content: Value,
    plugins: Plugins,
    capabilities: Value,
}

impl<'h> Conflist<'h> {
    /// A list whose other plugins are of the newest release.
    pub fn new(host: &'h Host, content: &Value) -> Conflist<'h> {
        Conflist { host, content: content.clone(), plugins: Plugins::V1_9, capabilities: json!({}) }
    }

    /// The same with another release of the other plugins.
    pub fn with(self, plugins: Plugins) -> Conflist<'h> {
        Conflist { plugins, ..self }
    }

    /// The same with what the runtime asks of the plugins that have the capability.
    pub fn asking(self, capabilities: &Value) -> Conflist<'h> {
        Conflist { capabilities: capabilities.clone(), ..self }
    }

    /// The release of the other plugins.
    pub fn plugins(&self) -> Plugins {
        self.plugins
    }

    /// What the runtime asks of the plugins that have the capability.
    pub fn capabilities(&self) -> &Value {
        &self.capabilities
    }

    /// The version of CNI that it is in.
    pub fn version(&self) -> &str {
        self.content["cniVersion"].as_str().expect("a list has a version")
    }

    /// The host.
    pub fn host(&self) -> &'h Host {
        self.host
    }

    /// One call of all its plugins: `add`, `check` or `del`.
    pub fn call(&self, verb: &str, container: &Container<'_>) -> Output {
        self.call_asking(verb, container, &self.capabilities)
    }

    /// One call with other capabilities.
    pub fn call_asking(&self, verb: &str, container: &Container<'_>, capabilities: &Value) -> Output {
        let folder = self.host.folder().join("net.d");
        std::fs::create_dir_all(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
        let file = folder.join("10-calico.conflist");
        std::fs::write(&file, self.content.to_string()).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        let mut command = calling_plugins(self.host, &cnitool(), self.plugins);
        command.env("NETCONFPATH", &folder).env("CAP_ARGS", capabilities.to_string());
        command.args([verb, "net1", container.netns()]).output().expect("nsenter can be started")
    }

    /// What it prints when it must succeed.
    #[track_caller]
    pub fn succeed(&self, verb: &str, container: &Container<'_>) -> String {
        let output = self.call(verb, container);
        assert!(output.status.success(), "{verb}, {:?}, {}: {output:#?}", self.plugins, self.content);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The result of an ADD, which must succeed.
    #[track_caller]
    pub fn add(&self, container: &Container<'_>) -> Value {
        let printed = self.succeed("add", container);
        let result: Value = serde_json::from_str(&printed).unwrap_or_else(|e| panic!("{e}: {printed}"));
        assert_eq!(result["cniVersion"], self.version());
        result
    }
}

/// A command on a host that calls plugins: ours, and those of the CNI project.
pub fn calling_plugins(host: &Host, program: &Path, plugins: Plugins) -> Command {
    let reference = reference_plugin(plugins, "portmap");
    let folders = [folder(), reference.parent().expect("it is in a folder").to_owned()];
    let mut command = host.program(program);
    command.env("CNI_PATH", std::env::join_paths(folders).expect("no colon in it"));
    // Where portmap looks for iptables.
    command.env("PATH", tool("iptables").parent().expect("it is in a folder"));
    command
}

/// The addresses in a result, without prefix lengths.
#[track_caller]
pub fn addresses_of(result: &Value) -> Vec<String> {
    let ips = result["ips"].as_array().unwrap_or_else(|| panic!("no addresses: {result}"));
    ips.iter().filter_map(|ip| Some(ip["address"].as_str()?.split('/').next()?.to_owned())).collect()
}
