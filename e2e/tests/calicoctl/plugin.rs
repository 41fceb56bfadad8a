//! What `calicoctl` stores, the plugin takes.

use e2e::{Ctl, Ground, PLUGIN_ACCOUNT};
use serde_json::{Value, json};

use crate::inputs;

/// A configuration of the plugin for the datastore, for the host `node-a`.
fn netconf(ctl: &Ctl) -> Value {
    let mut netconf = e2e::dual_stack();
    netconf["ipam"] = json!({"type": "calico-ipam", "assign_ipv6": "true"});
    netconf["nodename"] = json!("node-a");
    netconf["nodename_file_optional"] = json!(true);
    match &ctl.ground {
        Ground::Local => {}
        Ground::Etcd(etcd) => netconf = etcd.configured(netconf),
        Ground::Kubernetes(plane) => {
            netconf.as_object_mut().unwrap().extend(plane.conf());
            netconf["kubernetes"] = json!({"kubeconfig": plane.kubeconfig_of(PLUGIN_ACCOUNT)});
        }
    }
    netconf
}

#[test]
fn containers_get_addresses_of_its_pools() {
    Ctl::on_each(|ctl| {
        inputs::write(ctl);
        ctl.succeed("create -f pool.yaml -f pool6.yaml");
        match &ctl.ground {
            Ground::Kubernetes(plane) => {
                plane.create_node("node-a");
                plane.create_pod("node-a", "default", "web", &json!({}));
            }
            _ => drop(
                ctl.feed(
                    "create -f -",
                    &json!({"apiVersion": "projectcalico.org/v3", "kind": "Node", "metadata": {"name": "node-a"}})
                        .to_string(),
                )
                .success(),
            ),
        }
        // The pool of IPv6 chooses nodes: this one's label is set here, too.
        ctl.succeed("label node node-a zone=a");
        let netconf = netconf(ctl);
        let container = ctl.host.container("abcdef0123456789");
        let call = |verb| {
            let call = if verb == "ADD" { container.add(&netconf) } else { container.del(&netconf) };
            if matches!(ctl.ground, Ground::Kubernetes(_)) {
                call.env("CNI_ARGS", "K8S_POD_NAMESPACE=default;K8S_POD_NAME=web")
            } else {
                call
            }
        };
        let addresses = call("ADD").run().addresses();
        assert_eq!(addresses.len(), 2, "{addresses:?}");
        let shown = ctl.succeed("get wep -A -o custom-columns=NODE,NETWORKS");
        for address in &addresses {
            assert!(shown.contains(address.as_str()), "{address}: {shown}");
            let shown = ctl.succeed(&format!("ipam show --ip {address}"));
            assert!(
                shown.starts_with(&format!("IP {address} is in use\nHandle ID: net1.abcdef0123456789\n")),
                "{shown}"
            );
            // Reserved addresses are not given out.
            assert!(!["10.10.0.0", "10.10.0.1", "10.10.0.2", "10.10.0.3", "10.10.9.9"].contains(&address.as_str()));
        }
        assert!(ctl.succeed("ipam check").contains("found 0 problems."), "{}", ctl.succeed("ipam check"));
        call("DEL").run();
        assert!(ctl.succeed("get wep -A -o name").lines().count() <= 1);
        assert_eq!(ctl.stored().allocated(), 0);
    });
}
