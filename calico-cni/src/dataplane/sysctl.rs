//! The kernel settings of a container's two interfaces. Each is looked up in the network namespace of the calling
//! thread.

use std::fs::OpenOptions;
use std::io::{self, ErrorKind, Write};

/// A setting that could not be written or read.
#[derive(Debug, thiserror::Error)]
#[error("failed to {attempt}: {error}")]
pub struct SysctlError {
    attempt: String,
    error: io::Error,
}

/// A setting of an interface or of a namespace, and what it has to be.
pub struct Setting {
    /// Below `/proc/sys/net`.
    name: String,
    value: &'static str,
    /// Whether the network does not work without it.
    pub needed: bool,
}

impl Setting {
    fn needed(name: String, value: &'static str) -> Setting {
        Setting { name, value, needed: true }
    }

    fn wanted(name: String, value: &'static str) -> Setting {
        Setting { name, value, needed: false }
    }

    /// What it is instead of what it has to be, in words; `None` where all is well.
    pub fn difference(&self) -> Result<Option<String>, SysctlError> {
        let path = self.path();
        let found = match std::fs::read_to_string(&path) {
            Ok(found) => found,
            Err(error) => return Err(SysctlError { attempt: format!("read {path}"), error }),
        };
        let found = found.trim_end();
        Ok((found != self.value).then(|| format!("net/{} is {found} and not {}", self.name, self.value)))
    }

    fn path(&self) -> String {
        format!("/proc/sys/net/{}", self.name)
    }

    fn set(&self) -> Result<(), SysctlError> {
        let path = self.path();
        let opened = OpenOptions::new().write(true).open(&path);
        let written = opened.and_then(|mut file| file.write_all(self.value.as_bytes()));
        written.map_err(|error| SysctlError { attempt: format!("write {} to {path}", self.value), error })
    }
}

/// What makes the host end answer for every address a container may ask for, forward, and ignore router advertisements;
/// in the order in which to write it.
pub fn of_host_end(interface: &str, ipv4: bool, ipv6: bool) -> Vec<Setting> {
    let mut settings = Vec::new();
    if ipv4 {
        settings.extend([
            Setting::needed(format!("ipv4/conf/{interface}/route_localnet"), "1"),
            // Proxy ARP otherwise answers after a random delay of up to 0.8 s.
            Setting::wanted(format!("ipv4/neigh/{interface}/proxy_delay"), "0"),
            Setting::needed(format!("ipv4/conf/{interface}/proxy_arp"), "1"),
            Setting::needed(format!("ipv4/conf/{interface}/forwarding"), "1"),
        ]);
    }
    if ipv6 {
        settings.extend([
            Setting::needed(format!("ipv6/conf/{interface}/accept_dad"), "0"),
            Setting::needed(format!("ipv6/conf/{interface}/disable_ipv6"), "0"),
            Setting::needed(format!("ipv6/conf/{interface}/proxy_ndp"), "1"),
            Setting::needed(format!("ipv6/conf/{interface}/forwarding"), "1"),
        ]);
    }
    settings.push(Setting::wanted(format!("ipv6/conf/{interface}/accept_ra"), "0"));
    settings
}

/// Writes settings, in order. Returns warnings about those that a container works without; not about one that this
/// kernel does not have, since a host without IPv6 has no router advertisements to ignore.
pub fn write(settings: &[Setting]) -> Result<Vec<String>, SysctlError> {
    let mut warnings = Vec::new();
    for setting in settings {
        match setting.set() {
            Err(error) if setting.needed => return Err(error),
            Err(error) if error.error.kind() != ErrorKind::NotFound => warnings.push(error.to_string()),
            _ => {}
        }
    }
    Ok(warnings)
}

/// What turns IPv6 on in a container: some runtimes turn it off in every new one.
pub fn of_ipv6() -> [Setting; 3] {
    ["all", "default", "lo"].map(|scope| Setting::needed(format!("ipv6/conf/{scope}/disable_ipv6"), "0"))
}

/// Forwarding inside a container, of one family.
pub fn of_forwarding(ipv4: bool, on: bool) -> Setting {
    let name = if ipv4 { "ipv4/ip_forward" } else { "ipv6/conf/all/forwarding" };
    Setting::needed(name.to_owned(), if on { "1" } else { "0" })
}

/// What lets IPv6 addresses of the container's interface be used at once, without a second of duplicate address
/// detection. Works only before it is up.
pub fn of_duplicate_detection(interface: &str) -> Setting {
    Setting::needed(format!("ipv6/conf/{interface}/accept_dad"), "0")
}
