//! `node checksystem`: whether the kernel has what Calico needs.

use std::fmt::Write;

use super::host::Host;
use super::kernel::{Kernel, Module};
use super::need_root;
use crate::cli::ChecksystemArgs;
use crate::console::Console;
use crate::error::Error;

/// The oldest kernel.
const OLDEST: [u32; 3] = [2, 6, 24];

/// What is looked for, in the order in which it is shown. A second name is what the module was called in other kernels, or is
/// called once it is loaded.
const MODULES: [Module; 15] = [
    module(&["ip_set"], "CONFIG_IP_SET"),
    optional(&["ip6_tables"], "CONFIG_IP6_NF_IPTABLES"),
    module(&["ip_tables"], "CONFIG_IP_NF_IPTABLES"),
    module(&["ipt_ipvs", "xt_ipvs"], "CONFIG_NETFILTER_XT_MATCH_IPVS"),
    module(&["vfio-pci", "vfio_pci"], "CONFIG_VFIO_PCI"),
    optional(&["xt_bpf"], "CONFIG_NETFILTER_XT_MATCH_BPF"),
    module(&["ipt_REJECT", "xt_REJECT"], "CONFIG_IP_NF_TARGET_REJECT"),
    module(&["xt_rpfilter", "ipt_rpfilter"], "CONFIG_IP_NF_MATCH_RPFILTER"),
    module(&["nf_conntrack_netlink"], "CONFIG_NF_CT_NETLINK"),
    module(&["xt_addrtype"], "CONFIG_NETFILTER_XT_MATCH_ADDRTYPE"),
    module(&["xt_conntrack"], "CONFIG_NETFILTER_XT_MATCH_CONNTRACK"),
    module(&["xt_mark"], "CONFIG_NETFILTER_XT_MARK"),
    module(&["xt_multiport"], "CONFIG_NETFILTER_XT_MATCH_MULTIPORT"),
    module(&["xt_set", "ipt_set"], "CONFIG_NETFILTER_XT_SET"),
    optional(&["xt_u32"], "CONFIG_NETFILTER_XT_MATCH_U32"),
];

const fn module(names: &'static [&'static str], option: &'static str) -> Module {
    Module { names, option, is_optional: false }
}

const fn optional(names: &'static [&'static str], option: &'static str) -> Module {
    Module { names, option, is_optional: true }
}

/// Prints what this host's kernel has, and what it lacks.
///
/// # Errors
/// Who asks is not root, the kernel cannot be looked at, or it lacks something.
pub fn run(console: &Console, arguments: &ChecksystemArgs) -> Result<(), Error> {
    need_root()?;
    let kernel = Kernel::of(&Host::this(), arguments.kernel_config.as_deref())?;
    let (report, meets) = check(&kernel)?;
    console.data(&report)?;
    match meets {
        true => console.line("System meets minimum system requirements to run Calico!"),
        false => Err(Error::new("system doesn't meet one or more minimum systems requirements to run Calico")),
    }
}

/// What is printed, and whether the kernel has everything.
fn check(kernel: &Kernel) -> Result<(String, bool), Error> {
    let is_new_enough = numbers(&kernel.release)? >= OLDEST;
    let mut meets = is_new_enough;
    let mut report = "Checking kernel version...\n".to_owned();
    report += &result(&kernel.release, if is_new_enough { "OK" } else { "FAIL" });
    report += "Checking kernel modules...\n";
    for module in &MODULES {
        let name = module.names[0];
        let word = match (kernel.has(module), module.is_optional) {
            (true, _) => "OK",
            (false, true) => {
                // Writing to a string cannot fail.
                let _ = writeln!(report, "WARNING: Unable to detect optional module/feature {name}; continuing");
                "SKIP"
            }
            (false, false) => {
                let how = "as Loaded/Builtin module or lsmod";
                let _ = writeln!(report, "WARNING: Unable to detect the {name} module {how}");
                meets = false;
                "FAIL"
            }
        };
        report += &result(name, word);
    }
    Ok((report, meets))
}

fn result(name: &str, word: &str) -> String {
    format!("\t\t{name:<20}\t\t\t\t\t{word}\n")
}

/// The first numbers of a kernel's release, such as `6.1.0-18-amd64`.
fn numbers(release: &str) -> Result<[u32; 3], Error> {
    let numeric = release.split(|c: char| !c.is_ascii_digit() && c != '.').next().unwrap_or_default();
    let mut parts = numeric.split('.');
    let first = parts.next().and_then(|part| part.parse().ok());
    let first = first.ok_or_else(|| Error::new(format_args!("cannot tell the kernel's version from {release:?}")))?;
    let mut next = || parts.next().and_then(|part| part.parse().ok()).unwrap_or(0);
    Ok([first, next(), next()])
}

#[cfg(test)]
#[path = "checksystem/tests.rs"]
mod tests;
