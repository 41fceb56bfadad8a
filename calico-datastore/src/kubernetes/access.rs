//! How to reach the API and as whom: what the settings, the kubeconfig and the environment say together.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tonic::transport::Uri;

use super::exec::Plugin;
use super::kubeconfig::{Entry, Kubeconfig, Text, invalid};
use super::proxy;
use super::settings::Settings;
use crate::error::Error;
use crate::tunnel::Proxy;

/// Where a pod finds what its service account has.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Everything that is needed to connect, except what an exec plugin issues.
#[derive(Clone, PartialEq)]
pub struct Access {
    /// The server's URL.
    pub server: Uri,
    /// Which setting names it.
    pub server_setting: String,
    /// The certificates that sign the server's.
    pub ca: Option<Text>,
    /// Which setting names them.
    pub ca_setting: String,
    /// Our certificate and its key.
    pub identity: Option<(Text, Text)>,
    /// Whether any certificate of the server is accepted.
    pub insecure: bool,
    /// The name that the server's certificate must have, instead of the URL's.
    pub tls_server_name: Option<String>,
    /// The proxy on the way.
    pub proxy: Option<Proxy>,
    /// Whom the API should take us for, for messages.
    pub user: String,
    /// What proves it, beside the certificate.
    pub credentials: Credentials,
}

/// What proves who we are.
#[derive(Clone, PartialEq)]
pub enum Credentials {
    /// Nothing but, maybe, a certificate.
    None,
    /// A bearer token.
    Token(Text),
    /// A name and a password, in base64.
    Basic(String),
    /// A program issues it.
    Exec(Plugin),
}

impl Access {
    /// Whether connections for both are made in the same way.
    pub fn leads_as(&self, other: &Access) -> bool {
        let way = |access: &Access| Access { user: String::new(), credentials: Credentials::None, ..access.clone() };
        way(self) == way(other)
    }
}

/// Looks a variable of the environment up.
type Variables = dyn Fn(&str) -> Option<String>;

/// What is found outside of the settings.
pub struct Surroundings {
    /// The environment.
    pub variable: Box<Variables>,
    /// The folder of a pod's service account.
    pub service_account: PathBuf,
}

/// The surroundings of this process.
pub fn surroundings() -> Surroundings {
    Surroundings { variable: Box::new(|name| std::env::var(name).ok()), service_account: SERVICE_ACCOUNT.into() }
}

/// Reads everything that the settings name.
pub fn resolve(settings: &Settings, around: &Surroundings) -> Result<Access, Error> {
    let mut access = match kubeconfig_files(settings, around) {
        Some(files) => of_kubeconfig(settings, &files)?,
        None if settings.server.is_some() => nowhere(),
        None => in_cluster(around)?,
    };
    if let Some(path) = &settings.ca_file {
        access.ca_setting = "K8S_CA_FILE, policy.k8s_certificate_authority".to_owned();
        access.ca = Some(Text::read(path, &access.ca_setting)?);
    }
    if let (Some(cert), Some(key)) = (&settings.cert_file, &settings.key_file) {
        let cert = Text::read(cert, "K8S_CERT_FILE, policy.k8s_client_certificate")?;
        access.identity = Some((cert, Text::read(key, "K8S_KEY_FILE, policy.k8s_client_key")?));
    }
    if let Some(token) = &settings.token {
        let origin = "policy.k8s_auth_token".to_owned();
        access.credentials = Credentials::Token(Text { bytes: token.trim().as_bytes().to_vec(), origin });
    }
    if settings.insecure {
        access.insecure = true;
        access.ca = None;
    }
    if let Some(server) = &settings.server {
        let root = server.split("/api/").next().unwrap_or_default();
        access.server_setting = "K8S_API_ENDPOINT, k8s_api_root".to_owned();
        access.server = url(root, &access)?;
    }
    if access.insecure && access.ca.is_some() {
        let reason = format!("insecure-skip-tls-verify beside {}", access.ca_setting);
        return Err(invalid(reason, "remove one of the two"));
    }
    if access.proxy.is_none() {
        access.proxy = proxy::of_environment(&access.server, &around.variable)?;
    }
    Ok(access)
}

