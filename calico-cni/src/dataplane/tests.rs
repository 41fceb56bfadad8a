//! The dataplane against the kernel. What the kernel must look like afterwards was recorded from the established
//! implementation.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sched::CloneFlags;
use serde_json::json;

use super::testbed::{Bed, HOST_IFNAME, IPV4, IPV6, Place, addressing, dual_link, ipv4_link, start, wait};
use super::{Addressing, Error, HostEnd, Link};

const HOST_SYSCTLS: [&str; 9] = [
    "ipv4/conf/caliabcdef01234/route_localnet",
    "ipv4/neigh/caliabcdef01234/proxy_delay",
    "ipv4/conf/caliabcdef01234/proxy_arp",
    "ipv4/conf/caliabcdef01234/forwarding",
    "ipv6/conf/caliabcdef01234/accept_dad",
    "ipv6/conf/caliabcdef01234/disable_ipv6",
    "ipv6/conf/caliabcdef01234/proxy_ndp",
    "ipv6/conf/caliabcdef01234/forwarding",
    "ipv6/conf/caliabcdef01234/accept_ra",
];
const CONTAINER_SYSCTLS: [&str; 5] = [
    "ipv4/ip_forward",
    "ipv6/conf/all/forwarding",
    "ipv6/conf/all/disable_ipv6",
    "ipv6/conf/eth0/accept_dad",
    "ipv6/conf/eth0/disable_ipv6",
];

#[test]
fn an_ipv4_container_looks_as_recorded() {
    let bed = Bed::new();
    let prepared = bed.prepare(ipv4_link()).unwrap();
    bed.finish(&[IPV4]).unwrap();

    let end = bed.container.json("addr show eth0");
    assert_eq!(end["address"], json!(prepared.mac));
    assert_eq!((&end["operstate"], &end["mtu"], &end["num_tx_queues"]), (&json!("UP"), &json!(1500), &json!(1)));
    let address = &end["addr_info"][0];
    assert_eq!((&address["local"], &address["prefixlen"]), (&json!(IPV4), &json!(32)));
    assert_eq!((&address["scope"], &address["label"]), (&json!("global"), &json!("eth0")));
    assert_eq!(address.get("broadcast"), None);
    assert_eq!(
        bed.container.lines("ip -4 route show table all"),
        [
            "default via 169.254.1.1 dev eth0",
            "169.254.1.1 dev eth0 scope link",
            "local 192.168.84.128 dev eth0 table local proto kernel scope host src 192.168.84.128",
        ]
    );
    assert_eq!(bed.container.lines("ip neigh show"), [""; 0]);
    assert_eq!(bed.container.sysctls(&CONTAINER_SYSCTLS), ["0", "0", "0", "1", "0"]);

    let host_end = bed.host.json(&format!("addr show {HOST_IFNAME}"));
    assert_eq!((&host_end["address"], &host_end["operstate"]), (&json!("ee:ee:ee:ee:ee:ee"), &json!("UP")));
    assert_eq!(bed.host.lines(&format!("ip -4 route show dev {HOST_IFNAME}")), ["192.168.84.128 scope link"]);
    assert_eq!(bed.host.sysctls(&HOST_SYSCTLS), ["1", "0", "1", "1", "1", "0", "0", "0", "0"]);
    assert_eq!(prepared.warnings, [""; 0]);
}

