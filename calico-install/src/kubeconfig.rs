//! The kubeconfig of the plugins.

use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use calico_datastore::kubernetes::token;

use crate::error::Error;
use crate::options::Server;

/// What stands before the token, alone on its line.
const TOKEN: &str = "    token: ";

/// Makes the kubeconfig. Without certificates, the plugins accept any of the API server's.
///
/// # Errors
/// The token has characters that no token has.
pub fn render(server: &Server, ca: Option<&[u8]>, token: &str) -> Result<String, Error> {
    let is_sound = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
    if token.is_empty() || !token.bytes().all(is_sound) {
        let text = "the token for the plugins is empty, or has characters that no token has; see the API server";
        return Err(Error::Waiting(text.to_owned()));
    }
    let trust = match ca {
        Some(ca) => format!("certificate-authority-data: {}", STANDARD.encode(ca)),
        None => "insecure-skip-tls-verify: true".to_owned(),
    };
    let server = server.url();
    Ok(format!(
        "\
# What Calico's CNI plugins reach the Kubernetes API with. calico-install writes it and renews the token.
apiVersion: v1
kind: Config
clusters:
- name: local
  cluster:
    server: {server}
    {trust}
users:
- name: calico
  user:
{TOKEN}{token}
contexts:
- name: calico-context
  context:
    cluster: local
    user: calico
current-context: calico-context
"
    ))
}

/// The token in a kubeconfig that was made here.
pub fn token_in(text: &str) -> Option<&str> {
    text.lines().find_map(|line| line.strip_prefix(TOKEN))
}

/// Whether a kubeconfig, by whomever it was made, is complete and has a token that has not expired. One that does not say
/// when it expires is taken to be good.
pub fn is_good(text: &str, now: SystemTime) -> bool {
    let found = text.lines().find_map(|line| line.trim().strip_prefix("token:"));
    let found = found.unwrap_or_default().trim().trim_matches(['"', '\'']);
    text.contains("current-context:") && !found.is_empty() && token::expired(found, now).is_none()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn one_of_somebody_else_is_good_until_its_token_expires() {
        // {"exp":1000000000}
        let jwt = "e30.eyJleHAiOjEwMDAwMDAwMDB9.c2ln";
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        for (token, before, after) in
            [(jwt, true, false), (&format!("\"{jwt}\""), true, false), ("opaque", true, true), ("\"\"", false, false)]
        {
            let text = format!("users:\n- name: calico\n  user:\n      token: {token}\ncurrent-context: c\n");
            assert_eq!((is_good(&text, at(999_999_999)), is_good(&text, at(1_000_000_001))), (before, after), "{text}");
        }
        for text in ["", "apiVersion: v1\ncurrent-context: c\n", "users:\n- user:\n    token: opa"] {
            assert!(!is_good(text, at(0)), "{text}");
        }
    }

    #[test]
    fn it_names_the_server_and_what_is_trusted() {
        let server = Server { protocol: "https".into(), host: "fd96::1".into(), port: "443".into() };
        let text = render(&server, Some(b"PEM"), "a.b-c_d").unwrap();
        assert!(text.contains("    server: https://[fd96::1]:443\n    certificate-authority-data: UEVN\n"), "{text}");
        assert_eq!(token_in(&text), Some("a.b-c_d"));
        let text = render(&server, None, "t").unwrap();
        assert!(text.contains("\n    insecure-skip-tls-verify: true\n") && !text.contains("certificate"), "{text}");
        for token in ["", "a b", "a\nb", "a: b"] {
            assert!(render(&server, None, token).is_err(), "{token:?}");
        }
    }
}
