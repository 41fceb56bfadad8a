//! One run of an executable under test, as a container runtime would do it.

use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use serde_json::Value;

use crate::executables::{executable, folder, tool};
use crate::host::Host;
use crate::runner::Run;

/// A run that is being prepared. Its environment has nothing but `CNI_` variables: no `PATH`, no `HOME`.
pub struct Call {
    enter: Command,
    program: PathBuf,
    arguments: Vec<String>,
    stdin: Vec<u8>,
    memory: Option<u64>,
}

impl Call {
    pub(crate) fn new(host: &Host, name: &str, verb: &str) -> Call {
        let mut enter = host.enter(None);
        enter.env("CNI_COMMAND", verb).env("CNI_PATH", folder());
        Call { enter, program: executable(name), arguments: vec![], stdin: vec![], memory: None }
    }

    /// Sets an environment variable.
    pub fn env(mut self, name: &str, value: &str) -> Call {
        self.enter.env(name, value);
        self
    }

    /// Sets an environment variable to what need not be text.
    pub fn env_bytes(mut self, name: &str, value: &[u8]) -> Call {
        self.enter.env(name, OsStr::from_bytes(value));
        self
    }

    /// Leaves out an environment variable.
    pub fn without(mut self, name: &str) -> Call {
        self.enter.env_remove(name);
        self
    }

    /// Adds a command line argument.
    pub fn argument(mut self, argument: &str) -> Call {
        self.arguments.push(argument.to_owned());
        self
    }

    /// What the executable reads.
    pub fn stdin(self, text: &str) -> Call {
        self.stdin_bytes(text.as_bytes())
    }

    /// What the executable reads, which need not be text.
    pub fn stdin_bytes(mut self, bytes: &[u8]) -> Call {
        self.stdin = bytes.to_vec();
        self
    }

    /// Gives the executable so many bytes of address space and no more.
    pub fn limited(mut self, memory: u64) -> Call {
        self.memory = Some(memory);
        self
    }

    /// The same for a [`Runner`](crate::Runner), which measures it. Arguments are left out.
    pub fn to_measure(&self) -> Run {
        let text = |text: &OsStr| text.to_string_lossy().into_owned();
        let variables = self.enter.get_envs().filter_map(|(name, value)| Some((text(name), text(value?))));
        Run {
            program: self.program.clone(),
            arguments: Vec::new(),
            environment: variables.collect(),
            stdin: String::from_utf8_lossy(&self.stdin).into_owned(),
        }
    }

    /// Starts the process and gives it its stdin.
    pub fn start(self) -> Running {
        let mut running = self.start_with_open_stdin();
        running.stdin = None;
        running
    }

    /// Starts the process and gives it its stdin, which has no end until the process has one.
    pub fn start_with_open_stdin(mut self) -> Running {
        if let Some(memory) = self.memory {
            self.enter.arg(tool("prlimit")).arg(format!("--as={memory}"));
        }
        self.enter.arg(&self.program).args(&self.arguments);
        self.enter.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let started = Instant::now();
        let mut child = self.enter.spawn().expect("nsenter can be started");
        // Not every call reads it, and a process may end before it does: then the pipe is broken, and that is fine.
        let mut stdin = child.stdin.take().expect("stdin is a pipe");
        let _ = stdin.write_all(&self.stdin);
        Running { child: Some(child), stdin: Some(stdin), started }
    }

    /// Runs the process to its end.
    pub fn run(self) -> Answer {
        self.start().finish()
    }
}

/// Starts all calls before it waits for any.
pub fn at_once(calls: impl Iterator<Item = Call>) -> Vec<Answer> {
    let running: Vec<Running> = calls.map(Call::start).collect();
    running.into_iter().map(Running::finish).collect()
}

/// A process under test. It is killed when the value is dropped unfinished.
pub struct Running {
    child: Option<Child>,
    /// Kept where it shall have no end.
    stdin: Option<ChildStdin>,
    started: Instant,
}

impl Running {
    /// The process's ID.
    pub fn id(&self) -> u32 {
        self.child.as_ref().map_or(0, Child::id)
    }

    /// Whether the process waits for a lock of a file.
    pub fn waits_for_lock(&self) -> bool {
        let id = self.id().to_string();
        // The kernel's list of locks has waiters behind an arrow.
        let waits = |line: &str| line.contains("->") && line.split_whitespace().any(|word| word == id);
        std::fs::read_to_string("/proc/locks").expect("the kernel lists locks").lines().any(waits)
    }

    /// Sends the process a signal; nothing happens if it has ended.
    pub fn signal(&self, signal: Signal) {
        let Some(child) = &self.child else { return };
        // The process is not reaped before `finish`, so that its ID is still its own.
        let pid = i32::try_from(child.id()).expect("process IDs are small");
        let _ = signal::kill(Pid::from_raw(pid), signal);
    }

    /// Waits for the end.
    pub fn finish(mut self) -> Answer {
        let child = self.child.take().expect("a run is finished once");
        let output = child.wait_with_output().expect("a child can be waited for");
        let wall = self.started.elapsed();
        let text = |bytes| String::from_utf8(bytes).unwrap_or_else(|e| panic!("not UTF-8: {e}"));
        Answer {
            exit: output.status.code(),
            signal: output.status.signal(),
            stdout: text(output.stdout),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            wall,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// What became of a run.
#[derive(Debug)]
pub struct Answer {
    /// The exit status; `None` if a signal ended it.
    pub exit: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// What it said to the runtime.
    pub stdout: String,
    /// What it logged.
    pub stderr: String,
    /// Its duration, entering the host's namespaces included.
    pub wall: Duration,
}

/// A CNI error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CniError {
    /// Its number.
    pub code: i64,
    /// What is wrong, with details if there are any after a line break.
    pub text: String,
}

impl CniError {
    /// Asserts that its text has all of these.
    #[track_caller]
    pub fn assert_words(&self, words: &[&str]) {
        for word in words {
            assert!(self.text.contains(word), "{word:?} is missing: {self:#?}");
        }
    }
}

impl Answer {
    /// The result of a run that must have succeeded; `null` if it printed nothing.
    pub fn result(&self) -> Value {
        assert_eq!(self.exit, Some(0), "{self:#?}");
        if self.stdout.is_empty() {
            return Value::Null;
        }
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {self:#?}"))
    }

    /// The error of a run that must have failed as the protocol says: exit status 1 and one object on stdout.
    pub fn error(&self) -> CniError {
        assert_eq!(self.exit, Some(1), "{self:#?}");
        let object: Value = serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {self:#?}"));
        let map = object.as_object().unwrap_or_else(|| panic!("not an object: {self:#?}"));
        let known = map.keys().all(|key| matches!(key.as_str(), "cniVersion" | "code" | "msg" | "details"));
        assert!(known, "not only an error: {self:#?}");
        let code = object["code"].as_i64().unwrap_or_else(|| panic!("no code: {self:#?}"));
        let message = object["msg"].as_str().unwrap_or_else(|| panic!("no msg: {self:#?}"));
        assert!(code > 0 && !message.is_empty(), "{self:#?}");
        let details = object["details"].as_str().map(|details| format!("\n{details}")).unwrap_or_default();
        CniError { code, text: format!("{message}{details}") }
    }

    /// The addresses of a result in the format of version 0.3.0 or later, without their prefix lengths.
    pub fn addresses(&self) -> Vec<String> {
        let result = self.result();
        let ips = result["ips"].as_array().cloned().unwrap_or_default();
        let bare = |ip: &Value| Some(ip["address"].as_str()?.split('/').next()?.to_owned());
        ips.iter().filter_map(bare).collect()
    }
}
