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

/// Makes the host end answer for every address a container may ask for, forward, and ignore router advertisements.
///
/// Returns warnings about settings a container works without. On a host without IPv6 there are no router advertisements
/// to ignore: no warning.
pub fn configure_host_end(interface: &str, ipv4: bool, ipv6: bool) -> Result<Vec<String>, SysctlError> {
    let mut warnings = Vec::new();
    if ipv4 {
        write(&format!("ipv4/conf/{interface}/route_localnet"), "1")?;
        // Proxy ARP otherwise answers after a random delay of up to 0.8 s.
        if let Err(error) = write(&format!("ipv4/neigh/{interface}/proxy_delay"), "0") {
            warnings.push(error.to_string());
        }
        write(&format!("ipv4/conf/{interface}/proxy_arp"), "1")?;
        write(&format!("ipv4/conf/{interface}/forwarding"), "1")?;
    }
    if ipv6 {
        write(&format!("ipv6/conf/{interface}/accept_dad"), "0")?;
        write(&format!("ipv6/conf/{interface}/disable_ipv6"), "0")?;
        write(&format!("ipv6/conf/{interface}/proxy_ndp"), "1")?;
        write(&format!("ipv6/conf/{interface}/forwarding"), "1")?;
    }
    match write(&format!("ipv6/conf/{interface}/accept_ra"), "0") {
        Err(error) if error.error.kind() != ErrorKind::NotFound => warnings.push(error.to_string()),
        _ => {}
    }
    Ok(warnings)
}

/// Lets IPv6 addresses of the container's interface be used at once, without a second of duplicate address detection.
/// Works only before it is up.
pub fn skip_duplicate_detection(interface: &str) -> Result<(), SysctlError> {
    write(&format!("ipv6/conf/{interface}/accept_dad"), "0")
}

/// Turns IPv6 on in a container: some runtimes turn it off in every new one.
pub fn enable_ipv6() -> Result<(), SysctlError> {
    for scope in ["all", "default", "lo"] {
        write(&format!("ipv6/conf/{scope}/disable_ipv6"), "0")?;
    }
    Ok(())
}

/// Sets IPv4 forwarding inside a container.
pub fn set_ipv4_forwarding(on: bool) -> Result<(), SysctlError> {
    write("ipv4/ip_forward", if on { "1" } else { "0" })
}

/// Sets IPv6 forwarding inside a container.
pub fn set_ipv6_forwarding(on: bool) -> Result<(), SysctlError> {
    write("ipv6/conf/all/forwarding", if on { "1" } else { "0" })
}

fn write(setting: &str, value: &'static str) -> Result<(), SysctlError> {
    let path = format!("/proc/sys/net/{setting}");
    OpenOptions::new()
        .write(true)
        .open(&path)
        .and_then(|mut file| file.write_all(value.as_bytes()))
        .map_err(|error| SysctlError { path, value, error })
}
