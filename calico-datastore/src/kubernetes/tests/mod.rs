//! The client against servers that do what a test wants.

mod server;
mod sources;
mod tokens;
mod views;

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use tokio::io::AsyncWriteExt;
use tokio::time::sleep;

use super::Settings;
use super::call::{Call, Failure, Method, Reply};
use super::client::Client;
use crate::deadline::Deadline;
use crate::error::Error;
use server::{Asked, Authority, Does, Folder, Kind, Server, answers, kubeconfig, proxy};

const NODE: &str = "/api/v1/nodes/here";

/// A server with TLS, and a kubeconfig for it.
struct Setup {
    server: Server,
    folder: Folder,
    authority: Authority,
    settings: Settings,
}

impl Setup {
    async fn new(protocols: &[&'static str], rule: impl Fn(&Asked) -> Does + Send + Sync + 'static) -> Setup {
        Setup::of(Kind { protocols: protocols.to_vec(), ..Kind::default() }, rule).await
    }

    async fn of(kind: Kind, rule: impl Fn(&Asked) -> Does + Send + Sync + 'static) -> Setup {
        let (authority, folder) = (Authority::new(), Folder::new());
        let identity = Some(authority.issue("127.0.0.1", false));
        let server = Server::start(Kind { identity, ..kind }, rule).await;
        let mut setup = Setup { server, folder, authority, settings: Settings::default() };
        setup.user("token: sesame");
        setup
    }

    /// Writes the kubeconfig with this user.
    fn user(&mut self, user: &str) {
        self.config(&format!("certificate-authority-data: {}", STANDARD.encode(self.authority.pem())), user);
    }

    fn config(&mut self, cluster: &str, user: &str) {
        let url = format!("https://{}", self.server.address);
        self.settings.kubeconfig = vec![kubeconfig(&self.folder.0, &url, cluster, user)];
    }

    fn file(&self) -> String {
        self.settings.kubeconfig[0].display().to_string()
    }

    async fn client(&self) -> Client {
        connect(&self.settings).await.expect("it connects")
    }
}

async fn connect(settings: &Settings) -> Result<Client, Error> {
    Client::connect(settings, Deadline::after(Duration::from_secs(60))).await
}

/// The text of the error of connecting, within so many milliseconds.
async fn unconnected(settings: &Settings, time: u64) -> String {
    let connected = Client::connect(settings, Deadline::after(Duration::from_millis(time))).await;
    connected.err().expect("it does not connect").to_string()
}

fn write(method: Method) -> Call {
    Call { method, path: NODE.to_owned(), body: Some(b"{}".to_vec()) }
}

fn text(reply: &Reply) -> &str {
    std::str::from_utf8(&reply.body).expect("a text")
}

fn error(failure: Result<Reply, Failure>) -> String {
    match failure {
        Err(Failure::Error(error) | Failure::Refused(_, error)) => error.to_string(),
        other => panic!("no error: {other:?}"),
    }
}

fn lost(failure: Result<Reply, Failure>) -> String {
    match failure {
        Err(Failure::Lost(text)) => text,
        other => panic!("not lost: {other:?}"),
    }
}

/// Does one thing at first, and answers `{}` then.
fn first(does: impl Fn() -> Does + Send + Sync + 'static) -> impl Fn(&Asked) -> Does + Send + Sync + 'static {
    move |asked| if asked.number == 0 { does() } else { answers(200, "{}") }
}

#[tokio::test]
async fn many_requests_share_one_connection() {
    let setup = Setup::new(&["h2"], |asked| answers(200, &format!("{:?}", asked.line))).await;
    let client = setup.client().await;
    let calls: Vec<Call> = (0..30).map(|number| Call::get(format!("/api/v1/nodes/n{number}"))).collect();
    let mut replies: Vec<_> = calls.iter().map(|call| Box::pin(client.send(call))).collect();
    // All are under way before the first is waited for.
    for reply in &mut replies {
        assert!(poll_once(reply).await.is_none());
    }
    for (number, reply) in replies.into_iter().enumerate() {
        let reply = reply.await.expect("a reply");
        assert_eq!(reply.status, 200);
        assert_eq!(text(&reply), format!("\"GET /api/v1/nodes/n{number}\""));
    }
    assert_eq!(setup.server.connected(), 1);
}

/// Polls once.
async fn poll_once<T>(future: &mut (impl Future<Output = T> + Unpin)) -> Option<T> {
    std::future::poll_fn(|cx| match std::pin::Pin::new(&mut *future).poll(cx) {
        std::task::Poll::Ready(value) => std::task::Poll::Ready(Some(value)),
        std::task::Poll::Pending => std::task::Poll::Ready(None),
    })
    .await
}

#[tokio::test]
async fn a_request_says_what_it_is() {
    let setup = Setup::new(&["h2"], |_| answers(404, "{}")).await;
    let client = setup.client().await;
    for method in [Method::Get, Method::Post, Method::Put, Method::Patch, Method::Delete] {
        let body = (method != Method::Get).then(|| b"{\"a\":1}".to_vec());
        let call = Call { method, path: "/apis/g/v1/things/a?fieldManager=x%2Fy".to_owned(), body };
        assert_eq!(client.send(&call).await.expect("a reply").status, 404);
    }
    let asked = setup.server.asked.lock().expect("no panic");
    let said = |asked: &Asked| {
        assert_eq!((asked.header("authorization"), asked.header("accept")), ("Bearer sesame", "application/json"));
        assert_eq!(asked.header("accept-encoding"), "");
        (
            asked.line.split(' ').next().expect("a method").to_owned(),
            asked.header("content-type").to_owned(),
            asked.body.len(),
        )
    };
    let expected = [
        ("GET", "", 0),
        ("POST", "application/json", 7),
        ("PUT", "application/json", 7),
        ("PATCH", "application/strategic-merge-patch+json", 7),
        ("DELETE", "application/json", 7),
    ];
    for (asked, (method, kind, length)) in asked.iter().zip(expected) {
        assert_eq!(said(asked), (method.to_owned(), kind.to_owned(), length));
        assert!(asked.line.ends_with(" /apis/g/v1/things/a?fieldManager=x%2Fy"), "{}", asked.line);
    }
}

#[tokio::test]
async fn answers_larger_than_the_windows_arrive_beside_each_other() {
    let setup = Setup::new(&["h2"], |_| Does::Answers(200, Vec::new(), vec![b'x'; 9 << 20])).await;
    let client = setup.client().await;
    let call = Call::get(NODE);
    let (one, two, three) = tokio::join!(client.send(&call), client.send(&call), client.send(&call));
    for reply in [one, two, three] {
        assert_eq!(reply.expect("a reply").body.len(), 9 << 20);
    }
    let large = Call { body: Some(vec![b' '; 9 << 20]), ..write(Method::Put) };
    client.send(&large).await.expect("a reply");
    assert_eq!(setup.server.asked.lock().expect("no panic")[3].body.len(), 9 << 20);
}

#[tokio::test]
async fn without_http2_a_few_connections_are_used_again() {
    let setup = Setup::new(&["http/1.1"], |_| answers(200, "{}")).await;
    let client = setup.client().await;
    let call = Call::get(NODE);
    for _ in 0..3 {
        let replies = (0..10).map(|_| client.send(&call));
        let mut replies: Vec<_> = replies.map(Box::pin).collect();
        for reply in &mut replies {
            assert!(poll_once(reply).await.is_none());
        }
        for reply in replies {
            assert_eq!(reply.await.expect("a reply").status, 200);
        }
    }
    let connected = setup.server.connected();
    assert!((1..=4).contains(&connected), "{connected}");
    assert_eq!(setup.server.lines().len(), 30);
    let asked = setup.server.asked.lock().expect("no panic");
    assert_eq!(asked[0].header("host"), setup.server.address.to_string());
}

#[tokio::test]
async fn an_api_root_without_tls_is_reached_too() {
    let server = Server::start(Kind::default(), |_| answers(200, "{}")).await;
    let root = Some(format!("http://{}/prefix/api/v1/", server.address));
    let client = connect(&Settings { server: root, token: Some("t".into()), ..Settings::default() }).await;
    let client = client.expect("it connects");
    client.send(&Call::get(NODE)).await.expect("a reply");
    client.send(&write(Method::Put)).await.expect("a reply");
    assert_eq!(server.lines(), ["GET /prefix/api/v1/nodes/here", "PUT /prefix/api/v1/nodes/here"]);
    assert_eq!(
        (server.connected(), client.name()),
        (1, format!("the Kubernetes API at http://{}/prefix", server.address))
    );
}

#[tokio::test]
async fn a_server_that_leaves_is_connected_again() {
    for method in [Method::Get, Method::Put] {
        for last in [0, 1] {
            let kind = Kind { protocols: vec!["h2"], leaves_after: Some(last), ..Kind::default() };
            let setup = Setup::of(kind, |_| answers(200, "{}")).await;
            let client = setup.client().await;
            let reply = client.send(&write(method)).await;
            // What was not processed is written again too.
            if method == Method::Get || last == 0 {
                assert_eq!(reply.expect("a reply").status, 200, "{method:?} {last}");
                assert_eq!(setup.server.lines().len(), 1, "{method:?} {last}");
            } else {
                lost(reply);
                assert_eq!(setup.server.lines().len(), 0);
                client.send(&Call::get(NODE)).await.expect("a reply");
            }
        }
    }
}

#[tokio::test]
async fn a_refused_request_is_sent_again() {
    for method in [Method::Get, Method::Put] {
        let setup = Setup::new(&["h2"], first(|| Does::Refuses)).await;
        let client = setup.client().await;
        assert_eq!(client.send(&write(method)).await.expect("a reply").status, 200, "{method:?}");
        assert_eq!((setup.server.connected(), setup.server.lines().len()), (1, 2), "{method:?}");
    }
}

#[tokio::test]
async fn what_breaks_is_read_again_but_not_written_again() {
    for protocol in ["h2", "http/1.1"] {
        for (number, does) in [|| Does::Hangs, || Does::Stops].into_iter().enumerate() {
            let setup = Setup::new(&[protocol], first(does)).await;
            let reply = setup.client().await.send(&Call::get(NODE)).await.expect("a reply");
            assert_eq!((reply.status, setup.server.lines().len()), (200, 2), "{protocol} {number}");

            let setup = Setup::new(&[protocol], first(does)).await;
            let client = setup.client().await;
            let text = lost(client.send(&write(Method::Put)).await);
            assert!(text.contains(&format!("the answer of {} was lost", client_name(&setup))), "{text}");
            assert_eq!(setup.server.lines().len(), 1, "{protocol} {number}");
            // What comes next has another connection.
            assert_eq!(client.send(&Call::get(NODE)).await.expect("a reply").status, 200, "{protocol} {number}");
        }
    }
}

fn client_name(setup: &Setup) -> String {
    format!("the Kubernetes API at https://{}", setup.server.address)
}

#[tokio::test(start_paused = true)]
async fn an_overloaded_server_is_left_alone_for_as_long_as_it_wants() {
    let rule = |status: u16, wait: Option<&'static str>| {
        first(move || {
            Does::Answers(
                status,
                wait.map(|wait| ("retry-after", wait.to_owned())).into_iter().collect(),
                b"busy".to_vec(),
            )
        })
    };
    for (status, wait, is_written_again) in [
        (429, Some("7"), true),
        (429, None, true),
        (503, Some("7"), true),
        (503, None, false),
        (500, None, false),
        (504, Some("7"), false),
    ] {
        for method in [Method::Get, Method::Put] {
            let setup = Setup::new(&["h2"], rule(status, wait)).await;
            let client = setup.client().await;
            let begun = tokio::time::Instant::now();
            let reply = client.send(&write(method)).await;
            if method == Method::Get || is_written_again {
                assert_eq!(reply.expect("a reply").status, 200, "{status} {wait:?} {method:?}");
                assert_eq!(
                    begun.elapsed() >= Duration::from_secs(7),
                    wait.is_some() && status != 504,
                    "{status} {wait:?}"
                );
                assert_eq!(setup.server.lines().len(), 2);
            } else {
                let text = lost(reply);
                assert!(text.contains(&format!("{status} busy")), "{text}");
                assert_eq!(setup.server.lines().len(), 1);
                assert!(client.name().contains(&format!("({status} busy)")), "{}", client.name());
            }
        }
    }
}

#[tokio::test]
async fn a_new_token_in_the_kubeconfig_is_taken() {
    type Rotation = Box<dyn FnOnce() + Send>;
    let rotated: Arc<Mutex<Option<Rotation>>> = Arc::default();
    let rotate = rotated.clone();
    let mut setup = Setup::new(&["h2"], move |asked| {
        if let Some(rotate) = rotate.lock().expect("no panic").take() {
            rotate();
        }
        if asked.header("authorization") == "Bearer new" { answers(200, "{}") } else { answers(401, "{}") }
    })
    .await;
    setup.user("token: old");
    let (folder, url) = (setup.folder.0.clone(), format!("https://{}", setup.server.address));
    let ca = format!("certificate-authority-data: {}", STANDARD.encode(setup.authority.pem()));
    *rotated.lock().expect("no panic") = Some(Box::new(move || drop(kubeconfig(&folder, &url, &ca, "token: new"))));
    let client = setup.client().await;
    let (get, put) = (Call::get(NODE), write(Method::Put));
    let (read, written) = tokio::join!(client.send(&get), client.send(&put));
    assert_eq!((read.expect("a reply").status, written.expect("a reply").status), (200, 200));
    // Read once for both, and the connection is kept.
    assert_eq!((setup.server.lines().len(), setup.server.connected()), (4, 1));
}

fn jwt(end: SystemTime) -> String {
    let end = end.duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let claims = format!(r#"{{"exp":{end},"sub":"system:serviceaccount:kube-system:calico-cni-plugin"}}"#);
    format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims))
}

