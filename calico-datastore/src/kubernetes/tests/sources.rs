//! What the settings, the kubeconfig and the environment say together.

use std::path::PathBuf;

use super::super::access::{Access, Credentials, Surroundings, resolve};
use super::super::settings::Settings;
use super::server::{Folder, kubeconfig};

/// Nothing but these variables, and no service account but in this folder.
fn around(folder: &Folder, variables: &[(&'static str, &str)]) -> Surroundings {
    let variables: Vec<(&str, String)> = variables.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    let variable = move |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone());
    Surroundings { variable: Box::new(variable), service_account: folder.0.join("account") }
}

fn of(files: &[PathBuf]) -> Settings {
    Settings { kubeconfig: files.to_vec(), ..Settings::default() }
}

fn found(settings: &Settings, folder: &Folder) -> Access {
    resolve(settings, &around(folder, &[])).unwrap_or_else(|error| panic!("{error}"))
}

fn refused(settings: &Settings, folder: &Folder) -> String {
    resolve(settings, &around(folder, &[])).err().expect("it is refused").to_string()
}

fn token(access: &Access) -> (&str, &str) {
    match &access.credentials {
        Credentials::Token(text) => (std::str::from_utf8(&text.bytes).expect("a text"), text.origin.as_str()),
        _ => panic!("no token"),
    }
}

#[test]
fn data_is_preferred_to_files_and_files_are_beside_the_kubeconfig() {
    let folder = Folder::new();
    folder.write("ca.pem", "file");
    folder.write("token", " from file \n");
    let file =
        kubeconfig(&folder.0, "https://a:6443", "certificate-authority: ca.pem", "token: text\ntokenFile: token");
    let access = found(&of(std::slice::from_ref(&file)), &folder);
    let ca = access.ca.as_ref().expect("a CA");
    assert_eq!(ca.bytes, b"file");
    let expected = format!(
        "{} (certificate-authority of cluster \"local\" in {})",
        folder.0.join("ca.pem").display(),
        file.display()
    );
    assert_eq!(ca.origin, expected);
    assert_eq!(token(&access).0, "from file");
    let data = "certificate-authority: ca.pem\ncertificate-authority-data: ZGF0YQ==";
    let file = kubeconfig(&folder.0, "https://a:6443", data, "token: text\ntokenFile: gone");
    let access = found(&of(&[file]), &folder);
    assert_eq!(access.ca.as_ref().expect("a CA").bytes, b"data");
    assert_eq!(token(&access).0, "text");
}

#[test]
fn the_first_file_that_has_a_name_defines_it() {
    let folder = Folder::new();
    let one = folder.write(
        "one",
        "clusters: [{name: c, cluster: {server: 'https://one'}}]\ncontexts: [{name: x, context: {cluster: c, user: u}}]\n",
    );
    let two = folder.write(
        "two",
        "current-context: x\nclusters: [{name: c, cluster: {server: 'https://two', insecure-skip-tls-verify: true}}]\n\
         users: [{name: u, user: {token: two}}, {name: v, user: {token: v}}]\n\
         contexts: [{name: x, context: {cluster: c, user: v}}, {name: y, context: {cluster: c, user: v}}]\n",
    );
    let gone = folder.0.join("gone");
    let access = found(&of(&[one.clone(), gone.clone(), two.clone()]), &folder);
    assert_eq!((access.server.to_string().as_str(), access.insecure, token(&access).0), ("https://one/", false, "two"));
    let access = found(&of(&[two.clone(), one.clone()]), &folder);
    assert_eq!((access.server.to_string().as_str(), access.insecure, token(&access).0), ("https://two/", true, "v"));
    let other = Settings { context: Some("y".into()), ..of(&[one.clone(), two]) };
    assert_eq!(token(&found(&other, &folder)).0, "v");
    let text = refused(&Settings { context: Some("z".into()), ..other }, &folder);
    assert!(text.contains("there is no context \"z\" (K8S_CURRENT_CONTEXT)"), "{text}");
    assert!(refused(&of(&[one]), &folder).contains("there is no current-context"));
    assert!(
        refused(&of(std::slice::from_ref(&gone)), &folder)
            .contains(&format!("the kubeconfig {}: No such file", gone.display()))
    );
}

#[test]
fn a_kubeconfig_in_json_will_do() {
    let folder = Folder::new();
    let text = "{\n\t\"current-context\": \"x\",\n\t\"clusters\": [{\"name\": \"c\", \"cluster\": {\"server\": \"https://a\"}}],\n\
        \t\"users\": [], \"contexts\": [{\"name\": \"x\", \"context\": {\"cluster\": \"c\"}}]}";
    let access = found(&of(&[folder.write("json", text)]), &folder);
    assert!(access.server == "https://a" && access.credentials == Credentials::None);
}

#[test]
fn settings_replace_what_the_kubeconfig_says() {
    let folder = Folder::new();
    let (ca, cert, key) = (folder.write("ca", "CA"), folder.write("cert", "CERT"), folder.write("key", "KEY"));
    let user = "tokenFile: gone\nclient-certificate: gone\nclient-key: gone";
    let file = kubeconfig(&folder.0, "https://a:6443", "certificate-authority: gone", user);
    let settings = Settings {
        server: Some("https://b:1/api/v1/".into()),
        ca_file: Some(ca),
        cert_file: Some(cert),
        key_file: Some(key),
        token: Some("mine".into()),
        ..of(std::slice::from_ref(&file))
    };
    let access = found(&settings, &folder);
    assert_eq!(access.server, "https://b:1");
    assert_eq!(access.ca.as_ref().expect("a CA").bytes, b"CA");
    let (cert, key) = access.identity.as_ref().expect("a certificate");
    assert_eq!((cert.bytes.as_slice(), key.bytes.as_slice()), (&b"CERT"[..], &b"KEY"[..]));
    assert_eq!(token(&access), ("mine", "policy.k8s_auth_token"));
    let insecure = Settings { ca_file: None, insecure: true, ..settings };
    let access = found(&insecure, &folder);
    assert!(access.insecure && access.ca.is_none());
    assert!(refused(&of(&[file]), &folder).contains("gone (certificate-authority of cluster \"local\" in "));
}

#[test]
fn a_server_alone_is_enough_and_its_scheme_is_guessed() {
    let folder = Folder::new();
    let server = |server: &str| Settings { server: Some(server.into()), ..Settings::default() };
    assert_eq!(found(&server("10.0.0.1:8080"), &folder).server, "http://10.0.0.1:8080");
    let insecure = Settings { insecure: true, ..server("10.0.0.1:6443") };
    assert_eq!(found(&insecure, &folder).server, "https://10.0.0.1:6443");
    for wrong in ["https://", "ftp://a", "https://a b", "https://me:swordfish@a"] {
        let text = refused(&server(wrong), &folder);
        assert!(text.contains("K8S_API_ENDPOINT, k8s_api_root (") && !text.contains("swordfish"), "{text}");
    }
}

#[test]
fn without_settings_home_comes_before_the_pod() {
    let folder = Folder::new();
    std::fs::create_dir_all(folder.0.join("account")).expect("a folder");
    std::fs::create_dir_all(folder.0.join(".kube")).expect("a folder");
    folder.write("account/token", "pod\n");
    folder.write("account/ca.crt", "CA");
    let home = folder.0.display().to_string();
    let pod = [("KUBERNETES_SERVICE_HOST", "fd00::1"), ("KUBERNETES_SERVICE_PORT", "443"), ("HOME", home.as_str())];
    let here = around(&folder, &pod);
    let access = resolve(&Settings::default(), &here).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((access.server.to_string().as_str(), token(&access).0), ("https://[fd00::1]:443/", "pod"));
    assert_eq!(access.ca.as_ref().expect("a CA").bytes, b"CA");
    let text = refused(&Settings::default(), &folder);
    assert!(text.contains("neither a kubeconfig nor a server is configured"), "{text}");
    let file = kubeconfig(&folder.0, "https://home", "", "token: home");
    std::fs::rename(file, folder.0.join(".kube/config")).expect("it is moved");
    let access = resolve(&Settings::default(), &here).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(access.server, "https://home");
    let server = Settings { server: Some("http://a".into()), ..Settings::default() };
    let access = resolve(&server, &here).unwrap_or_else(|error| panic!("{error}"));
    assert!(access.server == "http://a" && access.credentials == Credentials::None);
}

#[test]
fn what_cannot_be_used_is_named() {
    let folder = Folder::new();
    let text = |cluster: &str, user: &str| {
        let file = kubeconfig(&folder.0, "https://a", cluster, user);
        let text = refused(&of(std::slice::from_ref(&file)), &folder);
        assert!(text.contains(&file.display().to_string()), "{text}");
        text
    };
    for (cluster, user, part) in [
        ("", "client-certificate-data: eA==", "has a client-certificate, but no client-key"),
        ("", "client-key-data: eA==", "has a client-key, but no client-certificate"),
        ("certificate-authority-data: '%'", "", "certificate-authority-data of cluster \"local\" in "),
        ("certificate-authority-data: eA==\ninsecure-skip-tls-verify: true", "", "insecure-skip-tls-verify beside"),
        ("proxy-url: socks5://a:1", "", "proxies by socks5 are not supported"),
        ("", "as: someone", "as of user \"calico\""),
        ("", "auth-provider: {name: gcp}", "auth-provider of user \"calico\""),
        ("", "exec: {apiVersion: client.authentication.k8s.io/v1alpha1, command: a}", "v1alpha1\" is not supported"),
        ("", "exec: {apiVersion: client.authentication.k8s.io/v1}", "there is no command"),
        ("server: [", "", "the kubeconfig "),
    ] {
        let text = text(cluster, user);
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn a_proxy_of_the_environment_counts_unless_the_kubeconfig_has_one() {
    let folder = Folder::new();
    let variables = [("HTTPS_PROXY", "http://env:1"), ("NO_PROXY", "other")];
    let host = |cluster: &str, server: &str| {
        let file = kubeconfig(&folder.0, server, cluster, "");
        let access = resolve(&of(&[file]), &around(&folder, &variables)).unwrap_or_else(|error| panic!("{error}"));
        access.proxy.map(|proxy| proxy.host)
    };
    assert_eq!(host("", "https://a").as_deref(), Some("env"));
    assert_eq!(host("proxy-url: http://mine:1", "https://a").as_deref(), Some("mine"));
    assert_eq!(host("", "https://other"), None);
    assert_eq!(host("", "http://a"), None);
}