#[test]
fn a_dual_stack_container_looks_as_recorded() {
    let bed = Bed::new();
    // As runtimes do that leave IPv6 to the network plugin.
    bed.container.set_sysctl("ipv6/conf/all/disable_ipv6", "1");
    bed.container.set_sysctl("ipv6/conf/default/disable_ipv6", "1");
    bed.prepare(dual_link()).unwrap();
    bed.finish(&[IPV4, IPV6]).unwrap();

    // Even without duplicate address detection the kernel clears the tentative flag a moment later.
    bed.container.settle();
    let end = bed.container.json("addr show eth0");
    let addresses = end["addr_info"].as_array().unwrap();
    assert_eq!(addresses.len(), 3, "{addresses:?}");
    assert_eq!((&addresses[1]["local"], &addresses[1]["prefixlen"]), (&json!(IPV6), &json!(128)));
    assert!(addresses.iter().all(|address| address.get("tentative").is_none()), "{addresses:?}");
    assert_eq!(
        bed.container.lines("ip -6 route show"),
        [
            format!("{IPV6} dev eth0 proto kernel metric 256 pref medium"),
            "fe80::/64 dev eth0 proto kernel metric 256 pref medium".into(),
            "default via fe80::ecee:eeff:feee:eeee dev eth0 metric 1024 pref medium".into(),
        ]
    );
    assert_eq!(bed.container.lines("ip -4 route show").len(), 2);
    assert_eq!(bed.container.sysctls(&CONTAINER_SYSCTLS), ["0", "0", "0", "0", "0"]);
    assert_eq!(bed.container.sysctls(&["ipv6/conf/default/disable_ipv6", "ipv6/conf/lo/disable_ipv6"]), ["0", "0"]);

    assert_eq!(
        bed.host.lines(&format!("ip -6 route show dev {HOST_IFNAME}")),
        [format!("{IPV6} metric 1024 pref medium"), "fe80::/64 proto kernel metric 256 pref medium".into()]
    );
    assert_eq!(bed.host.sysctls(&HOST_SYSCTLS), ["1", "0", "1", "1", "0", "0", "1", "1", "0"]);
}

#[test]
fn an_ipv6_container_gets_nothing_of_ipv4() {
    let bed = Bed::new();
    bed.prepare(Link { ipv4: false, ..dual_link() }).unwrap();
    bed.finish(&[IPV6]).unwrap();

    assert_eq!(bed.container.lines("ip -4 route show"), [""; 0]);
    assert_eq!(bed.host.sysctls(&HOST_SYSCTLS)[..4], ["0", "80", "0", "0"]);
}

#[test]
fn options_reach_both_ends() {
    let bed = Bed::new();
    let link = Link { mtu: Some(1400), queues: 2, mac: Some([0x1c, 0x0c, 0x0c, 0x0c, 0x0c, 0x0c]), ..dual_link() };
    assert_eq!(bed.prepare(link).unwrap().mac, "1c:0c:0c:0c:0c:0c");
    let routes = ["10.1.2.3/16", "10.1.0.0/16", "169.254.1.1/32", "fd00::1/64", "fd00::/64"];
    let routes = routes.iter().map(|route| route.parse().unwrap()).collect();
    wait(bed.kernel.finish(Addressing { routes, allow_ip_forwarding: true, ..addressing(&[IPV4, IPV6]) })).unwrap();

    for end in [bed.container.json("link show eth0"), bed.host.json(&format!("link show {HOST_IFNAME}"))] {
        assert_eq!((&end["mtu"], &end["num_tx_queues"], &end["num_rx_queues"]), (&json!(1400), &json!(2), &json!(2)));
    }
    assert_eq!(bed.container.json("link show eth0")["address"], json!("1c:0c:0c:0c:0c:0c"));
    assert_eq!(bed.container.sysctls(&CONTAINER_SYSCTLS)[..2], ["1", "1"]);
    assert_eq!(
        bed.container.lines("ip -4 route show"),
        ["10.1.0.0/16 via 169.254.1.1 dev eth0", "169.254.1.1 dev eth0 scope link"]
    );
    assert_eq!(bed.container.lines("ip -6 route show fd00::/64").len(), 1);
}

#[test]
fn host_routes_can_be_left_out() {
    let bed = Bed::new();
    bed.prepare(ipv4_link()).unwrap();
    wait(bed.kernel.finish(Addressing { host_routes: false, ..addressing(&[IPV4]) })).unwrap();
    assert_eq!(bed.host.lines(&format!("ip -4 route show dev {HOST_IFNAME}")), [""; 0]);
}

#[test]
fn a_host_without_ipv6_networks_an_ipv4_container() {
    let host = Place::with(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS);
    host.lines("mount --make-rprivate /");
    host.lines("mount -t tmpfs none /proc/sys/net/ipv6");
    let bed = Bed::on(host);

    assert_eq!(bed.prepare(ipv4_link()).unwrap().warnings, [""; 0]);
    bed.finish(&[IPV4]).unwrap();

    wait(bed.kernel.undo()).unwrap();
    let error = bed.prepare(dual_link()).unwrap_err().to_string();
    assert!(error.starts_with("error configuring sysctls for "), "{error}");
    assert!(error.contains("/proc/sys/net/ipv6/conf/caliabcdef01234/accept_dad: No such file"), "{error}");
}