/// The kubeconfig files, if there are any.
fn kubeconfig_files(settings: &Settings, around: &Surroundings) -> Option<Vec<PathBuf>> {
    if !settings.kubeconfig.is_empty() {
        return Some(settings.kubeconfig.clone());
    }
    let home = (around.variable)("HOME").filter(|home| !home.is_empty() && settings.server.is_none())?;
    let path = Path::new(&home).join(".kube/config");
    path.is_file().then(|| vec![path])
}

/// What is known when nothing is.
fn nowhere() -> Access {
    Access {
        server: Uri::default(),
        server_setting: String::new(),
        ca: None,
        ca_setting: "K8S_CA_FILE, policy.k8s_certificate_authority".to_owned(),
        identity: None,
        insecure: false,
        tls_server_name: None,
        proxy: None,
        user: "nobody".to_owned(),
        credentials: Credentials::None,
    }
}

fn in_cluster(around: &Surroundings) -> Result<Access, Error> {
    let variable = |name| (around.variable)(name).filter(|value| !value.is_empty());
    let (Some(host), Some(port)) = (variable("KUBERNETES_SERVICE_HOST"), variable("KUBERNETES_SERVICE_PORT")) else {
        return Err(invalid(
            "neither a kubeconfig nor a server is configured, and this is no pod".to_owned(),
            "set kubernetes.kubeconfig in the network configuration, or KUBECONFIG",
        ));
    };
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    let token = Text::read(&around.service_account.join("token"), "the token of the pod's service account")?;
    let ca_setting = "the CA of the pod's service account".to_owned();
    let ca = Some(Text::read(&around.service_account.join("ca.crt"), &ca_setting)?);
    let server_setting = "KUBERNETES_SERVICE_HOST, KUBERNETES_SERVICE_PORT".to_owned();
    let credentials = Credentials::Token(trimmed(token));
    let user = "the pod's service account".to_owned();
    let mut access = Access { ca, ca_setting, server_setting, credentials, user, ..nowhere() };
    access.server = url(&format!("https://{host}:{port}"), &access)?;
    Ok(access)
}

fn of_kubeconfig(settings: &Settings, files: &[PathBuf]) -> Result<Access, Error> {
    let (cluster, user) = Kubeconfig::read(files)?.context(settings.context.as_deref())?;
    let ca_setting = match cluster.text("certificate-authority-data") {
        Some(_) => cluster.setting("certificate-authority-data"),
        None => cluster.setting("certificate-authority"),
    };
    // What is replaced need not be there.
    let ca = match settings.ca_file.is_some() || settings.insecure {
        true => None,
        false => cluster.content("certificate-authority")?,
    };
    let identity = match settings.cert_file.is_some() {
        true => None,
        false => identity(&user)?,
    };
    let insecure = cluster.flag("insecure-skip-tls-verify");
    let server_setting = cluster.setting("server");
    let tls_server_name = cluster.text("tls-server-name");
    let proxy_setting = cluster.setting("proxy-url");
    let proxy = cluster.text("proxy-url").map(|url| proxy::parse(&url, &proxy_setting)).transpose()?;
    let mut access = Access {
        server_setting,
        ca,
        ca_setting,
        identity,
        insecure,
        tls_server_name,
        proxy,
        user: user.label(),
        ..nowhere()
    };
    if settings.server.is_none() {
        let server = cluster.text("server").ok_or_else(|| {
            invalid(format!("there is no {}", access.server_setting), "name the API server there, or in k8s_api_root")
        })?;
        access.server = url(&server, &access)?;
    }
    if settings.token.is_none() {
        access.credentials = credentials(&user, || about(&cluster, &access))?;
    }
    Ok(access)
}

