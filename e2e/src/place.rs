//! What can be done on a host as well as in a container: run a tool, look at the kernel's state.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// A place that commands can be run in.
pub trait Place {
    /// A command that will run in this place: a tool of the machine.
    fn command(&self, program: &str) -> Command;

    /// Runs a tool, which must succeed, and returns its stdout.
    fn run(&self, program: &str, arguments: &[&str]) -> String {
        let output = self.command(program).args(arguments).output().expect("a command can be started");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program} {}: {}", arguments.join(" "), stderr.trim_end());
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Runs a tool and says whether it succeeded.
    fn succeeds(&self, program: &str, arguments: &[&str]) -> bool {
        self.command(program).args(arguments).output().expect("a command can be started").status.success()
    }

    /// Runs `ip` with words separated by spaces, and returns its stdout.
    fn ip(&self, arguments: &str) -> String {
        self.run("ip", &arguments.split_whitespace().collect::<Vec<_>>())
    }

    /// What `ip -details -json` says.
    fn ip_json(&self, arguments: &str) -> Vec<Value> {
        let text = self.ip(&format!("-details -json {arguments}"));
        // With nothing to list, some versions print nothing at all.
        let text = if text.trim().is_empty() { "[]" } else { &text };
        serde_json::from_str(text).unwrap_or_else(|e| panic!("ip {arguments}: {e}: {text}"))
    }

    /// The names of all interfaces.
    fn links(&self) -> Vec<String> {
        self.ip_json("link show").iter().filter_map(|link| Some(link["ifname"].as_str()?.to_owned())).collect()
    }

    /// A setting below `/proc/sys/net`; empty if it does not exist.
    fn sysctl(&self, name: &str) -> String {
        let path = Path::new("/proc/sys/net").join(name);
        let output = self.command("cat").arg(path).output().expect("a command can be started");
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }

    /// Changes a setting below `/proc/sys/net`.
    fn set_sysctl(&self, name: &str, value: &str) {
        self.run("sh", &["-c", &format!("echo {value} >/proc/sys/net/{name}")]);
    }

    /// Whether an address answers one echo request within two seconds.
    fn ping(&self, address: &str) -> bool {
        self.succeeds("busybox", &["ping", "-c", "1", "-W", "2", address])
    }
}
