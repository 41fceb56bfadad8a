//! A pod's sandboxes come and go in any order; and pods that are not there, or are others by now.

use e2e::{Act, ApiGroup, Call, Container, ControlPlane, Place, Rule, at_once};
use serde_json::{Value, json};

use crate::site::{OfPod, Site};

/// In this process, and by an executable.
fn both(site: &Site<'_>, work: impl Fn(&Value, &str)) {
    for exec in [false, true] {
        let mut conf = site.direct.clone();
        conf["ipam"]["exec"] = json!(exec);
        work(&conf, if exec { "exec" } else { "process" });
        site.assert_nothing_left(&format!("exec {exec}"));
    }
}

fn uid(pod: &Value) -> String {
    pod["metadata"]["uid"].as_str().unwrap().to_owned()
}

fn has_network(container: &Container<'_>) -> bool {
    container.links().iter().any(|link| link.starts_with("eth0"))
}

#[test]
fn the_end_of_an_old_sandbox_spares_the_new_one() {
    let plane = ControlPlane::shared(ApiGroup::Crd);
    let site = Site::start(&plane);
    site.pod("web");
    both(&site, |conf, mode| {
        let (one, two) = (site.host.container(&format!("one-{mode}")), site.host.container(&format!("two-{mode}")));
        let call = |call: Call| call.of_pod("default", "web").run();
        let first = call(one.add(conf)).address();
        let second = call(two.add(conf)).address();
        assert_ne!(first, second);
        for _ in 0..2 {
            call(one.del(conf)).result();
            assert_eq!(site.annotated("web"), format!("{second}/32"), "{mode}");
            assert_eq!(plane.stored().allocated(), 1, "{mode}");
            assert!(has_network(&two) && site.host.added_links().len() == 1, "{mode}: {:?}", site.host.added_links());
        }
        // Without its namespace, too.
        call(one.del(conf).env("CNI_NETNS", "")).result();
        assert!(has_network(&two), "{mode}");
        plane.assert_audit_clean();
        call(two.del(conf)).result();
        call(two.del(conf)).result();
    });
}

#[test]
fn sandboxes_that_come_and_go_at_once() {
    let plane = ControlPlane::shared(ApiGroup::Crd);
    let site = Site::start(&plane);
    site.pod("web");
    both(&site, |conf, mode| {
        let containers: Vec<Container<'_>> =
            (0..6).map(|n| site.host.container(&format!("at-once-{mode}-{n}"))).collect();
        for pair in containers.windows(2) {
            let [old, new] = pair else { unreachable!() };
            old.add(conf).of_pod("default", "web").run().result();
            let both = [old.del(conf), new.add(conf)].map(|call| call.of_pod("default", "web"));
            let answers = at_once(both.into_iter());
            let address = answers[1].address();
            answers[0].result();
            assert_eq!(site.annotated("web"), format!("{address}/32"), "{mode}");
            assert_eq!(plane.stored().allocated(), 1, "{mode}");
            assert!(has_network(new), "{mode}");
            plane.assert_audit_clean();
            new.del(conf).of_pod("default", "web").run().result();
        }
    });
}

#[test]
fn the_sandbox_of_a_pod_that_was_created_anew() {
    let plane = ControlPlane::shared(ApiGroup::Crd);
    let site = Site::start(&plane);
    both(&site, |conf, mode| {
        let name = format!("db-{mode}");
        let (one, two) = (site.host.container(&format!("old-{mode}")), site.host.container(&format!("new-{mode}")));
        let path = format!("/api/v1/namespaces/default/pods/{name}");
        let old = uid(&site.pod(&name));
        one.add(conf).of_pod_with("default", &name, &old).run().result();
        plane.admin().delete(&path).unwrap();
        let new = uid(&site.pod(&name));
        // The old sandbox of a new pod is not networked.
        let late = site.host.container(&format!("late-{mode}"));
        let answer = late.add(conf).of_pod_with("default", &name, &old).run();
        assert_eq!(answer.error().code, 11, "{answer:#?}");
        answer.error().assert_words(&["is another one than that of this call", &old, &new]);
        let address = two.add(conf).of_pod_with("default", &name, &new).run().address();
        one.del(conf).of_pod_with("default", &name, &old).run().result();
        assert_eq!(site.annotated(&name), format!("{address}/32"));
        assert_eq!(plane.stored().allocated(), 1);
        assert!(has_network(&two));
        plane.assert_audit_clean();
        two.del(conf).of_pod_with("default", &name, &new).run().result();

        // The new pod has no network yet when the old sandbox ends.
        one.add(conf).of_pod_with("default", &name, &new).run().result();
        plane.admin().delete(&path).unwrap();
        let newer = site.pod(&name);
        one.del(conf).of_pod_with("default", &name, &new).run().result();
        let now = plane.admin().get(&path).unwrap();
        assert_eq!(now["metadata"]["resourceVersion"], newer["metadata"]["resourceVersion"], "{now}");
    });
}

