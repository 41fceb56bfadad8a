//! The plugins' token and the kubeconfig with it.

use std::path::Path;
use std::time::Duration;

use calico_datastore::kubernetes::{Granted, token};
use calico_plugin::Log;
use calico_plugin::log::Value;

use crate::account::Account;
use crate::api::Api;
use crate::backoff::Backoff;
use crate::clock::{Moment, unix_seconds};
use crate::error::Error;
use crate::files;
use crate::kubeconfig;
use crate::options::{Manage, Options, Server};
use crate::paths::{Paths, shown};
use crate::random::random;
use crate::renewal::{Due, interval};

/// The permissions of the kubeconfig.
const MODE: u32 = 0o600;

/// How long a mounted token is taken to be good for at least: the API has just accepted it, whatever this host's clock says.
const ACCEPTED: Duration = Duration::from_secs(60);

/// How often the API is asked whether it still accepts the token. Up to a tenth earlier.
const CHECK: Duration = Duration::from_secs(5 * 60);

/// How long a token is taken to be good for that does not say so.
const UNSAID: Duration = Duration::from_secs(24 * 60 * 60);

/// The plugins' token.
struct Held {
    token: String,
    /// Whether it is the mounted one, as the API issues none.
    is_mounted: bool,
    renewal: Due,
    end: Due,
    /// When the API is asked whether it accepts the token, by the monotonic clock.
    check: Duration,
}

/// The token, and what is known of getting one.
#[derive(Default)]
pub struct Credentials {
    held: Option<Held>,
    /// The account for which a token was requested last: when the kubelet renews it, so is the plugins' token.
    seen: Option<Account>,
    backoff: Backoff,
    failure: Option<Error>,
    /// Whether the token of an earlier run was looked at.
    has_looked: bool,
}

/// What was done, for the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Happened {
    /// A token was issued.
    Renewed,
    /// None was issued.
    Failed,
}

impl Credentials {
    /// The time until a token is needed, or is asked for again.
    pub fn left(&self, now: Moment) -> Option<Duration> {
        match &self.held {
            Some(held) if !self.is_needed(now) => Some(held.renewal.left(now)),
            _ => self.backoff.retry(now.monotonic),
        }
    }

    /// Whether another token is needed.
    fn is_needed(&self, now: Moment) -> bool {
        self.held.as_ref().is_none_or(|held| held.renewal.has_come(now)) || self.seen.is_none()
    }

    /// When the token ends as it says itself, in seconds since 1970.
    pub fn end(&self) -> Option<u64> {
        token::expires_at(&self.held.as_ref()?.token).map(unix_seconds)
    }

    /// Whether the token has ended, by either clock.
    pub fn has_expired(&self, now: Moment) -> bool {
        self.held.as_ref().is_some_and(|held| held.end.has_come(now))
    }

    /// Makes the kubeconfig be there with a token that is good.
    ///
    /// # Errors
    /// There is no good token, or the file cannot be written. That a good one is due and there is no newer one is no error.
    pub async fn install(
        &mut self,
        around: &Around<'_, impl Api>,
        account: &Account,
        happened: impl FnMut(Happened),
        allow: impl FnOnce() -> Result<(), Error>,
    ) -> Result<(), Error> {
        let Around { options, paths, log, now, .. } = *around;
        let path = paths.kubeconfig();
        if options.manage_kubeconfig == Manage::Missing && is_good(&path, now) {
            // From now on its token is somebody else's to renew.
            *self = Credentials::default();
            return Ok(());
        }
        let server = options.server.as_ref().ok_or_else(|| {
            let text = "KUBERNETES_SERVICE_HOST or KUBERNETES_SERVICE_PORT is not set, and this is a pod: set both to where the plugins reach the API server";
            Error::Config(text.to_owned())
        })?;
        self.adopt(around, account, server).await;
        self.check(around).await;
        self.renew(around, account, happened).await;
        let held = match &self.held {
            Some(held) if !held.end.has_come(now) => held,
            _ => return Err(again(self.failure.as_ref())),
        };
        let text = kubeconfig::render(server, trusted(options, account), &held.token)?;
        if !files::is_as(&path, text.as_bytes(), MODE) {
            allow()?;
            files::put(&path, text.as_bytes(), MODE)?;
            log.info("installed the kubeconfig", &[("file", Value::Text(&shown(&path)))]);
        }
        Ok(())
    }

