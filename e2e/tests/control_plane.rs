//! The control plane that other tests run against is what they take it for.

use std::path::Path;

use e2e::{ApiGroup, ControlPlane, ControlPlaneOptions, Doomed, Faults, PLUGIN_ACCOUNT, Place, note, until};
use serde_json::json;

#[test]
fn it_is_reached_from_its_hosts_and_with_the_kubeconfigs() {
    let started = std::time::Instant::now();
    let plane = ControlPlane::start();
    note(&format!("a control plane is ready after {:.1?}", started.elapsed()));
    plane.seed(&["node-1"]);
    let host = plane.host();
    let authority = plane.authority().to_string_lossy().into_owned();
    assert!(Path::new(&authority).is_file());
    assert!(host.succeeds("busybox", &["nc", "-w", "2", "172.31.0.1", "6443", "-e", "/bin/true"]));

    let kubeconfig = plane.kubeconfig_of(PLUGIN_ACCOUNT);
    let text = host.run("cat", &[&kubeconfig.to_string_lossy()]);
    assert!(text.contains(&format!("    server: {}\n", plane.server())), "{text}");
    let kubectl = e2e::kubectl_folder().join("kubectl");
    let mut command = host.program(&kubectl);
    command.env("KUBECONFIG", &kubeconfig).args(["auth", "whoami", "-o", "jsonpath={.status.userInfo.username}"]);
    let output = command.output().unwrap();
    let user = String::from_utf8_lossy(&output.stdout);
    assert_eq!(user, format!("system:serviceaccount:kube-system:{PLUGIN_ACCOUNT}"), "{output:?}");
    assert_eq!(plane.kubectl(&["get", "nodes", "-o", "name"]), "node/node-1\n");

    // What is stored outlives the server, and so do tokens.
    let client = plane.client_of("kube-system", PLUGIN_ACCOUNT);
    assert_eq!(client.list(&plane.collection("ippools")).unwrap().len(), 2);
    plane.restart();
    assert_eq!(client.list(&plane.collection("ippools")).unwrap().len(), 2);

    let proxy = plane.proxy(Path::new(env!("CARGO_BIN_EXE_proxy")), Faults::default());
    let through = plane.kubeconfig_through(PLUGIN_ACCOUNT, proxy.endpoint(), "through-a-proxy");
    let mut command = host.program(&kubectl);
    command.env("KUBECONFIG", &through).args(["get", "node", "node-1", "-o", "name"]);
    let output = command.output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "node/node-1\n", "{output:?}");
    assert!(!proxy.requests().is_empty());
}

#[test]
fn a_shared_one_is_as_if_it_were_new() {
    for group in ApiGroup::ALL {
        for _ in 0..2 {
            let plane = ControlPlane::shared(group);
            for (plural, _) in group.resources() {
                assert!(plane.admin().list(&group.path(plural)).unwrap().is_empty(), "{plural}");
            }
            plane.seed(&["node-1"]);
            plane.create_namespace("shop");
            for namespace in ["shop", "default"] {
                plane.create_pod("node-1", namespace, "web", &json!({}));
            }
            // Something that would wait for a controller.
            let pool = format!("{}/pool4", plane.collection("ippools"));
            plane.admin().patch(&pool, &json!({"metadata": {"finalizers": ["example.org/wait"]}})).unwrap();
            plane.admin().delete(&pool).unwrap();
            assert!(plane.admin().get(&pool).unwrap()["metadata"]["deletionTimestamp"].is_string());
        }
    }
    let plane = ControlPlane::shared(ApiGroup::Crd);
    let started = std::time::Instant::now();
    plane.reset();
    note(&format!("a control plane is emptied in {:.1?}", started.elapsed()));
}

#[test]
fn the_audit_log_has_every_request_once_and_since_a_moment() {
    let plane = ControlPlane::shared(ApiGroup::Crd);
    plane.seed(&["node-1"]);
    let client = plane.client_of("kube-system", PLUGIN_ACCOUNT);
    client.get("/api/v1/nodes/node-1").unwrap();
    for _ in 0..100 {
        let mark = plane.mark();
        assert_eq!(client.get("/api/v1/nodes/none").unwrap_err().code, 404);
        client.list(&format!("{}?limit=500", plane.collection("ippools"))).unwrap();
        let events = plane.audit_of_plugin(mark);
        let seen: Vec<(&str, &str, u16)> =
            events.iter().map(|event| (event.verb.as_str(), event.uri.as_str(), event.code)).collect();
        let pools = "/apis/crd.projectcalico.org/v1/ippools?limit=500";
        assert_eq!(seen, [("get", "/api/v1/nodes/none", 404), ("list", pools, 200)]);
        assert!(plane.audit(mark).len() == 2);
    }
}

#[test]
fn the_other_parts_do_their_work() {
    let options = ControlPlaneOptions { controller_manager: true, scheduler: true, ..ControlPlaneOptions::default() };
    let plane = ControlPlane::with(options);
    plane.seed(&["node-1"]);
    let namespaces = "/api/v1/namespaces";
    plane.create_namespace("shop");
    let authority = format!("{namespaces}/shop/configmaps/kube-root-ca.crt");
    until("a namespace gets the authority", || plane.admin().get(&authority).is_ok());

    // A node without taints that has room is chosen.
    plane.admin().patch("/api/v1/nodes/node-1", &json!({"spec": {"taints": null}})).unwrap();
    let room = json!({"status": {"allocatable": {"pods": "10"}, "capacity": {"pods": "10"}}});
    plane.admin().patch("/api/v1/nodes/node-1/status", &room).unwrap();
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"},
        "spec": {"containers": [{"name": "main", "image": "none"}]}
    });
    plane.admin().create(&format!("{namespaces}/shop/pods"), &pod).unwrap();
    let web = format!("{namespaces}/shop/pods/web");
    until("a pod is scheduled", || plane.admin().get(&web).unwrap()["spec"]["nodeName"] == "node-1");

    // No kubelet says that it has stopped.
    plane.admin().delete(&web).unwrap();
    plane.admin().delete(&format!("{namespaces}/shop")).unwrap();
    until("a namespace is emptied", || plane.admin().get(&format!("{namespaces}/shop")).is_err());
}

#[test]
fn it_ends_with_a_test_that_is_killed() {
    let mut doomed = Doomed::start("it_ends_with_a_test_that_is_killed", |stay| {
        let plane = ControlPlane::start();
        stay(&plane.admin_kubeconfig().to_string_lossy());
    });
    let folder = Path::new(&doomed.said).parent().unwrap().to_owned();
    assert!(folder.is_dir(), "{}", doomed.said);
    doomed.kill();
    // It goes when the last of the processes is gone.
    until("the control plane's folder is removed", || !folder.exists());
}
