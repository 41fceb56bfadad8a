//! Which proxy leads to a server: the rules of Go's net/http, by which the rest of a cluster goes.

use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ipnetwork::IpNetwork;
use percent_encoding::percent_decode_str;
use tonic::transport::Uri;

use super::kubeconfig::invalid;
use crate::error::Error;
use crate::tunnel::Proxy;

/// The proxy of a URL; `setting` says who named it.
pub fn parse(url: &str, setting: &str) -> Result<Proxy, Error> {
    // The URL may have a password in it: it is not shown.
    let wrong = |reason: &str| {
        let advice = "name an HTTP proxy such as http://10.0.0.1:3128, or none";
        Err(invalid(format!("{setting}: {reason}"), advice))
    };
    let url = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
    let Ok(uri) = url.parse::<Uri>() else { return wrong("not a URL") };
    if uri.scheme_str() != Some("http") {
        return wrong(&format!("proxies by {} are not supported", uri.scheme_str().unwrap_or_default()));
    }
    let Some(authority) = uri.authority() else { return wrong("there is no host in it") };
    let user = authority.as_str().rsplit_once('@').map(|(user, _)| percent_decode_str(user).collect::<Vec<u8>>());
    Ok(Proxy {
        host: authority.host().trim_matches(['[', ']']).to_owned(),
        port: authority.port_u16().unwrap_or(80),
        authorization: user.map(|user| format!("Basic {}", STANDARD.encode(user))),
        setting: setting.to_owned(),
    })
}

/// The proxy that the environment names for a server.
pub fn of_environment(server: &Uri, variable: impl Fn(&str) -> Option<String>) -> Result<Option<Proxy>, Error> {
    let first = |names: [&'static str; 2]| {
        names.into_iter().find_map(|name| Some((name, variable(name).filter(|value| !value.is_empty())?)))
    };
    let is_encrypted = server.scheme_str() == Some("https");
    let names = if is_encrypted { ["HTTPS_PROXY", "https_proxy"] } else { ["HTTP_PROXY", "http_proxy"] };
    let Some((name, url)) = first(names) else { return Ok(None) };
    let excluded = first(["NO_PROXY", "no_proxy"]).map(|(_, value)| value).unwrap_or_default();
    let port = server.port_u16().unwrap_or(if is_encrypted { 443 } else { 80 });
    match is_direct(server.host().unwrap_or_default().trim_matches(['[', ']']), port, &excluded) {
        true => Ok(None),
        false => parse(&url, name).map(Some),
    }
}

/// Whether a host is reached without the proxy.
fn is_direct(host: &str, port: u16, excluded: &str) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    let address = host.parse::<IpAddr>().ok();
    if host == "localhost" || address.is_some_and(|address| address.is_loopback()) {
        return true;
    }
    excluded.split(',').map(str::trim).filter(|entry| !entry.is_empty()).any(|entry| {
        let entry = entry.to_ascii_lowercase();
        if entry == "*" {
            return true;
        }
        if let (Some(address), true, Ok(network)) = (address, entry.contains('/'), entry.parse::<IpNetwork>()) {
            return network.contains(address);
        }
        let (name, wanted) = split_port(&entry);
        if wanted.is_some_and(|wanted| wanted != port) {
            return false;
        }
        match (address, name.trim_matches(['[', ']']).parse::<IpAddr>()) {
            (Some(address), Ok(other)) => address == other,
            (None, Err(_)) => {
                let name = name.strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(name);
                match name.strip_prefix('.') {
                    Some(domain) => host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.')),
                    None => host.strip_suffix(name).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')),
                }
            }
            _ => false,
        }
    })
}

/// A name or an address, and the port behind it.
fn split_port(entry: &str) -> (&str, Option<u16>) {
    match entry.rsplit_once(':') {
        Some((name, port)) if !name.contains(':') || name.ends_with(']') => match port.parse() {
            Ok(port) => (name, Some(port)),
            Err(_) => (entry, None),
        },
        _ => (entry, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_excluded_as_go_does() {
        for (host, excluded, expected) in [
            ("localhost", "", true),
            ("127.8.0.1", "", true),
            ("::1", "", true),
            ("10.0.0.1", "", false),
            ("10.0.0.1", "10.0.0.0/8", true),
            ("11.0.0.1", "10.0.0.0/8", false),
            ("10.0.0.1", "10.0.0.1", true),
            ("10.0.0.1", "10.0.0.1:6443", true),
            ("10.0.0.1", "10.0.0.1:443", false),
            ("fd00::1", "fd00::1", true),
            ("fd00::1", "[fd00::1]:6443", true),
            ("fd00::1", "fd00::/8", true),
            ("api.example.org", "example.org", true),
            ("example.org", "example.org", true),
            ("badexample.org", "example.org", false),
            ("api.example.org", ".example.org", true),
            ("example.org", ".example.org", false),
            ("api.example.org", "*.example.org", true),
            ("API.example.org", "other, Example.ORG:6443", true),
            ("api.example.org", "example.org:443", false),
            ("api.example.org", "*", true),
            ("kubernetes.default.svc", ".svc,.cluster.local", true),
        ] {
            assert_eq!(is_direct(host, 6443, excluded), expected, "{host} by {excluded:?}");
        }
    }

    #[test]
    fn the_environment_names_one_for_each_scheme() {
        let variables = |name: &str| match name {
            "HTTPS_PROXY" => Some("http://user:p%40ss@proxy.example:3128".to_owned()),
            "http_proxy" => Some("[fd00::9]:80".to_owned()),
            _ => None,
        };
        let of = |url: &str| of_environment(&url.parse().expect("a URL"), variables).expect("a proxy");
        let encrypted = of("https://10.0.0.1:6443").expect("there is one");
        assert_eq!((encrypted.host.as_str(), encrypted.port), ("proxy.example", 3128));
        assert_eq!(encrypted.authorization.as_deref(), Some("Basic dXNlcjpwQHNz"));
        let plain = of("http://10.0.0.1:8080").expect("there is one");
        assert_eq!((plain.host.as_str(), plain.port, plain.authorization), ("fd00::9", 80, None));
        assert!(of("https://localhost:6443").is_none());
    }

    #[test]
    fn what_is_no_http_proxy_is_named_without_its_password() {
        let text = |url| parse(url, "HTTPS_PROXY").err().expect("it is refused").to_string();
        let socks = text("socks5://user:swordfish@10.0.0.1:1080");
        assert!(socks.contains("HTTPS_PROXY: proxies by socks5 are not supported"), "{socks}");
        assert!(!socks.contains("swordfish"), "{socks}");
        assert!(text("http://a b").contains("not a URL"));
    }
}
