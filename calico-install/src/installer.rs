//! One look at everything: what should be there is compared with what is, and what differs or is missing is written.

use std::time::Duration;

use calico_plugin::Log;
use calico_plugin::log::Value;

use crate::account::{self, Account};
use crate::api::Api;
use crate::assets;
use crate::backoff::Backoff;
use crate::clock::{Clock, Moment, unix_seconds};
use crate::conflist;
use crate::credentials::{self, Around, Credentials, Happened};
use crate::error::Error;
use crate::executables::{Executables, paced};
use crate::files;
use crate::options::{Manage, Options};
use crate::pace::Pace;
use crate::paths::{KUBECONFIG, Paths, shown};
use crate::standalone;
use crate::status::{Shared, TokenStatus};
use crate::stop::Stop;

/// The time between two looks when nothing happens.
const LOOK: Duration = Duration::from_secs(60);

/// Everything that is installed, and how.
pub struct Installer<A, C> {
    options: Options,
    paths: Paths,
    api: A,
    clock: C,
    log: Log,
    stop: Stop,
    status: Shared,
    executables: Executables,
    credentials: Credentials,
    pace: Pace,
    /// Of what is no question of tokens.
    backoff: Backoff,
    /// Of the objects of a node that stands alone.
    furnishing: Backoff,
    is_furnished: bool,
    /// Whether everything was there once.
    is_complete: bool,
    has_told_no_account: bool,
    /// Whether there were certificates for etcd at an earlier look.
    had_assets: bool,
    /// Whether the last look went as far as to ask for a token where one is needed.
    has_asked: bool,
}

/// What a look has found.
pub struct Look {
    /// What is not as it should be. Until everything was there once, the first such thing ends the look.
    pub errors: Vec<Error>,
    /// When to look again, if nothing happens before.
    pub again: Duration,
}

impl<A: Api, C: Clock> Installer<A, C> {
    /// An installer that has not done anything yet.
    pub fn new(
        options: Options,
        paths: Paths,
        api: A,
        clock: C,
        log: Log,
        stop: Stop,
        status: Shared,
    ) -> Installer<A, C> {
        if options.manage_kubeconfig != Manage::Never {
            status.lock().token = Some(TokenStatus::default());
        }
        Installer {
            options,
            paths,
            api,
            clock,
            log,
            stop,
            status,
            executables: Executables::default(),
            credentials: Credentials::default(),
            pace: Pace::default(),
            backoff: Backoff::default(),
            furnishing: Backoff::default(),
            is_furnished: false,
            is_complete: false,
            has_told_no_account: false,
            had_assets: false,
            has_asked: false,
        }
    }

    /// Its clock.
    pub fn clock(&self) -> &C {
        &self.clock
    }

    /// Whether everything was there once.
    pub fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// Looks at everything once.
    pub async fn look(&mut self) -> Look {
        self.status.lock().beat = self.clock.now().monotonic;
        let mut errors = Vec::new();
        let install = self.install(&mut errors).await;
        errors.extend(install.err());
        let now = self.clock.now();
        if errors.is_empty() && !self.is_complete {
            self.is_complete = true;
            self.log.info("everything is installed", &[]);
        }
        let again = self.next_look(&errors, now);
        self.record(&errors, now);
        Look { errors, again }
    }

    /// Takes one step after the other. Until everything was there once, an error ends it: the configuration, by which the
    /// node becomes ready, comes last.
    async fn install(&mut self, errors: &mut Vec<Error>) -> Result<(), Error> {
        self.has_asked = false;
        let account = account::read(&self.paths.service_account())?;
        let token = account.as_ref().map(|account| account.token.as_str());
        let tls = assets::present(&self.paths.at(&self.options.tls_assets));
        // Then the configuration stays as well, which names the files.
        let is_emptied = self.had_assets && !tls.contains(&true);
        // Before anything is done: if it is wrong, nothing is.
        let config = match self.options.manage_cni_config && !is_emptied {
            true => self.step(errors, |this| conflist::render(&this.options, tls, token))?,
            false => None,
        };
        self.step(errors, |this| {
            let now = this.clock.now().monotonic;
            let Installer { executables, paths, options, log, stop, pace, .. } = this;
            executables.install(paths, options, log, stop, now, paced(pace, now))
        })?;
        if self.options.manage_cni_config {
            self.step(errors, Self::install_assets)?;
            self.had_assets |= tls.contains(&true);
        }
        if self.options.manage_kubeconfig != Manage::Never {
            // A configuration of ones own may do without a kubeconfig.
            let is_needed = config.as_ref().is_none_or(|config| config.contains(KUBECONFIG));
            let result = self.install_kubeconfig(account.as_ref(), is_needed).await;
            self.step(errors, |_| result)?;
        }
        if self.options.standalone.is_some() {
            self.step(errors, |this| standalone::name_node(&this.paths, &this.options, &this.log))?;
            let result = self.furnish().await;
            self.step(errors, |_| result)?;
        }
        if let Some(config) = config {
            self.step(errors, |this| this.install_config(&config))?;
        }
        Ok(())
    }

