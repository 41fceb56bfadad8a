//! Programs that are run on a host and measured there, so that entering the host is no part of what is measured.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::executables::tool;
use crate::host::Host;

/// One run to come.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Run {
    /// The program, by its path on the host.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Its whole environment.
    pub environment: BTreeMap<String, String>,
    /// What it reads.
    pub stdin: String,
}

/// What became of a run, and what it cost.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Ran {
    /// When it was started, counted from the first start of those that were started together.
    pub started: Duration,
    /// When it had ended, counted likewise.
    pub ended: Duration,
    /// The processor time it used, in its own code and in the kernel, with that of processes it started.
    pub processor: Duration,
    /// The most memory it, or a process it started, had resident at any time, in bytes. The runner's own size is the
    /// least that can be seen.
    pub peak: u64,
    /// The exit status; `None` if a signal ended it.
    pub exit: Option<i32>,
    /// What it said.
    pub stdout: String,
    /// What it logged.
    pub stderr: String,
}

impl Ran {
    /// From its start to its end.
    pub fn wall(&self) -> Duration {
        self.ended.saturating_sub(self.started)
    }
}

/// A process on a host that starts programs there. It ends, and with it everything it started, when the value is
/// dropped, or when this process is gone for any reason.
pub struct Runner {
    process: Child,
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Runner {
    /// Starts `program`, this crate's executable `runner`, on a host.
    pub fn start(host: &Host, program: &Path) -> Runner {
        let mut enter = host.enter(None);
        // The first process of a PID namespace: the kernel ends the others with it.
        enter.arg(tool("unshare")).args(["--pid", "--fork", "--kill-child", "--"]).arg(program);
        enter.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(host.lifeline());
        let mut process = enter.spawn().expect("nsenter can be started");
        let answers = BufReader::new(process.stdout.take().expect("stdout is a pipe"));
        let requests = process.stdin.take();
        Runner { process, requests, answers }
    }

    /// Starts all programs before it waits for any; answers in the same order when all have ended.
    pub fn run(&mut self, runs: &[Run]) -> Vec<Ran> {
        let request = serde_json::to_string(runs).expect("text becomes JSON");
        let pipe = self.requests.as_mut().expect("the pipe is open as long as the value lives");
        writeln!(pipe, "{request}").unwrap_or_else(|e| panic!("the runner is gone: {e}"));
        let mut answer = String::new();
        let _ = self.answers.read_line(&mut answer);
        serde_json::from_str(&answer).unwrap_or_else(|e| panic!("the runner is gone: {e}: {answer}"))
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        drop(self.requests.take());
        let _ = self.process.wait();
    }
}