#[test]
fn a_taken_container_name_is_an_error_and_survives_undo() {
    let bed = Bed::new();
    bed.container.lines("ip link add eth0 type bridge");
    // Replacing concerns the host's link only.
    for replace_host_link in [false, true] {
        let error = bed.prepare(Link { replace_host_link, ..ipv4_link() }).unwrap_err();
        assert!(matches!(error, Error::NameTaken { .. }), "{error}");
        let text = error.to_string();
        let expected =
            format!("interface eth0 in netns {}: EEXIST: the name is taken by a bridge", bed.container.netns.display());
        assert!(text.contains(&expected), "{text}");
    }
    wait(bed.kernel.undo()).unwrap();
    assert!(bed.container.has_link("eth0"));
    assert!(!bed.host.has_link(HOST_IFNAME));
}

#[test]
fn a_taken_host_name_is_replaced_only_when_asked() {
    let bed = Bed::new();
    assert!(wait(bed.kernel.host_link(HOST_IFNAME.into())).unwrap().is_none());
    bed.host.lines(&format!("ip link add {HOST_IFNAME} type bridge"));
    assert_eq!(wait(bed.kernel.host_link(HOST_IFNAME.into())).unwrap().unwrap().kind.as_deref(), Some("bridge"));

    let error = bed.prepare(ipv4_link()).unwrap_err().to_string();
    assert!(error.contains("host interface caliabcdef01234: EEXIST: the name is taken by a bridge"), "{error}");
    wait(bed.kernel.undo()).unwrap();
    assert!(bed.host.has_link(HOST_IFNAME));

    bed.prepare(Link { replace_host_link: true, ..ipv4_link() }).unwrap();
    assert_eq!(wait(bed.kernel.host_link(HOST_IFNAME.into())).unwrap().unwrap().kind.as_deref(), Some("veth"));
}

#[test]
fn replacing_the_host_end_of_an_earlier_add_frees_the_container_name_too() {
    let bed = Bed::new();
    let first = bed.prepare(ipv4_link()).unwrap();
    let second = start(&bed.host, &bed.container.netns);
    let second = wait(second.prepare(Link { replace_host_link: true, ..ipv4_link() })).unwrap();
    assert_ne!(first.mac, second.mac);
    assert_eq!(bed.container.json("link show eth0")["address"], json!(second.mac));
}

#[test]
fn a_route_of_another_interface_is_named() {
    for (address, family, scope) in [(IPV4, "-4", "link"), (IPV6, "-6", "universe")] {
        let bed = Bed::new();
        bed.host.lines("ip link add leaked type bridge");
        bed.host.lines("ip link set leaked up");
        bed.host.lines(&format!("ip {family} route add {address} dev leaked"));
        bed.prepare(dual_link()).unwrap();

        let index = |name: &str| bed.host.json(&format!("link show {name}"))["ifindex"].to_string();
        let bits = if address == IPV4 { 32 } else { 128 };
        assert_eq!(
            bed.finish(&[address]).unwrap_err().to_string(),
            format!(
                "error adding host side routes for interface: {HOST_IFNAME}, error: \
                 route (Ifindex: {}, Dst: {address}/{bits}, Scope: link) already exists for an interface other than '{HOST_IFNAME}': \
                 route (Ifindex: {}, Dst: {address}/{bits}, Scope: {scope}, Iface: leaked)",
                index(HOST_IFNAME),
                index("leaked")
            )
        );
    }
}

#[test]
fn a_route_of_no_interface_is_a_conflict_too() {
    let bed = Bed::new();
    bed.host.lines(&format!("ip route add blackhole {IPV4}"));
    bed.prepare(ipv4_link()).unwrap();
    let error = bed.finish(&[IPV4]).unwrap_err().to_string();
    assert!(error.contains("other than 'caliabcdef01234': EEXIST: "), "{error}");
    assert!(error.ends_with("see `ip route show 192.168.84.128/32`"), "{error}");
}

