//! The executable `calicoctl`: everything a person types to see and change Calico's objects.
//!
//! It has the commands, the answers and the exit codes of the established tool where people have those in scripts, and works on all
//! three datastores. docs/calicoctl.md says what differs.

mod cli;
mod commands;
mod config;
mod console;
mod diags;
mod documents;
mod error;
mod go_duration;
mod ipam;
mod kind;
mod kinds;
mod labels;
mod manifest;
mod node;
mod objects;
mod output;
mod run;
mod schema;
#[cfg(test)]
mod scratch;
mod session;
mod suggest;
mod usage;
mod validate;
mod version;
mod yaml;

use std::ffi::OsString;
use std::process::ExitCode;

/// Runs the command that the arguments name. What it exits with is in docs/calicoctl.md.
pub fn main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let console = console::Console::of_process();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            console.note(format_args!("cannot start: {error}"));
            return ExitCode::FAILURE;
        }
    };
    match usage::parse(arguments.collect(), &console).and_then(|cli| match cli {
        Some(cli) => runtime.block_on(run::run(&cli, &console)),
        None => Ok(ExitCode::SUCCESS),
    }) {
        Ok(code) => code,
        Err(error) => {
            console.fail(&error);
            ExitCode::FAILURE
        }
    }
}
