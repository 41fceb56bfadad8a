//! The API: down, refusing, and renewing what the kubelet mounts.

use e2e::{ApiGroup, ControlPlane, Place, until};
use nix::sys::signal::Signal;
use serde_json::json;

use crate::node::{ACCOUNT, EXPIRED, Node, PLUGINS};

/// What leads nowhere.
const UNREACHABLE: &str = "unreachable 172.31.0.1/32";

#[test]
fn an_api_that_is_down_at_the_start_is_waited_for() {
    let plane = ControlPlane::shared(ApiGroup::Crd);
    let mut node = Node::of(&plane);
    assert!(plane.server().contains("//172.31.0.1:"));
    for sleep in ["true", "false"] {
        for name in node.names("host/etc/cni/net.d") {
            std::fs::remove_file(node.path("host/etc/cni/net.d").join(name)).unwrap();
        }
        node.set("SLEEP", sleep);
        node.host.ip(&format!("route add {UNREACHABLE}"));
        let mut installer = node.start_installer();
        installer.wait_for("no new token for the plugins: trying again");
        assert!(installer.log().contains("172.31.0.1:6443"), "{}", installer.log());
        assert_eq!(node.names("host/opt/cni/bin"), PLUGINS);
        // By the configuration the node would become ready.
        assert!(node.names("host/etc/cni/net.d").is_empty());
        if sleep == "true" {
            let (status, text) = node.ask("/readyz").unwrap();
            assert!(status == 503 && text.contains("172.31.0.1:6443"), "{text}");
        }
        node.host.ip(&format!("route del {UNREACHABLE}"));
        installer.wait_for("everything is installed");
        assert_eq!(node.names("host/etc/cni/net.d"), ["10-calico.conflist", "calico-kubeconfig"]);
        // It is told once, not at every attempt.
        assert_eq!(installer.log().matches("trying again").count(), 1, "{}", installer.log());
        match sleep {
            "true" => installer.end(),
            _ => assert_eq!(installer.wait(), Some(0)),
        }
    }
    // It ends at once while it waits, also for an answer. Who was to install and to end says that it has not.
    node.set("SLEEP", "true");
    std::fs::remove_file(node.path("host/etc/cni/net.d/calico-kubeconfig")).unwrap();
    node.host.ip(&format!("route add {UNREACHABLE}"));
    let mut installer = node.start_installer();
    installer.wait_for("trying again");
    installer.end();
    node.host.ip(&format!("route del {UNREACHABLE}"));
    plane.pause();
    node.set("SLEEP", "false");
    let mut installer = node.start_installer();
    installer.wait_for("installing");
    installer.signal(Signal::SIGINT);
    let code = installer.wait();
    plane.resume();
    assert_eq!(code, Some(1), "{}", installer.log());
    assert!(installer.log().contains("a signal ended it before everything was installed"), "{}", installer.log());
    assert!(!node.path("host/etc/cni/net.d/calico-kubeconfig").exists());
}

#[test]
fn a_mounted_token_that_has_expired_is_read_again() {
    let plane = ControlPlane::shared(ApiGroup::Crd);
    let mut node = Node::of(&plane);
    let authority = std::fs::read(plane.authority()).unwrap();
    let good = plane.token_of("kube-system", ACCOUNT);
    for sleep in ["true", "false"] {
        let _ = std::fs::remove_file(node.path("host/etc/cni/net.d/calico-kubeconfig"));
        node.set("SLEEP", sleep);
        node.mount_account(EXPIRED, &authority);
        let mut installer = node.start_installer();
        installer.wait_for("The kubelet renews it");
        let log = installer.log();
        assert!(log.contains("serviceaccount: it expired ") && log.contains("h ago. The kubelet"), "{log}");
        assert!(!node.path("host/etc/cni/net.d/calico-kubeconfig").exists());
        node.mount_account(&good, &authority);
        installer.wait_for("everything is installed");
        match sleep {
            "true" => installer.end(),
            _ => assert_eq!(installer.wait(), Some(0)),
        }
    }
}

#[test]
fn what_the_kubelet_renews_is_followed() {
    let plane = ControlPlane::shared(ApiGroup::Crd);
    let node = Node::of(&plane);
    let authority = std::fs::read(plane.authority()).unwrap();
    let installer = node.start_installer();
    node.wait_until_ready();
    let first = node.token();
    let renewed = plane.token_of("kube-system", ACCOUNT);
    node.mount_account(&renewed, &authority);
    until("there is another token", || node.token() != first && !node.token().is_empty());
    assert_ne!(node.token(), renewed, "the plugins' token is not the installer's");
    // A further authority, as while that of the cluster is replaced.
    let before = node.kubeconfig();
    node.mount_account(&renewed, &[&authority[..], &authority].concat());
    until("both authorities are there", || node.kubeconfig().len() > before.len() + authority.len());
    node.wait_until_ready();
    installer.end();
}

#[test]
fn refusals_say_what_to_apply() {
    let plane = ControlPlane::shared(ApiGroup::Crd);
    let mut node = Node::of(&plane);
    node.set("CALICO_CNI_SERVICE_ACCOUNT", "somebody");
    node.install().assert_failed(
        3,
        &[
            "system:serviceaccount:kube-system:calico-install may not create serviceaccounts/token",
            r#"apiGroups: [""], resources: ["serviceaccounts/token"], verbs: ["create"]"#,
            "manifests/rbac/calico-install.yaml",
            r#"resourceNames: ["somebody"]"#,
        ],
    );
    assert!(node.names("host/etc/cni/net.d").is_empty());
    // One that stays sees it when it is there.
    node.set("SLEEP", "true");
    let mut installer = node.start_installer();
    installer.wait_for("may not create serviceaccounts/token");
    let name = json!({"name": "e2e-somebody", "namespace": "kube-system"});
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": name,
        "rules": [{"apiGroups": [""], "resources": ["serviceaccounts/token"], "verbs": ["create"]}]
    });
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": name,
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "e2e-somebody"},
        "subjects": [{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": "kube-system"}]
    });
    let rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/kube-system";
    plane.admin().create(&format!("{rbac}/roles"), &role).unwrap();
    plane.admin().create(&format!("{rbac}/rolebindings"), &binding).unwrap();
    until("the account is missed", || {
        node.ask("/readyz").is_some_and(|(_, text)| {
            text.contains(
                "no service account somebody in the namespace kube-system: apply manifests/rbac/calico-cni-plugin.yaml",
            )
        })
    });
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "somebody"}});
    let accounts = "/api/v1/namespaces/kube-system/serviceaccounts";
    plane.admin().create(accounts, &account).unwrap();
    node.wait_until_ready();
    installer.end();
    for path in [
        format!("{rbac}/roles/e2e-somebody"),
        format!("{rbac}/rolebindings/e2e-somebody"),
        format!("{accounts}/somebody"),
    ] {
        plane.admin().delete(&path).unwrap();
    }
    // Calico's objects are not this account's to make, by what every cluster applies. Which is refused first is open.
    let v3 = ControlPlane::start();
    let mut node = Node::of(&v3);
    node.set("STANDALONE", "true");
    node.install().assert_failed(3, &["STANDALONE=true", "of crd.projectcalico.org", "add this rule"]);
}