/// The kubelet knows a static pod by a hash; what the API has is a mirror of it, with a UID of its own.
#[test]
fn static_pods() {
    let plane = ControlPlane::shared(ApiGroup::Crd);
    let site = Site::start(&plane);
    let hash = "0f1e2d3c4b5a69788796a5b4c3d2e1f0";
    let annotations = json!({"annotations": {
        "kubernetes.io/config.hash": hash, "kubernetes.io/config.mirror": hash, "kubernetes.io/config.source": "file"
    }});
    let pod = plane.create_pod("node-1", "default", "static-node-1", &annotations);
    both(&site, |conf, mode| {
        for (n, uid) in [hash, &uid(&pod)].into_iter().enumerate() {
            let container = site.host.container(&format!("static-{mode}-{n}"));
            let address = container.add(conf).of_pod_with("default", "static-node-1", uid).run().address();
            assert_eq!(site.annotated("static-node-1"), format!("{address}/32"));
            container.del(conf).of_pod_with("default", "static-node-1", uid).run().result();
            assert_eq!(site.annotated("static-node-1"), "");
        }
    });
}

#[test]
fn pods_that_are_not_there() {
    let plane = ControlPlane::shared(ApiGroup::Crd);
    let site = Site::start(&plane);
    let pods = "/api/v1/namespaces/default/pods";
    both(&site, |conf, mode| {
        let container = site.host.container(&format!("sandbox-{mode}"));
        // None.
        let answer = container.add(conf).of_pod("default", "missing").run();
        answer.error().assert_words(&["pods \"missing\" not found"]);
        site.assert_nothing_left("missing pod");
        container.del(conf).of_pod("default", "missing").run().result();
        let answer = container.add(conf).of_pod("nowhere", "missing").run();
        answer.error().assert_words(&["namespaces \"nowhere\" not found"]);
        container.del(conf).of_pod("nowhere", "missing").run().result();
        site.assert_nothing_left("missing namespace");
        // The same container again.
        let name = format!("web-{mode}");
        site.pod(&name);
        container.add(conf).of_pod("default", &name).run().result();
        // Without the namespace that is told; the host end goes all the same.
        container.del(conf).env("CNI_NETNS", "").of_pod("default", &name).run().result();
        site.assert_nothing_left("no namespace");
        // Finished while it had a network.
        container.add(conf).of_pod("default", &name).run().result();
        plane.admin().patch(&format!("{pods}/{name}/status"), &json!({"status": {"phase": "Succeeded"}})).unwrap();
        container.del(conf).of_pod("default", &name).run().result();
        assert_eq!(site.annotated(&name), "");
        site.assert_nothing_left("finished");
        // Gone, with its namespace.
        let namespace = format!("shop-{mode}");
        plane.create_namespace(&namespace);
        plane.create_pod("node-1", &namespace, "web", &json!({}));
        container.add(conf).of_pod(&namespace, "web").run().result();
        plane.remove_namespace(&namespace);
        container.del(conf).of_pod(&namespace, "web").run().result();
        site.assert_nothing_left("gone");
        // With the host's network, which no runtime asks for.
        let name = format!("host-{mode}");
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
            "spec": {"nodeName": "node-1", "hostNetwork": true, "containers": [{"name": "main", "image": "none"}]}
        });
        plane.admin().create(pods, &pod).unwrap();
        container.add(conf).of_pod("default", &name).run();
        container.del(conf).of_pod("default", &name).run().result();
        site.assert_nothing_left("the host's network");
    });
}

/// A failed ADD, and the same again without a DEL.
#[test]
fn the_same_container_after_a_failed_add() {
    let plane = ControlPlane::shared(ApiGroup::Crd);
    let site = Site::start(&plane);
    site.pod("web");
    let container = site.host.container("sandbox");
    let never = Act::status(500, "InternalError", "etcdserver: no leader");
    for part in ["/ipamblocks", "/status"] {
        let answer = {
            let mut conf = site.conf.clone();
            conf["timeout_seconds"] = json!(1);
            site.gateway.set([Rule::on("write", part, never.clone()).times(usize::MAX)]);
            container.add(&conf).of_pod("default", "web").run()
        };
        assert_eq!(answer.error().code, 11, "{answer:#?}");
        site.add(&container, "web", []).result();
        assert_eq!(plane.stored().allocated(), 1);
        assert_eq!(plane.contradictions(), Vec::<String>::new());
        site.del(&container, "web", []).result();
        site.assert_nothing_left(part);
    }
}
