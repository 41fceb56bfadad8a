//! What is known at one time of the way to the API, with the credentials that are shown to it.

use std::rc::Rc;

use hyper::header::HeaderValue;

use super::access::{self, Access, Credentials};
use super::exec::Issued;
use super::kubeconfig::invalid;
use super::lines::Lines;
use super::settings::Settings;
use super::tls;
use crate::error::Error;
use crate::way::Way;

/// A way and credentials.
pub struct Session {
    /// What the settings say.
    pub access: Access,
    /// What the exec plugin issued, if there is one.
    pub issued: Issued,
    /// What every request says about who we are.
    pub authorization: Option<HeaderValue>,
    /// The connections.
    pub lines: Rc<Lines>,
}

impl Session {
    /// Reads the settings and runs the exec plugin, if there is one. The connections of the session before are kept, if
    /// they would be made in the same way again.
    pub async fn begin(settings: &Settings, before: Option<&Session>) -> Result<Session, Error> {
        let access = access::resolve(settings, &access::surroundings())?;
        let issued = match &access.credentials {
            Credentials::Exec(plugin) => plugin.run().await?,
            _ => Issued::default(),
        };
        let authorization = authorization(&access, &issued)?;
        let same = before.filter(|before| before.access.leads_as(&access) && before.issued.identity == issued.identity);
        let lines = match same {
            Some(before) => before.lines.clone(),
            None => Rc::new(Lines::new(way(&access, &issued)?)),
        };
        Ok(Session { access, issued, authorization, lines })
    }
}

fn authorization(access: &Access, issued: &Issued) -> Result<Option<HeaderValue>, Error> {
    let text = match (&access.credentials, &issued.token) {
        (Credentials::Token(token), _) => [b"Bearer ", token.bytes.as_slice()].concat(),
        (Credentials::Exec(_), Some(token)) => format!("Bearer {token}").into_bytes(),
        (Credentials::Basic(encoded), _) => format!("Basic {encoded}").into_bytes(),
        _ => return Ok(None),
    };
    let mut value = HeaderValue::from_maybe_shared(hyper::body::Bytes::from(text)).map_err(|_| {
        let reason = format!("the token of {} has characters that no token has", access.user);
        invalid(reason, "have the file written anew (restart calico-node)")
    })?;
    value.set_sensitive(true);
    Ok(Some(value))
}

fn way(access: &Access, issued: &Issued) -> Result<Way, Error> {
    let identity = access.identity.as_ref().or(issued.identity.as_ref());
    let is_encrypted = access.server.scheme_str() == Some("https");
    let tls = is_encrypted.then(|| tls::config(access, identity)).transpose()?;
    let way = Way::to(&access.server, tls).and_then(|way| match &access.tls_server_name {
        Some(name) => way.verified_as(name),
        None => Ok(way),
    });
    let way = way.map_err(|reason| {
        invalid(
            format!("{}: {reason}", access.server_setting),
            "name the API server there, such as https://10.0.0.1:6443",
        )
    })?;
    Ok(way.through(access.proxy.clone()))
}