#[tokio::test]
async fn an_expired_token_is_named_with_its_file_and_age() {
    let body = r#"{"kind":"Status","message":"Unauthorized","code":401}"#;
    let mut setup = Setup::new(&["h2"], |_| answers(401, body)).await;
    let token = jwt(SystemTime::now() - Duration::from_secs(3 * 3600 + 12 * 60 + 5));
    setup.user(&format!("token: {token}"));
    let text = error(setup.client().await.send(&Call::get(NODE)).await);
    let expected = format!(
        "may not read the datastore {}: the token of system:serviceaccount:kube-system:calico-cni-plugin (token of user \
         \"calico\" in {}) expired 3h12m ago (401 Unauthorized); is calico-node running on this host? It renews the \
         token: see token of user \"calico\" in {}",
        client_name(&setup),
        setup.file(),
        setup.file(),
    );
    assert_eq!(text, expected);
    assert_eq!(setup.server.lines().len(), 2);
    setup.user(&format!("token: {}", jwt(SystemTime::now() + Duration::from_secs(60))));
    let text = error(setup.client().await.send(&write(Method::Put)).await);
    assert!(text.contains("may not write") && text.contains("is not accepted") && !text.contains("expired"), "{text}");
    setup.user("token: swordfish");
    let text = error(setup.client().await.send(&write(Method::Put)).await);
    assert!(text.contains("the token of user \"calico\" in") && !text.contains("swordfish"), "{text}");
    setup.user("username: me\npassword: swordfish");
    let text = error(setup.client().await.send(&write(Method::Put)).await);
    assert!(text.contains("username and password of user \"calico\"") && !text.contains("swordfish"), "{text}");
    assert_eq!(setup.server.asked.lock().expect("no panic")[6].header("authorization"), "Basic bWU6c3dvcmRmaXNo");
}

