//! Who may not do what it must says so, and leaves nothing.

use std::time::Duration;

use e2e::{ApiGroup, ControlPlane, PLUGIN_ACCOUNT};
use serde_json::{Value, json};

use crate::site::{OfPod, Site};

/// A token of the plugin's account that expired in 2001.
const EXPIRED: &str = "eyJhbGciOiJSUzI1NiJ9.eyJleHAiOjEwMDAwMDAwMDAsInN1YiI6InN5c3RlbTpzZXJ2aWNlYWNjb3VudDprdWJlLXN5c3RlbTpjYWxpY28tY25pLXBsdWdpbiJ9.c2ln";

/// What an ADD and a DEL need: group, resource, verb.
const NEEDED: [(&str, &str, &str); 18] = [
    ("", "pods", "get"),
    ("", "namespaces", "get"),
    ("", "pods/status", "patch"),
    ("crd.projectcalico.org", "blockaffinities", "create"),
    ("crd.projectcalico.org", "blockaffinities", "get"),
    ("crd.projectcalico.org", "blockaffinities", "list"),
    ("crd.projectcalico.org", "blockaffinities", "update"),
    ("crd.projectcalico.org", "clusterinformations", "get"),
    ("crd.projectcalico.org", "ipamblocks", "create"),
    ("crd.projectcalico.org", "ipamblocks", "get"),
    ("crd.projectcalico.org", "ipamblocks", "list"),
    ("crd.projectcalico.org", "ipamblocks", "update"),
    ("crd.projectcalico.org", "ipamconfigs", "get"),
    ("crd.projectcalico.org", "ipamhandles", "create"),
    ("crd.projectcalico.org", "ipamhandles", "delete"),
    ("crd.projectcalico.org", "ipamhandles", "get"),
    ("crd.projectcalico.org", "ippools", "list"),
    ("crd.projectcalico.org", "ipreservations", "list"),
];

const ROLES: &str = "/apis/rbac.authorization.k8s.io/v1/clusterroles";
const BINDINGS: &str = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";
const ACCOUNTS: &str = "/api/v1/namespaces/kube-system/serviceaccounts";
const LIMITED: &str = "limited";

/// A role with what the plugin's has, but for one verb of one resource.
fn role_without(plane: &ControlPlane, lacking: Option<(&str, &str, &str)>) -> Value {
    let role = plane.admin().get(&format!("{ROLES}/{PLUGIN_ACCOUNT}")).unwrap();
    let texts = |value: &Value| -> Vec<String> { serde_json::from_value(value.clone()).unwrap() };
    let mut rules = Vec::new();
    for rule in role["rules"].as_array().unwrap() {
        for group in texts(&rule["apiGroups"]) {
            for resource in texts(&rule["resources"]) {
                for verb in texts(&rule["verbs"]) {
                    if lacking != Some((&group, &resource, &verb)) {
                        rules.push(json!({"apiGroups": [group], "resources": [resource], "verbs": [verb]}));
                    }
                }
            }
        }
    }
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": LIMITED}, "rules": rules
    })
}

/// An account whose rights are changed, which is gone with the value.
struct Limited<'p> {
    plane: &'p ControlPlane,
    client: e2e::Client,
}

impl<'p> Limited<'p> {
    fn create(plane: &'p ControlPlane) -> Limited<'p> {
        let meta = json!({"name": LIMITED});
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta});
        plane.admin().create(ACCOUNTS, &account).unwrap();
        plane.admin().create(ROLES, &role_without(plane, None)).unwrap();
        let binding = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": meta,
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": LIMITED},
            "subjects": [{"kind": "ServiceAccount", "name": LIMITED, "namespace": "kube-system"}]
        });
        plane.admin().create(BINDINGS, &binding).unwrap();
        Limited { plane, client: plane.client_of("kube-system", LIMITED) }
    }

    /// Takes one right away, and gives back all others.
    fn set(&self, lacking: Option<(&str, &str, &str)>) {
        self.plane.admin().update(&format!("{ROLES}/{LIMITED}"), &role_without(self.plane, lacking)).unwrap();
        for right in NEEDED {
            e2e::until("the authorizer has seen the role", || self.may(right) == (lacking != Some(right)));
        }
    }

    fn may(&self, (group, resource, verb): (&str, &str, &str)) -> bool {
        let (resource, sub) = resource.split_once('/').unwrap_or((resource, ""));
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {"group": group, "resource": resource, "subresource": sub, "verb": verb}}
        });
        let answer = self.client.create("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", &review).unwrap();
        answer["status"]["allowed"] == true
    }
}

