//! Kernels that are folders.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;
use crate::scratch::Scratch;

const RELEASE: &str = "6.1.0-18-amd64";
const FAILED: &str = "WARNING: Unable to detect the ip_set module as Loaded/Builtin module or lsmod\n\t\tip_set              \t\t\t\t\tFAIL\n";

fn bare(name: &str) -> (Scratch, Host) {
    let folder = Scratch::new(name);
    folder.write("proc/sys/kernel/osrelease", format!("{RELEASE}\n"));
    let host = Host::at(folder.root());
    (folder, host)
}

#[track_caller]
fn report(host: &Host) -> (String, bool) {
    check(&Kernel::of(host, None).unwrap()).unwrap()
}

/// Whether a module is found in a file of the host.
#[track_caller]
fn found(case: &str, module: &str, file: &str, content: impl AsRef<[u8]>) -> bool {
    let (folder, host) = bare(case);
    folder.write(file, content);
    let ok = format!("\t\t{module:<20}\t\t\t\t\tOK\n");
    report(&host).0.contains(&ok)
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn a_kernel_with_everything() {
    let (folder, host) = bare("all");
    let required = MODULES.iter().filter(|module| !module.is_optional);
    folder.write(
        "proc/modules",
        required.map(|module| format!("{} 16384 0 - Live 0x0\n", module.names[0])).collect::<String>(),
    );
    let (text, meets) = report(&host);
    let expected = "\
Checking kernel version...
\t\t6.1.0-18-amd64      \t\t\t\t\tOK
Checking kernel modules...
\t\tip_set              \t\t\t\t\tOK
WARNING: Unable to detect optional module/feature ip6_tables; continuing
\t\tip6_tables          \t\t\t\t\tSKIP
\t\tip_tables           \t\t\t\t\tOK
";
    assert!(text.starts_with(expected), "{text}");
    assert!(text.ends_with("xt_u32; continuing\n\t\txt_u32              \t\t\t\t\tSKIP\n"), "{text}");
    assert_eq!(text.lines().filter(|line| line.ends_with("\t\t\t\t\tOK")).count(), 13);
    assert!(meets);
}

#[test]
fn a_kernel_with_nothing() {
    let (_folder, host) = bare("nothing");
    let (text, meets) = report(&host);
    assert!(text.contains(FAILED), "{text}");
    assert_eq!(text.lines().filter(|line| line.ends_with("\tFAIL")).count(), 12);
    assert!(!meets);
}

#[test]
fn modules_are_found_wherever_they_are_listed() {
    let builtin = format!("lib/modules/{RELEASE}/modules.builtin");
    let dep = format!("lib/modules/{RELEASE}/modules.dep");
    assert!(found("sys", "vfio-pci", "sys/module/vfio_pci/refcnt", "0"));
    assert!(found("dep", "ip_set", &dep, "kernel/net/ip_set.ko.zst: kernel/x/nfnetlink.ko.zst\n"));
    assert!(found("builtin", "vfio-pci", &builtin, "kernel/drivers/vfio/pci/vfio-pci.ko\n"));
    assert!(found("lsmod", "ipt_ipvs", "proc/modules", "xt_ipvs 16384 0 - Live 0x0\n"));
    assert!(!found("other", "ip_set", &dep, "kernel/net/ip_set_hash_ip.ko.zst: kernel/net/other.ko\n"));
    assert!(!found("suffix", "ip_set", &dep, "kernel/net/ip_set.ko.old:\n"));
}

#[test]
fn options_are_found_wherever_the_configuration_is() {
    let config = "# CONFIG_IP6_NF_IPTABLES is not set\nCONFIG_IP_SET_MAX=256\nCONFIG_IP_SET=m\nCONFIG_VFIO_PCI=n\n";
    let places = ["boot/config-R", "usr/src/linux/.config", "usr/src/linux-R/.config"];
    let headers = ["usr/src/linux-headers-R/.config", "lib/modules/R/build/.config"];
    for (number, place) in places.iter().chain(&headers).enumerate() {
        let place = place.replace('R', RELEASE);
        assert!(found(&format!("config{number}"), "ip_set", &place, config), "{place}");
        assert!(!found(&format!("config{number}"), "vfio-pci", &place, config), "{place}");
    }
    assert!(found("proc", "ip_set", "proc/config.gz", gzip(config)));
    assert!(!found("broken", "ip_set", "proc/config.gz", &gzip(config)[..12]));
}

#[test]
fn a_named_configuration_is_the_only_one() {
    let (folder, host) = bare("named");
    folder.write("usr/src/linux/.config", "CONFIG_IP_SET=y\n");
    let named = folder.write("named.gz", gzip("CONFIG_VFIO_PCI=y\n"));
    let text = check(&Kernel::of(&host, Some(&named)).unwrap()).unwrap().0;
    assert!(text.contains(FAILED) && text.contains("vfio-pci            \t\t\t\t\tOK"), "{text}");
    let error = Kernel::of(&host, Some(&folder.root().join("absent"))).unwrap_err().to_string();
    assert!(error.starts_with("cannot read ") && error.contains("/absent: No such file"), "{error}");
}

#[test]
fn modules_that_cannot_be_listed_end_the_check() {
    let (folder, host) = bare("unlisted");
    folder.write("proc/modules/is_a_folder", "");
    let error = Kernel::of(&host, None).unwrap_err().to_string();
    assert!(error.starts_with("cannot list the loaded modules: /proc/modules: "), "{error}");
}

#[test]
fn releases() {
    assert!(numbers("2.6.24").unwrap() >= OLDEST);
    assert!(numbers("6.18.44-fc-v669").unwrap() >= OLDEST);
    assert!(numbers("3-custom").unwrap() >= OLDEST);
    assert!(numbers("2.6.23.9-99").unwrap() < OLDEST);
    assert!(numbers("linux").is_err());
    let (folder, host) = bare("old");
    folder.write("proc/sys/kernel/osrelease", "2.4.37\n");
    assert!(report(&host).0.contains("\t\t2.4.37              \t\t\t\t\tFAIL\n"));
}