#[tokio::test]
async fn a_missing_permission_is_spelled_out() {
    let message = "ipamblocks.crd.projectcalico.org \"10-0-0-0-26\" is forbidden: User \"system:serviceaccount:kube-system:calico-cni-plugin\" \
                   cannot update resource \"ipamblocks\" in API group \"crd.projectcalico.org\" at the cluster scope";
    let body = serde_json::json!({"kind": "Status", "message": message, "code": 403}).to_string();
    let setup = Setup::new(&["h2"], move |_| answers(403, &body)).await;
    let client = setup.client().await;
    let asked = async |method, path: &str| {
        let call = Call { method, path: path.to_owned(), body: None };
        error(client.send(&call).await)
    };
    let blocks = "/apis/crd.projectcalico.org/v1/ipamblocks";
    let expected = format!(
        "may not write the datastore {}: system:serviceaccount:kube-system:calico-cni-plugin may not update ipamblocks of \
         crd.projectcalico.org 10-0-0-0-26 (403 {message}); add this rule to a role that is bound to \
         system:serviceaccount:kube-system:calico-cni-plugin: - apiGroups: [\"crd.projectcalico.org\"], resources: \
         [\"ipamblocks\"], verbs: [\"update\"]",
        client_name(&setup)
    );
    assert_eq!(asked(Method::Put, &format!("{blocks}/10-0-0-0-26")).await, expected);
    for (method, path, what, rule) in [
        (
            Method::Get,
            format!("{blocks}?limit=500"),
            "list ipamblocks of crd.projectcalico.org",
            "resources: [\"ipamblocks\"], verbs: [\"list\"]",
        ),
        (
            Method::Patch,
            "/api/v1/namespaces/default/pods/web-0/status".to_owned(),
            "patch pods/status web-0 in the namespace default",
            "- apiGroups: [\"\"], resources: [\"pods/status\"], verbs: [\"patch\"]",
        ),
        (
            Method::Get,
            "/api/v1/namespaces/default".to_owned(),
            "get namespaces default",
            "resources: [\"namespaces\"], verbs: [\"get\"]",
        ),
        (Method::Get, "/apis".to_owned(), "get /apis", "- nonResourceURLs: [\"/apis\"], verbs: [\"get\"]"),
        (Method::Post, blocks.to_owned(), "create ipamblocks", "verbs: [\"create\"]"),
        (Method::Delete, format!("{blocks}/a"), "delete ipamblocks", "verbs: [\"delete\"]"),
    ] {
        let text = asked(method, &path).await;
        assert!(text.contains(&format!("may not {what}")) && text.contains(rule), "{text}");
    }
}

