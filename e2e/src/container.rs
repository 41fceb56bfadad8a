//! A container, as a network plugin sees it: an ID and a network namespace.

use std::process::Command;

use serde_json::Value;

use crate::call::Call;
use crate::executables::{TOOL_PATH, tool};
use crate::host::Host;
use crate::place::Place;

/// A container on a [`Host`]. Its namespace is named like its ID and lasts as long as the host.
#[derive(Clone)]
pub struct Container<'h> {
    host: &'h Host,
    id: String,
    netns: String,
}

impl<'h> Container<'h> {
    pub(crate) fn create(host: &'h Host, id: &str) -> Container<'h> {
        host.ip(&format!("netns add {id}"));
        Container { host, id: id.to_owned(), netns: format!("/var/run/netns/{id}") }
    }

    /// Another container ID with the same network namespace.
    pub fn renamed(&self, id: &str) -> Container<'h> {
        Container { id: id.to_owned(), ..self.clone() }
    }

    /// The container's ID.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The path of its network namespace, inside the host.
    pub fn netns(&self) -> &str {
        &self.netns
    }

    /// The name of its interface's host end.
    pub fn host_end(&self) -> String {
        format!("cali{}", self.id.chars().take(11).collect::<String>())
    }

    /// The ID of its handle in the network `net1`.
    pub fn handle(&self) -> String {
        format!("net1.{}", self.id)
    }

    /// A call about this container: `CNI_IFNAME` is `eth0`.
    pub fn call(&self, executable: &str, verb: &str, netconf: &Value) -> Call {
        self.host
            .call(executable, verb)
            .env("CNI_CONTAINERID", &self.id)
            .env("CNI_NETNS", &self.netns)
            .env("CNI_IFNAME", "eth0")
            .stdin(&netconf.to_string())
    }

    /// A run of `calico` that connects the container.
    pub fn add(&self, netconf: &Value) -> Call {
        self.call("calico", "ADD", netconf)
    }

    /// A run of `calico` that undoes [`Container::add`].
    pub fn del(&self, netconf: &Value) -> Call {
        self.call("calico", "DEL", netconf)
    }

    /// Removes the network namespace. The kernel takes its interfaces away some time later.
    pub fn remove_namespace(&self) {
        let name = self.netns.rsplit('/').next().unwrap_or_default();
        self.host.ip(&format!("netns delete {name}"));
    }
}

impl Place for Container<'_> {
    fn command(&self, program: &str) -> Command {
        // `/var/run` is a link, and an absolute one: followed from outside it would lead to the machine's own.
        let mut command = self.host.enter(Some(&self.netns.replace("/var/run/", "/run/")));
        command.env("PATH", TOOL_PATH).env("LC_ALL", "C").arg(tool(program));
        command
    }
}