fn identity(user: &Entry) -> Result<Option<(Text, Text)>, Error> {
    match (user.content("client-certificate")?, user.content("client-key")?) {
        (Some(certificate), Some(key)) => Ok(Some((certificate, key))),
        (None, None) => Ok(None),
        (certificate, _) => {
            let (there, missing) = match certificate {
                Some(_) => ("client-certificate", "client-key"),
                None => ("client-key", "client-certificate"),
            };
            let reason = format!("{} has a {there}, but no {missing}", user.label());
            Err(invalid(reason, "give both in the kubeconfig, or neither"))
        }
    }
}

fn credentials(user: &Entry, about: impl FnOnce() -> Value) -> Result<Credentials, Error> {
    for field in ["auth-provider", "as", "as-uid", "as-groups", "as-user-extra"] {
        if user.value(field).is_some() {
            let reason = format!("{} is not supported", user.setting(field));
            return Err(invalid(reason, "use a token, a client certificate or exec in the kubeconfig"));
        }
    }
    let token = user.text("token").map(|token| Text { bytes: token.into_bytes(), origin: user.setting("token") });
    if let Some(path) = user.text("tokenFile") {
        match (Text::read(&user.path(&path), &user.setting("tokenFile")), &token) {
            (Ok(text), _) => return Ok(Credentials::Token(trimmed(text))),
            (Err(error), None) => return Err(error),
            (Err(_), Some(_)) => {}
        }
    }
    if let Some(token) = token {
        return Ok(Credentials::Token(trimmed(token)));
    }
    if let Some(name) = user.text("username") {
        let password = user.text("password").unwrap_or_default();
        return Ok(Credentials::Basic(STANDARD.encode(format!("{name}:{password}"))));
    }
    Ok(Plugin::of(user, about)?.map_or(Credentials::None, Credentials::Exec))
}

fn trimmed(text: Text) -> Text {
    Text { bytes: text.bytes.trim_ascii().to_vec(), ..text }
}

/// What an exec plugin is told about the cluster.
fn about(cluster: &Entry, access: &Access) -> Value {
    let mut about = json!({"server": access.server.to_string().trim_end_matches('/')});
    if let Some(name) = &access.tls_server_name {
        about["tls-server-name"] = name.as_str().into();
    }
    if access.insecure {
        about["insecure-skip-tls-verify"] = true.into();
    }
    if let Some(ca) = &access.ca {
        about["certificate-authority-data"] = STANDARD.encode(&ca.bytes).into();
    }
    if let Some(proxy) = cluster.text("proxy-url") {
        about["proxy-url"] = proxy.into();
    }
    let extensions = cluster.value("extensions").and_then(Value::as_array).into_iter().flatten();
    let mut extensions = extensions.filter(|entry| entry["name"] == "client.authentication.k8s.io/exec");
    about["config"] = extensions.next().map_or(Value::Null, |entry| entry["extension"].clone());
    about
}

/// The URL of a server. One without scheme is encrypted where anything else says how.
fn url(server: &str, access: &Access) -> Result<Uri, Error> {
    let is_encrypted = access.insecure || access.ca.is_some() || access.identity.is_some();
    let text = match server.contains("://") {
        true => server.to_owned(),
        false if is_encrypted => format!("https://{server}"),
        false => format!("http://{server}"),
    };
    // Without what is before an @: that may be a password.
    let wrong = |reason: String| {
        let shown = text.rsplit('@').next().unwrap_or_default();
        let reason = format!("{} ({shown}): {reason}", access.server_setting);
        invalid(reason, "name the API server there, such as https://10.0.0.1:6443")
    };
    let uri: Uri = text.parse().map_err(|error| wrong(format!("not a URL: {error}")))?;
    match (uri.scheme_str(), uri.authority()) {
        (Some("https" | "http"), Some(authority))
            if !authority.as_str().contains('@') && !authority.host().is_empty() =>
        {
            Ok(uri)
        }
        _ => Err(wrong("it must be https:// or http:// and a host, maybe with a port and a path".to_owned())),
    }
}
