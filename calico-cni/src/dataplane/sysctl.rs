//! The kernel settings of a container's two interfaces. Each is looked up in the network namespace of the calling
//! thread.

use std::fs::OpenOptions;
use std::io::{self, ErrorKind, Write};

/// A setting that could not be written.
#[derive(Debug, thiserror::Error)]
#[error("failed to write {value} to {path}: {error}")]
pub struct SysctlError {
    path: String,
    value: &'static str,
    error: io::Error,
}

/// A setting of an interface or of a namespace, and what it has to be.
pub struct Setting {
    /// Below `/proc/sys/net`.
    name: String,
    value: &'static str,
    purpose: Purpose,
}

#[derive(PartialEq, Eq)]
enum Purpose {
    /// The network works without it.
    Better,
    /// What is begun needs it, what works does not.
    Start,
    /// The network does not work without it.
    Always,
}

impl Setting {
    fn new(name: String, value: &'static str, purpose: Purpose) -> Setting {
        Setting { name, value, purpose }
    }

    /// Whether the network ceases to work where it is changed.
    pub fn lasts(&self) -> bool {
        self.purpose == Purpose::Always
    }

    /// What it is instead of what it has to be, in words; `None` where all is well.
    pub fn difference(&self) -> Option<String> {
        let name = &self.name;
        match std::fs::read_to_string(self.path()) {
            Ok(found) if found.trim_end() == self.value => None,
            Ok(found) => Some(format!("net/{name} is {} and not {}", found.trim_end(), self.value)),
            Err(error) => Some(format!("net/{name} cannot be read and should be {}: {error}", self.value)),
        }
    }

    fn path(&self) -> String {
        format!("/proc/sys/net/{}", self.name)
    }

    fn set(&self) -> Result<(), SysctlError> {
        let path = self.path();
        let opened = OpenOptions::new().write(true).open(&path);
        let written = opened.and_then(|mut file| file.write_all(self.value.as_bytes()));
        written.map_err(|error| SysctlError { path, value: self.value, error })
    }
}

/// What makes the host end answer for every address a container may ask for, forward, and ignore router advertisements;
/// in the order in which to write it.
pub fn of_host_end(interface: &str, ipv4: bool, ipv6: bool) -> Vec<Setting> {
    let mut settings = Vec::new();
    if ipv4 {
        settings.extend([
            Setting::new(format!("ipv4/conf/{interface}/route_localnet"), "1", Purpose::Always),
            // Proxy ARP otherwise answers after a random delay of up to 0.8 s.
            Setting::new(format!("ipv4/neigh/{interface}/proxy_delay"), "0", Purpose::Better),
            Setting::new(format!("ipv4/conf/{interface}/proxy_arp"), "1", Purpose::Always),
            Setting::new(format!("ipv4/conf/{interface}/forwarding"), "1", Purpose::Always),
        ]);
    }
    if ipv6 {
        settings.extend([
            Setting::new(format!("ipv6/conf/{interface}/accept_dad"), "0", Purpose::Start),
            Setting::new(format!("ipv6/conf/{interface}/disable_ipv6"), "0", Purpose::Always),
            Setting::new(format!("ipv6/conf/{interface}/proxy_ndp"), "1", Purpose::Always),
            Setting::new(format!("ipv6/conf/{interface}/forwarding"), "1", Purpose::Always),
        ]);
    }
    settings.push(Setting::new(format!("ipv6/conf/{interface}/accept_ra"), "0", Purpose::Better));
    settings
}

/// Writes settings, in order. Returns warnings about those that a container works without; not about one that this
/// kernel does not have, since a host without IPv6 has no router advertisements to ignore.
pub fn write(settings: &[Setting]) -> Result<Vec<String>, SysctlError> {
    let mut warnings = Vec::new();
    for setting in settings {
        match setting.set() {
            Err(error) if setting.purpose != Purpose::Better => return Err(error),
            Err(error) if error.error.kind() != ErrorKind::NotFound => warnings.push(error.to_string()),
            _ => {}
        }
    }
    Ok(warnings)
}

/// What turns IPv6 on in a container: some runtimes turn it off in every new one.
pub fn of_ipv6() -> [Setting; 3] {
    ["all", "default", "lo"].map(|scope| Setting::new(format!("ipv6/conf/{scope}/disable_ipv6"), "0", Purpose::Start))
}

/// Forwarding inside a container, of one family.
pub fn of_forwarding(ipv4: bool, on: bool) -> Setting {
    let name = if ipv4 { "ipv4/ip_forward" } else { "ipv6/conf/all/forwarding" };
    Setting::new(name.to_owned(), if on { "1" } else { "0" }, Purpose::Always)
}

/// What lets IPv6 addresses of the container's interface be used at once, without a second of duplicate address
/// detection. Works only before it is up.
pub fn of_duplicate_detection(interface: &str) -> Setting {
    Setting::new(format!("ipv6/conf/{interface}/accept_dad"), "0", Purpose::Start)
}
