//! What somebody may do, as the API server says it.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::control_plane::client::Client;

const REVIEWS: &str = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews";

impl Client {
    /// What this client may do in a namespace, in the words of [`rights`], with a name behind where it is that object
    /// alone. Without what everybody may, which is to ask what they may do.
    pub fn rights(&self, namespace: &str) -> BTreeSet<String> {
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview", "spec": {"namespace": namespace}
        });
        let answer = self.create(REVIEWS, &review).unwrap_or_else(|refusal| panic!("{REVIEWS}: {refusal}"));
        assert_eq!(answer["status"]["incomplete"], false, "{answer}");
        let mut found = BTreeSet::new();
        for rule in answer["status"]["resourceRules"].as_array().into_iter().flatten() {
            let texts = |field: &str| -> Vec<&str> {
                rule[field].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
            };
            let of_rule = rights(&texts("verbs"), &texts("apiGroups"), &texts("resources"));
            match &texts("resourceNames")[..] {
                [] => found.extend(of_rule),
                names => found.extend(of_rule.iter().flat_map(|r| names.iter().map(move |name| format!("{r} {name}")))),
            }
        }
        let reviews = ["selfsubjectaccessreviews", "selfsubjectrulesreviews"];
        let mut everybodys = rights(&["create"], &["authorization.k8s.io"], &reviews);
        everybodys.extend(rights(&["create"], &["authentication.k8s.io"], &["selfsubjectreviews"]));
        for right in everybodys {
            assert!(found.remove(&right), "{right} is not among {found:#?}");
        }
        found
    }
}

/// Every one of these verbs on every one of these resources: `get ippools.crd.projectcalico.org`.
pub fn rights(verbs: &[&str], groups: &[&str], resources: &[&str]) -> BTreeSet<String> {
    let mut rights = BTreeSet::new();
    for verb in verbs {
        for group in groups {
            let dot = if group.is_empty() { "" } else { "." };
            rights.extend(resources.iter().map(|resource| format!("{verb} {resource}{dot}{group}")));
        }
    }
    rights
}
