//! Requests for tokens, and what their answers mean.

use std::time::Duration;

use super::super::Granted;
use super::super::cluster::Cluster;
use super::Setup;
use super::server::answers;
use crate::deadline::Deadline;

const PATH: &str = "POST /api/v1/namespaces/kube-system/serviceaccounts/calico-cni-plugin/token";

/// What becomes of a request that is answered so.
async fn granted(status: u16, body: &'static str) -> Result<Granted, String> {
    let setup = Setup::new(&["h2"], move |asked| match asked.line.as_str() {
        PATH => answers(status, body),
        _ => answers(500, "{}"),
    })
    .await;
    let deadline = Deadline::after(Duration::from_secs(60));
    let cluster = Cluster::connect(&setup.settings, deadline).await.expect("it connects");
    let granted = cluster.request_token("kube-system", "calico-cni-plugin", 86400).await;
    granted.map_err(|error| error.to_string())
}

#[tokio::test]
async fn what_the_api_says_to_a_request_for_a_token() {
    let token = granted(201, r#"{"kind": "TokenRequest", "status": {"token": "swordfish"}}"#).await.unwrap();
    assert!(token == Granted::Token("swordfish".to_owned()) && !format!("{token:?}").contains("swordfish"));
    let account =
        r#"{"kind": "Status", "code": 404, "details": {"kind": "serviceaccounts", "name": "calico-cni-plugin"}}"#;
    assert_eq!(granted(404, account).await, Ok(Granted::NoAccount));
    for unsupported in
        ["404 page not found", r#"{"kind": "Status", "code": 404, "details": {}}"#, r#"{"kind": "Status"}"#]
    {
        assert_eq!(granted(404, unsupported).await, Ok(Granted::Unsupported), "{unsupported}");
    }
    let unknown = granted(401, r#"{"kind": "Status", "message": "Unauthorized"}"#).await.unwrap();
    assert!(matches!(&unknown, Granted::Unknown(text) if text.contains("is not accepted")), "{unknown:?}");
    let message = r#"{"kind": "Status", "message": "User \"system:serviceaccount:a:b\" cannot create resource"}"#;
    let forbidden = granted(403, message).await.unwrap();
    let rule = r#"apiGroups: [""], resources: ["serviceaccounts/token"], verbs: ["create"]"#;
    assert!(matches!(&forbidden, Granted::Forbidden(text) if text.contains(rule)), "{forbidden:?}");
    let odd = granted(201, r#"{"status": {"tokens": "swordfish"}}"#).await.unwrap_err();
    assert!(odd.contains("the answer has no token") && !odd.contains("swordfish"), "{odd}");
    let broken = granted(500, r#"{"kind": "Status", "message": "etcd is gone"}"#).await.unwrap_err();
    assert!(broken.contains("etcd is gone") && broken.contains("/token"), "{broken}");
}