    /// Keeps the token that an earlier run has written, if it is good for a while and all else in the file is right.
    async fn adopt(&mut self, around: &Around<'_, impl Api>, account: &Account, server: &Server) {
        let Around { options, paths, now, .. } = *around;
        if std::mem::replace(&mut self.has_looked, true) {
            return;
        }
        let text = std::fs::read_to_string(paths.kubeconfig()).unwrap_or_default();
        let whose = format!("system:serviceaccount:{}:{}", account.namespace, options.account);
        let wanted = |token: &&str| {
            let is_ours =
                kubeconfig::render(server, trusted(options, account), token).is_ok_and(|wanted| wanted == text);
            is_ours && token::subject(token).as_ref() == Some(&whose)
        };
        if let Some(found) = kubeconfig::token_in(&text).filter(wanted)
            && let (Some(issued), Some(end)) = (token::issued_at(found), token::expires_at(found))
            && let (Ok(age), Ok(life)) = (now.wall.duration_since(issued), end.duration_since(issued))
        {
            let left = interval(life, options.refresh_interval, random()).saturating_sub(age);
            // One of another cluster, or of an account that was deleted meanwhile, is not accepted. An API that does not
            // answer is tried again by the request that follows.
            if !left.is_zero() && around.api.accepts(found).await.unwrap_or(false) {
                let (renewal, end) = (Due::after(now, left), Due::after(now, life.saturating_sub(age)));
                self.held = Some(Held { token: found.to_owned(), is_mounted: false, renewal, end, check: check(now) });
                self.seen = Some(account.clone());
            }
        }
    }

    /// Drops a token that the API does not accept any more, as when its account was deleted and made anew.
    async fn check(&mut self, around: &Around<'_, impl Api>) {
        let Around { api, log, now, .. } = *around;
        // That of this pod is renewed by the kubelet.
        let Some(held) = self.held.as_mut().filter(|held| !held.is_mounted && now.monotonic >= held.check) else {
            return;
        };
        held.check = check(now);
        // An API that does not answer says nothing about it.
        if matches!(api.accepts(&held.token).await, Ok(false)) {
            log.warning("the API does not accept the plugins' token any more: another one is requested", &[]);
            self.held = None;
        }
    }

    /// Asks for a token, if one is needed and it is time to ask.
    async fn renew(&mut self, around: &Around<'_, impl Api>, account: &Account, mut happened: impl FnMut(Happened)) {
        let Around { log, now, .. } = *around;
        if self.seen.as_ref().is_some_and(|seen| seen != account) {
            log.info("the mounted service account was renewed: so is the plugins' token", &[]);
            self.seen = None;
            self.backoff.hurry();
        }
        if !self.is_needed(now) {
            // Also where a clock that was set back has made it so.
            self.backoff.hurry();
        } else if self.backoff.left(now.monotonic).is_zero() {
            match self.request(around, account).await {
                Ok(()) => {
                    happened(Happened::Renewed);
                    self.failure = None;
                    if self.backoff.succeeded() {
                        log.info("the API issues tokens again", &[]);
                    }
                }
                Err(error) => {
                    happened(Happened::Failed);
                    if self.backoff.failed(now.monotonic) {
                        log.warning("no new token for the plugins: trying again", &[("error", Value::Plain(&error))]);
                    }
                    self.failure = Some(error);
                }
            }
        }
    }

