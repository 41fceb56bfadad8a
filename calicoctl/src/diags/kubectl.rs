//! The program `kubectl`, which knows how to reach the cluster.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::error::Error;

/// How often is looked whether a command has ended.
const TICK: Duration = Duration::from_millis(10);
/// How much a command may print: the disk must not become full.
const LONGEST: u64 = 512 << 20;
/// How much is read of what a command says about its failure.
const LONGEST_REASON: u64 = 4096;

/// The program, and how it is run.
#[derive(Debug)]
pub struct Kubectl {
    program: PathBuf,
    /// What every command begins with.
    first: Vec<String>,
    /// How long a command may take.
    limit: Duration,
}

impl Kubectl {
    /// Looks for the program in these folders, a value of `PATH`.
    ///
    /// # Errors
    /// It is in none of them.
    pub fn find(path: &OsStr, context: Option<&str>, limit: Duration) -> Result<Kubectl, Error> {
        let is_program = |file: &PathBuf| {
            let found = std::fs::metadata(file);
            found.is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
        };
        // As Go programs do: what lies in the working folder is not run by accident.
        let folders = std::env::split_paths(path).filter(|folder| folder.is_absolute());
        let program = folders.map(|folder| folder.join("kubectl")).find(is_program);
        let program = program.ok_or_else(|| Error::new("missing dependency: unable to locate kubectl in PATH"))?;
        let first = context.map(|context| format!("--context={context}")).into_iter().collect();
        Ok(Kubectl { program, first, limit })
    }

    /// Runs a command. What it prints goes to a file, and what it says beside that to another, which is removed if that is nothing.
    ///
    /// # Errors
    /// Why it failed, in words. What it has printed until then stays.
    pub fn run(&self, arguments: &[String], output: &Path) -> Result<(), String> {
        let mut said = output.as_os_str().to_owned();
        said.push(".stderr");
        let said = PathBuf::from(said);
        let status = self.wait(arguments, output, &said);
        let reason = last_line(&said);
        if std::fs::metadata(&said).is_ok_and(|found| found.len() == 0) {
            let _ = std::fs::remove_file(&said);
        }
        match status? {
            status if status.success() => Ok(()),
            status if reason.is_empty() => Err(status.to_string()),
            status => Err(format!("{status}: {reason}")),
        }
    }

    /// Waits for a command's end, and brings it about if need be.
    fn wait(&self, arguments: &[String], output: &Path, said: &Path) -> Result<ExitStatus, String> {
        let mut child = self.start(arguments, output, said).map_err(|error| error.to_string())?;
        let end = Instant::now() + self.limit;
        let reason = loop {
            match child.try_wait() {
                Ok(Some(status)) => return Ok(status),
                Ok(None) if Instant::now() >= end => break format!("it did not end within {:?}", self.limit),
                Ok(None) if is_long(output) || is_long(said) => break format!("it printed more than {LONGEST} bytes"),
                Ok(None) => std::thread::sleep(TICK),
                Err(error) => break error.to_string(),
            }
        };
        let killed = child.kill().and_then(|()| child.wait());
        Err(killed.map_or_else(|error| error.to_string(), |_| format!("killed: {reason}")))
    }

    fn start(&self, arguments: &[String], output: &Path, said: &Path) -> io::Result<Child> {
        let mut command = Command::new(&self.program);
        command.args(&self.first).args(arguments);
        // Into files: a child that outlives the command may keep a pipe open.
        command.stdin(Stdio::null()).stdout(File::create(output)?).stderr(File::create(said)?).spawn()
    }
}

fn is_long(file: &Path) -> bool {
    std::fs::metadata(file).is_ok_and(|found| found.len() > LONGEST)
}

/// The last line of a file's beginning: the reason comes after the warnings.
fn last_line(file: &Path) -> String {
    let mut bytes = Vec::new();
    let _ = File::open(file).and_then(|file| file.take(LONGEST_REASON).read_to_end(&mut bytes));
    let text = String::from_utf8_lossy(&bytes);
    let line = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    line.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}
