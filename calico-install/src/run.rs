//! The process: what it is told, the first installation, and what follows.

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use calico_plugin::log::{Level, Value};
use calico_plugin::{Log, signals};

use crate::api::{Api, Server};
use crate::arguments::{self, Asked};
use crate::clock::{Clock, SystemClock};
use crate::error::Error;
use crate::files;
use crate::installer::Installer;
use crate::options::Options;
use crate::paths::Paths;
use crate::server;
use crate::status::Shared;
use crate::stop::Stop;
use crate::watch::{Changes, Watch};

/// The shortest time between two looks when nothing changes.
const SHORTEST: Duration = Duration::from_secs(1);

/// Runs the executable.
pub fn main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    match arguments::read(arguments) {
        Asked::Print(text) => match std::io::stdout().write_all(text.as_bytes()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        },
        Asked::Unknown(text) => ended(&log(), &Error::Config(text), 2),
        Asked::Install => {
            signals::hold();
            install()
        }
    }
}

fn log() -> Log {
    Log::open("cni-installer", Level::Info, None)
}

fn ended(log: &Log, error: &Error, code: u8) -> ExitCode {
    log.error("cannot install", &[("error", Value::Plain(error)), ("exit", Value::Plain(&code))]);
    ExitCode::from(code)
}

fn install() -> ExitCode {
    let log = log();
    let options = match Options::of_process() {
        Ok(options) => options,
        Err(error) => return ended(&log, &error, error.exit_code(true).unwrap_or(2)),
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let error = Error::Waiting(format!("the kernel gives this process no event queue: {error}"));
            return ended(&log, &error, 1);
        }
    };
    let version = env!("CARGO_PKG_VERSION");
    log.info("installing", &[("node", Value::Text(&options.node_name)), ("version", Value::Text(version))]);
    // Who was to end when everything is installed has not done that yet.
    let stop = Stop::by_signals(self::log, i32::from(!options.sleep));
    let (paths, status, clock) = (Paths::below("/"), Shared::default(), SystemClock::start());
    if let Some(address) = options.health_address.filter(|_| options.sleep) {
        server::start(address, status.clone(), clock, self::log);
    }
    for folder in [paths.net_dir(), paths.tls_folder(), paths.at("/var/lib/calico")] {
        files::remove_leftovers(&folder);
    }
    let result = runtime.block_on(async {
        let folders = watched(&options, &paths);
        let (sleep, api) = (options.sleep, Server::new(&options, &paths));
        let (mut watch, error) = Watch::of(folders);
        if let Some(error) = error {
            log.warning(
                "changes are seen within a minute only: raise fs.inotify.max_user_instances and fs.inotify.max_user_watches",
                &[("error", Value::Plain(&error))],
            );
        }
        let installer = Installer::new(options, paths, api, clock, self::log(), stop.clone(), status);
        keep_installed(installer, sleep, &stop, &mut watch).await
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err((error, code)) => ended(&log, &error, code),
    }
}

/// What may change: the secrets, and the folders that files are put into.
fn watched(options: &Options, paths: &Paths) -> Vec<PathBuf> {
    let mut folders = paths.plugin_folders().to_vec();
    folders.extend([paths.net_dir(), paths.tls_folder(), paths.service_account(), paths.at(&options.tls_assets)]);
    if let Some(folder) = options.network_config_file.as_ref().and_then(|path| path.parent()) {
        folders.push(folder.to_owned());
    }
    folders
}

/// Looks at everything until it is installed, and, where it is to stay, on and on.
///
/// # Errors
/// What cannot be installed at first, or that a signal came before everything was, and the exit code.
async fn keep_installed<A: Api, C: Clock>(
    mut installer: Installer<A, C>,
    stays: bool,
    stop: &Stop,
    changes: &mut impl Changes,
) -> Result<(), (Error, u8)> {
    let ended = || if stays { Ok(()) } else { Err((Error::Ended, 1)) };
    loop {
        // The end is not to wait for the API.
        let look = tokio::select! {
            biased;
            () = stop.requested() => return ended(),
            look = installer.look() => look,
        };
        if installer.is_complete() && !stays {
            return Ok(());
        }
        if stop.is_requested() {
            return ended();
        }
        if !installer.is_complete()
            && let Some((error, code)) = look.errors.into_iter().find_map(|error| {
                let code = error.exit_code(stays)?;
                Some((error, code))
            })
        {
            return Err((error, code));
        }
        changes.refresh();
        let again = installer.clock().sleep(look.again.max(SHORTEST));
        tokio::select! {
            biased;
            () = stop.requested() => return ended(),
            () = changes.changed() => {}
            () = again => {}
        }
    }
}

#[cfg(test)]
mod tests;