    async fn request(&mut self, around: &Around<'_, impl Api>, account: &Account) -> Result<(), Error> {
        let Around { options, log, now, .. } = *around;
        let granted = around.api.request_token(&account.namespace, &options.account).await?;
        let (token, is_mounted) = match granted {
            Granted::Token(token) => (token, false),
            Granted::Unsupported => (account.token.clone(), true),
            other => return Err(refusal(other, options, account, around)),
        };
        if is_mounted && !self.held.as_ref().is_some_and(|held| held.is_mounted) {
            log.warning("the API issues no tokens (TokenRequest): the plugins get that of this pod", &[]);
        }
        let life = life(&token, is_mounted.then_some(now));
        let renewal = match is_mounted {
            // The kubelet renews it, and then it is taken anew.
            true => Due::after(now, life),
            false => Due::after(now, interval(life, options.refresh_interval, random())),
        };
        self.held = Some(Held { token, is_mounted, renewal, end: Due::after(now, life), check: check(now) });
        self.seen = Some(account.clone());
        Ok(())
    }
}

/// What credentials are made with.
pub struct Around<'a, A> {
    /// The API.
    pub api: &'a A,
    /// What is asked for.
    pub options: &'a Options,
    /// Where the kubeconfig is.
    pub paths: &'a Paths,
    /// The log.
    pub log: &'a Log,
    /// This moment.
    pub now: Moment,
}

/// Whether there is a kubeconfig with which the plugins can do something.
pub fn is_good(path: &Path, now: Moment) -> bool {
    std::fs::read(path).is_ok_and(|text| kubeconfig::is_good(&String::from_utf8_lossy(&text), now.wall))
}

/// When a token is to be looked at next.
fn check(now: Moment) -> Duration {
    now.monotonic + CHECK.mul_f64(1.0 - random() / 10.0)
}

/// What the plugins trust.
fn trusted<'a>(options: &Options, account: &'a Account) -> Option<&'a [u8]> {
    (!options.skip_tls_verify).then_some(&account.ca)
}

/// How long a token is good for: one that was just issued, by what it says of itself alone, so that it does not matter
/// whether the clocks of node and server agree; another one, by the node's.
fn life(token: &str, older: Option<Moment>) -> Duration {
    let begin = older.map(|now| now.wall).or_else(|| token::issued_at(token));
    let life = begin.zip(token::expires_at(token)).map(|(begin, end)| end.duration_since(begin).unwrap_or_default());
    life.unwrap_or(UNSAID).max(ACCEPTED)
}

fn refusal(granted: Granted, options: &Options, account: &Account, around: &Around<'_, impl Api>) -> Error {
    let (name, namespace) = (&options.account, &account.namespace);
    match granted {
        Granted::NoAccount => Error::Refused(format!(
            "there is no service account {name} in the namespace {namespace}: apply manifests/rbac/calico-cni-plugin.yaml, or name another one in CALICO_CNI_SERVICE_ACCOUNT"
        )),
        Granted::Forbidden(text) => {
            Error::Refused(format!("{text}; manifests/rbac/calico-install.yaml has it, with resourceNames: [{name:?}]"))
        }
        Granted::Unknown(text) => {
            let folder = around.paths.service_account();
            Error::Waiting(match token::expired(&account.token, around.now.wall) {
                Some(ago) => format!(
                    "the API does not accept the token in {}: it expired {} ago. The kubelet renews it: see whether it runs, and whether this host's clock is right. It is read again",
                    shown(&folder),
                    token::in_words(ago)
                ),
                None => format!(
                    "the API does not accept the token in {}: see whether it is of this cluster, and whether its service account is still there. It is read again. ({text})",
                    shown(&folder)
                ),
            })
        }
        Granted::Token(_) | Granted::Unsupported => Error::Waiting("there is no token".to_owned()),
    }
}

/// Why there is no token: what came back last.
fn again(failure: Option<&Error>) -> Error {
    match failure {
        Some(Error::Refused(text)) => Error::Refused(text.clone()),
        Some(other) => Error::Waiting(other.to_string()),
        None => Error::Waiting("there is no token for the plugins yet".to_owned()),
    }
}
