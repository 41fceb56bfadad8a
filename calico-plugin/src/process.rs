//! The process around a plugin: its flags, its answer on stdout and its exit status.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use cni_spec::dispatch::OWN_NETNS;
use cni_spec::{Answer, Environment, Plugin, dispatch};

use crate::connection_test;
use crate::signals::{self, Stdin};

/// Runs a plugin's executable.
///
/// `-v` prints the version, `-h` the usage; `-t`, where `tests_connection`, tells whether the datastore can be used. Any
/// other flag is an error with status 2. Everything from the first argument that is no flag on is ignored: some callers
/// repeat the configuration there.
pub fn run(plugin: &impl Plugin, version: &str, executable: &str, tests_connection: bool) -> ExitCode {
    let first = std::env::args_os().nth(1).unwrap_or_default();
    let test = if tests_connection { "  -t\tTest datastore connection\n" } else { "" };
    let usage = format!("Usage of {executable}:\n{test}  -v\tDisplay version\n");
    let answer = match first.to_str() {
        Some("-t" | "--t") if tests_connection => connection_test::run(&mut std::io::stdin()),
        Some("-h" | "--h" | "-help" | "--help") => Answer { stdout: String::new(), stderr: usage, exit: 0 },
        Some("-v" | "--v" | "-version" | "--version") => {
            Answer { stdout: format!("{version}\n"), stderr: String::new(), exit: 0 }
        }
        Some(flag) if flag.starts_with('-') && flag != "-" && flag != "--" => {
            Answer { stdout: String::new(), stderr: format!("flag provided but not defined: {flag}\n{usage}"), exit: 2 }
        }
        _ => {
            signals::hold();
            dispatch(plugin, &Environment::of_process(), &mut Stdin, Path::new(OWN_NETNS))
        }
    };
    // A caller that closed its end gets nothing, and needs nothing.
    let _ = std::io::stderr().write_all(answer.stderr.as_bytes());
    let written = std::io::stdout().write_all(answer.stdout.as_bytes()).and_then(|()| std::io::stdout().flush());
    match (answer.exit, written) {
        (0, Err(_)) => ExitCode::FAILURE,
        (exit, _) => ExitCode::from(u8::try_from(exit).unwrap_or(1)),
    }
}