    /// One step. Once everything was there, the others follow also where it fails.
    fn step<T>(
        &mut self,
        errors: &mut Vec<Error>,
        step: impl FnOnce(&mut Self) -> Result<T, Error>,
    ) -> Result<Option<T>, Error> {
        match step(self) {
            Ok(done) => Ok(Some(done)),
            Err(error) if self.is_complete => {
                errors.push(error);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn install_assets(&mut self) -> Result<(), Error> {
        let source = self.paths.at(&self.options.tls_assets);
        let now = self.clock.now().monotonic;
        let warn = !self.is_complete;
        assets::install(&source, &self.paths.tls_folder(), self.had_assets, warn, &self.log, paced(&mut self.pace, now))
    }

    async fn install_kubeconfig(&mut self, account: Option<&Account>, is_needed: bool) -> Result<(), Error> {
        let Some(account) = account else {
            let is_in_cluster = self.options.server.is_some();
            if is_in_cluster && is_needed && !credentials::is_good(&self.paths.kubeconfig(), self.clock.now()) {
                return Err(Error::NoAccount(shown(&self.paths.service_account())));
            }
            if !std::mem::replace(&mut self.has_told_no_account, true) {
                let folder = shown(&self.paths.service_account());
                self.log.warning(
                    "no service account is mounted: no kubeconfig is written",
                    &[("folder", Value::Text(&folder))],
                );
            }
            return Ok(());
        };
        self.has_asked = true;
        let Installer { api, options, paths, log, pace, status, .. } = self;
        let now = self.clock.now();
        let around = Around { api, options, paths, log, now };
        let path = paths.kubeconfig();
        let count = |happened| {
            let mut status = status.lock();
            status.errors += u64::from(happened == Happened::Failed);
            if let Some(token) = &mut status.token {
                match happened {
                    Happened::Renewed => token.renewals += 1,
                    Happened::Failed => token.failures += 1,
                }
            }
        };
        self.credentials.install(&around, account, count, || pace.allow(&path, now.monotonic)).await
    }

    async fn furnish(&mut self) -> Result<(), Error> {
        let now = self.clock.now().monotonic;
        if self.is_furnished {
            return Ok(());
        }
        if !self.furnishing.left(now).is_zero() {
            return Err(Error::Waiting("Calico's objects for a node that stands alone are not made yet".to_owned()));
        }
        match self.api.furnish().await {
            Ok(()) => {
                self.is_furnished = true;
                self.furnishing.succeeded();
                self.log.info("Calico's objects for a node that stands alone are there", &[]);
                Ok(())
            }
            Err(error) => {
                self.status.lock().errors += 1;
                if self.furnishing.failed(now) {
                    self.log.warning(
                        "not everything is there that the node needs: trying again",
                        &[("error", Value::Plain(&error))],
                    );
                }
                Err(error)
            }
        }
    }

    fn install_config(&mut self, config: &str) -> Result<(), Error> {
        let path = self.paths.net_dir().join(&self.options.conf_name);
        if !files::is_as(&path, config.as_bytes(), self.options.permissions) {
            self.pace.allow(&path, self.clock.now().monotonic)?;
            files::put(&path, config.as_bytes(), self.options.permissions)?;
            self.log.info("installed the CNI configuration", &[("file", Value::Text(&shown(&path)))]);
        }
        if self.options.old_conf_name != self.options.conf_name {
            let old = self.paths.net_dir().join(&self.options.old_conf_name);
            if files::remove(&old)? {
                self.log.info("removed the old CNI configuration", &[("file", Value::Text(&shown(&old)))]);
            }
        }
        Ok(())
    }

    /// When to look again. What is no question of the API is told here; the rest was when it was tried.
    fn next_look(&mut self, errors: &[Error], now: Moment) -> Duration {
        let token = if self.has_asked { self.credentials.left(now) } else { None };
        let due = [token, self.furnishing.retry(now.monotonic)];
        let mut again = due.into_iter().flatten().fold(LOOK, Duration::min);
        let others: Vec<&Error> = errors.iter().filter(|error| !error.is_of_api()).collect();
        match others.is_empty() {
            true => {
                self.backoff.succeeded();
            }
            false if self.is_complete || !others.iter().any(|error| error.exit_code(self.options.sleep).is_some()) => {
                if self.backoff.failed(now.monotonic) {
                    for error in &others {
                        self.log.error("not everything is installed: trying again", &[("error", Value::Plain(error))]);
                    }
                }
                again = again.min(self.backoff.left(now.monotonic));
            }
            // It ends the process, which then tells it.
            false => {}
        }
        again
    }

    fn record(&self, errors: &[Error], now: Moment) {
        let mut status = self.status.lock();
        status.beat = now.monotonic;
        status.missing = errors.iter().map(ToString::to_string).collect();
        // The API's were counted when it was asked.
        status.errors += errors.iter().filter(|error| !error.is_of_api()).count() as u64;
        if self.credentials.has_expired(now) {
            status.missing.push("the plugins' token has expired".to_owned());
        }
        if status.missing.is_empty() {
            status.last_success = Some(unix_seconds(now.wall));
        }
        if let Some(token) = &mut status.token {
            token.end = self.credentials.end();
        }
    }
}