#[test]
fn a_route_that_is_there_already_does_not_stop_the_next() {
    let bed = Bed::new();
    bed.prepare(dual_link()).unwrap();
    bed.host.lines(&format!("ip route add {IPV4} dev {HOST_IFNAME} scope link"));
    bed.host.lines(&format!("ip route add {IPV6} dev {HOST_IFNAME}"));
    bed.finish(&[IPV4, "192.168.84.129", IPV6]).unwrap();
    assert_eq!(bed.host.lines(&format!("ip -4 route show dev {HOST_IFNAME}")).len(), 2);
}

#[test]
fn addresses_need_a_link_prepared_for_them() {
    let bed = Bed::new();
    assert!(matches!(bed.finish(&[IPV4]), Err(Error::NotPrepared)));
    bed.prepare(ipv4_link()).unwrap();
    assert!(matches!(bed.finish(&[IPV4, IPV6]), Err(Error::Unprepared(_))));
    assert_eq!(bed.container.lines("ip -4 route show"), [""; 0]);
}

#[test]
fn a_missing_namespace_fails_add_and_suits_del() {
    let host = Place::new();
    let mut ended = Command::new("true").stdout(Stdio::null()).spawn().unwrap();
    let of_ended = PathBuf::from(format!("/proc/{}/ns/net", ended.id()));
    ended.wait().unwrap();
    for netns in [Path::new("/var/run/netns/no-such-namespace"), &of_ended, Path::new("")] {
        let kernel = start(&host, netns);
        let error = wait(kernel.prepare(ipv4_link())).unwrap_err();
        assert!(error.to_string().starts_with(&format!("failed to enter netns {}: ", netns.display())), "{error}");
        assert_eq!(wait(kernel.take_down("eth0".into(), HOST_IFNAME.into())).unwrap(), HostEnd::None);
        assert!(!wait(kernel.delete("eth0".into())).unwrap());
        wait(kernel.undo()).unwrap();
        assert!(wait(kernel.host_link("lo".into())).unwrap().is_some());
    }
}

#[test]
fn a_path_that_is_no_network_namespace_is_an_error() {
    let host = Place::new();
    for netns in ["/dev/null", "/proc/self/ns/mnt", "/proc/self/status", "/"] {
        let kernel = start(&host, Path::new(netns));
        let expected = format!("failed to enter netns {netns}: ");
        for error in [
            wait(kernel.prepare(ipv4_link())).unwrap_err(),
            wait(kernel.take_down("eth0".into(), HOST_IFNAME.into())).unwrap_err(),
            wait(kernel.delete("eth0".into())).unwrap_err(),
        ] {
            assert!(matches!(error, Error::EnterNetns { .. }) && error.to_string().starts_with(&expected), "{error}");
        }
    }
}

#[test]
fn removal_finds_the_host_end_by_index_and_can_be_repeated() {
    let bed = Bed::new();
    bed.prepare(dual_link()).unwrap();
    bed.finish(&[IPV4, IPV6]).unwrap();
    // The name now belongs to the pod's next sandbox.
    bed.host.lines(&format!("ip link set {HOST_IFNAME} name cali-old"));
    bed.host.lines(&format!("ip link add {HOST_IFNAME} type bridge"));
    bed.host.lines(&format!("ip link set {HOST_IFNAME} up"));

    let kernel = start(&bed.host, &bed.container.netns);
    assert_eq!(wait(kernel.take_down("eth0".into(), "cali-old".into())).unwrap(), HostEnd::Down("cali-old".into()));
    assert_eq!(bed.host.lines("ip route show dev cali-old"), [""; 0]);
    assert_eq!(bed.host.lines(&format!("ip -6 route show {IPV6}")), [""; 0]);
    assert_eq!(wait(kernel.take_down("eth0".into(), "cali-old".into())).unwrap(), HostEnd::Down("cali-old".into()));

    assert!(wait(kernel.delete("eth0".into())).unwrap());
    assert!(!wait(kernel.delete("eth0".into())).unwrap());
    assert_eq!(wait(kernel.take_down("eth0".into(), HOST_IFNAME.into())).unwrap(), HostEnd::None);
    assert!(!bed.host.has_link("cali-old") && !bed.container.has_link("eth0"));
    assert!(bed.host.json(&format!("link show {HOST_IFNAME}"))["flags"].to_string().contains("\"UP\""));
}