#[tokio::test]
async fn certificates_that_do_not_fit_are_named() {
    let mut setup = Setup::new(&["h2"], |_| answers(200, "{}")).await;
    let other = STANDARD.encode(Authority::new().pem());
    setup.config(&format!("certificate-authority-data: {other}"), "token: t");
    let text = unconnected(&setup.settings, 60_000).await;
    let place = format!("certificate-authority-data of cluster \"local\" in {}", setup.file());
    assert!(text.contains(&format!("must be signed by the CA in {place}")), "{text}");

    setup.config("insecure-skip-tls-verify: true", "token: t");
    setup.client().await.send(&Call::get(NODE)).await.expect("any certificate will do");

    let ca = format!("certificate-authority-data: {}", STANDARD.encode(setup.authority.pem()));
    setup.config(&format!("{ca}\ntls-server-name: other.example"), "token: t");
    let text = unconnected(&setup.settings, 60_000).await;
    assert!(text.contains("not valid for name") && text.contains("tls-server-name"), "{text}");

    let identity = Some(setup.authority.issue("other.example", false));
    setup.server =
        Server::start(Kind { identity, protocols: vec!["h2"], ..Kind::default() }, |_| answers(200, "{}")).await;
    setup.config(&format!("{ca}\ntls-server-name: other.example"), "token: t");
    setup.client().await.send(&Call::get(NODE)).await.expect("the name is the certificate's");

    let identity = Some(setup.authority.issue("127.0.0.1", true));
    setup.server =
        Server::start(Kind { identity, protocols: vec!["h2"], ..Kind::default() }, |_| answers(200, "{}")).await;
    setup.user("token: t");
    let text = unconnected(&setup.settings, 60_000).await;
    assert!(text.contains("expired") && text.contains("renew the API server's certificate"), "{text}");
}