impl Drop for Limited<'_> {
    fn drop(&mut self) {
        for collection in [ACCOUNTS, ROLES, BINDINGS] {
            let _ = self.plane.admin().delete(&format!("{collection}/{LIMITED}"));
        }
    }
}

#[test]
fn a_right_that_is_missing_is_named_and_nothing_is_left() {
    let plane = ControlPlane::shared(ApiGroup::Crd);
    let site = Site::start(&plane);
    let limited = Limited::create(&plane);
    let mut conf = site.direct.clone();
    conf["kubernetes"]["kubeconfig"] = json!(plane.kubeconfig_of(LIMITED));
    site.pod("web");
    let container = site.host.container("sandbox");
    let mut bad = Vec::new();
    for right in NEEDED {
        let (group, resource, verb) = right;
        limited.set(Some(right));
        // Without a block, so that every right is needed.
        site.make_cold();
        let add = container.add(&conf).of_pod("default", "web").run();
        let mut left = site.leftovers();
        if right == ("crd.projectcalico.org", "ipamblocks", "update") {
            // Before a handle goes, its block must be written: it stays until that may be done.
            left.retain(|line| !line.contains("handle k8s-pod-network.sandbox"));
        }
        let full = container.add(&site.direct).of_pod("default", "web").run();
        if add.exit == Some(0) {
            full.result();
        }
        let del = container.del(&conf).of_pod("default", "web").run();
        let errors: Vec<String> = [&add, &del]
            .into_iter()
            .filter(|answer| answer.exit != Some(0))
            .map(|answer| answer.error().text)
            .collect();
        let rule = format!("- apiGroups: [{group:?}], resources: [{resource:?}], verbs: [{verb:?}]");
        let named =
            errors.iter().all(|error| error.contains(&rule) && error.contains(&format!("may not {verb} {resource}")));
        if !named || add.exit != Some(0) && !left.is_empty() {
            bad.push(format!("{right:?}: {errors:#?}\n{left:#?}"));
        }
        container.del(&site.direct).of_pod("default", "web").run().result();
        site.assert_nothing_left(&format!("{right:?}"));
    }
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

#[test]
fn credentials_that_are_not_accepted() {
    let plane = ControlPlane::shared(ApiGroup::Crd);
    let site = Site::start(&plane);
    site.pod("web");
    let container = site.host.container("sandbox");
    let fails = |kubeconfig: std::path::PathBuf, words: &[&str]| {
        let mut conf = site.direct.clone();
        conf["kubernetes"]["kubeconfig"] = json!(kubeconfig);
        for verb in ["ADD", "DEL"] {
            let answer = container.call("calico", verb, &conf).of_pod("default", "web").run();
            answer.error().assert_words(words);
            // At once: another attempt would end the same way.
            assert!(answer.wall < Duration::from_secs(5), "{answer:#?}");
        }
        site.assert_nothing_left(words[0]);
    };
    let expired = plane.kubeconfig_to(&site.gateway, EXPIRED, "expired");
    fails(
        expired,
        &[
            "the token of system:serviceaccount:kube-system:calico-cni-plugin",
            "expired.kubeconfig",
            "expired",
            "d",
            "ago",
        ],
    );
    let unknown = plane.kubeconfig_to(&site.gateway, "nonsense", "unknown");
    fails(unknown, &["is not accepted", "unknown.kubeconfig", "renew it"]);
    let other_authority = plane.kubeconfig_through(PLUGIN_ACCOUNT, site.gateway.endpoint(), "other-authority");
    fails(other_authority, &["certificate", "must be signed by the CA in", "other-authority.kubeconfig"]);
}

#[test]
fn a_server_that_says_nothing() {
    let plane = ControlPlane::shared(ApiGroup::Crd);
    let site = Site::start(&plane);
    site.pod("web");
    let mut conf = site.direct.clone();
    conf["timeout_seconds"] = json!(2);
    let container = site.host.container("sandbox");
    for verb in ["ADD", "DEL"] {
        plane.pause();
        let answer = container.call("calico", verb, &conf).of_pod("default", "web").run();
        plane.resume();
        answer.error().assert_words(&["the Kubernetes API at https://172.31.0.1:6443"]);
        assert!(answer.wall < Duration::from_secs(15), "{answer:#?}");
        site.assert_nothing_left(verb);
    }
}
