//! The process around a plugin: its flags, its answer on stdout and its exit status.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use cni_spec::dispatch::OWN_NETNS;
use cni_spec::{Answer, Environment, Plugin, dispatch};

use crate::signals::{self, Stdin};

/// What an executable does, beside being a plugin, when its first argument is this flag.
pub struct Job {
    /// The flag, without hyphens.
    pub flag: &'static str,
    /// What it does, for the usage.
    pub about: &'static str,
    /// Does it.
    pub run: fn() -> Answer,
}

impl Job {
    fn is_meant_by(&self, argument: &str) -> bool {
        argument.strip_prefix('-').map(|rest| rest.strip_prefix('-').unwrap_or(rest)) == Some(self.flag)
    }
}

/// Runs a plugin's executable.
///
/// `-v` prints the version, `-h` the usage; the job's flag does the job. Any other flag is an error with status 2. Everything from
/// the first argument that is no flag on is ignored: some callers repeat the configuration there.
pub fn run(plugin: &impl Plugin, version: &str, executable: &str, job: &Job) -> ExitCode {
    let first = std::env::args_os().nth(1).unwrap_or_default();
    let usage = format!("Usage of {executable}:\n  -{}\t{}\n  -v\tDisplay version\n", job.flag, job.about);
    let answer = match first.to_str() {
        Some(argument) if job.is_meant_by(argument) => (job.run)(),
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