#[tokio::test]
async fn a_client_certificate_is_shown_and_a_missing_one_named() {
    let authority = Authority::new();
    let kind = || Kind { protocols: vec!["h2"], clients: Some(authority.pem()), ..Kind::default() };
    let mut setup = Setup::of(kind(), |_| answers(200, "{}")).await;
    let (certificate, key) = authority.issue("me", false);
    let data = |text: &str| STANDARD.encode(text);
    setup.user(&format!("client-certificate-data: {}\nclient-key-data: {}", data(&certificate), data(&key)));
    setup.client().await.send(&Call::get(NODE)).await.expect("the certificate is accepted");
    setup.user("token: t");
    let text = error(setup.client().await.send(&Call::get(NODE)).await);
    assert!(
        text.contains("the API server wants a client certificate: see client-certificate of user \"calico\""),
        "{text}"
    );
}

#[tokio::test]
async fn servers_of_another_kind_are_told_apart() {
    let plain = Server::start(Kind::default(), |_| answers(200, "{}")).await;
    let mut setup = Setup::new(&["h2"], |_| answers(200, "{}")).await;
    let tls = std::mem::replace(&mut setup.server, plain);
    setup.user("token: t");
    let text = unconnected(&setup.settings, 300).await;
    assert!(text.contains("https://127.0.0.1") && text.contains("gave up after"), "{text}");

    let go = Server::start(Kind::default(), |_| {
        Does::Answers(400, Vec::new(), b"Client sent an HTTP request to an HTTPS server.\n".to_vec())
    })
    .await;
    let settings = Settings { server: Some(format!("http://{}", go.address)), ..Settings::default() };
    let text = error(connect(&settings).await.expect("it connects").send(&Call::get(NODE)).await);
    assert!(text.contains("write https:// in K8S_API_ENDPOINT, k8s_api_root"), "{text}");
    drop(tls);

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let settings = Settings {
        insecure: true,
        server: Some(listener.local_addr().expect("an address").to_string()),
        ..Settings::default()
    };
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    let text = unconnected(&settings, 300).await;
    assert!(text.contains("does it expect http:// in K8S_API_ENDPOINT, k8s_api_root?"), "{text}");

    let free =
        tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port is free").local_addr().expect("an address");
    let settings = Settings { server: Some(format!("http://{free}")), ..Settings::default() };
    let text = unconnected(&settings, 300).await;
    assert!(text.contains(&format!("cannot connect to the datastore the Kubernetes API at http://{free}: ")), "{text}");
    assert!(text.contains("Connection refused") && text.contains("gave up after 300"), "{text}");
}

