//! What a pod, or its namespace, asks for by annotations: with address management in this process, and by an executable.

use e2e::{ApiGroup, ControlPlane, Place};
use serde_json::{Value, json};

use crate::site::{OfPod, Site};

const PREFIX: &str = "cni.projectcalico.org/";

/// Annotations as metadata.
fn metadata(annotations: &[(&str, &str)]) -> Value {
    let named = annotations.iter().map(|(name, value)| (format!("{PREFIX}{name}"), json!(value)));
    json!({"annotations": Value::Object(named.collect())})
}

type Annotations = &'static [(&'static str, &'static str)];

/// Annotations of the pod and of its namespace, and what the addresses begin with.
const GOOD: [(Annotations, Annotations, &[&str]); 9] = [
    (&[], &[], &["10."]),
    (&[("ipv4pools", r#"["other"]"#)], &[], &["10.99."]),
    (&[("ipv4pools", r#"["10.99.0.0/16"]"#)], &[], &["10.99."]),
    (&[], &[("ipv4pools", r#"["other"]"#)], &["10.99."]),
    (&[("ipv4pools", r#"["pool4"]"#)], &[("ipv4pools", r#"["other"]"#)], &["10.65."]),
    (&[("ipFamilies", r#"["IPv6"]"#)], &[], &["fd65:"]),
    (&[("ipFamilies", r#"["IPv4","IPv6"]"#), ("ipv6pools", r#"["pool6"]"#)], &[], &["10.", "fd65:"]),
    (&[("ipAddrs", r#"["10.99.1.2"]"#)], &[], &["10.99.1.2"]),
    (&[("hwAddr", "02:00:5e:10:00:0a")], &[], &["10."]),
];

/// Annotations of the pod that cannot be followed, and words of the error.
const BAD: [(Annotations, &[&str]); 8] = [
    (&[("ipv4pools", "pool4")], &["ipv4pools", "is not a JSON list of strings"]),
    (&[("ipv4pools", r#"["nowhere"]"#)], &["nowhere"]),
    (&[("ipFamilies", r#"["IPv5"]"#)], &["IPv5", "neither IPv4 nor IPv6"]),
    (&[("ipAddrs", "[]")], &["specified but empty"]),
    (&[("ipAddrs", r#"["10.99.1.2","10.99.1.3"]"#)], &["cannot have more than one IPv4 address"]),
    (&[("ipAddrs", r#"["10.99.1.2"]"#), ("ipAddrsNoIpam", r#"["10.1.1.1"]"#)], &["can't have both annotations"]),
    (&[("ipAddrsNoIpam", r#"["10.1.1.1"]"#)], &["requested feature is not enabled: ip_addrs_no_ipam"]),
    (&[("hwAddr", "xyz")], &["failed to parse MAC address xyz"]),
];

#[test]
fn what_pods_and_namespaces_ask_for() {
    let plane = ControlPlane::shared(ApiGroup::Crd);
    let site = Site::start(&plane);
    plane.put_pool("other", "10.99.0.0/16", 26);
    for exec in [false, true] {
        let mut conf = site.direct.clone();
        conf["ipam"]["exec"] = json!(exec);
        for (n, (of_pod, of_namespace, expected)) in GOOD.into_iter().enumerate() {
            let namespace = format!("ns-{exec}-{n}");
            plane.create_namespace(&namespace);
            plane
                .admin()
                .patch(&format!("/api/v1/namespaces/{namespace}"), &json!({"metadata": metadata(of_namespace)}))
                .unwrap();
            plane.create_pod("node-1", &namespace, "web", &metadata(of_pod));
            let container = site.host.container(&format!("good-{exec}-{n}"));
            let answer = container.add(&conf).of_pod(&namespace, "web").run();
            let addresses = answer.addresses();
            let what = format!("exec {exec}, {of_pod:?}, {of_namespace:?}: {addresses:?}");
            assert_eq!(addresses.len(), expected.len(), "{what}");
            assert!(addresses.iter().zip(expected).all(|(address, begin)| address.starts_with(begin)), "{what}");
            if let Some((_, mac)) = of_pod.iter().find(|(name, _)| *name == "hwAddr") {
                assert!(container.ip("link show eth0").contains(mac), "{what}");
            }
            let mut checked = conf.clone();
            checked["prevResult"] = answer.result();
            let check = container.call("calico", "CHECK", &checked).of_pod(&namespace, "web").run();
            assert_eq!(check.exit, Some(0), "{what}: {check:#?}");
            // A second sandbox while the first one's DEL is still to come: of a given address, too.
            let second = site.host.container(&format!("again-{exec}-{n}"));
            let again = second.add(&conf).of_pod(&namespace, "web").run();
            assert_eq!(again.addresses().len(), expected.len(), "{what}");
            container.del(&conf).of_pod(&namespace, "web").run().result();
            checked["prevResult"] = again.result();
            let check = second.call("calico", "CHECK", &checked).of_pod(&namespace, "web").run();
            assert_eq!(check.exit, Some(0), "{what}: {check:#?}");
            second.del(&conf).of_pod(&namespace, "web").run().result();
            site.assert_nothing_left(&what);
        }
        for (n, (of_pod, words)) in BAD.into_iter().enumerate() {
            let name = format!("bad-{exec}-{n}");
            plane.create_pod("node-1", "default", &name, &metadata(of_pod));
            let container = site.host.container(&name);
            container.add(&conf).of_pod("default", &name).run().error().assert_words(words);
            site.assert_nothing_left(&format!("exec {exec}, {of_pod:?}"));
            container.del(&conf).of_pod("default", &name).run().result();
        }
    }
}