#[test]
fn a_host_link_that_only_shares_the_index_is_left_alone() {
    let bed = Bed::new();
    let elsewhere = Place::new();
    // Two containers, each with its peer at index 100; only the second one's is on this host.
    let other = Place::new();
    for (container, place) in [(&bed.container, &elsewhere), (&other, &bed.host)] {
        let netns = place.netns.to_str().unwrap();
        container.lines(&format!("ip link add eth0 index 7 type veth peer name peer index 100 netns {netns}"));
        place.lines("ip link set peer up");
    }
    assert_eq!(wait(bed.kernel.take_down("eth0".into(), HOST_IFNAME.into())).unwrap(), HostEnd::None);
    assert!(bed.host.json("link show peer")["flags"].to_string().contains("\"UP\""));
    // A link without any peer.
    bed.container.lines("ip link add bridge0 type bridge");
    assert_eq!(wait(bed.kernel.take_down("bridge0".into(), HOST_IFNAME.into())).unwrap(), HostEnd::None);
}

#[test]
fn what_a_failed_prepare_made_is_undone() {
    let bed = Bed::new();
    // No link-local address is ever made.
    bed.host.set_sysctl("ipv6/conf/default/addr_gen_mode", "1");
    let error = bed.prepare(dual_link()).unwrap_err().to_string();
    assert!(error.contains("failed to get IPv6 addresses for host side of the pod interface"), "{error}");
    assert!(bed.host.has_link(HOST_IFNAME) && bed.container.has_link("eth0"));
    assert!(matches!(bed.finish(&[IPV4]), Err(Error::NotPrepared)));

    wait(bed.kernel.undo()).unwrap();
    assert!(!bed.host.has_link(HOST_IFNAME) && !bed.container.has_link("eth0"));
    wait(bed.kernel.undo()).unwrap();
}

#[test]
fn a_wrong_link_local_address_is_replaced_by_the_expected_one() {
    let bed = Bed::new();
    // Random link-local addresses, as after something on the host changed the MAC address.
    bed.host.set_sysctl("ipv6/conf/default/addr_gen_mode", "3");
    let corrected = async {
        while !bed.host.has_link(HOST_IFNAME) {}
        bed.host.set_sysctl("ipv6/conf/caliabcdef01234/addr_gen_mode", "0");
    };
    wait(async { tokio::join!(bed.kernel.prepare(dual_link()), corrected) }).0.unwrap();
    bed.finish(&[IPV6]).unwrap();
    assert_eq!(
        bed.container.lines("ip -6 route show default"),
        ["default via fe80::ecee:eeff:feee:eeee dev eth0 metric 1024 pref medium"]
    );
}

#[test]
fn a_job_whose_caller_left_is_done_and_can_be_undone() {
    let bed = Bed::new();
    give_and_leave(&bed, ipv4_link());
    assert!(wait(bed.kernel.host_link(HOST_IFNAME.into())).unwrap().is_some());
    bed.finish(&[IPV4]).unwrap();
    wait(bed.kernel.undo()).unwrap();
    assert!(!bed.host.has_link(HOST_IFNAME));
}

#[test]
fn the_callers_thread_stays_where_it_is() {
    let bed = Bed::new();
    let here = std::fs::read_link("/proc/thread-self/ns/net").unwrap();
    bed.prepare(ipv4_link()).unwrap();
    assert_eq!(std::fs::read_link("/proc/thread-self/ns/net").unwrap(), here);
    assert_eq!(
        bed.host.lines("readlink /proc/thread-self/ns/net"),
        bed.host.lines(&format!("readlink {}", bed.host.netns.display()))
    );
}

/// Polls once, which gives the job, and drops the future.
fn give_and_leave(bed: &Bed, link: Link) {
    wait(async {
        tokio::select! {
            biased;
            _ = bed.kernel.prepare(link) => {}
            () = std::future::ready(()) => {}
        }
    });
}