#[tokio::test]
async fn a_proxy_is_used_and_may_want_a_password() {
    let mut setup = Setup::new(&["h2"], |_| answers(200, "{}")).await;
    let (address, seen) = proxy("Basic bWU6cEBzcw==").await;
    let ca = format!("certificate-authority-data: {}", STANDARD.encode(setup.authority.pem()));
    setup.config(&format!("{ca}\nproxy-url: http://me:p%40ss@{address}"), "token: t");
    setup.client().await.send(&Call::get(NODE)).await.expect("a reply");
    assert_eq!(*seen.lock().expect("no panic"), [format!("CONNECT {} HTTP/1.1", setup.server.address)]);

    setup.config(&format!("{ca}\nproxy-url: http://me:swordfish@{address}"), "token: t");
    let text = unconnected(&setup.settings, 300).await;
    assert!(text.contains(&format!("the proxy {address} (proxy-url of cluster \"local\" in")), "{text}");
    assert!(text.contains("407 Who are you") && !text.contains("swordfish"), "{text}");
}

/// A user whose credentials a script issues; `more` is added to `exec`.
fn exec(setup: &mut Setup, script: &str, more: &str) {
    let path = setup.folder.write("plugin.sh", script);
    let ca = format!("certificate-authority-data: {}", STANDARD.encode(setup.authority.pem()));
    let user = format!(
        "exec: {{apiVersion: client.authentication.k8s.io/v1, command: /bin/sh, args: [{}, one], env: [{{name: HELLO, value: \
         world}}]{more}}}",
        path.display()
    );
    setup.config(&ca, &user);
}

#[tokio::test]
async fn a_program_issues_credentials_and_is_asked_again_when_they_are_not_accepted() {
    let mut setup = Setup::new(&["h2"], |asked| match asked.header("authorization") {
        "Bearer world-one-2" => answers(200, "{}"),
        _ => answers(401, "{}"),
    })
    .await;
    let script = "cd \"$(dirname \"$0\")\"; echo x >> calls; n=$(wc -l < calls); printf %s \"$KUBERNETES_EXEC_INFO\" > info\n\
         echo '{\"apiVersion\":\"client.authentication.k8s.io/v1\",\"kind\":\"ExecCredential\",\"status\":{\"token\":\"'$HELLO-$1-$n'\"}}'\n";
    exec(&mut setup, script, ", provideClusterInfo: true, interactiveMode: Never");
    let client = setup.client().await;
    client.send(&Call::get(NODE)).await.expect("the second token is accepted");
    let info = std::fs::read(setup.folder.0.join("info")).expect("it was told");
    let info: serde_json::Value = serde_json::from_slice(&info).expect("JSON");
    assert_eq!((&info["kind"], &info["spec"]["interactive"]), (&"ExecCredential".into(), &false.into()));
    assert_eq!(info["spec"]["cluster"]["server"], format!("https://{}", setup.server.address));
    assert_eq!(info["spec"]["cluster"]["certificate-authority-data"], STANDARD.encode(setup.authority.pem()));
    assert_eq!(setup.server.connected(), 1);
    assert!(client.serves(&setup.settings.clone()));
}

#[tokio::test]
async fn a_program_that_fails_is_quoted() {
    let mut setup = Setup::new(&["h2"], |_| answers(200, "{}")).await;
    exec(&mut setup, "echo swordfish; echo log in first >&2; exit 3\n", ", installHint: ask your administrator");
    let text = unconnected(&setup.settings, 60_000).await;
    for part in ["exit status: 3", "log in first", "ask your administrator", "exec of user \"calico\" in "] {
        assert!(text.contains(part) && !text.contains("swordfish"), "{text}");
    }
    exec(&mut setup, "echo '{\"apiVersion\":\"client.authentication.k8s.io/v1beta1\"}'\n", "");
    assert!(unconnected(&setup.settings, 60_000).await.contains("it answers with the apiVersion"));
    exec(&mut setup, "echo '{\"apiVersion\":\"client.authentication.k8s.io/v1\"}'\n", "");
    assert!(unconnected(&setup.settings, 60_000).await.contains("neither a token nor a certificate"));
}

#[tokio::test]
async fn a_program_that_nobody_waits_for_any_more_is_killed() {
    let mut setup = Setup::new(&["h2"], |_| answers(200, "{}")).await;
    exec(&mut setup, "cd \"$(dirname \"$0\")\"; echo $$ > new; mv new pid; exec sleep 600\n", "");
    let pid = setup.folder.0.join("pid");
    let is_started = async {
        while !pid.exists() {
            sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::select! {
        _ = connect(&setup.settings) => panic!("it does not end"),
        () = is_started => {}
    }
    let process = format!("/proc/{}/stat", std::fs::read_to_string(pid).expect("its ID").trim());
    let is_running = || std::fs::read_to_string(&process).is_ok_and(|stat| !stat.contains(") Z "));
    while is_running() {
        sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn a_program_may_issue_a_certificate() {
    let authority = Authority::new();
    let kind = Kind { protocols: vec!["h2"], clients: Some(authority.pem()), ..Kind::default() };
    let mut setup = Setup::of(kind, |_| answers(200, "{}")).await;
    let (certificate, key) = authority.issue("me", false);
    let status = serde_json::json!({"clientCertificateData": certificate, "clientKeyData": key});
    let answer = serde_json::json!({"apiVersion": "client.authentication.k8s.io/v1", "status": status});
    let answer = setup.folder.write("answer", answer.to_string());
    exec(&mut setup, &format!("cat {}\n", answer.display()), "");
    setup.client().await.send(&Call::get(NODE)).await.expect("the certificate is accepted");
}
